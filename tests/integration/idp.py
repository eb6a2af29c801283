"""A real identity provider: SimpleSAMLphp, run by PHP's own server in a temporary folder.

    with IdentityProvider(people) as idp:
        idp.trust(entity_id, acs, slo, certificate)
        idp.metadata()

people: {name: {attribute: [values]}}; the password is the name backwards. Started and stopped by pid; the
port is free at start; nothing outside the folder is written.
"""
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from ports import free_port

INSTALLED = Path("/usr/share/simplesamlphp")
START_SECONDS = 120


def is_installed():
    return INSTALLED.is_dir() and shutil.which("php") is not None


def make_key(folder, name, days="2"):
    """A key pair NAME.key, NAME.crt as an administrator would make one."""
    folder = Path(folder)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", days,
                    "-subj", f"/CN={name}", "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt"],
                   check=True, capture_output=True)
    os.chmod(folder / f"{name}.key", 0o600)
    return folder / f"{name}.key", folder / f"{name}.crt"


def php(value):
    """A Python value as PHP source."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    if isinstance(value, dict):
        return "[" + ", ".join(f"{php(k)} => {php(v)}" for k, v in value.items()) + "]"
    return "[" + ", ".join(php(v) for v in value) + "]"


class IdentityProvider:
    def __init__(self, people, host="127.0.0.1", public=None):
        """public: the address that browsers know, behind a proxy with TLS."""
        self._own = tempfile.TemporaryDirectory(prefix="rolebridge-idp-")
        self.folder = Path(self._own.name)
        self.port = free_port()
        self.local = f"http://{host}:{self.port}/"
        self.url = public or self.local
        self.people = people
        self.process = None
        self.providers = {}
        self.options = {}
        for name in ("config", "metadata", "cert", "log", "tmp", "sessions", "data"):
            (self.folder / name).mkdir()
        self.new_key()
        self._write()

    # --- what an administrator of the IdP does ---

    @property
    def entity_id(self):
        return self.url + "idp"

    def new_key(self):
        """Another signing key from the next answer on."""
        make_key(self.folder / "cert", "idp")

    def set_people(self, people):
        self.people = people
        self._write()

    def trust(self, entity_id, acs, slo, certificate, **options):
        """Answer to this service provider. options: as in saml20-sp-remote."""
        body = "".join(line for line in Path(certificate).read_text().splitlines() if "-----" not in line)
        self.providers[entity_id] = {
            "AssertionConsumerService": acs,
            "SingleLogoutService": [{"Binding": "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect",
                                     "Location": slo}],
            "certData": body,
            "NameIDFormat": "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
            "simplesaml.nameidattribute": "uid",
            "validate.authnrequest": True,
            "validate.logout": True,
            "sign.logout": True,
            "signature.algorithm": "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
            **options,
        }
        self._write()

    def set_options(self, **options):
        """Of saml20-idp-hosted."""
        self.options.update(options)
        self._write()

    def metadata(self):
        with urllib.request.urlopen(self.metadata_url, timeout=60) as answer:
            return answer.read()

    @property
    def metadata_url(self):
        return self.local + "saml2/idp/metadata.php"

    # --- files ---

    def _write(self):
        folder = self.folder
        secure = self.url.startswith("https:")
        config = {
            "baseurlpath": self.url,
            "certdir": str(folder / "cert") + "/",
            "loggingdir": str(folder / "log") + "/",
            "datadir": str(folder / "data") + "/",
            "tempdir": str(folder / "tmp"),
            "secretsalt": "a salt for tests alone",
            "auth.adminpassword": "tests-alone",
            "technicalcontact_email": "nobody@idp.example",
            "timezone": "UTC",
            "logging.level": 7,
            "logging.handler": "file",
            "enable.saml20-idp": True,
            "module.enable": {"core": True, "saml": True, "exampleauth": True},
            "session.cookie.secure": secure,
            "session.cookie.samesite": "None" if secure else None,
            "session.cookie.name": "IdpSession",
            "session.phpsession.cookiename": "IdpPhp",
            "session.authtoken.cookiename": "IdpToken",
            "session.phpsession.savepath": str(folder / "sessions"),
            "session.phpsession.httponly": True,
            "store.type": "phpsession",
            "session.duration": 28800,
            "trusted.url.domains": None,
            "language.default": "en",
            "usenewui": False,
            "template.cache": "",
            "metadata.sources": [{"type": "flatfile", "directory": str(folder / "metadata")}],
            "authproc.idp": {},
            "authproc.sp": {},
            "proxy": None,
            "production": True,
            "assets.caching.max_age": 1,
        }
        users = {f"{name}:{name[::-1]}": attributes for name, attributes in self.people.items()}
        hosted = {
            "host": "__DEFAULT__",
            "privatekey": "idp.key",
            "certificate": "idp.crt",
            "auth": "people",
            "signature.algorithm": "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
            "saml20.sign.response": True,
            "saml20.sign.assertion": True,
            "attributes.NameFormat": "urn:oasis:names:tc:SAML:2.0:attrname-format:uri",
            **self.options,
        }
        self._php("config/config.php", f"$config = {php(config)};")
        self._php("config/authsources.php", f"$config = {php({'people': ['exampleauth:UserPass', *[]]})};"
                  f"$config['people'] = ['exampleauth:UserPass'] + {php(users)};")
        self._php("metadata/saml20-idp-hosted.php", f"$metadata[{php(self.entity_id)}] = {php(hosted)};")
        self._php("metadata/saml20-sp-remote.php",
                  "".join(f"$metadata[{php(name)}] = {php(value)};\n" for name, value in self.providers.items()))

    def _php(self, name, body):
        path = self.folder / name
        fresh = path.with_suffix(".new")
        fresh.write_text(f"<?php\n{body}\n")
        os.replace(fresh, path)

    # --- the process ---

    def start(self):
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "TMPDIR": str(self.folder / "tmp"),
                       "SIMPLESAMLPHP_CONFIG_DIR": str(self.folder / "config"), "PHP_CLI_SERVER_WORKERS": "3"}
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                ["php", "-d", "opcache.enable=0", "-d", "display_errors=0", "-d", "error_reporting=0",
                 "-S", f"127.0.0.1:{self.port}", "-t", str(INSTALLED / "www")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=self.folder,
                start_new_session=True)
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"the IdP left: {(self.folder / 'server.log').read_text()[-2000:]}")
            try:
                self.metadata()
                return self
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"the IdP does not answer: {(self.folder / 'server.log').read_text()[-2000:]}")

    def stop(self):
        if self.process is None:
            return
        process, self.process = self.process, None
        # PHP's server forks: its whole session, which is ours alone.
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def logged(self):
        return "\n".join(path.read_text(errors="replace") for path in (self.folder / "log").glob("*"))

    def close(self):
        try:
            self.stop()
        finally:
            self._own.cleanup()

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_):
        self.close()
