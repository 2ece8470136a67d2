"""HTTP to one bucket: reads, signed as S3 wants it. Nothing is followed.

One thread makes a call; any other may stop it, which ends it at once, on a silent line too.
"""

from __future__ import annotations

import hashlib
import hmac
import socket
import ssl
import weakref
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from threading import Lock
from time import monotonic
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from lobproof.errors import UsageError
from lobproof.sources.cryptolake.bucket.connection import PRINTABLE, Connection

NO_BODY = hashlib.sha256().hexdigest()
_ALGORITHM = "AWS4-HMAC-SHA256"
_PIECE = 1 << 16
"""Most bytes of a piece: what is received and not yet in a file."""
_LEAST = 1 << 14
"""Bytes that come at least in twice the read time-out; less is a line that drips."""
_IDLE_SECONDS = 15.0
"""A line that was silent for longer may have been closed at the other end."""


class LineError(Exception):
    """The line broke or is silent, or what came is no HTTP."""


class NoLineError(LineError):
    """There is no line to the store."""


class TooLongError(Exception):
    """A body is longer than what is allowed."""


class _Proxy(NamedTuple):
    host: str
    port: int
    told: dict[str, str]
    """Headers that it alone gets: who asks."""


def _proxy_to(host: str) -> _Proxy | None:
    """The environment's proxy to a host, if any; UsageError, which repeats nothing of it."""
    text = "" if proxy_bypass(host) else getproxies().get("https", "")
    if not text:
        return None
    wrong = UsageError(
        "HTTPS_PROXY is no address of a proxy that can be asked",
        hint="give it as http://HOST:PORT or http://NAME:PASSWORD@HOST:PORT, what is no letter or "
        "digit in name and password as %XX; or unset it",
    )
    try:
        parts = urlsplit(text if "//" in text else f"//{text}")
        name, port = parts.hostname, 80 if parts.port is None else parts.port
    except ValueError:
        raise wrong from None
    # behind a bare / ? or # in a password nothing would count, and another host be asked
    rest = parts.path.strip("/") or parts.query or parts.fragment
    known = parts.scheme in ("", "http") and PRINTABLE.fullmatch(text)
    if not name or not port or rest or not known:
        raise wrong
    who = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}".encode()
    told = {"Proxy-Authorization": f"Basic {b64encode(who).decode()}"} if who != b":" else {}
    return _Proxy(name, port, told)


class Client:
    """Lines to the store of a connection, used again where they are good."""

    def __init__(
        self, connection: Connection, *, connect_seconds: float, read_seconds: float
    ) -> None:
        parts = urlsplit(connection.endpoint)
        self.connection = connection
        self.read_seconds = read_seconds
        self._connect_seconds = connect_seconds
        self._host = parts.hostname or ""
        self._port = parts.port
        self._netloc = parts.netloc
        self._top = f"{parts.path}/{quoted(connection.bucket)}"
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._proxy = _proxy_to(self._host) if self._tls else None
        self._idle: list[tuple[float, HTTPConnection]] = []
        self._lock = Lock()
        weakref.finalize(self, _close_all, self._idle)

    def call(self) -> Call:
        """A call, yet to be made."""
        return Call(self)

    def target(self, key: str, query: Mapping[str, str]) -> tuple[str, str]:
        """Path and query of a request, quoted."""
        return f"{self._top}/{quoted(key, safe='/')}" if key else self._top, query_text(query)

    def headers(
        self, method: str, path: str, query: str, more: Mapping[str, str]
    ) -> dict[str, str]:
        """What goes with a request: signed, where there is a key."""
        headers = {"host": self._netloc, **more}
        known = self.connection.credentials
        if known is not None:
            headers = signed(
                method,
                path,
                query,
                headers,
                access_key=known.access_key,
                secret_key=known.secret_key,
                token=known.token,
                region=self.connection.region,
                now=datetime.now(UTC),
            )
        return {**headers, "user-agent": "lobproof"}

    def idle(self) -> HTTPConnection | None:
        """A line that was used before."""
        with self._lock:
            while self._idle:
                since, line = self._idle.pop()
                if monotonic() - since < _IDLE_SECONDS:
                    return line
                line.close()
        return None

    def keep(self, line: HTTPConnection) -> None:
        """Take back a line on which nothing is under way."""
        with self._lock:
            self._idle.append((monotonic(), line))

    def new(self) -> HTTPConnection:
        """A line of its own, not connected yet; through the proxy of the environment, if any."""
        if self._tls is None:  # to this machine
            return HTTPConnection(self._host, self._port, timeout=self._connect_seconds)
        proxy = self._proxy
        host, port = (proxy.host, proxy.port) if proxy else (self._host, self._port)
        line = HTTPSConnection(host, port, timeout=self._connect_seconds, context=self._tls)
        if proxy:
            line.set_tunnel(self._host, self._port or 443, proxy.told)
        return line


class Call:
    """One request and its answer."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._line: HTTPConnection | None = None
        self._answer: HTTPResponse | None = None
        self._length: int | None = None
        self._head = False
        self._stopped = False
        self._whole = False
        self._lock = Lock()

    @property
    def status(self) -> int:
        """Of the answer."""
        return self._came.status

    def header(self, name: str) -> str:
        """A header of the answer, empty where there is none."""
        return self._came.headers.get(name, "")

    def ask(self, method: str, key: str, query: Mapping[str, str], more: Mapping[str, str]) -> None:
        """Send the request, and wait for status and headers.

        Raises
        ------
        LineError
            When they do not come.
        """
        client = self._client
        path, text = client.target(key, query)
        headers = client.headers(method, path, text, more)
        url = f"{path}?{text}" if text else path
        used = client.idle()
        if used is not None:
            try:
                self._send(used, method, url, headers)
                return
            except LineError:
                # closed at the other end meanwhile: reads may be asked for twice
                if self._stopped:
                    raise
        self._send(client.new(), method, url, headers)

    def pieces(self) -> Iterator[bytes]:
        """The body, as it comes.

        Raises
        ------
        LineError
            When it ends before its announced end, falls silent, or drips.
        """
        answer, known = self._came, self._announced()
        patience = self._client.read_seconds * 2
        until, received, left = monotonic() + patience, 0, known
        while left is None or left > 0:
            try:
                piece = answer.read1(_PIECE if left is None else min(_PIECE, left))
            except (OSError, HTTPException, ValueError) as error:
                raise _broken(error) from None
            if not piece:
                break
            yield piece
            left = None if left is None else left - len(piece)
            received += len(piece)
            if monotonic() > until:
                if received < _LEAST:
                    raise LineError(f"only {received} bytes came in {patience:g} s")
                until, received = monotonic() + patience, 0
        if left:
            raise LineError(f"the answer ended {left:,} bytes before its end")
        self._whole = True

    def body(self, limit: int) -> bytes:
        """The whole body, of at most ``limit`` bytes.

        Raises
        ------
        TooLongError
            When it is announced to be longer, or is.
        LineError
            As for :meth:`pieces`.
        """
        if (self._announced() or 0) > limit:
            raise TooLongError
        taken = bytearray()
        for piece in self.pieces():
            taken += piece
            if len(taken) > limit:
                raise TooLongError
        return bytes(taken)

    def end(self) -> None:
        """Give the line back, or close it where something may yet come."""
        with self._lock:
            line, self._line = self._line, None
        if line is None:
            return
        answer = self._answer
        if answer is not None:
            good = (self._whole or self._announced() == 0) and not answer.will_close
            answer.close()
            if good and not self._stopped:
                self._client.keep(line)
                return
        line.close()

    def stop(self) -> None:
        """End it from another thread."""
        with self._lock:
            self._stopped = True
            if self._line is not None and self._line.sock is not None:
                _cut(self._line.sock)

    @property
    def _came(self) -> HTTPResponse:
        assert self._answer is not None
        return self._answer

    def _announced(self) -> int | None:
        """Bytes of the body; None where its end is told otherwise."""
        if self._head:
            return 0
        return None if self._came.chunked else self._length

    def _send(
        self, line: HTTPConnection, method: str, url: str, headers: Mapping[str, str]
    ) -> None:
        with self._lock:
            self._line = line
        try:
            if line.sock is None:
                self._connect(line)
            if self._stopped:
                raise LineError("stopped")
            line.sock.settimeout(self._client.read_seconds)
            line.putrequest(method, url, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                line.putheader(name, value)
            line.endheaders()
            self._answer = line.getresponse()
        except (OSError, HTTPException, ValueError) as error:
            line.close()
            raise _broken(error) from None
        self._head = method == "HEAD"
        self._length = self._answer.length

    @staticmethod
    def _connect(line: HTTPConnection) -> None:
        try:
            line.connect()
        except (OSError, HTTPException, ValueError) as error:
            line.close()
            raise NoLineError(str(_broken(error))) from None


def _broken(error: Exception) -> LineError:
    """Words for what the line did; none of what came on it."""
    if isinstance(error, TimeoutError):
        return LineError("nothing came in time")
    if isinstance(error, ssl.SSLCertVerificationError):
        return LineError(f"the certificate does not hold: {error.verify_message}")
    if isinstance(error, OSError) and error.strerror:
        return LineError(error.strerror)
    if isinstance(error, OSError):
        return LineError("the line broke")
    return LineError(f"no HTTP came ({type(error).__name__})")


def _cut(line: socket.socket) -> None:
    """Wake whoever waits on it; the descriptor stays with its thread."""
    with suppress(OSError):  # it is closed already
        socket.socket.shutdown(line, socket.SHUT_RDWR)


def _close_all(idle: list[tuple[float, HTTPConnection]]) -> None:
    for _, line in idle:
        line.close()


def quoted(text: str, *, safe: str = "") -> str:
    """Percent-encoded as signatures have it: all but letters, digits and ``-_.~``."""
    return quote(text, safe=f"{safe}-_.~")


def query_text(query: Mapping[str, str]) -> str:
    """A query as it is sent and signed: quoted, in order of the names."""
    return "&".join(f"{quoted(name)}={quoted(value)}" for name, value in sorted(query.items()))


def signed(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    *,
    access_key: str,
    secret_key: str,
    token: str,
    region: str,
    now: datetime,
) -> dict[str, str]:
    """``headers`` and those that sign the request.

    Parameters
    ----------
    method, path, query
        As in the request line: path and query quoted.
    headers
        Names in small letters; ``host`` among them. All are signed.
    access_key, secret_key, token
        The credentials; ``token`` may be empty.
    region, now
        Where the bucket is, and the time, UTC.
    """
    stamp = f"{now:%Y%m%dT%H%M%SZ}"
    scope = f"{now:%Y%m%d}/{region}/s3/aws4_request"
    told = {**headers, "x-amz-content-sha256": NO_BODY, "x-amz-date": stamp}
    if token:
        told["x-amz-security-token"] = token
    names = ";".join(sorted(told))
    lines = "".join(f"{name}:{told[name].strip()}\n" for name in sorted(told))
    request = "\n".join((method, path, query, lines, names, NO_BODY))
    digest = hashlib.sha256(request.encode()).hexdigest()
    key = f"AWS4{secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = "\n".join((_ALGORITHM, stamp, scope, digest))
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    told["authorization"] = (
        f"{_ALGORITHM} Credential={access_key}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return told
