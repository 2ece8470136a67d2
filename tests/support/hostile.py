"""A server that is no friend: it answers each request as a test wants it, byte for byte."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from ssl import SSLContext
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from fakes.handler import QuietHandler

ETAG = "0123456789abcdef0123456789abcdef"
DATE = "2026-01-06T00:00:00.000Z"
HTTP_DATE = "Tue, 06 Jan 2026 00:00:00 GMT"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that came."""

    method: str
    path: str
    """Of bucket and key, unquoted."""
    query: Mapping[str, str]
    headers: Mapping[str, str]

    @property
    def lists(self) -> bool:
        return "list-type" in self.query


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent: ``raw`` is everything after the status line, if it is given."""

    status: int = 200
    body: bytes | Iterable[bytes] = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None
    """Announced, instead of the body's own; −1 for none at all."""
    raw: Iterable[bytes] | None = None


Script = Callable[[Asked], Answer]


@dataclass
class Hostile:
    """What the server was asked, and how many bytes of bodies it got rid of."""

    url: str
    script: Script
    asked: list[Asked] = field(default_factory=list)
    sent: int = 0
    closing: threading.Event = field(default_factory=threading.Event)

    def dripping(self, pieces: Iterable[bytes], seconds: float) -> Iterator[bytes]:
        """Pieces with a pause before each, until the server is closed."""
        for piece in pieces:
            if self.closing.wait(seconds):
                return
            yield piece


def entry(key: str, size: object = 100, etag: str = f'"{ETAG}"', date: str = DATE) -> str:
    """An object of a listing; what is given is escaped as XML has it."""
    return (
        f"<Contents><Key>{escape(key)}</Key><LastModified>{escape(date)}</LastModified>"
        f"<ETag>{escape(etag)}</ETag><Size>{escape(str(size))}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
    )


def page(*entries: str, folders: Iterable[str] = (), token: str = "") -> bytes:
    """A page of a listing; with a token, more is said to follow."""
    more = f"<NextContinuationToken>{escape(token)}</NextContinuationToken>" if token else ""
    tops = "".join(
        f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in folders
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<IsTruncated>{'true' if token else 'false'}</IsTruncated>{more}"
        f"{''.join(entries)}{tops}</ListBucketResult>"
    ).encode("utf-8", "surrogateescape")


def refusal(code: str, status: int = 404, message: str = "") -> Answer:
    """As S3 refuses."""
    return Answer(
        status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    )


@contextmanager
def hostile(script: Script, tls: SSLContext | None = None) -> Iterator[Hostile]:
    """A server on this machine that answers as ``script`` says."""

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query, True).items()}
            asked = Asked(self.command, unquote(parts.path), query, dict(self.headers))
            made.asked.append(asked)
            answer = made.script(asked)
            if answer.raw is not None:
                self.close_connection = True
                self.wfile.write(f"HTTP/1.1 {answer.status} so\r\n".encode())
                self._send(answer.raw)
                return
            body = [answer.body] if isinstance(answer.body, bytes) else answer.body
            length = answer.length
            if length is None:
                body = [b"".join(body)]
                length = len(body[0])
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if length >= 0:
                self.send_header("Content-Length", str(length))
            else:
                self.close_connection = True
            self.end_headers()
            if self.command != "HEAD":
                self._send(body)

        do_HEAD = do_CONNECT = do_GET

        def _send(self, pieces: Iterable[bytes]) -> None:
            for piece in pieces:
                self.wfile.write(piece)
                self.wfile.flush()
                made.sent += len(piece)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        scheme, port = "https" if tls else "http", server.server_address[1]
        made = Hostile(
            f"{scheme}://localhost:{port}" if tls else f"http://127.0.0.1:{port}", script
        )
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield made
        finally:
            made.closing.set()
            server.shutdown()
            thread.join()
