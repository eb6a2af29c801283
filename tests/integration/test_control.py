"""The control socket and rolebridgectl on a whole daemon: every answer as schemas/openapi.yaml says."""
import http.server as http_server
import json
import os
import pty
import re
import select
import socket
import socketserver
import subprocess
import threading
import time

import jsonschema
import pytest
import yaml

from bridge import CTL, ROOT, Bridge, Refused

CONFIG = """
profiles:
  - {name: administrator, permissions: ["*:*@all"]}
  - {name: viewer, permissions: ["accounts:read@own"]}
segments: [All]
roles:
  - {name: sales, description: Sells, classifications: [Sales], segments: [All], permissions: ["quotes:*@own"]}
  - {name: night, description: Nights, classifications: [Support], segments: [All], permissions: ["cases:*@own"]}
rules:
  - {id: sellers, when: "(departmentNumber=7)", grant: {roles: [sales]}}
  - {id: nobody, when: "(salary=99)", grant: {roles: [night]}}
  - {id: admins, when: "(title=boss)", grant: {profile: administrator}}
policy: {default_profile: viewer}
sources:
  - {name: staff, type: csv, path: staff.csv, key: id, interval: 0,
     attributes: [uid, mail, displayName, departmentNumber, title, {name: salary, sensitive: true}]}
"""

STAFF = ("id,uid,mail,displayName,departmentNumber,title,salary\n"
         "1,anna,anna@x.example,Anna,7,,5000\n"
         "2,ben,ben@x.example,Ben,8,,6000\n"
         "3,boss,boss@x.example,Boss,7,boss,9000\n"
         "4,bad name,bad@x.example,Bad,7,,1\n")

DOCUMENT = yaml.safe_load((ROOT / "schemas/openapi.yaml").read_text())


def check(answer, path, method="get", status="200"):
    """The answer is what the OpenAPI document says, to the member."""
    response = DOCUMENT["paths"][path][method]["responses"][status]
    if "$ref" in response:
        response = DOCUMENT["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
    schema = dict(response["content"]["application/json"]["schema"], components=DOCUMENT["components"])
    jsonschema.Draft202012Validator(schema).validate(answer)
    return answer


@pytest.fixture(scope="module")
def bridge():
    with Bridge(CONFIG, {"staff.csv": STAFF}) as bridge:
        bridge.ctl("users", "create", "root-user", "--profile", "administrator")
        bridge.ctl("sync")
        yield bridge


def control(bridge):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(30)
    connection.connect(str(bridge.folder / "control.sock"))
    return connection


def http(bridge, method, path, body=None, headers=""):
    """Status and answer of one raw request."""
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = "Content-Type: application/json\r\n" if data and "Content-Type" not in headers else ""
    head = (f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{kind}{headers}"
            f"Content-Length: {len(data)}\r\n\r\n")
    with control(bridge) as connection:
        try:
            connection.sendall(head.encode() + data)
        except BrokenPipeError:
            pass  # refused by its header; the answer is there all the same
        answer = b""
        try:
            while part := connection.recv(65536):
                answer += part
        except ConnectionResetError:
            pass
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"X-Request-Id:" in head
    return int(head.split()[1]), json.loads(body)


def test_held_administrator_is_shown_and_applied_alone(bridge):
    plan, = bridge.ctl("plans", "list")["plans"]
    shown = bridge.ctl("plans", "show", plan["id"][:8])
    assert [(c["user"], c["what"], c["after"], c["held"]) for c in shown["changes"]] == \
        [("boss", "profile", "administrator", True)]
    text = bridge.human("plans", "show", plan["id"][:8]).stdout
    assert "boss" in text and f"rolebridgectl apply {plan['id'][:12]}" in text
    assert bridge.ctl("users", "show", "boss")["profile"] == "viewer"
    run = bridge.ctl("apply", plan["id"], "--only", "boss")
    assert run["state"] == "done" and run["kind"] == "apply"
    assert bridge.ctl("users", "show", "boss")["profile"] == "administrator"
    with pytest.raises(Refused) as refused:
        bridge.ctl("apply", plan["id"])
    assert json.loads(refused.value.output)["code"] in ("plan-superseded", "conflict", "not-found") and \
        refused.value.status == 1
    # What waits no more is not said to wait.
    text = bridge.human("plans", "show", plan["id"][:8]).stdout
    assert "Held were 1 changes" in text and "wait" not in text and "rolebridgectl apply" not in text


def test_answers_are_as_described(bridge):
    check(bridge.ctl("status"), "/api/v1/status")
    check(bridge.ctl("users", "list"), "/api/v1/users")
    check(bridge.ctl("users", "show", "anna"), "/api/v1/users/{user}")
    check(bridge.ctl("why", "anna"), "/api/v1/users/{user}/why")
    check(bridge.ctl("rules", "list"), "/api/v1/rules")
    check(bridge.ctl("rules", "show", "sellers"), "/api/v1/rules/{id}")
    check(bridge.ctl("audit", "list"), "/api/v1/audit")
    check(bridge.ctl("audit", "verify"), "/api/v1/audit/verify")
    check(bridge.ctl("alarms", "list", "--all"), "/api/v1/alarms")
    check(bridge.ctl("runs", "list"), "/api/v1/runs")
    check(bridge.ctl("plan"), "/api/v1/runs/{id}")
    check(bridge.ctl("reload"), "/api/v1/runs/{id}")
    check(bridge.ctl("check", bridge.config), "/api/v1/check", "post")
    quarantine = check(bridge.ctl("quarantine", "list"), "/api/v1/quarantine")
    assert quarantine["total"] == len(quarantine["entries"]) == 1
    for state in ("held", "applied", "superseded"):
        plans = check(bridge.ctl("plans", "list", "--state", state), "/api/v1/plans")["plans"]
        for plan in plans:
            if plan["id"]:
                check(bridge.ctl("plans", "show", plan["id"]), "/api/v1/plans/{id}")
    for line in bridge.human("audit", "export").stdout.splitlines():
        row = dict(DOCUMENT["components"]["schemas"]["AuditRow"], components=DOCUMENT["components"])
        jsonschema.Draft202012Validator(row).validate(json.loads(line))


def test_people(bridge):
    user = check(bridge.ctl("users", "create", "zoe", "--email", "Zoe@X.example", "--name", "Zoë", "--profile",
                            "viewer"), "/api/v1/users", "post", "201")
    assert (user["username"], user["email"], user["display_name"]) == ("zoe", "zoe@x.example", "Zoë")
    user = check(bridge.ctl("users", "grant", "zoe", "role", "night", "--expires", "2099-01-31"),
                 "/api/v1/users/{user}/grants", "post")
    grant, = [g for g in user["grants"] if g["name"] == "night"]
    assert grant["origin"] == {"kind": "hand", "id": "unix:" + whoami(), "source": ""}
    assert grant["expires"] == "2099-02-01T00:00:00Z"
    user = bridge.ctl("users", "disable", "zoe", "--reason", "left")
    assert user["disabled"] == ["hand"] and not user["active"]
    row = bridge.ctl("audit", "list", "--action", "user.disable", "--object", "user:" + user["id"])["rows"][0]
    assert "left" in json.dumps(row["detail"]) and row["actor"] == "unix:" + whoami()
    assert bridge.ctl("users", "enable", "zoe")["active"]
    assert not [g for g in bridge.ctl("users", "revoke", "zoe", "role", "night")["grants"] if g["name"] == "night"]
    found = bridge.ctl("users", "search", "zo")["users"]
    assert [u["username"] for u in found] == ["zoe"]
    assert {u["username"] for u in bridge.ctl("users", "list", "--grant", "role:sales")["users"]} == \
        {"anna", "boss"}


def whoami():
    return subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()


def test_pages(bridge):
    seen, after = [], None
    while True:
        answer = bridge.ctl("users", "list", "--limit", 2, *(["--after", after] if after else []))
        seen += [u["username"] for u in answer["users"]]
        after = answer["next"]
        if after is None:
            break
    assert len(seen) == len(set(seen)) and set(seen) >= {"anna", "ben", "boss", "root-user"}


def test_why(bridge):
    answer = bridge.ctl("why", "anna", "role:sales")
    grant, = answer["grants"]
    assert grant["state"] == "held" and grant["rule"]["match"] == "yes" and grant["rule"]["line"] > 1
    assert any("departmentNumber" in node["because"] for node in grant["rule"]["condition"])
    # why not
    answer = bridge.ctl("why", "ben", "sales")
    assert not answer["grants"] and [(c["id"], c["match"]) for c in answer["candidates"]] == [("sellers", "no")]
    text = bridge.human("why", "ben", "sales").stdout
    assert "ben does not have it" in text and "sellers" in text
    with pytest.raises(Refused) as refused:
        bridge.ctl("why", "ben", "no-such-role")
    assert json.loads(refused.value.output)["code"] == "not-found"


def test_sensitive_values_are_hidden(bridge):
    for words in (["why", "anna"], ["why", "anna", "night"]):
        text = json.dumps(bridge.ctl(*words))
        assert "5000" not in text and "(salary=99)" not in text and "(hidden)" in text
    assert "5000" in json.dumps(bridge.ctl("why", "anna", "--sensitive"))


ERRORS = [
    ("unknown field", "POST", "/api/v1/sync", {"sorce": "staff"}, 422, "invalid-request", "sorce"),
    ("wrong type", "POST", "/api/v1/sync", {"full": 1}, 422, "invalid-request", "full"),
    ("not JSON", "POST", "/api/v1/sync", b"{", 400, "invalid-request", None),
    ("not an object", "POST", "/api/v1/sync", b"[]", 400, "invalid-request", None),
    ("no such source", "POST", "/api/v1/sync", {"source": "nix"}, 404, "not-found", "source"),
    ("unknown query", "GET", "/api/v1/users?x=1", None, 422, "invalid-request", "x"),
    ("limit", "GET", "/api/v1/users?limit=0", None, 422, "invalid-request", "limit"),
    ("state", "GET", "/api/v1/users?state=odd", None, 422, "invalid-request", "state"),
    ("grant", "GET", "/api/v1/users?grant=sales", None, 422, "invalid-request", "grant"),
    ("no such user", "GET", "/api/v1/users/nix", None, 404, "not-found", None),
    ("no such plan", "GET", "/api/v1/plans/ffffffffff", None, 404, "not-found", None),
    ("no such run", "GET", "/api/v1/runs/nix", None, 404, "not-found", None),
    ("no such rule", "POST", "/api/v1/rules/nix/release", None, 404, "not-found", None),
    ("no such alarm", "POST", "/api/v1/alarms/nix/clear", None, 404, "not-found", None),
    ("no such kind", "POST", "/api/v1/users/anna/grants", {"kind": "x", "name": "y"}, 422, "invalid-request",
     "kind"),
    ("no such role", "POST", "/api/v1/users/anna/grants", {"kind": "role", "name": "nix"}, 404, "not-found", None),
    ("in the past", "POST", "/api/v1/users/anna/grants",
     {"kind": "role", "name": "night", "expires": "2001-01-01"}, 422, "invalid-request", "expires"),
    ("end of 1969", "POST", "/api/v1/users/anna/grants",
     {"kind": "role", "name": "night", "expires": "1969-12-31"}, 422, "invalid-request", "expires"),
    ("taken", "POST", "/api/v1/users", {"username": "ANNA", "profile": "viewer"}, 409, "username-taken", None),
    ("no body taken", "POST", "/api/v1/reload", {"x": 1}, 400, "invalid-request", None),
    ("nothing there", "GET", "/api/v2/users", None, 404, "not-found", None),
    ("method", "PUT", "/api/v1/users", {}, 405, "method-not-allowed", None),
    ("head", "GET", "/api/v1/audit/verify?head=x", None, 422, "invalid-request", "head"),
    ("huge", "POST", "/api/v1/sync", b'{"source":"' + b"a" * 2000000 + b'"}', 413, "too-large", None),
    ("files without text", "POST", "/api/v1/plan", {"files": [{"path": "/x"}]}, 422, "invalid-request",
     "files[0].text"),
]


@pytest.mark.parametrize("case", ERRORS, ids=[e[0] for e in ERRORS])
def test_errors(bridge, case):
    _, method, path, body, status, code, field = case
    before = bridge.ctl("audit", "verify")["rows"]
    got, answer = http(bridge, method, path, body)
    schema = dict(DOCUMENT["components"]["schemas"]["Error"], components=DOCUMENT["components"])
    jsonschema.Draft202012Validator(schema).validate(answer)
    assert (got, answer["code"], answer.get("field")) == (status, code, field), answer["message"]
    assert bridge.ctl("audit", "verify")["rows"] == before


def test_a_new_user_gets_the_default_profile():
    with Bridge(CONFIG, {"staff.csv": STAFF}) as bridge:
        bridge.ctl("users", "create", "nina")
        shown = bridge.ctl("users", "show", "nina")
        assert shown["profile"] == "viewer"
        assert [(g["name"], g["origin"]["kind"]) for g in shown["grants"]] == [("viewer", "default")]
        bridge.write_config(CONFIG.replace("policy: {default_profile: viewer}", ""))
        bridge.ctl("reload")
        status, answer = http(bridge, "POST", "/api/v1/users", {"username": "new"})
        assert (status, answer["code"], answer["field"]) == (422, "profile-required", "profile")
        # Nor is anybody left without one.
        bridge.ctl("users", "create", "hana", "--profile", "viewer")
        status, answer = http(bridge, "DELETE", "/api/v1/users/hana/grants/profile/viewer")
        assert (status, answer["code"]) == (422, "profile-required")
        refused = bridge.human("users", "revoke", "hana", "profile", "viewer")
        assert refused.returncode == 1 and "profile-required" in refused.stderr
        assert bridge.ctl("users", "show", "hana")["profile"] == "viewer"


def test_a_reload_leaves_an_administrator():
    """A file that takes the last one's profile away: it waits for a person, and even then the last one stays."""
    with Bridge(CONFIG, {"staff.csv": STAFF}) as bridge:
        bridge.ctl("sync")
        held, = bridge.ctl("plans", "list")["plans"]
        bridge.ctl("apply", held["id"])
        bridge.write_config("\n".join(line for line in CONFIG.splitlines() if "id: admins" not in line) + "\n")
        report, = bridge.ctl("reload")["reports"]
        assert [(hold["kind"], hold["count"]) for hold in report["holds"]] == [("administrators-lost", 1)]
        assert bridge.ctl("users", "show", "boss")["profile"] == "administrator"
        bridge.ctl("apply", report["plan"])
        assert bridge.ctl("users", "show", "boss")["profile"] == "administrator"
        assert "last-administrator" in [alarm["kind"] for alarm in bridge.ctl("alarms", "list", "--all")["alarms"]]


def test_a_file_that_leaves_administrators_without_something():
    """Root may write so, and is told."""
    with Bridge(CONFIG, {"staff.csv": STAFF}) as bridge:
        text = bridge.config.read_text()
        limited = text.replace('"*:*@all"', '"users:*@all"')
        assert limited != text
        assert not [w for w in bridge.ctl("reload")["diagnostics"] if w["code"] == "administrators-limited"]
        bridge.config.write_text(limited)
        warning, = [w for w in bridge.ctl("reload")["diagnostics"] if w["code"] == "administrators-limited"]
        assert "profiles:*@all" in warning["message"] and warning["line"] > 0, warning


def test_a_dry_run_names_what_is_taken():
    with Bridge(CONFIG, {"staff.csv": STAFF}) as bridge:
        bridge.ctl("users", "create", "ben", "--email", "elsewhere@x.example")
        plan = bridge.ctl("plan")
        check(plan, "/api/v1/runs/{id}")
        lines = [c for report in plan["reports"] for c in report["changes"] if c["what"] == "conflict"]
        assert [(c["user"], c["kind"], c["after"], c["why"]) for c in lines] == \
            [("ben", "username", "ben", "username-taken")]
        assert "conflict username" in bridge.human("plan").stdout


def test_a_form_is_refused(bridge):
    status, answer = http(bridge, "POST", "/api/v1/sync", b"{}", "Content-Type: text/plain\r\n")
    assert (status, answer["code"]) == (415, "unsupported-media-type")


def test_reads_and_previews_write_nothing(bridge):
    before = bridge.ctl("audit", "verify")["head"]
    size = (bridge.folder / "store.db").stat().st_size
    preview = bridge.write("preview/rolebridge.yaml", bridge.config.read_text().replace(
        "(departmentNumber=7)", "(departmentNumber=8)").replace("path: staff.csv", f"path: {bridge.folder}/staff.csv"))
    report, = bridge.ctl("plan", "staff", "--config", preview)["reports"]
    changes = {(c["user"], c["what"], c["before"] or c["after"]) for c in report["changes"]}
    assert report["dry_run"] and ("ben", "grant", "sales") in changes and ("anna", "revoke", "sales") in changes
    for words in (["status"], ["users", "list"], ["why", "anna"], ["plan"]):
        bridge.ctl(*words)
    assert bridge.ctl("audit", "verify")["head"] == before
    assert (bridge.folder / "store.db").stat().st_size == size


def test_a_bad_preview_says_where(bridge):
    bad = bridge.write("bad/rolebridge.yaml", bridge.config.read_text() + "\nrulez: []\n")
    result = bridge.run("plan", "--config", bad)
    run = check(json.loads(result.stdout), "/api/v1/runs/{id}")
    assert result.returncode == 1 and run["state"] == "failed" and run["error"]["code"] == "invalid-config"
    finding, = [f for f in run["diagnostics"] if f["severity"] == "error"]
    assert finding["file"] == str(bad) and finding["line"] > 1 and "rulez" in finding["message"]
    result = bridge.human("check", bad)
    assert result.returncode == 1 and f"{bad}:{finding['line']}:1: error" in result.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="needs to become somebody else")
def test_strangers_are_refused(bridge):
    sock = bridge.folder / "control.sock"
    assert sock.stat().st_mode & 0o007 == 0
    mode = bridge.folder.stat().st_mode
    os.chmod(bridge.folder, 0o755)
    os.chmod(sock, 0o666)
    try:
        result = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", CTL,
                                 "--socket", sock, "--json", "users", "disable", "anna"],
                                capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, cwd="/")
    finally:
        os.chmod(sock, 0o600)
        os.chmod(bridge.folder, mode)
    if "Permission denied" in result.stderr and not result.stdout:
        pytest.skip("the build folder is closed to others")
    assert result.returncode == 1 and json.loads(result.stdout)["code"] == "not-allowed"
    assert bridge.ctl("users", "show", "anna")["active"]


def test_exit_status(bridge):
    assert bridge.human("status").returncode == 0
    assert bridge.human("users", "show", "nix").returncode == 1
    assert bridge.human("users", "shwo", "nix").returncode == 2
    assert bridge.human("why").returncode == 2
    assert bridge.human("--help").returncode == 0
    version = bridge.human("--version")
    assert (version.returncode, version.stdout) == (0, f"rolebridgectl {bridge.ctl('status')['version']}\n")
    nobody = subprocess.run([CTL, "--socket", bridge.folder / "none.sock", "status"], capture_output=True, text=True,
                            check=False, stdin=subprocess.DEVNULL)
    assert nobody.returncode == 1 and "no daemon answers" in nobody.stderr


def on_terminal(bridge, *words, env=None):
    return at_terminal(["--config", bridge.config, *words], env)


def at_terminal(words, env=None):
    """What a terminal of 60 columns gets."""
    parent, child = pty.openpty()
    import fcntl
    import struct
    import termios
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 60, 0, 0))
    process = subprocess.Popen([CTL, *words], stdin=subprocess.DEVNULL, stdout=child,
                               stderr=child, env={**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", **(env or {})})
    os.close(child)
    output, end = b"", time.monotonic() + 120
    while time.monotonic() < end:
        if not select.select([parent], [], [], 1)[0]:
            continue
        try:
            part = os.read(parent, 65536)
        except OSError:
            break
        if not part:
            break
        output += part
    os.close(parent)
    return process.wait(60), output.decode()


def test_terminal(bridge):
    bridge.ctl("users", "create", "eve", "--name", "Eve " + "x" * 80, "--profile", "viewer")
    status, text = on_terminal(bridge, "users", "list")
    assert status == 0 and "\033[1m" in text and "…" in text
    plain = re.sub(r"\033\[[0-9;]*[mK]", "", text)
    assert max(len(line) for line in plain.splitlines()) <= 60
    _, text = on_terminal(bridge, "users", "list", env={"NO_COLOR": "1"})
    assert "\033[" not in text
    assert "\033" not in bridge.human("users", "list").stdout
    status, text = on_terminal(bridge, "why", "anna")
    assert "✓" in text


class Slow(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Says of an import each time how far it is; the last time, that it is done."""
    daemon_threads = True
    steps = [{"phase": "applying", "done": 250, "total": 1000}, {"phase": "applying", "done": 1000, "total": 1000},
             {"phase": "reading", "done": 7, "total": 0}]

    def __init__(self, path):
        super().__init__(str(path), SlowAnswer)
        self.left = list(self.steps)


class SlowAnswer(http_server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.left = list(self.server.steps)
        self.answer(202, {"run": "01a00000-0000-7000-8000-000000000000"})

    def do_GET(self):
        told = {"id": "01a00000-0000-7000-8000-000000000000", "kind": "import"}
        if self.server.left:
            self.answer(200, {**told, "state": "running", **self.server.left.pop(0)})
        else:
            self.answer(200, {**told, "state": "done", "result": {"dry_run": False, "created": 1000, "updated": 0,
                                                                  "unchanged": 0, "failed": 0, "rows": []}})

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def test_progress_bar(tmp_path):
    """Long work has a bar on a terminal, which goes when it is done; elsewhere none."""
    (tmp_path / "people.csv").write_text("username\nanna\n")
    with Slow(tmp_path / "slow.sock") as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        words = ["--socket", tmp_path / "slow.sock", "import", "users", tmp_path / "people.csv"]
        status, text = at_terminal(words)
        assert status == 0
        *shown, end = text.split("\r\033[K")
        assert shown == ["", "applying   [" + "#" * 7 + " " * 23 + "]  25 %  250 of 1000",
                         "applying   [" + "#" * 30 + "] 100 %  1000 of 1000", "reading    | 7"], text
        assert "1000 created, 0 updated, 0 unchanged, 0 failed." in end
        quiet = subprocess.run([CTL, *words], capture_output=True, text=True, check=False, timeout=60)
        assert (quiet.returncode, quiet.stderr) == (0, "") and quiet.stdout.startswith("1000 created")
        server.shutdown()


def test_nothing_of_a_stranger_reaches_the_terminal(bridge):
    status, answer = http(bridge, "POST", "/api/v1/users/anna/disable", {"reason": "a\u202eb\u009b2J"})
    assert status == 200
    http(bridge, "POST", "/api/v1/users/anna/enable")
    for words in (["audit", "list"], ["audit", "export"]):
        _, text = on_terminal(bridge, *words, env={"NO_COLOR": "1"})
        assert not re.search("[\u202e\u009b\x1b]", text), words


def test_completion(bridge):
    script = ROOT / "daemon/cli/rolebridgectl.bash"

    def complete(*words):
        line = " ".join(f"'{w}'" for w in words)
        done = subprocess.run(["bash", "-c", f"source {script}; COMP_WORDS=({line}); "
                               f"COMP_CWORD={len(words) - 1}; _rolebridgectl; printf '%s\\n' \"${{COMPREPLY[@]}}\""],
                              capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert {"status", "users", "plans", "why"} <= set(complete("rolebridgectl", ""))
    assert complete("rolebridgectl", "sta") == ["status"]
    assert set(complete("rolebridgectl", "users", "s")) == {"search", "set", "show"}
    assert "--full" in complete("rolebridgectl", "--json", "sync", "--")
    assert complete("rolebridgectl", "--socket", "/x", "rules", "re") == ["release"]
