"""Following by modifyTimestamp comes past what the full read told: that is known by what was told, to the letter; neither told
again nor taken for told when it is not."""
import pytest

from changing_directory import kind
from fake_directory import entry, parts, read_tlv, tlv
from poller import change_all, company, make_start  # noqa: F401
from slapd import PEOPLE
from test_ldap_follow import TOOL

pytestmark = pytest.mark.skipif(not TOOL.exists(), reason="make tools builds ldap_read")

USER1 = f"uid=user1,{PEOPLE}"
MANY = 10_050  # more than are followed one by one
# A script goes through all entries for each page.
AT_ONCE = {"page_size": "20000", "timeouts": "{answer: 120s}"}


def before(directory, wanted, *changes, after=()):
    """Around the answer to the first search of this kind the directory is another one."""
    def fault(search, answers):
        if kind(search) != wanted or fault not in directory.faults:
            return answers
        directory.faults.remove(fault)
        for change in changes:
            change()
        answers = directory.answer(search)
        for change in after:
            change()
        return answers
    directory.faults.append(fault)


@pytest.mark.parametrize("seconds", [-30, 0, 600], ids=["before", "now", "later"])
def test_loaded_just_before(start, seconds):
    """Everybody is stamped with one time: they changed before the read, not after it, whatever our clock says."""
    directory = company(False)
    moment = directory.time(seconds)
    for number in range(MANY):
        directory.person(f"many{number}", time=moment)
    follower = start(directory, **AT_ONCE)
    follower.quiet(told=10)
    change_all(directory, 1)
    follower.same()
    assert follower.restarts == 0, follower.problems
    assert follower.count("identity") < 20


@pytest.mark.parametrize("clock_s", [-600, 600], ids=["behind", "ahead"])
def test_more_changes_than_are_followed_by_another_clock(start, clock_s):
    """Read anew, once."""
    follower = start(company(False, clock_s=clock_s), **AT_ONCE)
    directory = follower.directory
    with directory.lock:
        for number in range(MANY):
            directory.person(f"many{number}")
    follower.until(lambda: follower.restarts >= 1 and follower.state["connected"] and len(follower.people) > 10_000)
    follower.looked(3)
    assert follower.restarts == 1, follower.problems


def test_all_changed_while_read(start):
    """Each page says what changed a moment ago."""
    directory = company(False)
    for number in range(MANY):
        directory.person(f"many{number}", time=directory.time(-3600))

    def touch(search, answers):
        if kind(search) == "all users":
            for dn, _ in list(directory.found(search)):
                directory.stamp(dn)
            return directory.answer(search)
        return answers
    directory.faults.append(touch)
    follower = start(directory, **AT_ONCE)
    directory.faults.remove(touch)
    follower.quiet()


@pytest.mark.parametrize("seconds", [-30, 0, 600])
@pytest.mark.parametrize("read", ["A", "B"])
def test_changed_and_changed_back_around_the_read(start, seconds, read):
    """All at one time. What counts is what the read said, not what was there before or after."""
    directory = company(False)
    moment = directory.time(seconds)
    directory.title("user1", "A", time=moment)
    directory.group("staff", "user1", time=moment)
    change = [lambda: directory.title("user1", read, time=moment)]
    back = [lambda: directory.title("user1", "A", time=moment)]
    before(directory, "all users", *change, after=back)
    before(directory, "all groups", lambda: directory.group("staff", "user1" if read == "A" else "user2", time=moment),
           after=[lambda: directory.group("staff", "user1", time=moment)])
    follower = start(directory)
    follower.same()
    assert follower.title_of("user1") == ["A"] and follower.by_uid("user1")["groups"] == [1]
    follower.quiet()


@pytest.mark.parametrize("titles", ["AA", "AB", "BA", "ABA", "BAB"])
def test_told_twice_by_the_read(start, titles):
    """Which of the two counts the core decides: it is told once more."""
    directory = company(False)
    moment = directory.time(-5)
    directory.title("user1", "A", time=moment)
    shown = directory.entries[USER1]

    def again(search, answers):
        if kind(search) != "all users":
            return answers
        first = [entry(USER1, directory.shown(search, {**shown, "title": [title]})) for title in titles]
        return [*first, *(a for a in answers if USER1.encode() not in a[0])]
    directory.faults.append(again)
    follower = start(directory)
    directory.faults.remove(again)
    follower.until(lambda: [e for batch in follower.batches for what, e in batch
                            if what == "identity" and e["attributes"]["uid"] == ["user1"]])
    follower.same()
    assert follower.title_of("user1") == ["A"]
    follower.quiet()


def test_quarantined_by_the_read(start):
    """Told as well; it is told again when it changed, also back to what was there before."""
    directory = company(False)
    moment = directory.time(-5)
    directory.put(USER1, moment, title=[b"\xff"])
    follower = start(directory)
    quarantined = len(follower.quarantined)
    follower.quiet()
    assert len(follower.quarantined) == quarantined and not follower.by_uid("user1")
    directory.put(USER1, moment, title=["A"])
    follower.same()
    assert follower.title_of("user1") == ["A"]
    directory.put(USER1, moment, title=[b"\xff"])
    follower.until(lambda: len(follower.quarantined) > quarantined)
    directory.put(USER1, moment, title=["A"])
    follower.until(lambda: not follower.frozen)
    follower.same()


def bare(change):
    """Where answers are entries of this user."""
    def fault(answers):
        return [change(a) if USER1.encode() in a[0] else a for a in answers]
    return fault


def with_garbage(answer):
    """The same, and then something that is no attribute."""
    _, body, _ = read_tlv(answer[0])
    dn, pairs = parts(body)
    return tlv(0x64, tlv(0x04, dn[1]) + tlv(0x30, pairs[1] + b"\x30\x03\x02\x01\x00")), answer[1]


@pytest.mark.parametrize("where", ["all users", "users"])
def test_entry_that_decodes_in_part(start, where):
    """What follows is a part of the entry, too: when it comes as a whole that is news."""
    directory = company(False)
    moment = directory.time(-5)
    directory.title("user1", "A", time=moment)
    fault = directory.always(where, bare(with_garbage))
    follower = start(directory)
    follower.until(lambda: follower.quarantined)
    follower.looked(2)
    directory.faults.remove(fault)
    follower.until(lambda: follower.title_of("user1") == ["A"] and not follower.frozen)
    follower.same()
    follower.quiet()
