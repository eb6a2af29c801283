"""An accounts helper without accounts: keeps in memory what it is told, and misbehaves as tests want.

    with FakeHelper(folder / "helper.sock") as helper:
        helper.mode = "hang"
        helper.accounts["ada"]

The bytes are those that the real one's tests write down (accounts_tree).
"""
import socket
import struct
import threading
import uuid

from accounts_tree import (DELETE, DISABLE, ENABLE, ENSURE, HELLO, LIST, PAGE, RESULT, STATES, WELCOME, Reader, frame, text,
                           varint)

DONE, AGAIN, REFUSED = range(3)


def read_uuid(reader):
    return str(uuid.UUID(bytes=reader.take(16)))


class FakeHelper:
    def __init__(self, path):
        self.path = path
        self.mode = "ok"  # "hang", "close", "garbage", "again", "old", "unwelcome", "endless"
        self.refuse = {}  # name: code
        self.lock = threading.Lock()
        self.owned = {}  # uuid: account
        self.asked = []  # (what, uuid or name), in order
        self.connections = []
        self.socket = None
        self.thread = None

    @property
    def accounts(self):
        with self.lock:
            return {account["name"]: dict(account) for account in self.owned.values()}

    def of(self, user):
        with self.lock:
            return dict(self.owned[user]) if user in self.owned else None

    def __enter__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(self.path))
        self.socket.listen(64)
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.path.unlink()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.thread.join()

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    @staticmethod
    def _receive(connection):
        def whole(size):
            data = b""
            while len(data) < size:
                more = connection.recv(size - len(data))
                if not more:
                    return None
                data += more
            return data

        head = whole(4)
        body = whole(struct.unpack("<I", head)[0]) if head else None
        return (struct.unpack("<H", body[:2])[0], Reader(body[2:])) if body else (None, None)

    def _serve(self, connection):
        try:
            with connection:
                while True:
                    kind, reader = self._receive(connection)
                    if kind is None or not self._misbehave(connection, kind):
                        return
                    connection.sendall(frame(*self._answer(kind, reader)))
                    reader.done()
        except OSError:
            pass

    def _misbehave(self, connection, kind):
        """False: that was all."""
        if self.mode == "hang" and kind != HELLO:
            connection.recv(1)
            return False
        if self.mode == "close" and kind != HELLO:
            return False
        if self.mode == "garbage" and kind != HELLO:
            connection.sendall(frame(RESULT, b"\xff" * 40))
            return False
        if self.mode == "unwelcome":
            connection.sendall(frame(RESULT, self._result(REFUSED, code="malformed")))
            return False
        return True

    @staticmethod
    def _result(status=DONE, uid=0, code="", changed=False):
        return struct.pack("<BBI", status, changed, uid) + text(code) + text("as told" if code else "")

    def _answer(self, kind, reader):
        with self.lock:
            if kind == HELLO:
                assert reader.number("I") == 1
                return WELCOME, struct.pack("<IIII", 99 if self.mode == "old" else 1, 70000, 79999, len(self.owned))
            if kind == ENSURE:
                return RESULT, self._ensure(reader)
            if kind == LIST:
                return PAGE, self._page(read_uuid(reader), reader.number("I"))
            user = read_uuid(reader)
            self.asked.append(({DISABLE: "disable", ENABLE: "enable", DELETE: "delete"}[kind], user))
            if user in self.owned:
                self.owned[user]["state"] = {DISABLE: "disabled", ENABLE: "enabled", DELETE: "deleting"}[kind]
            return RESULT, self._result()

    def _ensure(self, reader):
        user = read_uuid(reader)
        account = {"name": reader.text(), "uid": reader.number("I"), "gecos": reader.text(), "shell": reader.text(),
                   "home": reader.text(), "primary": reader.text()}
        account["groups"] = [reader.text() for _ in range(reader.varint())]
        account["state"] = "enabled" if reader.number("B") else "disabled"
        self.asked.append(("ensure", account["name"]))
        if self.mode == "again":
            return self._result(AGAIN, code="disk-full")
        if account["name"] in self.refuse:
            return self._result(REFUSED, code=self.refuse[account["name"]])
        old = self.owned.get(user)
        if old and old["name"] != account["name"]:
            return self._result(REFUSED, code="name-changed")
        if any(other["name"] == account["name"] for owner, other in self.owned.items() if owner != user):
            return self._result(REFUSED, code="name-used")
        account["uid"] = old["uid"] if old else account["uid"] or 70000 + len(self.owned)
        self.owned[user] = account
        return self._result(uid=account["uid"], changed=account != old)

    def _page(self, after, most):
        endless = self.mode == "endless"
        users = sorted(user for user in self.owned if user > after or endless)
        self.asked.append(("list", after))
        body = struct.pack("<B", len(users) > most or endless) + varint(len(users[:most]))
        for user in users[:most]:
            account = self.owned[user]
            body += uuid.UUID(user).bytes + text(account["name"])
            body += struct.pack("<IB", account["uid"], STATES.index(account["state"]))
            for field in ("gecos", "shell", "home", "primary"):
                body += text(account[field])
            body += varint(len(account["groups"])) + b"".join(text(group) for group in account["groups"])
        return body
