"""A real 389 Directory Server in a temporary folder.

    with Ds389(entries) as directory:
        directory.url        ldap://127.0.0.1:PORT
        directory.modify("dn: ...\\nchangetype: modify\\n...")

The instance is what dscreate makes, without what dscreate does to the machine: its template of
the configuration is filled in here and ns-slapd is started on it, so that nothing outside the
folder is touched and neither root nor systemd is needed. Content synchronization (RFC 4533) and the
retro changelog it stands on are on. Entries as for slapd.Slapd.
"""
import base64
import hashlib
import os
import pwd
import socket
import subprocess
import time
from pathlib import Path

from ldap_server import LdapServer
from ports import free_port
from slapd import BASE_ENTRIES, SUFFIX

DATA = Path("/usr/share/dirsrv/data")
PROGRAM = Path("/usr/sbin/ns-slapd")
START_SECONDS = 180

USER_SCHEMA = """dn: cn=schema
objectClass: top
objectClass: ldapSubentry
objectClass: subschema
cn: schema
"""


def missing():
    """Why it cannot run here; "" when it can. What is not installed is no excuse."""
    if not PROGRAM.exists():
        raise RuntimeError("389-ds-base is not installed: make deps-check")
    return ""


def hashed(password):
    """As the configuration wants it (a clear one is refused)."""
    salt = os.urandom(8)
    return "{SSHA512}" + base64.b64encode(hashlib.sha512(password.encode() + salt).digest() + salt).decode()


class Ds389(LdapServer):
    """memberof: the server keeps memberOf of people (transitively) by itself."""

    vendor = "389ds"
    suffix = SUFFIX
    root_dn = "cn=Directory Manager"
    password = "directory manager's secret"

    def __init__(self, entries="", *, memberof=False, folder=None):
        super().__init__(folder, "ds389-")
        # Its semaphore for statistics is called after this folder, for the whole machine.
        self.config = self.folder / f"config-{self.folder.name}"
        self.port = free_port()
        self.url = f"ldap://127.0.0.1:{self.port}"
        self.ldapi_url = self.socket_url(self.folder / "ldapi")
        self.password_file = self.write_password(self.password)
        self._write_instance(memberof)
        self._load(entries)

    # --- preparation

    def _write_instance(self, memberof):
        self.config.mkdir(mode=0o700)
        for name in ("db", "lock", "tmp", "ldif", "bak", "run", "log"):
            (self.folder / name).mkdir(mode=0o700)
        # What the package puts into /etc/dirsrv only its own user may read; this much is needed of it.
        (self.config / "certmap.conf").write_text("certmap default default\n")
        (self.config / "schema").mkdir()
        (self.config / "schema" / "99user.ldif").write_text(USER_SCHEMA)
        text = "\n".join((DATA / f"template-{name}.ldif").read_text() for name in ("dse", "suffix-db"))
        for name, value in self._values().items():
            text = text.replace(f"%{name}%", str(value))
        plugins = ["Content Synchronization", "Retro Changelog Plugin"] + (["MemberOf Plugin"] if memberof else [])
        path = self.config / "dse.ldif"
        path.touch(mode=0o600)
        path.write_text("".join(self._adjust(entry, plugins) + "\n\n"
                                for entry in text.split("\n\n") if "dn: " in entry))

    def _values(self):
        folder = self.folder
        return {"schema_dir": self.config / "schema", "lock_dir": folder / "lock", "tmp_dir": folder / "tmp",
                "cert_dir": self.config, "ldif_dir": folder / "ldif", "bak_dir": folder / "bak",
                "run_dir": folder / "run", "inst_dir": folder, "log_dir": folder / "log", "fqdn": "localhost",
                "ds_port": self.port, "ds_user": pwd.getpwuid(os.geteuid()).pw_name, "rootdn": self.root_dn,
                "ds_passwd": hashed(self.password), "ldapi_enabled": "on", "ldapi": folder / "ldapi",
                "ldapi_autobind": "off", "ds_suffix": SUFFIX, "config_dir": self.config,
                "db_dir": folder / "db", "db_home_dir": folder / "db", "db_lib": "bdb",
                "ds_bename": "userRoot", "instance_name": "test"}

    @staticmethod
    def _adjust(entry, plugins):
        """Loopback only, no waiting for the disk, no limits, these plug-ins on."""
        lines = [line for line in entry.splitlines() if line and not line.startswith("#")]
        name = lines[0].lower().replace(", ", ",")
        if name == "dn: cn=config":
            lines += ["nsslapd-listenhost: 127.0.0.1", "nsslapd-accesslog-logging-enabled: off",
                      "nsslapd-sizelimit: -1", "nsslapd-timelimit: -1"]
        if name == "dn: cn=config,cn=ldbm database,cn=plugins,cn=config":
            lines += ["nsslapd-db-durable-transaction: off", "nsslapd-cache-autosize: 0",
                      "nsslapd-dbcachesize: 33554432", "nsslapd-import-cache-autosize: 0",
                      "nsslapd-import-cachesize: 33554432", "nsslapd-lookthroughlimit: -1"]
        if any(name == f"dn: cn={plugin},cn=plugins,cn=config".lower() for plugin in plugins):
            lines = [line.replace("nsslapd-pluginenabled: off", "nsslapd-pluginEnabled: on") for line in lines]
        if name.startswith("dn: cn=internationalization plugin"):
            lines = [line.replace("nsslapd-pluginenabled: on", "nsslapd-pluginEnabled: off") for line in lines]
        if name.startswith("dn: cn=memberof plugin"):
            lines += ["memberOfAutoAddOC: nsMemberOf"]
        if name.startswith("dn: cn=retro changelog"):
            # By this the content synchronization plug-in finds changed entries.
            lines += ["nsslapd-attribute: nsuniqueid:targetUniqueId"]
        return "\n".join(lines)

    def _load(self, entries):
        text = entries if isinstance(entries, str) else "".join(entries)
        if not text.lower().startswith(f"dn: {SUFFIX}\n".lower()):
            text = BASE_ENTRIES + text
        path = self.folder / "ldif" / "entries.ldif"
        path.write_text(text)
        self._offline("ldif2db", "-n", "userRoot", "-i", path)

    def _offline(self, command, *words):
        result = subprocess.run([PROGRAM, command, "-D", self.config, *words], capture_output=True,
                                text=True, check=False)
        if result.returncode != 0:
            raise RuntimeError(f"ns-slapd {command} failed: {(result.stdout + result.stderr)[-3000:]}")

    # --- life

    def start(self):
        with open(self.folder / "out", "ab") as out:
            self.process = subprocess.Popen([PROGRAM, "-D", self.config, "-i", self.folder / "run/pid",
                                             "-d", "0"], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                            cwd=self.folder)
        end = time.monotonic() + START_SECONDS
        while self.process.poll() is None and time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=60).close()
                return self
            except OSError:
                time.sleep(0.01)
        raise RuntimeError(f"ns-slapd does not start: {self.logged()[-3000:]}")

    def close(self):
        super().close()
        Path(f"/dev/shm/sem.{self.config.name}.stats").unlink(missing_ok=True)

    def logged(self):
        texts = [self.folder / "out", self.folder / "log" / "errors"]
        return "".join(path.read_text(errors="replace") for path in texts if path.exists())
