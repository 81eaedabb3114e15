"""The meter's life on a board with a watchdog: a hang ends in a reset, a boot loop in safe mode."""

import json

import pytest

from hil.backends import Board
from hushmeter.devices import firmware, meter_plan
from hushmeter.link import Link, Refused

WATCHDOG_MS = 1000
HANGS = "def boot(board_life=None):\n    while True:\n        pass\n"
PATIENCE_S = 30.0


def deployed(board: Board, tries: int, changed: dict[str, str]) -> dict[str, bytes]:
    """This firmware in place a, confirmed, with some modules' source replaced."""
    built = firmware.in_place(firmware.build(board.facts), "a")
    for name, text in changed.items():
        built.pop(f"fw/a/hushfw/{name}.mpy")
        built[f"fw/a/hushfw/{name}.py"] = text.encode()
    use = {"use": "a", "confirmed": True, "tries": tries}
    settings = json.dumps({"watchdog_ms": WATCHDOG_MS}).encode()
    return built | {firmware.USE_FILE: json.dumps(use).encode(), meter_plan.CONFIG_FILE: settings}


@pytest.mark.needs("watchdog", "seeded_entropy")
def test_a_hang_ends_in_a_reset_and_a_boot_loop_in_safe_mode(board: Board) -> None:
    """Two tries are behind it, so that the third hang is the last: a busy board is slow here."""
    began_s = board.clock_s()
    # What the hung firmware did not read is lost in the reset, so the question is repeated.
    link = Link(board.boot(deployed(board, 2, {"meter": HANGS})), timeout_s=1.0, tries=30)
    hello = link.request("hello_request").fields
    board.numbers["from_a_hang_to_safe_mode_s"] = round(board.clock_s() - began_s, 2)
    assert "safe_mode: the firmware in place a did not start" in hello["problem"]
    life = link.request("life_request").fields
    assert (life["reset_cause"], life["safe"], life["tries"]) == ("watchdog", 1, 4)
    with pytest.raises(Refused) as refused:
        link.request("status_request")
    assert refused.value.code == "safe_mode"


@pytest.mark.needs("watchdog", "seeded_entropy")
def test_a_watched_meter_gives_the_prompt_by_a_reset(board: Board) -> None:
    """Nothing is provisioned, so that nothing slow is computed; the watchdog is fed anyway."""
    began_s = board.clock_s()
    link = Link(board.boot(deployed(board, 0, {})), timeout_s=PATIENCE_S, tries=1)
    link.request("hello_request")
    board.numbers["boot_to_hello_unprovisioned_s"] = round(board.clock_s() - began_s, 2)
    life = link.request("life_request").fields
    assert (life["reset_cause"], life["place"], life["tries"]) == ("power_on", "a", 1)
    assert life["watchdog_ms"] == WATCHDOG_MS
    for name in ("import_ms", "boot_ms", "largest_free_bytes", "filesystem_free_bytes"):
        assert life[name] > 0
        board.numbers[f"unprovisioned_{name}"] = life[name]
    assert link.transport.read(4 * WATCHDOG_MS / 1000) == b""
    assert link.request("maintenance").name == "ok"
    said = b""
    while b">>> " not in said:
        heard = link.transport.read(5.0)
        assert heard, said
        said += heard
    assert "fw/maintenance" not in board.files()
