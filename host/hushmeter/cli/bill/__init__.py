"""``hushmeter bill``: commitments, totals and their checks, on files."""

import click

from hushmeter.cli import Entry, LazyGroup

COMMANDS = {
    "certify": Entry("bill.certify", "certify", "Say whose key signed the roots of leaves."),
    "commit": Entry("bill.commit", "commit", "Commit to readings as a meter does."),
    "dispute": Entry("bill.total", "dispute", "Open one slot, with the home's consent."),
    "fetch": Entry("bill.fetch", "fetch", "Fetch what a meter has committed to and signed."),
    "keygen": Entry("bill.keygen", "keygen", "Make a household's Paillier key."),
    "tariff": Entry("bill.tariff", "tariff", "Sign a tariff, and have it published."),
    "total": Entry("bill.total", "total", "Open what a period costs, after every check."),
    "verify": Entry("bill.verify", "verify", "Check a total, or an opened slot, from files."),
}


@click.group(cls=LazyGroup, entries=COMMANDS)
def bill() -> None:
    """Bills that anybody can check, from readings that nobody sees.

    \b
    Example:
      hushmeter bill keygen home.key --public home.json --street "Elm Row" --meter-id 7 \\
        --authority authority.pem
      hushmeter bill verify total.json --leaves leaves.json --public home.json \\
        --tariff tariff.json --authority authority.pem
    """
