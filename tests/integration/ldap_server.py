"""What the directory servers of the tests have in common: their process and ldap-utils."""
import os
import signal
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

STOP_SECONDS = 60


class LdapServer:
    """A server in a folder of its own. Subclasses know how to prepare and start it."""

    vendor = root_dn = password = suffix = url = None

    def __init__(self, folder, prefix):
        self._own = tempfile.TemporaryDirectory(prefix=prefix) if folder is None else None
        self.folder = Path(folder or self._own.name)
        self.process = None

    # --- life

    def start(self):
        raise NotImplementedError

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
            process.wait(STOP_SECONDS)
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

    # --- secrets and addresses

    def write_password(self, text):
        path = self.folder / "password"
        path.touch(mode=0o600)
        path.write_text(text)
        return path

    @staticmethod
    def socket_url(path):
        return "ldapi://" + quote(str(path), safe="")

    # --- changes, by ldap-utils

    def tool(self, name, *words, text=None):
        result = subprocess.run([name, "-x", "-H", self.url, "-D", self.root_dn, "-y", self.folder / "password",
                                 *words], input=text, capture_output=True, text=True, check=False,
                                env={**os.environ, "LDAPNOINIT": "1"})
        if result.returncode != 0:
            raise RuntimeError(f"{name} {words}: exit {result.returncode}: {result.stderr.strip()}\n{text or ''}"[:3000])
        return result.stdout

    def add(self, ldif):
        self.tool("ldapadd", text=ldif)

    def modify(self, ldif):
        """LDIF change records."""
        self.tool("ldapmodify", text=ldif)

    def delete(self, *names):
        self.tool("ldapdelete", *names)

    def search(self, filter_text, *attributes, base=None):
        """LDIF of what matches."""
        return self.tool("ldapsearch", "-LLL", "-o", "ldif-wrap=no", "-b", base or self.suffix,
                         filter_text, *attributes)
