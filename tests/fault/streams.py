"""A daemon that follows a directory through a proxy: what the tests of that have in common.

Answers have ten seconds, so that a machine which stands still for a moment proves nothing.
"""
import contextlib
import time

import pytest

from bridge import Bridge
from ldap_proxy import FaultProxy
from ports import free_port
from slapd import Slapd, person
from states import DIRECTORY, Scene, both_states, config

SYNCPROV = {"config": ["moduleload syncprov"],
            "mdb": ["maxsize 268435456", "index objectClass,uid,entryUUID,entryCSN eq", "overlay syncprov",
                    "syncprov-checkpoint 1 1", "syncprov-sessionlog 1000"]}
SOON_S = 120
PATIENCE_S = 1  # then the next try is asked for; where it has to come by itself: SOON_S
NEWCOMER = person("user13", "title: agent", "employeeType: here")
OPTIONS = {"answer": "10s", "interval": "1h", "more": "    follow: {mode: sync, keepalive: 1s}\n"}


def following(directory, *urls):
    return config(directory, *urls, **OPTIONS)


class Stream(Scene):
    """A daemon that follows a directory through a proxy."""

    restarts = nudges = 0
    patience = PATIENCE_S

    def follow_state(self):
        (source,) = self.bridge.ctl("status")["sources"]
        return source.get("follow") or {}

    def known(self):
        """Without those who come and go."""
        found = self.people()
        return {name: found[name] for name in found if name != "user13"}

    def nudge(self):
        """After failures the next try is later and later: not that late here."""
        if not self.follow_state().get("connected"):
            self.nudges += 1
            self.bridge.run("sync", "corp", "--full")

    def settle(self, seconds=SOON_S):
        """Until the state is that of the directory. At every look on the way nobody has lost anything."""
        wanted, before, end = self.expected[self.state], self.known(), time.monotonic() + seconds
        next_nudge = time.monotonic() + self.patience
        while (now := self.known()) != wanted:
            if time.monotonic() > next_nudge:
                self.nudge()
                next_nudge = time.monotonic() + self.patience
            for name, (_, _, disabled, grants) in wanted.items():
                had = before.get(name, ("", "", 1, set()))
                has = now.get(name, had)
                assert disabled or had[2] or not has[2], (name, has)
                assert grants & had[3] <= has[3], (name, had, has, wanted[name])
            assert time.monotonic() < end, ({n: (now.get(n), wanted[n]) for n in wanted if now.get(n) != wanted[n]},
                                            self.follow_state(), self.bridge.logged()[-3000:],
                                            [link.seen[-6:] for link in self.proxy.links[-3:]])
            time.sleep(0.005)

    def connected(self, seconds=SOON_S):
        """Until it follows again; then nothing is under way."""
        end = time.monotonic() + seconds
        next_nudge = time.monotonic() + self.patience
        while not self.follow_state().get("connected"):
            if time.monotonic() > next_nudge:
                self.nudge()
                next_nudge = time.monotonic() + self.patience
            assert time.monotonic() < end, (self.follow_state(), self.bridge.logged()[-3000:])
            time.sleep(0.01)

    @property
    def link(self):
        """The connection that is followed."""
        return next(link for link in reversed(self.proxy.links) if not link.ended)

    def rest(self):
        """Everything as it should be, and followed."""
        self.proxy.clear()
        self.settle()
        self.connected()
        self.restarts, self.nudges = self.follow_state()["restarts"], 0

    def resumed(self):
        """The same worker went on: nothing was read in full."""
        self.connected()
        state = self.follow_state()
        assert state["restarts"] == self.restarts and not self.nudges, (state, self.bridge.logged()[-3000:])

    def forgiven(self):
        """No failure is remembered: the next try comes at once."""
        self.bridge.ctl("sync", "corp", "--full")
        self.rest()

    def still_follows(self):
        """A change arrives without a new connection or full read.

        A machine that stands still for as long as answers may take is no proof of anything, so it is asked again. Only
        then: for any other reason there is no second try.
        """
        for _ in range(3):
            late = self.bridge.logged().count('problem="timeout')
            links, full = len(self.proxy.links), self.follow_state()["full"]
            self.toggle()
            self.settle()
            told = len(self.proxy.links) == links, self.follow_state()["full"] == full
            if all(told):
                return
            assert self.bridge.logged().count('problem="timeout') > late, (told, self.bridge.logged()[-3000:])
            self.connected()
        raise AssertionError((told, self.follow_state(), self.bridge.logged()[-3000:]))


@contextlib.contextmanager
def staged(folder, text, **more):
    """text: makes the configuration, of the directory and the proxy's URL; more: of slapd."""
    with Slapd(DIRECTORY, **more) as directory, FaultProxy(directory.port) as proxy:
        expected = both_states(directory, folder)
        with Bridge(text(directory, proxy.url)) as bridge:
            yield Stream(directory, proxy, bridge, expected)


def ready(stage):
    """For the next test: as whoever comes first finds it."""
    stage.proxy.clear()
    stage.patience = PATIENCE_S
    if stage.people() != stage.expected[stage.state]:
        stage.bridge.run("sync", "corp", "--full")
    stage.rest()
    return stage


@pytest.fixture(scope="module", name="stage")
def make_stage(tmp_path_factory):
    """For the files of tests that import it; each has its own."""
    with staged(tmp_path_factory.mktemp("states"), following, **SYNCPROV) as stage:
        yield stage


@pytest.fixture(name="stream")
def make_stream(stage):
    return ready(stage)


def leave(stream):
    """Nobody listens, and nothing answers."""
    stream.proxy.target = free_port()
    for link in stream.proxy.links:
        if not link.ended:
            link.cut()


def reconnect(stream):
    """The directory changes while nobody listens."""
    leave(stream)
    stream.toggle()
    stream.proxy.target = stream.directory.port


def restart(stream):
    """The same, and the directory forgets what it told: it goes through everybody (the present phase)."""
    leave(stream)
    stream.toggle()
    stream.directory.stop()
    stream.directory.start()
    stream.proxy.target = stream.directory.port


def until(condition, seconds=SOON_S):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
