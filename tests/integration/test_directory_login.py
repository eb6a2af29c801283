"""Signing in with the password of a directory: OpenLDAP, 389 Directory Server and a Samba domain controller."""
import base64
import subprocess
import time

import pytest

import passwords
import slapd
import vendors
from browser import Browser
from fake_directory import ForgetfulDirectory, SilentServer
from slapd import Authority

PASSWORD = "Blue.Whale-77 (deep) *sea"
OTHER = "Green.Whale-78"


def password_lines(name, password):
    if name != "samba":
        return [f"userPassword: {password}"]
    quoted = base64.b64encode(f'"{password}"'.encode("utf-16-le")).decode()
    return [f"unicodePwd:: {quoted}"]


class Directory:
    """A branch of one of the servers, whose people have passwords, and the daemon that knows them."""

    def __init__(self, name):
        self.name = name
        self.company = vendors.branch(name)
        self.add("anna", "ben", "cleo")
        server = self.company.server
        self.url = getattr(server, "ldapi_url", server.url)

    def add(self, *names, password=PASSWORD):
        self.company.add(*(self.company.person(uid, *password_lines(self.name, password)) for uid in names))

    def sources(self, more=""):
        return "sources:\n" + self.company.source(url=self.url, more=f"interval: 0\n    login: true\n    {more}")


@pytest.fixture(scope="module", name="place", params=vendors.NAMES)
def make_place(request):
    directory = Directory(request.param)
    with passwords.world(directory.sources("login_failures: 16")) as world:
        world.directory = directory
        world.bridge.ctl("sync")
        yield world


def test_people_of_the_directory_come_in(place):
    browser, page = place.sign_in("anna", PASSWORD)
    assert page.url == place.application and page.status_code == 200, page.text
    headers = {name.lower(): value for name, value in page.json()["headers"]}
    assert headers["remote-user"] == "anna"
    login = place.rows("login")[-1]
    assert login["detail"]["source"] == "corp" and login["detail"]["by"] == "password"
    assert place.bridge.ctl("sessions", "list")["sessions"][0]["source"] == "corp"
    out = browser.submit(browser.get(place.url("/logout")))
    assert out.status_code == 200
    assert browser.request("GET", place.application).status_code in (302, 303)


def test_by_address_too(place):
    assert place.has("Anna@Example.org", PASSWORD)


@pytest.mark.parametrize("password", [OTHER, " ", PASSWORD + " ", PASSWORD.lower(), "*", "x" * 1024, "\N{SNOWMAN}"])
def test_another_password_does_not_do(place, password):
    assert not place.has("anna", password)
    assert place.rows("login.refused")[-1]["detail"]["reason"] == "wrong-password"


def test_no_password_is_none(place):
    """A directory takes a name without one for nobody, with success."""
    _, page = place.sign_in("anna", "")
    assert page.status_code == 422


@pytest.mark.parametrize("name", ["*", "anna)(uid=*", "anna*", "uid=anna,ou=people", "\\2a", "(", "nobody", "anna\\"])
def test_names_find_nobody_else(place, name):
    assert not place.has(name, PASSWORD)


def test_a_name_or_place_may_change_meanwhile(place):
    """People are found by what never changes, also before the next read."""
    company = place.directory.company
    company.rename("ben", "benjamin", f"ou=north,{company.people}")
    assert place.has("ben", PASSWORD)


def test_a_new_password_counts_at_once(place):
    place.directory.add("dora")
    place.bridge.ctl("sync")
    assert place.has("dora", PASSWORD)
    if place.directory.name == "samba":
        (_, quoted), = [line.split(":: ") for line in password_lines("samba", OTHER)]
        place.directory.company.change(place.directory.company.dn("dora"), "replace: unicodePwd",
                                       f"unicodePwd:: {quoted}")
    else:
        place.directory.company.replace("dora", "userPassword", OTHER)
    assert place.has("dora", OTHER)
    if place.directory.name != "samba":  # which takes the old one for an hour, too
        assert not place.has("dora", PASSWORD)


def test_whom_the_directory_disables_is_refused_there(place):
    """Also before we have read it, where the directory asks it itself; and once we have, by us."""
    place.directory.add("emil")
    place.bridge.ctl("sync")
    assert place.has("emil", PASSWORD)
    place.directory.company.disable("emil")
    if place.directory.name != "slapd":  # without a policy it minds nothing
        assert not place.has("emil", PASSWORD)
    place.bridge.ctl("sync")
    _, page = place.sign_in("emil", PASSWORD)
    assert page.status_code == 403
    place.directory.company.enable("emil")
    place.bridge.ctl("sync")
    assert place.has("emil", PASSWORD)


def test_who_left_is_refused(place):
    place.directory.add("fred")
    place.bridge.ctl("sync")
    place.directory.company.delete("fred")
    assert not place.has("fred", PASSWORD)


def test_whoever_is_disabled_here_is_told_so(place):
    place.bridge.ctl("users", "disable", "cleo")
    _, page = place.sign_in("cleo", PASSWORD)
    assert page.status_code == 403 and "is not right" not in page.text
    assert not place.has("cleo", OTHER)
    place.bridge.ctl("users", "enable", "cleo")
    assert place.has("cleo", PASSWORD)


def test_people_of_ours_come_in_beside(place):
    if not place.sql("SELECT 1 FROM password"):
        place.invited("gert", passwords.OTHER)
    assert place.has("gert", passwords.OTHER) and not place.has("gert", PASSWORD)


def test_directories_keep_their_passwords(place):
    """No link of ours sets one for whom a directory knows."""
    before = len(place.mail.envelopes)
    page = place.forgotten("anna")
    assert "Look into your mailbox" in page.text
    assert place.rows("password.reset.refused")[-1]["detail"]["reason"] == "managed-by-idp"
    assert len(place.mail.envelopes) == before


def test_no_password_is_kept_or_told(place):
    assert place.has("anna", PASSWORD)
    kept = b"".join(path.read_bytes() for path in place.bridge.folder.iterdir() if path.is_file())
    assert b"deep) *sea" not in kept and "deep) *sea" not in place.bridge.logged()


# --- one server, and what can go wrong with it ---

POLICY = f"""dn: cn=policy,{slapd.SUFFIX}
objectClass: device
objectClass: pwdPolicy
cn: policy
pwdAttribute: userPassword
pwdLockout: TRUE
pwdMaxFailure: 4
pwdFailureCountInterval: 1800
pwdLockoutDuration: 0

"""


def person(uid, *lines):
    return slapd.person(uid, f"userPassword: {PASSWORD}", *lines)


def source(directory, *more, servers=None, filter_text="(objectClass=inetOrgPerson)"):
    lines = "".join(f"    {line}\n" for line in more)
    return f"""sources:
  - name: corp
    type: ldap
    servers: {servers or [directory.ldapi_url]}
    bind: {{method: simple, dn: "{directory.root_dn}", password_file: {directory.password_file}}}
    users: {{base: "{slapd.PEOPLE}", key: employeeNumber, filter: "{filter_text}"}}
    interval: 0
    login: true
{lines}"""


def lets_in(directory, uid, password):
    """Does the directory itself?"""
    return subprocess.run(["ldapwhoami", "-x", "-H", directory.ldapi_url, "-D", f"uid={uid},{slapd.PEOPLE}", "-w",
                           password], capture_output=True, check=False, env={"LDAPNOINIT": "1"}).returncode == 0


def test_the_directory_never_locks_anybody_out_because_of_us():
    with slapd.Slapd([POLICY, person("anna", "employeeNumber: 1"), person("ben", "employeeNumber: 2")],
                     config=["moduleload ppolicy"],
                     mdb=["maxsize 268435456", "overlay ppolicy", f'ppolicy_default "cn=policy,{slapd.SUFFIX}"']) as real, \
            passwords.world(source(real, "login_failures: 3")) as world:
        world.bridge.ctl("sync")
        for _ in range(10):
            assert not world.has("anna", OTHER)
        reasons = [row["detail"]["reason"] for row in world.rows("login.refused")]
        assert reasons == 3 * ["wrong-password"] + 7 * ["directory-limit"]
        assert lets_in(real, "anna", PASSWORD)
        # until the first of them is old enough, not even the right one is passed on; others are not concerned
        assert not world.has("anna", PASSWORD)
        assert world.has("ben", PASSWORD)
        # right ones do not count
        for _ in range(6):
            assert world.has("ben", PASSWORD)
        figures = Browser().get(world.url("/metrics"))
        assert figures.status_code in (200, 403, 404)
    # without our limit it would have: this policy bites
        for _ in range(5):
            lets_in(real, "ben", OTHER)
        assert not lets_in(real, "ben", PASSWORD)


def test_the_limit_ends_with_its_window():
    with slapd.Slapd([person("anna", "employeeNumber: 1")]) as real, \
            passwords.world(source(real, "login_failures: 1", "login_window: 1s")) as world:
        world.bridge.ctl("sync")
        assert not world.has("anna", OTHER)
        while not world.has("anna", PASSWORD):
            assert world.rows("login.refused")[-1]["detail"]["reason"] == "directory-limit"


def test_who_is_not_one_entry_is_nobody():
    """Outside of the filter by now, or two by the same key."""
    people = [person("anna", "employeeNumber: 1"), person("ben", "employeeNumber: 2"), person("cleo", "employeeNumber: 3")]
    with slapd.Slapd(people) as real, \
            passwords.world(source(real, filter_text="(&(objectClass=inetOrgPerson)(!(title=left)))")) as world:
        world.bridge.ctl("sync")
        assert all(world.has(uid, PASSWORD) for uid in ("anna", "ben", "cleo"))
        real.modify(f"dn: uid=anna,{slapd.PEOPLE}\nchangetype: modify\nadd: title\ntitle: left\n\n")
        assert not world.has("anna", PASSWORD)
        real.add(person("double", "employeeNumber: 2"))
        assert not world.has("ben", PASSWORD)
        assert world.has("cleo", PASSWORD)


def test_a_directory_that_does_not_answer():
    with slapd.Slapd([person("anna", "employeeNumber: 1")]) as real, passwords.world(source(real)) as world:
        world.bridge.ctl("sync")
        real.stop()
        texts = []
        for name in ("anna", "nobody"):
            _, page = world.sign_in(name, PASSWORD)
            assert page.status_code == 503 and page.headers["Retry-After"]
            assert "cannot be checked" in page.text
            texts.append(page.text.count("\n"))
        assert texts[0] == texts[1]
        # ours it was not: it counts, and is told
        reasons = [row["detail"]["reason"] for row in world.rows("login.refused")]
        assert reasons == ["directory-unavailable", "wrong-password"]
        # people of ours do not need it
        world.invited("gert", passwords.PASSWORD)
        _, page = world.sign_in("gert", passwords.PASSWORD)
        assert page.url == world.application
        real.start()
        assert world.has("anna", PASSWORD)


def test_guesses_count_while_the_directory_is_away():
    """Else people of ours could be guessed at for nothing; and all names are answered alike."""
    with slapd.Slapd([person("anna", "employeeNumber: 1")]) as real, passwords.world(source(real)) as world:
        world.bridge.ctl("sync")
        world.invited("gert")
        text = world.bridge.config.read_text()
        world.bridge.config.write_text(text.replace("throttle: {attempts: 100,",
                                                    "throttle: {attempts: 3, delay: 1h, delay_max: 1h,"))
        world.bridge.ctl("reload")
        real.stop()
        for name in ("gert", "anna", "nobody"):
            statuses = [world.sign_in(name, OTHER)[1].status_code for _ in range(4)]
            assert statuses == [503, 503, 503, 429], name
        reasons = [row["detail"]["reason"] for row in world.rows("login.refused")]
        assert reasons.count("wrong-password") == 6 and reasons.count("directory-unavailable") == 3


def test_what_the_directory_may_have_counted_counts():
    """A bind that is not answered was sent all the same: no more of them than wrong passwords."""
    with slapd.Slapd([person("anna", "employeeNumber: 1")]) as real, passwords.world(source(real, "login_failures: 3")) as world, \
            ForgetfulDirectory(world.bridge.folder / "ldapi", f"uid=anna,{slapd.PEOPLE}", "1") as forgetful:
        world.bridge.ctl("sync")
        text = world.bridge.config.read_text()
        world.bridge.config.write_text(text.replace(str([real.ldapi_url]), str([forgetful.url])))
        world.bridge.stop()
        world.bridge.start()
        # On a slow machine it is taken for silent, and rests meanwhile: then nothing is sent.
        end = time.monotonic() + 120
        while (status := world.sign_in("anna", OTHER)[1].status_code) == 503:
            assert time.monotonic() < end and forgetful.binds <= 3
        assert (status, forgetful.binds) == (403, 3)
        assert world.rows("login.refused")[-1]["detail"]["reason"] == "directory-limit"
        assert world.sign_in("anna", OTHER)[1].status_code == 403 and forgetful.binds == 3


def test_a_directory_that_is_silent():
    """Whoever waited for it tells the others: none of them is made to wait."""
    with slapd.Slapd([person("anna", "employeeNumber: 1")]) as real, SilentServer() as silent, \
            passwords.world(source(real)) as world:
        world.bridge.ctl("sync")
        text = world.bridge.config.read_text()
        url = f'"ldap://127.0.0.1:{silent.port}"'
        ca = Authority(world.bridge.folder).certificate
        world.bridge.config.write_text(text.replace(f"servers: {[real.ldapi_url]}", f"servers: [{url}]") +
                                       f"    ca: {ca}\n    timeouts: {{answer: 2s}}\n")
        world.bridge.stop()
        world.bridge.start()
        for _ in range(20):
            before = len(silent.connections)
            _, page = world.sign_in("anna", PASSWORD)
            assert page.status_code == 503 and "cannot be checked" in page.text
            if len(silent.connections) == before:
                return
        pytest.fail("each of them was made to wait")


def test_one_that_is_silent_keeps_nobody_from_the_others():
    """Who is known to none is asked about at the first, which then rests."""
    with slapd.Slapd([person("anna", "employeeNumber: 1")]) as real, SilentServer() as silent, \
            passwords.world(source(real)) as world:
        world.bridge.ctl("sync")
        text = world.bridge.config.read_text()
        ca = Authority(world.bridge.folder).certificate
        first = source(real, f"ca: {ca}", "timeouts: {answer: 2s}", servers=[f"ldap://127.0.0.1:{silent.port}"])
        world.bridge.config.write_text(text.replace("sources:\n", first.replace("name: corp", "name: silent")))
        world.bridge.stop()
        world.bridge.start()
        _, page = world.sign_in("nobody", PASSWORD)
        assert page.status_code == 503
        assert world.has("anna", PASSWORD)


def test_the_next_server_is_asked_when_one_is_silent():
    with slapd.Slapd([person("anna", "employeeNumber: 1")], tls=True) as real, SilentServer() as silent, \
            passwords.world(source(real, f"ca: {real.ca}", servers=[real.url])) as world:
        world.bridge.ctl("sync")
        text = world.bridge.config.read_text()
        url = f"ldap://127.0.0.1:{silent.port}"
        world.bridge.config.write_text(text.replace(f"servers: {[real.url]}", f"servers: {[url, real.url]}"))
        world.bridge.stop()
        world.bridge.start()
        assert world.has("anna", PASSWORD)


def test_the_next_server_is_asked():
    with slapd.Slapd([person("anna", "employeeNumber: 1")]) as real, \
            passwords.world(source(real, servers=["ldapi://%2Fnone", real.ldapi_url])) as world:
        world.bridge.ctl("sync")
        assert world.has("anna", PASSWORD) and not world.has("anna", OTHER)


def test_over_tls_and_never_without():
    with slapd.Slapd([person("anna", "employeeNumber: 1")], tls=True) as real, \
            passwords.world(source(real, f"ca: {real.ca}", servers=[real.url])) as world:
        world.bridge.ctl("sync")
        assert world.has("anna", PASSWORD) and not world.has("anna", OTHER)
        text = world.bridge.config.read_text()
        world.bridge.config.write_text(text + "    tls: none\n    allow_cleartext: true\n")
        checked = world.bridge.run("check")
        assert checked.returncode != 0 and "people's passwords" in checked.stdout + checked.stderr


def test_switched_off_it_takes_none():
    with slapd.Slapd([person("anna", "employeeNumber: 1")]) as real, passwords.world(source(real)) as world:
        world.bridge.ctl("sync")
        browser, page = world.sign_in("anna", PASSWORD)
        assert page.status_code == 200
        text = world.bridge.config.read_text()
        world.bridge.config.write_text(text.replace("login: true", "login: false"))
        world.bridge.stop()
        world.bridge.start()
        assert not world.has("anna", PASSWORD)
        assert browser.request("GET", world.application).status_code in (200, 302, 303)


def test_without_passwords_of_ours():
    """The form is there for the directory alone, and nobody is told of forgotten ones."""
    with slapd.Slapd([person("anna", "employeeNumber: 1")]) as real, passwords.world(source(real)) as world:
        text = world.bridge.config.read_text()
        world.bridge.config.write_text(text.replace("passwords: {enabled: true", "passwords: {enabled: false"))
        world.bridge.stop()
        world.bridge.start()
        world.bridge.ctl("sync")
        page = Browser().get(world.url("/login"))
        assert 'type="password"' in page.text and "Forgotten" not in page.text
        assert world.has("anna", PASSWORD) and not world.has("anna", OTHER) and not world.has("nobody", PASSWORD)
