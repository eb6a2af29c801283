"""Following scripted directories by polling: lists in ranges, everything twice, garbage."""
import pytest

from changing_directory import kind
from fake_directory import Raw, entry
from poller import both, change_all, code, company, cut, cut_in_the_middle, make_start  # noqa: F401
from slapd import PEOPLE, group_dn
from test_ldap_follow import TOOL

pytestmark = pytest.mark.skipif(not TOOL.exists(), reason="make tools builds ldap_read")


@both
def test_ranges(start, usn):
    """More members than come at once."""
    directory = company(usn)
    directory.most = 3
    directory.group("staff", *(f"user{i}" for i in range(1, 7)), *(f"nobody{i}" for i in range(8)))
    follower = start(directory)
    assert follower.by_uid("user6")["groups"] == [1]
    directory.group("staff", *(f"user{i}" for i in range(1, 6)), *(f"nobody{i}" for i in range(9)))
    follower.same()
    assert not follower.by_uid("user6")["groups"] and follower.groups[1]["members"] == 5
    assert follower.restarts == 0 and "range" in directory.seen


@both
@pytest.mark.parametrize("how", [cut, cut_in_the_middle, lambda answers: answers[-1:], code(51), code(32), code(52),
                                 lambda answers: [entry(group_dn("staff"), {"member;range=4-5": ["x"]}), answers[-1]],
                                 lambda answers: [entry(group_dn("staff"), {"member;range=0-1": ["x"]}), answers[-1]],
                                 lambda answers: [entry(group_dn("staff"), member=[]), answers[-1]]],
                         ids=["cut", "in the middle", "nothing", "51", "32", "52", "gap", "again", "none"])
def test_ranges_cut(start, usn, how):
    """A list that could not be read to its end takes nothing away."""
    directory = company(usn)
    directory.most = 3
    directory.group("staff", *(f"user{i}" for i in range(1, 7)))
    follower = start(directory)
    before = {uid: follower.by_uid(uid)["groups"] for uid in ("user4", "user5", "user6")}
    fault = directory.once("range", how)
    directory.group("staff", *(f"user{i}" for i in range(1, 7)), "nobody")
    follower.until(lambda: fault not in directory.faults)
    follower.until(lambda: follower.state["reconnects"] + follower.restarts > 0)
    follower.same()
    assert before == {uid: follower.by_uid(uid)["groups"] for uid in before}
    assert not [e for batch in follower.batches for what, e in batch if what == "regrouped" and not e["groups"]]


@both
def test_everything_twice(start, usn):
    follower = start(company(usn))
    directory = follower.directory

    def twice(search, answers):
        if kind(search) in ("users", "groups", "changes", "check"):
            return [a for answer in answers[:-1] for a in (answer, answer)] + answers[-1:]
        return answers
    directory.faults.append(twice)
    for number in range(2):
        change_all(directory, number)
        follower.same()
    assert follower.restarts == 0


@both
@pytest.mark.parametrize("where", ["groups", "users", "changes"])
@pytest.mark.parametrize("data", [b"\x30\x84\xff\xff\xff\xff what is this", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x30\x00",
                                  b"\x30\x80\x02\x01\x03"], ids=["no BER", "HTTP", "empty", "indefinite"])
def test_garbage(start, usn, where, data):
    follower = start(company(usn))
    follower.directory.once(where, lambda answers: [*answers[:1], Raw(data), *answers[1:]])
    change_all(follower.directory, 1)
    follower.same()


@both
def test_entries_that_do_not_decode(start, usn):
    """Known people keep what they have; what is no name, or no text, is one entry's matter."""
    follower = start(company(usn))
    directory = follower.directory
    bad = [entry("what is this", uid=["x"]), entry("", uid=["y"]), entry(f"uid=\xff,{PEOPLE}".encode("latin-1"), uid=["z"]),
           entry(f"uid=z,{PEOPLE}", {"": [""]}), entry(f"uid=user2,{PEOPLE}", title=[b"\xff"])]
    directory.once("users", lambda answers: [*bad, *answers])
    change_all(directory, 1)
    follower.same()
    directory.once("changes", lambda answers: [*bad, *answers])
    change_all(directory, 2)
    follower.same()
    assert {p["attributes"]["uid"][0] for p in follower.people.values()} >= {f"user{i}" for i in range(1, 7)}
