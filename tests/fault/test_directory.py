"""Directories that refuse, hang, lie or break off: a clear error, nothing taken away, the next server, a retry."""
import time
from datetime import datetime, timezone

import pytest

from bridge import Bridge
from company import SALES_RULES, attempt
from fake_directory import CuttingProxy, FakeDirectory, Raw, SilentServer, done, entry, reference
from ports import free_port
from slapd import BASE_ENTRIES, GROUPS, PEOPLE, Authority, Slapd, group, people

RULES = SALES_RULES + """
policy:
  default_profile: viewer
  missing_runs: 1
  missing_grace: 0
  limits: {disables_min: 1000, disables_max: 1000, removals_min: 1000, group_loss_percent: 100}
"""
COUNT = 12
DIRECTORY = people(COUNT) + [group("sales", ["uid=user1", "uid=user2"])]


def config(directory, *servers, tls="", answer="20s", interval=0):
    quoted = ", ".join(f'"{server}"' for server in servers or [directory.url])
    return f"""{RULES}
sources:
  - name: corp
    type: ldap
    servers: [{quoted}]
    {tls or 'tls: none'}
    {'' if tls else 'allow_cleartext: true'}
    bind: {{method: simple, dn: "{directory.root_dn}", password_file: {directory.password_file}}}
    users: {{base: "{PEOPLE}"}}
    groups: {{base: "{GROUPS}"}}
    page_size: 5
    timeouts: {{connect: 20s, answer: {answer}}}
    interval: {interval}
    follow: {{mode: off}}
"""


@pytest.fixture(scope="module", name="directory")
def make_directory(tmp_path_factory):
    del tmp_path_factory
    with Slapd(BASE_ENTRIES + "".join(DIRECTORY), tls=True) as slapd:
        yield slapd


@pytest.fixture(scope="module", name="bridge")
def make_bridge(directory):
    with Bridge(config(directory)) as bridge:
        yield bridge


def point_at(bridge, directory, *servers, **kwargs):
    bridge.write_config(config(directory, *servers, **kwargs))
    bridge.ctl("reload")


def read(bridge):
    """A read of ours; the timer's own, if one is under way, ends first."""
    end = time.monotonic() + 60
    run = attempt(bridge, "sync", "corp")
    while run["state"] != "done" and run["error"]["code"] == "sync-running" and time.monotonic() < end:
        time.sleep(0.05)
        run = attempt(bridge, "sync", "corp")
    assert run["state"] == "done", run
    (report,) = run["reports"]
    return report


def source_status(bridge):
    (source,) = bridge.ctl("status")["sources"]
    return source


def state(bridge):
    found = {}
    for user in bridge.ctl("users", "list", "--limit", "1000")["users"]:
        shown = bridge.ctl("users", "show", user["username"])
        found[user["username"]] = (shown["profile"], tuple(shown["disabled"]),
                                   tuple(sorted((g["kind"], g["name"]) for g in shown["grants"])))
    return found


def filled(bridge, directory):
    """The state after a whole read, to which nothing may be lost."""
    point_at(bridge, directory)
    assert read(bridge)["complete"]
    expected = state(bridge)
    assert sum(1 for _, disabled, _ in expected.values() if not disabled) == COUNT
    return expected


def expect_nothing_lost(bridge, expected, *words):
    """A read that fails: said in the report and in the status, and everybody keeps what they have."""
    report = read(bridge)
    assert not report["complete"], report
    assert report["disabled"] == report["revoked"] == report["held"] == report["missing"] == 0, report
    for word in words:
        assert word in report["problem"].lower(), report["problem"]
    source = source_status(bridge)
    assert source["problem"] == report["problem"] and source["failures"] > 0, source
    assert source["last_complete"], source
    assert report["problem"][:40] in bridge.human("status").stdout
    assert state(bridge) == expected
    return report


def uid_entry(number):
    return entry(f"uid=user{number},{PEOPLE}", {"uid": [f"user{number}"], "entryUUID": [f"key-{number}"]})


# --- servers that give nothing


def test_refused_connection(bridge, directory):
    expected = filled(bridge, directory)
    url = f"ldap://127.0.0.1:{free_port()}"
    point_at(bridge, directory, url)
    expect_nothing_lost(bridge, expected, url)


def test_silence_from_the_start(bridge, directory):
    expected = filled(bridge, directory)
    with SilentServer() as silent:
        point_at(bridge, directory, silent.url, answer="1s")
        expect_nothing_lost(bridge, expected, silent.url)


def test_hang_in_mid_page(bridge, directory):
    expected = filled(bridge, directory)
    with CuttingProxy(directory.port, 1800, hang=True) as proxy:
        point_at(bridge, directory, proxy.url, answer="5s")
        report = expect_nothing_lost(bridge, expected, "no answer")
        assert report["entries"] < COUNT


def test_connection_cut_in_mid_page(bridge, directory):
    expected = filled(bridge, directory)
    for limit in (30, 600, 1200, 1800):
        with CuttingProxy(directory.port, limit) as proxy:
            point_at(bridge, directory, proxy.url)
            expect_nothing_lost(bridge, expected)


def test_wrong_certificate(bridge, directory, tmp_path):
    expected = filled(bridge, directory)
    other = Authority(tmp_path, "other").certificate
    point_at(bridge, directory, directory.ldaps_url, tls=f"ca: {other}")
    expect_nothing_lost(bridge, expected, directory.ldaps_url, "certificate")


def test_certificate_of_another_host(bridge, directory, tmp_path):
    expected = filled(bridge, directory)
    authority = Authority(tmp_path)
    certificate, key = authority.issue("elsewhere", "DNS:elsewhere.example")
    with Slapd(people(1), tls=(certificate, key, authority.certificate)) as elsewhere:
        point_at(bridge, directory, elsewhere.ldaps_url, tls=f"ca: {authority.certificate}")
        expect_nothing_lost(bridge, expected, elsewhere.ldaps_url)


def test_wrong_password(bridge, directory):
    expected = filled(bridge, directory)
    with FakeDirectory(lambda search: [done()], bind_code=49) as server:
        point_at(bridge, directory, server.url)
        report = expect_nothing_lost(bridge, expected)
        assert directory.password not in str(report)


# --- servers that give a part


@pytest.mark.parametrize("code, word", [(3, "time"), (4, "size"), (11, "limit"), (51, "busy"), (52, "unavailable"),
                                        (1, ""), (50, ""), (53, ""), (80, "")])
def test_result_codes_in_mid_read(bridge, directory, code, word):
    expected = filled(bridge, directory)

    def script(search):
        if search.cookie:
            return [done(code)]
        return [uid_entry(1), uid_entry(2), done(cookie=b"more")]
    with FakeDirectory(script) as server:
        point_at(bridge, directory, server.url)
        report = read(bridge)
    assert not report["complete"] and word in report["problem"].lower(), report
    assert report["disabled"] == report["revoked"] == report["held"] == 0, report
    after = state(bridge)
    assert {name: after[name] for name in expected} == expected
    # The server's own people are others of the same names: they wait in quarantine, or nowhere.
    assert source_status(bridge)["problem"] == report["problem"]


def test_size_limit_of_a_real_server(bridge, directory):
    expected = filled(bridge, directory)
    with Slapd(BASE_ENTRIES + "".join(DIRECTORY), sizelimit=7) as cut:
        reader = cut.root_dn  # the root DN knows no limits
        assert reader
        text = config(directory, cut.url).replace(
            f'{{method: simple, dn: "{directory.root_dn}", password_file: {directory.password_file}}}',
            "{method: anonymous}")
        bridge.write_config(text)
        bridge.ctl("reload")
        expect_nothing_lost(bridge, expected, "size")


@pytest.mark.parametrize("what, answers", [
    ("garbage", [Raw(b"\x30\x84\xff\xff\xff\xff what is this")]),
    ("an HTTP server", [Raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")]),
    ("another message id", [Raw(b"\x30\x0c\x02\x01\x63\x65\x07\x0a\x01\x00\x04\x00\x04\x00")]),
    ("a referral", [reference(), done()]),
    ("nobody", [done()]),
])
def test_answers_that_are_none(bridge, directory, what, answers):
    expected = filled(bridge, directory)
    with FakeDirectory(lambda search: answers) as server:
        point_at(bridge, directory, server.url, answer="1s")
        expect_nothing_lost(bridge, expected)


def test_a_dn_that_does_not_parse_is_quarantined(tmp_path):
    """The entry alone waits, the rest proceeds; fixed, it is read."""
    broken = [f"uid=user2,,{PEOPLE}"]

    def script(search):
        if search.base == GROUPS:
            return [done()]
        second = entry(broken[0] if broken else f"uid=user2,{PEOPLE}", {"uid": ["user2"], "entryUUID": ["key-2"]})
        return [uid_entry(1), second, uid_entry(3), done()]
    password = tmp_path / "password"
    password.touch(mode=0o600)
    password.write_text("secret")

    class Directory:
        root_dn, password_file = "cn=reader", password
    with FakeDirectory(script) as server:
        Directory.url = server.url
        with Bridge(config(Directory)) as bridge:
            report = read(bridge)
            assert report["created"] == 2 and report["quarantined"] == 1, report
            (row,) = bridge.ctl("quarantine", "list")["entries"]
            assert row["reason"] == "invalid-dn" and "user2,," in row["locator"] and row["source"] == "corp", row
            assert sorted(state(bridge)) == ["user1", "user3"]
            broken.clear()
            assert read(bridge)["created"] == 1
            assert sorted(state(bridge)) == ["user1", "user2", "user3"]


# --- the next server, the next time


@pytest.mark.parametrize("fault", ["dead", "silent", "certificate", "busy", "unavailable"])
def test_the_next_server_is_asked(bridge, directory, tmp_path, fault):
    expected = filled(bridge, directory)
    other = Authority(tmp_path, "other")
    certificate, key = other.issue("server")
    codes = {"busy": 51, "unavailable": 52}
    with SilentServer() as silent, FakeDirectory(lambda s: [done(codes[fault])]) as refusing, \
            Slapd(people(1), tls=(certificate, key, other.certificate)) as stranger:
        first = {"dead": f"ldap://127.0.0.1:{free_port()}", "silent": silent.url,
                 "certificate": stranger.ldaps_url}.get(fault, refusing.url)
        tls = f"ca: {directory.ca}" if fault == "certificate" else ""
        second = directory.ldaps_url if tls else directory.url
        point_at(bridge, directory, first, second, tls=tls, answer="10s")
        report = read(bridge)
    assert report["complete"] and report["server"] == second and report["changes_total"] == 0, report
    source = source_status(bridge)
    assert source["server"] == second and source["failures"] == 0 and source["problem"] == "", source
    assert state(bridge) == expected


def until_idle(bridge):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if not any(run["state"] == "running" for run in bridge.ctl("runs", "list")["runs"]):
            return
        time.sleep(0.02)
    raise AssertionError("a run does not end")


def until_failed(bridge):
    """The first read comes by itself."""
    end = time.monotonic() + 60
    while not source_status(bridge)["failures"]:
        assert time.monotonic() < end
        time.sleep(0.02)
    until_idle(bridge)


def expect_next(source, begun, soonest_s):
    """So much later than the last read, which ended after `begun`, or up to a tenth more; times are told in seconds."""
    when = datetime.strptime(source["next"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()
    assert begun + soonest_s - 2 <= when <= time.time() + 1.1 * soonest_s + 2, (source, begun, soonest_s)


def test_failures_are_retried_later_and_later(directory):
    """15 s, 30 s, 60 s … and never later than the interval; a whole read starts over."""
    dead = f"ldap://127.0.0.1:{free_port()}"
    begun = time.time()
    with Bridge(config(directory, dead, interval="1h")) as bridge:
        until_failed(bridge)
        before = 0
        # The first come soon: one that comes by itself meanwhile counts, too.
        while (source := source_status(bridge))["failures"] < 10:
            assert source["failures"] > before, source
            expect_next(source, begun, min(15 << (source["failures"] - 1), 3600))
            before, begun = source["failures"], time.time()
            assert not read(bridge)["complete"]
        expect_next(source, begun, 3600)
        bridge.write_config(config(directory, interval="1h"))
        bridge.ctl("reload")
        until_idle(bridge)
        begun = time.time()
        assert read(bridge)["complete"]
        source = source_status(bridge)
        assert source["failures"] == 0, source
        expect_next(source, begun, 3600)


def test_a_retry_comes_by_itself(directory):
    port = free_port()
    with Bridge(config(directory, f"ldap://127.0.0.1:{port}", interval="1s")) as bridge:
        until_failed(bridge)
        proxy = CuttingProxy(directory.port, 1 << 30)
        bridge.write_config(config(directory, proxy.url, interval="1s"))
        with proxy:
            bridge.process.send_signal(1)  # SIGHUP
            end = time.monotonic() + 60
            # It is stored that all was read a moment before it is known that nothing failed.
            while not (source := source_status(bridge))["last_complete"] or source["failures"]:
                assert time.monotonic() < end, source
                time.sleep(0.05)
            assert len(state(bridge)) == COUNT
