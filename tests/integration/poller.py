"""A follower that polls a scripted directory: what its tests share."""
import json
import os
import select
import time

import pytest

from changing_directory import Changing
from fake_directory import FakeDirectory, done, parts, read_tlv, tlv
from slapd import GROUPS, PEOPLE, group_dn
from test_ldap_follow import ATTRIBUTES, SECONDS, Follower


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

    def quiet(self, told=0):
        """Some looks on, no more than that was told, and nothing read anew."""
        before = self.count("identity")
        self.looked(3)
        assert self.count("identity") - before <= told
        assert self.restarts == 0, self.problems

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


CODES = [3, 4, 11, 51, 52, 53]


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
