"""The script book of attacks: who cheats a street, what it gains, and what stops it.

Every attack plays against the firmware's own code: whole meters in this process, each with its
storage in a folder, asked through frames as over any link. It plays twice by the same script. The
first time the defence is taken away, by putting another function or class in its place from here
(:mod:`hushmeter.attack.book`); the firmware itself has no such switch. Then it plays against the
meters as they are shipped.

One module a family: `rounds` (a cheating aggregator in a slot), `graphs` (who masks with whom),
`rosters` (who is in the street), `wire` (messages that come again), `storage` (power cuts),
`totals` (what totals give away, and hostile meters), `bills` (prices that read slots), `market`
(a market that asks homes differently).
"""
