"""HTTP over the control socket, on one kept connection."""
import http.client
import json
import socket
import time

IDLE_SECONDS = 10  # the daemon closes what says nothing for longer than three times that


class Control(http.client.HTTPConnection):
    def __init__(self, path, timeout=60):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)
        self.used = time.monotonic()

    def request(self, *words, **options):
        if time.monotonic() - self.used > IDLE_SECONDS:
            self.close()
        super().request(*words, **options)
        self.used = time.monotonic()

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)

    def ask(self, method, path, body=None):
        """(status, answer)."""
        text = None if body is None else json.dumps(body)
        self.request(method, "/api/v1/" + path, text, {"Content-Type": "application/json"} if text else {})
        response = self.getresponse()
        data = response.read()
        return response.status, json.loads(data) if data else None


class Bearer:
    """Somebody by a token, on the control socket: it lets them no more than it says."""

    def __init__(self, path, token):
        self.control, self.token = Control(path), token

    def ask(self, method, path, body=None):
        text = None if body is None else json.dumps(body)
        headers = {"Authorization": "Bearer " + self.token} | ({"Content-Type": "application/json"} if text else {})
        self.control.request(method, "/api/v1/" + path, text, headers)
        response = self.control.getresponse()
        return response.status, json.loads(response.read() or "null")

    def run(self, path, body=None):
        """The run that came of it, ended; or the refusal."""
        status, answer = self.ask("POST", path, body)
        if status != 202:
            return status, answer
        run = {"state": "running"}
        while run["state"] == "running":
            status, run = self.ask("GET", f"runs/{answer['run']}?wait_ms=10000")
            assert status == 200, run
        return 202, run
