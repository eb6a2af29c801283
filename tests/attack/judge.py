"""The judge as a process: settings and messages in, verdicts out (tests/tools/saml_judge.c)."""
import json
import os
import subprocess
from pathlib import Path

import forge as f

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("ROLEBRIDGE_BUILD", ROOT / "build")).resolve()
TOOL = BUILD / "tools" / "saml_judge"

WANTED = ["cn", "displayName", "eduPersonPrincipalName", "employeeNumber", "givenName", "mail", "ou", "sn",
          "title", "uid"]
GROUPS = ["r&d", "sales", "nobody", "group-03 of the whole company"]


class Judge:
    def __init__(self, forge):
        self.forge = forge
        self.process = subprocess.Popen([TOOL], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def close(self):
        self.process.stdin.close()
        status = self.process.wait(60)
        self.process.stdout.close()
        assert status == 0, f"saml_judge ended with {status}"

    def settings(self, facts):
        """Lines that stand before a message. facts: what differs from the usual."""
        forge = self.forge
        known = {"idp": forge.idp, "sp": forge.sp, "acs": forge.acs, "slo": forge.slo, "now": forge.now}
        lists = {"keys": ["idp"], "decrypt": ["sp"], "requests": [forge.request], "attributes": WANTED,
                 "groups": GROUPS}
        lines = ["reset"]
        for name, value in {**known, **facts}.items():
            if name in lists:
                lists[name] = value
            elif isinstance(value, (list, tuple)):
                lines += [f"set {name} {item}" for item in value]
            else:
                lines.append(f"set {name} {int(value) if isinstance(value, bool) else value}")
        lines += [f"key {forge.path(name + '.der')}" for name in lists["keys"]]
        lines += [f"decrypt {forge.path(name + '.key')}" for name in lists["decrypt"]]
        lines += [f"request {name}" for name in lists["requests"]]
        lines += [f"attribute {n} {n}" if isinstance(n, str) else f"attribute {n[0]} {n[1]}"
                  for n in lists["attributes"]]
        lines += [f"group {i} {name}" for i, name in enumerate(lists["groups"], 1)]
        return lines

    def judge(self, kind, message, facts=None, count=1):
        """The verdict; with count > 1 also what all of them cost."""
        head = "\n".join(self.settings(facts or {}) + [f"judge {kind} {count} {len(message)}\n"])
        self.process.stdin.write(head.encode() + message + b"\n")
        self.process.stdin.flush()
        verdict = self.read()
        return (verdict, self.read()) if count > 1 else verdict

    def read(self):
        line = self.process.stdout.readline()
        assert line, f"saml_judge died: {self.process.wait(60)}"
        return json.loads(line)
