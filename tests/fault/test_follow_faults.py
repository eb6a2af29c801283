"""A directory that is followed through a proxy that cuts, lies and hangs.

Whatever happens to the stream: nobody loses meanwhile what both states give, nobody is disabled whom the
directory does not disable, and soon the state is what a clean full read gives.
"""
import itertools
import time

import pytest

from bridge import Bridge
from fake_directory import SilentServer
from ldap_proxy import (DOWN, RESET, UP, FaultProxy, Ranges, at, cut, cut_id_set, double, drop, instead,
                        notice_of_disconnection, nth, parts, pause, refresh_required, result, same, stop, sync_cookie)
from ports import free_port
from slapd import PEOPLE, Slapd, person
from states import COUNT, DIRECTORY, Scene, Watched, both_states, config

SYNCPROV = {"config": ["moduleload syncprov"],
            "mdb": ["maxsize 268435456", "index objectClass,uid,entryUUID,entryCSN eq", "overlay syncprov",
                    "syncprov-checkpoint 1 1", "syncprov-sessionlog 1000"]}
FOLLOW = "    follow: {mode: sync, keepalive: 1s}\n"
SOON_S = 60
PATIENCE_S = 1  # then the next try is asked for; where it has to come by itself: SOON_S
TIMEOUTS_S = 6  # where a deadline for answers passes first
NEWCOMER = person("user13", "title: agent", "employeeType: here")


def following(directory, *urls, **more):
    return config(directory, *urls, answer="1s", interval="1h", more=FOLLOW, **more)


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

        Answers have a second: a machine that stands still for that long is no proof of anything, so it is asked again.
        Only then: for any other reason there is no second try.
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


@pytest.fixture(scope="module", name="stage")
def make_stage(tmp_path_factory):
    with Slapd(DIRECTORY, **SYNCPROV) as directory, FaultProxy(directory.port) as proxy:
        expected = both_states(directory, tmp_path_factory.mktemp("states"))
        with Bridge(following(directory, proxy.url)) as bridge:
            yield Stream(directory, proxy, bridge, expected)


@pytest.fixture(name="stream")
def make_stream(stage):
    stage.proxy.clear()
    stage.patience = PATIENCE_S
    if stage.people() != stage.expected[stage.state]:
        stage.bridge.run("sync", "corp", "--full")
    stage.rest()
    return stage


def test_changes_arrive(stream):
    for _ in range(4):
        stream.still_follows()
    state = stream.follow_state()
    assert state["mode"] == "sync" and state["connected"], state


# --- the connection is cut


def messages_of(stream, disturb):
    """How many messages come on the connection that disturb() causes, until the state is reached."""
    links = len(stream.proxy.links)
    disturb()
    stream.settle()
    stream.connected()
    assert len(stream.proxy.links) > links
    return dict(stream.proxy.links[-1].counts)


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


@pytest.mark.parametrize("direction, how", [(DOWN, {}), (DOWN, {"after": True}), (UP, {}), (DOWN, {"how": RESET})],
                         ids=["before an answer", "after an answer", "before a request", "reset"])
@pytest.mark.parametrize("disturb", [reconnect, restart], ids=["refresh", "present phase"])
def test_cut_in_a_refresh(stream, disturb, direction, how):
    stream.patience = SOON_S
    total = messages_of(stream, lambda: disturb(stream))[direction]
    assert ("refreshPresent" in stream.proxy.links[-1].infos) == (disturb is restart)
    for number in range(1, total + 1):
        if number % 8 == 1:
            stream.forgiven()
        links = len(stream.proxy.links)
        stream.proxy.next(cut(at(number, direction), **how))
        disturb(stream)
        stream.settle()
        stream.resumed()
        # The two states differ by a message or two.
        assert stream.proxy.links[links].ended or number > total - 3, (number, total)
    stream.still_follows()


@pytest.mark.parametrize("how", [{}, {"after": True}, {"how": RESET}], ids=["before", "after", "reset"])
def test_cut_in_persist(stream, how):
    """At each message that tells of a change."""
    stream.patience = SOON_S
    for number in range(1, 9):
        stream.link.add(cut(stream.link.coming(number), **how))
        stream.toggle()
        stream.settle()
        stream.resumed()


def test_cut_in_the_full_read(stream):
    """A new worker reads everything again."""
    for number in itertools.count(1, 3):
        stream.toggle()
        stream.proxy.next(cut(at(number)))
        failed = not stream.read()["complete"]
        stream.bridge.run("sync", "corp", "--full")
        stream.rest()
        if not failed:
            break
    assert number > 10


# --- results in the stream


def test_full_reads_that_fail_end_nothing(stream):
    """Whoever is followed is followed on, for as long as full reads fail."""
    link, full = stream.link, stream.follow_state()["full"]
    ended = sum(other.ended for other in stream.proxy.links)
    stream.proxy.always(result(nth("entry", 5), 4))
    report = stream.read()
    assert not report["complete"] and report["problem"], report
    stream.proxy.wait(lambda: sum(other.ended for other in stream.proxy.links) > ended + 1)
    for _ in range(3):
        stream.toggle()
        stream.settle()
    state = stream.follow_state()
    assert not link.ended and not stream.nudges and state["connected"], (state, stream.bridge.logged()[-3000:])
    assert state["full"] == full and report["problem"] in state["problem"], (state, report)
    stream.proxy.clear()
    stream.forgiven()
    assert stream.follow_state()["problem"] == ""


@pytest.mark.parametrize("code", [1, 2, 3, 4, 11, 50, 51, 52, 53, 80, 4096])
def test_result_in_the_stream(stream, code):
    """The persistent search ends, with whatever; also in a refresh, before its end."""
    stream.link.add(result(stream.link.coming(2), code))
    stream.toggle()
    stream.settle()
    stream.rest()
    for number in (2, 3, 4):
        stream.proxy.next(result(at(number), code))
        reconnect(stream)
        stream.rest()


def test_refresh_required(stream):
    """e-syncRefreshRequired is answered with a full read."""
    full = stream.follow_state()["full"]
    stream.proxy.next(refresh_required())
    reconnect(stream)
    stream.settle()
    stream.connected()
    assert full
    stream.still_follows()


@pytest.mark.parametrize("cookie", [
    b"rid=000,csn=20000101000000.000000Z#000000#000#000000", b"rid=000,csn=20990101000000.000000Z#000000#000#000000",
    b"rid=000", b"", b"\xff\xfe", b"x" * 100_000, None,
], ids=["stale", "of the future", "empty", "no bytes", "no text", "long", "none"])
def test_cookies_the_directory_does_not_know(stream, cookie):
    """Whatever it makes of them, what is in force in the end is what is in it."""
    stream.proxy.next(sync_cookie(cookie))
    reconnect(stream)
    stream.settle()
    stream.rest()


def test_notice_of_disconnection(stream):
    for _ in range(3):
        stream.link.send(notice_of_disconnection())
        stream.link.cut()
        stream.toggle()
        stream.rest()


@pytest.mark.parametrize("data", [b"\x30\x84\xff\xff\xff\xff what is this", b"\x30\x00", b"\x30\x80\x02\x01\x03",
                                  b"HTTP/1.1 400 Bad Request\r\n\r\n",
                                  lambda m: m.changed(tag=0x7e, body=b""), lambda m: m.changed(tag=0x61),
                                  lambda m: m.changed(tag=0x78, body=b"\x0a\x01\0\x04\0\x04\0")],
                         ids=["no BER", "empty", "indefinite", "another protocol", "unknown operation", "bind result",
                              "extended result"])
def test_garbage(stream, data):
    for number in (1, 2, 4):
        stream.link.add(instead(stream.link.coming(number), data, same))
        stream.toggle()
        stream.settle()
        stream.rest()
    stream.proxy.next(instead(at(4), data, same))
    reconnect(stream)
    stream.rest()


def test_flapping(stream):
    """A server that closes as soon as it has told everything is asked later and later, not in a tight loop."""
    links = len(stream.proxy.links)
    stream.proxy.always(cut(is_refreshed, after=True))
    stream.link.cut()
    stream.toggle()
    # Each further attempt waits twice as long, as it should: who needs one more waits for it longer than for all before.
    stream.settle(3 * SOON_S)
    time.sleep(2)
    assert len(stream.proxy.links) - links < 30, len(stream.proxy.links) - links
    stream.rest()


def is_refreshed(message):
    """The end of the last refresh, after which all searches persist."""
    asked, ended = (message.link.memory.setdefault(name, set()) for name in ("asked", "ended"))
    if message.kind == "search" and message.sync_mode is not None:
        asked.add(message.id)
    if message.info[0] in ("refreshDelete", "refreshPresent"):
        ended.add(message.id)
        return ended == asked
    return False


# --- silence


def test_half_open(stream):
    """Nobody closes anything, nothing comes: noticed by keepalive."""
    stream.forgiven()
    stream.patience = SOON_S
    for _ in range(2):
        dead = stream.link
        dead.stop()
        stream.toggle()
        stream.settle()
        stream.resumed()
        assert stream.link is not dead


def test_half_open_in_a_refresh(stream):
    stream.forgiven()
    stream.patience = SOON_S
    for number in (1, 2, 3, 4):
        stream.proxy.next(stop(at(number), after=True))
        reconnect(stream)
        stream.settle()
        stream.resumed()


def test_half_open_in_a_burst(stream):
    stream.link.add(stop(stream.link.coming(2)))
    stream.toggle()
    stream.settle()
    stream.rest()


def test_idle_connections_are_kept(stream):
    """Tried now and then, and found alive: no new connection."""
    for _ in range(3):  # as in still_follows
        link = stream.link
        searches = link.counts["search"]
        stream.proxy.wait(lambda link=link, searches=searches: link.ended or link.counts["search"] >= searches + 2)
        if not link.ended:
            break
        stream.rest()
    assert not link.ended
    stream.still_follows()


def test_slow_answers(stream):
    stream.link.add(pause(lambda m: m.kind == "entry", 0.05), pause(lambda m: m.kind == "intermediate", 0.2))
    stream.still_follows()
    stream.link.cut()
    stream.rest()


def test_a_server_that_never_answers(stream):
    """Accepts and is silent: the next one of the list is followed."""
    with SilentServer() as silent:
        stream.bridge.write_config(following(stream.directory, silent.url, stream.proxy.url))
        stream.bridge.ctl("reload")
        stream.toggle()
        stream.settle()
        stream.connected()
        assert stream.follow_state()["server"] == stream.proxy.url
        stream.link.cut()
        stream.toggle()
        stream.settle()
        stream.connected()
    stream.bridge.write_config(following(stream.directory, stream.proxy.url))
    stream.bridge.ctl("reload")
    stream.rest()


# --- twice, never, in another order


def test_everything_twice(stream):
    stream.link.add(double(lambda m: m.kind in ("entry", "intermediate")))
    stream.still_follows()
    stream.proxy.next(double(lambda m: m.kind in ("entry", "intermediate")))
    reconnect(stream)
    stream.settle()
    stream.rest()
    stream.proxy.next(double(lambda m: m.kind in ("entry", "intermediate")))
    restart(stream)
    stream.settle()
    stream.rest()


def test_lists_in_ranges(stream):
    """Member lists cut as Active Directory does; the connection breaks between two pieces of one."""
    stream.proxy.always(Ranges(1))
    links = len(stream.proxy.links)
    stream.link.cut()
    until(lambda: len(stream.proxy.links) > links)
    for _ in range(2):
        stream.toggle()
        stream.settle()
    assert any(link.memory.get("ranges") for link in stream.proxy.links[links:])
    for number in range(1, 20, 2):
        stream.link.add(cut(stream.link.coming(number)))
        stream.toggle()
        stream.settle()
        stream.connected()
    for code in (32, 51, 52):
        pieces = {"count": 0}

        def second_piece(message, pieces=pieces):
            pieces["count"] += message.kind == "done"
            return message.kind == "done" and pieces["count"] == 2
        stream.link.add(result(second_piece, code))
        stream.toggle()
        stream.settle()
        stream.connected()
    stream.proxy.clear()
    stream.forgiven()


def test_old_entries_again(stream):
    """What was told once comes again later, as add or as modify: the state it describes passes."""
    told = []
    stream.link.add(lambda m: told.append(m) if m.kind == "entry" and m.sync_state else None)
    stream.still_follows()
    with stream.proxy.changed:
        first = list(told)
    assert first
    for message in first:
        stream.link.send(message.raw)
    stream.settle()
    stream.still_follows()


def test_messages_of_nobody(stream):
    """Of another message id, and of other operations: not mixed up with ours."""
    stream.link.add(instead(lambda m: m.kind == "entry", lambda m: [m.changed(message_id=m.id + 50), m]))
    stream.toggle()
    stream.settle()
    stream.link.cut()
    stream.rest()


def newcomer_is_active(stream):
    return "user13" in stream.people() and not stream.people()["user13"][2]


def until(condition, seconds=SOON_S):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_deleted_while_nobody_listens(stream):
    """Somebody is gone in a present phase that is cut: nothing counts before its end; then at once."""
    stream.patience = SOON_S
    stream.directory.add(NEWCOMER)
    until(lambda: newcomer_is_active(stream))
    stream.forgiven()
    for number in (3, 5, 8):
        stream.proxy.next(cut(at(number)))
        restart(stream)
        stream.settle()
        stream.resumed()
        assert newcomer_is_active(stream)
    leave(stream)
    stream.directory.delete(f"uid=user13,{PEOPLE}")
    restart(stream)
    stream.settle()
    until(lambda: not newcomer_is_active(stream))
    stream.resumed()
    stream.directory.add(NEWCOMER)
    stream.still_follows()


def test_lost_syncinfo(stream):
    """Whatever is dropped of what says where the stream is, in a refresh or a present phase."""
    for disturb in (reconnect, restart):
        stream.proxy.next(drop(lambda m: m.kind == "intermediate"))
        disturb(stream)
        stream.proxy.wait(lambda: not stream.proxy.links[-1].ended)
        stream.bridge.run("sync", "corp", "--full")
        stream.settle()
        stream.rest()


# --- by polling


@pytest.fixture(scope="module", name="polled_stage")
def make_polled_stage(tmp_path_factory):
    """A server that tells nothing by itself: looked at once a second."""
    with Slapd(DIRECTORY) as directory, FaultProxy(directory.port) as proxy:
        expected = both_states(directory, tmp_path_factory.mktemp("states"))
        more = "    follow: {mode: timestamp, poll: 1s, keepalive: 1s}\n"
        with Bridge(config(directory, proxy.url, answer="1s", interval="1h", more=more)) as bridge:
            yield Stream(directory, proxy, bridge, expected)


@pytest.fixture(name="polled")
def make_polled(polled_stage):
    polled_stage.proxy.clear()
    polled_stage.rest()
    polled_stage.forgiven()
    polled_stage.patience = SOON_S
    return polled_stage


def test_poll(polled):
    for _ in range(2):
        polled.still_follows()
    assert polled.follow_state()["mode"] == "timestamp"


@pytest.mark.parametrize("how", [{}, {"after": True}], ids=["before", "after"])
def test_cut_in_a_poll(polled, how):
    for number in range(1, 8):
        polled.toggle()
        link = polled.link
        link.add(cut(link.coming(number), **how))
        polled.settle()
        polled.resumed()
        assert link.ended or number > 4


@pytest.mark.parametrize("code", [3, 4, 11, 51, 52, 53])
def test_result_in_a_poll(polled, code):
    for number in (1, 2):
        polled.toggle()
        done = polled.link.counts["done"]
        polled.link.add(result(nth("done", done + number), code))
        polled.settle()
        polled.connected()


def test_half_open_in_a_poll(polled):
    polled.toggle()
    polled.link.add(stop(polled.link.coming(2), after=True))
    polled.settle()
    polled.resumed()


# --- lies

RETITLED = f"dn: uid=user6,{PEOPLE}\nchangetype: modify\nreplace: title\ntitle: {{}}\n\n"


@pytest.fixture(name="guarded")
def make_guarded(tmp_path):
    with Watched(tmp_path, **SYNCPROV) as directory, FaultProxy(directory.port) as proxy:
        text = directory.config(proxy.url, limits="{disables_min: 2}", answer="1s", interval="1h", more=FOLLOW)
        with Bridge(text) as bridge:
            stream = Stream(directory, proxy, bridge, {})
            until(lambda: len(stream.people()) == COUNT)
            stream.connected()
            yield stream


def expect_held(stream):
    """More people are gone than may be: held, told, and lifted when they are seen again."""
    until(lambda: stream.bridge.ctl("plans", "list", "--state", "held")["plans"])
    assert stream.bridge.ctl("alarms", "list")["alarms"]


def test_half_a_set_of_ids(guarded):
    """A present phase that leaves people out."""
    before = guarded.people()
    guarded.proxy.next(cut_id_set(lambda m: m.info[0] == "syncIdSet" and len(parts(parts(m.info[1])[-1][1])) > 8))
    restart(guarded)
    expect_held(guarded)
    assert not {n for n, (_, _, disabled, _) in guarded.people().items() if disabled and n != "user12"}
    guarded.toggle()
    guarded.bridge.ctl("sync", "corp", "--full")
    assert guarded.people() == before
    assert not guarded.bridge.ctl("plans", "list", "--state", "held")["plans"]


def test_access_rules_that_hide_a_quarter(guarded):
    """With success, in a refresh: nobody is suspended, also not by the full read after it."""
    before = guarded.people()
    leave(guarded)
    guarded.directory.modify(RETITLED.format("agent"))
    guarded.directory.restart(hide=True)
    guarded.proxy.target = guarded.directory.port
    guarded.connected()
    assert "refreshPresent" in guarded.proxy.links[-1].infos
    assert guarded.people() == before
    guarded.bridge.answer("sync", "corp", "--full")
    expect_held(guarded)
    assert guarded.people() == before
    guarded.directory.restart(hide=False)
    guarded.proxy.target = guarded.directory.port
    guarded.bridge.answer("sync", "corp", "--full")
    assert guarded.people() == before
    assert not guarded.bridge.ctl("plans", "list", "--state", "held")["plans"]
