"""Ports for servers that tests start.

Each test process takes them in turn from a range of its own, below those that the kernel gives to outgoing
connections: between the look and the server's start nobody else comes upon the same one.
"""
import itertools
import os
import random
import socket

FIRST, LAST = 12000, 32000
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_SPAN = (LAST - FIRST) // _WORKERS
_NEXT = itertools.count(random.randrange(_SPAN))


def free_port():
    for _ in range(_SPAN):
        port = FIRST + _WORKER * _SPAN + next(_NEXT) % _SPAN
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port is free")
