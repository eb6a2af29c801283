"""Directories behind a domain's SRV records, with a name server of the test's own."""
from pathlib import Path

import name_server
from slapd import BASE_ENTRIES, Authority, Slapd
from test_follow import Followed, attribute, config, people

DOMAIN = "_ldap._tcp.corp.test"


def entries():
    return BASE_ENTRIES + "".join(entry.rstrip("\n") + f"\nentryUUID: 00000000-0000-4000-8000-{i:012d}\n\n"
                                  for i, entry in enumerate(people()))


def test_servers_of_a_domain(tmp_path):
    """Followed by priority, over to the next when one dies, and to one that DNS names only then."""
    if name_server.run_inside(Path(__file__), "test_servers_of_a_domain"):
        return
    name_server.use_loopback(tmp_path)
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server", "DNS:dc1.corp.test,DNS:dc2.corp.test,DNS:dc3.corp.test")
    tls = (certificate, key, authority.certificate)

    def url(number, server):
        return f"ldap://dc{number}.corp.test:{server.port}"

    with name_server.Names() as names, Slapd(entries(), syncprov=True, tls=tls) as first, \
            Slapd(entries(), syncprov=True, tls=tls) as second:
        names.address = {f"dc{n}.corp.test": "127.0.0.1" for n in (1, 2, 3)}
        names.service[DOMAIN] = [(20, 0, second.port, "dc2.corp.test"), (10, 0, first.port, "dc1.corp.test")]
        text = config("ldap+srv://corp.test", ca=authority.certificate, password=first.password_file)
        with Followed(text) as bridge:
            bridge.connected()
            assert bridge.follow()["server"] == url(1, first), bridge.follow()
            first.modify(attribute("u5", "add: title\ntitle: engineer\n-"))
            second.modify(attribute("u5", "add: title\ntitle: engineer\n-"))
            bridge.until(lambda: bridge.roles("u5") == {"support"}, "followed")
            first.kill()
            bridge.until(lambda: bridge.follow()["connected"] and bridge.follow()["server"] == url(2, second),
                         "on the second server")
            second.modify(attribute("u6", "add: title\ntitle: engineer\n-"))
            bridge.until(lambda: bridge.roles("u6") == {"support"}, "followed there")
            with Slapd(entries(), syncprov=True, tls=tls) as third:
                names.service[DOMAIN] = [(10, 0, third.port, "dc3.corp.test")]
                second.kill()
                bridge.until(lambda: bridge.follow()["connected"] and bridge.follow()["server"] == url(3, third),
                             "on the server that DNS names now")
                # The directory's word as it is there: the two were no engineers.
                bridge.until(lambda: bridge.roles("u5") == bridge.roles("u6") == set(), "read there")
                assert (DOMAIN, name_server.SRV) in names.asked
                # Nothing is named any more: said so, nobody loses anything, and the next answer is used.
                del names.service[DOMAIN]
                third.stop()
                bridge.until(lambda: "cannot resolve" in bridge.follow()["problem"], "no such name")
                assert all(not bridge.shown(f"u{i}")["disabled"] for i in range(10))
                third.start()
                names.service[DOMAIN] = [(10, 0, third.port, "dc3.corp.test")]
                bridge.connected()
                assert bridge.follow()["server"] == url(3, third)


def test_a_host_that_the_certificate_does_not_name(tmp_path):
    """DNS may say what it likes: who answers must be who was named."""
    if name_server.run_inside(Path(__file__), "test_a_host_that_the_certificate_does_not_name"):
        return
    name_server.use_loopback(tmp_path)
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server", "DNS:dc1.corp.test")
    with name_server.Names() as names, \
            Slapd(entries(), syncprov=True, tls=(certificate, key, authority.certificate)) as directory:
        names.address = {"elsewhere.test": "127.0.0.1", "dc1.corp.test": "127.0.0.1"}
        names.service[DOMAIN] = [(10, 0, directory.port, "elsewhere.test")]
        text = config("ldap+srv://corp.test", ca=authority.certificate, password=directory.password_file)
        with Followed(text) as bridge:
            bridge.until(lambda: "tls-failed" in bridge.follow()["problem"], "not who was named")
            assert bridge.ctl("users", "list")["users"] == []
            names.service[DOMAIN] = [(10, 0, directory.port, "dc1.corp.test")]
            bridge.connected()
            assert bridge.shown("u1")["profile"] == "manager"
