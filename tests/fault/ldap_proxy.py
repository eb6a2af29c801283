"""A proxy that understands LDAP, between the daemon and a real directory, and lies where it is told to.

    with FaultProxy(directory.port) as proxy:
        proxy.next(cut(at(5)))                       the next connection breaks before its 5th answer
        proxy.next(result(nth("done", 2), 4))        and the one after it is refused its 2nd page
        proxy.always(Ranges())                       all others: member lists as Active Directory cuts them
        ... proxy.url ...
        proxy.links[-1].cut()                        now

A fault is a function of a message: None lets it pass, a list stands for what is sent instead: messages,
bytes, CUT, STOP, a Pause. Faults of one connection are applied one after another. `when` is a function
that chooses messages: at(), nth(), or any other. Messages are counted for each connection and
direction from 1. Clear text only: TLS would hide what is to be changed.
"""
import socket
import struct
import threading
import time

from fake_directory import PAGED, Listener, close, integer, octets, parts, read_tlv, tlv

UP, DOWN = "up", "down"  # to the directory, from it
KINDS = {0x60: "bind", 0x61: "bound", 0x42: "unbind", 0x50: "abandon", 0x63: "search", 0x64: "entry", 0x65: "done",
         0x73: "reference", 0x77: "extended", 0x78: "extended-done", 0x79: "intermediate"}
SYNC_REQUEST = b"1.3.6.1.4.1.4203.1.9.1.1"
SYNC_STATE = b"1.3.6.1.4.1.4203.1.9.1.2"
SYNC_DONE = b"1.3.6.1.4.1.4203.1.9.1.3"
SYNC_INFO = b"1.3.6.1.4.1.4203.1.9.1.4"
NOTICE_OF_DISCONNECTION = b"1.3.6.1.4.1.1466.20036"
CUT, RESET, STOP = "cut", "reset", "stop"  # close; close with RST; keep the connection and forward nothing more


class Pause:
    def __init__(self, seconds):
        self.seconds = seconds


class Message:
    """One LDAPMessage. number: among those of its direction; nth: among those of its kind."""

    def __init__(self, raw, direction, link=None, number=0):
        self.raw, self.direction, self.link, self.number, self.nth = raw, direction, link, number, 0
        fields = parts(read_tlv(raw)[1])
        self.id = int.from_bytes(fields[0][1], "big", signed=True)
        self.tag, self.body = fields[1]
        self._controls = fields[2][1] if len(fields) > 2 else b""
        self.kind = KINDS.get(self.tag, hex(self.tag))

    def __repr__(self):
        return f"{self.direction} {self.number} {self.kind} id {self.id}"

    @property
    def controls(self):
        """{oid: value}; None where a control has no value."""
        return {oid: value for oid, _, value in self._control_list()}

    def _control_list(self):
        found = []
        for _, control in parts(self._controls):
            fields = parts(control)
            critical = any(tag == 0x01 and inner != b"\0" for tag, inner in fields)
            value = next((inner for tag, inner in fields[1:] if tag == 0x04), None)
            found.append((fields[0][1], critical, value))
        return found

    def changed(self, *, body=None, tag=None, message_id=None):
        tag = self.tag if tag is None else tag
        content = integer(self.id if message_id is None else message_id)
        content += tlv(tag, self.body if body is None else body)
        if self._controls:
            content += tlv(0xa0, self._controls)
        return self._again(tlv(0x30, content))

    def with_control(self, oid, value):
        """value: bytes, or None to take the control away; a control that is not there is added."""
        controls, found = b"", False
        for name, critical, present in self._control_list():
            if name == oid:
                found, present = True, value
                if value is None:
                    continue
            controls += control_bytes(name, critical, present)
        if not found and value is not None:
            controls += control_bytes(oid, False, value)
        content = integer(self.id) + tlv(self.tag, self.body) + (tlv(0xa0, controls) if controls else b"")
        return self._again(tlv(0x30, content))

    def _again(self, raw):
        other = Message(raw, self.direction, self.link, self.number)
        other.nth = self.nth
        return other

    # --- what is in it

    @property
    def dn(self):
        """Of an entry, or the base of a search."""
        return parts(self.body)[0][1].decode(errors="replace")

    @property
    def values(self):
        """Of an entry: [(description, [values])], as bytes."""
        found = []
        for _, pair in parts(parts(self.body)[1][1]):
            name, values = parts(pair)
            found.append((name[1], [inner for _, inner in parts(values[1])]))
        return found

    def with_values(self, pairs, dn=None):
        body = b"".join(tlv(0x30, octets(name) + tlv(0x31, b"".join(octets(v) for v in values)))
                        for name, values in pairs)
        name = parts(self.body)[0][1] if dn is None else dn
        return self.changed(body=octets(name) + tlv(0x30, body))

    @property
    def code(self):
        return int.from_bytes(parts(self.body)[0][1], "big")

    @property
    def asked(self):
        """The attributes a search asks for."""
        return [inner for _, inner in parts(parts(self.body)[7][1])]

    def asking(self, names):
        fields = [tlv(tag, inner) for tag, inner in parts(self.body)[:7]]
        return self.changed(body=b"".join(fields) + tlv(0x30, b"".join(octets(n) for n in names)))

    @property
    def page(self):
        """(size or estimate, cookie) of the paged results control, or None."""
        value = self.controls.get(PAGED)
        if value is None:
            return None
        fields = parts(parts(value)[0][1])
        return int.from_bytes(fields[0][1], "big"), fields[1][1]

    def with_page(self, size, cookie):
        return self.with_control(PAGED, tlv(0x30, integer(size) + octets(cookie)))

    @property
    def sync_mode(self):
        """Of a search: 1 refreshOnly, 3 refreshAndPersist, None when it is no sync."""
        value = self.controls.get(SYNC_REQUEST)
        return None if value is None else parts(parts(value)[0][1])[0][1][0]

    @property
    def sync_cookie(self):
        """The cookie anywhere in a message of a sync, or None."""
        for oid in (SYNC_REQUEST, SYNC_STATE, SYNC_DONE):
            value = self.controls.get(oid)
            if value is not None:
                fields = parts(parts(value)[0][1])
                fields = fields[2:] if oid == SYNC_STATE else fields
                return next((inner for tag, inner in fields if tag == 0x04), None)
        name, value = self.info
        if name == "newcookie":
            return value
        return next((inner for tag, inner in parts(value) if tag == 0x04), None) if name else None

    @property
    def sync_state(self):
        """Of an entry: (0 present, 1 add, 2 modify, 3 delete; uuid), or None."""
        value = self.controls.get(SYNC_STATE)
        if value is None:
            return None
        fields = parts(parts(value)[0][1])
        return fields[0][1][0], fields[1][1]

    @property
    def info(self):
        """Of a syncInfo message: (its kind, content); (None, None) for others."""
        if self.kind != "intermediate":
            return None, None
        fields = dict(parts(self.body))
        if fields.get(0x80) != SYNC_INFO:
            return None, None
        tag, content, _ = read_tlv(fields[0x81])
        return {0x80: "newcookie", 0xa1: "refreshDelete", 0xa2: "refreshPresent", 0xa3: "syncIdSet"}[tag], content

    def with_info(self, content):
        """The same kind of syncInfo with another content."""
        fields = dict(parts(self.body))
        tag, _, _ = read_tlv(fields[0x81])
        return self.changed(body=tlv(0x80, SYNC_INFO) + tlv(0x81, tlv(tag, content)))


def control_bytes(oid, critical, value):
    return tlv(0x30, octets(oid) + (b"\x01\x01\xff" if critical else b"") + (b"" if value is None else octets(value)))


def answer(message, code, text="injected", tag=0x65, controls=b""):
    """A result for the request that `message` is, or that it answers."""
    content = integer(message.id) + tlv(tag, integer(code, 0x0a) + octets("") + octets(text))
    return Message(tlv(0x30, content + (tlv(0xa0, controls) if controls else b"")), DOWN, message.link)


def notice_of_disconnection(code=52):
    content = integer(code, 0x0a) + octets("") + octets("shutting down") + octets(NOTICE_OF_DISCONNECTION, 0x8a)
    return tlv(0x30, integer(0) + tlv(0x78, content))


# --- which messages


def at(number, direction=DOWN):
    return lambda message: message.direction == direction and message.number == number


def nth(kind, number):
    return lambda message: message.kind == kind and message.nth == number


def of_dn(*parts_of_dn, kind="entry"):
    return lambda message: message.kind == kind and any(p.lower() in message.dn.lower() for p in parts_of_dn)


# --- faults


def instead(when, *items):
    """items: what is sent; a function of the message makes one or a list."""
    def fault(message):
        if not when(message):
            return None
        made = [item(message) if callable(item) else item for item in items]
        return [part for item in made for part in (item if isinstance(item, list) else [item])]
    return fault


def same(message):
    return message


def cut(when, after=False, how=CUT):
    return instead(when, *([same, how] if after else [how]))


def stop(when, after=False):
    """Half-open: nobody hears anything more, nobody is told."""
    return cut(when, after, STOP)


def pause(when, seconds):
    return instead(when, Pause(seconds), same)


def drop(when):
    return instead(when)


def double(when):
    return instead(when, same, same)


def garbage(when, data=b"\x30\x84\xff\xff\xff\xff what is this"):
    return instead(when, data)


def result(when, code, keep_controls=False):
    """A result of the directory becomes another one, or comes in place of any other answer, or at once."""
    def make(message):
        controls = b"".join(control_bytes(o, False, v) for o, v in message.controls.items()) if keep_controls else b""
        return answer(message, code, controls=controls)
    return instead(when, make)


def no_cookie(when):
    """The page claims to be the last one."""
    return instead(when, lambda message: message.with_page(0, b""))


def no_control(when, oid=PAGED):
    return instead(when, lambda message: message.with_control(oid, None))


def page_cookie(when, cookie):
    return instead(when, lambda message: message.with_page(0, cookie))


def sync_cookie(cookie, when=lambda message: message.sync_mode is not None):
    """Ask the directory with this cookie (bytes; None: without one)."""
    def make(message):
        mode = integer(message.sync_mode, 0x0a)
        return message.with_control(SYNC_REQUEST, tlv(0x30, mode + (octets(cookie) if cookie is not None else b"")))
    return instead(lambda message: message.kind == "search" and when(message), make)


def refresh_required(when=lambda message: message.sync_mode is not None):
    """e-syncRefreshRequired (RFC 4533 2.5); the search never reaches the directory."""
    return instead(lambda message: message.kind == "search" and when(message), lambda message: answer(message, 4096))


def cut_id_set(when=lambda message: message.info[0] == "syncIdSet"):
    """Half of the uuids of a syncIdSet are missing."""
    def make(message):
        fields = parts(message.info[1])
        _, ids = fields[-1]
        kept = parts(ids)[:len(parts(ids)) // 2]
        fields[-1] = (0x31, b"".join(tlv(tag, inner) for tag, inner in kept))
        return message.with_info(b"".join(tlv(tag, inner) for tag, inner in fields))
    return instead(when, make)


class Ranges:
    """Lists of more than `most` values are answered in ranges (MS-ADTS 3.1.1.3.1.3.3)."""

    def __init__(self, most=1500, attribute=b"member"):
        self.most, self.attribute = most, attribute

    def __call__(self, message):
        asked = message.link.memory.setdefault("ranges", {}) if message.link else {}
        if message.kind == "search":
            return self._ask(message, asked)
        if message.kind == "entry":
            return [message.with_values([pair for name, values in message.values
                                         for pair in self._slices(name, values, asked.get(message.id))])]
        return None

    def _ask(self, message, asked):
        names = []
        for name in message.asked:
            base, _, option = name.partition(b";range=")
            if option:
                first, _, last = option.partition(b"-")
                asked[message.id] = (int(first), None if last == b"*" else int(last))
            names.append(base)
        return [message.asking(names)]

    def _slices(self, name, values, asked):
        if name.lower() != self.attribute or (asked is None and len(values) <= self.most):
            return [(name, values)]
        first, last = asked or (0, None)
        end = min(first + self.most, len(values), len(values) if last is None else last + 1)
        until = b"*" if end == len(values) else b"%d" % (end - 1)
        ranged = (name + b";range=%d-%s" % (first, until), values[first:end])
        return [ranged] if asked else [(name, []), ranged]


class PageLimit:
    """No page is longer, and a search without pages ends after so many entries with sizeLimitExceeded."""

    def __init__(self, most=1000):
        self.most = most

    def __call__(self, message):
        unpaged = message.link.memory.setdefault("unpaged", {})
        if message.kind == "search" and message.page:
            size, cookie = message.page
            return [message.with_page(min(size, self.most) or self.most, cookie)]
        if message.kind == "search":
            unpaged[message.id] = 0
        elif message.kind == "entry" and message.id in unpaged:
            unpaged[message.id] += 1
            return None if unpaged[message.id] <= self.most else []
        elif message.kind == "done" and unpaged.get(message.id, 0) > self.most:
            return [answer(message, 4)]
        return None


# --- the proxy


class Link:
    """One connection of the daemon, and ours to the directory."""

    def __init__(self, proxy, client, server, faults):
        self.proxy, self.faults, self.memory = proxy, list(faults), {}
        self.sockets = {DOWN: client, UP: server}  # by where messages of the direction go
        self.locks = {DOWN: threading.Lock(), UP: threading.Lock()}
        for opened in self.sockets.values():
            if opened.family != socket.AF_UNIX:
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stopped = self.ended = False
        self.seen = []  # (direction, kind) of all messages, before faults
        self.infos = []  # kinds of syncInfo messages
        self.counts = {}

    def forward(self, direction):
        """From one side until it ends, is cut, or says what is no LDAP."""
        source, data = self.sockets[UP if direction == DOWN else DOWN], b""
        try:
            while received := source.recv(262144):
                data += received
                at_byte = 0
                while (found := read_tlv(data, at_byte)) is not None:
                    self._pass(Message(data[at_byte:found[2]], direction, self))
                    at_byte = found[2]
                data = data[at_byte:]
        except OSError:
            pass
        if direction == UP or not self.stopped:
            self.cut()

    def _count(self, message):
        for name in (message.direction, message.kind):
            self.counts[name] = self.counts.get(name, 0) + 1
        message.number, message.nth = self.counts[message.direction], self.counts[message.kind]

    def _pass(self, message):
        with self.proxy.changed:
            if self.stopped:
                return
            self._count(message)
            self.seen.append((message.direction, message.kind))
            self.infos.extend([message.info[0]] if message.info[0] else [])
            items = [message]
            for fault in self.faults:
                items = [new for item in items for new in self._apply(fault, item)]
            self.proxy.changed.notify_all()
        for item in items:
            self._do(item, message.direction)

    @staticmethod
    def _apply(fault, item):
        made = fault(item) if isinstance(item, Message) else None
        return [item] if made is None else made

    def _do(self, item, direction):
        if item is STOP:
            self.stopped = True
        elif item in (CUT, RESET):
            self.cut(reset=item is RESET)
        elif isinstance(item, Pause):
            time.sleep(item.seconds)
        elif not self.stopped:
            self.send(item.raw if isinstance(item, Message) else item,
                      item.direction if isinstance(item, Message) else direction)

    def add(self, *faults):
        """From now on."""
        with self.proxy.changed:
            self.faults.extend(faults)

    def coming(self, number, direction=DOWN):
        """The first, second … message from now on: for faults."""
        return at(self.counts.get(direction, 0) + number, direction)

    def send(self, data, direction=DOWN):
        """Bytes of ours, between two messages."""
        with self.locks[direction]:
            self.sockets[direction].sendall(data)

    def stop(self):
        self.stopped = True

    def cut(self, reset=False):
        self.ended = True
        for opened in self.sockets.values():
            if reset:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            close(opened)
        with self.proxy.changed:
            self.proxy.changed.notify_all()


def connect(target):
    """target: a port of loopback, or the path of a socket."""
    if isinstance(target, int):
        return socket.create_connection(("127.0.0.1", target))
    opened = socket.socket(socket.AF_UNIX)
    try:
        opened.connect(str(target))
    except OSError:
        opened.close()
        raise
    return opened


class FaultProxy(Listener):
    """target: port or socket path of the directory behind it, to be set anew when that moves."""

    def __init__(self, target):
        super().__init__()
        self.target = target
        self.links = []
        self.changed = threading.Condition()
        self._next, self._always = [], ()

    def next(self, *faults):
        """For one connection to come; several calls queue up."""
        with self.changed:
            self._next.append(faults)

    def always(self, *faults):
        """For connections that nothing else was said for."""
        with self.changed:
            self._always = faults

    def clear(self):
        """No faults any more, of connections that are there neither."""
        with self.changed:
            self._next, self._always = [], ()
            for link in self.links:
                link.faults.clear()

    def serve(self, connection):
        with connect(self.target) as server:
            with self.changed:
                link = Link(self, connection, server, self._next.pop(0) if self._next else self._always)
                self.links.append(link)
                self.changed.notify_all()
            back = threading.Thread(target=link.forward, args=(DOWN,), daemon=True)
            back.start()
            link.forward(UP)
            back.join()

    def wait(self, condition, seconds=60):
        """Until condition() is true; asked after each message. Fails loudly."""
        with self.changed:
            assert self.changed.wait_for(condition, seconds), [link.seen for link in self.links[-2:]]

    def __exit__(self, *words):
        for link in self.links:
            link.cut()
        super().__exit__(*words)
