#!/usr/bin/python3
"""What signing in with passwords does to everything else: /auth while as many passwords are hashed as may be, beside /auth
while none are.

    signin.py BUILD [SECONDS [ROUNDS]]

A real daemon with the default cost of a hash. The load: so many browsers post a right or a wrong password over and over that all
workers are at work and the queue is full; those that are turned away wait as they are told. They stand for other machines, so they
take only what time of the processor nobody else wants (SCHED_IDLE): else 19 sign-ins a second, whose Python is about a millisecond
each, are more than the slowest hundredth.

/auth is asked over a unix socket, as a proxy does, so many times a second whatever the answers take (ask_steadily.c), and then
as fast as it goes (ask_unix.c). Each round has both, idle and under load; medians of the rounds are printed, and the
best round of each, for other work of the machine makes both worse.
"""
import contextlib
import http.client
import os
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlencode, urlsplit

HERE = Path(__file__).resolve().parent
BUILD = Path(sys.argv[1]).resolve()
os.environ["ROLEBRIDGE_BUILD"] = str(BUILD)
sys.path.insert(0, str(HERE.parent / "integration"))
from browser import Browser, Form  # noqa: E402
from second_factor import CONFIG, PASSWORD, SecondFactor  # noqa: E402

RATE = 1000
HASHES = re.compile(r"^rolebridge_password_hashes_total (\d+)$", re.M)
BUSY = re.compile(r"^rolebridge_password_hashes_refused_total (\d+)$", re.M)
WAITING = 16


def connect(world):
    connection = http.client.HTTPConnection("localhost", timeout=120)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(str(world.socket))
    return connection


def figures(world):
    with contextlib.closing(connect(world)) as connection:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    return int(HASHES.search(text)[1]), int(BUSY.search(text)[1])


class Load:
    """Enough browsers that there is always one more than may wait."""

    def __init__(self, world):
        self.world, self.stopping = world, threading.Event()
        count = max(os.cpu_count() // 2, 1) + WAITING + 2
        self.threads = [threading.Thread(target=self.post, args=(number,)) for number in range(count)]

    def post(self, number):
        os.sched_setscheduler(threading.get_native_id(), os.SCHED_IDLE, os.sched_param(0))
        browser = Browser()
        form = Form(browser.get(self.world.url + "/login"))
        cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies(self.world.url).items())
        body = urlencode({**form.fields, "username": "anna" if number % 2 else f"nobody{number}", "password": PASSWORD})
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookies,
                   "Host": urlsplit(self.world.url).netloc, "X-Forwarded-For": f"10.0.0.{number}"}
        with contextlib.closing(connect(self.world)) as connection:
            while not self.stopping.is_set():
                connection.request("POST", "/login", body, headers)
                answer = connection.getresponse()
                answer.read()
                if answer.status == 503:
                    self.stopping.wait(int(answer.headers["Retry-After"]))
                elif answer.status not in (303, 403):
                    raise RuntimeError(f"{answer.status}")

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        before = figures(self.world)[1]
        while figures(self.world)[1] == before:
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


def steadily(world, request, seconds):
    done = subprocess.run([BUILD / "bench" / "ask_steadily", world.socket, str(RATE), str(seconds)], input=request,
                          capture_output=True, check=True)
    return [float(text) for text in done.stdout.split()]


def as_fast(world, request, seconds):
    done = subprocess.run([BUILD / "bench" / "ask_unix", world.socket, "16", str(seconds)], capture_output=True,
                          input=str(len(request)).encode() + b"\n" + request, check=True)
    return float(done.stdout.split()[0])


def main():
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 8
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    config = CONFIG.replace(", memory: 8MiB, operations: 1", "").replace(
        "attempts: 100, address_attempts: 1000", "attempts: 100, address_attempts: 1000000, delay: 1s, delay_max: 1s")
    config = "log_level: error\n" + config
    with SecondFactor(config=config) as world:
        world.person("anna")
        browser, _ = world.sign_in("anna", world.crm)
        token = browser.cookies(world.crm)["rolebridge-app"]
        request = (f"GET /auth HTTP/1.1\r\nHost: rolebridge\r\nX-Forwarded-Proto: http\r\n"
                   f"X-Forwarded-Host: {urlsplit(world.crm).netloc}\r\nX-Forwarded-Uri: /\r\n"
                   f"X-Forwarded-Method: GET\r\nCookie: rolebridge-app={token}\r\n\r\n").encode()
        idle, loaded, fast, fast_loaded, hashed = [], [], [], [], []
        for _ in range(rounds):
            idle.append(steadily(world, request, seconds))
            fast.append(as_fast(world, request, seconds))
            with Load(world):
                before, begun = figures(world)[0], time.monotonic()
                loaded.append(steadily(world, request, seconds))
                hashed.append((figures(world)[0] - before) / (time.monotonic() - begun))
                fast_loaded.append(as_fast(world, request, seconds))
        for name, rows in (("no passwords", idle), ("as many as may be", loaded)):
            p50, p90, p99, p999, longest = (statistics.median(column) for column in zip(*rows))
            print(f"  /auth, {RATE} a second, {name}: p50 {p50:.0f}, p90 {p90:.0f}, p99 {p99:.0f} (best round "
                  f"{min(row[2] for row in rows):.0f}), p99.9 {p999:.0f}, max {longest:.0f} us", flush=True)
        ratio = statistics.median(a[2] / b[2] for a, b in zip(loaded, idle))
        best = min(row[2] for row in loaded) / min(row[2] for row in idle)
        print(f"  p99 under load: {ratio:.2f} x of idle, best rounds {best:.2f} x (goal 2); "
              f"{statistics.median(hashed):.1f} hashes a second meanwhile; as fast as it goes "
              f"{statistics.median(fast_loaded):.0f} a second against {statistics.median(fast):.0f}; load "
              f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)


if __name__ == "__main__":
    main()
