"""What only the whole configuration can say: names across sources and organizations."""
import subprocess

import pytest

from bridge import Bridge, DAEMON

BASE = """
profiles: [{name: viewer, permissions: ["accounts:read@own"]}]
policy: {default_profile: viewer}
"""
FILE = "type: ldif, path: people.ldif, key: uid"


def check(tmp_path, text):
    config = tmp_path / "rolebridge.yaml"
    config.write_text(BASE + text)
    return subprocess.run([DAEMON, "--check", config], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("text, expected", [
    (f"sources:\n  - {{name: a, {FILE}}}\n  - {{name: a, {FILE}}}\n", "source 'a' is declared twice"),
    (f"sources: [{{name: a, {FILE}, organization: nowhere}}]\n", "nowhere"),
    ("organizations: [{name: x}, {name: x}]\n", "x"),
    (f"organizations: [{{name: x, domains: [x.example]}}]\nsources: [{{name: a, {FILE}, "
     "authoritative_domains: [x.example]}]\n", "x.example"),
    (f"sources:\n  - {{name: a, {FILE}, link: {{attribute: mail, source: b}}}}\n", "link to unknown source 'b'"),
    (f"sources:\n  - {{name: a, {FILE}, link: {{attribute: mail, source: a}}}}\n", "cannot link to itself"),
    ("sources: [{name: a, type: gopher}]\n", "gopher"),
    ("control_socket: /" + "x" * 120 + "\n", "107"),
])
def test_refused(tmp_path, text, expected):
    result = check(tmp_path, text)
    assert result.returncode == 1 and " error: " in result.stderr, result
    assert expected in result.stderr, result.stderr


def test_accepted(tmp_path):
    result = check(tmp_path, f"organizations: [{{name: x, domains: [x.example]}}]\nsources:\n"
                   f"  - {{name: a, {FILE}, organization: x, authoritative_domains: [x.example]}}\n"
                   f"  - {{name: b, {FILE}, link: {{attribute: mail, source: a, other: mail}}}}\n")
    assert result.returncode == 0, result.stderr


def test_one_daemon_for_a_store(tmp_path):
    (tmp_path / "people.ldif").write_text("")
    with Bridge(BASE + f"sources: [{{name: a, {FILE}, interval: 0}}]\n") as first:
        other = first.write("other.yaml", "store: store.db\ncontrol_socket: other.sock\n" + BASE)
        result = subprocess.run([DAEMON, "--config", other], capture_output=True, text=True, check=False, timeout=60)
        assert result.returncode == 1 and "another process holds" in result.stderr, result
        assert first.ctl("status")
        first.kill()
        first.start()


@pytest.mark.parametrize("line, expected", [
    ("ca: /nonexistent/ca.pem, bind: {method: anonymous},", "/nonexistent/ca.pem"),
    ("ca: people.ldif, bind: {method: simple, dn: cn=x, password_file: /nonexistent/password},", "password file: "),
    ("ca: people.ldif, bind: {method: simple, dn: cn=x, password_file: corp.password},", "no credential 'corp.password'"),
    ("ca: people.ldif, bind: {method: gssapi, keytab: /nonexistent/keytab},", "/nonexistent/keytab"),
])
def test_files_of_a_directory_that_cannot_be_read(tmp_path, line, expected):
    """Said before the start; the start goes on without that directory, so it is a warning."""
    (tmp_path / "people.ldif").write_text("")
    line = line.replace("people.ldif", str(tmp_path / "people.ldif"))
    result = check(tmp_path, "sources: [{name: corp, type: ldap, servers: [\"ldaps://127.0.0.1:9\"], "
                             f"{line} users: {{base: dc=x}}}}]\n")
    assert result.returncode == 0, result.stderr
    assert "ok: 1 source(s)" in result.stdout and "1 warning(s)" in result.stdout, result.stdout + result.stderr
    found = [text for text in result.stderr.splitlines() if "warning:" in text]
    assert len(found) == 1 and expected in found[0] and "rolebridge.yaml:" in found[0], result.stderr
