"""The shipped snippets with the real nginx, Caddy and Apache: the same table of tests against each."""
import base64
import json
import os
from urllib.parse import urlsplit

import pytest

import idp
import proxy
from signin import SignIn

pytestmark = pytest.mark.skipif(not idp.is_installed(), reason="needs SimpleSAMLphp")

APPLICATIONS = """
  - {{name: crm, urls: ["{application}"], require: {{profiles: [administrator, member]}}}}
  - {{name: back, urls: ["{application}admin/"], require: {{profiles: [administrator]}}}}
  - {{name: lab, urls: ["{application}lab/"], require: {{roles: [researcher]}}}}
  - name: other
    urls: ["http://other.localhost:{proxy.port}"]
    require: {{profiles: [administrator]}}
"""
HOSTS = ("app.localhost", "other.localhost", "unknown.localhost")
UPLOAD_BYTES = 5 * 1024 * 1024


@pytest.fixture(name="world", scope="module", params=sorted(proxy.SERVERS))
def _world(request):
    problem = proxy.missing(request.param)
    if problem:
        pytest.skip(problem)
    with SignIn(proxy=proxy.SERVERS[request.param], applications=APPLICATIONS, hosts=HOSTS) as world:
        yield world


@pytest.fixture(name="bert", scope="module")
def _bert(world):
    """Cookies of a member for the application."""
    browser, page = world.sign_in("bert")
    assert page.status_code == 200, page.text
    return browser.cookies(world.application_url)


def ask(world, cookies, *lines, path="/", host="app.localhost", method="GET", body=b""):
    """A request written byte by byte with this person's cookies."""
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    return world.proxy.raw([f"{method} {path} HTTP/1.1", f"Host: {host}:{world.proxy.port}",
                            f"Cookie: {cookie}", *lines], body=body, method=method)


def arrived(answer):
    """What the application saw: {lower-case name: [values]}."""
    status, _, body = answer
    assert status == 200, (status, body[:500])
    seen = {}
    for name, value in json.loads(body)["headers"]:
        seen.setdefault(name.lower(), []).append(value)
    return seen


def test_person_arrives(world):
    browser, page = world.sign_in("anna")
    seen = arrived((page.status_code, page.headers, page.content))
    assert seen["remote-user"] == ["anna"]
    assert seen["remote-email"] == ["anna@acme.example"]
    assert seen["remote-name"][0].encode("latin-1").decode() == "Anna Müller"
    assert seen["remote-profile"] == ["member"]
    assert seen["remote-roles"] == ["researcher"]
    assert len(seen["remote-id"][0]) == 36
    before = len(browser.trail)
    assert browser.get(world.application_url).status_code == 200
    assert len(browser.trail) == before + 1


def test_stranger_is_sent_to_sign_in(world):
    page = world.browser().request("GET", world.application_url + "deep?a=b&c=%20d")
    assert page.status_code == 302
    where = urlsplit(page.headers["Location"])
    assert where.path == "/.rolebridge/start"
    assert where.netloc.split(":")[0] == "app.localhost"
    assert "deep%3Fa%3Db%26c%3D%2520d" in where.query


def test_stranger_comes_back_to_where_they_were_going(world):
    browser = world.browser()
    page = browser.sign_in(world.application_url + "deep?a=b&c=%20d", "bert")
    assert page.status_code == 200
    assert page.json()["path"] == "/deep?a=b&c=%20d"


def test_person_without_access(world):
    _, page = world.sign_in("cleo")
    assert page.status_code == 403


FORGED = [
    ["Remote-User: root"],
    ["Remote_User: root"],
    ["REMOTE_USER: root"],
    ["remote-user: root", "remote-user: root"],
    ["Remote-User: root", "Remote_User: root", "REMOTE-USER: root"],
    ["Remote-User:  root  \t"],
    ["Remote-User : root"],
    ["Remote.User: root"],
    ["Remote-User: root", "Connection: Remote-User"],
    ["Connection: Remote-User, Remote-Profile"],
    ["Connection: close,remote-user ,  REMOTE-PROFILE"],
    ["Remote-Profile: administrator", "Remote_Profile: administrator"],
    ["Remote-Roles: root", "remote_roles: root"],
    ["REMOTE-PERSONAS: root", "Remote_Personas: root"],
    ["Remote-Groups: root", "Remote_Groups: root", "Remote_groups: root"],
    ["remote-id: root", "Remote_Id: root", "REMOTE_ID: root"],
    ["Remote-Email: root", "Remote-Name: root"],
]


@pytest.mark.parametrize("lines", FORGED, ids=[" + ".join(lines).strip() for lines in FORGED])
def test_forged_headers_do_not_arrive(world, bert, lines):
    answer = ask(world, bert, *lines)
    if answer[0] == 400:
        return  # refused as no HTTP
    seen = arrived(answer)
    assert seen["remote-user"] == ["bert"]
    assert seen["remote-profile"] == ["member"]
    for name, values in seen.items():
        if name.replace("_", "-").replace(".", "-").startswith("remote-"):
            assert name.count("-") and "_" not in name and "." not in name, (name, values)
            assert len(values) == 1 and "root" not in values[0], (name, values)
            assert "administrator" not in values[0], (name, values)


LIES = [
    ["X-Forwarded-Host: other.localhost"],
    ["X-Forwarded-Host: app.localhost", "X-Forwarded-Host: other.localhost"],
    ["X-Forwarded-Uri: /lab/"],
    ["X-Forwarded-Uri: /"],
    ["X-Forwarded-Proto: https"],
    ["X-Forwarded-Method: POST"],
    ["X-Original-URL: /", "X-Rewrite-URL: /"],
    ["Forwarded: host=other.localhost;proto=https"],
]


@pytest.mark.parametrize("lines", LIES, ids=[" + ".join(lines) for lines in LIES])
def test_forged_forwarded_headers_are_not_believed(world, bert, lines):
    assert arrived(ask(world, bert, *lines))["remote-user"] == ["bert"]
    assert ask(world, bert, *lines, path="/admin/")[0] == 403
    assert ask(world, bert, *lines, path="/lab/")[0] == 403
    status, headers, _ = ask(world, {}, *lines)
    assert status == 302
    assert headers["Location"].startswith(world.proxy.url("app.localhost", "/.rolebridge/start"))


def test_address_is_the_peer_and_not_what_it_says(world):
    browser = world.browser()
    browser.session.headers["X-Forwarded-For"] = "203.0.113.9"
    browser.sign_in(world.application_url, "bert")
    sessions = world.bridge.ctl("sessions", "list", "--user", "bert")["sessions"]
    assert {session["address"] for session in sessions} == {"127.0.0.1"}


def test_port_is_not_what_the_request_says(world):
    status, headers, _ = world.proxy.raw(["GET / HTTP/1.1", "Host: app.localhost:1"])
    assert status == 302
    assert headers["Location"].startswith(world.proxy.url("app.localhost", "/.rolebridge/start"))


def test_address_in_the_request_line_and_host_differ(world, bert):
    """What the proxy chose is what is judged: bert may not use the other application."""
    port = world.proxy.port
    cookie = "; ".join(f"{name}={value}" for name, value in bert.items())
    for line, host in ((f"http://other.localhost:{port}/", f"app.localhost:{port}"),
                       (f"http://app.localhost:{port}/", f"other.localhost:{port}")):
        status, _, body = world.proxy.raw([f"GET {line} HTTP/1.1", f"Host: {host}", f"Cookie: {cookie}"])
        if status == 200:
            # Only as the application that he may use.
            assert line.startswith("http://app."), (line, host, body)


@pytest.mark.parametrize("lines", [[], ["Host: app.localhost:PORT", "Host: other.localhost:PORT"]],
                         ids=["no host", "two hosts"])
def test_request_without_one_host(world, bert, lines):
    cookie = "; ".join(f"{name}={value}" for name, value in bert.items())
    lines = [line.replace("PORT", str(world.proxy.port)) for line in lines]
    status, _, _ = world.proxy.raw(["GET /admin/ HTTP/1.1", *lines, f"Cookie: {cookie}"])
    assert status != 200


def test_our_cookies_do_not_arrive(world, bert):
    own = "; ".join(f"{name}={value}" for name, value in bert.items())
    for cookies in (own, f"{own}; own=yes", f"own=yes; {own}", f"own=yes; {own}; more=1",
                    f"own=yes;{own};more=1", f"own=yes; __Host-rolebridge-app=x; {own}",
                    f"rolebridge=x; {own}; own=yes; rolebridge-login-00=y"):
        seen = arrived(world.proxy.raw(["GET / HTTP/1.1", f"Host: app.localhost:{world.proxy.port}",
                                        f"Cookie: {cookies}"]))
        left = "; ".join(seen.get("cookie", []))
        assert "rolebridge" not in left, (cookies, left)
        assert ("own=yes" in left) == ("own=yes" in cookies), (cookies, left)
        assert ("more=1" in left) == ("more=1" in cookies), (cookies, left)


def test_our_cookies_in_two_headers(world, bert):
    token = bert["rolebridge-app"]
    for lines in (["Cookie: own=yes", f"Cookie: rolebridge-app={token}"],
                  [f"Cookie: rolebridge-app={token}", "Cookie: own=yes"]):
        status, _, body = world.proxy.raw(["GET / HTTP/1.1", f"Host: app.localhost:{world.proxy.port}", *lines])
        assert status in (200, 302, 400)
        if status == 200:
            assert token not in body.decode()


def test_cookies_with_similar_names_arrive(world, bert):
    seen = arrived(ask(world, {**bert, "my-rolebridge": "1"}))
    assert "my-rolebridge=1" in "; ".join(seen["cookie"])


PATHS = [
    # path, bert (a member), root (an administrator); None: not 200, and never the application
    ("/", 200, 200),
    ("/other", 200, 200),
    ("/admin", 403, 200),
    ("/admin/", 403, 200),
    ("/admin/x?y=/../..", 403, 200),
    ("/%61dmin/", 403, 200),
    ("//admin/", 403, 200),
    ("/admin//x", 403, 200),
    ("/admin/./x", 403, 200),
    ("/x/../admin/", 403, None),
    ("/./admin/x", 403, None),
    ("/admin/../x", None, None),
    ("/admin/..", None, None),
    ("/admin/%2e%2e/x", None, None),
    ("/admin%2fx", None, None),
    ("/x%2f..%2fadmin/", None, None),
    ("/x/..%2fadmin/", None, None),
    ("/..;/admin/", None, None),
    ("/ADMIN/", None, None),
    ("/admin;a=b/x", None, None),
    ("/%2561dmin/", None, None),
    ("/admin%00", None, None),
    ("/lab/", 403, 403),
    ("/x/y", 200, 200),
    ("/search?q=admin/", 200, 200),
]


@pytest.mark.parametrize("path,member,administrator", PATHS, ids=[row[0] for row in PATHS])
def test_paths_with_different_requirements(world, bert, root, path, member, administrator):
    for cookies, wanted in ((bert, member), (root, administrator)):
        status, _, body = ask(world, cookies, path=path)
        if wanted is None:
            # A server may resolve the path before it asks; then it sends on what was judged.
            assert status in (301, 307, 308, 400, 403, 404) or json.loads(body)["path"] in ("/x", "/"), (status, body)
        elif wanted == 403:
            assert status in (301, 307, 308, 400, 403, 404), (status, body)
        else:
            assert status == wanted, (status, body)


@pytest.fixture(name="root", scope="module")
def _root(world):
    browser, page = world.sign_in("root")
    assert page.status_code == 200, page.text
    return browser.cookies(world.application_url)


def test_several_applications_on_one_host(world, root):
    browser, _ = world.sign_in("anna")
    assert browser.get(world.application_url + "lab/x").status_code == 200
    assert browser.get(world.application_url + "admin/x").status_code == 403
    assert ask(world, root, path="/admin/x")[0] == 200
    assert ask(world, root, path="/lab/x")[0] == 403


def test_another_host_has_its_own_token(world, bert, root):
    assert ask(world, root, host="other.localhost")[0] == 302
    assert ask(world, bert, host="other.localhost")[0] == 302
    browser, _ = world.sign_in("root")
    page = browser.get(world.proxy.url("other.localhost", "/"))
    assert page.status_code == 200, page.text
    assert dict(page.json()["headers"])["Remote-User"] == "root"
    assert browser.cookies(world.proxy.url("other.localhost"))["rolebridge-app"] != \
        browser.cookies(world.application_url)["rolebridge-app"]
    browser, _ = world.sign_in("bert")
    assert browser.get(world.proxy.url("other.localhost", "/")).status_code == 403


def test_unknown_host(world, bert):
    """Protected by the proxy, known to no application."""
    assert ask(world, bert, host="unknown.localhost")[0] == 403
    assert ask(world, {}, host="unknown.localhost")[0] == 403
    assert ask(world, {}, host="unknown.localhost", path="/.rolebridge/start?return=" + world.application_url)[0] == 400
    # Known to the proxy neither: whatever comes, it is no application.
    status, _, body = ask(world, bert, host="nobody.localhost", path="/admin/")
    assert status != 200 or body == b""


@pytest.mark.parametrize("path", ["/.rolebridge/auth", "/.rolebridge/nothing", "/.rolebridge/../admin/",
                                  "/.rolebridge/%2e%2e/admin/", "/.rolebridge/..%2fadmin/", "//.rolebridge/x",
                                  "/%2erolebridge/x"])
def test_own_places_lead_nowhere_else(world, bert, path):
    status, headers, body = ask(world, bert, path=path)
    if status == 200:
        # As a path of the application's, then.
        assert json.loads(body)["path"].lstrip("/").startswith((".rolebridge/x", "%2erolebridge/x"))
        assert "bert" in body.decode()
    else:
        assert status in (301, 307, 308, 400, 403, 404), (status, body)
    assert "Remote-User" not in headers


def test_upload_arrives(world, bert):
    body = os.urandom(UPLOAD_BYTES)
    status, _, answer = ask(world, bert, f"Content-Length: {len(body)}", method="POST", path="/upload", body=body)
    assert status == 200
    seen = json.loads(answer)
    assert seen["size"] == len(body) and seen["method"] == "POST"
    assert dict(seen["headers"])["Remote-User"] == "bert"


def test_upload_in_chunks_arrives(world, bert):
    body = b"".join(b"%x\r\n%s\r\n" % (65536, bytes(65536)) for _ in range(16)) + b"0\r\n\r\n"
    status, _, answer = ask(world, bert, "Transfer-Encoding: chunked", method="POST", path="/upload", body=body)
    assert status == 200
    assert json.loads(answer)["size"] == 16 * 65536


def test_upload_of_a_stranger_does_not_arrive(world):
    status, headers, _ = ask(world, {}, "Content-Length: 3", method="POST", path="/upload", body=b"a=b")
    assert status == 302
    assert "/.rolebridge/start" in headers["Location"]


@pytest.mark.parametrize("method", ["PUT", "HEAD"])
def test_other_methods(world, bert, method):
    assert ask(world, bert, "Content-Length: 0", method=method)[0] == 200
    assert ask(world, bert, "Content-Length: 0", method=method, path="/admin/")[0] == 403
    assert ask(world, {}, "Content-Length: 0", method=method)[0] == 302


def websocket(world, cookies, path="/socket"):
    connection = world.proxy.connect()
    key = base64.b64encode(os.urandom(16)).decode()
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    connection.sendall("\r\n".join([
        f"GET {path} HTTP/1.1", f"Host: app.localhost:{world.proxy.port}", f"Cookie: {cookie}",
        "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13",
        "", ""]).encode())
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(1)
        if not piece:
            break
        head += piece
    return connection, head.decode("latin-1")


def test_websocket_passes(world, bert):
    connection, head = websocket(world, bert)
    with connection:
        assert head.startswith("HTTP/1.1 101"), head
        assert "x-seen-user: bert" in head.lower()
        connection.sendall(b"hello")
        assert connection.recv(5, ) == b"hello"


def test_websocket_of_a_stranger_does_not_pass(world, bert):
    for cookies, path in (({}, "/socket"), (bert, "/admin/socket")):
        connection, head = websocket(world, cookies, path)
        with connection:
            assert not head.startswith("HTTP/1.1 101"), head
            assert "x-seen-user" not in head.lower()


def test_logout_is_seen_at_once(world):
    browser, _ = world.sign_in("bert")
    world.bridge.ctl("sessions", "end", "--user", "bert")
    assert browser.request("GET", world.application_url).status_code == 302


def test_nobody_gets_in_while_the_daemon_is_away(world):
    browser, _ = world.sign_in("root")
    cookies = browser.cookies(world.application_url)
    world.bridge.kill()
    try:
        assert ask(world, cookies)[0] in (500, 502, 503)
    finally:
        world.bridge.start()
    assert arrived(ask(world, cookies))["remote-user"] == ["root"]


@pytest.mark.parametrize("text", ["this is no Lua", "", None], ids=["not Lua", "empty", "missing"])
def test_nobody_gets_in_by_a_broken_script(world, root, text):
    """Apache's part is a script of ours."""
    if world.proxy.name != "apache":
        pytest.skip("no script here")
    script = world.proxy.folder / "rolebridge.lua"
    good = script.read_text()
    if text is None:
        script.unlink()
    else:
        script.write_text(text)
    try:
        if text != "":
            assert ask(world, root)[0] >= 500
        # Emptied, a thread may go on with what it had read before: that asks the daemon.
        for _ in range(20):
            assert ask(world, {})[0] in (302, 500, 503)
    finally:
        script.write_text(good)
