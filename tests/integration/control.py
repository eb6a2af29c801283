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
