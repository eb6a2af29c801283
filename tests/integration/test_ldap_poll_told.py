"""Following by modifyTimestamp comes past what a look told before, or a search for one person: that is known by what was told
last, to the letter; neither told again nor taken for told when it is not."""
import pytest

from fake_directory import parts, read_tlv, tlv
from poller import change_all, company, make_start, without  # noqa: F401
from slapd import PEOPLE
from test_ldap_follow import TOOL

pytestmark = pytest.mark.skipif(not TOOL.exists(), reason="make tools builds ldap_read")

USER1 = f"uid=user1,{PEOPLE}"
USERS = f"{{base: '{PEOPLE}', key: uid, filter: '(objectClass=person)'}}"


def test_attributes_in_another_order(start):
    """A directory has no order of them."""
    directory = company(False)
    turns = []

    def turn(search, answers):
        turns.append(1)
        turned = []
        for operation, controls in answers:
            tag, body, _ = read_tlv(operation)
            if tag == 0x64 and len(turns) % 2:
                dn, pairs = parts(body)
                operation = tlv(0x64, tlv(0x04, dn[1]) + tlv(0x30, b"".join(
                    tlv(0x30, pair) for _, pair in reversed(parts(pairs[1])))))
            turned.append((operation, controls))
        return turned
    directory.faults.append(turn)
    follower = start(directory)
    follower.looked(1)
    follower.quiet()
    change_all(directory, 1)
    follower.same()
    follower.looked(1)
    follower.quiet()


def test_without_ids(start):
    """A server that shows none: names stand for them."""
    directory = company(False)
    directory.faults.append(lambda search, answers: without("entryUUID")(answers))
    follower = start(directory, users=USERS)
    follower.quiet()
    moment = directory.time()
    for title in ("A", "B", "A"):
        directory.title("user1", title, time=moment)
        follower.until(lambda title=title: follower.title_of("user1") == [title])
        follower.quiet()


@pytest.mark.parametrize("ids", [True, False], ids=["ids", "no ids"])
def test_gone_and_back_between_looks(start, ids):
    """With nothing to tell it from before: it was told as gone."""
    directory = company(False)
    if not ids:
        directory.faults.append(lambda search, answers: without("entryUUID")(answers))
    directory.stamp(USER1, directory.time(-30))
    follower = start(directory, poll="4s", users=USERS)
    with directory.lock:
        kept = directory.remove(USER1)
    follower.command("fetch user1")
    follower.until(lambda: not follower.by_uid("user1"))
    with directory.lock:
        directory.entries[USER1] = kept
    follower.until(lambda: follower.by_uid("user1"))


def test_fetched_between_looks(start):
    """What was told of somebody by themselves is what was told last."""
    directory = company(False)
    moment = directory.time()
    directory.title("user1", "A", time=moment)
    follower = start(directory, users=USERS)
    for _ in range(3):
        follower.quiet()
        with directory.lock:
            directory.title("user1", "B", time=moment)
            follower.command("fetch user1")
        follower.until(lambda: follower.title_of("user1") == ["B"])
        directory.title("user1", "A", time=moment)
        follower.until(lambda: follower.title_of("user1") == ["A"])


# --- lists in ranges


def test_rest_of_a_list(start):
    """Its first piece and its time say nothing of the rest."""
    directory = company(False)
    directory.most = 3
    moment = directory.time(-5)
    many = [f"user{i}" for i in range(1, 7)]
    directory.group("staff", *many, time=moment)
    follower = start(directory)
    assert follower.by_uid("user6")["groups"] == [1]
    for number in range(3):
        directory.group("staff", *many[:-1], f"nobody{number}", time=moment)
        follower.until(lambda: not follower.by_uid("user6")["groups"])
        directory.group("staff", *many, time=moment)
        follower.until(lambda: follower.by_uid("user6")["groups"] == [1])
    follower.same()
    assert follower.restarts == 0, follower.problems
    batches = sum(map(bool, follower.batches))
    follower.looked(2)
    assert sum(map(bool, follower.batches)) == batches
