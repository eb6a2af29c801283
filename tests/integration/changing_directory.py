"""A scripted directory whose entries change: Active Directory by its root entry, or one with timestamps alone.

    directory = Changing(usn=True)
    directory.put("uid=a,ou=people,…", uid=["a"])        stamped as changed now
    with FakeDirectory(directory.script) as server: …

Searches are answered by their filters, in pages. A fault is a function of a search and its answers that
returns others (or None: the connection is closed); which search of a look it is says kind(search).
"""
import datetime
import re
import threading
import uuid

from fake_directory import done, entry, parts
from slapd import GROUPS, PEOPLE, SUFFIX, group_dn

SERVICE = f"CN=NTDS Settings,CN=DC1,CN=Sites,{SUFFIX}"
CAPABILITY = "1.2.840.113556.1.4.800"
SHOW_DELETED = "1.2.840.113556.1.4.417"
DELETED = f"CN=Deleted Objects,{SUFFIX}"
RANGE = re.compile(r"(.*);range=(\d+)-(\d+|\*)$", re.IGNORECASE)


def as_bytes(value):
    return value if isinstance(value, bytes) else str(value).encode()


def filter_text(tag, content):
    """As RFC 4515 writes it, without escapes; bytes that are no plain text, as ids may be, in hex: they could look like anything."""
    if tag in (0xa0, 0xa1, 0xa2):
        return f"({'&|!'[tag - 0xa0]}{''.join(filter_text(*part) for part in parts(content))})"
    if tag == 0x87:
        return f"({content.decode()}=*)"
    name, value = (inner for _, inner in parts(content))
    text = value.decode() if re.fullmatch(rb"[\w .:,=@+-]*", value) else value.hex()
    return f"({name.decode()}{'>=' if tag == 0xa5 else '='}{text})"


def kind(search):
    """Which of a follower's searches this is."""
    text = filter_text(*search.filter)
    if search.scope == 0:
        return {"": "root", SERVICE.lower(): "service"}.get(search.base.lower(), "range")
    if "organizationalUnit" in text:
        return "containers"
    if ">=" in text and search.attributes == ["modifyTimestamp"]:
        return "times"
    where = "users" if search.base == PEOPLE else "groups"
    if ">=" in text:
        return where if text.startswith("(&") else "changes"
    if re.search(r"\((entryUUID|objectGUID)=[^*]", text):
        return "check"
    return "all " + where


def values_of(attributes, name):
    values = attributes.get(name)
    if values is None:
        values = next((v for n, v in attributes.items() if n.lower() == name.lower()), [])
    return values


def matcher(tag, content):
    """Of a filter: whether an entry's attributes match. It is taken apart once, for there may be ten thousand of them."""
    if tag in (0xa0, 0xa1):
        inner, every = [matcher(*part) for part in parts(content)], (all, any)[tag - 0xa0]
        return lambda attributes: every(matches(attributes) for matches in inner)
    if tag == 0xa2:
        matches = matcher(*parts(content)[0])
        return lambda attributes: not matches(attributes)
    if tag == 0x87:
        name = content.decode().lower()
        return lambda attributes: name == "objectclass" or any(name == n.lower() for n in attributes)
    name, wanted = (inner for _, inner in parts(content))
    name = name.decode()
    if tag == 0xa5:
        number = int if name == "uSNChanged" else str
        least = number(wanted.decode())
        return lambda attributes: any(number(as_bytes(v).decode()) >= least for v in values_of(attributes, name))
    wanted = wanted.lower()
    return lambda attributes: any(as_bytes(v).lower() == wanted for v in values_of(attributes, name))


class Changing:
    def __init__(self, usn, clock_s=0):
        self.usn_based, self.clock_s = usn, clock_s  # seconds the clock of the server is ahead
        self.entries, self.usn = {}, 1000
        self.invocation = uuid.uuid4().bytes
        self.faults, self.seen = [], []
        self.lock = threading.RLock()
        for dn in (SUFFIX, PEOPLE, GROUPS):
            self.put(dn, objectClass=["organizationalUnit"])

    # --- what is in it

    def time(self, seconds=0):
        now = datetime.datetime.now(datetime.timezone.utc)
        return (now + datetime.timedelta(seconds=self.clock_s + seconds)).strftime("%Y%m%d%H%M%SZ")

    def stamp(self, dn, time=None):
        with self.lock:
            self.usn += 1
            kept = self.entries[dn]
            time = time or self.time()
            if self.usn_based:
                kept["uSNChanged"] = [self.usn]
                kept.setdefault("uSNCreated", [self.usn])
            else:
                kept["modifyTimestamp"] = [time]
                kept.setdefault("createTimestamp", [time])

    def put(self, dn, time=None, **attributes):
        """New or changed; [] takes an attribute away."""
        with self.lock:
            key = uuid.uuid4()
            fresh = {"objectGUID": [key.bytes]} if self.usn_based else {"entryUUID": [str(key)]}
            kept = self.entries.setdefault(dn, fresh)
            kept.update({name: list(values) for name, values in attributes.items()})
            self.stamp(dn, time)

    def person(self, uid, time=None, **attributes):
        self.put(f"uid={uid},{PEOPLE}", time, objectClass=["person"], uid=[uid], cn=[uid],
                 **{"title": ["agent"], **attributes})

    def group(self, name, *members, time=None):
        self.put(group_dn(name), time, objectClass=["group"], cn=[name],
                 member=[m if "=" in m else f"uid={m},{PEOPLE}" for m in members])

    def title(self, uid, title, time=None):
        self.put(f"uid={uid},{PEOPLE}", time, title=[title])

    def remove(self, dn):
        with self.lock:
            gone = self.entries.pop(dn)
            self.usn += 1
            return gone

    def bury(self, dn, name=None):
        """Deleted as Active Directory does it."""
        with self.lock:
            kept = self.remove(dn)
            tomb = f"CN={name or 'x'}\\0ADEL:{uuid.uuid4()},{DELETED}"
            self.entries[tomb] = {"objectGUID": kept["objectGUID"], "objectClass": ["person"], "isDeleted": ["TRUE"]}
            self.stamp(tomb)
            return tomb

    # --- what it answers

    def root(self):
        if not self.usn_based:
            return entry("", objectClass=["top"], vendorName=["Scripted"])
        return entry("", supportedCapabilities=[CAPABILITY], supportedControl=[SHOW_DELETED], dsServiceName=[SERVICE],
                     defaultNamingContext=[SUFFIX], highestCommittedUSN=[str(self.usn)])

    def found(self, search):
        base, deleted = search.base.lower(), SHOW_DELETED.encode() in search.controls
        matches, below = matcher(*search.filter), "," + base
        for dn, attributes in self.entries.items():
            inside = dn.lower() == base or (search.scope and dn.lower().endswith(below))
            if inside and (deleted or "isDeleted" not in attributes) and matches(attributes):
                yield dn, attributes

    most = 1 << 30  # values of `member` at once

    def shown(self, search, attributes):
        shown = {}
        for name in search.attributes:
            ranged = RANGE.match(name)
            base = ranged.group(1) if ranged else name
            values = next((v for n, v in attributes.items() if n.lower() == base.lower()), None)
            if values is None:
                continue
            if base.lower() == "member" and (ranged or len(values) > self.most):
                first = int(ranged.group(2)) if ranged else 0
                end = min(first + self.most, len(values))
                last = "*" if end == len(values) else end - 1
                name, values = f"{base};range={first}-{last}", values[first:end]
            shown[name] = [as_bytes(v) for v in values]
        return shown

    def answer(self, search):
        if search.base == "" and search.scope == 0:
            return [self.root(), done(paged=False)]
        if search.base.lower() == SERVICE.lower():
            return [entry(SERVICE, invocationId=[self.invocation]), done(paged=False)]
        found = list(self.found(search))
        begin = int(search.cookie or b"0")
        end = begin + search.page_size if search.page_size else len(found)
        cookie = b"%d" % end if end < len(found) else b""
        return [*(entry(dn, self.shown(search, kept)) for dn, kept in found[begin:end]),
                done(cookie=cookie, paged=search.page_size > 0)]

    def script(self, search):
        with self.lock:
            self.seen.append(kind(search))
            answers = self.answer(search)
            for fault in list(self.faults):
                answers = fault(search, answers)
                if answers is None:
                    return None
            return answers

    # --- faults

    def once(self, wanted, change):
        """The next search of this kind is answered with change(answers); None closes the connection."""
        def fault(search, answers):
            if kind(search) != wanted or fault not in self.faults:
                return answers
            self.faults.remove(fault)
            return change(answers)
        with self.lock:
            self.faults.append(fault)
        return fault

    def always(self, wanted, change):
        def fault(search, answers):
            return change(answers) if kind(search) == wanted else answers
        with self.lock:
            self.faults.append(fault)
        return fault

    def looks(self):
        return self.seen.count("changes")
