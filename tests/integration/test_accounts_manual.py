"""What the accounts helper says of itself and what its manual says are the same."""

import re
import subprocess
from pathlib import Path

from accounts_tree import HELPER

ROOT = Path(__file__).resolve().parents[2]
MANUAL = (ROOT / "daemon/accounts/rolebridge-accounts.8").read_text(encoding="utf-8")


def run(*options):
    return subprocess.run([HELPER, *options], capture_output=True, text=True, check=False)


def test_every_key_and_its_default_is_in_the_manual():
    shown = re.findall(r"^#(\w+) =(?: (.*))?$", run("--print-config").stdout, re.MULTILINE)
    told = re.findall(r"^\.It Ic (\w+)(?: Pq (.*))?$", MANUAL, re.MULTILINE)
    assert len(shown) > 15 and told == shown


def test_every_answer_is_in_the_manual():
    source = (ROOT / "daemon/accounts/protocol.c").read_text(encoding="utf-8")
    codes = re.findall(r'\{ "([a-z-]+)", ACCOUNTS_(?:AGAIN|REFUSED)', source)
    assert len(codes) > 20 and re.findall(r"^\.It Cm (.*)$", MANUAL, re.MULTILINE) == codes


def test_every_option_is_in_the_manual():
    options = set(re.findall(r"--([a-z-]+)", run("--help").stdout))
    assert options == set(re.findall(r"^\.It Fl (?:\w , )?-([a-z-]+)", MANUAL, re.MULTILINE))
    assert run("--version").stdout.startswith("rolebridge-accounts ")
    assert run("--nothing").returncode == run("x").returncode == 2


def test_check_says_what_is_wrong(tmp_path):
    file = tmp_path / "accounts.conf"
    file.write_text(run("--print-config").stdout + "core_user = 0\n", encoding="utf-8")
    file.chmod(0o644)
    done = run("--config", str(file), "--check")
    assert (done.returncode, done.stderr) == (0, "")
    file.write_text("core_user = 0\n\nuid_mim = 3\n", encoding="utf-8")
    done = run("--config", str(file), "--check")
    assert done.returncode == 1 and done.stderr == f"{file}:3: unknown key 'uid_mim', did you mean 'uid_min'?\n"
    file.write_text("core_user = nobody-of-that-name\n", encoding="utf-8")
    assert "there is no user" in run("--config", str(file), "--check").stderr
