"""Webhooks, end to end: what happens to people, at a receiver that keeps connections, checks each signature and may fail."""
import json
import random
import subprocess
import threading
import time
import urllib.parse
from pathlib import Path

import pytest

import name_server
import webhook_receiver as faults
from bridge import DAEMON, Bridge
from ports import free_port
from web import Authority
from webhook_receiver import Receiver

SECRET = "whsec_" + "c2lnbmVkIHdpdGggdGhpcyBzZWNyZXQgYWxvbmU="
OTHER = "another secret, of plain text, which is long enough"
SETTLED_SECONDS = 120

CONFIG = """
profiles:
  - {name: administrator, permissions: ["*:*@all"]}
  - {name: manager, permissions: ["accounts:*@all"]}
  - {name: viewer, permissions: ["accounts:read@own"]}
segments: [All]
organizations: [{name: partners}]
roles:
  - {name: sales, description: Sells, classifications: [Sales], segments: [All], permissions: ["quotes:*@own"]}
policy: {default_profile: viewer}
outgoing: {allowed_networks: [127.0.0.0/8]}
targets:
"""


def target(receiver, name="app", secrets=("secret",), more=""):
    url = receiver if isinstance(receiver, str) else receiver.url
    files = ", ".join(f"FOLDER/{secret}" for secret in secrets)
    more = (", " + more if more else "") + ("" if "timeout:" in more else ", timeout: 60s")
    return (f"  - {{name: {name}, type: webhook, url: \"{url}\", secret_files: [{files}], retry_min: 1s, retry_max: 2s"
            f"{more}}}\n")


class Hooked(Bridge):
    """With the secrets' files, which no other may read."""

    def __init__(self, *targets, before=CONFIG, secrets=None):
        super().__init__("", {})
        for name, text in (secrets or {"secret": SECRET, "other": OTHER}).items():
            self.write_secret(name, text)
        self.configure(*targets, before=before)

    def write_secret(self, name, text):
        path = self.write(name + ".new", text + "\n")
        path.chmod(0o600)
        path.rename(self.folder / name)

    def configure(self, *targets, before=CONFIG):
        self.write_config((before + "".join(targets)).replace("FOLDER", str(self.folder)))

    def target(self, name="app"):
        (found,) = [one for one in self.ctl("targets", "list")["targets"] if one["name"] == name]
        return found

    def until(self, condition, name="app"):
        end = time.monotonic() + SETTLED_SECONDS
        while not condition(state := self.target(name)):
            assert time.monotonic() < end, f"{state}\n{self.logged()[-6000:]}"
            time.sleep(0.05)
        return state

    def until_delivered(self, name="app"):
        return self.until(lambda state: state["waiting"] == 0, name)

    def until_failing(self, name="app"):
        return self.until(lambda state: state["problem"], name)

    def create(self, name, *more):
        return self.ctl("users", "create", name, *more)


@pytest.fixture
def receiver():
    with Receiver([SECRET]) as receiver:
        yield receiver


def test_a_life(receiver):
    with Hooked(target(receiver)) as bridge:
        bridge.create("ada", "--email", "ada@x.example", "--name", "Ada")
        bridge.ctl("users", "set", "ada", "--name", "Ada L.")
        bridge.ctl("users", "grant", "ada", "role", "sales")
        bridge.ctl("users", "grant", "ada", "profile", "manager")
        bridge.ctl("users", "disable", "ada")
        bridge.ctl("users", "enable", "ada")
        bridge.ctl("users", "revoke", "ada", "role", "sales")
        bridge.ctl("users", "disable", "ada")
        bridge.ctl("users", "delete", "ada")
        receiver.wait(lambda events: len(events) >= 9)
        bridge.until_delivered()
        uuid = receiver.events[0]["data"]["user"]["id"]
    assert receiver.types() == ["user.provisioned", "user.updated", "grants.changed", "grants.changed", "user.disabled",
                                "user.enabled", "grants.changed", "user.disabled", "user.deleted"]
    data = [event["data"] for event in receiver.events]
    assert {one["user"]["id"] for one in data} == {uuid}
    assert data[0]["user"] | {"id": ""} == {
        "id": "", "username": "ada", "email": "ada@x.example", "display_name": "Ada", "organization": "default",
        "active": True, "profile": "viewer", "roles": [], "personas": [], "groups": []}
    assert data[1]["changed"] == {"display_name": ["Ada", "Ada L."]}
    assert data[2]["gained"] == [{"kind": "role", "name": "sales"}] and data[2]["user"]["roles"] == ["sales"]
    assert data[3]["changed"] == {"profile": ["viewer", "manager"]}
    assert data[4]["disabled"] == ["hand"] and not data[4]["user"]["active"]
    assert data[5]["user"]["active"] and "disabled" not in data[5]
    assert data[6]["lost"] == [{"kind": "role", "name": "sales"}] and data[6]["user"]["roles"] == []
    sequence = [event["sequence"] for event in receiver.events]
    assert sequence == sorted(set(sequence))
    assert len({event["id"] for event in receiver.events}) == len(receiver.events)
    # One person's events go one after the other, over one connection.
    assert len(receiver.connections) == 1


def test_many_people_share_connections(receiver):
    people = 300
    with Hooked(target(receiver, more="concurrency: 4")) as bridge:
        rows = "username,email\n" + "".join(f"p{i},p{i}@x.example\n" for i in range(people))
        bridge.ctl("import", "users", bridge.write("people.csv", rows))
        receiver.wait(lambda events: len(events) >= people)
        bridge.until_delivered()
    assert sorted(event["data"]["user"]["username"] for event in receiver.events) == sorted(f"p{i}" for i in range(people))
    assert len(receiver.connections) <= 4


def test_pinned_authority(tmp_path):
    authority, stranger = Authority(tmp_path), tmp_path / "stranger"
    stranger.mkdir()
    stranger = Authority(stranger)
    with Receiver([SECRET], authority.issue("hook")) as receiver, \
            Receiver([SECRET], authority.issue("other", "DNS:other.example")) as other, \
            Hooked(target(receiver, more=f"ca_file: {authority.certificate}"),
                   target(receiver, name="stranger", more=f"ca_file: {stranger.certificate}"),
                   target(other, name="other", more=f"ca_file: {authority.certificate}"),
                   target(receiver, name="system")) as bridge:
        bridge.create("ada")
        receiver.wait(lambda events: len(events) >= 1)
        bridge.until_delivered()
        for name in "stranger", "system":
            assert "certificate" in bridge.until_failing(name)["problem"]
        assert "127.0.0.1" in bridge.until_failing("other")["problem"]
        assert receiver.types() == ["user.provisioned"] and not other.asked


def test_filters(receiver):
    # The path says which target it was.
    with Hooked(target(receiver.url + "?events", name="events", more="events: [user.disabled, user.enabled]"),
                target(receiver.url + "?partners", name="partners", more="organizations: [partners]"),
                target(receiver.url + "?managers", name="managers", more="profiles: [manager]")) as bridge:
        seen = {"events": [], "partners": [], "managers": []}
        take = receiver.take

        def note(handler):
            seen[urllib.parse.urlsplit(handler.path).query].append(handler)
            take(handler)

        receiver.take = note
        bridge.create("ada")
        bridge.create("bob")
        bridge.ctl("users", "move", "bob", "partners")
        bridge.ctl("users", "grant", "ada", "profile", "manager")
        bridge.ctl("users", "revoke", "ada", "profile", "manager")
        bridge.ctl("users", "disable", "ada")
        for name in seen:
            bridge.until_delivered(name)
    told = {name: len(handlers) for name, handlers in seen.items()}
    assert told == {"events": 1, "partners": 1, "managers": 2}, told


FAULTS = {
    "500": lambda receiver: faults.status(500),
    "404": lambda receiver: faults.status(404),
    "redirect": lambda receiver: faults.status(302, headers=[("Location", receiver.url)]),
    "permanent redirect": lambda receiver: faults.status(308, headers=[("Location", receiver.url)]),
    "hangs": faults.hang,
    "closes": lambda receiver: faults.close_at_once,
    "closes before the body": lambda receiver: faults.close_before_body,
    "closes in mid answer": lambda receiver: faults.close_mid_answer,
    "a byte a second": faults.drip,
    "no HTTP": lambda receiver: faults.no_http,
    "endless": lambda receiver: faults.endless(500),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(receiver, fault):
    """What was not taken comes again, the same; nothing that the other side says is shown; decisions do not wait."""
    receiver.fault = FAULTS[fault](receiver)
    # What is waited for to its end is waited for so long.
    timeout = "10s" if fault in ("hangs", "a byte a second") else "60s"
    with Hooked(target(receiver, more=f"timeout: {timeout}")) as bridge:
        bridge.create("ada")
        state = bridge.until_failing()
        assert state["waiting"] == 1 and not receiver.events
        bridge.ctl("users", "disable", "ada")
        assert bridge.target()["waiting"] == 2
        receiver.fault = None
        receiver.release.set()
        bridge.ctl("targets", "retry", "app")
        receiver.wait(lambda events: len(events) >= 2)
        bridge.until_delivered()
        assert bridge.target()["problem"] is None
        said = bridge.logged() + json.dumps(state)
        assert bridge.workers() == []
    assert receiver.types() == ["user.provisioned", "user.disabled"]
    assert "own words" not in said and SECRET not in said and SECRET.removeprefix("whsec_") not in said
    # Without redirects, GETs, or another body for the same id.
    assert not receiver.problems


def test_taken_although_it_says_too_much(receiver):
    receiver.fault = faults.endless(200)
    with Hooked(target(receiver)) as bridge:
        bridge.create("ada")
        bridge.until_delivered()
        assert receiver.asked == 1


def test_one_that_fails_holds_up_no_other(receiver):
    receiver.choose = lambda body: faults.status(500) if b'"username":"poison"' in body else None
    with Hooked(target(receiver, more="concurrency: 2")) as bridge:
        bridge.create("poison")
        bridge.ctl("users", "set", "poison", "--name", "Waits behind the first")
        for name in "ada", "bob", "cleo":
            bridge.create(name)
            bridge.ctl("users", "disable", name)
        receiver.wait(lambda events: len(events) >= 6)
        for name in "ada", "bob", "cleo":
            assert receiver.types(name) == ["user.provisioned", "user.disabled"]
        bridge.until(lambda state: state["waiting"] == 2)
        receiver.choose = None
        bridge.ctl("targets", "retry", "app")
        bridge.until_delivered()
    assert receiver.types("poison") == ["user.provisioned", "user.updated"]


def test_gone(receiver):
    """410: one alarm, at once; all that there is waits, and none of it is a dead letter."""
    receiver.fault = faults.status(410)
    with Hooked(target(receiver)) as bridge:
        bridge.create("ada")
        bridge.create("bob")
        receiver.wait_asked(4)
        state = bridge.target()
        assert (state["waiting"], state["dead"]) == (2, 0) and "410" in state["problem"]
        bridge.until(lambda _: gone_alarms(bridge))
        (alarm,) = gone_alarms(bridge)
        assert alarm["kind"] == "target-behind" and "410" in str(alarm)
        receiver.fault = None
        bridge.ctl("targets", "retry", "app")
        receiver.wait(lambda events: len(events) >= 2)
        bridge.until(lambda state: state["waiting"] == state["dead"] == 0)
        bridge.until(lambda _: not gone_alarms(bridge))


def gone_alarms(bridge):
    return [alarm for alarm in bridge.ctl("alarms", "list")["alarms"] if alarm["subject"] == "app"]


def test_a_silent_name_server_holds_up_no_stop(tmp_path):
    """It is asked for minutes, and nobody waits for that when the daemon ends."""
    if name_server.run_inside(Path(__file__), "test_a_silent_name_server_holds_up_no_stop"):
        return
    name_server.use_loopback(tmp_path, name_server.Silent.PATIENT)
    with name_server.Silent() as silent, Hooked(target("https://hook.test/")) as bridge:
        bridge.create("ada")
        silent.wait_asked("hook.test")
        assert bridge.target()["waiting"] == 1
        assert bridge.stop() == 0


def test_left_alone_as_it_asks(receiver):
    receiver.fault = faults.status(503, headers=[("Retry-After", "1800")])
    with Hooked(target(receiver)) as bridge:
        before = time.time()
        bridge.create("ada")
        receiver.wait_asked(1)
        state = bridge.until_failing()
        pause = time.mktime(time.strptime(state["next_try"], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone - before
        assert 1700 < pause < 1800 + SETTLED_SECONDS
        assert receiver.asked == 1
        receiver.fault = None
        bridge.ctl("targets", "retry", "app")
        receiver.wait(lambda events: len(events) >= 1)


def test_pauses_grow(receiver):
    """An hour of 500s is not an hour of requests."""
    times = []

    def fault(handler):
        times.append(time.monotonic())
        faults.reply(handler, 500)

    receiver.fault = fault
    with Hooked(target(receiver).replace("retry_max: 2s", "retry_max: 1h")) as bridge:
        bridge.create("ada")
        receiver.wait_asked(4)
    # Each pause is between three quarters of 1, 2, 4 s and all of it.
    gaps = [later - earlier for earlier, later in zip(times, times[1:])]
    assert all(gap >= 0.75 * 2 ** i - 0.05 for i, gap in enumerate(gaps)), gaps


def test_one_that_hangs_holds_up_no_other_target():
    with Receiver([SECRET]) as dead, Receiver([SECRET]) as receiver, \
            Hooked(target(dead, name="dead", more="timeout: 60s"), target(receiver)) as bridge:
        dead.fault = faults.hang(dead)
        bridge.create("ada")
        dead.wait_asked(1)
        for word in "disable", "enable", "disable":
            bridge.ctl("users", word, "ada")
        receiver.wait(lambda events: len(events) >= 4)
        bridge.until_delivered()
        # The daemon does not wait for it at its end, either, and nothing is lost.
        assert bridge.stop() == 0
        dead.fault = None
        dead.release.set()
        bridge.start()
        dead.wait(lambda events: len(events) >= 4)
        bridge.until_delivered("dead")
        assert dead.types() == receiver.types()


def test_reconcile_tells_what_holds(receiver):
    with Hooked() as bridge:
        for name in "ada", "bob", "cleo":
            bridge.create(name)
        bridge.ctl("users", "disable", "bob")
        bridge.configure(target(receiver))
        bridge.ctl("reload")
        bridge.ctl("targets", "reconcile", "app")
        receiver.wait(lambda events: len(events) >= 3)
        bridge.until_delivered()
    assert receiver.types() == ["user.state"] * 3
    assert {event["data"]["user"]["username"]: event["data"]["user"]["active"] for event in receiver.events} == {
        "ada": True, "bob": False, "cleo": True}


@pytest.mark.parametrize("seed", range(3))
def test_faults_at_random_and_kills(seed):
    """Whatever happens on the way, each event comes, and those of a person in their order."""
    chance = random.Random(seed)
    people = [f"p{i}" for i in range(12)]
    port = free_port()
    with Receiver([SECRET], port=port) as receiver:
        kinds = [None, None, faults.status(500), faults.status(302, headers=[("Location", receiver.url)]),
                 faults.close_at_once, faults.close_mid_answer, faults.no_http]
        lock = threading.Lock()

        def choose(_):
            with lock:
                return chance.choice(kinds)

        with Hooked(target(receiver, more="concurrency: 4").replace("retry_max: 2s", "retry_max: 1s")) as bridge:
            receiver.choose = choose
            for name in people:
                bridge.create(name)
            for round_number in range(3):
                for name in people:
                    bridge.ctl("users", "disable" if round_number % 2 == 0 else "enable", name)
                bridge.kill()
                bridge.start()
            receiver.choose = None
            bridge.ctl("targets", "retry", "app")
            bridge.until(lambda state: state["waiting"] == state["dead"] == 0)
        for name in people:
            assert receiver.types(name) == ["user.provisioned", "user.disabled", "user.enabled", "user.disabled"]
            # A repetition comes before whatever follows, never after.
            order = [event["sequence"] for event in receiver.taken if event["data"]["user"]["username"] == name]
            assert order == sorted(order), order
        assert not receiver.problems, receiver.problems


def test_secret_is_replaced():
    """First both sign, then the new one alone; the file is read as events are sent."""
    with Receiver([SECRET]) as old, Receiver([OTHER]) as new, \
            Hooked(target(old, name="old", secrets=("next", "secret")), target(new, name="new", secrets=("next", "secret")),
                   secrets={"secret": SECRET, "next": OTHER}) as bridge:
        bridge.create("ada")
        old.wait(lambda events: len(events) >= 1)
        new.wait(lambda events: len(events) >= 1)
        assert old.events[0].headers["webhook-signature"].count("v1,") == 2
        bridge.until_delivered("new")
        bridge.write_secret("secret", "nobody knows this one, and it is long")
        bridge.write_secret("next", SECRET)
        bridge.create("bob")
        old.wait(lambda events: len(events) >= 2)


def test_secret_is_unfit(receiver):
    with Hooked(target(receiver), secrets={"secret": "short"}) as bridge:
        bridge.create("ada")
        assert "shorter than 24 bytes" in bridge.until_failing()["problem"]
        assert not receiver.asked
        bridge.write_secret("secret", SECRET)
        bridge.ctl("targets", "retry", "app")
        receiver.wait(lambda events: len(events) >= 1)
        (bridge.folder / "secret").chmod(0o644)
        bridge.create("bob")
        bridge.until_failing()
        assert receiver.asked == 1


def test_address_that_may_not_be_asked(receiver):
    with Hooked(target(receiver), before=CONFIG.replace("127.0.0.0/8", "10.0.0.0/8")) as bridge:
        bridge.create("ada")
        assert "in no allowed network" in bridge.until_failing()["problem"]
        assert not receiver.asked
        bridge.configure(target(receiver))
        bridge.ctl("reload")
        receiver.wait(lambda events: len(events) >= 1)


def test_nobody_listens_and_the_daemon_is_killed():
    port = free_port()
    with Hooked(target(f"http://127.0.0.1:{port}/hook")) as bridge:
        for name in "ada", "bob":
            bridge.create(name)
        bridge.ctl("users", "disable", "ada")
        bridge.until_failing()
        bridge.kill()
        bridge.start()
        assert bridge.target()["waiting"] == 3
        with Receiver([SECRET], port=port) as receiver:
            bridge.ctl("targets", "retry", "app")
            receiver.wait(lambda events: len(events) >= 3)
            bridge.until_delivered()
        assert receiver.types("ada") == ["user.provisioned", "user.disabled"]
        assert receiver.types("bob") == ["user.provisioned"]


def test_receiver_is_started_again():
    """Connections that are kept end under its feet; nothing is lost, nobody notices."""
    with Receiver([SECRET]) as receiver, Hooked(target(receiver)) as bridge:
        bridge.create("ada")
        receiver.wait(lambda events: len(events) >= 1)
        receiver.stop()
        bridge.create("bob")
        bridge.until_failing()
        receiver.start()
        bridge.ctl("targets", "retry", "app")
        receiver.wait(lambda events: len(events) >= 2)
        bridge.until_delivered()


BAD = {
    "unknown-event": (", events: [user.disable]", "Did you mean 'user.disabled'?"),
    "invalid-url": (None, "is neither https nor http"),
    "too many": (", secret_files: [/a, /b, /c]", "secret_files"),
    "none": (", secret_files: []", "secret_files"),
    "too slow": (", timeout: 2m", "timeout"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_configuration(tmp_path, name):
    more, told = BAD[name]
    line = "  - {name: app, type: webhook, url: \"https://hook.example/\", secret_files: [/secret]}\n"
    if more is None:
        line = line.replace("https:", "ftp:")
    elif "secret_files" in more:
        line = line.replace(", secret_files: [/secret]", more)
    else:
        line = line.replace("}", more + "}")
    config = tmp_path / "rolebridge.yaml"
    config.write_text("store: store.db\ncontrol_socket: control.sock\n" + CONFIG + line)
    done = subprocess.run([DAEMON, "--config", config, "--check"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0 and told in done.stdout + done.stderr, done.stdout + done.stderr


def test_names_that_there_are_not(tmp_path):
    """A filter for nobody is no error, for what it names may come; but it is told of."""
    config = tmp_path / "rolebridge.yaml"
    config.write_text("store: store.db\ncontrol_socket: control.sock\n" + CONFIG +
                      "  - {name: app, type: webhook, url: \"https://hook.example/\", secret_files: [/secret],\n"
                      "     organizations: [partners, nowhere], profiles: [viewer, nothing]}\n")
    done = subprocess.run([DAEMON, "--config", config, "--check"], capture_output=True, text=True, timeout=120, check=False)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert "no organization 'nowhere'" in told and "no profile 'nothing'" in told
    assert "'partners'" not in told and "'viewer'" not in told
