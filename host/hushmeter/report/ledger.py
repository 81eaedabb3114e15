"""The page of a home's privacy ledger.

page(LedgerPage(account, disclosures, exposure, source, command))    # one file that needs no other
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction

from hushmeter.privacy.disclosures import KINDS, Disclosure
from hushmeter.privacy.exposure import HomeExposure
from hushmeter.privacy.ledger import Account, date_of
from hushmeter.report import page as pages
from hushmeter.report.pictures import FORMS, Form, draw
from hushmeter.report.pictures.ledger import hours_plan
from hushmeter.report.street import SummaryRow
from hushmeter.study.dream_exposure import Exposure


@dataclass(frozen=True)
class LedgerPage:
    """What a page shows; `exposure` is None where the home's log is not at hand."""

    account: Account
    disclosures: Sequence[Disclosure]
    exposure: HomeExposure | None
    source: str
    command: str


def page(shown: LedgerPage, forms: Sequence[Form] = FORMS) -> str:
    """The page's text."""
    account, exposure = shown.account, shown.exposure
    return (
        pages.environment()
        .get_template("ledger.html.j2")
        .render(
            account=account,
            headline=_headline(account),
            rows=summary(account, shown.disclosures),
            disclosures=[_entry(entry) for entry in shown.disclosures],
            exposure=exposure,
            picture=None if exposure is None else draw(hours_plan(exposure), forms),
            hours=[] if exposure is None else _hours(exposure),
            periods=[] if exposure is None else [_period(row) for row in exposure.periods],
            appliances=[] if exposure is None else _by_appliance(exposure.appliances),
            days=[(date_of(day), epsilon_text(spent)) for day, spent in reversed(account.days)],
            source=shown.source,
            command=shown.command,
        )
    )


def epsilon_text(value: Fraction | None) -> str:
    """An epsilon as people read it."""
    if value is None:
        return "unbounded"
    whole = value.denominator == 1
    return f"{value.numerator:,}" if whole else f"{float(value):,.4g}"


def summary(account: Account, disclosures: Sequence[Disclosure]) -> list[SummaryRow]:
    """The account in a few lines."""
    days = f"{account.window_days} day" + ("s" if account.window_days > 1 else "")
    ends = f"that end on {date_of(account.last_day)}" if account.last_day else ""
    cap = account.cap
    since = (
        "every one since provisioning"
        if not account.since_slot
        else f"from slot {account.since_slot} on; earlier ones are not known"
    )
    exact = len(disclosures)
    return [
        SummaryRow("Epsilon of a report", _of_a_report(account), "the worst case, used or not"),
        SummaryRow(
            f"Spent in {days}", epsilon_text(account.epsilon_window), ends, account.cap_reached
        ),
        SummaryRow("Spent in all", epsilon_text(account.epsilon_total), since),
        SummaryRow("Reports", f"{account.slots:,}", "also of slots that were void or expired"),
        SummaryRow(
            "The home's cap",
            "none" if cap is None else epsilon_text(cap.epsilon),
            _cap_note(account, days),
            account.cap_reached,
        ),
        SummaryRow("Told exactly", f"{exact:,}", "bills, market totals and disputes; see below"),
        SummaryRow(
            "Intervals on the market", f"{account.market_intervals:,}", _market_note(account)
        ),
    ]


def _of_a_report(account: Account) -> str:
    if account.epsilon_per_slot is None:
        return "no noise" if account.noiseless_slots else "no roster yet"
    return epsilon_text(account.epsilon_per_slot)


def _cap_note(account: Account, days: str) -> str:
    if account.cap is None:
        return "none was set at provisioning"
    if account.cap_reached:
        return f"in {days}: reached. Reports go on, and carry a flag that says so"
    return f"in {days}: not reached"


def _market_note(account: Account) -> str:
    if not account.market_intervals:
        return ""
    each = account.market_epsilon_per_interval
    if each is None:
        return "their totals are exact, and bounded by no epsilon"
    return f"each spends epsilon {epsilon_text(each)} on the curves; not in the sums above"


def _headline(account: Account) -> str:
    if account.cap_reached:
        return "This home’s privacy cap is reached"
    spent = epsilon_text(account.epsilon_window)
    return f"This home has spent epsilon {spent} in {account.window_days} days"


def _entry(entry: Disclosure) -> tuple[str, str, str, str]:
    slots = f"{entry.first_slot:,}"
    if entry.last_slot != entry.first_slot:
        slots += f" to {entry.last_slot:,}"
    return date_of(entry.at_s // 86400), KINDS[entry.kind], slots, entry.what


def _hours(exposure: HomeExposure) -> list[tuple[str, str, str]]:
    return [
        (f"{datetime.fromtimestamp(int(at_s), UTC):%Y-%m-%d %H:%M}", f"{spent:.4g}", f"{part:.3g}")
        for at_s, spent, part in zip(
            exposure.hours_s, exposure.spent, exposure.shown, strict=True
        )
    ]  # fmt: skip


def _period(row: Exposure) -> tuple[str, str, str]:
    return f"{row.hours:g}", f"{row.mean:.3g} ({row.sd:.2g})", f"{row.spent:,.4g}"


def _by_appliance(rows: Sequence[Exposure]) -> list[tuple[str, str, list[str]]]:
    """(appliance, days on which it ran, the cells of its periods)."""
    names = list(dict.fromkeys(row.what for row in rows))
    return [
        (
            name,
            f"{next(row.homes for row in rows if row.what == name):,}",
            [f"{row.mean:.3g}" for row in rows if row.what == name],
        )
        for name in names
    ]
