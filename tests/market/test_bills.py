"""Bills: right ones are verified, wrong ones named, and a home opens nothing else than bills."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hushmeter.crypto.paillier import PublicKey
from hushmeter.errors import HushmeterError
from hushmeter.market.bills import commitments, files, home, journal, prices, tariffs, verifying
from hushmeter.market.bills.failures import Failure
from hushmeter.market.bills.files import Home, LeavesFile, TotalFile
from hushmeter.market.bills.tariffs import (
    Band,
    Flat,
    Market,
    Rate,
    Schedule,
    TariffFile,
    Tier,
    Tiers,
    TimeOfUse,
)
from hushmeter.privacy.disclosures import Disclosures
from tests.market import bill_kit as kit
from tests.market.bill_kit import DAY, FIRST, LAST, READINGS, SUMS

replace = msgspec.structs.replace
PEAK = TimeOfUse([Band(0, 100), Band(8 * 3600, 410), Band(20 * 3600, 100)])
WEEK = READINGS[:-2]


def opened(folder: Path, tariff: TariffFile, **changes: Any) -> TotalFile:
    folder.mkdir(exist_ok=True)
    leaves = changes.pop("leaves", None) or kit.leaves_of()
    ends = changes.pop("first_slot", FIRST), changes.pop("last_slot", LAST)
    return home.open_total(kit.household(folder), leaves, tariff, *ends, **changes)


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> TotalFile:
    return opened(tmp_path_factory.mktemp("home"), kit.tariff_of())


def schedule_price(at: int) -> int:
    return 50 + 10 * (at % 13)


@pytest.mark.parametrize(
    ("imported", "exported", "amount"),
    [
        (Flat(300), None, 300 * SUMS.import_wh),
        (Flat(300), Flat(-20), 300 * SUMS.import_wh + 20 * SUMS.export_wh),
        (Flat(0), Flat(80), -80 * SUMS.export_wh),
        (
            PEAK,
            Flat(80),
            sum(
                (410 if 8 <= at % DAY < 20 else 100) * one.import_wh - 80 * (one.export_wh or 0)
                for at, one in enumerate(WEEK)
            ),
        ),
        (
            Schedule([schedule_price(at) for at in range(len(READINGS))]),
            None,
            sum(schedule_price(at) * one.import_wh for at, one in enumerate(WEEK)),
        ),
        (
            Tiers([Tier(100_000, 100), Tier(120_000, 200), Tier(None, 300)]),
            None,
            100 * 100_000 + 200 * 20_000 + 300 * (SUMS.import_wh - 120_000),
        ),
    ],
    ids=["flat", "feed-in costs", "feed-in only", "time of use", "schedule", "tiers"],
)
def test_a_bill_is_what_its_readings_cost(
    tmp_path: Path, imported: Rate, exported: Rate | None, amount: int
) -> None:
    tariff = kit.tariff_of(imported, exported)
    total = opened(tmp_path, tariff)
    assert int(total.amount_micro) == amount
    assert verifying.verify_total(total, kit.evidence(), tariff) == amount


def changed(leaves: LeavesFile, at: int, **fields: Any) -> LeavesFile:
    new = list(leaves.leaves)
    new[at] = replace(new[at], **fields)
    return replace(leaves, leaves=new)


def without(leaves: LeavesFile, at: int) -> LeavesFile:
    return replace(leaves, leaves=leaves.leaves[:at] + leaves.leaves[at + 1 :])


def cut_short(leaves: LeavesFile) -> LeavesFile:
    return replace(leaves, leaves=leaves.leaves[:-1])


def another_reading(leaves: LeavesFile) -> LeavesFile:
    return changed(leaves, 10, c=kit.public_key().encrypt(1).hex())


def another_reading_and_hash(leaves: LeavesFile) -> LeavesFile:
    fresh = commitments.commit(READINGS[5:6], kit.public_key(), kit.HOME, kit.METER)
    return changed(leaves, 10, c=fresh.leaves[0].c, leaf=fresh.leaves[0].leaf)


def swapped_slots(leaves: LeavesFile) -> LeavesFile:
    new = list(leaves.leaves)
    new[10], new[12] = new[12], new[10]
    return replace(leaves, leaves=new)


def swapped_contents(leaves: LeavesFile) -> LeavesFile:
    a, b = leaves.leaves[10], leaves.leaves[12]
    return changed(changed(leaves, 10, c=b.c), 12, c=a.c)


def repeated(leaves: LeavesFile) -> LeavesFile:
    new = [*leaves.leaves[:11], leaves.leaves[10], *leaves.leaves[11:]]
    return replace(leaves, leaves=new)


def replayed(leaves: LeavesFile) -> LeavesFile:
    return changed(leaves, 12, c=leaves.leaves[10].c)


def unsigned(leaves: LeavesFile) -> LeavesFile:
    return replace(leaves, batches=leaves.batches[:-1])


def edited_root(leaves: LeavesFile) -> LeavesFile:
    bad = replace(leaves.batches[1], root=leaves.batches[0].root)
    return replace(leaves, batches=[leaves.batches[0], bad, leaves.batches[2]])


def signed_by_another(leaves: LeavesFile) -> LeavesFile:
    key = kit.public_key()
    made = commitments.commit(READINGS, key, kit.HOME, b"\x09" * 32, None, batch_slots=72)
    return replace(made, signer=replace(made.signer, certificate=leaves.signer.certificate))


@pytest.mark.parametrize(
    ("forge", "step", "slot"),
    [
        (another_reading, "leaf", FIRST + 5),
        (another_reading_and_hash, "root", FIRST),
        (swapped_slots, "order", FIRST + 5),
        (swapped_contents, "leaf", FIRST + 5),
        (lambda leaves: without(leaves, 10), "missing", FIRST + 5),
        (cut_short, "missing", READINGS[-1].slot),
        (repeated, "order", FIRST + 5),
        (replayed, "leaf", FIRST + 6),
        (unsigned, "root", FIRST + 144),
        (edited_root, "signature", FIRST + 72),
        (signed_by_another, "signer", None),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_leaves_that_the_meter_did_not_sign_are_caught_and_named(
    flat: TotalFile, forge: Callable[[LeavesFile], LeavesFile], step: str, slot: int | None
) -> None:
    with pytest.raises(Failure) as caught:
        verifying.verify_total(flat, kit.evidence(forge(kit.leaves_of())), kit.tariff_of())
    assert (caught.value.step, caught.value.first_slot) == (step, slot)


def test_a_home_opens_nothing_of_forged_leaves(tmp_path: Path) -> None:
    for forge in (another_reading, repeated, replayed, unsigned, signed_by_another):
        with pytest.raises(Failure):
            opened(tmp_path, kit.tariff_of(), leaves=forge(kit.leaves_of()))
    assert not (tmp_path / journal.FILE).exists()


def test_a_meter_that_signs_one_commitment_twice_is_caught(flat: TotalFile) -> None:
    """Only a broken meter does; then two slots show that they are equal."""
    again = replace(kit.leaves_of())
    leaf = again.leaves[10]
    again = changed(again, 12, c=leaf.c)
    with pytest.raises(Failure, match="again") as caught:
        commitments._numbers(again, kit.public_key())
    assert caught.value.first_slot == FIRST + 6
    silent = changed(changed(again, 10, c="00" * 255 + "01"), 12, c="00" * 255 + "01")
    assert commitments._numbers(silent, kit.public_key())["import"][FIRST + 6] == 1


def test_a_missing_slot_is_named(tmp_path: Path) -> None:
    readings = [one for one in READINGS if one.slot != FIRST + 9]
    leaves = commitments.commit(readings, kit.public_key(), kit.HOME, kit.METER, kit.AUTHORITY)
    with pytest.raises(Failure, match="no commitment") as caught:
        opened(tmp_path, kit.tariff_of(), leaves=leaves)
    assert (caught.value.step, caught.value.first_slot) == ("missing", FIRST + 9)


def test_a_period_without_end_is_refused_at_once(tmp_path: Path) -> None:
    last = (1 << 48) - 1
    with pytest.raises(Failure, match="no commitment") as caught:
        opened(tmp_path, kit.tariff_of(last_slot=last), last_slot=last)
    assert caught.value.first_slot == LAST + 3


def told(right: TotalFile, **fields: str) -> TotalFile:
    one = replace(right.registers["import"], **fields)
    return replace(right, registers={**right.registers, "import": one})


def test_changed_totals_and_openings_are_caught(flat: TotalFile) -> None:
    right = flat.registers["import"]
    n = kit.public_key().n
    wrong = [
        (told(flat, total=str(int(right.total) + 300)), "total"),
        (told(flat, total=str(int(right.total) - 300)), "total"),
        (told(flat, total=str(int(right.total) + n)), "total"),
        (told(flat, total="-1"), "total"),
        (told(flat, root=files.hexed(n - int(right.root, 16))), "total"),
        (told(flat, root=files.hexed(int(right.root, 16) + n)), "total"),
        (told(flat, root="00"), "total"),
        (replace(flat, amount_micro=str(int(flat.amount_micro) - 1)), "amount"),
        (replace(flat, registers={}), "total"),
        (replace(flat, last_slot=LAST + 1), "total"),
        (replace(flat, last_slot=LAST - 1), "period"),
    ]
    for total, step in wrong:
        with pytest.raises(Failure) as caught:
            verifying.verify_total(total, kit.evidence(), kit.tariff_of())
        assert caught.value.step == step


def test_changed_prices_are_caught(flat: TotalFile) -> None:
    tariff = kit.tariff_of(Flat(299))
    with pytest.raises(Failure, match="another tariff"):
        verifying.verify_total(flat, kit.evidence(), tariff)
    with pytest.raises(Failure, match="product") as caught:
        verifying.verify_total(replace(flat, tariff_sha256=tariff.sha256), kit.evidence(), tariff)
    assert caught.value.step == "total"
    edited = replace(kit.tariff_of(), terms=tariff.terms)
    with pytest.raises(Failure, match="not signed by the utility"):
        verifying.verify_total(replace(flat, tariff_sha256=edited.sha256), kit.evidence(), edited)


def test_another_homes_opening_is_caught(tmp_path: Path, flat: TotalFile) -> None:
    neighbour = Home("Elm Row", 8)
    theirs = kit.leaves_of(2, 1, neighbour)
    total = home.open_total(kit.household(tmp_path, 1), theirs, kit.tariff_of(), FIRST, LAST)
    with pytest.raises(Failure, match="another owner"):
        verifying.verify_total(total, kit.evidence(), kit.tariff_of())
    with pytest.raises(Failure):
        verifying.verify_total(replace(total, home=kit.HOME), kit.evidence(), kit.tariff_of())
    mixed = replace(flat, registers=total.registers, amount_micro=total.amount_micro)
    with pytest.raises(Failure, match="product|R must be"):
        verifying.verify_total(mixed, kit.evidence(), kit.tariff_of())
    with pytest.raises(Failure, match="not under this home's key"):
        opened(tmp_path, kit.tariff_of(), leaves=theirs)


def test_a_forged_key_is_caught(flat: TotalFile) -> None:
    """Under n = 3^k one commitment opens to many values."""
    n = 3**1292
    assert n.bit_length() == 2048
    key = PublicKey(n, kit.HOME.owner, kit.public_of(kit.AUTHORITY), (1,) * 8)
    evidence = replace_evidence(files.public_file(key))
    with pytest.raises(Failure, match="factor below 2\\^16") as caught:
        verifying.verify_total(flat, evidence, kit.tariff_of())
    assert caught.value.step == "key"


def replace_evidence(public: files.PublicKeyFile) -> verifying.Evidence:
    right = kit.evidence()
    return verifying.Evidence(right.leaves, public, right.authority, insecure=True)


def test_a_key_without_its_proof_or_too_short_is_caught(flat: TotalFile) -> None:
    right = kit.public_key()
    unproven = PublicKey(right.n, right.owner, right.roster, (2,) * 8)
    with pytest.raises(Failure, match="root 0 of its proof is wrong"):
        verifying.verify_total(flat, replace_evidence(files.public_file(unproven)), kit.tariff_of())
    evidence = verifying.Evidence(
        kit.leaves_of(), files.public_file(right), kit.public_of(b"\1" * 32)
    )
    with pytest.raises(Failure, match="1024 bits"):
        verifying.verify_total(flat, evidence, kit.tariff_of())


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "one-slot prices",
        {"import_rate": Schedule([int(at == 5) for at in range(len(READINGS))])},
        "prices",
        "that of 1 measured slots only",
    ),
    (
        "one price among many",
        {"import_rate": Schedule([300 + (at == 5) for at in range(len(READINGS))])},
        "prices",
        "that of 1 measured slots only",
    ),
    (
        "radix prices",
        {"import_rate": Schedule([1 << min(20 * at, 60) for at in range(len(READINGS))])},
        "prices",
        "outside the bounds",
    ),
    ("bounds too wide", {"bounds": tariffs.Bounds(0, 1 << 32)}, "tariff", "below 2\\^32"),
    ("a short period", {"least_slots": 7 * DAY + 1}, "period", "at least 169"),
    ("another street", {"street": "Oak Row"}, "tariff", "for the street Oak Row"),
    ("another period", {"last_slot": LAST - 1}, "period", "the tariff is for slots"),
]


@pytest.mark.parametrize(("name", "changes", "step", "reason"), REFUSED)
def test_a_home_refuses_prices_that_read_slots(
    tmp_path: Path, name: str, changes: dict[str, Any], step: str, reason: str
) -> None:
    with pytest.raises(Failure, match=reason) as caught:
        opened(tmp_path, kit.tariff_of(**{"import_rate": Flat(300), **changes}))
    assert caught.value.step == step
    assert not (tmp_path / journal.FILE).exists()


def leaves_with_gaps(measured: Container[int]) -> LeavesFile:
    """The week's leaves, in which only these slots were measured, counted from 0."""
    readings = [
        dataclasses.replace(reading, measured=at in measured) for at, reading in enumerate(READINGS)
    ]
    return commitments.commit(readings, kit.public_key(), kit.HOME, kit.METER, kit.AUTHORITY)


@pytest.mark.parametrize("least", [2, 7 * DAY])
def test_slots_that_were_not_measured_do_not_make_a_period_long(tmp_path: Path, least: int) -> None:
    leaves = leaves_with_gaps({17})
    tariff = kit.tariff_of(least_slots=least)
    with pytest.raises(Failure, match=f"it has 1 measured slots; at least {least}"):
        opened(tmp_path, tariff, leaves=leaves)
    assert not (tmp_path / journal.FILE).exists()
    total = opened(tmp_path, kit.tariff_of(least_slots=1), leaves=leaves)
    assert total.registers["import"].total == str(300 * READINGS[17].import_wh)
    with pytest.raises(Failure, match="it has 1 measured slots"):
        verifying.verify_total(
            replace(total, tariff_sha256=tariff.sha256), kit.evidence(leaves), tariff
        )


def test_slots_that_were_not_measured_do_not_make_a_group_of_one_price(tmp_path: Path) -> None:
    """From hour 24 on 7 slots have the price 200, of which 6 were measured, and then all."""
    rate = Schedule([200 if 24 <= at < 31 else 300 for at in range(len(READINGS))])
    tariff = kit.tariff_of(rate, least_slots=1)
    whole = set(range(len(READINGS)))
    with pytest.raises(Failure, match="the price 200 is that of 6 measured slots only"):
        opened(tmp_path, tariff, leaves=leaves_with_gaps(whole - {25}))
    for gaps in (set(), set(range(24, 31))):
        folder = tmp_path / f"{len(gaps)} gaps"
        opened(folder, tariff, leaves=leaves_with_gaps(whole - gaps))
        assert (folder / journal.FILE).exists()


def test_a_home_refuses_a_tariff_that_was_not_published_before(tmp_path: Path) -> None:
    terms = kit.terms_of(Flat(300))
    late = tariffs.signed(terms, kit.UTILITY, kit.AUTHORITY, kit.START_S + 1)
    backdated = replace(late, publication=replace(late.publication, published_s=kit.START_S))
    for tariff, reason in (
        (tariffs.signed(terms, kit.UTILITY), "authority's signature is missing"),
        (tariffs.signed(terms, kit.UTILITY, b"\x07" * 32), "not signed by the authority"),
        (late, "1 s after its first slot"),
        (backdated, "not signed by the authority"),
    ):
        with pytest.raises(Failure, match=reason):
            opened(tmp_path, tariff)


def test_a_second_price_vector_needs_consent_and_is_the_last(tmp_path: Path) -> None:
    first = opened(tmp_path, kit.tariff_of())
    with pytest.raises(Failure, match="needs the home's consent"):
        opened(tmp_path, kit.tariff_of(Flat(200)))
    second = opened(tmp_path, kit.tariff_of(Flat(200)), reissue=True)
    assert (first.reissue, second.reissue) == (False, True)
    with pytest.raises(Failure, match="reissued before"):
        opened(tmp_path, kit.tariff_of(Flat(100)), reissue=True)
    kinds = [one.kind for one in Disclosures(tmp_path).all()]
    assert kinds == ["bill", "reissue"]


def test_the_same_total_again_tells_nothing_new(tmp_path: Path) -> None:
    first = opened(tmp_path, kit.tariff_of())
    assert opened(tmp_path, kit.tariff_of()) == first
    assert len(Disclosures(tmp_path).all()) == 1


def test_overlapping_periods_are_refused(tmp_path: Path) -> None:
    opened(tmp_path, kit.tariff_of())
    for first, last in ((FIRST, LAST + 1), (FIRST + 1, LAST + 1)):
        for reissue in (False, True):
            with pytest.raises(Failure, match="opened before") as caught:
                opened(tmp_path, kit.tariff_of(), first_slot=first, last_slot=last, reissue=reissue)
            assert caught.value.step == "history"


def test_an_opening_is_on_the_disk_before_it_is_returned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut at the journal's sync leaves nothing opened, and no later total under others."""

    def cut(self: Any, entry: Any) -> None:
        raise OSError("power cut")

    with monkeypatch.context() as patched:
        patched.setattr(journal.Journal, "add", cut)
        with pytest.raises(OSError, match="power cut"):
            opened(tmp_path, kit.tariff_of())
    assert [one.kind for one in Disclosures(tmp_path).all()] == ["bill"]
    opened(tmp_path, kit.tariff_of(Flat(200)))
    data = (tmp_path / journal.FILE).read_bytes()
    (tmp_path / journal.FILE).write_bytes(data + data[:40])
    with pytest.raises(Failure, match="other prices"):
        opened(tmp_path, kit.tariff_of())
    assert (tmp_path / journal.FILE).read_bytes() == data


def test_a_damaged_journal_stops_everything(tmp_path: Path) -> None:
    opened(tmp_path, kit.tariff_of())
    (tmp_path / journal.FILE).write_bytes(b'{"home": 1}\n')
    with pytest.raises(HushmeterError, match="a line is damaged"):
        opened(tmp_path, kit.tariff_of())


def test_a_slot_is_opened_with_consent_only_and_counts(tmp_path: Path) -> None:
    household, leaves = kit.household(tmp_path), kit.leaves_of()
    with pytest.raises(Failure, match="the home must agree"):
        home.open_slot(household, leaves, FIRST + 3, "export", consent=False)
    said = home.open_slot(household, leaves, FIRST + 3, "export", consent=True)
    assert verifying.verify_slot(said, kit.evidence()) == READINGS[3].export_wh
    with pytest.raises(Failure, match="product") as caught:
        verifying.verify_slot(replace(said, slot=FIRST + 4), kit.evidence())
    assert caught.value.first_slot == FIRST + 4
    assert [one.kind for one in Disclosures(tmp_path).all()] == ["dispute"]
    opened(tmp_path, kit.tariff_of())


def test_market_prices_are_computed_again_and_each_interval_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tariff = kit.tariff_of(Market(fallback=300))
    market: dict[int, int | None] = {one.slot: 100 + one.slot for one in WEEK}
    market[FIRST + 2] = None
    monkeypatch.setattr(prices, "market_prices", lambda paths: (dict(market), []))
    total = opened(tmp_path / "a", tariff)
    wanted = sum((market[one.slot] or 300) * one.import_wh for one in WEEK)
    assert int(total.amount_micro) == wanted
    assert verifying.verify_total(total, kit.evidence(), tariff) == wanted
    del market[FIRST + 9]
    with pytest.raises(Failure, match="no transcript") as caught:
        opened(tmp_path / "b", tariff)
    assert caught.value.first_slot == FIRST + 9
    market[FIRST + 9] = 1 << 33
    with pytest.raises(Failure, match="outside the bounds"):
        opened(tmp_path / "b", tariff)


def test_a_transcript_that_says_what_does_not_follow_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "transcript.json"
    path.write_text(json.dumps({"kind": "hushmeter market transcript"}))
    with pytest.raises(HushmeterError, match="is no transcript"):
        opened(tmp_path, kit.tariff_of(Market(300)), transcripts=[path])


def test_a_bill_must_ask_for_what_the_total_says(flat: TotalFile) -> None:
    right = verifying.bill_of(flat, int(flat.amount_micro))
    verifying.verify_total(flat, kit.evidence(), kit.tariff_of(), bill=right)
    for wrong in (
        replace(right, amount_micro=str(int(right.amount_micro) + 1)),
        replace(right, last_slot=LAST - 1),
    ):
        with pytest.raises(Failure) as caught:
            verifying.verify_total(flat, kit.evidence(), kit.tariff_of(), bill=wrong)
        assert caught.value.step == "amount"
