"""A tiny name server on loopback, port 53: in a network namespace of the test's own.

    names = Names()
    names.service["_ldap._tcp.corp.test"] = [(10, 0, 389, "dc1.corp.test")]
    names.address["dc1.corp.test"] = "127.0.0.1"

run_inside(file, name) runs one test of a file again where such a server can be.
"""
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

INSIDE = "ROLEBRIDGE_TEST_NAMESPACE"
A, AAAA, SRV, IN = 1, 28, 33, 1
NO_SUCH_NAME = 3
SECONDS = 120


def namespace_problem():
    """Why none can be had here; None: they can."""
    if not shutil.which("unshare"):
        return "unshare is not installed"
    tried = subprocess.run(["unshare", "-rmn", "mount", "--bind", "/dev/null", "/etc/resolv.conf"],
                           capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"no namespaces here: {tried.stderr.strip()}"


def run_inside(file, name):
    """The same test, in a mount and network namespace where loopback is the name server. True: it was run there."""
    if os.environ.get(INSIDE):
        return False
    problem = namespace_problem()
    if problem:
        pytest.skip(problem)
    words = ["unshare", "-rmn", "--kill-child", sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
             f"{file}::{name}"]
    done = subprocess.run(words, env={**os.environ, INSIDE: "1"}, capture_output=True, text=True, check=False,
                          timeout=SECONDS)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout[-6000:] + done.stderr[-2000:]
    return True


def raise_loopback():
    request = struct.pack("16sH14x", b"lo", 0x1 | 0x40)  # IFF_UP | IFF_RUNNING
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, 0x8914, request)  # SIOCSIFFLAGS


def use_loopback(folder, options="timeout:1 attempts:2"):
    """Only inside: names are asked for at 127.0.0.1."""
    raise_loopback()
    resolv = Path(folder) / "resolv.conf"
    resolv.write_text(f"nameserver 127.0.0.1\noptions {options}\n")
    subprocess.run(["mount", "--bind", resolv, "/etc/resolv.conf"], check=True)


def encode_name(name):
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"


def decode_question(packet):
    parts, at = [], 12
    while packet[at]:
        parts.append(packet[at + 1:at + 1 + packet[at]].decode())
        at += 1 + packet[at]
    (kind,) = struct.unpack_from("!H", packet, at + 1)
    return ".".join(parts).lower(), kind, packet[12:at + 5]


class Names:
    """address: host to IPv4; service: name to [(priority, weight, port, host)]. Both may be changed at any time."""

    def __init__(self):
        self.address, self.service, self.asked = {}, {}, []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 53))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _records(self, name, kind):
        if kind == A and name in self.address:
            return [socket.inet_aton(self.address[name])]
        if kind == SRV:
            return [struct.pack("!HHH", *record[:3]) + encode_name(record[3]) for record in self.service.get(name, [])]
        return []

    def _answer(self, packet):
        name, kind, question = decode_question(packet)
        self.asked.append((name, kind))
        known = name in self.address or name in self.service
        records = self._records(name, kind)
        head = packet[:2] + struct.pack("!HHHHH", 0x8580 | (0 if known else NO_SUCH_NAME), 1, len(records), 0, 0)
        return head + question + b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, IN, 0, len(data)) + data
                                          for data in records)

    def _serve(self):
        while True:
            try:
                packet, sender = self._socket.recvfrom(4096)
            except OSError:
                return
            self._socket.sendto(self._answer(packet), sender)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._socket.close()


class Silent:
    """Takes questions, and never answers: with use_loopback(folder, Silent.PATIENT) whoever asks waits for minutes."""

    PATIENT = "timeout:30 attempts:5"

    def __init__(self):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 53))
        self._socket.settimeout(SECONDS)

    def wait_asked(self, name):
        while decode_question(self._socket.recvfrom(4096)[0])[0] != name:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()
