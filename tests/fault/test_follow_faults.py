"""A directory that is followed through a proxy that cuts, lies and hangs.

Whatever happens to the stream: nobody loses meanwhile what both states give, nobody is disabled whom the
directory does not disable, and soon the state is what a clean full read gives.
"""
import itertools
import time

import pytest

from bridge import Bridge
from ldap_proxy import (DOWN, RESET, UP, FaultProxy, Ranges, at, cut, cut_id_set, double, drop, instead,
                        notice_of_disconnection, nth, parts, refresh_required, result, same, sync_cookie)
from slapd import PEOPLE
from states import COUNT, Watched
from streams import (NEWCOMER, OPTIONS, SOON_S, SYNCPROV, Stream, following, leave, make_stage, make_stream,  # noqa: F401
                     reconnect, restart, until)


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
    # A message that has not come may be the next sign of life.
    stream.proxy.clear()
    stream.connected()
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


def most_attempts(seconds):
    """Ten connections that were lost at once have the same pause, 50 ms or more; the next ten twice that, and so on."""
    count, pause = 10, 0.05
    while seconds > 10 * pause:
        count, seconds, pause = count + 10, seconds - 10 * pause, 2 * pause
    return count


def test_flapping(stream):
    """A server that closes as soon as it has told everything is asked later and later, not in a tight loop."""
    stream.patience = SOON_S  # a full read needs several searches, and gets no further than the first one
    links, begun = len(stream.proxy.links), time.monotonic()
    stream.proxy.always(cut(is_refreshed, after=True))
    stream.link.cut()
    stream.toggle()
    stream.settle()
    time.sleep(2)
    count = len(stream.proxy.links) - links
    assert 1 < count <= most_attempts(time.monotonic() - begun), (count, time.monotonic() - begun)
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


# --- lies

RETITLED = f"dn: uid=user6,{PEOPLE}\nchangetype: modify\nreplace: title\ntitle: {{}}\n\n"


@pytest.fixture(name="guarded")
def make_guarded(tmp_path):
    with Watched(tmp_path, **SYNCPROV) as directory, FaultProxy(directory.port) as proxy:
        text = directory.config(proxy.url, limits="{disables_min: 2}", **OPTIONS)
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
