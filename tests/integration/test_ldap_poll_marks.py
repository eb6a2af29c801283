"""Following scripted directories by polling: who is looked for by their key, and what servers say of times, of their numbers
and of deleted objects."""

import pytest

from changing_directory import DELETED
from fake_directory import Raw, done, entry, reference
from poller import CODES, both, change_all, code, company, cut, make_start  # noqa: F401
from slapd import PEOPLE, group_dn
from test_ldap_follow import TOOL

pytestmark = pytest.mark.skipif(not TOOL.exists(), reason="make tools builds ldap_read")


@both
def test_leaves_the_filter_and_comes_back(start, usn):
    follower = start(company(usn))
    follower.directory.title("user1", "gone")
    follower.until(lambda: not follower.by_uid("user1"))
    follower.directory.title("user1", "back")
    follower.until(lambda: follower.title_of("user1") == ["back"])
    assert len(follower.gone()) == 1 and follower.by_uid("user1")["groups"] == [1]


@both
@pytest.mark.parametrize("how", [cut, *map(code, CODES),
                                 lambda answers: [*answers[:-1], done(paged=False)],
                                 lambda answers: [reference(), *answers],
                                 lambda _: [Raw(b"\x30\x80\x02\x01\x03"), None]],
                         ids=["cut", *map(str, CODES), "no cookie", "referral", "garbage"])
def test_id_check_that_fails(start, usn, how):
    """Who was found by no filter and cannot be looked for is not gone; when they can, they are."""
    follower = start(company(usn))
    directory = follower.directory
    fault = directory.always("check", how)
    directory.title("user1", "gone")
    follower.until(lambda: directory.seen.count("check") >= 3)
    assert not follower.gone() and follower.by_uid("user1")
    directory.faults.remove(fault)
    follower.until(lambda: not follower.by_uid("user1"))


@both
def test_id_check_that_finds_somebody_else(start, usn):
    follower = start(company(usn))
    directory = follower.directory
    directory.always("check", lambda answers: [
        entry(f"uid=stranger,{PEOPLE}", objectClass=["person"], uid=["stranger"]), answers[-1]])
    directory.title("user1", "gone")
    follower.looked(2)
    assert not follower.gone()


def test_id_check_of_a_person_who_changed_meanwhile(start):
    """The searches missed them: found by themselves they are told, not gone."""
    follower = start(company(True))
    follower.directory.once("users", lambda answers: answers[-1:])
    follower.directory.title("user1", "changed")
    follower.same()
    assert follower.title_of("user1") == ["changed"] and "check" in follower.directory.seen


# --- times


def test_equal_times(start):
    """All in one second, again and again: each content is told once."""
    directory = company(False)
    moment = directory.time()
    for dn in directory.entries:
        directory.stamp(dn, moment)
    follower = start(directory)
    for number in range(3):
        for uid in ("user1", "user2", "user3"):
            directory.title(uid, f"title {number}", time=moment)
        follower.same()
        follower.looked(2)
        before = follower.count("identity")
        follower.looked(2)
        assert follower.count("identity") == before
    assert follower.restarts == 0


@pytest.mark.parametrize("clock_s", [-600, 600], ids=["behind", "ahead"])
def test_the_clock_of_the_server_is_wrong(start, clock_s):
    follower = start(company(False, clock_s=clock_s))
    for number in range(3):
        change_all(follower.directory, number)
        follower.same()
    assert follower.restarts == 0


def test_the_clock_of_the_server_was_ahead(start):
    """What changes after it was set right is not older than what is known."""
    follower = start(company(False, clock_s=600))
    change_all(follower.directory, 1)
    follower.same()
    follower.directory.clock_s = 0
    change_all(follower.directory, 2)
    follower.same()


@pytest.mark.parametrize("late", [False, True], ids=["from the beginning", "later"])
def test_one_entry_of_the_future(start, late):
    """It does not hide what changes until then."""
    directory = company(False)
    if not late:
        directory.title("user6", "prophet", time="99991231235959Z")
    follower = start(directory)
    if late:
        directory.title("user6", "prophet", time="99991231235959Z")
        follower.same()
    for number in range(2):
        change_all(directory, number)
        follower.same()
        assert follower.title_of("user1") == [f"title {number}"]
    assert follower.restarts == 0


@pytest.mark.parametrize("time_text", ["", "never", "99999999999999Z", "20250101000000", "2" * 500, "20250101000000Z\0"])
def test_times_that_are_none(start, time_text):
    follower = start(company(False))
    directory = follower.directory
    person = directory.entries[f"uid=user5,{PEOPLE}"]
    directory.title("user5", "timeless")
    with directory.lock:
        person["modifyTimestamp"] = [time_text]
    change_all(directory, 1)
    follower.until(lambda: follower.title_of("user1") == ["title 1"])
    directory.stamp(f"uid=user5,{PEOPLE}")
    follower.same()
    assert follower.restarts == 0


# --- update sequence numbers


def test_usn_goes_back(start):
    """Set back to an older state: read anew."""
    follower = start(company(True))
    with follower.directory.lock:
        follower.directory.usn -= 500
        change_all(follower.directory, 1)
    follower.until(lambda: follower.restarts == 1 and follower.state["connected"])
    change_all(follower.directory, 2)
    follower.same()


def test_usn_goes_back_while_away(start):
    follower = start(company(True))
    directory = follower.directory
    with directory.lock:
        directory.once("root", cut)
        directory.usn -= 500
        change_all(directory, 1)
    follower.until(lambda: follower.restarts == 1 and follower.state["connected"])
    follower.same()


def test_other_invocation(start):
    """Its numbers are others': nothing is taken over."""
    follower = start(company(True))
    directory = follower.directory
    with directory.lock:
        directory.once("root", cut)
        directory.invocation = bytes(16)
        directory.usn += 5000
        directory.person("restored")
        directory.entries[f"uid=restored,{PEOPLE}"]["uSNChanged"] = [5]
    follower.until(lambda: follower.restarts == 1 and follower.state["connected"])
    follower.same()
    assert follower.by_uid("restored")


@pytest.mark.parametrize("said", [b"", b"-1", b"x", b"9" * 40, b"99999999999999999999"])
def test_usn_that_is_none(start, said):
    follower = start(company(True))
    directory = follower.directory
    directory.once("root", lambda answers: [entry("", highestCommittedUSN=[said]), answers[-1]])
    follower.until(lambda: follower.state["reconnects"] == 1 and follower.state["connected"])
    change_all(directory, 1)
    follower.same()
    assert follower.restarts == 0


def test_usn_that_is_too_high_for_once(start):
    """Whatever was skipped by it is read anew."""
    follower = start(company(True))
    directory = follower.directory
    directory.once("root", lambda answers: [entry("", highestCommittedUSN=["9000000000000000000"]), answers[-1]])
    follower.until(lambda: follower.restarts == 1 and follower.state["connected"])
    change_all(directory, 1)
    follower.same()


def test_nothing_changed_while_away(start):
    """The connection is known to be good without anything to tell."""
    follower = start(company(True))
    follower.directory.once("root", cut)
    follower.until(lambda: follower.state["reconnects"] == 1 and follower.state["connected"])
    assert follower.restarts == 0 and not any(follower.batches)


# --- deleted objects


def test_deleted_object(start):
    follower = start(company(True))
    follower.directory.bury(f"uid=user1,{PEOPLE}")
    follower.until(lambda: not follower.by_uid("user1"))
    assert len(follower.gone()) == 1 and follower.restarts == 0


@pytest.mark.parametrize("name", ["dn of a living person", "guid of a living person", "both", "group"])
def test_deleted_objects_that_look_like_others(start, name):
    follower = start(company(True))
    directory = follower.directory
    living = f"uid=user1,{PEOPLE}" if name != "group" else group_dn("staff")
    guid = directory.entries[living]["objectGUID"] if name != "dn of a living person" else [b"\1" * 16]
    dn = f"CN=ghost\\0ADEL:{1},{DELETED}" if name == "guid of a living person" else living
    ghost = entry(dn, objectGUID=guid, objectClass=["person", "organizationalUnit"], isDeleted=["TRUE"])
    fault = directory.always("changes", lambda answers: [ghost, *answers[:-1], ghost, answers[-1]])
    for number in range(2):
        change_all(directory, number)
        follower.same()
    directory.faults.remove(fault)
    change_all(directory, 3)
    follower.same()
    assert follower.restarts == 0
