"""Following scripted directories by polling: whatever a look meets, nobody is gone, and soon what was told equals a fresh full read."""
import json
import os
import select
import time

import pytest

from changing_directory import DELETED, Changing, kind
from fake_directory import FakeDirectory, Raw, done, entry, parts, read_tlv, reference, tlv
from slapd import GROUPS, PEOPLE, group_dn
from test_ldap_follow import ATTRIBUTES, SECONDS, TOOL, Follower

SANITIZED = TOOL.exists() and b"__asan_init" in TOOL.read_bytes()
CODES = [3, 4, 11, 51, 52, 53]

pytestmark = pytest.mark.skipif(not TOOL.exists(), reason="make tools builds ldap_read")


class Poller(Follower):
    def __init__(self, folder, directory, *servers, poll="1s", mode=None, **options):
        self.directory = directory
        self.password_file = folder / "password"
        self.password_file.touch(mode=0o600)
        self.password_file.write_text("secret")
        mode = mode or ("usn" if directory.usn_based else "timestamp")
        key = "objectGUID" if directory.usn_based else "entryUUID"
        super().__init__(
            folder, directory, group_dn("staff"), group_dn("other"), url=servers[0].url,
            **{"servers": json.dumps([s.url for s in servers]), "tls": "none", "allow_cleartext": "true",
               "bind": f"{{dn: cn=reader, password_file: {self.password_file}}}", **ATTRIBUTES,
               "users": f"{{base: '{PEOPLE}', key: {key}, filter: '(&(objectClass=person)(!(title=gone)))'}}",
               "groups": f"{{base: '{GROUPS}', filter: '(objectClass=group)'}}",
               "follow": f"{{mode: {mode}, poll: {poll}, keepalive: 30s}}", **options})

    def until(self, condition, seconds=SECONDS):
        """Of what the server saw, too."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, (self.state, self.problems[-5:], self.directory.seen[-12:])
            if select.select([self.process.stdout], [], [], 0.02)[0]:
                data = os.read(self.process.stdout.fileno(), 1 << 16)
                assert data, f"ldap_read ended with {self.process.wait()}"
                *lines, self.buffer = (self.buffer + data).split(b"\n")
                for line in lines:
                    self.take(json.loads(line))

    def looked(self, times=1):
        """That many looks were made from now on; where nothing changed none would be."""
        wanted = self.directory.looks() + times

        def made():
            with self.directory.lock:
                self.directory.usn += 1
                return self.directory.looks() >= wanted
        self.until(made)

    def same(self):
        """Until all that is told equals a fresh read, with nobody gone."""
        known, groups = self.fresh()
        self.until(lambda: {k: v for k, v in self.people.items() if k not in self.frozen} ==
                   {k: v for k, v in known.items() if k not in self.frozen} and self.groups == groups)
        assert not self.gone()

    def gone(self):
        return [event["gone"] for batch in self.batches for what, event in batch if what == "gone"]

    def count(self, kind_told):
        return sum(what == kind_told for batch in self.batches for what, _ in batch)

    def worker(self):
        (child,) = open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii").read().split()
        return int(child)

    def title_of(self, uid):
        person = self.by_uid(uid)
        return person and person["attributes"].get("title")


def company(usn, **options):
    directory = Changing(usn, **options)
    for number in range(1, 7):
        directory.person(f"user{number}")
    directory.group("staff", "user1", group_dn("leads"))
    directory.group("leads", "user2")
    directory.group("other", "user3")
    return directory


@pytest.fixture(name="start")
def make_start(tmp_path):
    """start(directory) -> its follower; ended with the test."""
    opened = []

    def start(directory, **options):
        server = FakeDirectory(directory.script).__enter__()
        opened.append(server)
        follower = Poller(tmp_path, directory, server, **options)
        opened.append(follower)
        follower.server = server
        return follower.__enter__()

    yield start
    for item in reversed(opened):
        item.__exit__()


both = pytest.mark.parametrize("usn", [True, False], ids=["usn", "timestamp"])


def cut(_):
    return None


def cut_in_the_middle(answers):
    return [*answers[:1], None]


def code(number):
    return lambda answers: [*answers[:-1], done(number)]


def without(*names):
    """Entries without these attributes."""
    wanted = {name.lower().encode() for name in names}

    def change(answers):
        changed = []
        for operation, controls in answers:
            tag, body, _ = read_tlv(operation)
            if tag == 0x64:
                dn, pairs = parts(body)
                kept = b"".join(tlv(0x30, pair) for _, pair in parts(pairs[1])
                                if parts(pair)[0][1].lower() not in wanted)
                operation = tlv(0x64, tlv(0x04, dn[1]) + tlv(0x30, kept))
            changed.append((operation, controls))
        return changed
    return change


def change_all(directory, number):
    """Somebody is changed, somebody comes, and groups change hands."""
    directory.title("user1", f"title {number}")
    directory.person(f"new{number}")
    directory.group("leads", "user2", f"new{number}")
    directory.group("other", "user4" if number % 2 else "user3")


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
    follower = start(company(usn), timeouts="{answer: 2s}")
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


# --- groups


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


# --- many, twice, garbage


@both
def test_more_changes_than_are_followed(start, usn):
    """Read anew, once; then followed."""
    follower = start(company(usn))
    directory = follower.directory
    with directory.lock:
        for number in range(10_050):
            directory.person(f"many{number}")
    follower.until(lambda: follower.restarts >= 1 and follower.state["connected"] and len(follower.people) > 10_000, 90)
    follower.looked(3)
    change_all(directory, 1)
    follower.same()
    assert follower.restarts == 1, follower.problems


def test_loaded_just_before(start):
    """Everybody is stamped with one time: they changed before the read, not after it."""
    directory = company(False)
    moment = directory.time(-30)
    for number in range(10_050):
        directory.person(f"many{number}", time=moment)
    follower = start(directory)
    follower.looked(3)
    change_all(directory, 1)
    follower.same()
    assert follower.restarts == 0, follower.problems
    assert follower.count("identity") < 20


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
    follower = start(company(usn), timeouts="{answer: 1s}")
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


# --- bounds


def usage(pid):
    """CPU seconds so far, and most memory held, MiB."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        peak = next((line for line in file if line.startswith("VmHWM")), "VmHWM 0")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), int(peak.split()[1]) / 1024


@both
def test_9999_changes_at_each_look(start, usn):
    """Time and memory are those of the changes, and memory does not grow from look to look."""
    directory = company(usn)
    many = [f"many{number}" for number in range(9_990)]
    for uid in many:
        directory.person(uid)
    follower = start(directory)
    pid = follower.worker()

    def everybody_changes(number):
        with directory.lock:
            for uid in many:
                directory.title(uid, f"title {number}")
        follower.until(lambda: follower.title_of(many[-1]) == [f"title {number}"], 90)
    for number in range(3):
        everybody_changes(number)
    assert follower.restarts == 0, follower.problems
    cpu_s, peak_mib = usage(pid)
    for number in range(3, 6):
        everybody_changes(number)
    if not SANITIZED:
        cpu_after_s, peak_after_mib = usage(pid)
        assert peak_after_mib < peak_mib + 4, (peak_mib, peak_after_mib)
        assert peak_after_mib < 64
        assert cpu_after_s - cpu_s < 3, (cpu_s, cpu_after_s)
    follower.same()


@both
def test_large_entries(start, usn):
    """So much is not held at once: it is read anew, entry by entry."""
    follower = start(company(usn))
    directory = follower.directory
    large = b"x" * 1_000_000
    padding = entry(f"uid=user6,{PEOPLE}", unasked=[large])

    def pad(search, answers):
        return [padding] * 300 + answers if kind(search) == "users" else answers
    directory.faults.append(pad)
    pid, peaks = follower.worker(), []

    def watch():
        try:
            peaks.append(usage(pid)[1])
        except OSError:
            pass
        return follower.restarts == 1
    change_all(directory, 1)
    follower.until(watch)
    directory.faults.clear()
    follower.same()
    assert SANITIZED or max(peaks) < 200
