"""One way to speak of people and groups to three directory servers.

    company = branch("samba")            skips the test with the reason where the server cannot run
    company.add(company.person("anna"), company.group("staff", [company.dn("anna")]))
    company.disable("anna")
    config = company.source()            YAML of sources[]

Each server is started once for all tests; a branch is a part of its tree (and of its names) that
belongs to one test alone.
"""
import atexit
import base64
import functools
import itertools
import uuid

import pytest

import ds389
import samba_dc
import slapd

NAMES = ["slapd", "389", "samba"]
# The same slapd with content synchronization is followed in another way.
FOLLOWED = {"slapd": "timestamp", "slapd-syncprov": "sync", "389": "sync", "samba": "usn"}
NUMBERS = itertools.count(1)
FILETIME_EPOCH_S = 11644473600


class Branch:
    """The common part; `server` has add, modify, delete and search."""

    name = key = None
    has_primary = False
    keeps_members_true = False  # member lists follow renames and deletions by themselves
    marker = "shadowExpire"
    sid = None

    def __init__(self, server, more=""):
        self.server = server
        self.number = next(NUMBERS)
        self.base = f"ou=b{self.number},{server.suffix}"
        self.people = f"ou=people,{self.base}"
        self.groups = f"ou=groups,{self.base}"
        self.elsewhere = f"ou=elsewhere,{self.base}"
        self.dns = {}
        server.add("".join(f"dn: {dn}\nobjectClass: organizationalUnit\n\n" for dn in
                           (self.base, self.people, self.groups, f"ou=north,{self.people}", self.elsewhere)) + more)

    # --- entries

    def login(self, uid):
        return uid

    def rdn(self, uid):
        return f"uid={uid}"

    def dn(self, uid):
        return self.dns.get(uid) or f"{self.rdn(uid)},{self.people}"

    def group_dn(self, name):
        return self.dns.get(name) or f"cn={name},{self.groups}"

    def person(self, uid, *lines):
        return slapd.person(uid, *lines, base=self.people)

    def group(self, name, members, *lines):
        """members: whole DNs. A group must have one: nobody is in all of them."""
        return "\n".join([f"dn: {self.group_dn(name)}", "objectClass: groupOfNames", f"cn: {name}",
                          f"member: cn=nobody,{self.base}", *(f"member: {m}" for m in members), *lines]) + "\n\n"

    # --- changes

    def add(self, *entries):
        self.server.add("".join(entries))

    def change(self, dn, *lines):
        self.server.modify("\n".join([f"dn: {dn}", "changetype: modify", *lines]) + "\n\n")

    def replace(self, uid, attribute, *values):
        self.change(self.dn(uid), f"replace: {attribute}", *(f"{attribute}: {v}" for v in values))

    def delete(self, uid):
        self.server.delete(self.dn(uid))
        self.dns.pop(uid, None)

    def delete_group(self, name):
        self.server.delete(self.group_dn(name))
        self.dns.pop(name, None)

    def join(self, name, *members):
        self.change(self.group_dn(name), "add: member", *(f"member: {m}" for m in members))

    def leave(self, name, *members):
        self.change(self.group_dn(name), "delete: member", *(f"member: {m}" for m in members))

    def move(self, dn, rdn, below=None):
        """The new DN. Lists keep the old one where the server does not change them by itself."""
        below = below or dn.split(",", 1)[1]
        self.server.modify(f"dn: {dn}\nchangetype: modrdn\nnewrdn: {rdn}\ndeleteoldrdn: 1\nnewsuperior: {below}\n\n")
        return f"{rdn},{below}"

    def rename(self, uid, new, below=None):
        """Another login name, and a DN that goes with it."""
        self.dns[new] = self.move(self.dn(uid), self.rdn(new), below)
        self.dns.pop(uid, None)

    def move_below(self, uid, below):
        self.dns[uid] = self.move(self.dn(uid), self.dn(uid).split(",", 1)[0], below)

    def rename_group(self, name, new, below=None):
        self.dns[new] = self.move(self.group_dn(name), f"cn={new}", below)
        self.dns.pop(name, None)

    # --- disabled states

    def expire(self, uid, when_s):
        """From then on; None: never."""
        self.replace(uid, "shadowExpire", *([] if when_s is None else [when_s // 86400]))

    def disable(self, uid):
        raise NotImplementedError

    def enable(self, uid):
        raise NotImplementedError

    # --- what is read

    def values(self, dn, attribute):
        """As bytes."""
        text = self.server.search("(objectClass=*)", attribute, base=dn)
        found = []
        for line in text.split("\n\n", 1)[0].splitlines():
            name, _, value = line.partition(":")
            if name.lower() == attribute.lower():
                found.append(base64.b64decode(value[1:]) if value.startswith(":") else value.strip().encode())
        return found

    def key_of(self, dn):
        (value,) = self.values(dn, self.key)
        return value.decode()

    @property
    def url(self):
        return self.server.url

    def source(self, name="corp", users_more="", more="", url=None):
        return f"""  - name: {name}
    type: ldap
    servers: ["{url or self.url}"]
    {"" if (url or self.url).startswith("ldapi") else "tls: none"}
    {"" if (url or self.url).startswith("ldapi") else "allow_cleartext: true"}
    bind: {{method: simple, dn: "{self.server.root_dn}", password_file: {self.server.password_file}}}
    users: {{base: "{self.people}", key: {self.key}{users_more}}}
    groups: {{base: "{self.groups}"}}
    {more}
"""


class OpenLdap(Branch):
    name, key = "slapd", "entryUUID"

    def person(self, uid, *lines):
        return super().person(uid, "objectClass: shadowAccount", *lines)

    def disable(self, uid):
        self.replace(uid, "pwdAccountLockedTime", "000001010000Z")

    def enable(self, uid):
        self.replace(uid, "pwdAccountLockedTime")


class Ds(Branch):
    name, key = "389", "nsUniqueId"

    def person(self, uid, *lines):
        return super().person(uid, "objectClass: shadowAccount", *lines)

    def disable(self, uid):
        self.replace(uid, "nsAccountLock", "true")

    def enable(self, uid):
        self.replace(uid, "nsAccountLock")


class Samba(Branch):
    """Login names belong to the whole domain, so that they carry the branch's number there and lose it here."""

    name, key = "samba", "objectGUID"
    has_primary = keeps_members_true = True
    marker = "accountExpires"

    def rdn(self, uid):
        return f"CN={uid}"

    def person(self, uid, *lines):
        return "\n".join([f"dn: {self.dn(uid)}", "objectClass: user", f"sAMAccountName: {uid}-{self.number}",
                          f"uid: {uid}", f"mail: {uid}@example.org", f"displayName: {uid.capitalize()}",
                          "userAccountControl: 544", *lines]) + "\n\n"

    def group(self, name, members, *lines):
        return "\n".join([f"dn: {self.group_dn(name)}", "objectClass: group", f"sAMAccountName: {name}-{self.number}",
                          *(f"member: {m}" for m in members), *lines]) + "\n\n"

    def rename(self, uid, new, below=None):
        super().rename(uid, new, below)
        self.replace(new, "uid", new)
        self.replace(new, "sAMAccountName", f"{new}-{self.number}")

    def expire(self, uid, when_s):
        self.replace(uid, "accountExpires", 0 if when_s is None else (when_s + FILETIME_EPOCH_S) * 10_000_000)

    def disable(self, uid):
        self.replace(uid, "userAccountControl", 546)

    def enable(self, uid):
        self.replace(uid, "userAccountControl", 544)

    def key_of(self, dn):
        (value,) = self.values(dn, self.key)
        return str(uuid.UUID(bytes_le=value))


KINDS = {"slapd": OpenLdap, "slapd-syncprov": OpenLdap, "389": Ds, "samba": Samba}


def make_slapd(syncprov=False):
    modules = ["moduleload ppolicy", "moduleload memberof"]
    return slapd.Slapd(slapd.BASE_ENTRIES, config=modules, syncprov=syncprov,
                       mdb=["maxsize 268435456", "index objectClass,uid,entryUUID,modifyTimestamp eq",
                            "overlay ppolicy", "overlay memberof", "memberof-refint false"])


MAKERS = {"slapd": make_slapd, "slapd-syncprov": lambda: make_slapd(True), "samba": samba_dc.SambaDc,
          "389": lambda: ds389.Ds389(slapd.BASE_ENTRIES, memberof=True)}
MISSING = {"slapd": lambda: "", "slapd-syncprov": lambda: "", "389": ds389.missing, "samba": samba_dc.missing}


@functools.cache
def server(name):
    made = MAKERS[name]()
    atexit.register(made.close)
    return made.start()


def branch(name):
    reason = MISSING[name]()
    if reason:
        pytest.skip(f"{name}: {reason}")
    return KINDS[name](server(name))
