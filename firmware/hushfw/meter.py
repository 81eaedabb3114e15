"""One meter: wires configuration, generator, keys, journal, driver and controller together.

`receive` takes one frame and gives the frames to send, so the same meter runs behind any link:

    meter = boot()
    for frame in meter.receive(kind, sequence, payload):
        link.write(frame)

A request gets exactly one reply, with its own sequence number, and possibly reports before it. A
request that comes twice in a row (its reply was lost) gets the same bytes again and acts once.
"""

import gc
import json

import hushfw
from hushfw import journal, port, store
from hushfw.core import battery, config, frame, kdf, messages
from hushfw.core.drbg import Drbg
from hushfw.core.errors import CODES, HushError
from hushfw.core.health import check_entropy
from hushfw.drivers import log, replay
from hushfw.enrolment import Enrolment
from hushfw.keyring import Identity
from hushfw.slots import Slots

_ENTROPY_BYTES = 64
_LOG_LINES = 16
_DETAIL_BYTES = 120
_PROBLEM_BYTES = 200


def boot(path="config.json"):
    """The meter of this storage, or a meter that says what is wrong with it."""
    try:
        return Meter(load_config(path))
    except HushError as error:
        return Broken(error)
    except OSError as error:
        return Broken(HushError("storage", "the filesystem refused: %s" % error))
    except MemoryError:
        return Broken(HushError("busy", "out of memory at boot: too many slots are kept"))


def load_config(path):
    data = store.read(path)
    if data is None:
        raise HushError("not_provisioned", "there is no %s: provision this meter" % path)
    try:
        return config.check(json.loads(data))
    except ValueError:
        raise HushError("bad_config", "%s is not JSON" % path) from None


def _start_generator(fixed_seed):
    """(generator, boots): mixed anew at every boot, the stored seed replaced before any output."""
    seeds = store.SeedFile()
    stored = seeds.take()
    if stored is None:
        raise HushError("not_provisioned", "there is no seed.bin: provision this meter")
    seed, boots = stored[0], stored[1] + 1
    fresh = b""
    if not fixed_seed:
        fresh = port.entropy(_ENTROPY_BYTES)
        check_entropy(fresh + port.entropy(_ENTROPY_BYTES))
    material = kdf.hkdf(seed + fresh, b"hush1 boot", boots.to_bytes(4, "big"), 80)
    seeds.put(material[:32], boots)
    return Drbg(material[32:]), boots


class _Endpoint:
    """Sequence numbers, refusals and the log, common to a meter and a broken one."""

    def __init__(self):
        self._last_request = None
        self._last_frames = []
        self.refusals = 0
        self.leaving = False
        self.log = []

    def receive(self, kind, sequence, payload):
        request = (kind, sequence, bytes(payload))
        if sequence and request == self._last_request:
            return self._last_frames
        out = []
        name, fields = self._reply(kind, payload, out)
        reply = _frame(name, fields, sequence)
        self._last_request, self._last_frames = request, [reply]
        return [_frame(name, fields, 0) for name, fields in out] + [reply]

    def _reply(self, kind, payload, out):
        try:
            name, fields = messages.decode(kind, payload)
            return self.handle(name, fields, out)
        except HushError as error:
            return self._refusal(error)
        except OSError as error:
            return self._refusal(HushError("storage", "the filesystem refused: %s" % error))
        except MemoryError:
            gc.collect()
            return self._refusal(HushError("busy", "out of memory"))
        except Exception as error:
            # A fault of ours in one message must not end the meter; the text may hold anything.
            return self._refusal(HushError("internal", "fault: %s" % type(error).__name__))

    def handle(self, name, fields, out):
        """The reply to one message as (name, fields); what falls due is appended to out."""
        raise NotImplementedError

    def _on_maintenance(self, fields, out):
        self.leaving = True
        return "ok", {}

    def _refusal(self, error):
        self.refusals += 1
        self.log.append(str(error))
        del self.log[:-_LOG_LINES]
        detail = "" if error.code == "refused" else messages.cut(error.message, _DETAIL_BYTES)
        return "refused", {"code": CODES[error.code], "detail": detail}

    def damaged(self):
        """The reply to a frame that could not be read."""
        refusal = self._refusal(HushError("bad_frame", "a frame was damaged"))
        return _frame(refusal[0], refusal[1], 0)


def _frame(name, fields, sequence):
    number, payload = messages.encode(name, fields)
    return frame.encode(number, sequence, payload)


class Broken(_Endpoint):
    """What answers when a meter cannot work: it says why, and lets the host in to mend it."""

    def __init__(self, error):
        super().__init__()
        self._error = error

    def handle(self, name, fields, out):
        if name == "maintenance":
            return self._on_maintenance(fields, out)
        if name != "hello_request":
            raise self._error
        problem = messages.cut(str(self._error), _PROBLEM_BYTES)
        return "hello", _hello("", 0, 0, bytes(32), 0, 1, 0, problem)


def _hello(board, modes, meter_id, public_key, epoch, next_slot, boots, problem):
    return {
        "board": board,
        "firmware": hushfw.__version__,
        "protocol": frame.VERSION,
        "modes": modes,
        "meter_id": meter_id,
        "public_key": public_key,
        "epoch": epoch,
        "next_slot": next_slot,
        "boots": boots,
        "max_payload": frame.MAX_PAYLOAD,
        "problem": problem,
    }


class Meter(_Endpoint):
    """A provisioned meter."""

    def __init__(self, settings):
        super().__init__()
        self._config = settings
        self._journal = journal.Journal()
        self._keep_promises(config.promises(settings))
        self._random, self._boots = _start_generator(settings["fixed_seed"])
        self._identity = Identity(self._random)
        self._home_log = store.HomeLog(settings["home_log_kib"])
        self._actuator = log.Log() if settings["actuator"] == "log" else log.NoActuator()
        self._enrolment = Enrolment(settings, self._identity, self._journal, self._make_driver)
        self._driver = None
        self._slots = None
        self.damaged_frames = 0
        if self._enrolment.roster is not None:
            self._start_slots()

    def _keep_promises(self, promises):
        before = self._journal.floors
        if before is not None:
            config.check_tightens(promises, before)
        if promises != before:
            self._journal.append(journal.FLOORS, json.dumps(promises).encode())

    def _make_driver(self, roster):
        driver = self._config["driver"]
        settings = {
            "slot_s": roster.slot_s,
            "origin_s": roster.start_s,
            "export": driver["export"],
        }
        if driver["source"] == "file":
            settings["rows_file"] = "rows.bin"
        return replay.make(settings)

    def _start_slots(self):
        before = self._slots
        self._driver = self._make_driver(self._enrolment.roster)
        self._slots = Slots(
            self._config["meter_id"],
            self._enrolment,
            self._journal,
            self._random,
            self._driver,
            self._make_controller,
            self._actuator,
            self._home_log,
        )
        if before is not None:
            before.hand_over(self._slots)

    def _make_controller(self, step_s):
        wanted = self._config["controller"]
        settings = {"step_s": step_s, "export": int(self._config["driver"]["export"])}
        if wanted["name"] != "none":
            settings["capacity_ws"] = wanted["capacity_wh"] * 3600
            settings["charge_rate_w"] = settings["discharge_rate_w"] = wanted["rate_w"]
        return battery.make(wanted["name"], settings, self._random)

    def handle(self, name, fields, out):
        """The reply to one message; reports that fall due are appended to out."""
        self._journal.settle()
        handler = getattr(self, "_on_" + name, None)
        if handler is None:
            raise HushError("unknown_message", "%s is not for a meter" % name)
        return handler(fields, out)

    def _enrolled(self):
        if self._slots is None:
            raise HushError("not_enrolled", self._enrolment.why_not)
        return self._slots

    def _on_hello_request(self, fields, out):
        enrolled = self._enrolment.roster
        modes = config.own_modes(self._config)
        if enrolled is not None:
            modes |= enrolled.modes()
        return "hello", _hello(
            self._config["board"],
            modes,
            self._config["meter_id"],
            self._identity.public_key,
            self._journal.epoch,
            max(self._journal.last_masked, self._journal.closed_through) + 1,
            self._boots,
            "",
        )

    def _on_roster_begin(self, fields, out):
        self._enrolment.begin(fields["size"], fields["digest"])
        return "ok", {}

    def _on_roster_chunk(self, fields, out):
        self._enrolment.chunk(fields["offset"], fields["data"])
        return "ok", {}

    def _on_roster_commit(self, fields, out):
        done, total = self._enrolment.commit()
        if done == total:
            self._start_slots()
        gc.collect()
        return "progress", {"done": done, "total": total}

    def _on_feed(self, fields, out):
        self._enrolled()
        if self._config["driver"]["source"] != "link":
            raise HushError("bad_feed", "this meter reads its rows from a file")
        self._driver.feed(fields["start_s"], fields["row_s"], fields["rows"])
        return "ok", {}

    def _on_advance(self, fields, out):
        slots = self._enrolled()
        if fields["now_s"] >= replay.MOST_START_S:
            raise HushError("bad_feed", "now_s must be unix seconds")
        slots.run(fields["now_s"], lambda report: out.append(("report", report)))
        gc.collect()
        return "ok", {}

    def _on_announce(self, fields, out):
        try:
            answer = self._enrolled().announce(
                fields["epoch"], fields["slot"], fields["silent"], fields["tag"]
            )
        except (HushError, OSError) as error:
            # Round two refuses in one way only; the reason is for the local log.
            raise HushError("refused", "slot %d: %s" % (fields["slot"], error)) from None
        gc.collect()
        return "answer", answer

    def _on_stored(self, fields, out):
        self._enrolled().stored(fields["epoch"], fields["slot"], fields["round"], fields["tag"])
        return "ok", {}

    def _on_resend(self, fields, out):
        return self._enrolled().resend(fields["epoch"], fields["slot"], fields["round"])

    def _on_status_request(self, fields, out):
        slots = self._slots
        timed = slots and self._config["fixed_seed"]
        return "status", {
            "free_heap_bytes": port.free_heap(),
            "clock_s": slots.clock_s if slots else 0,
            "reports": slots.reports if slots else 0,
            "answers": slots.answers if slots else 0,
            "refusals": self.refusals,
            "damaged_frames": self.damaged_frames,
            "gap_slots": slots.gap_slots if slots else 0,
            "slot_ms": slots.slot_ms if timed else 0,
            "answer_ms": slots.answer_ms if timed else 0,
            "unacknowledged": slots.unacknowledged() if slots else 0,
        }
