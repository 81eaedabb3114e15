"""A home's leakage against the size of its battery, after Figs. 3 and 4 of the stepping paper."""

from __future__ import annotations

from hushmeter.battery.sizes import WITHOUT, SizeRow
from hushmeter.report.battery_model import BatteryReport
from hushmeter.report.pictures.common import Plan
from hushmeter.report.pictures.sheet import Form, Sheet
from hushmeter.report.pictures.stepping_common import colour, curve, log_axis, panels

_MEASURES = {
    "mi": "changes, bits",
    "mi_binary": "when switched, bits",
    "mi_markov": "Markov rate, bits",
}
_ROOM = 1.4
_LEAST_BITS = 1e-4
"""What is below it, zero among it, is drawn there."""


def plan(report: BatteryReport) -> Plan:
    rows = report.sizes
    names = list(dict.fromkeys(row.controller for row in rows))
    finding = _finding(rows)
    alt = (
        "Three line charts of the mutual information of load changes against the battery's size, "
        f"one line a controller. {finding}."
    )
    caption = (
        "Mutual information of the changes of demand and draw, bits a sample, on a logarithmic "
        "axis: independent, as switched or not, and as Markov sequences; shaded: the 95 % "
        "interval. Rates are the capacity in an hour (1C). Dashed: without a battery."
    )

    def draw(form: Form) -> Sheet:
        sheet, parts = panels(_source(report), form, finding, list(_MEASURES.values()), names)
        largest = max(row.capacity_wh for row in rows) / 1000
        for axes, measure in zip(parts, _MEASURES, strict=True):
            for name in names:
                own = [row for row in rows if row.controller == name]
                y = [_bits(row, measure) for row in own]
                if name == WITHOUT:
                    axes.axhline(y[0], color=colour(sheet, name), linestyle=(0, (4, 2)))
                    continue
                x = [row.capacity_wh / 1000 for row in own]
                bounds = [getattr(row.metrics, f"{measure}_ci_bits") for row in own]
                low, high = zip(*bounds, strict=True)
                axes.fill_between(
                    x,
                    [max(bits, _LEAST_BITS) for bits in low],
                    [max(bits, _LEAST_BITS) for bits in high],
                    color=colour(sheet, name),
                    alpha=0.15,
                    linewidth=0,
                )
                curve(axes, sheet, name, x, y)
            found = [_bits(row, measure) for row in rows]
            log_axis(axes, min(found) / _ROOM, max(found) * _ROOM)
            axes.set_xlim(0, 1.05 * largest)
            axes.set_xlabel("battery (kWh)")
        return sheet

    return Plan("sizes", finding, alt, caption, draw)


def _finding(rows: list[SizeRow]) -> str:
    behind = [row for row in rows if row.controller != WITHOUT]
    best = min(behind, key=lambda row: row.metrics.mi_bits)
    return (
        f"{best.controller} at {best.capacity_wh / 1000:g} kWh tells least of the load's changes, "
        f"{best.metrics.mi_bits:.2g} bits a sample; without a battery "
        f"{rows[0].metrics.mi_bits:.2g}"
    )


def _source(report: BatteryReport) -> str:
    return f"{report.record.source}, home {report.record.home}"


def _bits(row: SizeRow, measure: str) -> float:
    return max(float(getattr(row.metrics, f"{measure}_bits")), _LEAST_BITS)
