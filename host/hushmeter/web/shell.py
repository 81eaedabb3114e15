"""A page's document: its template with style and program inside, and what a browser may run of it.

The document's policy allows the one style and the one program that it has, by their digests, and
requests to its own address; nothing else is loaded, from anywhere.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("hushmeter.web", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _source(*names: str) -> str:
    loader = _environment().loader
    if loader is None:
        raise RuntimeError("the pages have no loader")
    return "\n".join(loader.get_source(_environment(), name)[0] for name in names)


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


@cache
def document(name: str) -> tuple[str, str]:
    """(the document, its content security policy) of ``home`` or ``operator``."""
    style = _source("page.css")
    program = _source("common.js", "chart.js", f"{name}.js")
    html = (
        _environment()
        .get_template(f"{name}.html.j2")
        .render(style=Markup(style), program=Markup(program))
    )
    policy = (
        f"default-src 'none'; style-src 'sha256-{_digest(style)}'; "
        f"script-src 'sha256-{_digest(program)}'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return html, policy


def page(name: str) -> HTMLResponse:
    """The document as an answer."""
    html, policy = document(name)
    return HTMLResponse(html, headers={"content-security-policy": policy})
