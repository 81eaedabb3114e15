"""One meter: wires configuration, generator, keys, journal, driver and controller together.

`receive` takes one frame and gives the frames to send, so the same meter runs behind any link:

    meter = boot()
    for frame in meter.receive(kind, sequence, payload):
        link.write(frame)
"""

import gc
import json

from hushfw import generator, journal, port, store
from hushfw.borrowed import Borrowed
from hushfw.core import frame, messages, pace
from hushfw.core.errors import HushError
from hushfw.core.roster import MAX_START_S
from hushfw.endpoint import Broken, Endpoint, hello
from hushfw.enrolment import Enrolment
from hushfw.keyring import Identity
from hushfw.slots import Slots

_BATTERY = ("core.battery.settings", "core.battery")
_CONFIG = ("core.rules",) + _BATTERY + ("core.config",)
_ROUNDS = {"report": messages.REPORT_ROUND, "answer": messages.ANSWER_ROUND}


def boot(path="config.json", board_life=None):
    """The meter of this storage, or a meter that says what is wrong with it."""
    try:
        settings, promises, measures = _load_config(path)
        return _kind(measures)(settings, promises, board_life)
    except HushError as error:
        reason = error
    except OSError as error:
        reason = HushError("storage", "the filesystem refused: %s" % error)
    except MemoryError:
        reason = HushError("busy", "out of memory at boot: too many slots are kept")
    return Broken(reason, board_life)


def _load_config(path):
    """(settings, promises, whether it measures) of a configuration that was found right."""
    data = store.read(path)
    if data is None:
        raise HushError("not_provisioned", "there is no %s: provision this meter" % path)
    with Borrowed(*_CONFIG) as config:
        try:
            settings = config.complete(config.check(json.loads(data)))
        except ValueError:
            raise HushError("bad_config", "%s is not JSON" % path) from None
        return settings, config.promises(settings), config.live(settings)


def _kind(measures):
    """A meter that replays does not have in memory what one that measures is made of."""
    if not measures:
        return Meter
    from hushfw.live_meter import LiveMeter

    return LiveMeter


class Meter(Endpoint):
    """A provisioned meter that replays a load; `live_meter` has the one that measures."""

    slots_kind = Slots
    battery_log_bytes = 0

    def __init__(self, settings, promises, board_life=None):
        super().__init__(board_life)
        self._config = settings
        self._own_modes = promises["own_modes"]
        with Borrowed("fitting", alone=True) as fitting:
            self._fit(fitting, settings, promises)
        if self._enrolment.roster is not None:
            self._start_slots()

    def _fit(self, fitting, settings, promises):
        fitting.learn(settings, self.slots_kind is not Slots)
        self._journal = journal.Journal()
        fitting.refuse_a_lost_journal(settings, self._journal)
        fitting.refuse_a_lost_key(self._journal)
        fitting.keep_promises(promises, self._journal)
        self._random, self.boots = generator.start(settings["fixed_seed"])
        self._identity = Identity(self._random)
        self._home_log = store.HomeLog(settings["home_log_kib"])
        self._actuator = fitting.actuator(settings, self.battery_log_bytes)
        self._driver = None
        self._enrolment = Enrolment(settings, self._identity, self._journal, self._make_driver)
        self._slots = None
        self._busy = False
        self._chance = self._random
        self._prepare()
        self.pool = fitting.pool(settings, self._random)
        self.ring_pool = fitting.ring_pool(settings, self._random)
        parts = settings, self._enrolment, self._journal, self._random
        self._trading = fitting.trading(parts, self.ring_pool, self._found_genuine)
        self.bills = fitting.bills(settings, self.pool, self._journal, self._random)
        self.network = fitting.network(settings, self._random, self)

    def _prepare(self):
        """What a kind of meter needs before its slots begin. This one takes no samples."""
        pace.install(None)

    def _make_driver(self, roster):
        from hushfw.drivers import replay

        driver = self._config["driver"]
        settings = {
            "slot_s": roster.slot_s,
            "origin_s": roster.start_s,
            "export": driver["export"],
        }
        if driver["source"] == "file":
            settings["rows_file"] = "rows.bin"
        return replay.make(settings)

    def check_origin(self, name):
        from hushfw.core import mqtt

        mqtt.check_request(name)

    def greeting(self):
        """A hello that nobody asked for."""
        name, fields = self._on_hello_request(None, None)
        number, payload = messages.encode(name, fields)
        return frame.encode(number, 0, payload)

    def may_leave(self, data):
        """Whether a frame that waited may be sent yet: a report or an answer has its time."""
        number, _, payload = frame.decode_body(data[1:-1])
        name, fields = messages.decode(number, payload)
        if name not in _ROUNDS:
            return True
        try:
            self._enrolled().resend(fields["epoch"], fields["slot"], _ROUNDS[name])
        except HushError:
            return False
        return True

    def _start_slots(self):
        # What stays is made on a heap without garbage: so it lies low and leaves one large block.
        gc.collect()
        # Should this fail, the slots before must not go on with keys and noise of the new roster.
        before, self._slots = self._slots, None
        self._enrolment.why_not = "its slots did not start under the new roster: restart it"
        self._driver = self._make_driver(self._enrolment.roster)
        slots = self.slots_kind(
            self._config,
            self._enrolment,
            self._journal,
            self._random,
            self._driver,
            self._make_controller,
            self._actuator,
            self._home_log,
        )
        slots.bills = self.bills
        slots.found_genuine = self._found_genuine
        if before is not None:
            before.hand_over(slots)
        slots.start()
        if before is not None:
            before.pass_on(slots)
        if self.bills is not None:
            self.bills.use(self._enrolment.roster)
        self._slots = slots

    def _found_genuine(self):
        """The request at work has the supplier's tag; one that measures makes use of it."""

    def _make_controller(self, step_s):
        wanted = self._config["controller"]
        export = int(self._config["driver"]["export"])
        with Borrowed(*_BATTERY, alone=True) as battery:
            settings = battery.from_config(wanted, step_s, export, store.read)
            return battery.make(wanted["name"], settings, self._chance)

    def wait_ms(self):
        return 0 if self._busy else super().wait_ms()

    def work(self):
        self._busy = self._slots is not None and self._slots.idle()
        self._fill_pool()
        return ()

    def _fill_pool(self):
        """Idle time that the slots leave."""
        if self.pool is not None and not self._busy:
            self._busy = (self.bills is not None and self.bills.step()) or self.pool.step()
        # The check of its key and an enrolment are not in memory together.
        if self.ring_pool is not None and self._slots is not None and not self._busy:
            self._busy = self.ring_pool.step()

    def handle(self, name, fields, out):
        """The reply to one message; reports that fall due are appended to out."""
        self._journal.settle()
        handler = getattr(self, "_on_" + name, None)
        if handler is None and self._trading is not None and self._trading.knows(name):
            clock_s = self._slots.clock_s if self._slots is not None else 0
            return self._trading.handle(name, fields, clock_s)
        if handler is None:
            raise HushError("unknown_message", "%s is not for a meter" % name)
        return handler(fields, out)

    def _enrolled(self):
        if self._slots is None:
            raise HushError("not_enrolled", self._enrolment.why_not)
        return self._slots

    def _on_hello_request(self, fields, out):
        enrolled = self._enrolment.roster
        modes = self._own_modes
        if enrolled is not None:
            modes |= enrolled.modes()
        return "hello", hello(
            self._config["board"],
            modes,
            self._config["meter_id"],
            self._identity.public_key,
            self._journal.epoch,
            max(self._journal.last_masked, self._journal.closed_through) + 1,
            self.boots,
            "",
        )

    def _on_roster_begin(self, fields, out):
        self._enrolment.begin(fields["size"], fields["digest"])
        return "ok", {}

    def _on_roster_chunk(self, fields, out):
        self._enrolment.chunk(fields["offset"], fields["data"])
        return "ok", {}

    def _on_roster_commit(self, fields, out):
        done, total = self._enrolment.commit(self._slots)
        if done == total:
            self._start_slots()
        gc.collect()
        return "progress", {"done": done, "total": total}

    def _on_roster_pass(self, fields, out):
        epoch, digest = self._enrolment.passed(fields["digest"])
        gc.collect()
        return "passed", {"epoch": epoch, "digest": digest}

    def _on_renew_key(self, fields, out):
        return "key", self._enrolment.renewal(self._random)

    def _on_feed(self, fields, out):
        self._enrolled()
        if self._config["driver"]["source"] != "link":
            raise HushError("bad_feed", "this meter reads its rows from a file")
        self._driver.feed(fields["start_s"], fields["row_s"], fields["rows"])
        return "ok", {}

    def _on_advance(self, fields, out):
        slots = self._enrolled()
        if fields["now_s"] >= MAX_START_S:
            raise HushError("bad_feed", "now_s must be unix seconds")
        slots.run(fields["now_s"], lambda report: out.append(("report", report)))
        gc.collect()
        return "ok", {}

    def _on_clock(self, fields, out):
        self._enrolled()
        raise HushError("bad_clock", "a meter that replays has the time of what it is fed")

    def _on_announce(self, fields, out):
        try:
            answer = self._enrolled().announce(
                fields["epoch"], fields["slot"], fields["silent"], fields["tag"]
            )
        except (HushError, OSError, MemoryError) as error:
            # Round two refuses in one way only; the reason is for the local log.
            raise HushError("refused", "slot %d: %s" % (fields["slot"], error)) from None
        gc.collect()
        return "answer", answer

    def _on_stored(self, fields, out):
        self._enrolled().stored(fields["epoch"], fields["slot"], fields["round"], fields["tag"])
        return "ok", {}

    def _on_network_request(self, fields, out):
        if self.network is None:
            raise HushError("unknown_message", "this meter has no broker: provision it with one")
        return "network", self.network.figures()

    def _on_maintenance(self, fields, out):
        answer = super()._on_maintenance(fields, out)
        # An output that goes on by itself must not hold a set-point with no program behind it.
        self._actuator.close()
        return answer

    def _on_resend(self, fields, out):
        return self._enrolled().resend(fields["epoch"], fields["slot"], fields["round"])

    def _on_status_request(self, fields, out):
        # What is free before a collection means nothing, and may tell how much was drawn.
        gc.collect()
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

    def _on_ledger_request(self, fields, out):
        today = self._slots.clock_s // 86400 if self._slots else 0
        if self._slots is not None:
            # What a firmware without a ledger has reported counts from here on, if not before.
            self._journal.open_account(self._enrolment.roster)
        said = self._journal.ledger.fields(self._config["privacy_cap"], today)
        if self._journal.market:
            with Borrowed("core.market", "market") as market:
                said["market_intervals"] = market.masked_intervals(self._journal)
        terms = self._config["market"]
        if terms is not None and terms["epsilon"] is not None:
            said["market_num"], said["market_den"] = terms["epsilon"]
        return "ledger", said

    def _billing(self):
        if self.bills is None:
            raise HushError("not_provisioned", "this meter commits to nothing for bills")
        return self.bills

    def _on_bill_request(self, fields, out):
        return "bill_state", self._billing().state(fields["close"])

    def _on_root_request(self, fields, out):
        return "root", self._billing().root(fields["slot"])

    def _on_leaf_request(self, fields, out):
        return "leaf", self._billing().leaf(fields["slot"], fields["register"])

    def _on_kept(self, fields, out):
        bills, slot, party = self._billing(), fields["slot"], fields["party"]
        if party != messages.PARTY_HOME:
            # The home has no key with its meter: who kept its own leaves from it gains nothing.
            self._enrolled().check_kept(fields["epoch"], slot, fields["tag"])
        bills.kept(slot, party)
        return "ok", {}

    def wear(self):
        return {
            "journal_bytes": self._journal.size_bytes(),
            "journal_rewrites": self._journal.rewrites,
            "journal_appends": self._journal.appends,
        }
