"""Whatever is thrown at the control socket, the daemon stays up and answers the next one."""
import random
import socket
import threading

import pytest

from bridge import Bridge
from company import config, ldif, people, read
from control import Control

SECONDS = 60


@pytest.fixture(scope="module", name="bridge")
def make_bridge():
    with Bridge(config(), {"people.ldif": ldif(range(40))}) as bridge:
        assert read(bridge)["complete"]
        yield bridge


@pytest.fixture(autouse=True)
def stays_up(bridge):
    """Same process, same people, sound log, after each of the tests."""
    before = people(bridge.folder / "store.db")
    yield
    assert bridge.process.poll() is None, bridge.logged()[-3000:]
    assert bridge.ctl("status")["users"]["total"] == 40
    assert people(bridge.folder / "store.db") == before
    assert bridge.ctl("audit", "verify")["intact"]


def send(bridge, data, half_close=True):
    """All that is answered to some bytes, until the daemon closes."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(SECONDS)
        client.connect(str(bridge.folder / "control.sock"))
        received = b""
        try:
            client.sendall(data)
            if half_close:
                client.shutdown(socket.SHUT_WR)
            while chunk := client.recv(65536):
                received += chunk
        except (BrokenPipeError, ConnectionResetError):
            pass
        return received


def post(path, body, *headers):
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def status_of(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else None


def test_garbage(bridge):
    chance = random.Random(1)
    for size in [1, 2, 16, 300, 5000, 70_000]:
        for _ in range(5):
            answer = send(bridge, chance.randbytes(size))
            assert status_of(answer) in (None, 400, 413, 414, 431, 501, 505), answer[:200]
    for data in [b"", b"\0" * 1000, b"\r\n" * 1000, b"GET", b"GET / HTTP/1.1\r\n", b"GET / HTTP/9.9\r\n\r\n",
                 b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET http://[::1 HTTP/1.1\r\n\r\n",
                 b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
                 b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 50_000 + b"\r\n"]:
        assert status_of(send(bridge, data)) != 200


@pytest.mark.parametrize("name, headers, body", [
    ("two lengths", ["Content-Length: 2", "Content-Length: 30"], b"{}"),
    ("length and chunks", ["Content-Length: 2", "Transfer-Encoding: chunked"], b"0\r\n\r\n"),
    ("two hosts", ["Host: elsewhere", "Content-Length: 2"], b"{}"),
    ("negative length", ["Content-Length: -1"], b"{}"),
    ("endless length", ["Content-Length: 99999999999999999999999"], b"{}"),
    ("bad chunks", ["Transfer-Encoding: chunked"], b"zz\r\n{}\r\n0\r\n\r\n"),
])
def test_ambiguous_framing_is_refused(bridge, name, headers, body):
    answer = send(bridge, post("/api/v1/users/p000001/disable", body, *headers))
    assert status_of(answer) in (None, 400, 413), answer[:200]


@pytest.mark.parametrize("body", [
    b"{", b"[]", b"null", b"{}{}", b'{"reason": 1}', b'{"reason": "a", "reason": "b"}', b'{"what": 1}',
    b'{"reason": "\xff"}', b'{"reason": "a\\u0000b"}', b'{"reason": "\\ud800"}', b'{"reason":' * 5000,
    b"[" * 100_000, b'{"reason": "' + b"x" * 5000 + b'"}', b'{"reason": 1e999999}', b"\xef\xbb\xbf{}",
], ids=lambda body: body[:20].hex())
def test_bodies_that_are_no_request(bridge, body):
    answer = send(bridge, post("/api/v1/users/p000001/disable", body, f"Content-Length: {len(body)}",
                               "Connection: close"))
    assert status_of(answer) in (400, 413, 422), answer[:300]
    assert b'"code"' in answer, answer


def test_half_requests(bridge):
    """Cut anywhere, nothing is done: what stands in the body may be half of what was meant."""
    body = b'{"reason": "left the company"}'
    whole = post("/api/v1/users/p000001/disable", body, f"Content-Length: {len(body)}")
    for size in range(0, len(whole), 7):
        assert status_of(send(bridge, whole[:size])) != 200, whole[:size]


def test_huge_bodies(bridge):
    size = 1 << 30
    for headers in (["Content-Length: %d" % size], ["Transfer-Encoding: chunked"]):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(SECONDS)
            client.connect(str(bridge.folder / "control.sock"))
            chunk = b"x" * (1 << 20)
            framed = b"%x\r\n%s\r\n" % (len(chunk), chunk) if "chunked" in headers[0] else chunk
            received = b""
            try:
                client.sendall(post("/api/v1/users/p000001/disable", b"", *headers))
                for _ in range(200):
                    client.sendall(framed)
                client.shutdown(socket.SHUT_WR)
                received = client.recv(65536)
            except OSError:
                pass  # it stopped listening, as it may
            assert status_of(received) in (None, 413, 400), received[:200]
    resident = next(int(line.split()[1]) for line in open(f"/proc/{bridge.process.pid}/status", encoding="ascii")
                    if line.startswith("VmRSS"))
    assert resident < 200 * 1024, f"{resident} KiB: bodies are not kept"


def test_two_hundred_clients_at_once(bridge):
    """Each is answered, or told to come back; those that say nothing do not keep others out for good."""
    answers, lock = [], threading.Lock()

    def ask():
        try:
            status, answer = Control(bridge.folder / "control.sock", SECONDS).ask("GET", "status")
        except (OSError, ConnectionError) as error:
            status, answer = 0, error
        except Exception as error:  # pylint: disable=broad-except
            status, answer = -1, error
        with lock:
            answers.append((status, answer))
    threads = [threading.Thread(target=ask) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(3 * SECONDS)
    assert len(answers) == 200
    good = sum(1 for status, _ in answers if status == 200)
    print(f"{good} of 200 answered")
    assert good >= 100 and all(status in (0, -1, 200, 503) for status, _ in answers), answers


def test_many_parallel_changes(bridge):
    """Fifty people disable and enable; every acknowledged change is in the log, once."""
    before = bridge.ctl("status")["audit"]["rows"]
    done, lock = [], threading.Lock()

    def work(number):
        control = Control(bridge.folder / "control.sock", SECONDS)
        for verb, body in (("disable", {"reason": "x"}), ("enable", None)):
            status, answer = control.ask("POST", f"users/p{20 + number % 20:06d}/{verb}", body)
            with lock:
                done.append((status, answer))
    threads = [threading.Thread(target=work, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(3 * SECONDS)
    assert len(done) == 100 and all(status in (200, 409) for status, _ in done), done
    for number in range(20, 40):
        if not bridge.ctl("users", "show", f"p{number:06d}")["active"]:
            bridge.ctl("users", "enable", f"p{number:06d}")
    assert bridge.ctl("status")["audit"]["rows"] > before


def test_silent_clients_do_not_keep_others_out(bridge):
    idle = []
    try:
        for _ in range(60):
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(bridge.folder / "control.sock"))
            client.sendall(b"POST /api/v1/sync HTTP/1.1\r\nHost: x\r\nContent-Le")
            idle.append(client)
        assert bridge.ctl("status")
    finally:
        for client in idle:
            client.close()
