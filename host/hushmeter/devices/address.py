"""Where a board is: a port that keeps its identity where its name changes."""

from hushmeter.devices import ports


class Address:
    """A port that is found again after its board has restarted.

    Parameters
    ----------
    device:
        Path or URL as it was when the board was first met.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        listed = {port.device: port for port in ports.list_all()}
        self._serial_number = listed[device].serial_number if device in listed else ""

    def now(self) -> str:
        """Where the port is at this moment; its old name while it is away."""
        if self._serial_number:
            for port in ports.list_all():
                if port.serial_number == self._serial_number:
                    self.device = port.device
        return self.device
