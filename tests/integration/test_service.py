"""The daemon as a service: signals, the schedule, its threads, its end."""
import json
import signal
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from bridge import CTL, Bridge

CONFIG = """
profiles:
  - {name: administrator, permissions: ["*:*@all"]}
  - {name: viewer, permissions: ["accounts:read@own"]}
segments: [All]
roles:
  - {name: sales, description: Sells, classifications: [Sales], segments: [All], permissions: ["quotes:*@own"]}
rules:
  - {id: sellers, when: "(departmentNumber=7)", grant: {roles: [sales]}}
policy: {default_profile: viewer}
sources:
  - {name: staff, type: csv, path: staff.csv, key: id, interval: 1h, attributes: [uid, departmentNumber]}
"""
STAFF = "id,uid,departmentNumber\n1,anna,7\n2,ben,8\n"


def wait_until(question, seconds=60):
    """The first true answer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = question()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError("it did not come")


def runs(bridge, kind, state=None):
    return [run for run in bridge.ctl("runs", "list")["runs"]
            if run["kind"] == kind and state in (None, run["state"])]


def next_read(bridge):
    return bridge.ctl("status")["sources"][0]["next"]


def settled(bridge):
    """The first scheduled read has ended and the next one stands."""
    wait_until(lambda: runs(bridge, "sync", "done"))
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 600))
    wait_until(lambda: (next_read(bridge) or "") > soon)


@pytest.fixture
def bridge():
    with Bridge(CONFIG, {"staff.csv": STAFF}) as bridge:
        settled(bridge)
        yield bridge


def test_a_dry_run_moves_no_read(bridge):
    """Whoever looks at plans often must not keep the source from being read."""
    before = next_read(bridge)
    for _ in range(3):
        bridge.ctl("plan")
    assert seconds_between(before, next_read(bridge)) <= 1
    (bridge.folder / "staff.csv").unlink()
    bridge.answer("plan", "staff")
    source = bridge.ctl("status")["sources"][0]
    assert seconds_between(before, source["next"]) <= 1 and source["failures"] == 0


def seconds_between(a, b):
    read = [time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")) for text in (a, b)]
    return abs(read[1] - read[0])


def test_many_hangups_end_in_the_last_configuration(bridge):
    """They come as fast as the kernel takes them, and leave room for other work."""
    for i in range(300):
        if i == 290:
            bridge.write_config(CONFIG.replace("sellers", "dealers"))
        bridge.process.send_signal(signal.SIGHUP)
    plan = bridge.answer("plan")
    assert plan["state"] == "done" or plan["error"]["code"] == "sync-running"
    wait_until(lambda: [rule["id"] for rule in bridge.ctl("rules", "list")["rules"]] == ["dealers"])
    wait_until(lambda: not runs(bridge, "reload", "running"))
    assert not runs(bridge, "reload", "failed")
    assert "reload.refused" not in bridge.logged()


def test_threads_have_names(bridge):
    names = {(task / "comm").read_text().strip() for task in Path(f"/proc/{bridge.process.pid}/task").glob("*")}
    assert {"rolebridged", "writer", "schedule", "deadlines"} <= names


def test_termination_in_a_first_sync_loses_nothing():
    people = "id,uid,departmentNumber\n" + "".join(f"{i},user{i},{i % 10}\n" for i in range(20000))
    with Bridge(CONFIG.replace("interval: 1h", "interval: 0"), {"staff.csv": people}) as bridge:
        for phase in ("reading", "applying"):
            sync = subprocess.Popen([CTL, "--config", bridge.config, "--json", "sync"], stdin=subprocess.DEVNULL,
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            wait_until(lambda: any(run["phase"] in (phase, "applying") for run in runs(bridge, "sync")))
            begun = time.monotonic()
            assert bridge.stop() == 0
            assert time.monotonic() - begun < 60
            sync.wait(60)
            bridge.start()
            assert bridge.ctl("audit", "verify")["intact"]
            assert bridge.ctl("status")["users"]["total"] in (0, 20000)
        bridge.ctl("sync")
        assert bridge.ctl("status")["users"]["total"] == 20000


def test_progress_is_told_while_a_plan_is_applied():
    people = "id,uid,departmentNumber\n" + "".join(f"{i},user{i},7\n" for i in range(3000))
    with Bridge(CONFIG.replace("interval: 1h", "interval: 0"), {"staff.csv": people}) as bridge:
        run = bridge.ctl("sync")
        assert run["phase"] == "applying" and 1 < run["done"] == run["total"] < 3000


def test_a_full_table_of_descriptors_is_survived(bridge):
    """Connections wait or are refused; when they go, everything is as before."""
    subprocess.run(["prlimit", f"--pid={bridge.process.pid}", "--nofile=40:40"], check=True)
    crowd = []
    for _ in range(60):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(60)
        connection.connect(str(bridge.folder / "control.sock"))
        crowd.append(connection)
    for connection in crowd:
        connection.close()
    assert wait_until(lambda: bridge.run("status").returncode == 0)
    assert json.loads(bridge.run("sync").stdout)["state"] == "done"


def test_large_audit_rows_are_exported(bridge):
    """What a held plan notes may be long: pages are cut by bytes too, and one long row is no end."""
    with sqlite3.connect(bridge.folder / "store.db", timeout=60) as store:
        last, = store.execute("SELECT max(seq) FROM audit").fetchone()
        for i in range(601):
            text = json.dumps({"text": "x" * (6_000_000 if i == 300 else 10_000)})
            store.execute("INSERT INTO audit (seq, at_s, actor, action, object, request, detail, hash) "
                          "VALUES (?, 1, 0, 0, 'config', 0, ?, zeroblob(32))", (last + 1 + i, text))
    store.close()
    result = bridge.human("audit", "export")
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["seq"] for row in rows] == list(range(1, last + 602))


def test_a_socket_that_stays_private_is_told():
    with Bridge(CONFIG + 'control_group: no-such-group-here\n', {"staff.csv": STAFF}) as bridge:
        assert "start.socket-private" in bridge.logged() and "no-such-group-here" in bridge.logged()
        assert (bridge.folder / "control.sock").stat().st_mode & 0o777 == 0o600
