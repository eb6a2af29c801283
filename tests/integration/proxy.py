"""Real proxies with the shipped snippets, before a small application that says what reached it.

    with Nginx(socket_of_the_daemon, hosts=["app.localhost"]) as proxy:
        proxy.url("app.localhost", "/")

Both are stopped by pid and live in a temporary folder, on a free port.
"""
import base64
import hashlib
import http.client
import json
import os
import shutil
import signal
import socket as sockets
import ssl
import subprocess
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ports import free_port

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config"
SOCKET = "/run/rolebridge/web.sock"
START_SECONDS = 120


def program(name):
    return shutil.which(name) or f"/usr/sbin/{name}"


def is_installed():
    return Path(program("nginx")).exists()


class Application(BaseHTTPRequestHandler):
    """Answers with the headers it got: (name, value) pairs, as they came. Echoes behind an upgrade."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.headers.get("Upgrade", "").lower() == "websocket":
            self.upgrade()
            return
        size = self.read_body()
        body = json.dumps({"path": self.path, "method": self.command, "size": size,
                           "headers": self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_POST = do_PUT = do_HEAD = do_GET

    def read_body(self):
        size = 0
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while True:
                chunk = int(self.rfile.readline().split(b";")[0], 16)
                self.rfile.read(chunk)
                self.rfile.readline()
                if chunk == 0:
                    return size
                size += chunk
        left = int(self.headers.get("Content-Length", 0))
        while left > 0:
            piece = self.rfile.read(min(left, 65536))
            if not piece:
                break
            left -= len(piece)
            size += len(piece)
        return size

    def upgrade(self):
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.send_header("X-Seen-User", self.headers.get("Remote-User", ""))
        self.end_headers()
        self.wfile.flush()
        self.close_connection = True
        while True:
            data = self.connection.recv(4096)
            if not data:
                return
            self.connection.sendall(data)

    def log_message(self, *_):
        pass


class Backend(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


class Proxy:
    """Common to all: folder, application, process. A server says how it is configured and started.

    login_host: goes to the daemon as a whole. pair: certificate and key, for https. passed: {host: port}: other
    servers on this machine, not protected.
    """

    name = None

    def __init__(self, socket, hosts, login_host=None, pair=None, passed=None, port=None):
        self._own = tempfile.TemporaryDirectory(prefix=f"rolebridge-{self.name}-")
        self.folder = Path(self._own.name)
        os.chmod(self.folder, 0o755)
        self.port = port or free_port()
        self.socket = socket
        self.hosts, self.login_host = hosts, login_host
        self.pair, self.passed = pair, passed or {}
        self.application = Backend(("127.0.0.1", 0), Application)
        self.thread = threading.Thread(target=self.application.serve_forever, daemon=True)
        self.process = None

    def snippets(self, folder, *places):
        """Copies of the shipped files, with our socket and folder in them."""
        for path in (CONFIG / folder).iterdir():
            text = path.read_text().replace(SOCKET, str(self.socket))
            for place in places:
                text = text.replace(place, str(self.folder))
            (self.folder / path.name).write_text(text)

    @property
    def backend(self):
        return f"127.0.0.1:{self.application.server_port}"

    @property
    def scheme(self):
        return "https" if self.pair else "http"

    def url(self, host, path="/"):
        return f"{self.scheme}://{host}:{self.port}{path}"

    def connect(self):
        connection = sockets.create_connection(("127.0.0.1", self.port), timeout=60)
        if self.pair:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            connection = context.wrap_socket(connection)
        return connection

    def raw(self, lines, body=b"", method="GET"):
        """The answer to a request written byte by byte, as (status, headers, body). lines: text, as sent."""
        with self.connect() as connection:
            connection.sendall("".join(f"{line}\r\n" for line in lines).encode("latin-1") +
                               b"Connection: close\r\n\r\n" + body)
            answer = http.client.HTTPResponse(connection, method=method)
            answer.begin()
            return answer.status, answer.headers, answer.read()

    def start(self):
        self.thread.start()
        command = self.configure()
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "TMPDIR": str(self.folder)}
        with open(self.folder / "stderr.log", "ab") as log:
            self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=environment, cwd=self.folder)
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} left: {self.logged()}")
            try:
                self.raw(["GET /.rolebridge/ HTTP/1.1", f"Host: {self.hosts[0]}"])
                return self
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)
        raise RuntimeError(f"{self.name} does not answer: {self.logged()}")

    def configure(self):
        """Writes the configuration; returns the command."""
        raise NotImplementedError

    def logged(self):
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))

    def close(self):
        process, self.process = self.process, None
        try:
            if process and process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        finally:
            if self.thread.is_alive():
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


class Nginx(Proxy):
    name = "nginx"

    def configure(self):
        self.snippets("nginx")
        if ":" in str(self.socket):
            # The daemon listens on TCP.
            path = self.folder / "rolebridge-http.conf"
            path.write_text(path.read_text().replace(f"unix:{self.socket}", self.socket))
        servers = "".join(self._server(host) for host in self.hosts)
        for host, port in self.passed.items():
            servers += self._passed(host, f"http://127.0.0.1:{port}")
        if self.login_host:
            servers += f"server {{ {self._listen(self.login_host)} include {self.folder}/rolebridge-login.conf; }}\n"
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
    client_max_body_size 16m;
    map $http_upgrade $upgrading {{ default upgrade; "" ""; }}
    include {self.folder}/rolebridge-http.conf;
    {servers}
}}
""")
        return [program("nginx"), "-p", self.folder, "-c", self.folder / "nginx.conf",
                "-e", self.folder / "error.log"]

    def _listen(self, host):
        tls = (f"ssl_certificate {self.pair[0]}; ssl_certificate_key {self.pair[1]};" if self.pair else "")
        return f"listen 127.0.0.1:{self.port}{' ssl' if self.pair else ''}; server_name {host}; {tls}"

    def _server(self, host):
        return f"""
    server {{
        {self._listen(host)}
        include {self.folder}/rolebridge-server.conf;
        location / {{
            include {self.folder}/rolebridge-protect.conf;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $upgrading;
            proxy_pass http://{self.backend};
        }}
    }}
"""

    def _passed(self, host, to):
        return f"""
    server {{
        {self._listen(host)}
        location / {{
            proxy_pass {to};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $host$rolebridge_port;
            proxy_set_header X-Forwarded-For $remote_addr;
        }}
    }}
"""


class Caddy(Proxy):
    name = "caddy"

    def configure(self):
        self.snippets("caddy")
        sites = "".join(self._site(host, f"import rolebridge {{host}}:{self.port} {self.backend}")
                        for host in self.hosts)
        if self.login_host:
            sites += self._site(self.login_host, f"reverse_proxy unix/{self.socket}")
        (self.folder / "Caddyfile").write_text(f"""{{
    admin off
    auto_https off
    storage file_system {self.folder}/storage
}}
import {self.folder}/rolebridge.caddy
{sites}
""")
        return [program("caddy"), "run", "--config", self.folder / "Caddyfile", "--adapter", "caddyfile"]

    def _site(self, host, body):
        return f"""
http://{host}:{self.port} {{
    bind 127.0.0.1
    {body}
}}
"""


class Apache(Proxy):
    name = "apache"
    MODULES = Path("/usr/lib/apache2/modules")
    WANTED = ["mpm_event", "authz_core", "lua", "proxy", "proxy_http", "proxy_wstunnel", "headers", "unixd"]

    def configure(self):
        self.snippets("apache", "/etc/rolebridge/apache")
        hosts = "".join(self._host(host) for host in self.hosts)
        if self.login_host:
            hosts += f"""
<VirtualHost 127.0.0.1:{self.port}>
    ServerName http://{self.login_host}:{self.port}
    ProxyAddHeaders Off
    RequestHeader set X-Forwarded-Proto http
    RequestHeader set X-Forwarded-Host {self.login_host}:{self.port}
    RequestHeader set X-Forwarded-For expr=%{{REMOTE_ADDR}}
    ProxyPass / unix:{self.socket}|http://rolebridge.localhost/
</VirtualHost>
"""
        # Some are built in.
        load = "".join(f"LoadModule {name}_module {self.MODULES}/mod_{name}.so\n" for name in self.WANTED
                       if (self.MODULES / f"mod_{name}.so").exists())
        user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
        (self.folder / "apache.conf").write_text(f"""
ServerRoot {self.folder}
{load}
{user}
Listen 127.0.0.1:{self.port}
PidFile {self.folder}/apache.pid
DefaultRuntimeDir {self.folder}
Mutex pthread
ErrorLog {self.folder}/error.log
LogLevel warn
StartServers 1
ThreadsPerChild 16
MaxRequestWorkers 32
ServerName {self.hosts[0]}
{hosts}
""")
        return [program("apache2"), "-f", self.folder / "apache.conf", "-DFOREGROUND"]

    def _host(self, host):
        return f"""
<VirtualHost 127.0.0.1:{self.port}>
    ServerName http://{host}:{self.port}
    Include {self.folder}/rolebridge-server.conf
    <Location "/">
        Include {self.folder}/rolebridge-protect.conf
    </Location>
    ProxyPass "/" "http://{self.backend}/" upgrade=websocket
</VirtualHost>
"""


SERVERS = {server.name: server for server in (Nginx, Caddy, Apache)}


def missing(name):
    """Why this server cannot be tested here; "" when it can."""
    if name == "apache":
        if not Path(program("apache2")).exists():
            return "apache2 is not installed"
        if not Path("/usr/share/lua/5.3/socket.lua").exists():
            return "lua-socket is not installed"
        return ""
    return "" if Path(program(name)).exists() else f"{name} is not installed"
