"""What was noticed about a board, and what a meter's own words (hello, status, life) show."""

from dataclasses import dataclass, field
from typing import Any

from hushfw.core.roster import mode_names
from hushmeter.devices.boards import Board
from hushmeter.devices.console import Identity
from hushmeter.devices.sensor_advice import actuator_advice_of, advice_of, is_idle
from hushmeter.printable import plain

_LEAST_FREE_BYTES = 65536
# The loader gives up after three; a restart or two by hand are no loop.
_FEW_TRIES = 2
# Whoever opens a port may disturb the line, and each greeting of ours is one damaged frame.
_FEW_DAMAGED = 10

# What to do about a refusal that a meter gives for not working, by its code.
ADVICE = {
    "not_provisioned": "hushmeter provision --port {port} ...",
    "bad_config": "provision the meter anew, with the field mended: hushmeter provision --help",
    "safe_mode": "deploy the firmware again: hushmeter deploy --port {port}",
    "storage": "the meter masks nothing while its storage is damaged. Give up its key and enrol it "
    "anew: hushmeter provision --port {port} --replace-identity ...",
    "entropy": "reset the board; if it stays so, its random source is broken: take another board",
    "wrong_board": "files of another board were put on this one: if it has a key, that is on both "
    "now, so give it up: hushmeter provision --port {port} --replace-identity ...",
    "busy": "too much is kept for this board's memory: shorten the roster's expiry, or enrol it "
    "in a smaller street",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was noticed.

    Attributes
    ----------
    code:
        Stable, for programs.
    problem:
        Whether the meter cannot do its work, or not safely; else it is worth knowing.
    """

    code: str
    problem: bool
    text: str
    advice: str = ""

    def to_dict(self) -> dict[str, Any]:
        """An object fit for JSON, with keys that stay."""
        return {
            "code": self.code,
            "problem": self.problem,
            "text": self.text,
            "advice": self.advice,
        }


@dataclass
class Examination:
    """Everything that was learnt of a board.

    Attributes
    ----------
    reached:
        ``meter``, ``prompt`` or ``nothing``.
    """

    port: str
    reached: str = "nothing"
    hello: dict[str, Any] = field(default_factory=dict)
    life: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    sensors: dict[str, Any] = field(default_factory=dict)
    interpreter: Identity | None = None
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing was found that keeps the meter from its work."""
        return not any(finding.problem for finding in self.findings)

    def add(self, code: str, text: str, advice: str = "", *, problem: bool = True) -> None:
        """Note a finding; ``{port}`` in the advice becomes the port."""
        self.findings.append(Finding(code, problem, text, advice.replace("{port}", self.port)))

    def to_dict(self) -> dict[str, Any]:
        """An object fit for JSON, with keys that stay."""
        identity = self.interpreter
        return {
            "ok": self.ok,
            "name": self.port,
            "reached": self.reached,
            "hello": plain(self.hello),
            "life": plain(self.life),
            "status": plain(self.status),
            "sensors": plain(self.sensors),
            "interpreter": None if identity is None else vars(identity),
            "findings": [finding.to_dict() for finding in self.findings],
        }


def about_meter(seen: Examination, board: Board | None) -> None:
    """What a meter's own words show."""
    hello, life = seen.hello, seen.life
    problem = hello["problem"]
    if problem:
        code = problem.partition(":")[0]
        advice = ADVICE.get(code, "hushmeter deploy --port {port} --force")
        seen.add(code, f"the meter does not work: {problem}", advice)
    known = {finding.code for finding in seen.findings}
    if board is not None and hello["board"] not in ("", board.name) and "wrong_board" not in known:
        seen.add(
            "wrong_board",
            f"the meter is configured for board {hello['board']}, not for {board.name}",
            ADVICE["wrong_board"],
        )
    if hello["modes"]:
        seen.add(
            "insecure_modes",
            f"insecure modes are in force: {', '.join(mode_names(hello['modes']))}",
            "fine in a laboratory; for a real street provision a new identity without them",
        )
    if not problem and not hello["epoch"]:
        seen.add("not_enrolled", "the meter has no roster yet", problem=False)
    if life:
        _about_life(seen, life)
    if seen.status:
        _about_status(seen)
    if seen.sensors and not is_idle(seen.sensors):
        _about_sensor(seen)
        _about_battery(seen)


def _about_life(seen: Examination, life: dict[str, Any]) -> None:
    cause = life["reset_cause"]
    if cause == "watchdog":
        seen.add(
            "watchdog_reset",
            "the last start was a reset by the watchdog: the firmware had hung",
            "note what it did then, and report it; hushmeter monitor shows whether it comes again",
        )
    elif cause.startswith("fault"):
        seen.add(
            "fault_reset",
            f"the firmware met a {cause.partition(' ')[2] or 'fault'} and reset the board",
            "note what it did then, and report it; the meter went on from its journal",
        )
    elif cause == "trial":
        _about_trial(seen, life)
    elif cause == "retry" and not life["safe"]:
        seen.add(
            "left_safe_mode",
            "the board was in safe mode and tried its firmware once more, which now runs",
            problem=False,
        )
    elif cause == "brown_out":
        seen.add("brown_out", "the last start followed a dip of the supply", "check the supply")
    if life["tries"] > _FEW_TRIES and not life["safe"]:
        seen.add(
            "boot_loop",
            f"this firmware was started {life['tries']} times without proving itself",
            "wait: after three tries it gives way, or goes to safe mode; else deploy it again",
        )
    if not life["confirmed"] and not life["safe"]:
        seen.add("on_trial", "this firmware has not proved itself yet", problem=False)
    about_room(seen, life["filesystem_free_bytes"])
    _about_samples(seen, life)


def _about_samples(seen: Examination, life: dict[str, Any]) -> None:
    """A sensor that gives nothing is a broken one; a few seconds lost are worth knowing."""
    taken, missed, failed = (life[f"{what}samples"] for what in ("", "missed_", "failed_"))
    seconds = taken + missed + failed
    if missed:
        text = f"the samples of {missed} of {seconds} seconds were missed since boot"
        seen.add("missed_samples", text, problem=False)
    if failed:
        text = f"the sensor or the battery failed in {failed} of {seconds} seconds since boot"
        advice = "check the sensor's wires, and the pin that the configuration names"
        seen.add("failed_samples", text, advice, problem=not taken)


def _about_sensor(seen: Examination) -> None:
    sensors = seen.sensors
    name, fault = sensors["driver"], sensors["fault"]
    if sensors["problem"]:
        seen.add(
            "calibration_unusable",
            f"the sensor gives no readings: {sensors['problem']}",
            "calibrate it again: hushmeter calibrate --port {port}, or go back to the data sheet's "
            "values with --nominal",
        )
    if fault:
        seen.add("sensor_fault", f"the sensor {name} has a fault: {fault}", advice_of(fault))
    for past, count in sorted(sensors["faults"].items()):
        if past != fault:
            text = f"the sensor {name} was {past} {count} times since boot"
            seen.add("sensor_faults", text, advice_of(past), problem=False)
    if sensors["session_s"]:
        text = f"it is being calibrated for {sensors['session_s']} s more; its slots have gaps"
        seen.add("calibrating", text, problem=False)


def _about_battery(seen: Examination) -> None:
    """A battery that does not follow hides nothing: the meter goes on, and its home should know."""
    sensors = seen.sensors
    name, fault = sensors["actuator"], sensors["actuator_fault"]
    if sensors["acknowledged"]:
        return
    seen.add(
        "battery_idle",
        f"the battery is idle, so nothing hides the load: {name} does not follow"
        + (f" ({fault})" if fault else ""),
        actuator_advice_of(fault),
    )


def _about_trial(seen: Examination, life: dict[str, Any]) -> None:
    """A firmware on trial that does not work resets the board, until the loader goes back."""
    if not life["confirmed"]:
        seen.add(
            "trial_failed",
            "a new firmware is on trial and does not work; it has restarted the board",
            "wait: after three tries it gives way to the one before; the reason is what the meter "
            "says of itself",
        )
    else:
        seen.add(
            "trial_failed",
            f"a new firmware did not work, and the board went back to place {life['place']}",
            "deploy a mended one: hushmeter deploy --port {port}",
            problem=False,
        )


def _about_status(seen: Examination) -> None:
    status = seen.status
    if seen.hello["epoch"] and not status["clock_s"]:
        seen.add(
            "clock_not_set",
            "the meter does not know the time",
            "its aggregator tells it: start that, and look again",
        )
    if status["damaged_frames"] > _FEW_DAMAGED:
        text = f"{status['damaged_frames']} damaged frames came since boot"
        seen.add("damaged_frames", text, "check the cable", problem=False)


def about_room(seen: Examination, free_bytes: int) -> None:
    """Whether the journal and the rosters still find room."""
    if free_bytes >= _LEAST_FREE_BYTES:
        return
    seen.add(
        "filesystem_full",
        f"only {free_bytes} bytes are free on the filesystem",
        "remove files that are not the meter's own (mpremote fs ls, mpremote fs rm)",
    )
