"""A machine of one's own, as far as accounts go: a mount namespace with its own /etc and /home, in which the accounts helper
and sshd run. The rest, /tmp too, is the real machine's.

    with Machine(folder) as machine:
        machine.start_helper(); machine.start_sshd(...)
        machine.run(["id", "ada"])
"""
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import accounts_tree
from bridge import BUILD
from ports import free_port

HELPER = BUILD / "rolebridge-accounts"
KEYS_COMMAND = BUILD / "rolebridge-authorized-keys"
SSHD = "/usr/sbin/sshd"
WAIT_SECONDS = 120

SETUP = """
set -e
mount --make-rprivate /
mount --bind "$1/etc" /etc
mount --bind "$1/home" /home
echo ready
exec sleep infinity
"""


def why_not():
    """Why there can be no such machine here; None: there can."""
    if accounts_tree.PROBLEM:
        return accounts_tree.PROBLEM
    # Its /etc and /home lie over the real ones: nobody outside may see that.
    with open("/proc/self/mountinfo", encoding="ascii") as file:
        if not any(line.split()[4] == "/" for line in file):
            return "/ is no mount point here, and cannot be made private"
    return None if os.path.exists(SSHD) else "no sshd is installed"


class Machine:
    def __init__(self, folder):
        self.folder = folder
        self.port = None
        self.processes = []
        (folder / "home").mkdir()
        (folder / "home").chmod(0o755)
        shutil.copytree("/etc", folder / "etc", symlinks=True, ignore=lambda at, names: [
            name for name in names if at != "/etc" and not at.startswith(("/etc/skel", "/etc/pam.d", "/etc/security"))])
        (folder / "etc").chmod(0o755)
        for name, mode in (("shadow", 0o640), ("gshadow", 0o640)):
            (folder / "etc" / name).chmod(mode)
        self.holder = subprocess.Popen(["unshare", "-m", "sh", "-c", SETUP, "sh", folder], stdout=subprocess.PIPE, text=True)
        if self.holder.stdout.readline() != "ready\n":
            raise RuntimeError("the machine does not come up")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in [*reversed(self.processes), self.holder]:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.holder.stdout.close()

    def words(self, words):
        return ["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", "--", *map(str, words)]

    def run(self, words, **more):
        return subprocess.run(self.words(words), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                              check=False, **more)

    def etc(self, name, text, mode=0o644):
        path = self.folder / "etc" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def _start(self, words, log):
        with open(self.folder / log, "ab") as out:
            process = subprocess.Popen(self.words(words), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.processes.append(process)
        return process

    def logged(self, log):
        return (self.folder / log).read_text(errors="replace")

    def start_helper(self, more=""):
        """Answers at helper.sock in the folder; whoever runs the tests may speak to it."""
        state = self.folder / "accounts-state"
        state.mkdir(mode=0o700, exist_ok=True)
        self.etc("rolebridge/accounts.conf",
                 f"core_user = {os.geteuid()}\nstate_directory = {state}\narchive_directory = {state}/archive\n{more}")
        sock = self.folder / "helper.sock"
        process = self._start([HELPER, "--config", "/etc/rolebridge/accounts.conf", "--socket", sock], "helper.log")
        self._wait(lambda: sock.exists(), process, "helper.log")
        return process

    def start_sshd(self, keys_socket, keys_user):
        """PAM asks the account database alone, as it does everywhere, and nothing of this machine."""
        self.port = free_port()
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / "host"], check=True)
        # sshd runs it only where nobody but root could have put it.
        command = self.folder / "etc" / "rolebridge" / "authorized-keys"
        command.parent.mkdir(exist_ok=True)
        shutil.copy(KEYS_COMMAND, command)
        command.chmod(0o755)
        self.etc("pam.d/sshd", "auth required pam_deny.so\naccount required pam_unix.so\nsession required pam_permit.so\n"
                               "password required pam_deny.so\n")
        self.etc("ssh/sshd_config", f"""
Port {self.port}
ListenAddress 127.0.0.1
HostKey {self.folder}/host
PidFile none
UsePAM yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
AuthorizedKeysFile none
UseDNS no
AuthorizedKeysCommand /etc/rolebridge/authorized-keys --socket {keys_socket} %u %U
AuthorizedKeysCommandUser {keys_user}
LogLevel VERBOSE
""")
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        process = self._start([SSHD, "-D", "-e", "-f", "/etc/ssh/sshd_config"], "sshd.log")
        self._wait(lambda: "Server listening" in self.logged("sshd.log"), process, "sshd.log")
        return process

    def _wait(self, what, process, log):
        end = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < end:
            if process.poll() is not None:
                break
            if what():
                return
            time.sleep(0.02)
        raise RuntimeError(f"it does not start: {self.logged(log)}")

    def ssh_words(self, user, key, *words):
        return ["ssh", "-F", "none", "-p", str(self.port), "-i", str(key), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
                "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
                f"{user}@127.0.0.1", *words]

    def ssh(self, user, key, *words):
        return subprocess.run(self.ssh_words(user, key, *words), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=120, check=False)
