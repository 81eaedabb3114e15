"""What the fields of a board file say about each other: the first breach, as one line."""

from collections.abc import Callable, Iterator, Mapping

from hushmeter.devices.facts import Board, Wire

_ANALOGUE = {"level", "clamp.current", "clamp.voltage"}
_OUTPUTS = {"uart.tx", "hil.uart.tx", "i2c.sda", "i2c.scl", "pwm"}
_SUFFIXES = {"uf2": ".uf2", "picotool": ".uf2", "esptool": ".bin"}


def problem(board: Board, folder: str) -> str | None:
    """What is wrong within one board file, or None.

    Parameters
    ----------
    folder:
        The name of the folder that the file lies in.
    """
    if board.name != folder:
        return f"name is {board.name!r}; it must be the folder's name, {folder!r}"
    rules: tuple[Callable[[Board], Iterator[str]], ...] = (_storage, _loader, _pins, _capabilities)
    return next((breach for rule in rules for breach in rule(board)), None)


def problem_among(boards: Mapping[str, Board]) -> tuple[str, str] | None:
    """What is wrong between boards, as the name of the one to mend and the line; or None."""
    owners: dict[str, str] = {name: name for name in boards}
    for board in boards.values():
        for alias in board.aliases:
            owner = owners.setdefault(alias, board.name)
            if owner != board.name:
                return board.name, f"aliases: {alias!r} already means {owner}"
        breach = _peer_problem(board, boards)
        if breach:
            return board.name, breach
    return None


def wire_problem(wire: Wire, board: Board, peer: Board) -> str | None:
    """What is wrong with the ends of a wire from a role of one board to a pin of another."""
    roles = board.roles()
    if wire.role not in roles:
        return f"{wire.role} is no role of {board.name}; roles: {', '.join(roles)}"
    if peer.header is None or wire.peer not in peer.header.gpio:
        return f"{wire.role} goes to pin {wire.peer}, which {peer.name} lacks"
    return None


def _storage(board: Board) -> Iterator[str]:
    place, flash = board.filesystem, board.flash
    if place.kind == "folder":
        return
    if flash is None:
        yield f"flash is missing; a filesystem of kind {place.kind!r} lies in flash"
        return
    if not place.block_bytes or not place.bytes or place.bytes % place.block_bytes:
        yield "filesystem.bytes must be a positive multiple of filesystem.block_bytes"
    if place.start + place.bytes > flash.bytes:
        yield f"filesystem ends behind the flash, which has {flash.bytes} bytes"
    if place.start % flash.erase_bytes or place.block_bytes % flash.erase_bytes:
        yield "filesystem.start and .block_bytes must be multiples of flash.erase_bytes"


def _loader(board: Board) -> Iterator[str]:
    loader, image = board.loader, board.image
    if (loader is None) != (image is None):
        yield "image and loader: a board has both or neither"
    if loader is None or image is None:
        return
    if len(set(loader.methods)) != len(loader.methods):
        yield "loader.methods names a method twice"
    if {"uf2", "picotool"} & set(loader.methods) and loader.uf2 is None:
        yield "loader.uf2 is missing; the methods uf2 and picotool need it"
    if "esptool" in loader.methods and loader.esp is None:
        yield "loader.esp is missing; the method esptool needs it"
    for method in loader.methods:
        if not image.file.endswith(_SUFFIXES[method]):
            yield f"image.file must end in {_SUFFIXES[method]} for the method {method}"
    if not image.url.endswith(f"/{image.file}"):
        yield "image.url must end in image.file"
    if image.bytes is not None and board.flash and image.bytes > board.flash.bytes:
        yield f"image.bytes is more than the flash, which has {board.flash.bytes} bytes"


def _pins(board: Board) -> Iterator[str]:
    roles = board.roles()
    header = board.header
    if roles and header is None:
        yield "header is missing; pins and hil.uart need it"
    if header is None:
        return
    for name, some in (("adc", header.adc), ("input_only", header.input_only)):
        if not set(some) <= set(header.gpio):
            yield f"header.{name} has a pin that header.gpio lacks"
    taken: dict[int, str] = {}
    for role, pin in roles.items():
        where = role if role.startswith("hil.") else f"pins.{role}"
        if pin not in header.gpio:
            yield f"{where} is {pin}, which header.gpio lacks"
        if role in _ANALOGUE and pin not in header.adc:
            yield f"{where} is {pin}, which has no ADC"
        if role in _OUTPUTS and pin in header.input_only:
            yield f"{where} is {pin}, which cannot be an output"
        if pin in taken:
            yield f"{where} is {pin}, which {taken[pin]} has already"
        taken[pin] = where


def _capabilities(board: Board) -> Iterator[str]:
    pins = board.pins
    needed = {
        "adc": pins.level is not None or pins.clamp is not None,
        "i2c": pins.i2c is not None,
        "pin": pins.pulse is not None,
        "pwm": pins.pwm is not None,
        "uart": pins.uart is not None or board.hil.uart is not None,
        "watchdog": board.watchdog is not None,
    }
    for capability, used in needed.items():
        if used and capability not in board.capabilities:
            yield f"capabilities lacks {capability!r}, which another table uses"
    if "watchdog" in board.capabilities and board.watchdog is None:
        yield "watchdog is missing; capabilities has it"
    watchdog = board.watchdog
    if watchdog and watchdog.longest_ms and watchdog.longest_ms < watchdog.shortest_ms:
        yield "watchdog.longest_ms is less than watchdog.shortest_ms"
    if board.console.kind == "usb-cdc" and not board.console.usb_ids:
        yield "console.usb_ids is missing; a console of kind 'usb-cdc' has USB numbers"
    if board.on_silicon and board.flash is None:
        yield "checked: a board without flash has no silicon of its own"


def _peer_problem(board: Board, boards: Mapping[str, Board]) -> str | None:
    hil = board.hil
    if not hil.wires:
        return None
    peer = boards.get(hil.peer)
    if peer is None or peer.header is None:
        return f"hil.peer is {hil.peer!r}, which is no board with a header"
    for wire in hil.wires:
        breach = wire_problem(wire, board, peer)
        if breach:
            return f"hil.wires: {breach}"
    ends = [wire.peer for wire in hil.wires]
    if len(set(ends)) != len(ends):
        return "hil.wires: a pin of the peer is used twice"
    return None
