"""A receiver of webhooks: HTTP or HTTPS on loopback, connections kept, with faults on demand.

    receiver = Receiver(secrets)          # answers 204 and keeps what is whole and signed
    receiver.fault = status(500)          # or any function of the handler, for each request from now on
    receiver.wait(lambda events: len(events) == 3)

It judges by itself, without a line of the daemon's: signature, time, schema, and that no id comes with another body.
"""
import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import socket
import ssl
import threading
import time
from pathlib import Path

import jsonschema

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "schemas" / "webhook-event.schema.json").read_text())
jsonschema.Draft202012Validator.check_schema(SCHEMA)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker())
WAIT_SECONDS = 120
TOLERANCE_SECONDS = 300


def key_of(secret):
    return base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()


def signature(secret, headers, body):
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key_of(secret), signed, hashlib.sha256).digest()).decode()


class Event(dict):
    """The body; with headers, the raw bytes and the connection that it came by."""


class Receiver:
    def __init__(self, secrets, pair=None, port=0):
        self.secrets = list(secrets)
        self.pair, self.port = pair, port
        self.fault = None          # function of the handler; None: takes the event
        self.choose = None         # gives the fault of each request anew, by its body; None: fault
        self.events = []           # taken, in order, each id once
        self.taken = []            # the same with repetitions
        self.asked = 0             # requests whose body came whole
        self.connections = set()   # numbers of connections that brought one
        self.problems = []         # whatever no event may be
        self._bodies = {}
        self._open = set()         # sockets
        self._lock = threading.Condition()
        self.release = threading.Event()  # ends what hangs
        self.start()

    # --- the server ---

    def start(self):
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # One segment each: an answer whose head waits for an acknowledgement takes 40 ms.
            wbufsize = -1

            def setup(self):
                super().setup()
                receiver.opened(self.connection)

            def finish(self):
                receiver.closed(self.connection)
                super().finish()

            def do_POST(self):
                receiver.take(self)

            def do_GET(self):
                receiver.problem(f"GET {self.path}")
                reply(self, 405)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128
            allow_reuse_address = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        if self.pair:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.pair)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                     do_handshake_on_connect=False)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def stop(self):
        """Nobody listens there any more, and connections end; start again on the same port."""
        self.release.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def opened(self, connection):
        with self._lock:
            self._open.add(connection)

    def closed(self, connection):
        with self._lock:
            self._open.discard(connection)

    @property
    def url(self):
        return f"{'https' if self.pair else 'http'}://127.0.0.1:{self.port}/hook"

    # --- requests ---

    def problem(self, text):
        with self._lock:
            self.problems.append(text)

    def take(self, handler):
        # Asked once: tests change them while requests are under way.
        choose, fault = self.choose, self.fault
        if fault is not None and choose is None and getattr(fault, "before_body", False):
            fault(handler)
            return
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        self.judge(handler, body)
        if choose is not None:
            fault = choose(body)
        with self._lock:
            self.asked += 1
            self.connections.add(handler.client_address)
            self._lock.notify_all()
        if fault is not None:
            fault(handler)
            return
        event = Event(json.loads(body))
        event.raw, event.headers, event.connection = body, dict(handler.headers), handler.client_address
        with self._lock:
            if all(event["id"] != earlier["id"] for earlier in self.taken):
                self.events.append(event)
            self.taken.append(event)
            self._lock.notify_all()
        reply(handler, 204)

    def judge(self, handler, body):
        headers = handler.headers
        try:
            given = headers["webhook-signature"].split(" ")
            if not any(signature(secret, headers, body) in given for secret in self.secrets):
                self.problem(f"no signature of ours: {given}")
            if abs(int(headers["webhook-timestamp"]) - time.time()) > TOLERANCE_SECONDS:
                self.problem(f"old: {headers['webhook-timestamp']}")
            if headers["Content-Type"] != "application/json":
                self.problem(headers["Content-Type"])
            event = json.loads(body)
            VALIDATOR.validate(event)
            if event["id"] != headers["webhook-id"]:
                self.problem("the id is another one in the header")
            with self._lock:
                if self._bodies.setdefault(event["id"], body) != body:
                    self.problems.append(f"{event['id']} came with another body: {body}, before {self._bodies[event['id']]}")
        except Exception as error:  # whatever is wrong is told by the test, not by this thread
            self.problem(repr(error)[:1000])

    # --- for tests ---

    def wait(self, condition):
        """Until the condition holds of the list of events."""
        self._wait(lambda: condition(self.events), lambda: f"{len(self.events)} events, {self.asked} requests")

    def wait_asked(self, count):
        self._wait(lambda: self.asked >= count, lambda: f"{self.asked} of {count} requests")

    def _wait(self, condition, told):
        end = time.monotonic() + WAIT_SECONDS
        with self._lock:
            while not condition():
                left = end - time.monotonic()
                assert left > 0, f"{told()}; {self.problems}"
                self._lock.wait(left)
        assert not self.problems, self.problems

    def types(self, username=None):
        return [event["type"] for event in self.events
                if username is None or event["data"]["user"]["username"] == username]

    def close(self):
        self.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# --- answers ---

def reply(handler, status, body=b"", headers=()):
    handler.send_response(status)
    for name, value in headers:
        handler.send_header(name, value)
    if status != 204:
        handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
    handler.wfile.flush()


def status(number, body=b"the receiver's own words", headers=()):
    return lambda handler: reply(handler, number, body, headers)


def hang(receiver):
    def fault(handler):
        handler.close_connection = True
        receiver.release.wait(WAIT_SECONDS)
    return fault


def close_at_once(handler):
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def close_before_body(handler):
    close_at_once(handler)


close_before_body.before_body = True


def close_mid_answer(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegun")
    handler.wfile.flush()
    close_at_once(handler)


def drip(receiver):
    """A byte a second, for as long as anybody listens."""
    def fault(handler):
        handler.close_connection = True
        try:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            while not receiver.release.wait(1):
                handler.wfile.write(b"x")
                handler.wfile.flush()
        except OSError:
            pass
    return fault


def no_http(handler):
    handler.close_connection = True
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")


def endless(number):
    def fault(handler):
        handler.close_connection = True
        try:
            handler.wfile.write(b"HTTP/1.1 %d Fine\r\n\r\n" % number)
            while True:
                handler.wfile.write(b"x" * 65536)
        except OSError:
            pass
    return fault
