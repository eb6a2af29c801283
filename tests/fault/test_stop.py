"""The end of the daemon in mid-plan, and a start with a plan that cannot be read."""
import signal
import sqlite3
import subprocess
import time

from bridge import CTL, Bridge

COUNT = 20000
CONFIG = """
profiles: [{name: administrator}, {name: viewer}]
segments: [All]
roles: [{name: sales, classifications: [Sales], segments: [All]}]
rules: [{id: sellers, when: "(departmentNumber=7)", grant: {roles: [sales]}}]
policy: {default_profile: viewer}
sources:
  - {name: staff, type: csv, path: staff.csv, key: id, interval: 0, attributes: [uid, mail, departmentNumber]}
"""
STAFF = "id,uid,mail,departmentNumber\n" + "".join(
    f"{i},user{i},user{i}@x.example,{i % 10}\n" for i in range(COUNT))


def ask(bridge, statement):
    with sqlite3.connect(f"file:{bridge.folder / 'store.db'}?mode=ro", uri=True, timeout=60) as db:
        return db.execute(statement).fetchall()


def end_in_mid_plan(bridge):
    """SIGTERM as soon as a batch is applied. The seconds it took to end."""
    with subprocess.Popen([CTL, "--config", bridge.config, "--json", "sync"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as command:
        deadline = time.monotonic() + 300
        while not ask(bridge, "SELECT 1 FROM plan WHERE state = 2 AND batches_done > 0"):
            assert time.monotonic() < deadline and command.poll() is None
        begun = time.monotonic()
        bridge.process.send_signal(signal.SIGTERM)
        assert bridge.process.wait(60) == 0
        took = time.monotonic() - begun
        command.wait(60)
    return took


def test_end_in_mid_plan_then_go_on():
    with Bridge(CONFIG, {"staff.csv": STAFF}) as bridge:
        end_in_mid_plan(bridge)
        (done, batches), = ask(bridge, "SELECT batches_done, batches FROM plan WHERE state = 2")
        assert 0 < done < batches
        assert ask(bridge, "SELECT count(*) FROM user")[0][0] < COUNT
        bridge.start()
        status = bridge.ctl("status")
        assert status["users"]["total"] == COUNT and not status["alarms"]
        report, = bridge.ctl("sync")["reports"]
        assert report["created"] == report["updated"] == 0
        assert bridge.ctl("audit", "verify")["intact"]


def test_start_with_a_plan_that_cannot_be_read():
    with Bridge(CONFIG, {"staff.csv": STAFF}) as bridge:
        end_in_mid_plan(bridge)
        with sqlite3.connect(bridge.folder / "store.db") as db:
            db.execute("UPDATE plan_batch SET data = substr(data, 1, 1000) "
                       "WHERE seq = (SELECT max(seq) FROM plan_batch)")
        bridge.start()
        alarm, = bridge.ctl("status")["alarms"]
        assert alarm["kind"] == "plan-damaged" and "clear this alarm" in alarm["text"]
        plan, = bridge.ctl("plans", "list", "--state", "damaged")["plans"]
        refused = bridge.run("apply", plan["id"])
        assert refused.returncode == 1 and "alarms clear" in refused.stdout + refused.stderr
        bridge.ctl("sync")
        assert bridge.ctl("status")["users"]["total"] == COUNT
        bridge.ctl("alarms", "clear", str(alarm["id"]))
        assert not bridge.ctl("plans", "list", "--state", "damaged")["plans"]
        assert not bridge.ctl("status")["alarms"]
        assert bridge.ctl("audit", "verify")["intact"]
