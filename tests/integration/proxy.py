"""A real nginx with the shipped snippets, before a small application that says what reached it.

    with Proxy(socket_of_the_daemon, hosts=["app.localhost"]) as proxy:
        proxy.url("app.localhost", "/")

Both are stopped by pid and live in a temporary folder; nginx runs as whoever runs the test.
"""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from idp import free_port

ROOT = Path(__file__).resolve().parents[2]
SNIPPETS = ROOT / "config" / "nginx"
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
START_SECONDS = 20


def is_installed():
    return Path(NGINX).exists()


class Application(BaseHTTPRequestHandler):
    """Answers with the headers it got: (name, value) pairs, as they came."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = json.dumps({"path": self.path, "headers": self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        pass


class Proxy:
    def __init__(self, socket, hosts, login_host=None):
        self._own = tempfile.TemporaryDirectory(prefix="rolebridge-nginx-")
        self.folder = Path(self._own.name)
        os.chmod(self.folder, 0o755)
        self.port = free_port()
        self.application = ThreadingHTTPServer(("127.0.0.1", 0), Application)
        self.thread = threading.Thread(target=self.application.serve_forever, daemon=True)
        self.process = None
        for snippet in SNIPPETS.glob("*.conf"):
            text = snippet.read_text().replace("/run/rolebridge/web.sock", str(socket))
            (self.folder / snippet.name).write_text(text)
        servers = "".join(self._server(host) for host in hosts)
        if login_host:
            servers += self._login(login_host)
        (self.folder / "nginx.conf").write_text(f"""
{"user root root;" if os.geteuid() == 0 else ""}
daemon off;
worker_processes 1;
pid {self.folder}/nginx.pid;
error_log {self.folder}/error.log warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {self.folder}/body;
    proxy_temp_path {self.folder}/proxy;
    fastcgi_temp_path {self.folder}/fastcgi;
    uwsgi_temp_path {self.folder}/uwsgi;
    scgi_temp_path {self.folder}/scgi;
    include {self.folder}/rolebridge-http.conf;
    {servers}
}}
""")

    def _server(self, host):
        return f"""
    server {{
        listen 127.0.0.1:{self.port};
        server_name {host};
        include {self.folder}/rolebridge-server.conf;
        location / {{
            include {self.folder}/rolebridge-protect.conf;
            proxy_pass http://127.0.0.1:{self.application.server_port};
        }}
    }}
"""

    def _login(self, host):
        return f"""
    server {{
        listen 127.0.0.1:{self.port};
        server_name {host};
        location / {{
            proxy_pass http://rolebridge;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
        }}
    }}
"""

    def url(self, host, path="/"):
        return f"http://{host}:{self.port}{path}"

    def start(self):
        self.thread.start()
        with open(self.folder / "stderr.log", "ab") as log:
            self.process = subprocess.Popen([NGINX, "-p", self.folder, "-c", self.folder / "nginx.conf",
                                             "-e", self.folder / "error.log"],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"nginx left: {self.logged()}")
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/.rolebridge/", timeout=5)
            except urllib.error.HTTPError:
                return self
            except OSError:
                time.sleep(0.02)
        raise RuntimeError(f"nginx does not answer: {self.logged()}")

    def logged(self):
        return "".join((self.folder / name).read_text(errors="replace")
                       for name in ("stderr.log", "error.log") if (self.folder / name).exists())

    def close(self):
        process, self.process = self.process, None
        try:
            if process and process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(20)
        finally:
            self.application.shutdown()
            self.application.server_close()
            self._own.cleanup()

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_):
        self.close()
