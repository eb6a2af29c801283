"""Listeners that cannot be had: everything else works, an alarm says so, and they are there as soon as they can be."""
import os
import socket
import time

import pytest
import requests

from bridge import Bridge
from ports import free_port
from web import Authority

CONFIG = """
public_url: "http://127.0.0.1:{port}"
listeners: [{{address: "127.0.0.1:{port}"}}, {{address: "127.0.0.1:{other}"}}]
profiles: [{{name: administrator, permissions: ["*:*@all"]}}]
"""
TLS = """
public_url: "https://localhost:{port}"
listeners: [{{address: "127.0.0.1:{port}", certificate: "{folder}/web.crt", private_key: "{folder}/web.key"}}]
profiles: [{{name: administrator, permissions: ["*:*@all"]}}]
"""


def alarms(bridge):
    return {a["subject"]: a["text"] for a in bridge.ctl("alarms", "list")["alarms"] if a["kind"] == "listener"}


def until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def answers(url, **options):
    try:
        return requests.get(url + "/healthz", timeout=60, **options).status_code == 200
    except requests.ConnectionError:
        return False


def test_an_address_that_is_taken():
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port, other = taken.getsockname()[1], free_port()
        with Bridge(CONFIG.format(port=port, other=other)) as bridge:
            # The one that can be had is there, and everything else. Commands are answered a moment before.
            until(lambda: list(alarms(bridge)) == [f"127.0.0.1:{port}"])
            until(lambda: answers(f"http://127.0.0.1:{other}"))
            assert bridge.logged().count("listen.failed") == 1
            taken.close()
            until(lambda: not alarms(bridge))
            assert answers(f"http://127.0.0.1:{port}")
            assert bridge.stop() == 0


def test_an_address_that_is_given_up():
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port, other = taken.getsockname()[1], free_port()
        with Bridge(CONFIG.format(port=port, other=other)) as bridge:
            until(lambda: list(alarms(bridge)) == [f"127.0.0.1:{port}"])
            assert bridge.stop() == 0
            bridge.write_config(CONFIG.format(port=other, other=free_port()))
            bridge.start()
            until(lambda: not alarms(bridge))


def test_a_certificate_that_is_none(tmp_path):
    port = free_port()
    (tmp_path / "web.crt").write_text("not yet\n")
    (tmp_path / "web.key").write_text("not yet\n")
    config = TLS.format(port=port, folder=tmp_path)
    with Bridge(config) as bridge:
        until(lambda: f"127.0.0.1:{port}" in alarms(bridge))
        bridge.ctl("users", "create", "anna", "--profile", "administrator")
        if os.geteuid() == 0:
            # Root gets in all the same.
            made = bridge.ctl("login-link", "anna")
            assert made["local"] is True
            page = requests.post(made["url"], allow_redirects=False, timeout=60)
            assert page.status_code == 303
        authority = Authority(tmp_path)
        certificate, key = authority.issue("web")
        key.rename(tmp_path / "web.key")
        certificate.rename(tmp_path / "web.crt")
        bridge.ctl("reload")
        until(lambda: not alarms(bridge))
        assert answers(f"https://localhost:{port}", verify=str(authority.certificate))


@pytest.mark.skipif(os.geteuid() != 0, reason="such links are root's")
def test_none_that_answers():
    with socket.create_server(("127.0.0.1", free_port())) as taken, socket.create_server(("127.0.0.1", free_port())) as other:
        with Bridge(CONFIG.format(port=taken.getsockname()[1], other=other.getsockname()[1])) as bridge:
            until(lambda: len(alarms(bridge)) == 2)
            bridge.ctl("users", "create", "anna", "--profile", "administrator")
            made = bridge.ctl("login-link", "anna")
            assert made["local"] is True
            assert requests.get(made["url"], timeout=60).status_code == 200
