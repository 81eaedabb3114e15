"""`cascade`: two controllers in series, each with its own battery (Liu, Lee, Khisti).

    demand -> first -> its draw is the second's demand -> second -> grid

Settings: `step_s`, `export`, and for each of `first` and `second` an object with `name` and what
that controller needs. Both draw from one source: at the start first before second, then in every
step first before second. charge_ws is what both hold together, so that the books still balance.
State: the first's numbers, then the second's.

A cascade of cascades is refused; both parts take export or neither does.
"""

from hushfw.core.errors import HushError


def _part(given, where, source):
    from hushfw.core import battery

    wanted = given.get(where)
    if not isinstance(wanted, dict) or "name" not in wanted:
        given.refuse("%s is missing; a cascade needs an object with a name there" % where)
    if wanted["name"] == "cascade":
        given.refuse("%s is a cascade; two in series is all there is" % where)
    own = {name: wanted[name] for name in wanted if name != "name"}
    own["step_s"] = given.read("step_s")
    own["export"] = given.read("export")
    return battery.make(wanted["name"], own, source)


class Cascade:
    name = "cascade"

    def __init__(self, given, source):
        self.first = _part(given, "first", source)
        self.second = _part(given, "second", source)

    @property
    def charge_ws(self):
        self.begin()
        return self.first.charge_ws + self.second.charge_ws

    def begin(self):
        self.first.begin()
        self.second.begin()

    def step(self, demand_w):
        self.begin()
        before = self.first.state()
        between_w = self.first.step(demand_w)
        try:
            return self.second.step(between_w)
        except HushError:
            self.first.restore(before)
            raise

    def state(self):
        self.begin()
        return self.first.state() + self.second.state()

    def state_size(self):
        return self.first.state_size() + self.second.state_size()

    def parse(self, state):
        if len(state) != self.state_size():
            raise HushError(
                "storage",
                "controller cascade cannot go on from %r; wanted %d numbers"
                % (state, self.state_size()),
            )
        cut = self.first.state_size()
        return self.first.parse(state[:cut]), self.second.parse(state[cut:])

    def take(self, parsed):
        self.first.take(parsed[0])
        self.second.take(parsed[1])

    def restore(self, state):
        self.take(self.parse(state))


MAKERS = {"cascade": Cascade}
