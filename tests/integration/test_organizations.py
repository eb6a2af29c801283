"""Two organizations: moving people between them, definitions of each, and nothing of one for people of the other."""
import json

import pytest

from access import Web
from bridge import Bridge, Refused
from control import Control
from ports import free_port
from test_control import check

CONFIG = """
public_url: "http://127.0.0.1:{port}"
listeners: [{{address: "127.0.0.1:{port}"}}]
profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: viewer, permissions: ["notes:read@own"]}}
  - {{name: mover, permissions: ["users:*@all", "notes:read@own"]}}
  - {{name: editor, permissions: ["roles:*@all", "profiles:*@all", "personas:*@all", "rules:*@all", "users:*@all",
      "tokens:create@own", "invites:*@all", "notes:*@all", "users:import@all"]}}
segments: [All]
organizations: [{{name: partners}}, {{name: others, segments: [Theirs]}}]
roles:
  - {{name: sales, classifications: [Sales], segments: [All], permissions: ["notes:read@own"]}}
policy: {{default_profile: viewer}}
sources:
  - {{name: staff, type: csv, path: staff.csv, key: id, interval: 0, attributes: [uid, mail, displayName]}}
  - {{name: partners, type: csv, path: partners.csv, key: id, interval: 0, organization: partners,
      attributes: [uid, mail, displayName]}}
"""
FILES = {"staff.csv": "id,uid,mail,displayName\n1,near,near@x.example,Near\n",
         "partners.csv": "id,uid,mail,displayName\n1,far,far@y.example,Far\n"}


@pytest.fixture(scope="module")
def bridge():
    port = free_port()
    with Bridge(CONFIG.format(port=port), FILES) as bridge:
        bridge.port = port
        bridge.ctl("users", "create", "ada", "--profile", "administrator")
        bridge.ctl("users", "create", "boss", "--profile", "administrator", "--organization", "partners")
        bridge.ctl("users", "create", "moe", "--profile", "mover")
        bridge.ctl("sync")
        yield bridge


def token(bridge, user, name="t"):
    return bridge.ctl("tokens", "create", name, "--user", user)["token"]


def user(bridge, name):
    return bridge.ctl("users", "show", name)


def refused(bridge, *words):
    with pytest.raises(Refused) as no:
        bridge.ctl(*words)
    return no.value.output + no.value.text


def audit(bridge, action, name):
    wanted = "user:" + user(bridge, name)["id"]
    return [row for row in bridge.ctl("audit", "list", "--limit", 1000)["rows"]
            if row["action"] == action and row["object"] == wanted]


# --- moving ---


def test_move(bridge, web):
    """Somebody goes over with what they have; what they came in with ends."""
    bridge.ctl("users", "create", "mia", "--email", "mia@x.example")
    bridge.ctl("users", "grant", "mia", "role", "sales")
    mine = token(bridge, "mia")
    assert web.ask("GET", "me", token=mine)[1]["organization"] == "default"
    version = user(bridge, "mia")["version"]
    looked = bridge.ctl("users", "move", "mia", "partners", "--dry-run")
    assert (looked["moved"], looked["dry_run"], looked["organization"], looked["tokens"], looked["dropped"]) == \
        (True, True, "partners", 1, [])
    assert user(bridge, "mia")["version"] == version and user(bridge, "mia")["organization"] == "default"
    assert web.ask("GET", "me", token=mine)[0] == 200 and not audit(bridge, "user.move", "mia")

    made = bridge.ctl("users", "move", "mia", "partners", "--if-match", version)
    assert made["organization"] == "partners" and not made["dry_run"]
    shown = user(bridge, "mia")
    assert shown["organization"] == "partners" and shown["version"] == version + 1
    assert {(g["kind"], g["name"]) for g in shown["grants"]} == {("profile", "viewer"), ("role", "sales")}
    assert web.ask("GET", "me", token=mine)[0] == 401
    row, = audit(bridge, "user.move", "mia")
    assert row["detail"]["before"]["organization"] == "default"
    assert row["detail"]["after"]["organization"] == "partners"
    # A token of the new life acts in the new one.
    assert web.ask("GET", "me", token=token(bridge, "mia"))[1]["organization"] == "partners"
    assert "already of partners" in bridge.human("users", "move", "mia", "partners").stdout
    assert not bridge.ctl("users", "move", "mia", "partners")["moved"]


def test_move_needs_both(bridge, web):
    """Whoever is bound to one organization has no permission in another."""
    bridge.ctl("users", "create", "ned")
    for name in ("moe", "ada"):
        text = token(bridge, name, "both")
        status, answer = web.ask("POST", "users/ned/move", {"organization": "partners"}, token=text)
        assert (status, answer["code"], answer["field"]) == (404, "not-found", "organization"), answer
        absent = web.ask("POST", "users/ned/move", {"organization": "nowhere"}, token=text)
        assert (absent[0], absent[1]["message"]) == (404, answer["message"])
        status, answer = web.ask("POST", "users/far/move", {"organization": "default"}, token=text)
        assert (status, answer["code"], answer.get("field")) == (404, "not-found", None)
    bridge.ctl("users", "create", "vic")
    assert web.ask("POST", "users/ned/move", {"organization": "default"}, token=token(bridge, "vic"))[0] == 403
    assert user(bridge, "ned")["organization"] == "default"


def test_move_refused(bridge, control):
    """What stands against it leaves everything as it was."""
    assert "managed-by-idp" in refused(bridge, "users", "move", "near", "partners")
    assert "last-administrator" in refused(bridge, "users", "move", "boss", "default")
    assert "not-found" in refused(bridge, "users", "move", "ned", "nowhere")
    assert "not-found" in refused(bridge, "users", "move", "nobody", "partners")
    bridge.ctl("users", "create", "rob")
    bridge.ctl("references", "put", "crm", "account-manager", "acme", "rob")
    status, answer = control.ask("POST", "users/rob/move", {"organization": "partners"})
    assert (status, answer["code"], answer["details"]["total"]) == (409, "user-has-references", 1)
    bridge.ctl("references", "delete", "crm", "account-manager", "acme")
    assert control.ask("POST", "users/rob/move?dry_run=true", {"organization": "partners"})[0] == 200
    for body, field in (({}, "organization"), ({"organization": 7}, "organization"),
                        ({"organization": "x" * 65}, "organization"), ({"organization": "a", "x": 1}, "x")):
        status, answer = control.ask("POST", "users/rob/move", body)
        assert (status, answer["field"]) == (422, field), answer
    assert "stale-version" in refused(bridge, "users", "move", "rob", "partners", "--if-match", "77")
    assert user(bridge, "rob")["organization"] == "default"
    bridge.ctl("users", "move", "rob", "others")
    assert "rob" in {u["username"] for u in bridge.ctl("users", "list", "--organization", "others")["users"]}
    check(bridge.ctl("users", "move", "rob", "default"), "/api/v1/users/{user}/move", "post")


# --- definitions of one organization ---

ROLE = {"classifications": ["Sales"], "segments": ["All"], "permissions": ["notes:read@own"]}
PERSONA = {"title": "T", "objectives": ["a"], "frustrations": ["b"], "watering_holes": ["c"],
           "technical_sophistication": "low"}
KINDS = {"profiles": {"permissions": ["notes:read@own"]}, "roles": ROLE, "personas": PERSONA}


@pytest.fixture(name="two", scope="module")
def two_editors(bridge):
    """Somebody who may define in each of two organizations."""
    web = Web(bridge.port)
    tokens = {}
    for name, organization in (("ed", "default"), ("pat", "partners")):
        bridge.ctl("users", "create", name, "--profile", "editor", "--organization", organization)
        tokens[name] = token(bridge, name)
    bridge.ctl("users", "create", "paul", "--organization", "partners")
    bridge.ctl("users", "create", "dan")

    def ask(who, method, path, body=None):
        return web.ask(method, path, body, token=tokens[who])
    yield ask
    web.close()


@pytest.mark.parametrize("plural", KINDS)
def test_definitions_are_ones_own(bridge, control, two, plural):
    """What an organization makes is there for its people, and nowhere else."""
    kind, name = plural[:-1], "own-" + plural
    status, made = two("pat", "POST", plural, dict(KINDS[plural], name=name))
    assert status == 201 and made["definition"]["organization"] == "partners", made
    assert made["definition"]["holders"] == 0
    assert two("pat", "GET", f"{plural}/{name}")[0] == 200
    assert name in {d["name"] for d in two("pat", "GET", plural)[1][plural]}
    # Not seen, changed, deleted or given elsewhere; the name alone is taken.
    absent = two("ed", "GET", f"{plural}/none-such")
    for method, path, body in (("GET", f"{plural}/{name}", None), ("PATCH", f"{plural}/{name}", {"description": "x"}
                                                                   if plural != "personas" else {"title": "x"}),
                               ("PUT", f"{plural}/{name}", dict(KINDS[plural], name=name)),
                               ("DELETE", f"{plural}/{name}", None),
                               ("POST", "users/dan/grants", {"kind": kind, "name": name})):
        status, answer = two("ed", method, path, body)
        assert (status, answer["code"]) == (404, "not-found"), (method, path, answer)
        assert answer["message"].replace(name, "none-such").split(" '")[0] in ("there is no " + kind, "no " + kind)
    assert absent[0] == 404
    assert name not in {d["name"] for d in two("ed", "GET", plural)[1][plural]}
    status, answer = two("ed", "POST", plural, dict(KINDS[plural], name=name))
    assert (status, answer["code"]) == (409, "conflict") and "partners" not in answer["message"]
    # The socket sees all of them, and gives them to nobody elsewhere either.
    assert control.ask("GET", f"{plural}/{name}")[1]["organization"] == "partners"
    for words in (("users", "grant", "dan", kind, name), ("users", "grant", "near", kind, name)):
        assert "not-found" in refused(bridge, *words)
    status, answer = control.ask("POST", "invites", {"email": "new@x.example", "profile": "viewer",
                                                     **({"profile": name} if kind == "profile" else {plural: [name]})})
    assert status in (404, 409, 422) and answer["code"] in ("not-found", "invites-off", "mail-not-configured"), answer
    bridge.write("people.csv", f"username,{'profile' if kind == 'profile' else plural}\ndan,{name}\nnewcomer,{name}\n")
    rows = bridge.answer("import", "users", bridge.folder / "people.csv")["result"]["rows"]
    assert [(r["status"], r["code"]) for r in rows] == [("failed", "not-found")] * 2
    # At home it is given, held, counted; then it is in use.
    status, answer = two("pat", "POST", "users/paul/grants", {"kind": kind, "name": name})
    assert status == 200, answer
    assert two("pat", "GET", f"{plural}/{name}")[1]["holders"] == 1
    assert two("pat", "DELETE", f"{plural}/{name}")[1]["code"] == "in-use"
    # Whoever moves leaves it behind.
    if kind == "profile":
        assert "profile-required" in refused(bridge, "users", "move", "paul", "default")
    else:
        moved = bridge.ctl("users", "move", "paul", "default", "--dry-run")
        assert [(g["kind"], g["name"]) for g in moved["dropped"]] == [(kind, name)]
    status, answer = two("pat", "DELETE", f"users/paul/grants/{kind}/{name}")
    assert status == 200, answer
    assert two("pat", "DELETE", f"{plural}/{name}")[0] == 200


def test_grants_stay_behind(bridge, two):
    """A move takes what the other organization does not have."""
    assert two("pat", "POST", "roles", dict(ROLE, name="local"))[0] == 201
    bridge.ctl("users", "create", "mover", "--organization", "partners")
    bridge.ctl("users", "grant", "mover", "role", "local")
    bridge.ctl("users", "grant", "mover", "role", "sales")
    assert [g["name"] for g in bridge.ctl("users", "move", "mover", "default")["dropped"]] == ["local"]
    assert {g["name"] for g in user(bridge, "mover")["grants"]} == {"viewer", "sales"}
    bridge.ctl("users", "move", "mover", "partners")
    assert {g["name"] for g in user(bridge, "mover")["grants"]} == {"viewer", "sales"}
    assert two("pat", "DELETE", "roles/local")[0] == 200


def test_whose_a_definition_is(bridge, control, two):
    """One's own organization's, unless somebody who may says otherwise; and it stays so."""
    def owner(who, name, **more):
        status, answer = two(who, "POST", "roles", dict(ROLE, name=name, **more))
        return answer["definition"]["organization"] if status == 201 else (status, answer["code"], answer["field"])
    assert owner("ed", "of-ed") == "default" and owner("ed", "shared", organization="*") is None
    assert owner("ed", "x", organization="partners") == (404, "not-found", "organization")
    assert owner("pat", "x", organization="default") == (404, "not-found", "organization")
    assert owner("pat", "x", organization="*") == (403, "not-allowed", "organization")
    assert owner("pat", "of-pat", organization="partners") == "partners"
    # On the socket of default; of any that is there.
    made = bridge.ctl("roles", "create", "by-root", "--classifications", "Sales", "--segments", "All",
                      "--permissions", "notes:read@own")
    assert made["definition"]["organization"] == "default"
    made = bridge.ctl("roles", "copy", "by-root", "by-root-2", "--organization", "partners")
    assert made["definition"]["organization"] == "partners"
    assert "not-found" in refused(bridge, "roles", "copy", "by-root", "by-root-3", "--organization", "nowhere")
    # What is there stays whose it is.
    assert two("ed", "PATCH", "roles/of-ed", {"organization": "default", "description": "y"})[0] == 200
    assert two("ed", "PATCH", "roles/of-ed", {"organization": "*"})[1]["field"] == "organization"
    # What all share is seen by all, and people of default change it; who else holds it is nobody else's business.
    bridge.ctl("users", "create", "pam", "--organization", "partners")
    assert two("pat", "POST", "users/pam/grants", {"kind": "role", "name": "shared"})[0] == 200
    assert two("pat", "GET", "roles/shared")[1]["holders"] == 1 and two("ed", "GET", "roles/shared")[1]["holders"] == 0
    assert control.ask("GET", "roles/shared")[1]["holders"] == 1
    status, answer = two("pat", "PATCH", "roles/shared", {"description": "x"})
    assert (status, answer["code"]) == (403, "not-allowed")
    status, answer = two("ed", "PATCH", "roles/shared", {"description": "x"})
    assert status == 200 and answer["people"] == 1
    assert "pam" not in str(answer) and two("ed", "DELETE", "roles/shared")[1]["code"] == "in-use"
    assert two("pat", "GET", "roles/shared")[1]["actor"] == ""
    # The profile that everybody falls to is everybody's.
    for name in ("of-ed", "by-root"):
        assert two("ed", "DELETE", "roles/" + name)[0] == 200
    bridge.ctl("users", "revoke", "pam", "role", "shared")
    for name in ("shared", "of-pat", "by-root-2"):
        bridge.ctl("roles", "delete", name)


# --- rules of one organization ---


def activate(two, who, name):
    status, looked = two(who, "POST", f"rules/{name}/activate?dry_run=true")
    assert status == 200, looked
    status, done = two(who, "POST", f"rules/{name}/activate", {"plan": looked["plan"]})
    assert status == 200, done
    return looked, done


def test_rules_are_ones_own(bridge, two):
    """A rule of an organization concerns its people alone."""
    assert two("pat", "POST", "roles", dict(ROLE, name="theirs"))[0] == 201
    rule = {"id": "everybody", "when": "(&)", "grant": {"roles": ["theirs"]}}
    status, answer = two("pat", "POST", "rules", rule)
    assert status == 201, answer
    assert two("pat", "GET", "rules/everybody")[1]["organization"] == "partners"
    for method, path, body in (("GET", "rules/everybody", None), ("DELETE", "rules/everybody", None),
                               ("PUT", "rules/everybody", rule), ("POST", "rules/everybody/activate?dry_run=true", {})):
        assert two("ed", method, path, body)[0] == 404, (method, path)
    status, answer = two("ed", "POST", "rules", {"id": "everybody", "when": "(&)", "grant": {"roles": ["sales"]}})
    assert (status, answer["code"]) == (409, "conflict")
    # What another one has is declared nowhere.
    status, answer = two("ed", "POST", "rules", {"id": "steal", "when": "(&)", "grant": {"roles": ["theirs"]}})
    assert (status, answer["code"], answer["field"]) == (422, "unknown-role", "grant.roles[0]"), answer
    looked, done = activate(two, "pat", "everybody")
    assert looked["people"] == 1 and {c["user"] for c in looked["report"]["changes"]} == {"far"}
    grants = {g["name"]: g["origin"]["kind"] for g in user(bridge, "far")["grants"]}
    assert grants["theirs"] == "rule"
    assert "theirs" not in {g["name"] for g in user(bridge, "near")["grants"]}
    assert "everybody" not in str(bridge.ctl("why", "near"))
    assert [r["id"] for r in two("pat", "GET", "rules")[1]["rules"]] == ["everybody"]
    assert "everybody" not in str(two("ed", "GET", "rules")[1])
    # A rule for all that names what one has gives it to that one's people.
    bridge.write("wide.json", '{"id": "wide", "when": "(&)", "grant": {"roles": ["theirs", "sales"]}}')
    bridge.ctl("rules", "draft", bridge.folder / "wide.json", "--organization", "*")
    plan = bridge.ctl("rules", "preview", "wide")["plan"]
    bridge.ctl("rules", "activate", "wide", plan)
    assert {"sales"} == {g["name"] for g in user(bridge, "near")["grants"]} - {"viewer"}
    assert {"theirs", "sales"} == {g["name"] for g in user(bridge, "far")["grants"]} - {"viewer"}
    bridge.ctl("rules", "delete", "wide")
    # Order is among one's own.
    assert two("pat", "POST", "rules", {"id": "second", "when": "(&)", "grant": {"roles": ["sales"]}})[0] == 201
    activate(two, "pat", "second")
    assert two("pat", "POST", "rules/order", {"rules": ["second", "everybody"]})[0] == 200
    assert [r["id"] for r in two("pat", "GET", "rules")[1]["rules"]] == ["second", "everybody"]
    assert two("ed", "POST", "rules/order", {"rules": ["second", "everybody"]})[0] == 422
    assert two("pat", "POST", "rules/everybody/release")[0] == 403
    for name in ("second", "everybody"):
        assert two("pat", "DELETE", "rules/" + name)[0] == 200
    assert two("pat", "DELETE", "roles/theirs")[0] == 200


# --- segments of one organization ---


def test_segments_of_an_organization(bridge, two):
    """What may stand on a role is what its organization has enabled."""
    def create(organization, segment):
        try:
            return bridge.ctl("roles", "create", "labelled", "--classifications", "Sales", "--segments", segment,
                              "--permissions", "notes:read@own", "--organization", organization, "--dry-run")["dry_run"]
        except Refused as no:
            return "segment-not-enabled" in no.output
    assert create("others", "Theirs") is True and create("partners", "All") is True and create("*", "All") is True
    answers = []
    for organization, segment in (("others", "All"), ("partners", "Theirs"), ("*", "Theirs"), ("default", "Theirs")):
        status, answer = bridge_ask(bridge, "POST", "roles?dry_run=true", dict(ROLE, name="labelled", segments=[segment],
                                                                              organization=organization))
        answers.append((status, answer.get("code"), answer.get("field")))
    assert set(answers) == {(422, "segment-not-enabled", "segments[0]")}


def bridge_ask(bridge, *words):
    control = Control(bridge.folder / "control.sock")
    try:
        return control.ask(*words)
    finally:
        control.close()


# --- whose work is changed ---


def draft(bridge, body, *options):
    bridge.write("draft.json", json.dumps(body))
    return bridge.ctl("rules", "draft", bridge.folder / "draft.json", *options)


def in_force(bridge, body):
    draft(bridge, body)
    bridge.ctl("rules", "activate", body["id"], bridge.ctl("rules", "preview", body["id"])["plan"])


def test_a_draft_is_somebodys_work(bridge, two):
    """Nobody writes over, or discards, what they could not have drafted."""
    draft(bridge, {"id": "power", "when": "(title=Boss)", "grant": {"profile": "administrator"}})
    harmless = {"id": "power", "when": "(title=Clerk)", "grant": {"roles": ["sales"]}}
    for method, path, body in (("PUT", "rules/power", harmless), ("DELETE", "rules/power", None),
                               ("DELETE", "rules/power?draft=true", None), ("PUT", "rules/power?dry_run=true", harmless)):
        status, answer = two("ed", method, path, body)
        assert (status, answer["code"]) == (403, "not-allowed"), (method, path, answer)
    assert bridge.ctl("rules", "show", "power")["draft"]["body"]["grant"] == {"profile": "administrator"}
    draft(bridge, harmless, "--change")
    assert two("ed", "PUT", "rules/power", {**harmless, "description": "mine"})[0] == 200
    assert two("ed", "DELETE", "rules/power")[0] == 200


def test_a_draft_behind_a_file(bridge, two):
    """What a file declares by now keeps nobody from throwing the draft away."""
    rule = {"id": "hidden", "when": "(title=Clerk)", "grant": {"roles": ["sales"]}}
    draft(bridge, rule)
    config = CONFIG.format(port=bridge.port)
    bridge.write_config(config + f"rules: [{json.dumps(rule)}]\n")
    bridge.ctl("reload")
    try:
        assert two("ed", "DELETE", "rules/hidden?draft=true")[0] == 200
    finally:
        bridge.write_config(config)
        bridge.ctl("reload")


def test_services_define_nothing(bridge, web):
    text = bridge.ctl("tokens", "create", "feed", "--service", "feed",
                      "--scope", "roles:*@all,rules:*@all,profiles:*@all,personas:*@all,notes:*@all")["token"]
    for path, body in (("roles", dict(ROLE, name="x")), ("rules", {"id": "x", "when": "(&)", "grant": {"roles": ["sales"]}}),
                       ("profiles", dict(KINDS["profiles"], name="x")), ("personas", dict(PERSONA, name="x"))):
        status, answer = web.ask("POST", path, body, token=text)
        assert (status, answer["code"]) == (403, "not-allowed"), path
    # What cannot be compiled is not looked at before: whoever may not is told so.
    status, answer = web.ask("POST", "roles", dict(ROLE, name="x", segments=["Nowhere"]), token=text)
    assert (status, answer["code"]) == (403, "not-allowed")


def test_what_a_denied_profile_uncovers(bridge, two):
    """Who loses the profile of a hand has the one of an import: whoever denies it answers for that, too."""
    rule = {"id": "no-movers", "when": "(title=None)", "deny": {"profile": "viewer"}}
    assert two("ed", "POST", "rules?dry_run=true", rule)[0] == 200
    bridge.write("dual.csv", "username,profile\ndual,administrator\n")
    bridge.ctl("import", "users", bridge.folder / "dual.csv")
    bridge.ctl("users", "grant", "dual", "profile", "viewer")
    assert user(bridge, "dual")["profile"] == "viewer"
    status, answer = two("ed", "POST", "rules?dry_run=true", rule)
    assert (status, answer["code"]) == (403, "not-allowed"), answer
    bridge.ctl("users", "disable", "dual")
    bridge.ctl("users", "delete", "dual")
    assert two("ed", "POST", "rules?dry_run=true", rule)[0] == 200


def test_whom_rules_are_ordered_past(bridge, two):
    """A rule whose number stays decides otherwise all the same when others go past it."""
    in_force(bridge, {"id": "one", "when": "(title=A)", "grant": {"roles": ["sales"]}})
    in_force(bridge, {"id": "gap", "when": "(title=A)", "grant": {"roles": ["sales"]}})
    in_force(bridge, {"id": "power", "when": "(title=A)", "grant": {"profile": "administrator"}})
    in_force(bridge, {"id": "two", "when": "(title=A)", "grant": {"profile": "viewer"}})
    in_force(bridge, {"id": "three", "when": "(title=A)", "grant": {"roles": ["sales"]}})
    bridge.ctl("rules", "delete", "gap")
    for order in (["two", "power", "one", "three"], ["power", "one", "two", "three"], ["three", "one", "power", "two"]):
        status, answer = two("ed", "POST", "rules/order", {"rules": order})
        assert (status, answer["code"]) == (403, "not-allowed"), order
    assert two("ed", "POST", "rules/order", {"rules": ["one", "power", "three", "two"]})[0] == 200
    bridge.ctl("rules", "order", "two,power,one,three")
    for name in ("one", "power", "two", "three"):
        bridge.ctl("rules", "delete", name)
