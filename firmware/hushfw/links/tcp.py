"""A connection to a broker that never makes the meter wait: TCP, with TLS where it is asked for.

Every call returns at once: name, handshake and data move on by one step of it, or not. Two things
cannot be cut further. Where the broker is known by name, the system resolves the name in one call,
so a configuration should have its address. And a handshake has one step, the broker's certificate
and the key agreement, that is all arithmetic; `slow` says that it may come next, and the caller
begins it just after a sample, so that a step of up to 1.9 s makes a sample late and none missed.

With TLS the broker must show a certificate for its name, signed by the one authority that was put
on the meter. There is no way to go on without: a port without `tls` is refused at boot.
"""

import errno
import select
import socket

from hushfw import store
from hushfw.core.errors import HushError

CA_FILE = "ca.der"

_BUFFER_BYTES = 512
# EINPROGRESS (115 on Linux, 119 and 118 in lwIP of some ports), EALREADY, EAGAIN.
_LATER = (errno.EINPROGRESS, errno.EALREADY, errno.EAGAIN, 118, 119)


def trust():
    """A TLS context that takes the pinned authority's brokers only; refused where it cannot be."""
    authority = store.read(CA_FILE)
    if authority is None:
        raise HushError("bad_config", "network.tls: there is no %s: provision anew" % CA_FILE)
    try:
        import tls

        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        context.verify_mode = tls.CERT_REQUIRED
        context.load_verify_locations(authority)
    except (ImportError, AttributeError):
        raise HushError("bad_config", "network.tls: this interpreter has no TLS") from None
    except (ValueError, OSError, TypeError):
        raise HushError("bad_config", "%s is no certificate in DER" % CA_FILE) from None
    return context


class Connection:
    """One try: `ready` moves it on until it is there; any failure is an OSError."""

    def __init__(self, settings, context):
        self._name = settings["host"]
        self._context = context
        self._buffer = bytearray(_BUFFER_BYTES)
        where = socket.getaddrinfo(settings.get("address") or self._name, settings["port"])
        self.socket = socket.socket(where[0][0], socket.SOCK_STREAM)
        self._stream = None
        try:
            self.socket.setblocking(False)
            self._poll = select.poll()
            self._poll.register(self.socket, select.POLLOUT)
            self._connect(where[0][-1])
        except OSError:
            self.close()
            raise

    def __repr__(self):
        return "Connection(...)"

    def _connect(self, address):
        try:
            self.socket.connect(address)
        except OSError as error:
            if error.args[0] not in _LATER:
                raise

    def ready(self):
        """Whether bytes can be written; TLS shakes hands when they are."""
        if self._stream is not None:
            return True
        for _ in self._poll.ipoll(0):
            break
        else:
            return False
        self._poll.unregister(self.socket)
        self._stream = self.socket
        if self._context is not None:
            self._stream = _as_os_error(
                lambda: self._context.wrap_socket(
                    self.socket, server_hostname=self._name, do_handshake_on_connect=False
                )
            )
        return True

    @property
    def is_secure(self):
        return self._context is not None

    def write(self, data):
        """How many bytes went; 0 where none could, or where the handshake goes on."""
        return _as_os_error(lambda: self._stream.write(data)) or 0

    def read(self):
        """What has come, b"" for nothing. The end of the connection is an OSError."""
        count = _as_os_error(lambda: self._stream.readinto(self._buffer))
        if count is None:
            return b""
        if count == 0:
            raise OSError(errno.ECONNRESET)
        return bytes(memoryview(self._buffer)[:count])

    def close(self):
        for stream in (self._stream, self.socket):
            try:
                if stream is not None:
                    stream.close()
            except OSError:
                pass
        self._stream = None


def _as_os_error(work):
    """What is not there yet is None. TLS tells a certificate that is not right by a ValueError."""
    try:
        return work()
    except OSError as error:
        if error.args[0] in _LATER:
            return None
        raise
    except ValueError:
        raise OSError("the broker's certificate is not what the pinned authority signed") from None
