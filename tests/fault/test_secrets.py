"""The bind password is seen nowhere: log, store, answers, arguments and environment of all processes."""
import base64
import json
import re
import subprocess
import time
from pathlib import Path
from threading import Event, Thread

import pytest

from bridge import CTL, DAEMON, Bridge
from company import SALES_RULES
from fake_directory import CuttingProxy, FakeDirectory, SilentServer, done
from ports import free_port
from slapd import BASE_ENTRIES, GROUPS, PEOPLE, Slapd, group, people

PASSWORD = "S3cret-that-nobody-may-see"
RULES = SALES_RULES + """
policy:
  default_profile: viewer
"""


def config(directory, *servers, password_file, level="debug", answer="20s"):
    quoted = ", ".join(f'"{server}"' for server in servers)
    return f"""log_level: {level}
{RULES}
sources:
  - name: corp
    type: ldap
    servers: [{quoted}]
    tls: none
    allow_cleartext: true
    bind: {{method: simple, dn: "cn=reader,dc=example,dc=org", password_file: {password_file}}}
    users: {{base: "{PEOPLE}"}}
    groups: {{base: "{GROUPS}"}}
    timeouts: {{connect: 20s, answer: {answer}}}
    interval: 0
"""


def forms(secret):
    """As it is, and as it might have been written down."""
    raw = secret.encode()
    return {raw, base64.b64encode(raw).rstrip(b"="), raw.hex().encode(), raw[1:], secret.encode("utf-16-le")}


def processes(root):
    """A process and all below it."""
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                waiting += [int(word) for word in task.read_text().split()]
            except OSError:
                pass
    return found


class Watch(Thread):
    """Arguments and environments of a daemon and its workers while something runs."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.over, self.workers, self.seen = pid, Event(), set(), {}

    def run(self):
        while not self.over.is_set():
            for pid in processes(self.pid):
                if pid != self.pid:
                    self.workers.add(pid)
                for name in ("cmdline", "environ"):
                    try:
                        self.seen.setdefault((pid, name), set()).add(Path(f"/proc/{pid}/{name}").read_bytes())
                    except OSError:
                        pass  # gone, or not ours to see
            time.sleep(0.001)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


@pytest.fixture(name="directory")
def make_directory():
    reader = ("dn: cn=reader,dc=example,dc=org\nobjectClass: person\ncn: reader\nsn: reader\n"
              f"userPassword: {PASSWORD}\n\n")
    entries = BASE_ENTRIES + reader + "".join(people(400)) + group("sales", ["uid=user1"])
    acls = ["to attrs=userPassword by anonymous auth by * none",
            'to * by dn.exact="cn=reader,dc=example,dc=org" read by * none']
    with Slapd(entries, acls=acls) as slapd:
        yield slapd


def everything_said(bridge):
    """What each command answers, in both forms."""
    commands = [["status"], ["users", "list"], ["users", "show", "user1"], ["why", "user1"], ["audit", "list"],
                ["audit", "export"], ["runs", "list"], ["plans", "list"], ["alarms", "list"],
                ["quarantine", "list"], ["rules", "list"], ["rules", "show", "sales"], ["plan", "corp"],
                ["check", bridge.config], ["reload"]]
    text = []
    for words in commands:
        for answer in (bridge.run(*words), bridge.human(*words)):
            text += [answer.stdout, answer.stderr]
    return text


def test_bind_password_is_seen_nowhere(directory, tmp_path):
    password_file = tmp_path / "password"
    password_file.touch(mode=0o600)
    password_file.write_text(PASSWORD)
    said = []
    with Bridge(config(directory, directory.url, password_file=password_file)) as bridge, \
            SilentServer() as silent, FakeDirectory(lambda search: [done()], bind_code=49) as refusing, \
            CuttingProxy(directory.port, 300) as cutting, Watch(bridge.process.pid) as watch:
        whole = bridge.run("sync", "corp")
        (report,) = json.loads(whole.stdout)["reports"]
        assert report["complete"] and report["created"] == 400, report
        said.append(whole.stdout)
        for server in (refusing.url, cutting.url, silent.url, f"ldap://127.0.0.1:{free_port()}"):
            bridge.write_config(config(directory, server, password_file=password_file, answer="1s"))
            said += [bridge.run("reload").stdout, bridge.run("sync", "corp").stdout, bridge.human("sync").stderr]
        said += everything_said(bridge)
        environment = Path(f"/proc/{bridge.process.pid}/environ").read_bytes()
        kept = [path for path in bridge.folder.rglob("*") if path.is_file()]
        assert {bridge.config, bridge.log, bridge.folder / "store.db"} <= set(kept)
        held = {str(path): path.read_bytes() for path in kept}
        assert bridge.stop() == 0
        held["log"] = bridge.logged().encode()
        held["store after the end"] = (bridge.folder / "store.db").read_bytes()
    assert watch.workers, "the worker was seen"
    places = {**held, "environment": environment, "answers": "\0".join(said).encode(),
              **{f"{name} of process {pid}": b"\0".join(texts) for (pid, name), texts in watch.seen.items()}}
    for place, content in places.items():
        for form in forms(PASSWORD):
            assert form not in content, f"{form!r} in {place}"


def test_words_of_the_password_in_a_mistake_are_not_repeated(tmp_path):
    """A password file that is refused is named; what stands in it is not."""
    password_file = tmp_path / "password"
    password_file.write_text(PASSWORD)
    password_file.chmod(0o644)
    with FakeDirectory(lambda search: [done()]) as server, \
            Bridge(config(None, server.url, password_file=password_file)) as bridge:
        answer = bridge.run("sync", "corp")
        assert str(password_file) in answer.stdout
        for text in (answer.stdout, answer.stderr, bridge.logged(), bridge.human("status").stdout):
            assert PASSWORD not in text


def usage(*words):
    return subprocess.run([*words, "--help"], capture_output=True, text=True, check=True, timeout=60).stdout


def test_programs_take_no_secret_as_argument():
    """Arguments are for everybody to see: none of any command is a secret, but a file may be named that holds one."""
    commands = re.findall(r"^  ((?:[a-z][a-z-]* )*[a-z][a-z-]*)", usage(CTL).partition("\n\n")[2], re.MULTILINE)
    texts = [usage(DAEMON), usage(CTL), *(usage(CTL, *command.split()) for command in commands)]
    arguments = {word for text in texts for word in re.findall(r"--[a-z][a-z-]*|\b[A-Z][A-Z-]+\b", text)}
    assert len(commands) > 100 and {"--config", "--lifetime", "USERNAME"} <= arguments, (commands, arguments)
    assert not [word for word in arguments if re.search("pass(word|phrase)|secret|pin|code", word.lower())
                and not word.lower().endswith("-file")], arguments
