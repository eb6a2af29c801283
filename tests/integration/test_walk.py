"""The walk of rolebridge-admin(7), typed as it is printed, at the company of the demonstration.

A line `$ command` is run; `$ cat FILE` and what follows make a file; a word in capitals is copied from the answer before
it. A command ends with status 0, or as the comment behind it says: `# 1: code`.
"""
import base64
import json
import re
import shlex
import ssl
import subprocess

import pytest

from bridge import CTL, ROOT, Bridge
from idp import make_key
from mail_server import MailServer
from ports import free_port

PAGE = ROOT / "daemon/cli/rolebridge-admin.7"
DEMO = ROOT / "config/demo"
FILES = ("directory.ldif", "hr.csv", "rules.yaml")
OPERATORS = {"apply", "backup", "check", "login-link", "plan", "plans", "quarantine", "reload", "restore", "restored",
             "runs", "sessions", "sync"}
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


# What a company has that makes more of it than the demonstration does.
MORE = """
public_url: http://127.0.0.1:{web}
listeners: ["127.0.0.1:{web}"]
mail: {{url: "smtp://127.0.0.1:{mail}", from: bridge@nordwind.example}}
passwords: {{enabled: true}}
saml: {{certificate: "{folder}/sp.crt", private_key: "{folder}/sp.key"}}
organizations: [{{name: partners}}]
"""
METADATA = """<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://idp.nordwind.example">
<IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"><KeyDescriptor use="signing">
<KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>{certificate}</X509Certificate></X509Data>
</KeyInfo></KeyDescriptor><SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
Location="https://idp.nordwind.example/sso"/></IDPSSODescriptor></EntityDescriptor>
"""


@pytest.fixture(scope="module", name="bridge")
def company(tmp_path_factory):
    folder = tmp_path_factory.mktemp("company")
    make_key(folder, "sp")
    certificate = ssl.PEM_cert_to_DER_cert((folder / "sp.crt").read_text())
    (folder / "idp.xml").write_text(METADATA.format(certificate=base64.b64encode(certificate).decode()))
    config = re.sub(r"(?m)^(store|control_socket):.*\n", "", (DEMO / "rolebridge.yaml").read_text())
    with MailServer() as mail, Bridge(config + MORE.format(web=free_port(), mail=mail.port, folder=folder),
                                      {name: (DEMO / name).read_text() for name in FILES}, folder) as bridge:
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
    # Nothing that people do by hand is left out; what the operator of the daemon does has its own manual.
    listed = subprocess.run([CTL, "--help"], capture_output=True, text=True, timeout=60, check=True).stdout
    groups = set(re.findall(r"(?m)^  ([a-z][a-z-]*) ", listed)) - OPERATORS
    assert groups - {words[0] for words in typist.commands} == set()
