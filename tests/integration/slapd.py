"""A real slapd in a temporary folder, for tests and benchmarks.

    with Slapd(people(3) + [group("staff", ["uid=user1"])]) as directory:
        directory.url        ldap://127.0.0.1:PORT
        directory.ldapi_url  ldapi://%2Ftmp%2F...
        directory.modify("dn: ...\\nchangetype: modify\\n...")

    with Slapd(ldif_text, tls=True, sizelimit=100, acls=["to * by users read"]) as directory:
        directory.ldaps_url, directory.ca

Entries are LDIF text, a path to LDIF, or a list of LDIF entries; the suffix with ou=people
and ou=groups is made when the entries do not begin with it. Started and stopped by pid; works as root and as
an ordinary user; nothing outside the folder is touched.
"""
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from ports import free_port

SUFFIX = "dc=example,dc=org"
PEOPLE = f"ou=people,{SUFFIX}"
GROUPS = f"ou=groups,{SUFFIX}"
ROOT_DN = f"cn=admin,{SUFFIX}"
ROOT_PASSWORD = "directory admin's secret"
SLAPD = "/usr/sbin/slapd"
MODULES = "/usr/lib/ldap"
SCHEMAS = ("core", "cosine", "nis", "inetorgperson")
START_SECONDS = 120

# The peer of an ldapi:// socket as slapd names it; to be used in ACLs.
SELF_EXTERNAL = f"gidNumber={os.getegid()}+uidNumber={os.geteuid()},cn=peercred,cn=external,cn=auth"


def person(uid, *lines, name=None, base=PEOPLE, rdn=None):
    """LDIF of an inetOrgPerson; lines are further LDIF lines."""
    name = name or uid.capitalize()
    return "\n".join([f"dn: {rdn or 'uid=' + uid},{base}", "objectClass: inetOrgPerson", f"uid: {uid}",
                      f"cn: {name}", f"sn: {name}", f"mail: {uid}@example.org", *lines]) + "\n\n"


def people(count):
    return [person(f"user{i}") for i in range(1, count + 1)]


def group(name, members, *lines, kind="groupOfNames", attribute="member"):
    """LDIF of a group; members are RDNs below ou=people, or whole DNs."""
    full = [m if m.endswith(SUFFIX) or attribute == "memberUid" else f"{m},{PEOPLE}" for m in members]
    return "\n".join([f"dn: cn={name},{GROUPS}", f"objectClass: {kind}", f"cn: {name}",
                      *(f"{attribute}: {m}" for m in full), *lines]) + "\n\n"


def group_dn(name):
    return f"cn={name},{GROUPS}"


BASE_ENTRIES = f"""dn: {SUFFIX}
objectClass: dcObject
objectClass: organization
dc: {SUFFIX.split(",", maxsplit=1)[0].split("=")[1]}
o: Example

dn: {PEOPLE}
objectClass: organizationalUnit
ou: people

dn: {GROUPS}
objectClass: organizationalUnit
ou: groups

"""


class Authority:
    """A certificate authority of the test's own, made by openssl."""

    def __init__(self, folder, name="ca"):
        self.folder = Path(folder)
        self.certificate = self.folder / f"{name}.pem"
        self.key = self.folder / f"{name}.key"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                      "-days", "2", "-subj", f"/CN=test {name}", "-keyout", self.key, "-out",
                      self.certificate, "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    @staticmethod
    def _openssl(*words):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)

    def issue(self, name, subject_alt="IP:127.0.0.1", expired=False):
        """A certificate and its key: (path, path)."""
        key, request, certificate = (self.folder / f"{name}.{e}" for e in ("key", "csr", "pem"))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text((f"subjectAltName={subject_alt}\n" if subject_alt else "") +
                              "extendedKeyUsage=serverAuth,clientAuth\n")
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                      f"/CN={name}", "-keyout", key, "-out", request)
        if expired:
            self._issue_expired(request, extensions, certificate)
        else:
            self._openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key,
                          "-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", certificate)
        return certificate, key

    def _issue_expired(self, request, extensions, certificate):
        work = self.folder / "expired"
        work.mkdir(exist_ok=True)
        (work / "index").write_text("")
        (work / "serial").write_text("1000\n")
        (work / "ca.conf").write_text(
            f"[ca]\ndefault_ca=d\n[d]\ndir={work}\nnew_certs_dir={work}\ndatabase={work}/index\n"
            f"serial={work}/serial\ndefault_md=sha256\npolicy=p\nunique_subject=no\n"
            "[p]\ncommonName=supplied\n")
        self._openssl("ca", "-batch", "-config", work / "ca.conf", "-cert", self.certificate, "-keyfile",
                      self.key, "-in", request, "-out", certificate, "-extfile", extensions,
                      "-startdate", "20200101000000Z", "-enddate", "20200201000000Z", "-notext")


class Slapd:
    """
    entries    LDIF text, path of an LDIF file, or list of LDIF entries
    tls        True: a certificate for 127.0.0.1 of an own CA; or (certificate, key, ca)
    sizelimit  slapd's limit for searches, also paged ones
    acls       list of "to ... by ..."; default: everybody reads, passwords only bind
    mdb        lines for the database: maxsize, indices ... ("index uid eq")
    config     lines for the global part
    syncprov   True: content synchronization (RFC 4533); or the overlay's lines ("syncprov-sessionlog 100")
    environment  of slapd; default: ours
    """

    def __init__(self, entries="", *, tls=False, syncprov=False, sizelimit=None, acls=None, mdb=(), config=(),
                 suffix=SUFFIX, folder=None, threads=None, environment=None):
        self._own = tempfile.TemporaryDirectory(prefix="slapd-") if folder is None else None
        self.folder = Path(folder or self._own.name)
        self.suffix = suffix
        self._environment = environment
        self.process = None
        self.ca = self._certificate = self._key = None
        if tls is True:
            authority = Authority(self.folder)
            self._certificate, self._key = authority.issue("server")
            self.ca = authority.certificate
            self.authority = authority
        elif tls:
            self._certificate, self._key, self.ca = tls
        self.root_dn = f"cn=admin,{suffix}"
        self.password = ROOT_PASSWORD
        self.password_file = self.folder / "password"
        self.password_file.touch(mode=0o600)
        self.password_file.write_text(ROOT_PASSWORD + "\n")
        self._socket = self.folder / "ldapi"
        self.ldapi_url = "ldapi://" + quote(str(self._socket), safe="")
        self.url = self.ldaps_url = None
        # A copy: a profile of the machine's AppArmor for slapd does not know our folder.
        self._program = self.folder / "slapd"
        shutil.copy(SLAPD, self._program)
        self._write_config(sizelimit, acls, mdb, config, threads, syncprov)
        self._load(entries)

    # --- preparation

    def _write_config(self, sizelimit, acls, mdb, config, threads, syncprov):
        database = self.folder / "db"
        database.mkdir(exist_ok=True)
        lines = [f"include /etc/ldap/schema/{name}.schema" for name in SCHEMAS]
        lines += [f"pidfile {self.folder}/pid", f"modulepath {MODULES}", "moduleload back_mdb"]
        lines += [f"threads {threads}"] if threads else []
        if self._certificate:
            lines += [f"TLSCACertificateFile {self.ca}", f"TLSCertificateFile {self._certificate}",
                      f"TLSCertificateKeyFile {self._key}", "TLSVerifyClient try"]
        lines += ["moduleload syncprov"] if syncprov else []
        lines += list(config)
        lines += [f"sizelimit {sizelimit if sizelimit is not None else 'unlimited'}"]
        if acls is None:
            acls = ["to attrs=userPassword by anonymous auth by * none", "to * by * read"]
        lines += ["database mdb", f'suffix "{self.suffix}"', f'rootdn "{self.root_dn}"',
                  f'rootpw "{ROOT_PASSWORD}"', f"directory {database}", "dbnosync"]
        lines += [f"access {rule}" for rule in acls]
        lines += list(mdb) or ["maxsize 268435456", "index objectClass,uid,entryUUID,entryCSN eq"]
        if syncprov:
            lines += ["overlay syncprov", *(syncprov if syncprov is not True else ())]
        self._config = self.folder / "slapd.conf"
        self._config.touch(mode=0o600)
        self._config.write_text("\n".join(lines) + "\n")

    def _load(self, entries):
        if isinstance(entries, Path):
            path = entries
        else:
            text = entries if isinstance(entries, str) else "".join(entries)
            if not text.lower().startswith(f"dn: {self.suffix}\n".lower()):
                text = BASE_ENTRIES + text
            path = self.folder / "entries.ldif"
            path.write_text(text)
        result = subprocess.run([self._program, "-T", "add", "-q", "-f", self._config, "-l", path],
                                capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise RuntimeError(f"slapadd failed: {result.stderr}")

    # --- life

    def start(self, same_port=False):
        """same_port: where it was before, after stop() or kill()."""
        for _ in range(5):
            if self._try_start(same_port):
                return self
        raise RuntimeError(f"slapd does not start: {self.logged()[-3000:]}")

    def _try_start(self, same_port):
        port, tls_port = (self.port, self.tls_port) if same_port else (free_port(), free_port())
        self.port, self.tls_port = port, tls_port
        self.url = f"ldap://127.0.0.1:{port}"
        urls = [self.url, self.ldapi_url]
        if self._certificate:
            self.ldaps_url = f"ldaps://127.0.0.1:{tls_port}"
            urls.append(self.ldaps_url)
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen([self._program, "-d", "0", "-f", self._config, "-h",
                                             " ".join(urls)], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, cwd=self.folder, env=self._environment)
        end = time.monotonic() + START_SECONDS
        while self.process.poll() is None and time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=60).close()
                return True
            except OSError:
                time.sleep(0.01)
        self._end(signal.SIGKILL)
        return False

    def stop(self):
        self._end(signal.SIGTERM)

    def kill(self):
        self._end(signal.SIGKILL)

    def _end(self, number):
        if self.process is None:
            return
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(number)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self):
        self.kill()
        if self._own:
            self._own.cleanup()

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_):
        self.close()

    @property
    def pid(self):
        return self.process.pid

    def logged(self):
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    # --- changes, by ldap-utils

    def _tool(self, name, *words, text=None):
        return subprocess.run([name, "-x", "-H", self.ldapi_url, "-D", self.root_dn, "-y",
                               self._bare_password_file(), *words], input=text, capture_output=True,
                              text=True, check=True, env={**os.environ, "LDAPNOINIT": "1"}).stdout

    def _bare_password_file(self):
        path = self.folder / "password.bare"  # ldap-utils take the line break as part of it
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(ROOT_PASSWORD)
        return path

    def add(self, ldif):
        self._tool("ldapadd", text=ldif)

    def modify(self, ldif):
        """LDIF change records."""
        self._tool("ldapmodify", text=ldif)

    def delete(self, *names):
        self._tool("ldapdelete", *names)

    def search(self, filter_text, *attributes, base=None):
        """LDIF of what matches."""
        return self._tool("ldapsearch", "-LLL", "-o", "ldif-wrap=no", "-b", base or self.suffix,
                          filter_text, *attributes)
