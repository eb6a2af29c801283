"""Bad configurations and bad files: a precise complaint about each fault, and nothing lost by it."""
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from bridge import CTL, DAEMON, Bridge

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
MISTAKES = FIXTURES / "config" / "mistakes.yaml"
SECONDS = 60

# --- configurations


def check(path, folder, *, ctl=False):
    """The daemon's own check, or rolebridgectl's; the same text is wanted of both."""
    words = [CTL, "check", path] if ctl else [DAEMON, "--config", path, "--check"]
    return subprocess.run([str(w) for w in words], cwd=folder, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=SECONDS, check=False)


def diagnostics(result):
    """The first line of each: [file:line:col:] severity: text."""
    return [line for line in result.stderr.splitlines() if re.match(r"(\S+: )?(error|warning): ", line)]


@pytest.mark.parametrize("ctl", [False, True], ids=["rolebridged", "rolebridgectl"])
def test_twenty_mistakes_are_twenty_diagnostics(ctl):
    result = check(MISTAKES.name, MISTAKES.parent, ctl=ctl)
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr == MISTAKES.with_suffix(".txt").read_text()
    marked = {n: int(m[1]) for n, line in enumerate(MISTAKES.read_text().splitlines(), 1)
              if (m := re.search(r"# (\d+)$", line))}
    assert sorted(marked.values()) == list(range(1, 21))
    found = [int(line.split(":")[1]) for line in diagnostics(result)]
    assert found == sorted(marked), "one for each mistake, where it was made, and none besides"


def test_a_running_daemon_finds_the_same():
    with Bridge("profiles: []\n") as bridge:
        answer = json.loads(bridge.run("check", MISTAKES).stdout)
    answer["findings"] = [f for f in answer["findings"] if f.get("file") != "store"]
    assert not answer["valid"] and len(answer["findings"]) == 20
    assert all(finding["severity"] == "error" for finding in answer["findings"])
    expected = [tuple(map(int, line.split(":")[1:3])) for line in
                MISTAKES.with_suffix(".txt").read_text().splitlines() if ": error: " in line]
    assert [(f["line"], f["column"]) for f in answer["findings"]] == expected


LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9))

# name, text, what the diagnostics are: (line, part of the text)
BROKEN = [
    ("second document", "profiles: []\n---\nprofiles: []\n", [(2, "second document")]),
    ("document after its end", "profiles: []\n...\nprofiles: []\n", [(3, "second document")]),
    ("each duplicate key", "profiles: []\nprofiles: []\nsegments: []\npolicy: {missing_runs: 1, missing_runs: 2}\n"
     "segments: []\nprofiles: []\n",
     [(2, "duplicate key 'profiles'"), (4, "duplicate key 'missing_runs'"), (5, "duplicate key 'segments'"),
      (6, "duplicate key 'profiles'")]),
    ("syntax", "profiles:\n  - {description: unclosed\nrules: []\n", [(3, "comma")]),
    ("syntax at the end", "profiles: [\"a\n", [(1, "")]),
    ("not a mapping", "- profiles\n", [(1, "mapping")]),
    ("aliases", "segments: &all [All]\nroles: *all\n", [(1, "anchor"), (2, "alias")]),
    ("tag", "profiles: !!python/object []\n", [(1, "tag")]),
    ("tab", "policy:\n\tmissing_runs: 1\n", [(2, "tab")]),
    ("include of a missing file", "include: [nowhere.yaml]\n", [(1, "nowhere.yaml")]),
    ("include of a folder", "include: [.]\n", [(1, "'.")]),
    ("include out of an include", None, [(1, "include")]),
]


@pytest.mark.parametrize("name, text, expected", BROKEN, ids=[case[0] for case in BROKEN])
def test_broken_documents(tmp_path, name, text, expected):
    if text is None:
        (tmp_path / "inner.yaml").write_text("include: [inner.yaml]\n")
        text = "include: [inner.yaml]\n"
    (tmp_path / "x.yaml").write_text(text)
    result = check("x.yaml", tmp_path)
    assert result.returncode == 1 and result.stdout == ""
    found = diagnostics(result)
    assert [int(line.split(":")[1]) for line in found] == [line for line, _ in expected], result.stderr
    for line, (_, part) in zip(found, expected):
        assert part in line, line
    assert check("x.yaml", tmp_path, ctl=True).stderr == result.stderr


def test_laughs_are_refused_before_they_grow(tmp_path):
    (tmp_path / "x.yaml").write_text(LAUGHS)
    result = check("x.yaml", tmp_path)
    assert result.returncode == 1 and "alias" in result.stderr
    assert len(result.stderr) < 100_000


def test_bytes_that_are_no_text(tmp_path):
    for text, line in [(b"profiles: []\nsegments: [\xff]\n", 2), (b"profiles: []\n\n# \x00\n", 3)]:
        (tmp_path / "x.yaml").write_bytes(text)
        result = check("x.yaml", tmp_path)
        assert [int(found.split(":")[1]) for found in diagnostics(result)] == [line], result.stderr
        assert result.returncode == 1


@pytest.mark.parametrize("size, fits", [(8 << 20, True), ((8 << 20) + 1, False)])
def test_size_cap(tmp_path, size, fits):
    text = b"profiles: []\n"
    line = b"#" + b"x" * 1022 + b"\n"
    text += line * ((size - len(text)) // len(line))
    (tmp_path / "x.yaml").write_bytes(text + b"#" * (size - len(text)))
    result = check("x.yaml", tmp_path)
    assert ("larger than 8388608 bytes" in result.stderr) != fits, result.stderr
    assert (result.returncode == 0) == fits and len(result.stderr) < 10_000


@pytest.mark.parametrize("what", ["missing", "folder", "forbidden", "fifo"])
def test_unreadable_files(tmp_path, what):
    path = tmp_path / "x.yaml"
    if what == "folder":
        path.mkdir()
    elif what == "forbidden":
        if os.geteuid() == 0:
            pytest.skip("root may read everything")
        path.touch(mode=0)
    elif what == "fifo":
        os.mkfifo(path)
    for ctl in (False, True):
        result = check("x.yaml", tmp_path, ctl=ctl)
        assert result.returncode == 1 and "x.yaml" in result.stderr, result
        assert len(diagnostics(result)) == 1, result.stderr


def test_many_mistakes_are_all_counted(tmp_path):
    """What is shown has a bound, what is counted has none."""
    (tmp_path / "x.yaml").write_text("".join(f"nonsense{i}: 1\n" for i in range(20_000)))
    result = check("x.yaml", tmp_path)
    assert result.returncode == 1 and "20000 error(s)" in result.stderr.splitlines()[-1], result.stderr[-300:]


# --- files

RULES = """
profiles:
  - {name: administrator, permissions: ["*:*@all"]}
  - {name: viewer, permissions: ["accounts:read@own"]}
segments: [All]
roles:
  - {name: sales, classifications: [Sales], segments: [All], permissions: ["quotes:*@own"]}
rules:
  - id: sales
    groups: [%s]
    grant: {roles: [sales]}
policy:
  default_profile: viewer
  missing_runs: 1
  missing_grace: 0
  limits: {disables_min: 1000, disables_max: 1000, removals_min: 1000, group_loss_percent: 100}
sources:
"""
PEOPLE = "ou=people,dc=example,dc=org"
LDIF = RULES % '"cn=sales,ou=groups,dc=example,dc=org"' + "  - {name: corp, type: ldif, path: people, interval: 0}\n"
CSV = RULES % '"corp:sales"' + "  - {name: corp, type: csv, path: people, interval: 0}\n"
BIG = b"x" * (10 << 20)


def person(uid, *lines, cn=None, key=None):
    return b"".join([f"dn: uid={uid},{PEOPLE}\nobjectClass: inetOrgPerson\nuid: {uid}\nsn: {uid}\n"
                     f"mail: {uid}@example.org\n".encode(), b"cn: " + (cn or uid.encode()) + b"\n",
                     b"" if key == "" else f"entryUUID: {key or uid + '-key'}\n".encode(),
                     *(line + b"\n" for line in lines), b"\n"])


def sales(*members):
    return (f"dn: cn=sales,ou=groups,dc=example,dc=org\nobjectClass: groupOfNames\ncn: sales\nentryUUID: sales-key\n" +
            "".join(f"member: uid={m},{PEOPLE}\n" for m in members) + "\n").encode()


def read(bridge):
    """A sync; its report, however it ended."""
    result = bridge.run("sync", "corp")
    run = json.loads(result.stdout)
    (report,) = run["reports"]
    assert (result.returncode == 0) == report["complete"], result
    return report


def quarantine(bridge):
    """(line of the file, reason) of each entry."""
    path = str(bridge.folder / "people")
    rows = bridge.ctl("quarantine", "list")["entries"]
    for row in rows:
        assert row["source"] == "corp" and row["locator"].startswith(path + ":") and row["detail"], row
    return sorted((int(row["locator"].rsplit(":", 1)[1]), row["reason"]) for row in rows)


def state(bridge):
    """What everybody has, by username."""
    found = {}
    for user in bridge.ctl("users", "list", "--limit", "1000")["users"]:
        shown = bridge.ctl("users", "show", user["username"])
        found[user["username"]] = (shown["email"], shown["profile"], tuple(shown["disabled"]),
                                   tuple(sorted((g["kind"], g["name"]) for g in shown["grants"])))
    return found


# name, entry, place of the fault in the entry, reason
BAD_ENTRIES = [
    ("broken base64", person("bad", b"description:: !!!"), 8, "bad-base64"),
    ("base64 cut", person("bad", b"description:: QUJ"), 8, "bad-base64"),
    ("NUL", person("bad", cn=b"a\0b"), 6, "nul-byte"),
    ("NUL in base64", person("bad", b"displayName:: YQBi"), 8, "nul-byte"),
    ("invalid UTF-8", person("bad", cn=b"a\xff"), 6, "invalid-utf8"),
    ("surrogate", person("bad", cn=b"\xed\xa0\x80"), 6, "invalid-utf8"),
    ("10 MB line", person("bad", b"description: " + BIG), 8, "line-too-long"),
    ("10 MB of nothing", person("bad", BIG), 8, "line-too-long"),
    ("URL", person("bad", b"jpegPhoto:< file:///etc/passwd"), 8, "url-refused"),
    ("duplicate DN", person("good", key="other-key"), 1, "duplicate-dn"),
    ("duplicate DN spelled otherwise",
     person("x", key="other-key").replace(b"dn: uid=x,ou=people", b"dn: UID=Good , OU=People"), 1, "duplicate-dn"),
    ("duplicate key", person("bad", key="good-key"), 1, "duplicate-key"),
    ("missing key", person("bad", key=""), 1, "missing-key"),
    ("two keys", person("bad", b"entryUUID: more"), 1, "ambiguous-key"),
    ("DN that does not parse", person("bad").replace(b",ou=people", b",,ou"), 1, "invalid-dn"),
    ("no DN", b"objectClass: inetOrgPerson\nuid: bad\n\n", 1, "missing-dn"),
    ("no attribute line", person("bad", b"what is this"), 8, "malformed-line"),
    ("change record", b"dn: uid=bad," + PEOPLE.encode() + b"\nchangetype: delete\n\n", 2, "change-record"),
]


@pytest.fixture(scope="module", name="ldif")
def ldif_bridge():
    with Bridge(LDIF, {"people": b""}) as bridge:
        yield bridge


@pytest.mark.parametrize("name, entry, line, reason", BAD_ENTRIES, ids=[case[0] for case in BAD_ENTRIES])
def test_bad_ldif_entry_alone_is_quarantined(ldif, name, entry, line, reason):
    before = person("good")
    ldif.write("people", before + entry + person("after") + sales("good", "after"))
    report = read(ldif)
    assert report["complete"] and report["quarantined"] == 1, report
    assert quarantine(ldif) == [(before.count(b"\n") + line, reason)]
    people = state(ldif)
    assert not people["good"][2] and not people["after"][2] and "bad" not in people
    assert ("role", "sales") in people["after"][3], "the rest proceeds"
    ldif.write("people", before + person("after") + sales("good", "after"))
    assert read(ldif)["quarantined"] == 0 and quarantine(ldif) == []


def test_all_bad_ldif_entries_at_once():
    """Distinct people, so that no fault hides another; then the file is put right."""
    text, expected = person("good"), []
    for number, (_, entry, line, reason) in enumerate(BAD_ENTRIES):
        entry = entry.replace(b"uid=bad", b"uid=bad%d" % number).replace(b"bad-key", b"bad%d-key" % number)
        expected.append((text.count(b"\n") + line, reason))
        text += entry
    mended = b"".join(person(f"bad{number}") for number in range(len(BAD_ENTRIES)))
    with Bridge(LDIF, {"people": text + person("after")}) as bridge:
        report = read(bridge)
        assert report["complete"] and report["created"] == 2 and report["quarantined"] == len(expected)
        assert quarantine(bridge) == sorted(expected)
        shown = bridge.human("quarantine", "list").stdout
        assert all(f":{line} " in shown and reason in shown for line, reason in expected), shown
        assert bridge.ctl("status")["quarantined"] == len(expected)
        bridge.write("people", person("good") + mended + person("after"))
        report = read(bridge)
        assert report["complete"] and report["created"] == len(BAD_ENTRIES) and report["quarantined"] == 0, report
        assert quarantine(bridge) == [] and bridge.ctl("status")["quarantined"] == 0
        assert bridge.ctl("audit", "verify")["intact"]


# Of a second entry of somebody else, with a key of its own, nobody would think that it is this person's.
THEIRS = [case for case in BAD_ENTRIES if case[3] != "duplicate-dn"]


@pytest.mark.parametrize("name, entry, line, reason", THEIRS, ids=[case[0] for case in THEIRS])
def test_a_person_whose_entry_goes_bad_stays_as_they_are(ldif, name, entry, line, reason):
    """Quarantine freezes, it never disables, even where the damaged entry does not say who it was."""
    good = person("good") + person("bad") + person("after")
    ldif.write("people", good + sales("good", "bad", "after"))
    assert read(ldif)["complete"]
    expected = state(ldif)
    assert ("role", "sales") in expected["bad"][3]
    ldif.write("people", person("good") + entry + person("after") + sales("good", "bad", "after"))
    report = read(ldif)
    assert report["quarantined"] == 1 and report["disabled"] == 0 and report["revoked"] == 0, report
    assert state(ldif) == expected
    ldif.write("people", good + sales("good", "bad", "after"))
    assert read(ldif)["quarantined"] == 0 and state(ldif) == expected and quarantine(ldif) == []


@pytest.mark.parametrize("damage", [b"member: uid=a,,\n", b"member:: !!!\n", b"member:< file:///etc/passwd\n",
                                    b"member: \xff\n", b"who knows\n"])
def test_a_damaged_group_takes_no_grant_away(ldif, damage):
    people = b"".join(person(uid) for uid in ("good", "bad", "after"))
    ldif.write("people", people + sales("good", "bad"))
    read(ldif)
    expected = state(ldif)
    ldif.write("people", people + sales("good")[:-1] + damage + b"\n")
    report = read(ldif)
    if damage.startswith(b"member: uid"):
        assert report["revoked"] == 1, "a member that names nobody is nobody's membership"
        return
    assert report["quarantined"] == 1 and report["revoked"] == 0, report
    assert state(ldif) == expected


def header(*rows):
    return b"id,mail,uid,cn,groups\n" + b"".join(rows)


def row(uid, *, cn=None, key=None, groups=b"sales"):
    return b",".join([(uid if key is None else key).encode(), f"{uid}@example.org".encode(), uid.encode(),
                      cn or uid.encode(), groups]) + b"\n"


BAD_ROWS = [
    ("NUL", row("bad", cn=b"a\0b"), "nul-byte"),
    ("invalid UTF-8", row("bad", cn=b"a\xff"), "invalid-utf8"),
    ("10 MB line", row("bad", cn=BIG), "line-too-long"),
    ("duplicate key", row("bad", key="good"), "duplicate-key"),
    ("missing key", row("bad", key=""), "missing-key"),
    ("too few fields", b"bad,bad@example.org\n", "wrong-columns"),
    ("too many fields", row("bad")[:-1] + b",more\n", "wrong-columns"),
    ("text behind a quote", row("bad", cn=b'"a"b'), "malformed-row"),
    ("quote inside", row("bad", cn=b'a"b'), "malformed-row"),
]


@pytest.fixture(scope="module", name="csv")
def csv_bridge():
    with Bridge(CSV, {"people": header()}) as bridge:
        yield bridge


@pytest.mark.parametrize("name, bad, reason", BAD_ROWS, ids=[case[0] for case in BAD_ROWS])
def test_bad_csv_row_alone_is_quarantined(csv, name, bad, reason):
    csv.write("people", header(row("good"), row("bad"), row("after")))
    assert read(csv)["complete"]
    expected = state(csv)
    # A row with somebody else's key is not this person's: they have one of their own.
    csv.write("people", header(row("good"), bad, row("after"), *[row("bad")] * (reason == "duplicate-key")))
    report = read(csv)
    assert report["complete"] and report["quarantined"] == 1, report
    assert report["disabled"] == 0 and report["revoked"] == 0, report
    assert quarantine(csv) == [(3, reason)]
    assert state(csv) == expected, "frozen, not disabled"
    csv.write("people", header(row("good"), row("bad"), row("after"), row(name.replace(" ", "-"))))
    report = read(csv)
    assert report["complete"] and quarantine(csv) == [] and report["created"] == 1, report
    csv.write("people", header(row("good"), row("bad"), row("after")))
    read(csv)


@pytest.mark.parametrize("name, text, problem", [
    ("empty", b"", "empty"), ("no key column", b"name,mail\nx,y\n", "id"),
    ("a column twice", b"id,id\n1,2\n", "id"), ("not text", b"\xff\xfei\0d\0\n", ""),
])
def test_csv_without_a_usable_header_takes_nothing_away(csv, name, text, problem):
    csv.write("people", header(row("good"), row("bad"), row("after")))
    read(csv)
    expected = state(csv)
    csv.write("people", text)
    report = read(csv)
    assert not report["complete"] and report["problem"] and problem in report["problem"], report
    assert state(csv) == expected


# --- files that are not whole


def whole(kind):
    if kind == "ldif":
        return LDIF, b"".join(person(f"p{i}") for i in range(6)) + sales("p0", "p5")
    return CSV, header(*(row(f"p{i}") for i in range(6)))


@pytest.mark.parametrize("kind", ["ldif", "csv"])
def test_a_file_cut_within_an_entry_takes_nothing_away(kind):
    config, text = whole(kind)
    with Bridge(config, {"people": text}) as bridge:
        assert read(bridge)["complete"]
        expected = state(bridge)
        for part in range(2, 8):
            # In the midst of a line; of the last field of a CSV row nobody can tell (RFC 4180 2.2).
            size = text.index(b"\n", len(text) * part // 9) + 3
            bridge.write("people", text[:size])
            report = read(bridge)
            assert not report["complete"] and "ends" in report["problem"], report
            assert report["disabled"] == report["revoked"] == report["held"] == 0, report
            (source,) = bridge.ctl("status")["sources"]
            assert source["problem"] == report["problem"] and source["failures"] > 0, source
        assert state(bridge) == expected
        bridge.write("people", text)
        report = read(bridge)
        assert report["complete"] and report["changes_total"] == 0 and quarantine(bridge) == [], report
        (source,) = bridge.ctl("status")["sources"]
        assert source["problem"] == "" and source["failures"] == 0, source


@pytest.mark.parametrize("what", ["missing", "folder", "forbidden", "fifo"])
def test_a_file_that_cannot_be_read_takes_nothing_away(what):
    config, text = whole("ldif")
    with Bridge(config, {"people": text}) as bridge:
        read(bridge)
        expected = state(bridge)
        path = bridge.folder / "people"
        path.unlink()
        if what == "folder":
            path.mkdir()
        elif what == "forbidden":
            if os.geteuid() == 0:
                pytest.skip("root may read everything")
            path.touch(mode=0)
        elif what == "fifo":
            os.mkfifo(path)
        report = read(bridge)
        assert not report["complete"] and str(path) in report["problem"], report
        (source,) = bridge.ctl("status")["sources"]
        assert str(path) in source["problem"] and source["last_complete"], source
        assert str(path) in bridge.human("status").stdout
        assert state(bridge) == expected


def test_an_empty_file_is_not_an_empty_company(ldif):
    """Nobody at all is more likely a failed export than a company that closed."""
    ldif.write("people", person("good") + person("after"))
    read(ldif)
    expected = state(ldif)
    ldif.write("people", b"")
    report = read(ldif)
    assert report["disabled"] == 0 and not report["complete"], report
    assert state(ldif) == expected
