"""A bucket behind moto's S3 server, and a proxy in front of it that makes things go wrong."""

from __future__ import annotations

import http.client
import logging
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote

from moto.server import ThreadedMotoServer

from fakes.handler import QuietHandler

BUCKET = "qnt.data"
PREFIX = "market-data/cryptofeed"
_PIECE = 1 << 14
_ERRORS = {
    403: "AccessDenied",
    400: "ExpiredToken",
    503: "SlowDown",
    500: "InternalError",
    412: "PreconditionFailed",
}

Kind = Literal[
    "status", "truncate", "reset", "drip", "stall", "pause", "lag", "corrupt", "strip", "deaf"
]


@dataclass(slots=True)
class Fault:
    """What happens to the next ``times`` requests whose method and path match ``where``.

    ``status`` answers with that code; ``truncate`` ends the body after ``after`` bytes, ``reset``
    resets the connection there, ``stall`` sends nothing more, ``drip`` sends a byte every tenth
    of a second from there on, ``corrupt`` flips a bit there, ``pause`` goes on when ``over`` is
    set; ``lag`` takes the keys that match ``hides`` out of a listing; ``strip`` sends the request
    on without some ``headers``; ``deaf`` sends it on, and answers with an error of the server.
    """

    kind: Kind
    where: str = ""
    times: int = 1_000_000
    status: int = 503
    code: str = ""
    after: int = 0
    hides: str = ""
    headers: tuple[str, ...] = ()
    then: Callable[[], None] | None = None
    """Done before the fault."""
    over: threading.Event = field(default_factory=threading.Event)
    seen: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """One request that came to the proxy."""

    method: str
    path: str
    start: int
    """First byte asked for."""
    conditional: bool
    """It asked for a particular ETag."""


@dataclass(slots=True)
class Sent:
    """What came of it: status, and bytes of the body that were sent on.

    ``at`` is when it came, in seconds of the monotonic clock.
    """

    request: Request
    at: float
    status: int = 0
    body: int = 0


@dataclass
class Proxy:
    """A threaded HTTP proxy to one server, with faults."""

    target: tuple[str, int]
    faults: list[Fault] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    bytes_per_second: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.closing = threading.Event()
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def gets(self, table: str = "") -> list[Sent]:
        """The reads of data files, of one table or all."""
        return [
            one
            for one in self.sent
            if one.request.method == "GET"
            and f"/{table}" in one.request.path
            and one.request.path.endswith(".parquet")
        ]

    def fault(self, text: str) -> Fault | None:
        """The fault of a request, which is counted."""
        with self._lock:
            for fault in self.faults:
                if fault.seen < fault.times and re.search(fault.where, text):
                    fault.seen += 1
                    return fault
        return None

    def clear(self) -> None:
        self.faults.clear()
        self.sent.clear()

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(QuietHandler):
    owner: Proxy

    def do_GET(self) -> None:
        self._forward()

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

    def _forward(self) -> None:
        asked = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        request = Request(
            self.command,
            self.path,
            int(asked[1]) if asked else 0,
            "If-Match" in self.headers,
        )
        sent = Sent(request, time.monotonic())
        self.owner.sent.append(sent)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.owner.fault(f"{self.command} {unquote(self.path)}")
        if fault is not None and fault.kind == "status":
            sent.status = fault.status
            self._refuse(fault)
            return
        upstream = http.client.HTTPConnection(*self.owner.target)
        left_out = {name.lower() for name in (fault.headers if fault is not None else ())}
        headers = {n: value for n, value in self.headers.items() if n.lower() not in left_out}
        try:
            upstream.request(self.command, self.path, body or None, headers)
            answer = upstream.getresponse()
            sent.status = answer.status
            if fault is not None and fault.kind == "deaf":
                answer.read()
                self._refuse(fault)
                return
            if fault is not None and fault.kind == "strip":
                fault = None  # what comes back is not touched
            self._answer(answer, fault, sent)
        finally:
            upstream.close()

    def _refuse(self, fault: Fault) -> None:
        code = fault.code or _ERRORS[fault.status]
        secret = self.headers.get("X-Amz-Security-Token", "")
        body = (
            f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>as the test wants it"
            f"</Message><Token-0>{secret}</Token-0></Error>"
        ).encode()
        self.send_response(fault.status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _answer(self, answer: http.client.HTTPResponse, fault: Fault | None, sent: Sent) -> None:
        whole: bytes | None = None
        if fault is not None and fault.kind == "lag":
            text = answer.read().decode()
            for entry in re.findall(r"<Contents>.*?</Contents>", text, re.DOTALL):
                if re.search(fault.hides, entry):
                    text = text.replace(entry, "")
            whole = text.encode()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() in ("transfer-encoding", "connection"):
                continue
            if name.lower() == "content-length" and whole is not None:
                continue
            self.send_header(name, value)
        if whole is not None:
            self.send_header("Content-Length", str(len(whole)))
        self.end_headers()
        if whole is not None:
            self.wfile.write(whole)
            return
        if self.command == "HEAD" or answer.status in (204, 304):
            return
        self._body(answer, fault, sent)

    def _body(self, answer: http.client.HTTPResponse, fault: Fault | None, sent: Sent) -> None:
        edge = fault.after if fault is not None else -1
        began = time.monotonic()
        while piece := answer.read(_PIECE):
            if fault is not None and sent.body + len(piece) > edge:
                head, piece = piece[: edge - sent.body], piece[edge - sent.body :]
                self.wfile.write(head)
                sent.body += len(head)
                if self._break(fault, sent, piece):
                    return
                fault = None
                continue
            self.wfile.write(piece)
            sent.body += len(piece)
            if self.owner.bytes_per_second:
                due = began + sent.body / self.owner.bytes_per_second
                time.sleep(max(0.0, due - time.monotonic()))

    def _break(self, fault: Fault, sent: Sent, rest: bytes) -> bool:
        """Do at the edge what the fault says; whether the connection ended by that."""
        self.wfile.flush()
        if fault.then is not None:
            fault.then()
        if fault.kind == "corrupt":
            self.wfile.write(bytes([rest[0] ^ 1]) + rest[1:])
            sent.body += len(rest)
            return False
        if fault.kind == "pause":
            fault.over.wait(60)
            self.wfile.write(rest)
            sent.body += len(rest)
            return False
        self.close_connection = True
        if fault.kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        elif fault.kind == "stall":
            self.owner.closing.wait(60)
        elif fault.kind == "drip":
            for value in rest:
                if self.owner.closing.wait(0.1):
                    break
                self.wfile.write(bytes([value]))
                self.wfile.flush()
                sent.body += 1
        return True


@dataclass(frozen=True, slots=True)
class FakeBucket:
    """A bucket of moto's server, and the proxy to reach it by."""

    server: tuple[str, int]
    proxy: Proxy
    bucket: str = BUCKET
    prefix: str = PREFIX

    @property
    def url(self) -> str:
        """Endpoint by way of the proxy."""
        return self.proxy.url

    @property
    def direct(self) -> str:
        """Endpoint without it."""
        return f"http://{self.server[0]}:{self.server[1]}"

    def key(self, below: str) -> str:
        return f"{self.prefix}/{below}" if self.prefix else below

    def put(self, below: str, data: bytes) -> None:
        """Store an object under the prefix."""
        self._send("PUT", f"/{self.bucket}/{quote(self.key(below))}", data)

    def delete(self, below: str) -> None:
        self._send("DELETE", f"/{self.bucket}/{quote(self.key(below))}")

    def put_folder(self, folder: Path) -> list[str]:
        """Store every Parquet file below ``folder``; their keys below the prefix."""
        keys = []
        for path in sorted(folder.rglob("*.parquet")):
            keys.append(path.relative_to(folder).as_posix())
            self.put(keys[-1], path.read_bytes())
        return keys

    def make(self) -> None:
        self._send("PUT", f"/{self.bucket}")

    def _send(self, method: str, path: str, data: bytes = b"") -> None:
        connection = http.client.HTTPConnection(*self.server)
        try:
            connection.request(method, path, data, {"x-amz-acl": "public-read"})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status >= 300 and b"BucketAlreadyOwnedByYou" not in text:
                raise RuntimeError(f"{method} {path}: {answer.status} {text!r}")
        finally:
            connection.close()


@contextmanager
def fake_lake(bucket: str = BUCKET, prefix: str = PREFIX) -> Iterator[FakeBucket]:
    """A bucket on a server of its own, in this process.

    All of moto's servers in a process hold the same buckets: give each a name of its own.
    """
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    host = "127.0.0.1"
    proxy = Proxy((host, port))
    try:
        fake = FakeBucket((host, port), proxy, bucket, prefix)
        fake.make()
        yield fake
    finally:
        proxy.close()
        server.stop()
