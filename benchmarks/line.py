"""A line of a given speed: a relay, in a process of its own, between client and server.

All connections share the speed, as on a line that a user has; bytes to the server are not held.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, sleep

_PIECE = 1 << 18


class Pace:
    """Holds all who send to so many bytes a second together."""

    def __init__(self, bytes_a_second: float) -> None:
        self._rate = bytes_a_second
        self._due = 0.0
        self._lock = threading.Lock()

    def wait(self, count: int) -> None:
        """Until ``count`` bytes may be on their way."""
        with self._lock:
            self._due = max(monotonic(), self._due) + count / self._rate
            due = self._due
        sleep(max(0.0, due - monotonic()))


def relay(port: int, bytes_a_second: float) -> None:
    """Serve for ever; the first line of output is the port to connect to."""
    pace = Pace(bytes_a_second)
    with socket.create_server(("127.0.0.1", 0)) as door:
        print(door.getsockname()[1], flush=True)
        while True:
            client, _ = door.accept()
            server = socket.create_connection(("127.0.0.1", port))
            _start(client, server, lambda count: None)
            _start(server, client, pace.wait)


def _start(source: socket.socket, sink: socket.socket, wait: Callable[[int], None]) -> None:
    threading.Thread(target=_pump, args=(source, sink, wait), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, wait: Callable[[int], None]) -> None:
    buffer = memoryview(bytearray(_PIECE))
    try:
        while count := source.recv_into(buffer):
            wait(count)
            sink.sendall(buffer[:count])
        sink.shutdown(socket.SHUT_WR)
    except OSError:  # the other side has gone
        source.close()
        sink.close()


@contextmanager
def held(url: str, megabytes_a_second: float) -> Iterator[str]:
    """The URL by which ``url`` is reached at that speed."""
    port = url.rsplit(":", 1)[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.line", port, str(megabytes_a_second * 1e6)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    relay(int(sys.argv[1]), float(sys.argv[2]))
