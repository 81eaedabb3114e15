"""``hushmeter bill tariff``: terms, signed by the utility and published by the authority."""

from __future__ import annotations

from pathlib import Path

import click

from hushmeter.cli.bill import shared


@click.command()
@click.argument("terms", type=shared.FILE)
@click.option(
    "--utility", type=shared.FILE, required=True,
    help="The utility's Ed25519 private key in PEM; made by hushmeter authority FILE --new.",
)  # fmt: skip
@click.option(
    "--authority", type=shared.FILE,
    help="The authority's private key: say that the tariff is published; no home opens without.",
)  # fmt: skip
@click.option(
    "--published-s", type=click.IntRange(0), metavar="UNIX",
    help="When it was published. [default: when its first slot begins]",
)  # fmt: skip
@click.option("--out", type=shared.FILE, required=True, help="The tariff.")
@shared.as_json
def tariff(
    terms: Path,
    utility: Path,
    authority: Path | None,
    published_s: int | None,
    out: Path,
    as_json: bool,
) -> None:
    """Sign TERMS, a JSON file, for all homes of a street.

    Rates are flat, time-of-use, schedule, market or tiers, for "import" and, if feed-in is
    credited, "export"; prices are micro-units per Wh. docs/bills.md shows each.

    \b
    Example:
      hushmeter bill tariff terms.json --utility utility.pem --authority authority.pem \\
        --out tariff.json
    """
    from hushmeter.cluster.keyfile import read_seed
    from hushmeter.market.bills import files, tariffs
    from hushmeter.outputs import write_whole

    said = tariffs.read_terms(terms)
    authority_seed = None if authority is None else read_seed(authority)
    made = tariffs.signed(said, read_seed(utility), authority_seed, published_s)
    write_whole(out, files.written(made))
    facts = {
        "tariff_sha256": made.sha256,
        "utility": made.utility,
        "published": made.publication is not None,
        "first_slot": said.first_slot,
        "last_slot": said.last_slot,
        "least_slots": said.least_slots,
    }
    shared.shown(facts, as_json)
