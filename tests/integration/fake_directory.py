"""Directories that misbehave: a scripted LDAP server, a cutting proxy, a server that never answers.

    with FakeDirectory(lambda request: [entry("uid=a", uid=["a"]), done()]) as server:
        server.url

The script gets each search (binds succeed by themselves) and returns what is sent back, each an
operation made by entry(), reference(), done(), or raw bytes (Raw(b"...")); None, instead of all or among
them, closes the connection.
"""
import socket
import threading
import urllib.parse

PAGED = b"1.2.840.113556.1.4.319"


class Raw(bytes):
    """Sent as it is, without an LDAP message around it."""


def tlv(tag, content):
    size = len(content)
    if size < 0x80:
        head = bytes([size])
    else:
        digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
        head = bytes([0x80 | len(digits)]) + digits
    return bytes([tag]) + head + content


def octets(value, tag=0x04):
    return tlv(tag, value if isinstance(value, bytes) else value.encode())


def integer(value, tag=0x02):
    return tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def entry(dn, attributes=None, **more):
    """SearchResultEntry; attributes: {description: [values]}."""
    pairs = {**(attributes or {}), **more}
    body = b"".join(tlv(0x30, octets(name) + tlv(0x31, b"".join(octets(v) for v in values)))
                    for name, values in pairs.items())
    return tlv(0x64, octets(dn) + tlv(0x30, body)), b""


def reference(url="ldap://elsewhere.example/"):
    return tlv(0x73, octets(url)), b""


def result(tag, code=0, text=""):
    return tlv(tag, integer(code, 0x0a) + octets("") + octets(text))


def done(code=0, cookie=b"", paged=True, text=""):
    """SearchResultDone, with the paged results control."""
    controls = b""
    if paged:
        value = tlv(0x30, integer(0) + octets(cookie))
        controls = tlv(0xa0, tlv(0x30, octets(PAGED) + octets(value)))
    return result(0x65, code, text), controls


def read_tlv(data, at=0):
    """(tag, content, where the next begins); None when data is cut."""
    if len(data) < at + 2:
        return None
    tag, size, begin = data[at], data[at + 1], at + 2
    if size & 0x80:
        count = size & 0x7f
        if len(data) < begin + count:
            return None
        size = int.from_bytes(data[begin:begin + count], "big")
        begin += count
    if len(data) < begin + size:
        return None
    return tag, data[begin:begin + size], begin + size


def parts(content):
    found, at = [], 0
    while at < len(content):
        tag, inner, at = read_tlv(content, at)
        found.append((tag, inner))
    return found


class Search:
    def __init__(self, body, controls):
        fields = parts(body)
        self.base = fields[0][1].decode()
        self.scope = fields[1][1][0]
        self.filter = fields[6]  # (tag, content)
        self.attributes = [inner.decode() for _, inner in parts(fields[7][1])]
        self.controls = []
        self.page_size, self.cookie = 0, b""
        for _, control in controls:
            inner = parts(control)
            self.controls.append(inner[0][1])
            if inner[0][1] == PAGED:
                size, cookie = parts(parts(inner[-1][1])[0][1])
                self.page_size, self.cookie = int.from_bytes(size[1], "big"), cookie[1]


class Listener:
    """Accepts on a loopback port; serve(connection) runs in a thread of its own for each."""

    def __init__(self, path=None):
        """path: a socket there instead of a port."""
        if path:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.bind(str(path))
            self._socket.listen()
            self.url = f"ldapi://{urllib.parse.quote(str(path), safe='')}"
        else:
            self._socket = socket.create_server(("127.0.0.1", 0))
            self.port = self._socket.getsockname()[1]
            self.url = f"ldap://127.0.0.1:{self.port}"
        self.connections = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def _accept(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection):
        try:
            self.serve(connection)
        except OSError:
            pass
        finally:
            close(connection)

    def serve(self, connection):
        raise NotImplementedError

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        close(self._socket)
        for connection in self.connections:
            close(connection)


def close(opened):
    try:
        opened.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    opened.close()


class SilentServer(Listener):
    """Accepts and never says a word."""

    def serve(self, connection):
        while connection.recv(65536):
            pass


class FakeDirectory(Listener):
    def __init__(self, script, bind_code=0):
        super().__init__()
        self.script = script
        self.bind_code = bind_code
        self.searches = []

    def serve(self, connection):
        data = b""
        while True:
            message = read_tlv(data)
            if message is None:
                received = connection.recv(65536)
                if not received:
                    return
                data += received
                continue
            data = data[message[2]:]
            if not self.answer(connection, parts(message[1])):
                return

    def answer(self, connection, fields):
        number, (tag, body) = fields[0][1], fields[1]
        controls = parts(fields[2][1]) if len(fields) > 2 else []
        if tag == 0x60:  # BindRequest
            connection.sendall(tlv(0x30, tlv(0x02, number) + result(0x61, self.bind_code)))
            return True
        if tag != 0x63:  # unbind and what nobody asks
            return False
        search = Search(body, controls)
        self.searches.append(search)
        answers = self.script(search)
        if answers is None:
            return False
        for answer in answers:
            if answer is None:
                return False
            if isinstance(answer, Raw):
                connection.sendall(answer)
            else:
                operation, answer_controls = answer
                connection.sendall(tlv(0x30, tlv(0x02, number) + operation + answer_controls))
        return True


class ForgetfulDirectory(FakeDirectory):
    """Lets our own account in and finds one person; when that one is to be bound as, it counts that and hangs up."""

    def __init__(self, path, dn, key):
        Listener.__init__(self, path)
        self.dn, self.key, self.binds, self.searches, self.script = dn, key, 0, [], self.find

    def find(self, search):
        if search.attributes == ["1.1"]:
            found = octets(self.key) in search.filter[1]
            return [*([entry(self.dn)] if found else []), done(paged=False)]
        return [done(code=52, paged=False)]

    def answer(self, connection, fields):
        if fields[1][0] != 0x60:
            return super().answer(connection, fields)
        name = parts(fields[1][1])[1][1].decode()
        if name == self.dn:
            self.binds += 1
            return False
        self.bind_code = 0
        return super().answer(connection, fields)


class CuttingProxy(Listener):
    """Passes on to another port; after `limit` bytes from there it runs cut() and closes, or hangs."""

    def __init__(self, port, limit, cut=None, hang=False):
        super().__init__()
        self.target, self.limit, self.cut, self.hang = port, limit, cut, hang

    def serve(self, connection):
        with socket.create_connection(("127.0.0.1", self.target)) as server:
            gone = threading.Event()
            threading.Thread(target=self._forward, args=(connection, server, gone),
                             daemon=True).start()
            passed = 0
            while passed < self.limit:
                data = server.recv(min(65536, self.limit - passed))
                if not data:
                    return
                connection.sendall(data)
                passed += len(data)
            if self.cut:
                self.cut()
            if self.hang:
                gone.wait(120)

    @staticmethod
    def _forward(source, target, gone):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        gone.set()
