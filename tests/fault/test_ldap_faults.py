"""Full reads through a proxy that cuts, lies and hangs: nothing lost, and after it what a clean read gives."""
import base64
import itertools

import pytest

from bridge import Bridge
from company import LIMITS_TIGHT
from ldap_proxy import (DOWN, RESET, UP, FaultProxy, PageLimit, Ranges, at, cut, double, drop, garbage, instead,
                        no_control, no_cookie, notice_of_disconnection, nth, of_dn, page_cookie, pause, result, stop)
from slapd import PEOPLE, SUFFIX, Slapd
from states import COUNT, DIRECTORY, Scene, Watched, both_states, config, fresh, lost, lost_roles


@pytest.fixture(name="scene")
def make_scene(stage):
    stage.recover()
    return stage


@pytest.fixture(scope="module", name="stage")
def make_stage(tmp_path_factory):
    with Slapd(DIRECTORY) as directory, FaultProxy(directory.port) as proxy:
        expected = both_states(directory, tmp_path_factory.mktemp("states"))
        with Bridge(config(directory, proxy.url)) as bridge:
            yield Scene(directory, proxy, bridge, expected)


def counted(scene):
    """Messages of a clean read, by direction and kind."""
    scene.recover()
    return scene.proxy.links[-1].counts


# --- cut, at every message


@pytest.mark.parametrize("where, direction, how", [
    ("before an answer", DOWN, {}), ("after an answer", DOWN, {"after": True}),
    ("before an answer, reset", DOWN, {"how": RESET}), ("before a request", UP, {})])
def test_cut_at_every_message(scene, where, direction, how):
    total = counted(scene)[direction]
    assert total > (20 if direction == DOWN else 6)
    # What comes last: the result itself, or the farewell.
    whole = total if how.get("after") or direction == UP else total + 1
    for number in itertools.count(1):
        report = scene.fail(cut(at(number, direction), **how))
        assert report["complete"] == (number >= whole), (where, number, report)
        scene.recover()
        if number >= whole:
            break


@pytest.mark.parametrize("code, word", [(3, "time"), (4, "size"), (11, "limit"), (51, "busy"), (52, "unavailable"),
                                        (53, "unwilling")])
def test_code_in_every_result(scene, code, word):
    for number in range(1, counted(scene)["done"] + 1):
        report = scene.fail(result(nth("done", number), code))
        assert not report["complete"] and word in report["problem"].lower(), report
        assert report["problem"][:40] in scene.bridge.human("status").stdout
        scene.recover()


@pytest.mark.parametrize("code", [4, 51])
def test_code_that_keeps_the_cookie(scene, code):
    """With a refusal no cookie counts."""
    for number in (1, 3):
        assert not scene.fail(result(nth("done", number), code, keep_controls=True))["complete"]
        scene.recover()


def test_code_in_the_middle_of_a_page(scene):
    for number in (2, 5):
        assert not scene.fail(result(nth("entry", number), 3))["complete"]
        scene.recover()


def test_refused_bind(scene):
    for code in (49, 51, 53):
        report = scene.fail(instead(nth("bound", 1), lambda m, c=code: m.changed(
            body=b"\x0a\x01" + bytes([c]) + b"\x04\x00\x04\x00")))
        assert not report["complete"] and report["entries"] == 0
        scene.recover()


# --- paging


def test_page_without_cookie_control(scene):
    for number in range(1, counted(scene)["done"] + 1):
        report = scene.fail(no_control(nth("done", number)))
        assert not report["complete"] and "cookie" in report["problem"], report
        scene.recover()


def test_repeated_cookie(scene):
    """The cookie of the page before: the directory refuses it, or the page comes again; never taken for the end."""
    for number in (2, 4, 5):
        seen = {}

        def remember(message, seen=seen):
            if message.kind == "done" and message.page:
                seen[message.nth] = message.page[1]
            return None

        def repeat(message, seen=seen, number=number):
            if message.kind == "done" and message.nth == number:
                return [message.with_page(0, seen[number - 1] or seen.get(number - 2, b"x"))]
            return None
        assert not scene.fail(remember, repeat)["complete"]
        scene.recover()


def test_invented_cookie(scene):
    """The directory refuses it; after a last page it begins again, and nobody is a second person."""
    for number in range(1, counted(scene)["done"] + 1):
        before = scene.people()
        report = scene.fail(page_cookie(nth("done", number), b"\0" * 8))
        if report["complete"] and number == 2:  # groups that came twice are doubtful
            assert not lost_roles(before, scene.people())
        elif report["complete"]:
            assert scene.people() == scene.expected[scene.state], report
        scene.recover()


def test_page_of_a_thousand(scene):
    """A server that gives shorter pages than asked for."""
    report = scene.fail(PageLimit(2))
    assert report["complete"] and scene.people() == scene.expected[scene.state]


def test_limit_without_paging(scene):
    """Past the first thousand: result 4, and nobody is missed."""
    scene.bridge.write_config(config(scene.directory, scene.proxy.url, page_size=0))
    scene.bridge.ctl("reload")
    assert not scene.fail(PageLimit(7))["complete"]
    report = scene.fail(PageLimit(COUNT))
    assert report["complete"]
    scene.bridge.write_config(config(scene.directory, scene.proxy.url))
    scene.bridge.ctl("reload")
    scene.recover()


# --- timing, order, garbage


def test_half_open(scene):
    """Nothing more comes and nothing is closed: within the deadline for answers, in each phase."""
    scene.bridge.write_config(config(scene.directory, scene.proxy.url, answer="5s"))
    scene.bridge.ctl("reload")
    for when, after in ((nth("bound", 1), False), (nth("entry", 2), True), (nth("done", 1), True),
                        (nth("done", 4), False)):
        report = scene.fail(stop(when, after=after))
        assert not report["complete"] and "no answer" in report["problem"].lower(), report
    scene.bridge.write_config(config(scene.directory, scene.proxy.url))
    scene.bridge.ctl("reload")
    scene.recover()


def test_slow_answers(scene):
    """Slower than usual, but within the deadline: no reason to give up."""
    report = scene.fail(pause(lambda m: m.kind == "done", 0.15), pause(nth("entry", 5), 0.5))
    assert report["complete"] and scene.people() == scene.expected[scene.state]


@pytest.mark.parametrize("name, data", [
    ("no BER", b"\x30\x84\xff\xff\xff\xff what is this"),
    ("another protocol", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    ("an endless length", b"\x30\x88\x7f\xff\xff\xff\xff\xff\xff\xff"),
    ("an indefinite length", b"\x30\x80\x02\x01\x03"),
    ("an empty message", b"\x30\x00"),
    ("an unknown operation", b"\x30\x05\x02\x01\x03\x7e\x00"),
    ("a cut entry", b"\x30\x0c\x02\x01\x03\x64\x07\x04\x7f\x75\x69\x64\x3d\x61"),
])
def test_garbage(scene, name, data):
    """In place of a message, then the rest, until the connection ends."""
    for number in (1, 4, 15):
        report = scene.fail(garbage(at(number), data), cut(at(number + 1), after=True))
        assert not report["complete"], (name, report)
        scene.recover()


def test_notice_of_disconnection(scene):
    for number in (2, 4, 9):
        notice = instead(at(number), notice_of_disconnection(), "cut")
        assert not scene.fail(notice)["complete"]
        scene.recover()


def test_answers_to_nobody(scene):
    """Messages of another id, also between entries, are not mixed up with ours."""
    stray = instead(lambda m: m.kind == "entry", lambda m: [m.changed(message_id=m.id + 77), m])
    report = scene.fail(stray)
    assert not report["complete"] or scene.people() == scene.expected[scene.state]
    scene.recover()


def test_entries_twice(scene):
    """The same person twice in one read is no second person; the first one stands."""
    report = scene.fail(double(nth("entry", 8)))
    assert report["complete"] and report["disabled"] <= 1, report
    scene.recover()


def test_group_twice(scene):
    """Which list is right? What the group gives is unknown: nothing is taken away."""
    scene.toggle()
    before = scene.people()
    scene.proxy.next(double(of_dn("cn=inner")))
    assert scene.read()["quarantined"] >= 1
    assert not lost_roles(before, scene.people())
    scene.recover()


# --- lies: a success that is none


@pytest.fixture(name="guarded")
def make_guarded(tmp_path):
    """Limits as tight as they get, but one read decides: what is held is seen at once."""
    with Slapd(DIRECTORY) as directory, FaultProxy(directory.port) as proxy:
        with Bridge(config(directory, proxy.url, limits=LIMITS_TIGHT)) as bridge:
            scene = Scene(directory, proxy, bridge, {"a": fresh(directory, tmp_path)})
            scene.recover()
            yield scene


def expect_held(scene, *faults):
    before = scene.people()
    scene.proxy.next(*faults)
    report = scene.read()
    assert not lost(before, scene.people()), report
    assert report["held"] > 0 or scene.bridge.ctl("alarms", "list")["alarms"], report
    scene.recover()


def test_pages_that_claim_to_be_the_last(guarded):
    ends = []

    def note(message):
        ends.extend([message.nth] if message.page and message.page[1] and message.kind == "done" else [])
    guarded.proxy.next(note)
    assert guarded.read()["complete"] and len(ends) == 4
    for number in ends:
        expect_held(guarded, no_cookie(nth("done", number)))


def test_dropped_person(guarded):
    expect_held(guarded, drop(of_dn("uid=user3", "uid=user6")))


def test_dropped_group(guarded):
    for name in ("inner", "leads", "support"):
        expect_held(guarded, drop(of_dn(f"cn={name},")))


def test_access_rules_that_hide_a_quarter(tmp_path):
    """A change of access rules answers with success: held, for however long, and lifted with its cause."""
    with Watched(tmp_path) as directory, FaultProxy(directory.port) as proxy:
        with Bridge(directory.config(proxy.url, limits="{disables_min: 2}")) as bridge:
            scene = Scene(directory, proxy, bridge, {})
            assert scene.read()["complete"]
            before = scene.people()
            assert len(before) == COUNT
            for hide, held in ((True, 3), (True, 3), (False, 0)):
                directory.restart(hide)
                proxy.target = directory.port
                report = scene.read()
                assert report["complete"] and report["disabled"] == report["revoked"] == 0, report
                assert report["held"] >= held, report
                assert scene.people() == before
            assert not scene.bridge.ctl("plans", "list", "--state", "held").get("plans"), "the plan outlived its cause"


# --- odd content


def odd_values(message, **pairs):
    """The entry with other values."""
    names = {name.lower().encode(): values for name, values in pairs.items()}
    kept = [(name, values) for name, values in message.values if name.lower() not in names]
    return message.with_values(kept + [(name.encode(), values) for name, values in pairs.items()])


ODD = [
    ("no UTF-8 in the mail", {"mail": [b"\xff\xfe@example.org"]}),
    ("no UTF-8 in the login", {"uid": [b"us\xc3er"]}),
    ("an overlong NUL", {"uid": [b"us\xc0\x80er"]}),
    ("a NUL", {"mail": [b"a\0b@example.org"]}),
    ("a megabyte", {"title": [b"x" * (1 << 20)]}),
    ("a megabyte of login", {"uid": [b"x" * (1 << 20)]}),
    ("100,000 values", {"title": [b"%d" % i for i in range(100_000)]}),
    ("an empty value", {"mail": [b""]}),
    ("no value", {"uid": []}),
    ("no key", {"entryUUID": []}),
    ("two keys", {"entryUUID": [b"one", b"two"]}),
]


@pytest.mark.parametrize("name, values", ODD, ids=[name for name, _ in ODD])
def test_odd_values(scene, name, values):
    """Processed or in quarantine with a reason; the person keeps what they have, the others proceed."""
    before = scene.people()["user3"]
    report = scene.fail(instead(of_dn("uid=user3,"), lambda m: odd_values(m, **values)))
    assert report["complete"], (name, report)
    after = scene.people()
    assert after["user3"][2] == 0, (name, report)
    expected = dict(scene.expected[scene.state])
    for state in (after, expected):
        state.pop("user3")
    assert after == expected, name
    if report["quarantined"]:
        (row,) = [r for r in scene.bridge.ctl("quarantine", "list")["entries"] if "user3" in r["locator"]]
        assert row["reason"] and row["source"] == "corp", row
        now = scene.people()["user3"]
        assert {g for g in before[3] if g[0] == 1} <= now[3], (name, now)
    scene.recover()
    assert not scene.bridge.ctl("quarantine", "list")["entries"], name


BROKEN_DNS = [b"uid=user3,,ou=people", b"\xff\xfe", b"user3", b"uid=user3\\", b"", b"uid=#zz," + PEOPLE.encode(),
              b"uid=" + b"x" * 1_000_000 + b"," + PEOPLE.encode(), b"uid=a," * 100_000 + SUFFIX.encode()]


@pytest.mark.parametrize("dn", BROKEN_DNS, ids=range(len(BROKEN_DNS)))
def test_dn_that_does_not_parse(scene, dn):
    report = scene.fail(instead(of_dn("uid=user3,"), lambda m: m.with_values(m.values, dn=dn)))
    assert report["complete"], report
    after = scene.people()["user3"]
    assert not after[2] and "leads" in {g[1] for g in after[3]}, (after, report)
    scene.recover()
    assert not scene.bridge.ctl("quarantine", "list")["entries"]


@pytest.mark.parametrize("dn", BROKEN_DNS[:6], ids=range(6))
def test_group_whose_dn_does_not_parse(scene, dn):
    """What it would give is unknown: nothing is taken away."""
    scene.toggle()
    before = scene.people()
    scene.proxy.next(instead(of_dn("cn=inner"), lambda m: m.with_values(m.values, dn=dn)))
    assert scene.read()["quarantined"] == 1
    assert not lost_roles(before, scene.people())
    scene.recover()


def test_members_that_do_not_parse(scene):
    """Somebody's name in a list is broken: told, counted, and the others are members."""
    broken = [b"\xff", b"uid=user3,,", b"", b"x" * 1_000_000]
    scene.proxy.next(instead(of_dn("cn=sales"), lambda m: m.with_values(
        [(n, v + broken if n == b"member" else v) for n, v in m.values])))
    report = scene.read()
    assert report["complete"] and report["quarantined"] == 1 and report["revoked"] == 0, report
    assert scene.people() == scene.expected[scene.state]
    scene.recover()


# --- lists that come in ranges, huge groups


@pytest.mark.parametrize("members", [1499, 1500, 1501, 5000, 100_000])
def test_lists_in_ranges(scene, members):
    """As Active Directory answers; the last one of the list counts, wherever it is cut."""
    usual = counted(scene)["search"]
    names = [f"uid=nobody{i},{PEOPLE}".encode() for i in range(members - 1)] + [f"uid=user12,{PEOPLE}".encode()]
    grown = instead(of_dn("cn=support"), lambda m: m.with_values(
        [(n, names if n == b"member" else v) for n, v in m.values]))
    scene.proxy.next(grown, Ranges(1500 if members < 10_000 else 20_000))
    report = scene.read()
    assert report["complete"], report
    assert ("support" in {g[1] for g in scene.people()["user12"][3]}) or scene.people()["user12"][2], report
    asked = scene.proxy.links[-1].counts["search"]
    assert (asked > usual) == (members > 1500), (asked, usual)
    scene.recover()


@pytest.mark.parametrize("fault", [lambda when: result(when, 52), cut, lambda when: result(when, 32),
                                   lambda when: no_piece], ids=["refused", "cut", "deleted meanwhile", "no entry"])
def test_cut_in_a_range(scene, fault):
    """A list that could not be read to its end takes nothing away."""
    for piece in (1, 2):
        pieces = {"count": 0}

        def last_of_piece(message, pieces=pieces, piece=piece):
            if message.kind == "done" and not message.page:
                pieces["count"] += 1
                return pieces["count"] == piece
            return False
        assert not scene.fail(Ranges(1), fault(last_of_piece))["complete"]
        scene.recover()


def no_piece(message):
    """The entry with the second piece of a list does not come, the result says success."""
    ranged = message.kind == "entry" and any(b";range=" in name and b";range=0" not in name
                                              for name, _ in message.values)
    return [] if ranged else None


def test_a_message_of_forty_megabytes(scene):
    """Forty values of a megabyte each, in one entry: processed or quarantined, the others proceed."""
    noise = base64.b64encode(bytes(range(256)) * 3072)
    report = scene.fail(instead(of_dn("uid=user3,"), lambda m: odd_values(m, title=[noise] * 40)))
    assert report["entries"] >= COUNT - 1 or not report["complete"], report
    assert not scene.people()["user3"][2]
    scene.recover()
