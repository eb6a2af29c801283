"""Tests have the same names whichever process collects them: else several at once run none at all."""
import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
FOLDERS = ["integration", "attack", "fault", "lint"]


def test_same_names_in_each_process():
    processes = [subprocess.Popen([sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider",
                                   *(TESTS / name for name in FOLDERS)], stdout=subprocess.PIPE, text=True,
                                  env={**os.environ, "PYTHONHASHSEED": str(seed)}, cwd=TESTS.parent)
                 for seed in (1, 2)]
    first, second = ({line for line in process.communicate(timeout=300)[0].splitlines() if "::" in line}
                     for process in processes)
    assert first and first == second, sorted(first ^ second)[:20]
