"""A real Kerberos KDC (MIT krb5) in a temporary folder, on a free port of loopback.

    with Kdc() as kdc:
        kdc.config                  krb5.conf for clients and servers
        kdc.keytab("bridge")        path of a keytab with a fresh key of bridge@REALM
        kdc.expire("bridge")        that principal gets no tickets any more

Started and stopped by pid; works as root and as an ordinary user; nothing outside the folder is touched.
"""
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from ports import free_port

REALM = "EXAMPLE.ORG"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
START_SECONDS = 120


class Kdc:
    def __init__(self):
        self._own = tempfile.TemporaryDirectory(prefix="kdc-")
        self.folder = Path(self._own.name)
        self.config = self.folder / "krb5.conf"
        self.port = free_port()
        self.process = None
        self._environment = {"PATH": PATH, "KRB5_CONFIG": str(self.config),
                             "KRB5_KDC_PROFILE": str(self.folder / "kdc.conf")}
        self.config.write_text(f"""[libdefaults]
default_realm = {REALM}
dns_lookup_kdc = false
dns_lookup_realm = false
dns_canonicalize_hostname = false
rdns = false
[realms]
{REALM} = {{
 kdc = 127.0.0.1:{self.port}
}}
""")
        (self.folder / "kdc.conf").write_text(f"""[kdcdefaults]
kdc_listen = 127.0.0.1:{self.port}
kdc_tcp_listen = 127.0.0.1:{self.port}
[realms]
{REALM} = {{
 database_name = {self.folder}/principal
 key_stash_file = {self.folder}/stash
 acl_file = {self.folder}/acl
 max_life = 1h
}}
[logging]
kdc = FILE:{self.folder}/log
""")
        self._run("kdb5_util", "create", "-s", "-r", REALM, "-P", "the master key's password")

    def _run(self, *words):
        result = subprocess.run(words, env=self._environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, f"{words}: {result.stderr}"

    def _admin(self, query):
        self._run("kadmin.local", "-r", REALM, "-q", query)

    def keytab(self, principal):
        path = self.folder / (principal.replace("/", "_") + ".keytab")
        self._admin(f"addprinc -randkey {principal}")
        self._admin(f"ktadd -k {path} {principal}")
        path.chmod(0o600)
        return path

    def expire(self, principal):
        self._admin(f"modprinc -allow_tix {principal}")

    def __enter__(self):
        self.process = subprocess.Popen(["krb5kdc", "-n", "-r", REALM], env=self._environment,
                                        stdin=subprocess.DEVNULL, cwd=self.folder)
        end = time.monotonic() + START_SECONDS
        while "commencing operation" not in self.logged():
            assert self.process.poll() is None and time.monotonic() < end, self.logged()
            time.sleep(0.01)
        return self

    def logged(self):
        log = self.folder / "log"
        return log.read_text() if log.exists() else ""

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._own.cleanup()


def server_environment(kdc, keytab):
    """What a directory needs to accept tickets."""
    return dict(os.environ, KRB5_CONFIG=str(kdc.config), KRB5_KTNAME=str(keytab))
