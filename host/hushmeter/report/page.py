"""What every page has in common: templates that escape, and pictures inside."""

from __future__ import annotations

import base64

from jinja2 import Environment, PackageLoader, StrictUndefined


def environment() -> Environment:
    """Templates of this package; whatever is put into them is escaped."""
    made = Environment(
        loader=PackageLoader("hushmeter.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["data_uri"] = svg_data_uri
    return made


def svg_data_uri(svg: bytes) -> str:
    """A picture as an address that holds it."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")
