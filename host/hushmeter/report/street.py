"""The report of a street's run: one self-contained page, and its pictures for other pages.

    render(report, Path("out/demo/report.html"))

writes `report.html`, which needs no other file and no network, and beside it `home.png`,
`total.png`, `words.png` and `dropouts.png`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hushmeter.outputs import write_whole
from hushmeter.report import page
from hushmeter.report.model import StreetReport
from hushmeter.report.pictures import Picture, draw_all
from hushmeter.report.pictures.common import slot_list

__all__ = ["StreetReport", "SummaryRow", "render", "summary_rows"]

_HEADINGS = {
    "home": "One home",
    "total": "The street",
    "words": "What travels",
    "dropouts": "When meters die",
}
_OUTCOMES = {
    "full": "all answered",
    "recovered": "recovered",
    "void": "void",
    "completed": "completed late",
}
_MOST_EVENTS = 60


@dataclass(frozen=True)
class SummaryRow:
    """A line of the summary, as the page and the terminal show it."""

    label: str
    value: str
    note: str = ""
    bad: bool = False


def render(report: StreetReport, path: Path) -> list[Path]:
    """Write the page to `path` and the pictures as PNG beside it.

    Each file is written under another name first and then renamed, the page last: whoever finds
    the page finds a whole one.

    Returns
    -------
    list[Path]
        The files written, the page last.

    Raises
    ------
    HushmeterError
        If a file cannot be written; an earlier page then stays as it was.
    """
    pictures = draw_all(report)
    text = _page(report, pictures)
    files = {path.with_name(f"{picture.name}.png"): picture.png for picture in pictures}
    files[path] = text.encode()
    for target, content in files.items():
        write_whole(target, content)
    return list(files)


def summary_rows(report: StreetReport) -> list[SummaryRow]:
    """The run in a dozen lines."""
    summary = report.summary
    return [
        SummaryRow("Meters", f"{report.meters:,}"),
        *_board_rows(report),
        SummaryRow("Slots", f"{report.slots:,}", f"of {_duration(report.slot_s)} each"),
        *_roster_rows(report),
        *_outcome_rows(report),
        *_error_rows(report),
        SummaryRow(
            "Readings clipped", f"{summary['clipped_readings']:,}", "above the agreed peak power"
        ),
        SummaryRow(
            "Readings with a gap",
            f"{summary.get('flagged_readings', 0):,}",
            "the load had no reading for part of the slot",
        ),
        *_cap_rows(report),
        SummaryRow(
            "Messages refused", f"{summary['messages_refused']:,}", "late, repeated or not valid"
        ),
        _noise_check_row(report),
        SummaryRow("Transcript", str(summary["transcript_sha256"]), "SHA-256"),
    ]


def _roster_rows(report: StreetReport) -> list[SummaryRow]:
    """The rosters after the first, and what each changed."""
    epochs = report.summary.get("epochs", [])[1:]
    rows = []
    for epoch in epochs:
        what = [
            f"{', '.join(map(str, epoch[key]))} {key}"
            for key in ("joined", "left", "replaced", "renewed")
            if epoch[key]
        ]
        value = f"epoch {epoch['epoch']} from slot {epoch['from_slot']}"
        rows.append(SummaryRow("Roster", value, f"{'; '.join(what)}: {epoch['meters']} meters"))
    return rows


def _cap_rows(report: StreetReport) -> list[SummaryRow]:
    """The totals that hold reports of homes whose privacy cap is reached."""
    flagged = report.summary.get("over_budget", [])
    slots = [slot for slot, meters in enumerate(flagged) if meters]
    if not slots:
        return []
    most = f"{max(flagged)} homes at most in a total; slot {slot_list(slots)}"
    return [SummaryRow("Totals past a privacy cap", f"{len(slots):,}", most)]


def _board_rows(report: StreetReport) -> list[SummaryRow]:
    """The meters that were boards on ports."""
    return [
        SummaryRow(
            "Board",
            f"meter {board['meter_id']}: {board['board']}",
            f"{board['reported_slots']} of {report.slots:,} slots, at {board['port']}"
            + ("" if board["truth_known"] else "; what it metered is not known here"),
        )
        for board in report.summary.get("boards", [])
    ]


def _outcome_rows(report: StreetReport) -> list[SummaryRow]:
    void = report.slots_with_status("void")
    completed = report.slots_with_status("completed")
    rows = [
        SummaryRow("Slots with a total", f"{len(report.known_slots()):,}"),
        SummaryRow(
            "Slots recovered",
            f"{report.summary['recovered_slots']:,}",
            "total found although meters were silent",
        ),
    ]
    if completed:
        rows.append(
            SummaryRow(
                "Slots completed late", f"{len(completed):,}", f"slot {slot_list(completed)}"
            )
        )
    where = f"slot {slot_list(void)}: no total, and none is made up" if void else ""
    rows.append(SummaryRow("Void slots", f"{len(void):,}", where))
    return rows


def _error_rows(report: StreetReport) -> list[SummaryRow]:
    summary, known = report.summary, report.judged_slots()
    if report.noise_is_off:
        scale = SummaryRow("Noise", "off", "totals are exact", bad=True)
    else:
        note = "λ, the scale of the Laplace law"
        scale = SummaryRow("Noise", f"{summary['lambda_wh']:,.10g} Wh", note)
    if not known:
        return [scale]
    return [
        scale,
        SummaryRow(
            "Mean error of a total",
            f"{summary['mean_abs_error_wh']:,.0f} Wh",
            f"expected {summary['expected_abs_error_wh']:,.0f} Wh",
        ),
        SummaryRow(
            "Totals inside the 95 % band",
            f"{report.inside_band():,} of {len(known):,}",
        ),
        SummaryRow(
            "Sum of these totals",
            f"{sum(summary['noisy_total_wh'][slot] for slot in known) / 1000:,.1f} kWh",
            f"truly {sum(summary['true_total_wh'][slot] for slot in known) / 1000:,.1f} kWh",
        ),
    ]


def _noise_check_row(report: StreetReport) -> SummaryRow:
    verdict = report.noise_verdict()
    if verdict is None:
        return SummaryRow("Masked words", "not judged", "too few words")
    checks = len(verdict.p_values)
    if verdict.passed:
        return SummaryRow("Masked words", "look like noise", f"{checks} checks passed")
    return SummaryRow(
        "Masked words", "DO NOT look like noise", ", ".join(verdict.failures), bad=True
    )


def _learned(report: StreetReport) -> list[str]:
    """What an honest but curious utility knows after this run."""
    exact = "exact" if report.noise_is_off else "noisy"
    told = [
        f"The street's {exact} total of {len(report.known_slots()):,} slots.",
        "Which meters take part, which were silent in which slot, and when they returned. A meter "
        "without mains power is silent, so an outage shows.",
        "The public rules: caps, noise scale, slot length, identities and public keys.",
    ]
    epsilon = _epsilon(report)
    if epsilon is not None:
        told.append(
            f"Over time, more than in one slot: each slot spends ε = {epsilon:g}, and the "
            f"{report.slots:,} slots of this run add up to {epsilon * report.slots:,.4g}. "
            "The promise of differential privacy is for a slot; for a whole run it is this much "
            "weaker." + _told_of_delta(report)
        )
    return told


def _told_of_delta(report: StreetReport) -> str:
    """What bounded shares add; nothing where all are exact."""
    delta = report.summary.get("delta_per_slot")
    if not delta:
        return ""
    return (
        f" Bounded shares add δ of at most {delta:.2g} a slot, {delta * report.slots:.2g} over "
        "the run."
    )


def _not_learned(report: StreetReport) -> list[str]:
    told = [
        "Any home's reading, in any slot: it received only masked words.",
        "The total of a few homes: masks cancel over the whole of the reporting street, or not at "
        "all.",
    ]
    if report.has_battery:
        told.append("What the homes used: even the total is of what they drew from the grid.")
    if report.slots_with_status("void"):
        told.append("A total of the void slots, with or without the meters that died.")
    return told


def _epsilon(report: StreetReport) -> float | None:
    """The run's epsilon, if its settings name a finite one."""
    try:
        epsilon = float(report.settings.get("epsilon", ""))
    except ValueError:
        return None
    return epsilon if math.isfinite(epsilon) and epsilon > 0 else None


def _page(report: StreetReport, pictures: list[Picture]) -> str:
    templates = page.environment()
    templates.filters["duration"] = _seconds
    return templates.get_template("street.html.j2").render(
        report=report,
        pictures=pictures,
        headings=_HEADINGS,
        rows=summary_rows(report),
        verdict=report.noise_verdict(),
        learned=_learned(report),
        not_learned=_not_learned(report),
        events=[_event_row(report, *event) for event in report.events[:_MOST_EVENTS]],
        events_left_out=max(0, len(report.events) - _MOST_EVENTS),
        void=slot_list(report.slots_with_status("void")),
        start=_clock(report.first_slot_start),
        end=_clock(report.first_slot_start + report.slots * report.slot_s),
        slot_length=_duration(report.slot_s),
    )


def _event_row(report: StreetReport, slot: int, meter_id: int | None, what: str) -> dict[str, str]:
    day, time = _clock(report.first_slot_start + slot * report.slot_s).split()
    return {
        "slot": str(slot),
        "day": day,
        "time": time,
        "meter": "" if meter_id is None else str(meter_id),
        "what": what,
        "status": report.slot_status[slot],
        "outcome": _OUTCOMES[report.slot_status[slot]],
    }


def _clock(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M")


def _duration(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    if rest:
        return f"{seconds} s"
    return "1 minute" if minutes == 1 else f"{minutes} minutes"


def _seconds(seconds: float) -> str:
    return f"{1000 * seconds:,.1f} ms" if seconds < 1 else f"{seconds:,.1f} s"
