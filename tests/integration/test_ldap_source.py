"""The ldap source against a real slapd, and against servers that misbehave."""
import base64
import json
import os
import signal
import subprocess
import time
import uuid
from pathlib import Path

import pytest

from fake_directory import (CuttingProxy, FakeDirectory, Raw, SilentServer, done, entry, reference)
from ports import free_port
from slapd import (GROUPS, PEOPLE, SELF_EXTERNAL, SUFFIX, Authority, Slapd,
                   group, group_dn, people, person)

BUILD = Path(os.environ.get("ROLEBRIDGE_BUILD", Path(__file__).resolve().parents[2] / "build"))
TOOL = BUILD / "tools" / "ldap_read"
SECONDS = 120
SANITIZED = TOOL.exists() and b"__asan_init" in TOOL.read_bytes()

pytestmark = pytest.mark.skipif(not TOOL.exists(), reason="make tools builds ldap_read")


class Answer:
    """What ldap_read printed."""

    def __init__(self, process):
        lines = [json.loads(line) for line in process.stdout.splitlines()]
        assert process.returncode == 0, process.stderr
        self.users = {i["dn"]: i for i in lines if "identity" in i}
        self.identities = [i for i in lines if "identity" in i]
        self.quarantined = [q for q in lines if "quarantine" in q]
        self.groups = {g["group"]: g for g in lines if "group" in g}
        self.result = lines[-1]

    @property
    def reason(self):
        assert self.result["complete"] == (self.result["reason"] == "")
        return self.result["reason"] or "complete"

    def by_uid(self, uid):
        return next(i for i in self.identities if i["attributes"]["uid"] == [uid])

    def groups_of(self, uid):
        return self.by_uid(uid)["groups"]


class Reader:
    """Runs ldap_read with configurations of one source."""

    def __init__(self, folder):
        self.folder = folder
        self.password_file = folder / "password"

    def config(self, *servers, password="secret", bind=None, users="", groups="", **options):
        self.password_file.touch(mode=0o600)
        self.password_file.write_text(password)
        lines = {"servers": json.dumps(list(servers)), "timeouts": "{answer: 20s}", **options}
        if bind is None and all(s.startswith("ldapi") for s in servers):
            bind = "{method: external}"
        bind = bind or f'{{dn: "cn=admin,{SUFFIX}", password_file: {self.password_file}}}'
        text = "sources:\n  - name: corp\n    type: ldap\n" + "".join(
            f"    {name}: {value}\n" for name, value in lines.items())
        text += f"    bind: {bind}\n    users: {{base: '{PEOPLE}'{users}}}\n"
        text += f"    groups: {{base: '{GROUPS}'{groups}}}\n"
        path = self.folder / "config.yaml"
        path.write_text(text)
        return path

    def run(self, config, *wanted):
        return subprocess.run([TOOL, config, *wanted], capture_output=True, text=True,
                              timeout=SECONDS, check=False)

    def read(self, *servers, wanted=(), **options):
        return Answer(self.run(self.config(*servers, **options), *wanted))

    def clear(self, *servers, **options):
        """From scripted servers, which speak no TLS and take any password."""
        return self.read(*servers, tls="none", allow_cleartext="true", **options)


@pytest.fixture(name="reader")
def make_reader(tmp_path):
    return Reader(tmp_path)


@pytest.fixture(scope="module", name="directory")
def make_directory():
    """Three people, nested groups with a cycle, TLS."""
    entries = people(4) + [
        group("staff", ["uid=user1", group_dn("leads")]),
        group("leads", ["uid=user2", group_dn("inner")]),
        group("inner", ["uid=user3", group_dn("leads")]),
        group("other", ["uid=user4"])]
    with Slapd(entries, tls=True) as directory:
        yield directory


def admin(directory):
    return {"password": directory.password, "ca": directory.ca}


# --- connections


def test_ldaps_with_pinned_ca(reader, directory):
    answer = reader.read(directory.ldaps_url, **admin(directory))
    assert answer.reason == "complete"
    assert len(answer.identities) == 4
    assert answer.result["server"] == directory.ldaps_url


def test_starttls(reader, directory):
    answer = reader.read(directory.url, **admin(directory))
    assert answer.reason == "complete" and len(answer.identities) == 4


def test_ldapi_external(reader, directory):
    answer = reader.read(directory.ldapi_url)
    assert answer.reason == "complete" and len(answer.identities) == 4


def test_ldapi_external_is_who_it_is(reader):
    acls = [f'to * by dn.exact="{SELF_EXTERNAL}" read by * none']
    with Slapd(people(3), acls=acls) as directory:
        assert len(reader.read(directory.ldapi_url).identities) == 3
        nobody = reader.read(directory.ldapi_url, bind="{method: anonymous}")
        assert nobody.reason in ("no-such-base", "empty-result", "access-denied")


@pytest.mark.skipif(SANITIZED, reason="libldap itself leaks the client certificate it read")
def test_client_certificate(reader, tmp_path):
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server")
    mine, my_key = authority.issue("reader", subject_alt=None)
    acls = ['to * by dn.exact="cn=reader" read by * none']
    with Slapd(people(2), tls=(certificate, key, authority.certificate), acls=acls) as directory:
        answer = reader.read(directory.ldaps_url, ca=authority.certificate,
                             bind=f"{{method: external, certificate: {mine}, private_key: {my_key}}}")
        assert answer.reason == "complete" and len(answer.identities) == 2


@pytest.mark.parametrize("scheme", ["ldaps", "starttls"])
@pytest.mark.parametrize("fault", ["wrong-ca", "wrong-host", "expired"])
def test_bad_certificate(reader, tmp_path, scheme, fault):
    authority = Authority(tmp_path)
    name = "IP:127.0.0.2,DNS:elsewhere.example" if fault == "wrong-host" else "IP:127.0.0.1"
    certificate, key = authority.issue("server", name, expired=fault == "expired")
    trusted = Authority(tmp_path, "other").certificate if fault == "wrong-ca" else authority.certificate
    with Slapd(people(1), tls=(certificate, key, authority.certificate)) as directory:
        url = directory.ldaps_url if scheme == "ldaps" else directory.url
        answer = reader.read(url, ca=trusted, password=directory.password)
    assert answer.reason == "tls-failed", answer.result
    assert not answer.identities


def test_starttls_is_never_optional(reader):
    """A server without TLS refuses StartTLS: nothing is sent in clear."""
    with Slapd(people(1)) as directory:
        ca = Authority(reader.folder).certificate
        answer = reader.read(directory.url, ca=ca, password=directory.password)
        assert answer.reason == "tls-failed" and not answer.identities


def test_missing_ca_file(reader, directory):
    answer = reader.read(directory.ldaps_url, password=directory.password, ca="/nonexistent/ca.pem")
    assert answer.reason == "invalid-settings" and "/nonexistent/ca.pem" in answer.result["detail"]


def test_wrong_password(reader, directory):
    answer = reader.read(directory.ldaps_url, ca=directory.ca, password="hunter2-wrong")
    assert answer.reason == "bind-refused"
    assert "hunter2" not in json.dumps(answer.result)


def test_empty_password_is_refused_before_binding(reader, directory):
    """RFC 4513 5.1.2: the directory would answer with success, for nobody."""
    answer = reader.read(directory.ldaps_url, ca=directory.ca, password="")
    assert answer.reason == "invalid-settings" and not answer.identities


# --- the next server


def test_refused_connection_then_next(reader, directory):
    dead = f"ldaps://127.0.0.1:{free_port()}"
    answer = reader.read(dead, directory.ldaps_url, **admin(directory))
    assert answer.reason == "complete" and answer.result["server"] == directory.ldaps_url
    assert dead in answer.result["detail"]


def test_unknown_host_then_next(reader, directory):
    answer = reader.read("ldaps://nowhere.invalid", directory.ldaps_url, **admin(directory))
    assert answer.reason == "complete" and "nowhere.invalid" in answer.result["detail"]


@pytest.mark.parametrize("scheme", ["ldap", "ldaps"])
def test_silent_server_then_next(reader, directory, scheme):
    with SilentServer() as silent:
        url = silent.url.replace("ldap:", scheme + ":")
        answer = reader.read(url, directory.ldaps_url, **admin(directory), timeouts="{answer: 10s}")
        assert answer.reason == "complete"
        assert f"{url}: timeout" in answer.result["detail"]
        alone = reader.read(url, **admin(directory), timeouts="{answer: 1s}")
        assert alone.reason == "timeout" and alone.result["server"] == ""


def test_all_servers_failed_names_each(reader, directory):
    dead = f"ldaps://127.0.0.1:{free_port()}"
    answer = reader.read(dead, directory.ldaps_url, ca=directory.ca, password="wrong")
    assert answer.reason == "all-servers-failed"
    assert "connect-failed" in answer.result["detail"] and "bind-refused" in answer.result["detail"]


def test_no_second_server_after_the_first_identity(reader):
    """The intake would get everybody twice."""
    def script(search):
        return [entry(f"uid=a,{PEOPLE}", uid=["a"], entryUUID=[str(uuid.uuid4())]), done(52)]
    with FakeDirectory(script) as first, FakeDirectory(script) as second:
        answer = reader.clear(first.url, second.url)
        assert answer.reason == "unavailable" and len(answer.identities) == 1
        assert not second.searches


# --- groups


def test_nested_groups_with_cycle(reader, directory):
    wanted = [group_dn("staff"), "CN=Leads, OU=Groups, " + SUFFIX.upper(), group_dn("missing")]
    answer = reader.read(directory.ldapi_url, wanted=wanted)
    assert answer.reason == "complete"
    assert [answer.groups_of(f"user{i}") for i in (1, 2, 3, 4)] == [[1], [1, 2], [1, 2], []]
    assert all(i["groups_complete"] for i in answer.identities)
    assert {n: (g["found"], g["members"]) for n, g in answer.groups.items()} == {
        1: (True, 3), 2: (True, 2), 3: (False, 0)}


def test_group_by_immutable_id(reader):
    ident = "6f1d2a34-1111-4a4b-8c8c-0123456789ab"
    entries = people(2) + [group("staff", ["uid=user2"], f"entryUUID: {ident}")]
    with Slapd(entries) as directory:
        answer = reader.read(directory.ldapi_url, wanted=[ident.upper()])
        assert answer.groups_of("user2") == [1] and answer.groups_of("user1") == []


def test_no_group_is_searched_when_no_rule_names_one(reader):
    with FakeDirectory(lambda s: [entry(f"uid=a,{PEOPLE}", uid=["a"], entryUUID=["k"]), done()]) as server:
        assert reader.clear(server.url).reason == "complete"
        assert [s.base for s in server.searches] == [PEOPLE]


def test_other_kinds_of_groups(reader):
    entries = people(3) + [
        group("unique", ["uid=user1"], kind="groupOfUniqueNames", attribute="uniqueMember")
        .replace(f"uid=user1,{PEOPLE}", f"uid=user1,{PEOPLE}#'0101'B"),
        group("posix", ["USER2"], "gidNumber: 7", kind="posixGroup", attribute="memberUid")]
    with Slapd(entries) as directory:
        answer = reader.read(directory.ldapi_url, wanted=[group_dn("unique"), group_dn("posix")])
    assert answer.reason == "complete"
    assert [answer.groups_of(f"user{i}") for i in (1, 2, 3)] == [[1], [2], []]


SPELLINGS = [
    ("cn=Doe\\, Jane", "cn=doe\\2C jane"),
    ('cn=A \\"quoted\\" name', "CN=a \\22quoted\\22 NAME"),
    ("cn=R&D \\+ Sales", "cn=r&d \\2B  sales"),
    ("cn=\\#hash", "cn=\\23hash"),
    ("cn=Zoë Ünal", "cn=zo\\C3\\AB \\C3\\BCnal"),
    ("cn=Two+uid=two", "uid=two+cn=two"),
    ("cn=back\\\\slash", "cn=back\\5Cslash"),
]


@pytest.mark.parametrize("rdn,other", SPELLINGS)
def test_names_in_several_spellings(reader, rdn, other):
    """slapd keeps a member value as it was written; the entry's name is spelled another way."""
    value = rdn.split("+")[0] if "Two+" in rdn else rdn
    name = {"cn=Doe\\, Jane": "Doe, Jane", 'cn=A \\"quoted\\" name': 'A "quoted" name',
            "cn=R&D \\+ Sales": "R&D + Sales", "cn=\\#hash": "#hash",
            "cn=back\\\\slash": "back\\slash"}.get(rdn, value[3:])
    encoded = base64.b64encode(name.encode()).decode()
    text = person("two", rdn=None).replace("dn: uid=two", "dn:: @", 1).replace("cn: Two", f"cn:: {encoded}")
    text = text.replace(f"dn:: @,{PEOPLE}",
                        "dn:: " + base64.b64encode(f"{rdn},{PEOPLE}".encode()).decode())
    entries = [text, group("staff", []).rstrip("\n") + f"\nmember: {other},{PEOPLE.upper()}\n\n"]
    with Slapd(entries) as directory:
        answer = reader.read(directory.ldapi_url, wanted=[group_dn("staff")])
    assert answer.reason == "complete"
    assert [i["groups"] for i in answer.identities] == [[1]], answer.identities


# --- incomplete reads


def test_sizelimit_takes_nothing_away(reader):
    with Slapd(people(30), acls=["to * by * read"], sizelimit=12) as directory:
        answer = reader.read(directory.ldapi_url, page_size="5")
    assert answer.reason == "size-limit" and 0 < len(answer.identities) < 30


def test_sizelimit_in_groups_makes_every_membership_doubtful(reader):
    entries = people(3) + [group(f"g{i}", ["uid=user1"]) for i in range(9)]
    with Slapd(entries, sizelimit=5) as directory:
        answer = reader.read(directory.ldapi_url, wanted=[group_dn("g1"), group_dn("g8")])
    assert answer.reason == "size-limit" and len(answer.identities) == 3
    assert not any(i["groups_complete"] for i in answer.identities)
    assert all(g["found"] for g in answer.groups.values())


def test_server_killed_in_mid_read(reader, tmp_path):
    big = [person(f"user{i}", "description: " + "x" * 2000) for i in range(400)]
    with Slapd(big) as directory:
        with CuttingProxy(directory.port, 300_000, cut=directory.kill) as proxy:
            answer = reader.clear(proxy.url, password=directory.password, page_size="100")
    assert answer.reason == "connection-lost", answer.result
    assert 0 < len(answer.identities) < 400


def test_server_hangs_in_mid_page(reader):
    with Slapd([person(f"user{i}", "description: " + "x" * 2000) for i in range(400)]) as directory:
        with CuttingProxy(directory.port, 301_111, hang=True) as proxy:
            answer = reader.clear(proxy.url, password=directory.password, page_size="100",
                                  timeouts="{answer: 10s}")
    assert answer.reason == "timeout" and 0 < len(answer.identities) < 400


def user(uid, attributes=None, **more):
    return entry(f"uid={uid},{PEOPLE}",
                 {"entryUUID": [f"key-{uid}"], "uid": [uid], **(attributes or {}), **more})


@pytest.mark.parametrize("code,reason", [
    (1, "directory-error"), (2, "protocol-error"), (3, "time-limit"), (4, "size-limit"),
    (10, "referral"), (11, "admin-limit"), (12, "paging-refused"), (32, "no-such-base"),
    (50, "access-denied"), (51, "busy"), (52, "unavailable"), (53, "directory-error"),
    (80, "directory-error"), (4711, "directory-error")])
def test_result_codes(reader, code, reason):
    with FakeDirectory(lambda s: [user("a"), done(code)]) as server:
        answer = reader.clear(server.url)
    assert answer.reason == reason and len(answer.identities) == 1


@pytest.mark.parametrize("name,script,reason,identities", [
    ("no cookie", lambda s: [user("a"), done(paged=False)], "paging-refused", 1),
    ("referral", lambda s: [user("a"), reference(), done()], "referral", 1),
    ("empty", lambda s: [done()], "empty-result", 0),
    ("closed", lambda s: None, "connection-lost", 0),
    ("no LDAP", lambda s: [Raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")], "connection-lost", 0),
    ("huge message", lambda s: [Raw(b"\x30\x84\x7f\xff\xff\xff\x02\x01\x03")], "connection-lost", 0),
    ("closed in mid entry", lambda s: [user("a"), Raw(b"\x30\x50\x02\x01\x03\x64"), None],
     "connection-lost", 1),
])
def test_misbehaviour(reader, name, script, reason, identities):
    def answers(search):
        return script(search)
    with FakeDirectory(answers) as server:
        if name == "closed in mid entry":
            server.answer = cut_after(server)
        answer = reader.clear(server.url, timeouts="{answer: 10s}")
    assert answer.reason in (reason, "protocol-error", "timeout") and len(answer.identities) == identities
    if name not in ("no LDAP", "huge message", "closed in mid entry"):
        assert answer.reason == reason


def cut_after(server):
    """Answers a search with one entry and a piece of the next, then closes."""
    original = server.answer

    def answer(connection, fields):
        if fields[1][0] != 0x63:
            return original(connection, fields)
        server.script = lambda s: [user("a"), Raw(b"\x30\x50\x02\x01\x03\x64")]
        original(connection, fields)
        return False
    return answer


def test_referrals_can_be_ignored(reader):
    with FakeDirectory(lambda s: [user("a"), reference(), done()]) as server:
        assert reader.clear(server.url, ignore_referrals="true").reason == "complete"


def test_many_pages(reader):
    """Each cookie goes back once; the last page has none."""
    def script(search):
        page = int(search.cookie or b"0")
        return [user(f"p{page}-{i}") for i in range(3)] + [done(cookie=b"%d" % (page + 1) if page < 9 else b"")]
    with FakeDirectory(script) as server:
        answer = reader.clear(server.url, page_size="3")
        assert answer.reason == "complete" and len(answer.identities) == 30
        assert [s.cookie for s in server.searches] == [b""] + [b"%d" % i for i in range(1, 10)]


def test_pages_of_a_real_server(reader):
    with Slapd(people(57)) as directory:
        for size in (1, 7, 57, 1000, 0):
            answer = reader.read(directory.ldapi_url, page_size=str(size))
            assert answer.reason == "complete" and len(answer.identities) == 57


@pytest.mark.parametrize("seen,reason", [("user2", "complete"), ("nobody", "canary-missing")])
def test_canaries(reader, directory, seen, reason):
    answer = reader.read(directory.ldapi_url, canaries=f"['UID={seen}, {PEOPLE}']")
    assert answer.reason == reason and len(answer.identities) == 4


def test_canary_group_counts_when_groups_are_read(reader, directory):
    canaries = f"['{group_dn('gone')}']"
    assert reader.read(directory.ldapi_url, canaries=canaries).reason == "complete"
    answer = reader.read(directory.ldapi_url, canaries=canaries, wanted=[group_dn("staff")])
    assert answer.reason == "canary-missing"


# --- member;range= of Active Directory


def range_script(pieces, fail_at=None):
    def script(search):
        if search.base == PEOPLE:
            return [user(f"u{i}") for i in range(10)] + [done()]
        if search.scope != 0:
            return [entry(group_dn("big"), {"member": [], f"member;range=0-{pieces[0] - 1}": [
                f"uid=u{i},{PEOPLE}" for i in range(pieces[0])]}), done()]
        asked = next(a for a in search.attributes if ";range=" in a)
        first = int(asked.split("=")[1].split("-")[0])
        if first == fail_at:
            return [done(51, paged=False)]
        number = next(i for i in range(len(pieces)) if sum(pieces[:i + 1]) > first)
        last = sum(pieces[:number + 1])
        end = "*" if number == len(pieces) - 1 else str(last - 1)
        return [entry(group_dn("big"), {f"member;range={first}-{end}": [
            f"uid=u{i},{PEOPLE}" for i in range(first, last)]}), done(paged=False)]
    return script


def test_ranges_are_fetched_to_the_end(reader):
    with FakeDirectory(range_script([3, 3, 2])) as server:
        answer = reader.clear(server.url, wanted=[group_dn("big")])
    assert answer.reason == "complete"
    assert [bool(answer.groups_of(f"u{i}")) for i in range(10)] == [True] * 8 + [False] * 2
    assert answer.groups[1]["members"] == 8


def test_unfinished_range_is_incomplete(reader):
    with FakeDirectory(range_script([3, 3, 2], fail_at=6)) as server:
        answer = reader.clear(server.url, wanted=[group_dn("big")])
    assert answer.reason == "range-cut"
    assert answer.by_uid("u1")["groups"] == [1]
    assert not answer.by_uid("u9")["groups_complete"]


def test_attribute_in_ranges_is_not_absent(reader):
    """More values than the server sends at once: what came is not all, and absence would be "no"."""
    def script(search):
        return [user("a", {"title": [], "title;range=0-1": ["clerk", "guest"]}), user("b"), done()]
    with FakeDirectory(script) as server:
        answer = reader.clear(server.url)
    assert answer.reason == "complete"
    assert [i["identity"] for i in answer.identities] == ["key-b"]
    assert [(q["reason"], q["key"]) for q in answer.quarantined] == [("attribute-cut", "key-a")]


# --- entries that cannot be processed


def test_bad_entries_go_to_quarantine(reader):
    def script(search):
        if search.base == GROUPS:
            return [entry(group_dn("staff"), member=[f"uid=good,{PEOPLE}", "not a name", b"\xff\xfe="]),
                    entry(b"cn=bro\nken\xff", member=[f"uid=good,{PEOPLE}"]), done()]
        return [
            user("good"),
            user("latin", cn=[b"Jos\xe9"]),
            user("nul", cn=[b"a\0b"]),
            user("large", cn=[b"x" * (1024 * 1024 + 1)]),
            user("record", cn=[b"%07d" % i + b"x" * 1_000_000 for i in range(17)]),
            entry(f"uid=nokey,{PEOPLE}", uid=["nokey"]),
            entry(f"uid=twokeys,{PEOPLE}", uid=["twokeys"], entryUUID=["k1", "k2"]),
            entry(f"uid=again,{PEOPLE}", uid=["again"], entryUUID=["key-good"]),
            entry("this is no name\x1b[31m", uid=["noname"], entryUUID=["key-noname"]),
            entry(b"uid=\xff\xfe," + PEOPLE.encode(), uid=["badname"], entryUUID=["key-badname"]),
            user("last"), done()]
    with FakeDirectory(script) as server:
        answer = reader.clear(server.url, wanted=[group_dn("staff")])
    assert answer.reason == "complete"
    assert sorted(i["attributes"]["uid"][0] for i in answer.identities) == ["good", "last"]
    found = [(q["quarantine"].split(",")[0], q["reason"]) for q in answer.quarantined]
    assert found == [
        ("cn=staff", "invalid-member"), ("cn=bro\\x0aken\\xff", "invalid-dn"),
        ("uid=latin", "invalid-utf8"), ("uid=nul", "invalid-utf8"), ("uid=large", "value-too-large"),
        ("uid=record", "record-too-large"), ("uid=nokey", "missing-key"),
        ("uid=twokeys", "ambiguous-key"), ("uid=again", "duplicate-key"),
        ("this is no name\\x1b[31m", "invalid-dn"), ("uid=\\xff\\xfe", "invalid-dn")]
    assert answer.quarantined[2]["key"] == "key-latin"
    assert answer.result["quarantined"] == len(found)
    # A group without a usable name may be what joins somebody to a wanted one.
    assert answer.groups_of("good") == [1] and not answer.by_uid("last")["groups_complete"]


@pytest.mark.parametrize("odd", [b"\xff\xfe", b"x" * 100_000], ids=["no text", "very long"])
def test_odd_login_names_stop_nobody(reader, odd):
    """uid is read for memberUid lists also where no rule and no field of the user wants it."""
    def script(search):
        if search.base == GROUPS:
            return [entry(group_dn("unix"), memberUid=["b", odd]), done()]
        return [entry(f"cn={name},{PEOPLE}", entryUUID=[f"key-{name}"], uid=uids)
                for name, uids in (("a", [odd]), ("b", ["b", odd]), ("c", ["c"]))] + [done()]
    with FakeDirectory(script) as server:
        config = reader.config(server.url, tls="none", allow_cleartext="true")
        answer = Answer(reader.run("--declared", config, group_dn("unix")))
    assert answer.reason == "complete"
    assert {i["identity"]: i["groups"] for i in answer.identities} == {
        "key-a": [], "key-b": [1], "key-c": []}
    assert [q["reason"] for q in answer.quarantined] == ["invalid-member"]


def test_one_group_asked_for_twice(reader, directory):
    """Rules may name it as "cn=…" and as "corp:cn=…": two numbers, one group."""
    answer = reader.read(directory.ldaps_url, wanted=[group_dn("leads"), group_dn("leads")],
                         **admin(directory))
    assert answer.groups_of("user2") == [1, 2]
    assert answer.groups[1]["found"] and answer.groups[2]["found"]


def test_an_id_is_no_name(reader):
    """Who may write an id attribute must not make the group into another one."""
    def script(search):
        if search.base == GROUPS:
            return [entry("cn=mine,dc=x", nsUniqueId=["cn=boss,dc=x"], member=[f"uid=a,{PEOPLE}"]),
                    done()]
        return [user("a"), done()]
    with FakeDirectory(script) as server:
        answer = reader.clear(server.url, wanted=["cn=boss,dc=x", str(uuid.UUID(int=1))])
    assert answer.groups_of("a") == [] and not answer.groups[1]["found"]


def test_invalid_utf8_from_a_real_server(reader):
    photo = base64.b64encode(b"\xff\xd8\xff\xe0 no text").decode()
    entries = people(2) + [person("odd", f"jpegPhoto:: {photo}")]
    with Slapd(entries) as directory:
        answer = reader.read(directory.ldapi_url, attributes="[{name: picture, from: jpegPhoto}]")
    assert answer.reason == "complete" and len(answer.identities) == 2
    assert [q["reason"] for q in answer.quarantined] == ["invalid-utf8"]


def test_disabled_markers(reader):
    def script(search):
        return [
            user("ok", userAccountControl=["512"]),
            user("ad", userAccountControl=["514"]),
            user("dsee", nsAccountLock=["TRUE"]),
            user("ppolicy", pwdAccountLockedTime=["000001010000Z"]),
            user("guessed", pwdAccountLockedTime=["20260101000000Z"]),
            user("expired", accountExpires=["116444736010000000"]),
            user("never", accountExpires=["9223372036854775807"], shadowExpire=["-1"]),
            user("shadow", shadowExpire=["1"]), done()]
    with FakeDirectory(script) as server:
        answer = reader.clear(server.url)
        disabled = {i["attributes"]["uid"][0]: i["disabled_by"] for i in answer.identities if i["disabled"]}
        none = reader.clear(server.url, users=", disabled: none")
        timed = {i["attributes"]["uid"][0]: (i["disabled_by"], i["disabled_from"])
                 for i in answer.identities if i["disabled_from"]}
    assert disabled == {"ad": "userAccountControl", "dsee": "nsAccountLock",
                        "ppolicy": "pwdAccountLockedTime"}
    # The core compares these with its clock: they come about without a change in the directory.
    assert timed == {"expired": ("accountExpires", 1), "shadow": ("shadowExpire", 86400)}
    assert not any(i["disabled"] for i in none.identities)


def test_guid_key(reader):
    ident = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
    def script(search):
        return [entry(f"cn=a,{PEOPLE}", uid=["a"], objectGUID=[ident.bytes_le]),
                entry(f"cn=b,{PEOPLE}", uid=["b"], objectGUID=[b"short"]), done()]
    with FakeDirectory(script) as server:
        answer = reader.clear(server.url, users=", key: objectGUID")
    assert [i["identity"] for i in answer.identities] == [str(ident)]
    assert [q["reason"] for q in answer.quarantined] == ["invalid-key"]


def test_order_of_answers_does_not_matter(reader):
    values = {"mail": ["b@x.example", "a@x.example"], "cn": ["Z", "A"]}
    def script(search):
        turned = dict(reversed([(k, list(reversed(v))) for k, v in values.items()]))
        chosen = values if not script.turn else turned
        script.turn = True
        return [user("a", **chosen), done()]
    script.turn = False
    with FakeDirectory(script) as server:
        first, second = reader.clear(server.url), reader.clear(server.url)
    assert first.identities == second.identities


# --- the worker


def worker_of(process):
    """The pid of the child of a running ldap_read, once it is locked up."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for child in children:
            status = Path(f"/proc/{child}/status").read_text()
            if "\nSeccomp:\t2\n" in status:
                return int(child), status
        time.sleep(0.01)
    raise AssertionError("no locked worker")


def start_on_silence(reader, *more):
    """ldap_read with a worker that waits for an answer."""
    def script(search):
        return [user("a")] if search.base == PEOPLE else None
    server = FakeDirectory(script)
    server.__enter__()
    config = reader.config(server.url, *more, tls="none", allow_cleartext="true")
    process = subprocess.Popen([TOOL, config], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return server, process


def finish(process):
    out, err = process.communicate(timeout=SECONDS)
    return Answer(subprocess.CompletedProcess([], process.returncode, out, err))


def test_worker_is_locked_up(reader):
    server, process = start_on_silence(reader)
    try:
        pid, status = worker_of(process)
        assert "NoNewPrivs:\t1" in status
        # Not dumpable: only root may look inside.
        if os.geteuid() == 0:
            assert sorted(os.listdir(f"/proc/{pid}/fd")) == ["0", "1", "2", "3", "4"]
            assert b"PATH" not in Path(f"/proc/{pid}/environ").read_bytes()
        else:
            with pytest.raises(PermissionError):
                os.listdir(f"/proc/{pid}/fd")
    finally:
        process.kill()
        process.communicate()
        server.__exit__()


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_worker_crash(reader, number):
    server, process = start_on_silence(reader)
    pid, _ = worker_of(process)
    os.kill(pid, number)
    answer = finish(process)
    server.__exit__()
    assert answer.reason == "worker-died"
    # AddressSanitizer turns SIGSEGV into an exit of its own.
    told = "exit 1" if SANITIZED and number == signal.SIGSEGV else f"signal {int(number)}"
    assert told in answer.result["detail"]


def test_worker_that_stops_is_killed(reader):
    with SilentServer() as silent:
        config = reader.config(silent.url, tls="none", allow_cleartext="true", timeouts="{answer: 10s}")
        process = subprocess.Popen([TOOL, config], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        pid, _ = worker_of(process)
        os.kill(pid, signal.SIGSTOP)
        answer = finish(process)
    assert answer.reason == "timeout" and not Path(f"/proc/{pid}").exists()


def test_worker_dies_with_its_parent(reader):
    server, process = start_on_silence(reader)
    pid, _ = worker_of(process)
    process.kill()
    process.communicate()
    end = time.monotonic() + 60
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.01)
    server.__exit__()
    assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/status").read_text()


def test_total_time_is_bounded(reader):
    """A server that says a little for ever."""
    def script(search):
        time.sleep(0.2)
        # The worker hands over some at a time.
        return [user(f"p{uuid.uuid4()}") for _ in range(20)] + [done(cookie=b"more")]
    with FakeDirectory(script) as server:
        answer = reader.clear(server.url, timeouts="{total: 10s}")
    assert answer.reason == "timeout" and len(answer.identities) > 1


# --- configuration


@pytest.mark.parametrize("servers,options,message", [
    (["ldap://h"], {"ca": "/ca", "tls": "none"}, "would be asked without TLS"),
    (["ldaps://h"], {}, "needs 'ca'"),
    (["ldaps://h"], {"ca": "/ca", "tls": "none"}, "tls: none forbids it"),
    (["ldap://h"], {"ca": "/ca", "tls": "ldaps"}, "does not begin with TLS"),
    (["http://h"], {"ca": "/ca"}, "is no ldap://"),
    (["ldap://h/dc=x"], {"ca": "/ca"}, "names no host"),
    (["ldap://h:99999"], {"ca": "/ca"}, "bad port"),
    (["ldap://h"], {"ca": "/ca", "bind": "{method: simple}"}, "needs 'dn' and 'password_file'"),
    (["ldap://h"], {"ca": "/ca", "bind": "{method: external}"}, "needs 'certificate'"),
    (["ldap://h"], {"ca": "/ca", "users": ", filter: '(a=b))'"}, "parentheses"),
    (["ldap://h"], {"ca": "/ca", "users": ", disabled: [oddity]"}, "no known meaning"),
])
def test_bad_configuration(reader, servers, options, message):
    result = reader.run(reader.config(*servers, **options))
    assert result.returncode == 2 and message in result.stderr, result.stderr


@pytest.mark.parametrize("name, fits", [
    ("cn=svc,dc=x", True), ("svc@ad.example.org", True), ("EXAMPLE\\\\svc", True), ("svc", False), ("@x", False),
    ("svc@", False), ("a@b@c", False), ("cn=svc,,dc=x", False), ("svc@x,dc=y", False),
])
def test_names_to_bind_as(reader, name, fits):
    """Active Directory signs in by user@domain and DOMAIN\\user, too."""
    with FakeDirectory(lambda search: [user("a"), done()]) as server:
        config = reader.config(server.url, tls="none", allow_cleartext="true",
                               bind=f'{{dn: "{name}", password_file: {reader.password_file}}}')
        result = reader.run(config)
    assert (result.returncode == 0) == fits, result.stderr
    assert fits or "malformed DN" in result.stderr, result.stderr


def test_base_must_be_a_name(reader):
    config = reader.config("ldapi:///")
    config.write_text(config.read_text().replace(PEOPLE, "ou=people,,dc=x"))
    result = reader.run(config)
    assert result.returncode == 2 and "config.yaml:" in result.stderr


