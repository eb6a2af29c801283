"""The audit log through rolebridgectl and the API of a real daemon: filters, pages, export, verify."""
import csv
import io
import json

import pytest

import chain
from bridge import Bridge, Refused
from control import Control
from test_control import check, whoami
from test_ownership import ask, put

CONFIG = """
profiles:
  - {name: administrator, permissions: ["*:*@all"]}
  - {name: nothing, permissions: []}
policy: {default_profile: nothing}
"""


@pytest.fixture(scope="module", name="bridge")
def start():
    with Bridge(CONFIG) as bridge:
        bridge.ctl("users", "create", "root-user", "--profile", "administrator")
        for name in ("anna", "ben", "=carl"):
            bridge.ctl("users", "create", name.strip("="), "--email", name.strip("=") + "@x.example",
                       "--name", name)
        yield bridge


def listed(bridge, *words):
    return bridge.ctl("audit", "list", "--limit", 1000, *words)["rows"]


def actions(bridge, *words):
    return [row["action"] for row in reversed(listed(bridge, *words))]


def uuid_of(bridge, user):
    return bridge.ctl("users", "show", user)["id"]


def test_person(bridge, control):
    """All that was done to them, or is told of them, and all that they did; nothing of others."""
    anna = uuid_of(bridge, "anna")
    bridge.ctl("users", "set", "anna", "--name", "Anna B")
    put(control, "account", "a1", owner="anna")
    ask(control, "PUT", "references/crm/task/t1", {"user": "anna", "label": "A task"})
    token = bridge.ctl("tokens", "create", "hers", "--user", "anna", "--scope", "nothing:read@all")
    ask(control, "DELETE", "references/crm/task/t1")
    bridge.ctl("tokens", "revoke", token["id"])
    put(control, "account", "b1", owner="ben")
    ask(control, "PUT", "references/crm/task/t2", {"user": "ben", "label": "Another"})
    bridge.ctl("users", "reassign", "ben", "anna")
    rows = listed(bridge, "--person", "anna")
    found = [(row["action"], row["object"].split(":")[0]) for row in reversed(rows)]
    for expected in (("user.create", "user"), ("user.update", "user"), ("token.create", "token"),
                     ("token.revoke", "token"), ("user.reassign", "user")):
        assert expected in found, (expected, found)
    assert len([one for one in found if one[1] == "reference"]) >= 2, found
    assert len([one for one in found if one[1] == "resource"]) >= 1, found
    for row in rows:
        assert anna in json.dumps(row), row
    assert rows == listed(bridge, "--person", anna) == listed(bridge, "--person", "anna@x.example")
    # All others are of others.
    numbers = {row["seq"] for row in rows}
    for row in listed(bridge):
        if row["seq"] not in numbers:
            assert anna not in json.dumps(row), row


def test_person_did(bridge, control):
    """By name on the control socket, and by token."""
    name = whoami()
    if name != "root":
        bridge.ctl("users", "create", name)
        made = bridge.ctl("audit", "list", "--actor", f"unix:{name}", "--limit", 1)["rows"][0]["seq"]
        assert made in [row["seq"] for row in listed(bridge, "--person", name)]
    else:
        # Root on the socket is nobody of the store.
        bridge.ctl("users", "create", "root")
        assert [row["action"] for row in listed(bridge, "--person", "root")] == ["user.create"]


@pytest.mark.parametrize("words, expected", [
    (("--action", "user.create"), lambda row: row["action"] == "user.create"),
    (("--action", "user.*"), lambda row: row["action"].startswith("user.")),
    (("--action", "user.cre*"), lambda row: row["action"] == "user.create"),
    (("--action", "user"), lambda row: False),
    (("--object", "user:*"), lambda row: row["object"].startswith("user:")),
    (("--object", "token:*"), lambda row: row["object"].startswith("token:")),
    (("--object", "*"), lambda row: True),
    (("--object", "user:0*"), lambda row: row["object"].startswith("user:0")),
    (("--actor", "unix:*"), lambda row: row["actor"].startswith("unix:")),
    (("--actor", "uni*", "--action", "user.create", "--object", "user:*"),
     lambda row: row["action"] == "user.create"),
    (("--actor", "nobody"), lambda row: False),
    (("--actor", "nobody*"), lambda row: False),
    (("--after", "2", "--before", "5"), lambda row: 2 < row["seq"] < 5),
    (("--from", "2000-01-01", "--to", "2000-01-02"), lambda row: False),
    (("--from", "2000-01-01", "--action", "token.*"), lambda row: row["action"].startswith("token.")),
])
def test_filters(bridge, words, expected):
    everything = listed(bridge)
    assert listed(bridge, *words) == [row for row in everything if expected(row)]


def test_times(bridge):
    """From a time on, that included; up to a time, that not."""
    everything = listed(bridge)
    for at in sorted({row["at"] for row in everything}):
        later = [row for row in everything if row["at"] >= at]
        before = [row for row in everything if row["at"] < at]
        assert later and (listed(bridge, "--from", at), listed(bridge, "--to", at)) == (later, before)
        for words, rows in (("--from", later), ("--to", before)):
            assert [json.loads(line) for line in exported(bridge, words, at).splitlines()] == rows[::-1]


def test_combined(bridge):
    """A person's rows, narrowed by all else."""
    rows = listed(bridge, "--person", "anna")
    assert listed(bridge, "--person", "anna", "--action", "token.*") == \
        [row for row in rows if row["action"].startswith("token.")]
    anna = uuid_of(bridge, "anna")
    assert listed(bridge, "--person", "anna", "--object", f"user:{anna}") == \
        [row for row in rows if row["object"] == f"user:{anna}"]
    last = rows[0]
    assert listed(bridge, "--person", "anna", "--request", last["request"], "--before", last["seq"] + 1,
                  "--after", last["seq"] - 1) == [last]


@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("query", ["", "&action=user.*", "&person=anna"])
def test_pages(bridge, control, order, query):
    _, whole, _ = ask(control, "GET", f"audit?limit=1000&order={order}{query}")
    assert whole["next"] is None
    rows, cursor = [], ""
    while cursor is not None:
        _, page, _ = ask(control, "GET", f"audit?limit=2&order={order}{query}{cursor}")
        check(page, "/api/v1/audit")
        assert len(page["rows"]) <= 2
        rows += page["rows"]
        name = "before" if order == "newest" else "after"
        cursor = None if page["next"] is None else f"&{name}={page['next']}"
    assert rows == whole["rows"]


@pytest.mark.parametrize("query, field", [
    ("after=-1", "after"), ("before=x", "before"), ("before=-1", "before"), ("limit=0", "limit"),
    ("limit=10001", "limit"), ("order=up", "order"), ("from=yesterday", "from"), ("format=csv", "format"),
    ("nonsense=1", "nonsense"), ("after=99999999999999999999", "after"),
])
def test_list_refused(control, query, field):
    status, answer, _ = ask(control, "GET", "audit?" + query)
    assert (status, answer["field"]) == (422, field), answer


def test_person_unknown(bridge, control):
    for name in ("nobody", "01890a5d-ac96-774b-bcce-b302099a8057", "*"):
        status, answer, _ = ask(control, "GET", "audit?person=" + name)
        assert (status, answer["code"], answer["field"]) == (404, "not-found", "person")
        with pytest.raises(Refused):
            bridge.ctl("audit", "export", "--person", name)


def exported(bridge, *words):
    return bridge.human("audit", "export", *words).stdout


@pytest.mark.parametrize("words", [(), ("--action", "user.*"), ("--person", "anna"), ("--object", "token:*"),
                                   ("--after", "2", "--before", "6"), ("--actor", "nobody")])
def test_export(bridge, words):
    rows = list(reversed(listed(bridge, *words)))
    assert [json.loads(line) for line in exported(bridge, *words).splitlines()] == rows
    cells = list(csv.DictReader(io.StringIO(exported(bridge, "--format", "csv", *words))))
    assert [int(row["seq"]) for row in cells] == [row["seq"] for row in rows]
    for row in cells:
        for cell in row.values():
            assert cell[:1] not in "=+-@\t\r" or cell == "", row


def test_verify(bridge):
    verdict = bridge.ctl("audit", "verify")
    assert verdict["intact"] and verdict["asked_head"] == "not-asked"
    status = bridge.ctl("status")["audit"]
    assert status["rows"] == status["last"]["seq"] == verdict["rows"] == verdict["head_seq"]
    assert status["first"]["seq"] == 1 and status["anchor"]["seq"] == 0
    rows = listed(bridge)
    for row in (rows[0], rows[-1]):
        for head in (row["hash"], f"{row['seq']}:{row['hash']}"):
            assert bridge.ctl("audit", "verify", "--head", head)["asked_head"] == "met"
    for head in ("f" * 64, f"1:{rows[0]['hash']}"):
        result = bridge.run("audit", "verify", "--head", head)
        assert result.returncode == 1 and json.loads(result.stdout)["asked_head"] == "missing"
    for head in ("", "x", "1:", f"-1:{rows[0]['hash']}", f"99999999999999999999:{rows[0]['hash']}"):
        assert bridge.run("audit", "verify", "--head", head).returncode == 1


def test_person_who_is_gone(bridge):
    """A tombstone still has its history."""
    made = bridge.ctl("users", "create", "gone", "--email", "gone@x.example")
    bridge.ctl("users", "disable", "gone")
    bridge.ctl("users", "delete", "gone")
    uuid = made.get("id") or made["uuid"]
    assert actions(bridge, "--person", uuid) == ["user.create", "user.disable", "user.delete"]
    assert actions(bridge, "--object", f"user:{uuid}") == ["user.create", "user.disable", "user.delete"]


def test_large_rows(tmp_path):
    """A page ends where its answer grows large; the next one goes on there."""
    with Bridge(CONFIG, folder=tmp_path) as bridge:
        for i in range(3):
            bridge.ctl("users", "create", f"u{i}")
        bridge.stop()
        with chain.opened(bridge) as store:
            store.execute("UPDATE audit SET detail = ?", (json.dumps({"x": "y" * 5_000_000}),))
            chain.seal_again(store)
        bridge.start()
        control = Control(bridge.folder / "control.sock")
        rows, cursor, pages = [], "", 0
        while cursor is not None:
            _, page, _ = ask(control, "GET", "audit?limit=1000" + cursor)
            rows += [row["seq"] for row in page["rows"]]
            cursor = None if page["next"] is None else f"&before={page['next']}"
            pages += 1
        control.close()
        assert rows == list(range(rows[0], 0, -1)) and pages > 1
        assert bridge.ctl("audit", "verify")["rows"] == rows[0]
        assert len(bridge.ctl("audit", "list", "--limit", 1000)["rows"]) == rows[0]
        assert bridge.human("audit", "export").stdout.count("\n") == rows[0]
