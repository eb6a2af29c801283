"""Following scripted directories by polling: whatever a look meets, nobody is gone, and soon what was told
equals a fresh full read."""

import pytest

from fake_directory import done
from poller import CODES, both, change_all, code, company, cut, cut_in_the_middle, make_start, without  # noqa: F401
from test_ldap_follow import TOOL

pytestmark = pytest.mark.skipif(not TOOL.exists(), reason="make tools builds ldap_read")


@both
def test_changes_arrive(start, usn):
    follower = start(company(usn))
    for number in range(3):
        change_all(follower.directory, number)
        follower.same()
        assert follower.title_of("user1") == [f"title {number}"] and follower.by_uid(f"new{number}")["groups"] == [1]
    assert follower.restarts == 0 and follower.state["reconnects"] == 0
    assert follower.state["state"] == ("usn" if usn else "timestamp")


@both
def test_auto_picks_the_mode(start, usn):
    follower = start(company(usn), mode="auto")
    assert follower.state["state"] == ("usn" if usn else "timestamp")


@both
@pytest.mark.parametrize("how", [cut, cut_in_the_middle])
def test_cut(start, usn, how):
    follower = start(company(usn))
    for number, where in enumerate(["root", "groups", "users", "changes"] if usn else ["groups", "users", "changes"]):
        follower.directory.once(where, how)
        change_all(follower.directory, number)
        follower.same()
    assert follower.restarts == 0 and follower.state["reconnects"] == number + 1, follower.problems


@both
@pytest.mark.parametrize("where", ["groups", "users", "changes", "check"])
def test_result_codes(start, usn, where):
    follower = start(company(usn))
    for number, result in enumerate([*CODES, 1, 32, 50, 80] if where == "users" else [51, 4]):
        fault = follower.directory.once(where, code(result))
        change_all(follower.directory, number)
        if where == "check":  # left the filter for a moment
            follower.directory.title("user6", "gone")
            follower.until(lambda fault=fault: fault not in follower.directory.faults)
            follower.directory.title("user6", "back")
        follower.same()
        assert fault not in follower.directory.faults
    assert follower.restarts == 0, follower.problems


@both
def test_page_cookie_dropped(start, usn):
    """Pages of one entry; the second one never comes, or comes without a word about it."""
    follower = start(company(usn), page_size="1")
    directory = follower.directory
    for where in ("groups", "users", "changes"):
        directory.once(where, lambda answers: [*answers[:-1], done(paged=False)])
        change_all(directory, 0)
        follower.same()
    directory.once("users", lambda answers: [*answers[:-1], done()])
    directory.title("user1", "later")
    directory.title("user5", "later")
    follower.same()
    assert follower.title_of("user1") == follower.title_of("user5") == ["later"]
    assert follower.restarts == 0


@both
def test_entries_without_marks(start, usn):
    """Neither when they changed nor who they are."""
    follower = start(company(usn))
    directory = follower.directory
    directory.once("users", without("uSNChanged", "modifyTimestamp"))
    change_all(directory, 1)
    follower.same()
    for where in ("changes", "users", "groups"):
        directory.once(where, without("objectGUID", "entryUUID"))
        change_all(directory, 2)
        follower.looked(2)
    directory.always("users", without("uSNChanged", "modifyTimestamp"))
    directory.always("groups", without("uSNChanged", "modifyTimestamp"))
    for number in (3, 4):
        change_all(directory, number)
        follower.looked(2)
    directory.faults.clear()
    follower.command("full")
    follower.looked(2)
    follower.same()
