"""After a restore nobody comes in by what was good before it, nor anew before each source was read; mail waits for a person."""
import sqlite3
from contextlib import closing

import pytest

import passwords
from browser import Browser
from control import Bearer

SOURCE = "sources:\n  - {name: people, type: csv, path: people.csv, key: id, interval: 0}\n"
PEOPLE = "id,uid,mail\n1,p1,p1@a.example\n"


@pytest.fixture(name="world")
def make_world():
    with passwords.world() as world:
        bridge = world.bridge
        bridge.write("people.csv", PEOPLE)
        bridge.config.write_text(bridge.config.read_text() + SOURCE)
        bridge.stop()
        bridge.start()
        bridge.ctl("sync", "people")
        yield world


def restored(world):
    """The store as it was when the backup was made, just now."""
    bridge = world.bridge
    bridge.ctl("backup", bridge.folder / "backup.db")
    return put_back(world)


def put_back(world):
    bridge = world.bridge
    bridge.stop()
    answer = bridge.ctl("restore", bridge.folder / "backup.db")
    bridge.start()
    return answer


def outbox(world):
    with closing(sqlite3.connect(world.bridge.folder / "store.db", timeout=60)) as db:
        return db.execute("SELECT kind, attempts FROM outbox WHERE kind = 'invite'").fetchall()


def by_token(world, token):
    return Bearer(world.bridge.folder / "control.sock", token).ask("GET", "me")


def test_signing_in_waits(world):
    world.invited("ada")
    browser, page = world.sign_in("ada", passwords.PASSWORD)
    assert page.status_code == 200
    token = world.bridge.ctl("tokens", "create", "t", "--user", "ada")["token"]
    assert by_token(world, token)[0] == 200
    answer = restored(world)
    assert answer["sessions"] == 1 and answer["tokens_kept"] == 1
    # What was good before is void, and nothing new is given.
    assert browser.request("GET", world.application).status_code in (302, 303)
    again, page = world.sign_in("ada", passwords.PASSWORD)
    assert page.status_code == 503, page.text
    assert again.request("GET", world.application).status_code in (302, 303)
    status, answer = by_token(world, token)
    assert (status, answer["code"]) == (503, "restored")
    world.bridge.ctl("sync", "people")
    assert world.has("ada", passwords.PASSWORD)
    assert by_token(world, token)[0] == 200


def test_links_are_void(world):
    """An invite that was sent before the restore, or between backup and restore, lets nobody in; nor does a reset."""
    world.invited("ada")
    bridge = world.bridge
    bridge.ctl("invites", "create", "ben@acme.example", "--username", "ben", "--profile", "viewer")
    invite = world.link("ben", passwords.INVITE)
    reset = world.reset_token("ada")
    answer = restored(world)
    assert answer["invites"] == 1
    bridge.ctl("sync", "people")
    assert Browser().get(world.url(f"/invite/{invite}")).status_code >= 400
    assert world.set_new(reset, passwords.OTHER).status_code >= 400
    assert world.has("ada", passwords.PASSWORD)
    assert [one["state"] for one in bridge.ctl("invites", "list")["invites"] if one["username"] == "ben"] == ["revoked"]


def test_mail_waits(world):
    """Until a person has looked."""
    bridge = world.bridge
    restored(world)
    bridge.ctl("sync", "people")
    bridge.ctl("invites", "create", "cid@acme.example", "--username", "cid", "--profile", "viewer")
    assert outbox(world) == [("invite", 0)]
    bridge.ctl("restored", "release")
    assert world.link("cid", passwords.INVITE)


def test_root_gets_in(world):
    """Root's link is the way in while nobody else has one."""
    bridge = world.bridge
    restored(world)
    made = bridge.run("login-link", "boss")
    if made.returncode != 0:
        pytest.skip("only root makes such links")
    link = bridge.ctl("login-link", "boss")["url"]
    page = Browser().get(link)
    assert page.status_code == 200, page.text
