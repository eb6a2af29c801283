#!/usr/bin/python3
"""How fast people come in from a CSV file, end to end through rolebridgectl.

    import.py BUILD ROWS [ROUNDS]

Each round on a new store: a dry run, the import, the same file again, one that ties each of them to two of 1,000 accounts,
and the export, each as one command from its start to its end. Printed: rows a second by the wall, CPU of the daemon and of the command for each row.
"""
import os
import resource
import statistics
import sys
import time
from pathlib import Path

BUILD, ROWS = Path(sys.argv[1]).resolve(), int(sys.argv[2])
ROUNDS = int(sys.argv[3]) if len(sys.argv) > 3 else 3
os.environ["ROLEBRIDGE_BUILD"] = str(BUILD)
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "integration"))
from bridge import Bridge  # noqa: E402
from control import Control  # noqa: E402

CONFIG = """
profiles:
  - {name: administrator, permissions: ["*:*@all"]}
  - {name: viewer, permissions: ["accounts:read@own"]}
segments: [All]
roles:
  - {name: sales, description: Sells, classifications: [Sales], segments: [All], permissions: ["quotes:*@own"]}
policy: {default_profile: viewer}
"""


def daemon_cpu(bridge):
    fields = Path(f"/proc/{bridge.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children_cpu():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(bridge, *words):
    cpu, mine, start = daemon_cpu(bridge), children_cpu(), time.monotonic()
    result = bridge.run(*words)
    wall = time.monotonic() - start
    assert result.returncode == 0, result.stderr
    return ROWS / wall, (daemon_cpu(bridge) - cpu) / ROWS * 1e6, (children_cpu() - mine) / ROWS * 1e6


def one_round():
    rows = "".join(f"E{i:07d},user{i:07d},user{i:07d}@example.com,User Number {i},viewer,sales,active\n"
                   for i in range(ROWS))
    with Bridge(CONFIG) as bridge:
        path = bridge.write("people.csv",
                            "external_id,username,email,display_name,profile,role,state\n" + rows)
        tied = bridge.write("tied.csv", "external_id,accounts\n" + "".join(
            f"E{i:07d},crm/{i % 1000};crm/{i * 7 % 1000 if i % 1000 else 1}\n" for i in range(ROWS)))
        control = Control(bridge.folder / "control.sock")
        status, _ = control.ask("POST", "resources/crm", {"resources": [
            {"type": "accounts", "id": str(i), "organization": "default"} for i in range(1000)]})
        control.close()
        assert status == 200
        return {
            "dry run": measure(bridge, "import", "users", path, "--dry-run"),
            "import": measure(bridge, "import", "users", path),
            "the same again": measure(bridge, "import", "users", path),
            "with accounts": measure(bridge, "import", "users", tied),
            "export": measure(bridge, "export", "users"),
        }


def main():
    rounds = [one_round() for _ in range(ROUNDS)]
    print(f"{ROWS} rows, median of {ROUNDS}")
    for name in rounds[0]:
        rate, daemon, command = (statistics.median(r[name][i] for r in rounds) for i in range(3))
        slowest = min(r[name][0] for r in rounds)
        print(f"{name:16} {rate:10,.0f} rows/s (slowest {slowest:,.0f}), CPU a row: daemon {daemon:.1f} µs, "
              f"command {command:.1f} µs")


main()
