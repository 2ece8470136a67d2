"""Other machines are asked by https: the certificate must hold, a proxy sees nothing inside."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fakes.lake import QUICK, environment
from lobproof.errors import UnreachableError
from lobproof.sources.cryptolake.bucket.catalogue import Inventory, catalogue
from lobproof.sources.cryptolake.bucket.connection import connect
from lobproof.sources.cryptolake.bucket.http import Client
from support.commands import command
from support.hostile import Answer, Hostile, hostile, page, refusal


def certificate(folder: Path, name: str) -> ssl.SSLContext:
    """A server's side, with a certificate for ``name`` that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@contextmanager
def secure(folder: Path, name: str = "localhost") -> Iterator[Hostile]:
    def script(asked: object) -> Answer:
        lists = getattr(asked, "lists", False)
        return Answer(body=page()) if lists else refusal("NoSuchKey")

    with hostile(script, certificate(folder, name)) as server:
        yield server


@contextmanager
def proxy() -> Iterator[tuple[str, list[bytes]]]:
    """A proxy that tunnels to where it is told; what it was told."""
    heads: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def pipe(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def serve() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += line.recv(1)
            heads.append(head)
            host, _, port = head.split()[1].decode().partition(":")
            there = socket.create_connection((host, int(port)))
            line.sendall(b"HTTP/1.1 200 so\r\n\r\n")
            back = Thread(target=pipe, args=(there, line), daemon=True)
            back.start()
            pipe(line, there)
            back.join(10)
            line.close()
            there.close()

    thread = Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", heads
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def ask(server: Hostile) -> Inventory:
    there = connect(endpoint=server.url, environ=environment(), dotenv=Path("none"))
    policy = replace(QUICK, attempts=2)
    return catalogue(there, tables=("trades",), policy=policy)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_a_certificate_that_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with secure(tmp_path) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        assert ask(server).objects == ()
        assert server.asked


@pytest.mark.parametrize("known", [True, False], ids=["another's", "nobody's"])
def test_a_certificate_that_does_not_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    with secure(tmp_path, "example.org" if known else "localhost") as server:
        if known:
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        with pytest.raises(UnreachableError, match="the certificate does not hold"):
            ask(server)
        assert server.asked == []


@pytest.mark.parametrize(
    "address",
    [
        *("http://[x", "[x", "http://", "http://:8080", "//", " ", "http://me:my-secret@:8080"),
        *("http://h:99999", "http://h:0", "http://h:-1", "http://h:my-secret", "h:80:90"),
        *("https://h:1", "socks5://me:my-secret@h:1", "ftp://my-secret", "socks5h:h:1"),
        *("http://h\n:1", "http://h:1\r\nX: my-secret", "\thttp://h:1", "http://h:1\x1b[31m"),
        *("http://me:my-secret/x@h:1", "http://me:1/my-secret@h:1", "http://me:1?my-secret@h:1"),
        *("http://me:1#my-secret@h:1", "http://ü.example:1", "http://h\udcff:1", "http://a b:1"),
    ],
)
def test_a_proxy_that_is_none_is_told_and_not_quoted(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", address)
    for arguments in (("acquire", "test-connection"), ("acquire", "list-inventory"), ("doctor",)):
        said = command(*arguments, "--sample")
        assert said.code == 3
        assert said.err.startswith("error: HTTPS_PROXY is no address of a proxy"), said
        assert "my-secret" not in said.err + said.out
        assert "\nHint: give it as http://HOST:PORT" in said.err


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("h", "h", 80),
        ("h:8080", "h", 8080),
        ("//h:8080/", "h", 8080),
        ("HTTP://H.example:65535", "h.example", 65535),
        ("http://me:p@ss@h:1", "h", 1),
        ("http://[::1]:1", "::1", 1),
    ],
)
def test_an_address_of_a_proxy(
    monkeypatch: pytest.MonkeyPatch, address: str, host: str, port: int
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", address)
    there = connect(sample=True, environ={}, dotenv=Path("none"))
    line = Client(there, connect_seconds=1, read_seconds=1).new()
    assert (line.host, line.port) == (host, port)


def test_a_proxy_of_the_environment_is_gone_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with secure(tmp_path) as server, proxy() as (url, heads):
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        monkeypatch.setenv("HTTPS_PROXY", url.replace("//", "//me:p%40ss@"))
        assert ask(server).objects == ()
        assert server.asked
        assert heads
        for head in heads:
            assert head.startswith(b"CONNECT localhost:")
            assert b"Proxy-Authorization: Basic bWU6cEBzcw==" in head
            assert b"AKIA" not in head
            assert b"amz" not in head.lower()
        monkeypatch.setenv("NO_PROXY", "localhost")
        heads.clear()
        assert ask(server).objects == ()
        assert heads == []
