"""A real Samba Active Directory domain controller in a temporary folder.

    with SambaDc() as directory:
        directory.url        ldapi://%2Ftmp%2F...     (simple bind as directory.root_dn)
        directory.tcp_url    ldap://127.X.Y.Z:389, only as root
        directory.modify("dn: ...\\nchangetype: modify\\n...")

Only its LDAP server runs. Its port cannot be chosen: as root it listens on a loopback address of its
own, as an ordinary user in a user and network namespace of its own; the unix socket is reached in
both. Provisioning takes seconds, so it is done once, and every directory begins as a copy of that.
It does not wait for the disk: no test is about a machine that stops.
"""
import atexit
import functools
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from ldap_server import LdapServer

PROGRAM = Path("/usr/sbin/samba")
PROVISION_DATA = Path("/usr/share/samba/setup/provision.ldif")
PYTHON = "/usr/bin/python3"
REALM = "EXAMPLE.ORG"
SUFFIX = "DC=example,DC=org"
PASSWORD = "Admin.of.the.domain-1"
START_SECONDS = 180

PROVISION = """
import logging, sys
from samba import dsdb, param, provision
from samba.auth import system_session
config, realm, password = sys.argv[1:]
lp = param.LoadParm()
lp.load(config)
provision.provision(logging.getLogger("provision"), system_session(), smbconf=config, realm=realm,
                    domain=realm.split(".")[0], hostname="dc1", hostip="127.0.0.1", adminpass=password,
                    dns_backend="NONE", serverrole="active directory domain controller", use_ntvfs=True,
                    skip_sysvolacl=True, lp=lp, batch_mode=True,
                    dom_for_fun_level=dsdb.DS_DOMAIN_FUNCTION_2008_R2)
"""


@functools.cache
def missing():
    """Why it cannot run here; "" when it can. What is not installed is no excuse."""
    if not PROGRAM.exists() or not PROVISION_DATA.exists():
        raise RuntimeError("samba, samba-dsdb-modules or samba-ad-provision is not installed: make deps-check")
    if os.geteuid() == 0:
        return ""
    result = subprocess.run(namespace("true"), capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return ""
    return f"not root, and no namespace of its own for port 389: {result.stderr.strip()}"


def namespace(command):
    """The same process goes on as `command`: its pid stays."""
    return ["unshare", "--map-root-user", "--net", "sh", "-c", f"ip link set lo up && exec {command}"]


def write_config(folder, address):
    for name in ("private", "state", "cache", "lock", "bind", "run"):
        (folder / name).mkdir(mode=0o700, exist_ok=True)
    path = folder / "smb.conf"
    path.write_text(f"""[global]
	netbios name = DC1
	realm = {REALM}
	workgroup = {REALM.split(".", maxsplit=1)[0]}
	server role = active directory domain controller
	private dir = {folder}/private
	lock directory = {folder}/lock
	cache directory = {folder}/cache
	state directory = {folder}/state
	binddns dir = {folder}/bind
	pid directory = {folder}/run
	ncalrpc dir = {folder}/run/ncalrpc
	log file = {folder}/log
	interfaces = {address}/8
	bind interfaces only = yes
	server services = ldap
	ldap server require strong auth = no
	tls enabled = no
	ldb:nosync = true
[sysvol]
	path = {folder}/state/sysvol
[netlogon]
	path = {folder}/state/sysvol/{REALM.lower()}/scripts
""")
    return path


@functools.cache
def provisioned():
    """The folder of a domain with nobody in it but whom it is born with."""
    folder = Path(tempfile.mkdtemp(prefix="samba-born-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    config = write_config(folder, "127.0.0.1")
    result = subprocess.run([PYTHON, "-I", "-c", PROVISION, config, REALM, PASSWORD], cwd=folder,
                            capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"samba cannot be provisioned: {result.stderr[-3000:]}")
    return folder


class SambaDc(LdapServer):
    vendor = "active-directory"
    suffix = SUFFIX
    root_dn = f"CN=Administrator,CN=Users,{SUFFIX}"
    password = PASSWORD

    def __init__(self, entries="", *, folder=None):
        super().__init__(folder, "samba-")
        for name in ("private", "state"):
            shutil.copytree(provisioned() / name, self.folder / name, dirs_exist_ok=True)
        self.password_file = self.write_password(PASSWORD)
        self.url = self.socket_url(self.folder / "private" / "ldapi")
        self.tcp_url = None
        self._entries = entries if isinstance(entries, str) else "".join(entries)

    def start(self):
        for _ in range(5):
            if self._try_start():
                break
        else:
            raise RuntimeError(f"samba does not start: {self.logged()[-3000:]}")
        entries, self._entries = self._entries, ""
        if entries:
            self.add(entries)
        return self

    def _try_start(self):
        plain = os.geteuid() != 0
        address = "127.0.0.1" if plain else f"127.{random.randint(1, 254)}.{random.randint(1, 254)}.1"
        command = ["samba", "-s", str(write_config(self.folder, address)), "-i", "-M", "single", "--debug-stdout"]
        command[0] = str(PROGRAM)
        (self.folder / "private" / "ldapi").unlink(missing_ok=True)
        with open(self.folder / "out", "ab") as out:
            self.process = subprocess.Popen(namespace(" ".join(command)) if plain else command,
                                            stdin=subprocess.PIPE, stdout=out, stderr=out, cwd=self.folder)
        self.tcp_url = None if plain else f"ldap://{address}"
        end = time.monotonic() + START_SECONDS
        while self.process.poll() is None and time.monotonic() < end:
            if self._answers():
                return True
            time.sleep(0.02)
        self.kill()
        return False

    def _answers(self):
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.folder / "private" / "ldapi"))
                return True
            except OSError:
                return False

    def logged(self):
        texts = [self.folder / "out", self.folder / "log"]
        return "".join(path.read_text(errors="replace") for path in texts if path.is_file())
