"""What answers frames, whether it is a whole meter or only says why there is none.

`receive` takes one frame and gives the frames to send. A request gets exactly one reply, with its
own sequence number, and possibly reports before it; one that comes twice in a row (its reply was
lost) gets the same bytes again and acts once. Safe mode runs on this module, so it imports little.
"""

import gc

import hushfw
from hushfw import life
from hushfw.core import frame, messages
from hushfw.core.errors import CODES, HushError

_LOG_LINES = 16
_DETAIL_BYTES = 120
_PROBLEM_BYTES = 200
_WAIT_MS = 1000


class Endpoint:
    """Sequence numbers, refusals, the log and the board's life: common to all that answer.

    works says whether this firmware could do its task; served, whether it has done one that takes
    the whole meter, to its end.
    """

    works = True
    boots = 0
    # The network beside the console, and the link whose request is at work: 0 is the console.
    network = None
    origin = 0

    def __init__(self, board_life=None):
        self.life = board_life or life.Life()
        self._last = {}
        self.refusals = 0
        self.damaged_frames = 0
        self.served = False
        self.leaving = False
        self.log = []

    def receive(self, kind, sequence, payload):
        if self.repeats(kind, sequence, payload):
            return [self._last[self.origin][1]]
        out = []
        reply = self._reply(kind, sequence, payload, out)
        self._last[self.origin] = ((kind, sequence, bytes(payload)), reply)
        return [_frame(name, fields, 0) for name, fields in out] + [reply]

    def receive_from(self, origin, kind, sequence, payload):
        """A frame that came over another link than the console."""
        self.origin = origin
        try:
            return self.receive(kind, sequence, payload)
        finally:
            self.origin = 0

    def repeats(self, kind, sequence, payload):
        """Whether this request is the one before it on its link once more."""
        last = self._last.get(self.origin)
        return bool(sequence and last and (kind, sequence, bytes(payload)) == last[0])

    def _reply(self, kind, sequence, payload, out):
        """The frame that answers a request."""
        try:
            name, fields = messages.decode(kind, payload)
            if self.origin:
                self.check_origin(name)
            answer, figures = self.handle(name, fields, out)
            reply = _frame(answer, figures, sequence)
            self.served = self.served or _proves(name, figures, out)
            return reply
        except Exception as error:
            # A fault of ours in one message must not end the meter.
            answer, figures = self._refusal(_as_refusal(error))
            return _frame(answer, figures, sequence)

    def handle(self, name, fields, out):
        """The reply to one message as (name, fields); what falls due is appended to out."""
        raise NotImplementedError

    def _on_maintenance(self, fields, out):
        self.life.prepare_maintenance()
        self.leaving = True
        return "ok", {}

    def _on_life_request(self, fields, out):
        figures = self.life.figures()
        figures["boots"] = self.boots
        figures.update(self.sampling())
        figures.update(self.wear())
        return "life", figures

    def check_origin(self, name):
        """Refuses a request that the link it came over may not make."""

    def quiet_ms(self):
        """How long nothing may leave, see `quiet`."""
        return 0

    def spare_ms(self):
        """How long until a sample is due, None where none is taken."""
        return None

    def released(self, origin):
        """Replies for another link than the console that were held back and may leave now."""
        return ()

    def wait_ms(self):
        """How long the link may be waited for before something here falls due."""
        return _WAIT_MS

    def tick(self):
        """Frames that leave without a request; the serve loop asks for them in each turn."""
        try:
            return [_frame(name, fields, 0) for name, fields in self.work()]
        except Exception as error:
            # As in a power cut: what was at work is lost, and the meter goes on.
            self._refusal(_as_refusal(error))
        return []

    def work(self):
        """What fell due by the meter's own clock, one piece at a time; (name, fields) to send."""
        return ()

    def sampling(self):
        """What the sampler and the clock say, for the life message."""
        return {
            "samples": 0,
            "missed_samples": 0,
            "failed_samples": 0,
            "worst_late_ms": 0,
            "clock_offset_ms": 0,
            "drift_ppb": 0,
        }

    def wear(self):
        """What the journal cost the flash since boot, for the life message."""
        return {"journal_bytes": 0, "journal_rewrites": 0, "journal_appends": 0}

    def _refusal(self, error):
        self.refusals += 1
        self.log.append(str(error))
        del self.log[:-_LOG_LINES]
        detail = "" if error.code == "refused" else messages.cut(error.message, _DETAIL_BYTES)
        return "refused", {"code": CODES[error.code], "detail": detail}

    def damaged(self):
        """The frames that reply to one that could not be read."""
        return [self.complaint(HushError("bad_frame", "a frame was damaged"))]

    def complaint(self, error):
        """A refusal that answers no request."""
        name, fields = self._refusal(error)
        return _frame(name, fields, 0)


def _proves(name, figures, out):
    """Whether a reply shows that the whole meter works: a roster in use, a slot masked or answered.

    The beginning of something shows nothing, nor does a part of it.
    """
    if name == "roster_commit":
        return figures["done"] == figures["total"]
    return name == "announce" or len(out) > 0


def _as_refusal(error):
    """What an exception is called in a refusal; the text of a fault may hold anything."""
    if isinstance(error, HushError):
        return error
    if isinstance(error, OSError):
        return HushError("storage", "the filesystem refused: %s" % error)
    if isinstance(error, MemoryError):
        gc.collect()
        return HushError("busy", "out of memory")
    return HushError("internal", "fault: %s" % type(error).__name__)


def _frame(name, fields, sequence):
    number, payload = messages.encode(name, fields)
    return frame.encode(number, sequence, payload)


class Broken(Endpoint):
    """What answers when a meter cannot work: it says why, and lets the host in to mend it."""

    def __init__(self, error, board_life=None):
        super().__init__(board_life)
        self._error = error
        # An empty board is not the firmware's fault.
        self.works = error.code == "not_provisioned"

    def handle(self, name, fields, out):
        if name == "maintenance":
            return self._on_maintenance(fields, out)
        if name == "life_request":
            return self._on_life_request(fields, out)
        if name != "hello_request":
            raise self._error
        problem = messages.cut(str(self._error), _PROBLEM_BYTES)
        return "hello", hello("", 0, 0, bytes(32), 0, 1, 0, problem)


def hello(board, modes, meter_id, public_key, epoch, next_slot, boots, problem):
    """The fields of a hello."""
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
