"""Alarms by mail: one letter to each who looks after the daemon, for what is new; never about mail itself."""
import contextlib
import sqlite3
import time

import pytest

from bridge import Bridge
from mail_server import MailServer
from ports import free_port
from test_invites import until

CONFIG = """
public_url: http://127.0.0.1:{web}
listeners: ["127.0.0.1:{web}"]
mail: {{url: "smtp://127.0.0.1:{mail}", from: bridge@acme.example{alarms}}}
profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: viewer, permissions: []}}
organizations: [{{name: partners}}]
sources:
  - {{name: staff, type: csv, path: staff.csv, key: id, interval: 0, attributes: [uid, mail, displayName, job],
     may_grant: {{profiles: [administrator, viewer]}}}}
  - {{name: partners, type: csv, path: partners.csv, key: id, interval: 0, organization: partners,
     attributes: [uid, mail, displayName, job], may_grant: {{profiles: [administrator, viewer]}}}}
rules:
  - {{id: bosses, when: "(job=boss)", grant: {{profile: administrator}}}}
policy: {{default_profile: viewer}}
"""
HEADER = "id,uid,mail,displayName,job\n"
BOTH = (HEADER + "1,dora,dora@x.example,Dora,boss\n2,emil,emil@x.example,Emil,boss\n3,fritz,fritz@x.example,Fritz,boss\n"
        "4,gerd,gerd@x.example,Gerd,\n5,hans,,Hans,boss\n")
PARTNERS = (HEADER + "1,pia,pia@y.example,Pia,boss\n2,paul,paul@y.example,Paul,boss\n3,petra,petra@y.example,Petra,boss\n"
            "4,pit,pit@y.example,Pit,\n")


@contextlib.contextmanager
def running(alarms="", mail=None, port=None):
    web = free_port()
    with (mail or MailServer()) as server:
        config = CONFIG.format(web=web, mail=port or server.port, alarms=alarms)
        with Bridge(config, {"staff.csv": BOTH, "partners.csv": PARTNERS}) as bridge:
            yield bridge, server


def raised(bridge, *names, text="something is wrong", kind="test-kind"):
    """As the daemon would; the numbers."""
    with contextlib.closing(sqlite3.connect(bridge.folder / "store.db", timeout=60)) as store, store:
        return [store.execute("INSERT INTO alarm (kind, subject, text, since_s) VALUES (?, ?, CAST(? AS TEXT), 1700000000)",
                              (kind, name, text.encode(errors="surrogateescape"))).lastrowid for name in names]


def told(bridge):
    """The last alarm that was noted for mail."""
    with contextlib.closing(sqlite3.connect(bridge.folder / "store.db", timeout=60)) as store:
        return int(store.execute("SELECT value FROM meta WHERE name = 'alarm-mailed'").fetchone()[0])


def settled(bridge):
    """All that went out is noted: a daemon that is stopped before that sends it again."""
    def waiting():
        with contextlib.closing(sqlite3.connect(bridge.folder / "store.db", timeout=60)) as store:
            return store.execute("SELECT count(*) FROM outbox").fetchone()[0]
    until(lambda: waiting() == 0)


def recipients(server):
    return sorted(to for envelope in server.envelopes for to in envelope.rcpt_tos)


def administrators(bridge):
    for number, name in enumerate(("root1", "root2", "quiet")):
        bridge.ctl("users", "create", name, "--profile", "administrator",
                   *(("--email", f"{name}@x.example") if number < 2 else ()))
    bridge.ctl("users", "create", "plain", "--email", "plain@x.example")
    bridge.ctl("users", "create", "gone", "--profile", "administrator", "--email", "gone@x.example")
    bridge.ctl("users", "disable", "gone")


def test_one_letter_each():
    """To active administrators who have an address, and to nobody else; once for each alarm, not for what is said anew."""
    with running() as (bridge, server):
        administrators(bridge)
        raised(bridge, "first", text="line one\r\nBcc: evil@x.example\r\n.\r\nä \x1b[31m\udcff")
        server.wait(2)
        assert recipients(server) == ["root1@x.example", "root2@x.example"]
        letter = server.message()
        assert letter["Subject"].startswith("Alarm of 127.0.0.1") and "test-kind" in letter["Subject"]
        assert letter["Auto-Submitted"] == "auto-generated" and letter["Bcc"] is None
        body = letter.get_content()
        assert "test-kind first" in body and "line one  Bcc: evil@x.example  .  ä  [31m?" in body
        # Said again: no letter. The daemon does it so.
        with contextlib.closing(sqlite3.connect(bridge.folder / "store.db", timeout=60)) as store, store:
            store.execute("UPDATE alarm SET text = 'again' WHERE subject = 'first'")
        settled(bridge)
        # Others soon after the first wait, and come together, by another daemon too.
        numbers = raised(bridge, *(f"n{i}" for i in range(60)))
        bridge.stop()
        bridge.start()
        server.wait(4)
        assert told(bridge) == numbers[-1]
        letter = server.message()
        assert letter["Subject"].startswith("60 alarms of ")
        body = letter.get_content()
        assert body.count("test-kind n") == 50 and "and 10 more" in body and "first" not in body
        assert len(server.envelopes) == 4


def test_very_many():
    """More than a letter holds: how many there are, and the first of them."""
    with running() as (bridge, server):
        administrators(bridge)
        raised(bridge, *(f"n{i}" for i in range(5000)), text="x" * 1000)
        server.wait(2)
        letter = server.message()
        assert letter["Subject"].startswith("5000 alarms of ")
        assert letter.get_content().count("test-kind n") == 50 and "and 4950 more" in letter.get_content()


def test_other_letters_while_alarms_cannot_be_noted():
    with running() as (bridge, server):
        administrators(bridge)
        with contextlib.closing(sqlite3.connect(bridge.folder / "store.db", timeout=60)) as store, store:
            store.execute("CREATE TRIGGER full BEFORE UPDATE ON meta WHEN NEW.name = 'alarm-mailed' "
                          "BEGIN SELECT RAISE(ABORT, 'full'); END")
        raised(bridge, "first")
        until(lambda: "full" in bridge.logged())
        bridge.ctl("invites", "create", "somebody@x.example", "--profile", "viewer")
        server.wait(1)
        assert recipients(server) == ["somebody@x.example"]
        with contextlib.closing(sqlite3.connect(bridge.folder / "store.db", timeout=60)) as store, store:
            store.execute("DROP TRIGGER full")
        server.wait(3)
        assert recipients(server) == ["root1@x.example", "root2@x.example", "somebody@x.example"]


def test_within_a_minute():
    """What follows the first is not told at once."""
    with running() as (bridge, server):
        administrators(bridge)
        begin = time.monotonic()
        first, = raised(bridge, "first")
        server.wait(2)
        raised(bridge, "second")
        bridge.ctl("users", "create", "other")
        # The thread looks each second: what it does not do is seen by what it does.
        bridge.ctl("invites", "create", "somebody@x.example", "--profile", "viewer")
        server.wait(3)
        seen = told(bridge), len(server.envelopes)
        # Of a machine that stood still nothing is asked.
        assert seen == (first, 3) or time.monotonic() - begin > 50


@pytest.mark.parametrize("alarms, expected", [
    (', alarms: [ops@x.example, noc@y.example]', ["noc@y.example", "ops@x.example"]),
    (', alarms: ops@x.example', ["ops@x.example"]),
    (', alarms: [administrators, ops@x.example]', ["ops@x.example", "root1@x.example", "root2@x.example"]),
    (', alarms: administrators', ["root1@x.example", "root2@x.example"]),
])
def test_recipients(alarms, expected):
    with running(alarms) as (bridge, server):
        administrators(bridge)
        raised(bridge, "first")
        server.wait(len(expected))
        assert recipients(server) == expected


@pytest.mark.parametrize("alarms", [", alarms: none", ", alarms: []"])
def test_nobody(alarms):
    """They are taken for told: whoever is told later gets no old ones."""
    with running(alarms) as (bridge, server):
        administrators(bridge)
        number, = raised(bridge, "first")
        until(lambda: told(bridge) == number)
        bridge.write_config(bridge.config.read_text().split("\n", 2)[2].replace(alarms, ""))
        bridge.ctl("reload")
        raised(bridge, "second")
        server.wait(2)
        assert all("first" not in server.message(i).get_content() for i in range(2))


@pytest.mark.parametrize("value, word", [("[none, ops@x.example]", "alone"), ("nonsense", "nonsense"),
                                         ('["a@b.example\\nBcc: c"]', "address"), ("{}", "alarms")])
def test_settings_refused(value, word, tmp_path):
    with running() as (bridge, _):
        bridge.write_config(CONFIG.format(web=free_port(), mail=1, alarms=", alarms: " + value))
        result = bridge.human("check")
        assert result.returncode == 1 and word in result.stdout + result.stderr


def test_not_about_mail():
    """A server that fails raises an alarm, and no letter about it; later the one that waits comes."""
    with running() as (bridge, server):
        administrators(bridge)
        server.fail = "451 later"
        raised(bridge, "first")
        until(lambda: [a for a in bridge.ctl("alarms", "list")["alarms"] if a["kind"] == "mail-failing"])
        number = max(a["id"] for a in bridge.ctl("alarms", "list")["alarms"])
        bridge.stop()
        with contextlib.closing(sqlite3.connect(bridge.folder / "store.db")) as store, store:
            rows = store.execute("SELECT count(*) FROM outbox").fetchone()[0]
            assert rows == 2
            store.execute("UPDATE outbox SET next_s = 0")
        server.fail = None
        bridge.start()
        server.wait(2)
        until(lambda: told(bridge) >= number)
        assert all("mail-failing" not in server.message(i).as_string() for i in range(2))
        until(lambda: not [a for a in bridge.ctl("alarms", "list")["alarms"] if a["kind"] == "mail-failing"])
        assert len(server.envelopes) == 2


def test_who_is_none_any_more():
    """Between noting and sending."""
    with running() as (bridge, server):
        administrators(bridge)
        server.fail = "451 later"
        raised(bridge, "first")
        until(lambda: bridge.logged().count("mail.failed") >= 1)
        bridge.ctl("users", "disable", "root1")
        bridge.stop()
        with contextlib.closing(sqlite3.connect(bridge.folder / "store.db")) as store, store:
            store.execute("UPDATE outbox SET next_s = 0")
        server.fail = None
        bridge.start()
        server.wait(1)
        settled(bridge)
        raised(bridge, "second")
        bridge.stop()
        bridge.start()
        server.wait(2)
        assert recipients(server) == ["root2@x.example"] * 2


def test_administrator_lost():
    """One loss applies and mails the others (promise 3); of another organization, its own, too, who see no more than that."""
    with running() as (bridge, server):
        bridge.ctl("users", "create", "root1", "--profile", "administrator", "--email", "root1@x.example")
        bridge.answer("sync")
        for plan in bridge.ctl("plans", "list")["plans"]:
            if plan["state"] == "held":
                bridge.ctl("apply", plan["id"])
        bridge.ctl("users", "create", "chief", "--profile", "administrator", "--email", "chief@y.example",
                   "--organization", "partners")
        until(lambda: told(bridge) >= max([0, *(a["id"] for a in bridge.ctl("alarms", "list", "--all")["alarms"])]))
        before = len(server.envelopes)
        bridge.stop()
        with contextlib.closing(sqlite3.connect(bridge.folder / "store.db")) as store, store:
            store.execute("DELETE FROM outbox")
        bridge.start()
        bridge.write("partners.csv", PARTNERS.replace("Pia,boss", "Pia,"))
        bridge.ctl("sync", "partners")
        lost = [a for a in bridge.ctl("alarms", "list")["alarms"] if a["kind"] == "administrator-lost"]
        assert len(lost) == 1 and "pia" in lost[0]["text"]
        names = until(lambda: [to for to in (to for e in server.envelopes[before:] for to in e.rcpt_tos)
                               if to == "chief@y.example"] and recipients(server))
        assert "root1@x.example" in names
        assert "pia@y.example" not in [to for e in server.envelopes[before:] for to in e.rcpt_tos]
        for i, envelope in enumerate(server.envelopes):
            if any(to.endswith("@y.example") for to in envelope.rcpt_tos):
                body = server.message(i).get_content()
                assert body.count("administrator-lost") == 1 and "plan-held" not in body
