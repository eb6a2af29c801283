"""A Debian 12 machine of its own: a fresh tree made by debootstrap, in namespaces of its own, with or without systemd.

The tree that all begin with is made once and kept in the build folder; each machine writes to a layer in memory of its
own, which goes with it. Nothing outside is touched, and no network is there but loopback.
"""
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("ROLEBRIDGE_BUILD", ROOT / "build")).resolve()
DEBS = BUILD / "deb"
COMMAND_SECONDS = 300
PATIENCE_SECONDS = 120

BOOT = """set -eu
base=$1; work=$2; init=$3
mount --make-rprivate /
mount -t tmpfs layer $work
mkdir $work/upper $work/work $work/root
mount -t overlay overlay -o lowerdir=$base,upperdir=$work/upper,workdir=$work/work $work/root
cd $work/root
mount -t proc proc proc
mount -t tmpfs dev dev -o mode=755
for name in null zero full random urandom tty; do touch dev/$name; mount --bind /dev/$name dev/$name; done
mkdir dev/pts dev/shm
mount -t devpts devpts dev/pts -o newinstance,ptmxmode=0666,mode=620
mount -t tmpfs shm dev/shm
ln -s pts/ptmx dev/ptmx; ln -s /proc/self/fd dev/fd; ln -s /proc/self/fd/1 dev/stdout
mount -t tmpfs run run -o mode=755
mount -t tmpfs tmp tmp -o mode=1777
if [ $init = systemd ]; then mount -t sysfs sys sys; mount -t cgroup2 cgroup2 sys/fs/cgroup; fi
ip link set lo up
mkdir .old; pivot_root . .old; umount -l .old; rmdir .old
mount --make-rshared /
if [ $init = systemd ]; then exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd; fi
exec sleep infinity
"""


NAMESPACES = ["unshare", "--mount", "--pid", "--fork", "--cgroup", "--ipc", "--uts", "--net"]
# What debootstrap and systemd say where a machine lets nobody make devices, or a first process of one's own.
BARRED = ("mounted with noexec or nodev", "Freezing execution")


class CannotMake(Exception):
    """This machine lets nobody make such machines, and why. Whatever else goes wrong on the way is a failure."""


def _mirror_answered(lists=Path("/var/lib/apt/lists")):
    """apt had an answer of it once: then a tree can be made of what it has."""
    name = _mirror().split("://", 1)[1].strip("/").replace("_", "%5f").replace("/", "_")
    return any(lists.glob(f"{name}_dists_*Release"))


def _must_be_able():
    if os.geteuid() != 0:
        raise CannotMake("debootstrap needs root")
    tried = subprocess.run([*NAMESPACES, "sh", "-c", "mount --make-rprivate / && mount -t tmpfs x /mnt"],
                           stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        raise CannotMake(f"no namespaces of one's own: {tried.stderr.strip()}")


def _mirror():
    """Where this machine takes its own packages from."""
    lines = []
    for path in [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]:
        if path.is_file() and path.suffix in (".list", ".sources"):
            lines += path.read_text(errors="replace").splitlines()
    for line in lines:
        found = re.match(r"(?:URIs:|deb (?:\[[^]]*\] )?)\s*(https?://\S+)", line)
        if found and "security" not in found[1]:
            return found[1]
    raise CannotMake("no mirror of Debian in /etc/apt")


def _apt_settings():
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    return "".join(line + "\n" for line in dump.splitlines() if re.match(r'Acquire::https?::(Proxy|Verify|Ca)', line))


def _environment():
    """debootstrap asks not apt but the environment about proxies."""
    found = dict(re.findall(r'Acquire::(https?)::Proxy "([^"]+)"', _apt_settings()))
    return os.environ | {f"{kind}_proxy": proxy for kind, proxy in found.items()}


def needed(debs):
    """What the packages depend on, beside each other, as apt takes it."""
    fields = [subprocess.run(["dpkg-deb", "-f", deb, "Depends"], capture_output=True, text=True, check=True).stdout
              for deb in debs]
    return ", ".join(sorted({word.strip() for field in fields for word in field.split(",") if word.strip()}))


def _checked(command, log, **options):
    with open(log, "ab") as out:
        status = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False, **options).returncode
    said = log.read_text(errors="replace")[-1500:]
    if status != 0 and any(text in said for text in BARRED):
        raise CannotMake(said)
    assert status == 0, f"'{' '.join(map(str, command))[:100]}' failed: {said}"


def base_tree(debs):
    """Debian 12 with systemd, and all that the packages depend on. Made once for each set of dependencies."""
    depends = needed(debs)
    name = hashlib.sha256((depends + "1").encode()).hexdigest()[:12]
    folder = BUILD / "machines" / name
    _must_be_able()
    folder.parent.mkdir(parents=True, exist_ok=True)
    # One process makes it, the others wait.
    with open(folder.parent / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _make_base(folder, depends)
    return folder


def _make_base(folder, depends):
    if not _mirror_answered():
        raise CannotMake("the mirror of Debian in /etc/apt has never answered apt here")
    for left in folder.parent.iterdir():
        if left.is_dir():
            shutil.rmtree(left)
    log, begun = folder.parent / "log", folder.parent / "begun"
    _checked(["debootstrap", "--variant=minbase", "--include=systemd,systemd-sysv", "bookworm", begun, _mirror()], log,
             env=_environment())
    begun.chmod(0o755)
    (begun / "etc/apt/sources.list").write_text(f"deb {_mirror()} bookworm main\n")
    (begun / "etc/apt/apt.conf.d/99here").write_text(_apt_settings())
    (begun / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
    (begun / "usr/sbin/policy-rc.d").chmod(0o755)
    shutil.copy("/etc/resolv.conf", begun / "etc/resolv.conf")
    install = ("mount -t proc proc $1/proc && chroot $1 sh -c 'apt-get -q update && apt-get -q -y --no-install-recommends satisfy "
               "\"$0\" && apt-get -q -y --no-install-recommends install openssl procps && apt-get clean' \"$2\"")
    _checked(["unshare", "--mount", "--propagation", "private", "sh", "-c", install, "sh", begun, depends], log,
             env=os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"})
    (begun / "usr/sbin/policy-rc.d").unlink()
    begun.rename(folder)


class Machine:
    """init: "systemd", or "sleep" for a machine where nothing runs."""

    def __init__(self, base, work, init="sleep"):
        self.base, self.work, self.kind = base, work, init
        self.process = self.init = None

    def __enter__(self):
        self.work.mkdir(parents=True, exist_ok=True)
        self.log = open(self.work.with_suffix(".log"), "wb")  # noqa: SIM115
        self.process = subprocess.Popen(
            [*NAMESPACES, "sh", "-c", BOOT, "sh", self.base, self.work, self.kind], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        try:
            self.init = self._wait_for(self._child, "its first process")
            self._wait_for(self._is_up, "it to come up")
            self._made().touch()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.init is None:
            self.init = self._child()
        # Its first process ends, and all others with it.
        if self.init is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.init, signal.SIGKILL)
        elif self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_SECONDS)
        self.log.close()

    def _child(self):
        with contextlib.suppress(OSError, IndexError):
            return int(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])
        return None

    def _wait_for(self, condition, what):
        end = time.monotonic() + PATIENCE_SECONDS
        while self.process.poll() is None and time.monotonic() < end:
            value = condition()
            if value:
                return value
            time.sleep(0.1)
        log = self.work.with_suffix(".log").read_text(errors="replace")[-1500:]
        # Who made one before on this machine can make another.
        made = self._made().exists()
        if not made and (self.process.poll() is not None or any(text in log for text in BARRED)):
            raise CannotMake(f"no machine with '{self.kind}' here: {log}")
        raise AssertionError(f"waited for {what} of a machine with '{self.kind}': {log}")

    def _made(self):
        return self.base.with_name(f"made-{self.kind}")

    def _is_up(self):
        comm = Path(f"/proc/{self.init}/comm").read_text().strip()
        if comm != self.kind:
            return False
        if self.kind == "sleep":
            return True
        return self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded")

    # --- in it ---

    def run(self, *words, check=True, **options):
        result = subprocess.run(["nsenter", "--target", str(self.init), "--all", "--wd=/", "--", *map(str, words)],
                                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False,
                                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive",
                                     "LC_ALL": "C.UTF-8", "HOME": "/root"}, **options)
        assert not check or result.returncode == 0, f"{words}: {result.returncode}\n{result.stdout}\n{result.stderr}"
        return result

    def sh(self, script, check=True):
        return self.run("sh", "-c", script, check=check)

    def says(self, *words):
        return self.run(*words).stdout.strip()

    def path(self, path):
        """As seen from outside. Not for what resolves symbolic links itself."""
        return Path(f"/proc/{self.init}/root") / str(path).lstrip("/")

    def write(self, path, text, mode=0o644):
        data = text if isinstance(text, bytes) else text.encode()
        self.path(path).write_bytes(data)
        self.path(path).chmod(mode)

    def put(self, file):
        """Copies a file of this machine there."""
        shutil.copy(file, self.path("/srv"))
        return f"/srv/{Path(file).name}"

    def install(self, *debs, check=True):
        """As apt does it: a conffile that was edited stays, without a question."""
        return self.run("dpkg", "--force-confdef", "--force-confold", "--install", *map(self.put, debs), check=check)

    def ctl(self, *words):
        return json.loads(self.run("rolebridgectl", "--json", *words).stdout)

    def exists(self, path):
        return os.path.lexists(self.path(path))

    def wait_until(self, condition, what):
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            value = condition()
            if value:
                return value
            time.sleep(0.1)
        raise AssertionError(f"waited too long for {what}")
