"""Following scripted directories by polling: more than is followed, and what it may cost."""
import os

import pytest

from changing_directory import kind
from fake_directory import entry
from poller import both, change_all, company, make_start  # noqa: F401
from slapd import PEOPLE
from test_ldap_follow import TOOL

SANITIZED = TOOL.exists() and b"__asan_init" in TOOL.read_bytes()

pytestmark = pytest.mark.skipif(not TOOL.exists(), reason="make tools builds ldap_read")


@both
def test_more_changes_than_are_followed(start, usn):
    """Read anew, once; then followed."""
    follower = start(company(usn), page_size="20000", timeouts="{answer: 120s}")
    directory = follower.directory
    with directory.lock:
        for number in range(10_050):
            directory.person(f"many{number}")
    follower.until(lambda: follower.restarts >= 1 and follower.state["connected"] and len(follower.people) > 10_000)
    follower.looked(3)
    change_all(directory, 1)
    follower.same()
    assert follower.restarts == 1, follower.problems


def usage(pid):
    """CPU seconds so far, and most memory held, MiB."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        peak = next((line for line in file if line.startswith("VmHWM")), "VmHWM 0")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), int(peak.split()[1]) / 1024


@both
def test_9999_changes_at_each_look(start, usn):
    """Time and memory are those of the changes, and memory does not grow from look to look."""
    directory = company(usn)
    many = [f"many{number}" for number in range(9_990)]
    for uid in many:
        directory.person(uid)
    follower = start(directory)
    pid = follower.worker()

    def everybody_changes(number):
        with directory.lock:
            for uid in many:
                directory.title(uid, f"title {number}")
        follower.until(lambda: follower.title_of(many[-1]) == [f"title {number}"])
    for number in range(3):
        everybody_changes(number)
    assert follower.restarts == 0, follower.problems
    cpu_s, peak_mib = usage(pid)
    for number in range(3, 6):
        everybody_changes(number)
    if not SANITIZED:
        cpu_after_s, peak_after_mib = usage(pid)
        assert peak_after_mib < peak_mib + 4, (peak_mib, peak_after_mib)
        assert peak_after_mib < 64
        assert cpu_after_s - cpu_s < 3, (cpu_s, cpu_after_s)
    follower.same()


@both
def test_large_entries(start, usn):
    """So much is not held at once: it is read anew, entry by entry."""
    follower = start(company(usn))
    directory = follower.directory
    large = b"x" * 1_000_000
    padding = entry(f"uid=user6,{PEOPLE}", unasked=[large])

    def pad(search, answers):
        return [padding] * 300 + answers if kind(search) == "users" else answers
    directory.faults.append(pad)
    pid, peaks = follower.worker(), []

    def watch():
        try:
            peaks.append(usage(pid)[1])
        except OSError:
            pass
        return follower.restarts == 1
    change_all(directory, 1)
    follower.until(watch)
    directory.faults.clear()
    follower.same()
    assert SANITIZED or max(peaks) < 200
