"""The packages as they were built, newer ones made of them, and machines to install them on."""
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "integration")]

from fresh_machine import DEBS, CannotMake, Machine, base_tree  # noqa: E402

NAMES = ("rolebridge", "rolebridge-accounts")
NEWER_CONFIG = "# A line that a newer version brings.\n"


@pytest.fixture(scope="session")
def debs():
    found = {name: sorted(DEBS.glob(f"{name}_*.deb")) for name in NAMES}
    assert all(len(files) == 1 for files in found.values()), f"'make deb' comes first: {found}"
    return {name: files[0] for name, files in found.items()}


def _newer(deb, folder):
    tree = folder / deb.stem
    subprocess.run(["dpkg-deb", "--raw-extract", deb, tree], check=True)
    control = tree / "DEBIAN/control"
    version = subprocess.run(["dpkg-deb", "-f", deb, "Version"], capture_output=True, text=True, check=True).stdout.strip()
    control.write_text(control.read_text().replace(f"\nVersion: {version}\n", f"\nVersion: {version}+newer\n"))
    for path in tree.glob("etc/rolebridge/*"):
        path.write_text(NEWER_CONFIG + path.read_text())
    result = folder / f"{deb.name.split('_')[0]}_newer.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, result], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(tree)
    return result


@pytest.fixture(scope="session")
def newer(debs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("newer")
    return {name: _newer(deb, folder) for name, deb in debs.items()}


@pytest.fixture(scope="session")
def base(debs):
    try:
        return base_tree(debs.values())
    except CannotMake as cause:
        pytest.skip(f"no Debian tree can be made here: {cause}")


def _machine(base, folder, init):
    machine = Machine(base, folder / "machine", init)
    try:
        return machine.__enter__()
    except CannotMake as cause:
        pytest.skip(str(cause))


@pytest.fixture
def machine(base, tmp_path):
    """Nothing runs there."""
    machine = _machine(base, tmp_path, "sleep")
    yield machine
    machine.close()


@pytest.fixture
def booted(base, tmp_path):
    """systemd runs there."""
    machine = _machine(base, tmp_path, "systemd")
    yield machine
    machine.close()
