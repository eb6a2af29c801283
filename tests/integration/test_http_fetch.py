"""Requests to other servers: only plainly allowed addresses, nothing followed, everything bounded."""
import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from web import Authority, Origin, answer

BUILD = Path(os.environ.get("ROLEBRIDGE_BUILD", Path(__file__).resolve().parents[2] / "build"))
TOOL = BUILD / "tools" / "fetch_url"

pytestmark = pytest.mark.skipif(not TOOL.exists(), reason="make tools builds fetch_url")

LOOPBACK = ("-a", "127.0.0.0/8")
INVALID, TOO_LARGE, DENIED, UNAVAILABLE = 1, 2, 4, 7


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def pair(authority):
    return authority.issue("server")


def endless(handler):
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b"x" * 65536)
    except OSError:
        pass


def many_headers(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    try:
        for number in range(100000):
            handler.wfile.write(b"X-%d: %s\r\n" % (number, b"y" * 100))
    except OSError:
        pass


def with_interim(handler):
    handler.wfile.write(b'HTTP/1.1 103 Early Hints\r\nETag: "early"\r\n\r\n'
                        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@pytest.fixture(scope="module")
def origin(pair):
    release = threading.Event()

    def slow(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"begun")
        handler.wfile.flush()
        release.wait(60)

    def if_changed(handler):
        if handler.headers.get("If-None-Match") == '"v1"':
            answer(304, headers=[("ETag", '"v1"')])(handler)
        else:
            answer(200, b"content", [("ETag", '"v1"')])(handler)

    server = Origin({
        "/": answer(200, b"hello", [("ETag", 'W/"1"')]),
        "/moved": answer(302, b"moved", [("Location", "/")]),
        "/missing": answer(404, b"not here"),
        "/etag": if_changed,
        "/long-etag": answer(200, b"", [("ETag", '"' + "x" * 1000 + '"')]),
        "/exact": answer(200, b"x" * 1000),
        "/over": answer(200, b"x" * 1001),
        "/endless": endless,
        "/many-headers": many_headers,
        "/interim": with_interim,
        "/zipped": answer(200, b"\x1f\x8b not unpacked", [("Content-Encoding", "gzip")]),
        "/slow": slow,
    }, pair)
    yield server
    release.set()
    server.close()


def fetch(*arguments, environment=None):
    """(exit status, first line, the rest)"""
    done = subprocess.run([TOOL, *map(str, arguments)], capture_output=True, text=True, errors="replace",
                          timeout=60, env={**os.environ, **(environment or {})})
    first, _, rest = done.stdout.partition("\n")
    return done.returncode, first, rest


def refused(code, *arguments, **keywords):
    status, first, rest = fetch(*arguments, **keywords)
    assert status == 1
    assert first.startswith(f"error {code} "), first
    assert rest == "before:"  # what was there before stays, and nothing more
    return first


def test_plain(origin, authority):
    for host in ("127.0.0.1", "localhost"):
        status, first, body = fetch("-c", authority.certificate, *LOOPBACK, "-a", "::1",
                                    f"https://{host}:{origin.port}/")
        assert (status, first, body) == (0, '200 W/"1"', "before:hello")


def test_nothing_is_followed(origin, authority):
    origin.asked.clear()
    status, first, body = fetch("-c", authority.certificate, *LOOPBACK,
                                f"https://127.0.0.1:{origin.port}/moved")
    assert (status, first.strip(), body) == (0, "302", "before:moved")
    assert [path for path, _ in origin.asked] == ["/moved"]


def test_any_status(origin, authority):
    status, first, body = fetch("-c", authority.certificate, *LOOPBACK,
                                f"https://127.0.0.1:{origin.port}/missing")
    assert (status, first.strip(), body) == (0, "404", "before:not here")


def test_etag(origin, authority):
    arguments = ("-c", authority.certificate, *LOOPBACK)
    assert fetch(*arguments, f"https://127.0.0.1:{origin.port}/etag") == (0, '200 "v1"', "before:content")
    assert fetch(*arguments, "-e", '"v1"', f"https://127.0.0.1:{origin.port}/etag") == (
        0, '304 "v1"', "before:")
    assert fetch(*arguments, f"https://127.0.0.1:{origin.port}/long-etag") == (0, "200 ", "before:")
    assert fetch(*arguments, f"https://127.0.0.1:{origin.port}/interim") == (0, "200 ", "before:ok")
    refused(INVALID, *arguments, "-e", 'a\r\nX-Evil: b', f"https://127.0.0.1:{origin.port}/etag")


def test_size(origin, authority):
    arguments = ("-c", authority.certificate, *LOOPBACK, "-m", 1000)
    assert fetch(*arguments, f"https://127.0.0.1:{origin.port}/exact")[0] == 0
    for path in ("over", "endless", "many-headers"):
        refused(TOO_LARGE, *arguments, f"https://127.0.0.1:{origin.port}/{path}")


def test_slow(origin, authority):
    begun = time.monotonic()
    refused(UNAVAILABLE, "-c", authority.certificate, *LOOPBACK, "-t", 500,
            f"https://127.0.0.1:{origin.port}/slow")
    assert time.monotonic() - begun < 30


def test_nothing_is_unpacked(origin, authority):
    origin.asked.clear()
    status, _, body = fetch("-c", authority.certificate, *LOOPBACK,
                            f"https://127.0.0.1:{origin.port}/zipped")
    assert status == 0 and "not unpacked" in body
    headers = origin.asked[0][1]
    assert "Accept-Encoding" not in headers and "Cookie" not in headers and "Authorization" not in headers


def test_certificates(origin, authority, tmp_path_factory):
    port = origin.port
    refused(UNAVAILABLE, *LOOPBACK, f"https://127.0.0.1:{port}/")  # the system's CAs do not know ours
    other = Authority(tmp_path_factory.mktemp("other"))
    refused(UNAVAILABLE, "-c", other.certificate, *LOOPBACK, f"https://127.0.0.1:{port}/")
    refused(UNAVAILABLE, "-c", "/nonexistent", *LOOPBACK, f"https://127.0.0.1:{port}/")
    wrong = Origin({"/": answer(200, b"x")}, authority.issue("wrong", "DNS:elsewhere.example"))
    try:
        refused(UNAVAILABLE, "-c", authority.certificate, *LOOPBACK, f"https://127.0.0.1:{wrong.port}/")
    finally:
        wrong.close()
    assert not wrong.asked


@pytest.mark.parametrize("host", [
    "127.0.0.1", "localhost", "127.1", "0x7f.1", "0x7f000001", "0177.0.0.1", "2130706433", "127.0.0.2",
    "0", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:0001]",
    "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "10.0.0.1", "192.168.0.1", "172.16.0.1", "169.254.169.254",
    "100.64.0.1", "[fe80::1]", "[fd00::1]", "224.0.0.1", "255.255.255.255", "%31%32%37.0.0.1",
])
def test_inside_is_refused(origin, authority, host):
    origin.asked.clear()
    first = refused(DENIED, "-c", authority.certificate, "-t", 2000, f"https://{host}:{origin.port}/")
    assert "address-refused" in first
    assert not origin.asked


def test_allowed_networks(origin, authority):
    arguments = ("-c", authority.certificate)
    url = f"https://127.0.0.1:{origin.port}/"
    assert fetch(*arguments, "-a", "10.0.0.0/8", "-a", "127.0.0.1/32", url)[0] == 0
    refused(DENIED, *arguments, "-a", "127.0.0.2/32", "-a", "::/0", url)
    refused(INVALID, *arguments, "-a", "127.0.0.1/8", url)
    refused(INVALID, *arguments, "-a", "localhost", url)


def test_http_only_inside():
    server = Origin({"/": answer(200, b"plain")})
    url = f"http://127.0.0.1:{server.port}/"
    try:
        refused(INVALID, *LOOPBACK, url)
        refused(DENIED, "-h", url)
        assert not server.asked
        assert fetch("-h", *LOOPBACK, url) == (0, "200 ", "before:plain")
        # A public address is no place for http; nothing is sent to find out.
        refused(DENIED, "-h", *LOOPBACK, "-t", 2000, "http://8.8.8.8/")
    finally:
        server.close()


def test_ipv6():
    try:
        server = Origin({"/": answer(200, b"six")}, address="::1")
    except OSError:
        pytest.skip("no IPv6 here")
    try:
        assert fetch("-h", "-a", "::1", f"http://[::1]:{server.port}/") == (0, "200 ", "before:six")
    finally:
        server.close()


@pytest.mark.parametrize("url", [
    "", "https://", "https:///path", "example.com", "//example.com/", "ftp://127.0.0.1/", "file:///etc/passwd",
    "gopher://127.0.0.1/", "https://user@127.0.0.1/", "https://user:secret@127.0.0.1/", "https://127.0.0.1/a b",
    "https://127.0.0.1/\r\nX: y", "https://127.0.0.1\\@example.com/", "https://b\u00fccher.example/",
    "https://[fe80::1%25lo]/", "https://127.0.0.1:0x50/", "https://127.0.0.1:99999/", "https://[::1/",
    "https://127.0.0.1/" + "a" * 5000,
], ids=lambda url: repr(url)[:40])
def test_bad_urls(url):
    assert "secret" not in refused(INVALID, *LOOPBACK, "-a", "fe80::/10", url)


def test_environment_is_ignored(origin, authority, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    proxy = "http://127.0.0.1:1/"
    origin.asked.clear()
    status, _, _ = fetch("-c", authority.certificate, *LOOPBACK, f"https://127.0.0.1:{origin.port}/",
                         environment={"http_proxy": proxy, "https_proxy": proxy, "ALL_PROXY": proxy,
                                      "HOME": str(tmp_path)})
    assert status == 0
    assert "Authorization" not in origin.asked[0][1]


def test_nobody_there():
    server = Origin({})
    server.close()
    refused(UNAVAILABLE, *LOOPBACK, f"https://127.0.0.1:{server.port}/")
    refused(UNAVAILABLE, "https://name.invalid/")
