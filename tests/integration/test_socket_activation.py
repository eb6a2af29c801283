"""Sockets that systemd opened: the daemon answers at them, leaves them alone, and says when they do not fit."""
import fcntl
import os
import shlex
import socket
import subprocess
import time

import requests

from bridge import DAEMON, Bridge

PROFILES = 'profiles: [{name: administrator, permissions: ["*:*@all"]}]\n'
WEB = 'public_url: "http://127.0.0.1:{port}"\nlisteners: [{{address: "systemd:web"}}]\n'


def listening(address, group=None):
    kind = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    server = socket.socket(kind)
    server.bind(address)
    if kind == socket.AF_UNIX:
        os.chmod(address, 0o660)
        if group is not None:
            os.chown(address, -1, group)
    server.listen()
    return server


class Activated(Bridge):
    """As systemd starts it: descriptors from 3 on, LISTEN_PID its own."""

    def __init__(self, config, sockets, **options):
        super().__init__(config, **options)
        self.sockets = sockets

    def start(self):
        begun = self.log.stat().st_size if self.log.exists() else 0
        # Above those that they become; the shell's pid becomes the daemon's.
        copies = [fcntl.fcntl(server.fileno(), fcntl.F_DUPFD_CLOEXEC, 100) for _, server in self.sockets]
        moves = " ".join(f"{3 + i}<&{fd} {fd}<&-" for i, fd in enumerate(copies))
        names = ":".join(name for name, _ in self.sockets)
        command = (f"LISTEN_PID=$$ LISTEN_FDS={len(self.sockets)} LISTEN_FDNAMES={names} "
                   f"exec {shlex.quote(str(DAEMON))} --config {shlex.quote(str(self.config))} {moves}")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(["/bin/bash", "-c", command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=self.folder, pass_fds=copies)
        for fd in copies:
            os.close(fd)
        end = time.monotonic() + 60
        while b"start.ready" not in self.log.read_bytes()[begun:]:
            assert self.process.poll() is None, self.logged()
            assert time.monotonic() < end, self.logged()
            time.sleep(0.02)
        return self


def test_control_socket(tmp_path):
    path = str(tmp_path / "control.sock")
    with listening(path) as server:
        before = os.stat(path)
        with Activated(PROFILES, [("control", server)], folder=tmp_path) as bridge:
            assert bridge.ctl("status")["version"]
            assert bridge.stop() == 0
            # It is systemd's: as it was, and the next process answers at it, to whom asked in between too.
            assert os.stat(path).st_ino == before.st_ino and os.stat(path).st_mode == before.st_mode
            with socket.socket(socket.AF_UNIX) as early:
                early.settimeout(60)
                early.connect(path)
                early.sendall(b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                bridge.start()
                assert early.recv(4096).startswith(b"HTTP/1.1 200 ")
            assert bridge.stop() == 0


def test_control_socket_elsewhere(tmp_path):
    """Nobody would ever answer at one of the two."""
    with listening(str(tmp_path / "other.sock")) as server:
        bridge = Activated(PROFILES, [("control", server)], folder=tmp_path)
        try:
            bridge.start()
            raised = False
        except AssertionError:
            raised = True
        finally:
            bridge.close()
        assert raised and "ListenStream=" in bridge.logged() and "other.sock" in bridge.logged()


def test_control_socket_of_another_group(tmp_path):
    """Who is in control_group could not connect, and would not know why."""
    with listening(str(tmp_path / "control.sock")) as server:
        with Activated(PROFILES + "control_group: no-such-group-here\n", [("control", server)], folder=tmp_path) as bridge:
            assert "start.socket-private" in bridge.logged()


def test_web_socket(tmp_path):
    control, web = listening(str(tmp_path / "control.sock")), listening(("127.0.0.1", 0))
    with control, web:
        port = web.getsockname()[1]
        url = f"http://127.0.0.1:{port}/healthz"
        with Activated(PROFILES + WEB.format(port=port), [("web", web), ("control", control)], folder=tmp_path) as bridge:
            assert requests.get(url, timeout=60).status_code == 200
            assert "listen.unused" not in bridge.logged()
            assert bridge.stop() == 0
            bridge.start()
            assert requests.get(url, timeout=60).status_code == 200
            assert bridge.ctl("status")["version"]


def test_a_socket_that_nobody_serves(tmp_path):
    with listening(("127.0.0.1", 0)) as web:
        with Activated(PROFILES, [("web", web)], folder=tmp_path) as bridge:
            assert "listen.unused" in bridge.logged()
            # Without one for it the control socket is made as ever.
            assert bridge.ctl("status")["version"]



def test_a_web_socket_that_nobody_enabled(tmp_path):
    """The alarm says what to do about it."""
    with Bridge(PROFILES + 'public_url: "https://login.example.com"\nlisteners: ["systemd:web"]\n', folder=tmp_path) as bridge:
        end = time.monotonic() + 60
        while not (alarms := bridge.ctl("alarms", "list")["alarms"]):
            assert time.monotonic() < end, bridge.logged()
            time.sleep(0.05)
        alarm, = alarms
        assert alarm["kind"] == "listener" and "'web'" in alarm["text"] and "rolebridged-web.socket" in alarm["text"]


def test_a_web_socket_that_stays_private(tmp_path):
    """The proxy could not connect, and nobody would know why."""
    config = PROFILES + (f'public_url: "http://127.0.0.1:1"\nlisteners: [{{address: "unix:{tmp_path}/web.sock",'
                         ' group: no-such-group-here}]\n')
    with Bridge(config, folder=tmp_path) as bridge:
        assert "listen.socket-private" in bridge.logged() and "no-such-group-here" in bridge.logged()
        assert (tmp_path / "web.sock").stat().st_mode & 0o777 == 0o600
