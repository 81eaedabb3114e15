"""A meter on a port that may be restarting: greets it until it answers, and asks how it is."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hushmeter.devices import ports
from hushmeter.devices.address import Address
from hushmeter.errors import HushmeterError
from hushmeter.link import Link, Refused

PATIENCE_S = 60.0
_GREETING_S = 2.0
# Shares of the patience. Each look costs a slow meter time that it needs for itself.
_LOOK_SHARE = 1 / 20
_PAUSE_SHARE = 1 / 120
_MOST_PAUSE_S = 5.0
# Three tries of either place, and safe mode, each with a reason of its own.
_MOST_STEPS = 20
# What changes in a meter's words while it comes up: another start, try or place, another reason.
_HELLO_STEPS = ("boots", "problem")
_LIFE_STEPS = ("tries", "place", "safe")


class NoMeter(HushmeterError):
    """No meter answered for as long as it was waited for."""


@dataclass(frozen=True)
class Health:
    """What a meter says of itself.

    Attributes
    ----------
    hello:
        Fields of the hello.
    life:
        Fields of the life message; empty where the firmware is older than that message.
    """

    hello: dict[str, Any]
    life: dict[str, Any]

    @property
    def problem(self) -> str:
        """Why the meter does not work; "" where it does."""
        return str(self.hello["problem"])

    @property
    def place(self) -> str:
        """The place that its firmware was started from, or "" where that is not known."""
        return str(self.life.get("place", ""))


def ask_health(link: Link) -> Health:
    """Hello and life of a meter behind a link."""
    hello = link.request("hello_request").fields
    return Health(hello, ask_if_known(link, "life_request"))


def ask_if_known(link: Link, request: str) -> dict[str, Any]:
    """Fields of the reply; empty where this firmware has no such message, or no answer to it."""
    try:
        return link.request(request).fields
    except Refused:
        return {}


def open_link(address: Address, timeout_s: float = _GREETING_S, tries: int = 5) -> Link:
    """A link to whatever is at the address now; a measuring meter may be silent for 8 s."""
    return Link(ports.open_port(address.now()), timeout_s=timeout_s, tries=tries)


def await_health(
    address: Address,
    patience_s: float = PATIENCE_S,
    enough: Callable[[Health], bool] = lambda health: True,
) -> Health:
    """Ask a meter how it is until that is ``enough``.

    It is waited for as long as it comes on: the patience begins anew with the first answer, and
    with every answer that shows a step (a start, a try, the other place). The loader counts tries,
    so a board that goes on stepping is broken, and no longer waited for.

    Parameters
    ----------
    patience_s:
        How long nothing new may come; see :attr:`~hushmeter.devices.console.Console.slowness`.
    enough:
        Called with each answer; it may raise to end the waiting.

    Returns
    -------
    Health
        The first that was enough, or else the last when patience was at its end.

    Raises
    ------
    NoMeter
        There was no answer at all.
    """
    deadline = time.monotonic() + patience_s
    asker = _Asker(address, patience_s * _LOOK_SHARE)
    last: Health | None = None
    steps = 0
    try:
        while True:
            health = asker.ask()
            if health is not None and enough(health):
                return health
            if health is not None and (last is None or _step(health) != _step(last)):
                steps += 1
                deadline = time.monotonic() + patience_s if steps <= _MOST_STEPS else deadline
            last = health or last
            if time.monotonic() > deadline:
                break
            time.sleep(min(patience_s * _PAUSE_SHARE, _MOST_PAUSE_S))
    finally:
        asker.close()
    if last is None:
        raise NoMeter(
            f"no meter answered at {address.device} within {patience_s:g} s: {asker.reason}",
            hint=f"hushmeter doctor --port {address.device}",
        )
    return last


def _step(health: Health) -> tuple[Any, ...]:
    """How far a meter has come; the same as long as nothing changes but time."""
    found = [health.hello[name] for name in _HELLO_STEPS]
    return (*found, *(health.life.get(name) for name in _LIFE_STEPS))


class _Asker:
    """Asks over a link that is opened anew when the port went away or nothing came.

    A request is repeated often, for one that fell into a restart is lost; a meter that has it
    already says the same again, which costs it little.
    """

    def __init__(self, address: Address, look_s: float) -> None:
        self.reason = ""
        self._address = address
        self._tries = max(2, round(look_s / _GREETING_S))
        self._link: Link | None = None

    def ask(self) -> Health | None:
        try:
            self._link = self._link or open_link(self._address, _GREETING_S, self._tries)
            return ask_health(self._link)
        except Refused:
            raise
        except HushmeterError as error:
            self.reason = error.message
            self.close()
            return None

    def close(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None
