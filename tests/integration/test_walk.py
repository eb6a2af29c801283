"""The walk of rolebridge-admin(7), typed as it is printed, at the company of the demonstration.

A line `$ command` is run; `$ cat FILE` and what follows make a file; a word in capitals is copied from the answer before
it. A command ends with status 0, or as the comment behind it says: `# 1: code`.
"""
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from bridge import CTL, ROOT, Bridge

PAGE = ROOT / "daemon/cli/rolebridge-admin.7"
DEMO = ROOT / "config/demo"
FILES = ("directory.ldif", "hr.csv", "rules.yaml")
COPIED = {"ID": "id", "PLAN": "plan", "TOKEN": "token"}


def literals(text):
    """The lines of each literal that shows commands."""
    found = re.findall(r"(?ms)^\.Bd -literal\n(.*?)^\.Ed$", text)
    return [one.replace("\\e", "\\").splitlines() for one in found if one.startswith("$ ")]


def steps(lines):
    """(what is typed, lines below it)."""
    found = []
    for line in lines:
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif found[-1][0].endswith("\\"):
            found[-1] = (found[-1][0][:-1] + line.strip(), [])
        else:
            found[-1][1].append(line)
    return found


def find(answer, key):
    """The first value of this key, however deep."""
    if isinstance(answer, dict):
        if isinstance(answer.get(key), str) and answer[key]:
            return answer[key]
        answer = list(answer.values())
    for item in answer if isinstance(answer, list) else []:
        if (found := find(item, key)) is not None:
            return found
    return None


class Typist:
    def __init__(self, bridge):
        self.bridge, self.answer, self.commands = bridge, None, []

    def type(self, typed, below):
        words = shlex.split(typed, comments=True)
        if words[0] == "cat":
            self.bridge.write(words[1], "".join(line + "\n" for line in below))
            return
        assert words[0] == "rolebridgectl" and not below, typed
        words = [find(self.answer, COPIED[word]) if word in COPIED else word for word in words[1:]]
        status, code = re.search(r"# (\d): (.*)|$", typed).groups()
        for how in ([], ["--json"]) if words[:1] == ["status"] else (["--json"],):
            done = subprocess.run([CTL, "--config", self.bridge.config, *how, *words], cwd=self.bridge.folder,
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == int(status or 0), (typed, words, done)
        assert not code or " " in code or code in done.stdout, (typed, done)
        self.commands.append(words)
        try:
            self.answer = json.loads(done.stdout)
        except ValueError:
            self.answer = None


@pytest.fixture(scope="module", name="bridge")
def company():
    config = re.sub(r"(?m)^(store|control_socket):.*\n", "", (DEMO / "rolebridge.yaml").read_text())
    with Bridge(config, {name: (DEMO / name).read_text() for name in FILES}) as bridge:
        bridge.ctl("sync", "corp")
        bridge.ctl("sync", "hr")
        (held,) = bridge.ctl("plans", "list")["plans"]
        bridge.ctl("apply", held["id"])
        yield bridge


def test_walk(bridge):
    typist = Typist(bridge)
    for lines in literals(PAGE.read_text()):
        for typed, below in steps(lines):
            typist.type(typed, below)
    assert len(typist.commands) > 40
