"""A server for downloads: one body at every address, with a status and a length that may lie."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Serves one body at every address and counts the requests."""

    body = b""
    status = 200
    announced: int | None = None
    requests = 0

    @property
    def address(self) -> str:
        """Where it is reached, without a slash at the end."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """Answers with what the server holds."""

    server: Server

    def do_GET(self) -> None:
        """One answer; the length that is announced may be a lie."""
        self.server.requests += 1
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(self.server.announced or len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, format: str, *args: object) -> None:
        """Keeps the test's output clean."""


@contextlib.contextmanager
def serving(body: bytes) -> Iterator[Server]:
    """A server that runs until the context ends."""
    with Server(("127.0.0.1", 0), Handler) as running:
        running.body = body
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()
