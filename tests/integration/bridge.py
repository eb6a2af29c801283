"""A whole rolebridged in a temporary folder, driven through rolebridgectl.

    with Bridge(config_text) as bridge:
        report = bridge.sync("corp")
        bridge.ctl("users", "show", "anna")

Started and stopped by pid; nothing outside the folder is touched.
"""
import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("ROLEBRIDGE_BUILD", ROOT / "build")).resolve()
DAEMON = BUILD / "rolebridged"
CTL = BUILD / "rolebridgectl"
START_SECONDS = 120
COMMAND_SECONDS = 300


def state_of(pid):
    """The letter of stat; that of a zombie, too, for a process that is gone altogether."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "Z"


class Refused(Exception):
    """rolebridgectl said no."""

    def __init__(self, result):
        super().__init__(f"exit {result.returncode}: {result.stderr.strip()} {result.stdout.strip()[:500]}")
        self.status = result.returncode
        self.text = result.stderr
        self.output = result.stdout


class Bridge:
    def __init__(self, config, files=None, folder=None):
        self._own = tempfile.TemporaryDirectory(prefix="rolebridge-") if folder is None else None
        self.folder = Path(folder or self._own.name)
        self.config = self.folder / "rolebridge.yaml"
        self.log = self.folder / "log"
        self.process = None
        for name, text in (files or {}).items():
            self.write(name, text)
        self.write_config(config)

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def write_config(self, config):
        self.write("rolebridge.yaml",
                   f"store: store.db\ncontrol_socket: control.sock\n{config}")

    def _is_ready(self, begun):
        """Commands are answered a moment before the web side is: the log says when all is there."""
        return "log_level" in self.config.read_text() or b"start.ready" in self.log.read_bytes()[begun:]

    def start(self):
        begun = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([DAEMON, "--config", self.config], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, cwd=self.folder)
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"rolebridged left with {self.process.returncode}: {self.logged()[-3000:]}")
            if self._is_ready(begun) and self.run("status").returncode == 0:
                return self
            time.sleep(0.02)
        raise RuntimeError(f"rolebridged does not answer: {self.logged()[-3000:]}")

    def stop(self):
        """SIGTERM; the exit status."""
        return self._end(signal.SIGTERM)

    def kill(self):
        return self._end(signal.SIGKILL)

    def _end(self, number):
        if self.process is None:
            return None
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(number)
        try:
            return process.wait(120)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def close(self):
        try:
            self.kill()
        finally:
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

    def logged(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def workers(self):
        """Process ids of what it started and has not ended."""
        found = []
        for task in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            # A thread may end in between.
            with contextlib.suppress(OSError):
                found += [int(child) for child in task.read_text().split()]
        return sorted(pid for pid in found if state_of(pid) != "Z")

    def run(self, *words, config=None):
        return subprocess.run([CTL, "--config", config or self.config, "--json", *map(str, words)],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=COMMAND_SECONDS, check=False)

    def human(self, *words):
        """What a person sees; exit status not looked at."""
        return subprocess.run([CTL, "--config", self.config, *map(str, words)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)

    def ctl(self, *words):
        """The answer as JSON; Refused when the command failed."""
        result = self.run(*words)
        if result.returncode != 0:
            raise Refused(result)
        return json.loads(result.stdout) if result.stdout.strip() else None

    def answer(self, *words):
        """The answer as JSON whatever the exit status: a read that ended early is reported, not thrown."""
        return json.loads(self.run(*words).stdout)
