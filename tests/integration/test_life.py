"""From start to end: what the service manager is told, reloads in the middle of a start, standard files that are closed."""
import contextlib
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from bridge import CTL, DAEMON, Bridge
from ports import free_port

CONFIG = """
profiles:
  - {name: administrator, permissions: ["*:*@all"]}
  - {name: viewer, permissions: []}
policy: {default_profile: viewer}
sources:
  - {name: people, type: csv, path: people.csv, key: id, interval: 0}
"""
PEOPLE = {"people.csv": "id,uid,mail\n1,a,a@b.example\n"}
SECONDS = 120


class Manager:
    """The socket that a service manager listens on, and the daemon as it would start it."""

    def __init__(self, folder, bridge, **environment):
        self.bridge = bridge
        self.path = folder / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.settimeout(SECONDS)
        with open(bridge.log, "ab") as log:
            bridge.process = subprocess.Popen([DAEMON, "--config", bridge.config], stdin=subprocess.DEVNULL, stdout=log,
                                              stderr=log, cwd=bridge.folder,
                                              env=os.environ | {"NOTIFY_SOCKET": str(self.path)} | environment)

    def next(self, wanted=("READY", "RELOADING", "STOPPING")):
        """The next message that says one of these, as a dictionary."""
        while True:
            told = dict(line.split("=", 1) for line in self.socket.recv(65536).decode().splitlines())
            if told.keys() & set(wanted):
                return told


@pytest.fixture(name="bridge")
def prepared(tmp_path):
    bridge = Bridge(CONFIG, PEOPLE, folder=tmp_path)
    with contextlib.closing(bridge):
        yield bridge


def test_the_manager_is_told(bridge, tmp_path):
    """As sd_notify(3) has it, with the time that makes Type=notify-reload possible."""
    manager = Manager(tmp_path, bridge)
    told = manager.next()
    assert told["READY"] == "1" and told["STATUS"] == "Running"
    before = time.monotonic_ns() // 1000
    bridge.process.send_signal(signal.SIGHUP)
    told = manager.next()
    assert told["RELOADING"] == "1" and before <= int(told["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    assert manager.next() == {"READY": "1", "STATUS": "Running"}
    bridge.write_config(CONFIG + "nothing: of the kind\n")
    bridge.process.send_signal(signal.SIGHUP)
    assert "RELOADING" in manager.next()
    told = manager.next()
    assert told["READY"] == "1" and "refused" in told["STATUS"]
    bridge.process.send_signal(signal.SIGTERM)
    told = manager.next()
    assert told["STOPPING"] == "1" and "STATUS" in told
    assert bridge.process.wait(SECONDS) == 0


def test_the_watchdog_is_fed(bridge, tmp_path):
    """Three times in what it waits for, by a daemon whose web side is asked nothing."""
    bridge.write_config(CONFIG + f'public_url: "http://127.0.0.1:1"\nlisteners: [{{address: "127.0.0.1:{free_port()}"}}]\n')
    manager = Manager(tmp_path, bridge, WATCHDOG_USEC="3000000")
    manager.next(("READY",))
    for _ in range(3):
        manager.next(("WATCHDOG",))
    bridge.process.send_signal(signal.SIGTERM)
    manager.next(("STOPPING",))
    assert bridge.process.wait(SECONDS) == 0


def test_a_reload_in_the_middle_of_a_start_waits(bridge, tmp_path):
    """The control socket answers before all is there; what came by a reload must not be undone by the rest of the start."""
    listeners = ", ".join(f'{{address: "127.0.0.1:{free_port()}"}}' for _ in range(16))
    bridge.write_config(CONFIG + f'public_url: "http://127.0.0.1:1"\nlisteners: [{listeners}]\n')
    manager = Manager(tmp_path, bridge)
    path = str(bridge.folder / "control.sock")
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.connect(path)
            break
    done = []
    reload = threading.Thread(target=lambda: done.append(subprocess.run(
        [CTL, "--config", bridge.config, "reload"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=SECONDS, check=False)))
    reload.start()
    first = manager.next()
    reload.join()
    assert "READY" in first and "RELOADING" not in first, first
    assert done[0].returncode == 0, done[0].stderr
    assert "RELOADING" in manager.next() and "READY" in manager.next()
    assert bridge.logged().index("start.ready") < bridge.logged().index("reload.done")


@pytest.mark.parametrize("closed", [(0,), (2,), (0, 1, 2)], ids=lambda closed: "-".join(map(str, closed)))
def test_closed_standard_files_are_no_place_for_ours(bridge, closed):
    """Else the lock, the store or a socket would be what log lines are written to."""
    def close():
        for number in closed:
            os.close(number)

    with open(bridge.log, "ab") as log:
        bridge.process = subprocess.Popen([DAEMON, "--config", bridge.config], stdin=subprocess.DEVNULL, stdout=log,
                                          stderr=log, cwd=bridge.folder, preexec_fn=close)
    end = time.monotonic() + SECONDS
    while bridge.run("status").returncode != 0:
        assert bridge.process.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    for number in closed:
        assert os.readlink(f"/proc/{bridge.process.pid}/fd/{number}") == "/dev/null"
    assert bridge.stop() == 0
    assert (bridge.folder / "store.db.lock").read_bytes() == b""
