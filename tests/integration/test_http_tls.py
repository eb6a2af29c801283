"""TLS listeners: versions, certificates that change while connections live, framing, slow peers."""
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from web import Authority, openssl

BUILD = Path(os.environ.get("ROLEBRIDGE_BUILD", Path(__file__).resolve().parents[2] / "build"))
TOOL = BUILD / "tools" / "web_server"

pytestmark = pytest.mark.skipif(not TOOL.exists(), reason="make tools builds web_server")

REQUEST = b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n"
CLOSING = b"GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


class Server:
    def __init__(self, folder, pair, deadline_ms=30000):
        self.certificate, self.key = folder / "cert.pem", folder / "key.pem"
        self.take(pair)
        self.process = subprocess.Popen([TOOL, "127.0.0.1:0", self.certificate, self.key, str(deadline_ms)],
                                        stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def take(self, pair):
        shutil.copy(pair[0], self.certificate)
        shutil.copy(pair[1], self.key)

    def reload(self):
        self.process.send_signal(signal.SIGHUP)
        return self.process.stdout.readline().strip()

    def stop(self):
        self.process.terminate()
        assert self.process.wait(30) == 0

    def dial(self, authority, **options):
        context = ssl.create_default_context(cafile=str(authority.certificate))
        for name, value in options.items():
            setattr(context, name, value)
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        try:
            return context.wrap_socket(raw, server_hostname="127.0.0.1")
        except BaseException:
            raw.close()
            raise


@pytest.fixture
def server(authority, tmp_path):
    server = Server(tmp_path, authority.issue("first"))
    yield server
    if server.process.poll() is None:
        server.stop()


def hear(connection):
    data = b""
    try:
        while piece := connection.recv(65536):
            data += piece
    except (ConnectionResetError, ssl.SSLError):
        pass
    return data


def hear_one(connection):
    data = b""
    while b"\n" not in data.partition(b"\r\n\r\n")[2]:
        piece = connection.recv(65536)
        assert piece, data
        data += piece
    return data


def name_of(connection):
    return dict(pair[0] for pair in connection.getpeercert()["subject"])["commonName"]


def test_serves(server, authority):
    with server.dial(authority) as connection:
        assert connection.version() == "TLSv1.3"
        connection.sendall(CLOSING)
        text = hear(connection)
    assert b"HTTP/1.1 200" in text and b"tls=1 client=127.0.0.1" in text
    assert b"Strict-Transport-Security: max-age=" in text


def test_versions(server, authority):
    with server.dial(authority, maximum_version=ssl.TLSVersion.TLSv1_2) as connection:
        assert connection.version() == "TLSv1.2"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", server.port)) as raw, pytest.raises((ssl.SSLError, OSError)):
        context.wrap_socket(raw)


def test_plain_http_is_no_tls(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as raw:
        raw.sendall(CLOSING)
        assert b"HTTP/1.1 200" not in hear(raw)


def test_reload(server, authority):
    old = server.dial(authority)
    old.sendall(REQUEST)
    hear_one(old)
    assert name_of(old) == "first"
    for name in ("second", "third", "fourth"):
        server.take(authority.issue(name))
        assert server.reload() == "reloaded"
        with server.dial(authority) as connection:
            assert name_of(connection) == name
            connection.sendall(CLOSING)
            assert b"HTTP/1.1 200" in hear(connection)
    # The connection from before goes on with what it has.
    old.sendall(CLOSING)
    assert b"HTTP/1.1 200" in hear(old)
    old.close()


def test_bad_pairs_keep_the_old(server, authority, tmp_path):
    other = authority.issue("other")
    encrypted = tmp_path / "encrypted.key"
    openssl("pkey", "-in", other[1], "-aes256", "-passout", "pass:x", "-out", encrypted)
    empty = tmp_path / "empty"
    empty.write_text("")
    text = tmp_path / "text"
    text.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    first = (server.certificate.read_text(), server.key.read_text())
    for certificate, key in [(other[0], None), (None, other[1]), (other[0], encrypted), (empty, other[1]),
                             (other[0], empty), (text, other[1]), (other[1], other[0])]:
        server.certificate.write_text(certificate.read_text() if certificate else first[0])
        server.key.write_text(key.read_text() if key else first[1])
        line = server.reload()
        assert line.startswith("error: "), line
        assert "PRIVATE" not in line
        with server.dial(authority) as connection:
            assert name_of(connection) == "first"
    server.key.unlink()
    assert server.reload().startswith("error: ")
    with server.dial(authority) as connection:
        connection.sendall(CLOSING)
        assert b"HTTP/1.1 200" in hear(connection)


def test_chain(authority, tmp_path):
    certificate, key = authority.issue("chained")
    chained = tmp_path / "chain.pem"
    chained.write_text(certificate.read_text() + authority.certificate.read_text())
    server = Server(tmp_path, (chained, key))
    try:
        with server.dial(authority) as connection:
            assert name_of(connection) == "chained"
    finally:
        server.stop()


def test_start_refuses_a_bad_pair(authority, tmp_path):
    one, two = authority.issue("one"), authority.issue("two")
    done = subprocess.run([TOOL, "127.0.0.1:0", one[0], two[1]], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "is not that of certificate" in done.stderr


@pytest.mark.parametrize("head,status", [
    (b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", b"400"),
    (b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
    (b"Host: evil\r\nContent-Length: 1\r\n\r\nx", b"400"),
    (b"Content-Length : 1\r\n\r\nx", b"400"),
    (b"Content-Length: 99999999999\r\n\r\n", b"413"),
    (b"X: " + b"a" * 100000 + b"\r\n\r\n", b""),
], ids=["two lengths", "length and encoding", "two hosts", "space before colon", "long body", "long header"])
def test_framing(server, authority, head, status):
    with server.dial(authority) as connection:
        try:
            connection.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\n" + head)
        except OSError:
            pass
        text = hear(connection)
    assert text.startswith(b"HTTP/1.1 " + status) if status else b"HTTP/1.1 200" not in text
    assert b"HTTP/1.1 200" not in text


def test_slow_peers_are_cut(authority, tmp_path):
    server = Server(tmp_path, authority.issue("first"), deadline_ms=10000)
    silent = socket.create_connection(("127.0.0.1", server.port), timeout=60)  # no handshake
    half = server.dial(authority)
    half.sendall(b"GET /echo HTTP/1.1\r\nX: ")
    begun = time.monotonic()
    assert hear(silent) == b"" and b"200" not in hear(half)
    assert time.monotonic() - begun < 50
    silent.close()
    half.close()
    server.stop()


def test_stop_with_open_connections(server, authority):
    open_ones = [server.dial(authority) for _ in range(5)]
    raw = socket.create_connection(("127.0.0.1", server.port))
    open_ones[0].sendall(REQUEST)
    hear_one(open_ones[0])
    server.stop()
    for connection in [*open_ones, raw]:
        connection.close()
