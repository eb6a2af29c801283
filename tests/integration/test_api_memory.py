"""Long bodies cost what they are, not what a tree of them would be."""
import json

import pytest

from bridge import DAEMON, Bridge
from control import Control

CONFIG = 'profiles: [{name: administrator, permissions: ["*:*@all"]}]\npolicy: {default_profile: administrator}\n'
MIB = 1 << 20
SIZE = 30 * MIB
BODIES = {
    "many items": b'{"resources":[' + b'{"type":"a","id":"b"},' * (SIZE // 22) + b"{}]}",
    "many of nothing": b'{"resources":[' + b"0," * (SIZE // 2) + b"0]}",
    "lists in a list": b'{"resources":[' + b"[]," * (SIZE // 3) + b"0]}",
    "a long item": b'{"resources":[[' + b"0," * (SIZE // 2) + b"0]]}",
    "a long member of an item": b'{"resources":[{"type":[' + b"[]," * (SIZE // 3) + b"0]}]}",
    "a long member": b'{"x":[' + b"[]," * (SIZE // 3) + b"0]}",
    "a long name": b'{"' + b"a" * SIZE + b'":1}',
    "many members": b'{"resources":[],' + b",".join(b'"%d":1' % n for n in range(SIZE // 11)) + b"}",
    "no JSON": b'{"resources":[' + b" " * SIZE,
}


@pytest.mark.skipif(b"__asan_init" in DAEMON.read_bytes(), reason="a sanitizer's memory is another one")
def test_long_bodies():
    with Bridge(CONFIG) as bridge:
        control = Control(bridge.folder / "control.sock")

        def peak():
            status = (bridge.folder / "/proc" / str(bridge.process.pid) / "status").read_text()
            return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024

        before = peak()
        for name, body in BODIES.items():
            control.request("POST", "/api/v1/resources/crm", body, {"Content-Type": "application/json"})
            response = control.getresponse()
            answer = json.loads(response.read())
            assert response.status in (400, 422) and answer["code"] == "invalid-request", (name, answer)
            # The body itself, and what room was made for it while it came.
            assert peak() - before < 2.5 * SIZE, (name, (peak() - before) // MIB)
        control.close()
