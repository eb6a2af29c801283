"""A directory that is looked at from time to time, by modifyTimestamp, through a proxy that cuts and lies.

As for those that tell of changes by themselves (test_follow_faults.py): nobody loses anything meanwhile, nobody is
disabled whom the directory does not disable, and soon the state is what a clean full read gives.
"""
import time

import pytest

from fake_directory import PAGED
from ldap_proxy import (DOWN, RESET, UP, cut, double, drop, instead, no_control, no_cookie, notice_of_disconnection,
                        nth, page_cookie, pause, result, same, stop)
from states import config
from streams import OPTIONS, SOON_S, leave, staged, until

CODES = [3, 4, 11, 51, 52, 53]
POLLED = {**OPTIONS, "more": "    follow: {mode: timestamp, poll: 1s, keepalive: 1s}\n"}
SILENT_S = 12  # a worker that says nothing for longer is given up
LOOK = 12  # messages of a look from the directory, about


@pytest.fixture(scope="module", name="stage")
def make_stage(tmp_path_factory):
    with staged(tmp_path_factory.mktemp("states"),
                lambda directory, url: config(directory, url, **POLLED)) as stage:
        yield stage


@pytest.fixture(name="polled")
def make_polled(stage):
    stage.proxy.clear()
    stage.rest()
    stage.forgiven()
    stage.patience = SOON_S
    return stage


def test_changes_are_found(polled):
    for _ in range(2):
        polled.still_follows()
    assert polled.follow_state()["mode"] == "timestamp"


def meets(polled, fault):
    """The next look, or the one after it, finds what changed, and the fault."""
    polled.link.add(fault)
    polled.toggle()
    polled.settle()
    polled.connected()


@pytest.mark.parametrize("direction, how", [(DOWN, {}), (DOWN, {"after": True}), (UP, {}), (DOWN, {"how": RESET})],
                         ids=["before an answer", "after an answer", "before a request", "reset"])
def test_cut_in_a_look(polled, direction, how):
    """At each message: searches of groups, people and whatever changed, each in pages."""
    for number in range(1, LOOK if direction == DOWN else 6):
        polled.forgiven()
        link = polled.link
        meets(polled, cut(link.coming(number, direction), **how))
        polled.resumed()
        assert link.ended or number > 4


@pytest.mark.parametrize("code", [*CODES, 1, 32, 50, 80])
def test_result_in_a_look(polled, code):
    for number in (1, 2, 3):
        polled.forgiven()
        meets(polled, result(nth("done", polled.link.counts["done"] + number), code))
        polled.resumed()


@pytest.mark.parametrize("change", [no_cookie, no_control, lambda when: page_cookie(when, b"no cookie of yours"), drop, double],
                         ids=["empty", "no control", "unknown", "page without end", "twice"])
def test_pages_of_a_look(polled, change):
    """No search is taken for whole that is not."""
    for number in (1, 2, 3):
        polled.forgiven()
        done = polled.link.counts["done"] + number
        meets(polled, change(lambda message, done=done: message.kind == "done" and message.nth == done and
                             PAGED in message.controls))


@pytest.mark.parametrize("data", [b"\x30\x84\xff\xff\xff\xff what is this", b"\x30\x00", b"HTTP/1.1 400 Bad Request\r\n\r\n",
                                  lambda m: m.changed(tag=0x7e, body=b""), lambda m: m.changed(tag=0x61)],
                         ids=["no BER", "empty", "another protocol", "unknown operation", "bind result"])
def test_garbage_in_a_look(polled, data):
    for number in (1, 4):
        polled.forgiven()
        meets(polled, instead(polled.link.coming(number), data, same))


def test_entries_twice(polled):
    meets(polled, double(lambda message: message.kind == "entry"))
    polled.still_follows()


def test_half_open_at_each_message(polled):
    for number in (1, 3, 6, 9):
        polled.forgiven()
        meets(polled, stop(polled.link.coming(number), after=True))
        polled.resumed()


def test_slow_answers(polled):
    """A look that takes longer than a silent server is waited for: this one is not silent."""
    before, begun = polled.bridge.logged().count("worker-silent"), time.monotonic()
    polled.link.add(pause(lambda m: m.kind in ("entry", "done"), 1))
    polled.toggle()
    polled.settle()
    assert time.monotonic() - begun > SILENT_S
    assert polled.bridge.logged().count("worker-silent") == before


def test_notice_of_disconnection(polled):
    polled.link.send(notice_of_disconnection())
    polled.link.cut()
    polled.toggle()
    polled.settle()
    polled.connected()


def test_nothing_changed_while_away(polled):
    """Connected again without anything to tell."""
    leave(polled)
    until(lambda: not polled.follow_state()["connected"])
    polled.proxy.target = polled.directory.port
    polled.resumed()


def test_changed_while_away(polled):
    leave(polled)
    until(lambda: not polled.follow_state()["connected"])
    polled.toggle()
    polled.proxy.target = polled.directory.port
    polled.settle()
    polled.resumed()
