"""The service unit lets the daemon do what it does at start, and no more."""
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UNIT = [line.split("=", 1) for line in (ROOT / "systemd/rolebridged.service").read_text().splitlines()
        if "=" in line and not line.startswith("#")]
DEFAULTS = json.loads((ROOT / "schemas/config.schema.json").read_text())["properties"]


def settings(name):
    return [value for key, value in UNIT if key == name]


def named_after_bars():
    filters = settings("SystemCallFilter")
    barred = max(i for i, text in enumerate(filters) if text.startswith("~"))
    return " ".join(filters[barred + 1:]).split()


def test_control_socket_can_be_given_to_its_group():
    """Without the group chown() is refused; without the call in the filter the daemon is killed for it."""
    group = DEFAULTS["control_group"]["default"]
    assert group in " ".join(settings("SupplementaryGroups")).split()
    assert f"g {group} -" in (ROOT / "systemd/sysusers.d/rolebridge.conf").read_text().splitlines()
    assert "chown" in named_after_bars(), "@privileged bars it: it must be named after that"


def test_hashing_can_step_back():
    assert "setpriority" in (ROOT / "daemon/auth/hasher.c").read_text()
    assert "setpriority" in named_after_bars(), "@resources bars it: the daemon would be killed for it"


def test_default_paths_are_the_units():
    assert DEFAULTS["control_socket"]["default"] == f"/run/{settings('RuntimeDirectory')[0]}/control.sock"
    assert Path(DEFAULTS["store"]["default"]).parent == Path("/var/lib") / settings("StateDirectory")[0]


def test_workers_can_lock_themselves_up():
    assert "seccomp" in " ".join(settings("SystemCallFilter")).split()
    assert settings("ProtectProc") != ["noaccess"] and not settings("ProcSubset"), "/proc/self/exe is executed"
    assert not settings("PrivateUsers"), "peers of the control socket would all be nobody"
    assert settings("LimitCORE") == ["0"]
