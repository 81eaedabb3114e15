"""The host's end of the framed link: transports, requests and replies."""

from hushmeter.link.link import Link, LinkTimeout, Message, Refused, probe
from hushmeter.link.transport import SerialTransport, Transport

__all__ = [
    "Link",
    "LinkTimeout",
    "Message",
    "Refused",
    "SerialTransport",
    "Transport",
    "probe",
]
