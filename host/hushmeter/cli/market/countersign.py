"""``hushmeter market countersign``: the authority's word that a transcript is its street's."""

from __future__ import annotations

from pathlib import Path

import click

from hushmeter.cli.bill import shared


@click.command()
@click.argument("transcript", type=shared.FILE)
@click.option(
    "--authority", type=shared.FILE, required=True, help="The authority's private key in PEM."
)
@click.option("--street", required=True, metavar="NAME", help="Whose market it is.")
@click.option("--out", type=shared.FILE, required=True, help="The transcript with the signature.")
@shared.as_json
def countersign(transcript: Path, authority: Path, street: str, out: Path, as_json: bool) -> None:
    """Sign the authority's own copy of a TRANSCRIPT, for bills whose tariff asks for it.

    Every price is computed again before. Sign what the authority was told itself, never what
    somebody hands it: the prices follow from any totals, be they the street's or not.

    \b
    Example:
      hushmeter market countersign out/day/transcript.json --authority authority.pem \\
        --street "Elm Row" --out countersigned.json
    """
    from hushmeter.cluster.keyfile import read_seed
    from hushmeter.errors import HushmeterError
    from hushmeter.market import countersigning
    from hushmeter.market.transcript import stored
    from hushmeter.outputs import write_whole

    try:
        made = countersigning.countersigned(transcript.read_bytes(), read_seed(authority), street)
    except OSError as error:
        raise HushmeterError(f"{transcript}: cannot be read: {error.strerror}") from error
    except HushmeterError as error:
        raise HushmeterError(f"{transcript}: {error.message}", hint=error.hint) from error
    write_whole(out, made)
    file = stored(made)
    facts = {"sha256": file.sha256, "countersignatures": len(file.countersignatures)}
    shared.shown({"street": street, **facts}, as_json)
