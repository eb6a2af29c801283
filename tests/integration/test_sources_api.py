"""SAML sources that administrators define: what is refused and why, who may, what files and restarts do to them."""
import contextlib
import json
import time
from pathlib import Path

import pytest
from lxml import etree

from access import Web
from test_control import check
from test_definitions import Api as DefinitionsApi
from test_web import PUBLIC, World, eventually, f, idp_metadata
from web import Origin, answer

PARTNERS = """
organizations: [{name: partners}]
"""


class Api(DefinitionsApi):
    def good(self, method, path, body=None, headers=None, status=None):
        got, answer, self.headers = self.call(method, path, body, headers)
        assert got in ([status] if status else [200, 201]), answer
        parts = path.split("?")[0].split("/")
        if len(parts) > 1:
            parts[1] = "{source}"
        return check(answer, "/api/v1/" + "/".join(parts), method.lower(), str(got))

    def bad(self, method, path, body=None, headers=None):
        """(status, code, field)"""
        got, answer, _ = self.call(method, path, body, headers)
        assert 400 <= got < 500, (got, answer)
        return got, answer["code"], answer.get("field")


@pytest.fixture(name="world", scope="module")
def _world():
    with World(web=PARTNERS) as world:
        world.bridge.ctl("users", "create", "boss", "--profile", "administrator")
        yield world


@pytest.fixture(name="api")
def _api(world):
    with contextlib.closing(Api(world.folder / "control.sock")) as api:
        yield api


def body_of(world, name="okta", metadata=None, **more):
    return {"name": name, "type": "saml", "idp": {"metadata": metadata or idp_metadata(world.folder)}, **more}


@pytest.fixture(name="okta")
def _okta(world, api):
    """A source of the store, gone at the end."""
    api.good("POST", "sources", body_of(world), status=201)
    yield "okta"
    world.bridge.run("sources", "delete", "okta")


def nothing_is_left(world, api, name="okta"):
    assert api.call("GET", f"sources/{name}")[0] == 404
    assert not [row for row in world.audit("source.create") if row["object"] == f"source:{name}"
                and row["detail"]["after"] is None]


# --- metadata that nobody should trust ---

def signed(world, key):
    """The metadata with a signature of this key of the forge's."""
    tree = etree.fromstring(idp_metadata(world.folder))
    tree.set("ID", "m1")
    template = world.forge.template("m1")
    template.set("Id", "sign-this")
    tree.insert(0, template)
    path = world.folder / "to-sign-metadata.xml"
    path.write_bytes(etree.tostring(tree))
    text = f.run("xmlsec1", "--sign", "--privkey-pem", f"{world.folder}/{key}.key,{world.folder}/{key}.pem",
                 "--id-attr:ID", "EntityDescriptor", "--id-attr:Id", "Signature", "--node-id", "sign-this", path)
    return text.replace(b' Id="sign-this"', b"").decode()


def several(world, *entities):
    inner = "".join(idp_metadata(world.folder, entity=entity) for entity in entities)
    return f'<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata">{inner}</EntitiesDescriptor>'


def bomb(world):
    names = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10 if i else "x" * 100}">' for i in range(9))
    return f'<!DOCTYPE EntityDescriptor [{names}]>' + idp_metadata(world.folder, entity="&e8;")


def outside(world):
    return ('<!DOCTYPE EntityDescriptor [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
            + idp_metadata(world.folder, entity="&x;"))


BAD_METADATA = {
    "no XML": (lambda world: "not at all", "metadata-malformed", "idp.metadata"),
    "empty": (lambda world: "", None, "idp.metadata"),
    "cut": (lambda world: idp_metadata(world.folder)[:-30], "metadata-malformed", "idp.metadata"),
    "a bomb of entities": (bomb, "metadata-malformed", "idp.metadata"),
    "a file of ours": (outside, "metadata-malformed", "idp.metadata"),
    "another DTD": (lambda world: '<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd">' + idp_metadata(world.folder),
                    "metadata-malformed", "idp.metadata"),
    "deep": (lambda world: "<a>" * 100000, "metadata-malformed", "idp.metadata"),
    "another root": (lambda world: "<html/>", "metadata-malformed", "idp.metadata"),
    "expired": (lambda world: idp_metadata(world.folder, until="2020-01-01T00:00:00Z"), "metadata-expired",
                "idp.metadata"),
    "no signing key": (lambda world: idp_metadata(world.folder).replace("KeyDescriptor", "Extension"),
                       "no-signing-key", "idp.metadata"),
    "no address": (lambda world: idp_metadata(world.folder).replace("SingleSignOnService", "ArtifactService"),
                   "no-sso-endpoint", "idp.metadata"),
    "a service provider": (lambda world: idp_metadata(world.folder).replace("IDPSSODescriptor", "SPSSODescriptor"),
                           "entity-missing", "idp.entity_id"),
    "several": (lambda world: several(world, "https://a.example", "https://b.example"), "entity-ambiguous",
                "idp.entity_id"),
    "more than a MiB": (lambda world: idp_metadata(world.folder) + " " * (1 << 20), "invalid-request", "idp.metadata"),
}


@pytest.mark.parametrize("what", BAD_METADATA)
def test_metadata_that_is_refused(world, api, what):
    make, code, field = BAD_METADATA[what]
    body = body_of(world)
    body["idp"]["metadata"] = make(world)
    workers = len(world.bridge.workers())
    status, got, where = api.bad("POST", "sources", body)
    assert status == 422 and where == field, (status, got, where)
    assert code is None or got == code, got
    nothing_is_left(world, api)
    assert len(world.bridge.workers()) == workers
    assert api.call("GET", "status")[0] == 200


def test_five_mebibytes(world, api):
    body = body_of(world, metadata=" " * (5 << 20) + idp_metadata(world.folder))
    assert api.bad("POST", "sources", body) == (422, "invalid-request", "idp.metadata")


def test_entity_that_is_named(world, api, okta):
    document = several(world, "https://a.example", "https://b.example")
    body = body_of(world, "two", document)
    body["idp"]["entity_id"] = "https://c.example"
    assert api.bad("POST", "sources", body) == (422, "entity-missing", "idp.entity_id")
    body["idp"]["entity_id"] = "https://b.example"
    made = api.good("POST", "sources", body, status=201)["definition"]
    assert made["saml"]["idp"] == "https://b.example"
    # Another document without that entity does not take its place, and another entity of the same does.
    patch = {"idp": {"metadata": idp_metadata(world.folder)}}
    assert api.bad("PATCH", "sources/two", patch) == (422, "entity-missing", "idp.entity_id")
    made = api.good("PATCH", "sources/two", {"idp": {"entity_id": "https://a.example"}})["definition"]
    assert made["saml"]["idp"] == "https://a.example"
    assert api.good("DELETE", "sources/two")["definition"] is None


def test_signature_pin(world, api):
    pem = (Path(world.folder) / "idp.pem").read_text()
    body = body_of(world, "pinned")
    body["idp"]["metadata_signer"] = pem
    assert api.bad("POST", "sources", body) == (422, "metadata-unsigned", "idp.metadata")
    body["idp"]["metadata"] = signed(world, "sp")
    assert api.bad("POST", "sources", body) == (422, "metadata-signature", "idp.metadata")
    body["idp"]["metadata"] = signed(world, "idp")
    assert api.good("POST", "sources", body, status=201)["definition"]["saml"]["ready"] is True
    # The pin alone does not change without the document being asked anew.
    other = (Path(world.folder) / "sp.pem").read_text()
    assert api.bad("PATCH", "sources/pinned", {"idp": {"metadata_signer": other}})[1] == "metadata-signature"
    body["idp"]["metadata_signer"] = "no certificate"
    assert api.bad("PUT", "sources/pinned", body)[0] == 422
    api.good("DELETE", "sources/pinned")


# --- bodies ---

BAD_BODIES = {
    "another type": (lambda b: b.update(type="ldap"), (409, "managed-by-config", "type")),
    "a type that is none": (lambda b: b.update(type=7), (422, "invalid-request", "type")),
    "a file of metadata": (lambda b: b.update(idp={"metadata_file": "/etc/passwd"}),
                           (422, "managed-by-config", "idp.metadata_file")),
    "a file that pins": (lambda b: b["idp"].update(metadata_certificate="/etc/passwd"),
                         (422, "managed-by-config", "idp.metadata_certificate")),
    "a file of CAs": (lambda b: b.update(idp={"metadata_url": "https://idp.example/m", "ca": "/etc/passwd"}),
                      (422, "managed-by-config", "idp.ca")),
    "no provider": (lambda b: b.pop("idp"), (422, "missing-key", None)),
    "nothing of the provider": (lambda b: b.update(idp={}), (422, "metadata-contradiction", "idp")),
    "two places": (lambda b: b["idp"].update(metadata_url="https://idp.example/m"),
                   (422, "metadata-contradiction", "idp.metadata")),
    "plain http": (lambda b: b.update(idp={"metadata_url": "http://idp.example/m"}),
                   (422, "invalid-url", "idp.metadata_url")),
    "another scheme": (lambda b: b.update(idp={"metadata_url": "file:///etc/passwd"}),
                       (422, "invalid-url", "idp.metadata_url")),
    "metadata that is a number": (lambda b: b.update(idp={"metadata": 7}), (422, "invalid-request", "idp.metadata")),
    "a provider that is a text": (lambda b: b.update(idp="x"), (422, "wrong-type", "idp")),
    "a fingerprint of nothing": (lambda b: b.update(idp={"metadata": "sha256:" + "0" * 64}),
                                 (422, "invalid-request", "idp.metadata")),
    "an unknown key": (lambda b: b.update(jit=True), (422, "unknown-key", "jit")),
    "an unknown key inside": (lambda b: b["idp"].update(ceritficate="x"), (422, "unknown-key", "idp.ceritficate")),
    "a wrong type": (lambda b: b.update(just_in_time="yes"), (422, None, "just_in_time")),
    "on from the beginning": (lambda b: b.update(enabled=True), (422, "invalid-request", "enabled")),
    "on, in words": (lambda b: b.update(enabled="yes"), (422, "invalid-request", "enabled")),
    "no name": (lambda b: b.pop("name"), (422, "invalid-request", "name")),
    "an odd name": (lambda b: b.update(name="Okta!"), (422, "invalid-name", "name")),
    "a name of a file's": (lambda b: b.update(name="acme"), (409, "managed-by-config", None)),
    "a link to nothing": (lambda b: b.update(link={"attribute": "mail", "source": "nobody"}),
                          (422, "unknown-source", "link.source")),
    "an organization that is none": (lambda b: b.update(organization="nowhere"), (422, None, "organization")),
    "a domain that is none": (lambda b: b.update(allowed_domains=["@x"]), (422, "invalid-domain", "allowed_domains[0]")),
    "a control character": (lambda b: b.update(key="a\u0001"), (422, "invalid-request", "key")),
    "a line in the pin": (lambda b: b["idp"].update(metadata_signer=["x"]), (422, "invalid-request", "idp.metadata_signer")),
    "a long text": (lambda b: b.update(key="x" * 20000), (422, "invalid-request", "key")),
    "a long key": (lambda b: b.update({"x" * 2000: 1}), (400, "invalid-request", None)),
    "deep": (lambda b: b.update(attributes=[[[[[[[[[[]]]]]]]]]]), (422, "invalid-request", "attributes")),
}


@pytest.mark.parametrize("what", BAD_BODIES)
def test_body_that_is_refused(world, api, what):
    change, expected = BAD_BODIES[what]
    body = body_of(world)
    change(body)
    got = api.bad("POST", "sources", body)
    assert got[0] == expected[0] and (expected[1] is None or got[1] == expected[1]), got
    assert expected[2] is None or got[2] == expected[2], got
    if "name" in body and body["name"] == "okta":
        nothing_is_left(world, api)


@pytest.mark.parametrize("text", [b"", b"[]", b"7", b"{", b"null", b'{"name": "\xff"}', b'{"name": "a", "name": "b"}',
                                  b"[" * 5000])
def test_body_that_is_no_object(api, text):
    assert api.bad("POST", "sources", text)[0] in (400, 415, 422)


def test_body_of_another_content_type(world, api):
    got = api.bad("POST", "sources", json.dumps(body_of(world)).encode(), {"Content-Type": "text/plain"})
    assert got[:2] == (415, "unsupported-media-type")


def test_sources_of_files_are_read_only(world, api):
    body = body_of(world, "acme")
    for method, path, sent in (("PUT", "sources/acme", body), ("PATCH", "sources/acme", {"trace": True}),
                               ("DELETE", "sources/acme", None), ("POST", "sources/acme/enable", None),
                               ("POST", "sources/acme/disable", None)):
        assert api.bad(method, path, sent)[:2] == (409, "managed-by-config"), path
    for method, path, sent in (("GET", "sources/none", None), ("PUT", "sources/none", body_of(world, "none")),
                               ("PATCH", "sources/none", {}), ("DELETE", "sources/none", None),
                               ("POST", "sources/none/enable", None), ("GET", "sources/none/metadata", None)):
        assert api.bad(method, path, sent)[:2] == (404, "not-found"), path


# --- versions, dry runs, pages ---

def test_versions(world, api, okta):
    version = api.good("GET", "sources/okta")["version"]
    tag = {"If-Match": f'"{version}"'}
    assert api.good("PATCH", "sources/okta", {"just_in_time": True}, tag)["definition"]["saml"]["just_in_time"] is True
    for method, path, body in (("PATCH", "sources/okta", {"trace": True}), ("PUT", "sources/okta", body_of(world)),
                               ("POST", "sources/okta/enable", None), ("POST", "sources/okta/disable", None),
                               ("DELETE", "sources/okta", None)):
        assert api.bad(method, path, body, tag)[:2] == (412, "stale-version"), path


def test_what_is_shown_can_be_put_back(api, okta):
    shown = api.good("GET", "sources/okta")
    again = api.good("PUT", "sources/okta", shown["body"])["definition"]
    assert again["body"] == shown["body"] and again["version"] > shown["version"]
    assert api.bad("PUT", "sources/okta", {**shown["body"], "name": "other"})[2] == "name"
    assert api.bad("PATCH", "sources/okta", {"enabled": True})[2] == "enabled"
    # Null takes away, as far down as it stands.
    body = api.good("PATCH", "sources/okta", {"second_factor": {"attribute": "amr", "values": ["mfa"]}})
    assert body["definition"]["body"]["second_factor"] == {"attribute": "amr", "values": ["mfa"]}
    body = api.good("PATCH", "sources/okta", {"second_factor": {"attribute": None, "contexts": ["urn:x:y"],
                                                                "values": None}})["definition"]["body"]
    assert body["second_factor"] == {"contexts": ["urn:x:y"]}


def test_dry_runs_leave_nothing(world, api, okta):
    before = api.good("GET", "sources/okta")
    rows = len(world.bridge.ctl("audit", "list", "--limit", "1000")["rows"])
    assert api.good("PATCH", "sources/okta?dry_run=true", {"trace": True})["dry_run"] is True
    assert api.good("POST", "sources/okta/enable?dry_run=true")["dry_run"] is True
    assert api.good("DELETE", "sources/okta?dry_run=true")["dry_run"] is True
    api.good("POST", "sources?dry_run=true", body_of(world, "dry"))
    assert api.call("GET", "sources/dry")[0] == 404
    assert api.good("GET", "sources/okta")["version"] == before["version"]
    assert len(world.bridge.ctl("audit", "list", "--limit", "1000")["rows"]) == rows


def test_pages(api, okta):
    first = api.good("GET", "sources?limit=1")
    assert [one["name"] for one in first["sources"]] == ["acme"] and first["next"] == "acme"
    second = api.good("GET", "sources?limit=1&after=acme")
    assert [one["name"] for one in second["sources"]] == ["okta"] and second["next"] is None
    assert api.bad("GET", "sources?after=nobody")[2] == "after"
    assert api.bad("GET", "sources?limit=0")[0] in (400, 422)


def test_a_name_twice(world, api, okta):
    assert api.bad("POST", "sources", body_of(world))[:2] == (409, "name-taken")


# --- addresses of metadata ---

def test_addresses_of_metadata(world, api):
    """Only what the rules for requests to other servers let through; a redirect is none of it."""
    xml = idp_metadata(world.folder).encode()
    answers = {"/good": answer(200, xml), "/away": answer(302, headers=[("Location", "/good")])}

    def problem(name):
        return api.good("GET", f"sources/{name}")["saml"]["problem"]

    with contextlib.closing(Origin(answers)) as origin:
        base = f"http://127.0.0.1:{origin.port}"
        for name, url, expected in (("inside", "https://10.0.0.1/metadata", "10.0.0.1"),
                                    ("link", "https://169.254.169.254/latest", "169.254.169.254"),
                                    ("away", base + "/away", "302")):
            api.good("POST", "sources", {"name": name, "idp": {"metadata_url": url}}, status=201)
            assert expected in eventually(lambda name=name: problem(name)), name
            assert api.bad("POST", f"sources/{name}/enable")[:2] == (409, "idp-unavailable")
            # It is nobody's alarm while it is switched off.
            assert not [one for one in world.alarms() if name in str(one)]
            api.good("DELETE", f"sources/{name}")
        api.good("POST", "sources", {"name": "fetched", "idp": {"metadata_url": base + "/good"}}, status=201)
        assert eventually(lambda: api.good("GET", "sources/fetched")["saml"]["ready"])
        assert api.good("POST", "sources/fetched/enable")["definition"]["enabled"] is True
        # From there to a document that is handed over, and back.
        patch = {"idp": {"metadata_url": None, "metadata": xml.decode()}}
        assert api.good("PATCH", "sources/fetched", patch)["definition"]["saml"]["ready"] is True
        api.good("POST", "sources/fetched/disable")
        api.good("DELETE", "sources/fetched")


# --- who may ---

@pytest.fixture(name="web")
def _web(world):
    with contextlib.closing(Web(world.port, host="login.example.com", forwarded=True)) as web:
        yield web


def token(world, user, scope="*:*@all"):
    return world.bridge.ctl("tokens", "create", f"{user}-{time.monotonic_ns()}", "--user", user, "--scope",
                            scope)["token"]


def test_only_administrators_may(world, api, web, okta):
    bridge = world.bridge
    bridge.ctl("profiles", "create", "connector", "--permissions", "sources:*@all,accounts:read@all,cases:*@all,users:*@all")
    bridge.ctl("users", "create", "connie", "--profile", "connector")
    bridge.ctl("users", "create", "pat", "--profile", "administrator", "--organization", "partners")
    bridge.ctl("users", "create", "mia", "--profile", "member")
    connie = token(world, "connie", "sources:*@all")
    before = api.good("GET", "sources/okta")
    # Sees them, and may change none: whoever says who signs in may be anybody.
    assert web.ask("GET", "sources/okta", token=connie)[0] == 200
    for who in (connie, token(world, "mia"), token(world, "pat"), token(world, "boss", "sources:*@all")):
        for method, path, body in (("POST", "sources", body_of(world, "mine", just_in_time=True)),
                                   ("PATCH", "sources/okta", {"just_in_time": True}),
                                   ("PUT", "sources/okta", body_of(world)),
                                   ("POST", "sources/okta/enable", None), ("POST", "sources/okta/disable", None),
                                   ("DELETE", "sources/okta", None)):
            status, said = web.ask(method, path, body, token=who)
            assert status in (403, 404) and said["code"] in ("not-allowed", "not-found"), (path, said)
    service = bridge.ctl("tokens", "create", "feed", "--service", "feed", "--scope", "*:*@all")["token"]
    assert web.ask("PATCH", "sources/okta", {"just_in_time": True}, token=service)[0] == 403
    assert api.good("GET", "sources/okta")["version"] == before["version"]
    status, said = web.ask("PATCH", "sources/okta", {"just_in_time": True}, token=token(world, "boss"))
    assert status == 200 and said["definition"]["saml"]["just_in_time"] is True
    assert "boss" in world.audit("source.update")[-1]["actor"]


# --- what it gives, and what others say of it ---

def visit(world, name, person, groups):
    """An answer of the IdP that somebody waits for, through this source of the store."""
    visitor = world.visitor()
    base = f"https://login.example.com/saml/{name}"
    request, relay, _ = visitor.begin(f"{base}/login")
    acs, audience = world.acs, world.forge.sp
    world.acs, world.forge.acs, world.forge.sp = f"{base}/acs", f"{base}/acs", f"{base}/metadata"
    try:
        return visitor.answer(world.response(request, person, groups), relay)
    finally:
        world.acs, world.forge.acs, world.forge.sp = acs, acs, audience


def test_what_it_gave_stays(world, api):
    bridge = world.bridge
    api.good("POST", "sources", body_of(world, "lasting", just_in_time=True, may_grant={"profiles": ["member"]}))
    bridge.write("staff.json", json.dumps({"id": "lasting-staff", "groups": ["lasting:staff"],
                                           "grant": {"profile": "member"}}))
    bridge.ctl("rules", "draft", bridge.folder / "staff.json")
    plan = bridge.ctl("rules", "preview", "lasting-staff")["plan"]
    bridge.ctl("rules", "activate", "lasting-staff", plan)
    api.good("POST", "sources/lasting/enable")
    page = visit(world, "lasting", "greta", ["staff"])
    assert page.status_code == 303, page.text
    before = bridge.ctl("users", "show", "greta")
    assert before["profile"] == "member"
    api.good("POST", "sources/lasting/disable")
    # Everybody is looked at anew: nothing ends.
    bridge.ctl("reload")
    bridge.ctl("roles", "create", "extra", "--classifications", "Support", "--segments", "Core", "--permissions",
               "cases:read@all")
    after = bridge.ctl("users", "show", "greta")
    assert after["grants"] == before["grants"] and after["active"] is True
    # Neither goes, nor what rules and people stand on.
    assert api.bad("DELETE", "sources/lasting")[:2] == (409, "in-use")
    bridge.ctl("rules", "delete", "lasting-staff")
    assert api.bad("DELETE", "sources/lasting")[:2] == (409, "in-use")
    api.good("POST", "sources/lasting/enable")
    assert visit(world, "lasting", "greta", ["staff"]).status_code in (303, 403)


def test_link_that_another_source_stands_on(world, api, okta):
    api.good("POST", "sources", body_of(world, "second", link={"attribute": "mail", "source": "okta", "other": "mail"}))
    assert api.bad("DELETE", "sources/okta")[:2] == (409, "in-use")
    api.good("DELETE", "sources/second")


# --- restarts and files ---

def test_it_is_there_after_a_restart(world, api, okta):
    assert world.bridge.stop() == 0
    world.bridge.start()
    shown = world.bridge.ctl("sources", "show", "okta")
    assert shown["saml"]["ready"] is True and shown["enabled"] is False


def test_a_file_of_the_same_name_wins(world, api, okta):
    bridge = world.bridge
    text = bridge.config.read_text()
    bridge.config.write_text(text.replace("sources:\n", "sources:\n  - {name: okta, type: saml, enabled: false, "
                                                        "idp: {metadata_file: idp.xml}}\n"))
    try:
        bridge.ctl("reload")
        assert bridge.ctl("sources", "show", "okta")["origin"] == "file"
        assert api.bad("PATCH", "sources/okta", {"trace": True})[:2] == (409, "managed-by-config")
    finally:
        bridge.config.write_text(text)
        bridge.ctl("reload")
    assert bridge.ctl("sources", "show", "okta")["origin"] == "store"


@pytest.mark.parametrize("taken", ["organizations: [{name: partners}]\n", "saml: {"])
def test_files_that_drop_what_it_stands_on(world, taken):
    """A reload is refused; a start goes on without it, says so, and loses nothing."""
    bridge = world.bridge
    api = Api(world.folder / "control.sock")
    api.good("POST", "sources", body_of(world, "frail", organization="partners"))
    api.good("POST", "sources/frail/enable")
    text = bridge.config.read_text()
    # Without a key pair the file's own source cannot be, either.
    broken = text.replace("name: acme\n    type: saml", "name: acme\n    type: csv\n    path: x.csv\n    key: id")
    broken = "".join(line for line in broken.splitlines(keepends=True)
                     if not (line.startswith(taken[:6]) or taken.startswith("saml") and
                             line.strip().startswith(("just_in_time", "idp:")))) if taken.startswith("saml") else \
        text.replace(taken, "")
    bridge.write("x.csv", "id,uid\n")
    bridge.config.write_text(broken)
    try:
        refused = bridge.human("reload")
        assert refused.returncode == 1 and "store" in refused.stderr + refused.stdout
        assert bridge.ctl("sources", "show", "frail")["enabled"] is True
        assert bridge.stop() == 0
        bridge.start()
        assert [one for one in world.alarms() if one["kind"] == "definitions-incomplete"]
        shown = bridge.ctl("sources", "show", "frail")
        assert shown["enabled"] is False and shown["body"]["organization"] == "partners"
        with contextlib.closing(Api(world.folder / "control.sock")) as again:
            assert again.bad("POST", "sources/frail/enable")[:2] == (409, "conflict")
            assert again.bad("GET", "sources/frail/metadata")[:2] == (409, "conflict")
    finally:
        bridge.config.write_text(text)
        bridge.ctl("reload")
    assert not [one for one in world.alarms() if one["kind"] == "definitions-incomplete"]
    shown = bridge.ctl("sources", "show", "frail")
    assert shown["enabled"] is True and shown["saml"]["ready"] is True
    bridge.ctl("sources", "disable", "frail")
    bridge.ctl("sources", "delete", "frail")
    world.bridge.ctl("audit", "verify")


# --- our own side of SAML ---

def told_why(world, api, name, reason):
    """Whoever may define sources hears why this one cannot be asked; nobody else does."""
    for method, path in (("GET", f"sources/{name}/metadata"), ("POST", f"sources/{name}/enable")):
        status, said, _ = api.call(method, path)
        assert (status, said["code"]) == (503, "saml-unavailable") and reason in said["message"], (path, said)
    for words in (["saml", "metadata", name], ["sources", "enable", name]):
        said = world.bridge.human(*words)
        assert said.returncode == 1 and reason in said.stderr + said.stdout, said
    shown = api.good("GET", f"sources/{name}")
    assert shown["enabled"] is False and shown["saml"]["ready"] is False and reason in shown["saml"]["problem"], shown
    tested = world.bridge.run("sources", "test", name)
    assert tested.returncode == 1 and "saml-unavailable" in tested.stdout and reason in tested.stdout, tested
    for path in (f"/saml/{name}/metadata", f"/saml/{name}/login", f"/login?source={name}", "/login"):
        for accept in ("text/html", "application/json"):
            page = world.visitor().get(PUBLIC + path, headers={"Accept": accept})
            assert page.status_code == 200 and path == "/login" or page.status_code in (302, 403, 404, 503), page
            assert reason not in page.text, (path, page.text)


def reason_of(world):
    return [one for one in world.alarms() if one["kind"] == "saml-workers"][0]["text"]


def test_no_key_from_the_beginning():
    """Nothing was in force that could be kept: what is defined then waits for the key, and says so."""
    world = World()
    config = f"""
public_url: {PUBLIC}
listeners: [{{address: "127.0.0.1:{world.port}"}}]
trusted_proxies: ["127.0.0.1"]
saml: {{certificate: "{world.folder}/sp.pem", private_key: sp.key, workers: 1}}
profiles: [{{name: administrator}}]
"""
    world.bridge.write_config(config)
    with world, contextlib.closing(Api(world.folder / "control.sock")) as api:
        assert not [one for one in world.alarms() if one["kind"] == "saml-workers"]
        made = api.good("POST", "sources", body_of(world), status=201)["definition"]
        assert made["saml"]["ready"] is False and "sp.key" in made["saml"]["problem"], made
        assert "sp.key" in reason_of(world)
        told_why(world, api, "okta", "sp.key")
        # What is changed meanwhile counts all the same.
        api.good("PATCH", "sources/okta", {"just_in_time": True})
        assert api.good("GET", "sources/okta")["saml"]["just_in_time"] is True
        world.bridge.write_config(config.replace("private_key: sp.key", f'private_key: "{world.folder}/sp.key"'))
        world.bridge.ctl("reload")
        assert "entityID" in api.good("GET", "sources/okta/metadata")["metadata"]
        assert api.good("POST", "sources/okta/enable")["definition"]["enabled"] is True
        assert not [one for one in world.alarms() if one["kind"] == "saml-workers"]


def test_key_that_breaks_later():
    """What was in force stays, without the source that is new: nobody says that there is none."""
    with World() as world, contextlib.closing(Api(world.folder / "control.sock")) as api:
        api.good("POST", "sources", body_of(world, "early"), status=201)
        world.visitor().sign_in("anna")
        key = (world.folder / "sp.key").read_bytes()
        world.bridge.write("sp.key", "no key")
        api.good("POST", "sources", body_of(world), status=201)
        assert "sp.key" in reason_of(world)
        told_why(world, api, "okta", "sp.key")
        said = world.bridge.human("sources", "update", "early", "--just-in-time", "yes")
        assert said.returncode == 0 and "sp.key" in said.stderr, said
        # Nothing of it would come into force.
        status, said, _ = api.call("POST", "sources/early/enable")
        assert (status, said["code"]) == (503, "saml-unavailable"), said
        assert api.good("GET", "sources/early")["enabled"] is False
        for name in ("acme", "early"):
            assert "entityID" in api.good("GET", f"sources/{name}/metadata")["metadata"]
        world.visitor().sign_in("anna")
        assert api.bad("GET", "sources/nobody/metadata")[:2] == (404, "not-found")
        world.bridge.write("sp.key", key)
        world.bridge.ctl("reload")
        for name in ("okta", "early"):
            assert "entityID" in api.good("GET", f"sources/{name}/metadata")["metadata"]
            assert api.good("POST", f"sources/{name}/enable")["definition"]["enabled"] is True


def test_key_that_comes_back():
    """What could not come into force waits, and comes into force when it can: nobody has to know that it waits."""
    with World() as world, contextlib.closing(Api(world.folder / "control.sock")) as api:
        key = (world.folder / "sp.key").read_bytes()
        world.bridge.write("sp.key", "no key")
        api.good("POST", "sources", body_of(world), status=201)
        assert "sp.key" in reason_of(world)
        world.bridge.write("sp.key", key)
        # It is tried again once a minute.
        assert eventually(lambda: not [one for one in world.alarms() if one["kind"] == "saml-workers"], seconds=180)
        world.visitor().sign_in("anna")
        made = api.good("POST", "sources/okta/enable")["definition"]
        assert made["enabled"] is True and not made["saml"].get("problem"), made


def test_a_draft_is_tested_as_every_source(world, okta):
    result = world.bridge.run("sources", "test", "okta")
    assert result.returncode == 0, result
    assert '"enabled":false' in result.stdout.replace(" ", "") and '"ok":true' in result.stdout.replace(" ", "")
