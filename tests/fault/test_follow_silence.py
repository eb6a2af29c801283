"""A directory that is followed, and at some moment says nothing any more, or little (see test_follow_faults.py)."""
from fake_directory import SilentServer
from ldap_proxy import at, pause, stop
from streams import SOON_S, following, make_stage, make_stream, reconnect  # noqa: F401


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
