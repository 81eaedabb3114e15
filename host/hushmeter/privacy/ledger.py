"""What a meter has spent: the account that its ledger gives, from its storage or from itself.

The meter counts: every report is in its journal before it leaves, and spends its worst case, the
sum of its lanes' epsilons (see ``hushfw.ledger``). The host only asks. A storage folder is read
with the device's own journal, which changes nothing as long as nothing is appended; a live meter is
asked with ``ledger_request``.

    account = stored(home_folder(Path("out/street"), 7))
    account.epsilon_window, account.slots, account.cap_reached
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

from hushfw import journal, market
from hushfw.core import config as device_config
from hushfw.core.errors import HushError
from hushmeter.devices import meter_plan
from hushmeter.devices.meter_plan import PrivacyCap
from hushmeter.errors import HushmeterError
from hushmeter.link import Link
from hushmeter.privacy.disclosures import Disclosure

JOURNAL = "journal.bin"
_DAY_S = 86400


@dataclass(frozen=True)
class Account:
    """What one meter has spent.

    Attributes
    ----------
    epsilon_per_slot:
        Of a report under the roster in use; None without one, or where it has no noise.
    epsilon_window:
        Spent in the `window_days` that end with `last_day`; None where a report in it had no noise.
    epsilon_total:
        Of all reports that are counted; None where one had no noise.
    slots:
        Reports counted, each once: those of void and expired slots too.
    noiseless_slots:
        How many of them had no noise.
    cap_reached:
        The window has spent the home's cap, or more.
    since_slot:
        0 where every report ever is counted; else the first slot that is, for earlier ones are of a
        firmware that had no ledger.
    market_intervals:
        Intervals of the market in which the meter masked a curve.
    market_epsilon_per_interval:
        Of each of them, which is in none of the sums above; None where they have no noise.
    days:
        (Unix day, epsilon) where something was spent, oldest first; known from a storage only.
    """

    meter_id: int
    epoch: int
    epsilon_per_slot: Fraction | None
    epsilon_window: Fraction | None
    epsilon_total: Fraction | None
    slots: int
    noiseless_slots: int
    window_days: int
    last_day: int
    cap: PrivacyCap | None
    cap_reached: bool
    since_slot: int
    through_slot: int
    market_intervals: int
    market_epsilon_per_interval: Fraction | None = None
    days: tuple[tuple[int, Fraction], ...] = ()

    def to_dict(self, disclosures: Sequence[Disclosure] = ()) -> dict[str, Any]:
        """The JSON object of ``hushmeter ledger``; None where no finite epsilon is true."""
        amounts = {
            "epsilon_per_slot": self.epsilon_per_slot,
            "epsilon_window": self.epsilon_window,
            "epsilon_total": self.epsilon_total,
            "cap": None if self.cap is None else self.cap.epsilon,
            "market_epsilon_per_interval": self.market_epsilon_per_interval,
        }
        return {
            "meter_id": self.meter_id,
            "epoch": self.epoch,
            **{name: None if value is None else number(value) for name, value in amounts.items()},
            "exact": {name: None if x is None else str(x) for name, x in amounts.items()},
            "slots": self.slots,
            "noiseless_slots": self.noiseless_slots,
            "window_days": self.window_days,
            "window_ends": date_of(self.last_day) if self.last_day else None,
            "cap_reached": self.cap_reached,
            "since_slot": self.since_slot,
            "through_slot": self.through_slot,
            "disclosures": [vars(entry) for entry in disclosures],
            "market_intervals": self.market_intervals,
            "days": [{"day": date_of(day), "epsilon": number(spent)} for day, spent in self.days],
        }


def number(value: Fraction) -> int | float:
    """As JSON has it: whole where it is."""
    return value.numerator if value.denominator == 1 else float(value)


def date_of(day: int) -> str:
    """The date of a Unix day."""
    try:
        return f"{datetime.fromtimestamp(day * _DAY_S, UTC):%Y-%m-%d}"
    except (ValueError, OverflowError, OSError):
        return f"day {day}"


def account_of(
    meter_id: int, fields: Mapping[str, Any], days: Sequence[tuple[int, int]] = ()
) -> Account:
    """From the fields of the message ``ledger``, and days' numerators where they are known."""
    den = fields["den"]
    rate, window, total = (
        Fraction(int.from_bytes(fields[name], "big"), den)
        for name in ("slot_num", "window_num", "total_num")
    )
    has_cap = fields["cap_den"] > 0
    return Account(
        meter_id=meter_id,
        epoch=fields["epoch"],
        epsilon_per_slot=rate or None,
        epsilon_window=None if fields["window_noiseless"] else window,
        epsilon_total=None if fields["noiseless"] else total,
        slots=fields["reports"],
        noiseless_slots=fields["noiseless"],
        window_days=fields["window_days"],
        last_day=fields["day"],
        cap=PrivacyCap(Fraction(fields["cap_num"], fields["cap_den"]), fields["window_days"])
        if has_cap
        else None,
        cap_reached=bool(fields["reached"]),
        since_slot=fields["since_slot"],
        through_slot=fields["through_slot"],
        market_intervals=fields["market_intervals"],
        market_epsilon_per_interval=Fraction(fields["market_num"], fields["market_den"])
        if fields["market_den"]
        else None,
        days=tuple((day, Fraction(spent, den)) for day, spent in days),
    )


def asked(link: Link) -> Account:
    """Of a meter that answers.

    Raises
    ------
    HushmeterError
        It does not work, its firmware has no ledger, or it does not answer.
    """
    hello = link.request("hello_request").fields
    if hello["problem"]:
        raise HushmeterError(f"the meter does not work: {hello['problem']}")
    return account_of(hello["meter_id"], link.request("ledger_request").fields)


def stored(folder: Path) -> Account:
    """Of a meter whose storage this folder is; nothing in it changes.

    Raises
    ------
    HushmeterError
        The folder lacks the meter's configuration or journal, or one is damaged.
    """
    settings = settings_in(folder)
    path = folder / JOURNAL
    if not path.is_file():
        raise HushmeterError(f"{folder} has no {JOURNAL}: this meter was never started")
    try:
        kept = journal.Journal(str(path))
    except HushError as error:
        raise HushmeterError(f"{path}: {error.message}") from error
    except (OSError, ValueError, IndexError) as error:
        raise HushmeterError(f"{path} cannot be read: {error}") from error
    cap = device_config.optional(settings, "privacy_cap")
    fields = kept.ledger.fields(cap, 0)
    fields["market_intervals"] = market.masked_intervals(kept)
    terms = device_config.optional(settings, "market")
    if terms is not None and terms["epsilon"] is not None:
        fields["market_num"], fields["market_den"] = terms["epsilon"]
    if not fields["epoch"] and kept.last_masked:
        raise HushmeterError(
            f"{path} is of a firmware without a ledger",
            hint="with this firmware the meter takes its slots over at its next report",
        )
    return account_of(settings["meter_id"], fields, list(kept.ledger.spent_on()))


def settings_in(folder: Path) -> dict[str, Any]:
    """The configuration of the meter whose storage this folder is.

    Raises
    ------
    HushmeterError
        There is none, or it is not right.
    """
    path = folder / meter_plan.CONFIG_FILE
    try:
        return meter_plan.checked(path.read_bytes())
    except OSError as error:
        raise HushmeterError(f"{path} cannot be read: {error.strerror}") from error
    except HushmeterError as error:
        raise HushmeterError(f"{path}: {error.message}") from error


def home_folder(folder: Path, meter_id: int | None) -> Path:
    """The storage of one meter: the folder itself, or in an emulated street's.

    Parameters
    ----------
    folder:
        A meter's storage, or what ``hushmeter emulate --out`` was given.

    Raises
    ------
    HushmeterError
        No such meter has its storage there, or there are several and none is named.
    """
    if (folder / meter_plan.CONFIG_FILE).is_file():
        found = settings_in(folder)["meter_id"]
        if meter_id not in (None, found):
            raise HushmeterError(f"{folder} is the storage of meter {found}, not of {meter_id}")
        return folder
    homes = [*sorted(folder.glob("meter-*")), *sorted(folder.glob("street/meter-*"))]
    by_id = {
        int(name): home for home in homes if home.is_dir() and (name := home.name[6:]).isdecimal()
    }
    if meter_id is None and len(by_id) == 1:
        return next(iter(by_id.values()))
    if meter_id in by_id:
        return by_id[meter_id]
    raise HushmeterError(_no_home(folder, meter_id, sorted(by_id)))


def _no_home(folder: Path, meter_id: int | None, known: Sequence[int]) -> str:
    if not known:
        return (
            f"{folder} holds no meter's storage; wanted what hushmeter emulate --out was given, "
            "or one home's folder"
        )
    span = f"{known[0]} to {known[-1]}" if len(known) > 1 else str(known[0])
    if meter_id is None:
        return f"{folder} holds meters {span}: name one with --meter"
    return f"{folder} holds no storage of meter {meter_id}, but of meters {span}"
