"""Links by hand on a directory that is followed, and on one that is only asked."""
import pytest

from test_follow import Followed, attribute, config, make_directory  # noqa: F401 (a fixture)


@pytest.mark.parametrize("mode", ["auto", "off"])
def test_link_is_read_at_once_on_request(directory, mode):
    text = config(directory.url, password=directory.password_file, more="interval: 0" if mode == "off" else "")
    with Followed(text.replace("mode: auto", f"mode: {mode}")) as bridge:
        if mode == "off":
            assert bridge.ctl("sync", "corp")["state"] == "done"
        else:
            bridge.connected()
        directory.modify(attribute("u5", "add: title\ntitle: engineer\n-"))
        assert bridge.ctl("sync", "--user", "u5")["state"] == "done"
        shown = bridge.ctl("users", "show", "u5")
        identity, = shown["identities"]
        assert bridge.roles("u5") == {"support"}
        freed = bridge.ctl("users", "unlink", "u5", "corp", identity["key"])
        assert freed["identities"] == [] and freed["id"] == shown["id"] and bridge.roles("u5") == set()
        # Whoever else changes there, this one is not linked again.
        directory.modify(attribute("u5", "add: description\ndescription: x\n-"))
        directory.modify(attribute("u6", "add: title\ntitle: engineer\n-"))
        assert bridge.ctl("sync", "corp")["state"] == "done"
        assert bridge.ctl("users", "show", "u5")["identities"] == [] and bridge.roles("u6") == {"support"}
        assert [e["reason"] for e in bridge.ctl("quarantine", "list")["entries"]] == ["username-taken"]
        bridge.ctl("users", "link", "u5", "corp", identity["key"])
        run = bridge.ctl("sync", "--user", "u5")
        assert run["state"] == "done", run
        assert bridge.roles("u5") == {"support"}
        assert bridge.ctl("users", "show", "u5")["identities"][0]["read"]
