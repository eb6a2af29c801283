"""A directory of twelve people and four nested groups that goes back and forth between two states, read by a daemon.

Every read, and every read after it, has something to give and something to take away; limits are off and
one read decides, so that whatever is lost by mistake shows at once.
"""
from bridge import Bridge
from company import LIMITS_OFF, attempt, people, policy
from slapd import GROUPS, PEOPLE, SUFFIX, Slapd, group, group_dn, person

RULES = """
profiles:
  - {name: administrator, permissions: ["*:*@all"]}
  - {name: manager, permissions: ["accounts:*@all"]}
  - {name: viewer, permissions: ["accounts:read@own"]}
segments: [All]
roles:
""" + "".join(f"""  - {{name: {name}, classifications: [Sales], segments: [All], permissions: ["{name}:*@own"]}}
""" for name in ("sales", "leads", "support")) + """rules:
  - {id: managers, when: "(title=manager)", grant: {profile: manager}}
""" + "".join(f"""  - {{id: {name}, groups: ["cn={name},{GROUPS}"], grant: {{roles: [{name}]}}}}
""" for name in ("sales", "leads", "support"))

ROLE = 1  # kind of a grant, as the store has it
COUNT = 12
PAGE = 3


def employee(number):
    return person(f"user{number}", f"title: {'manager' if number in (2, 11) else 'agent'}", "employeeType: here")


def nested_groups():
    """sales holds leads holds inner, which holds leads; support stands alone."""
    return [group("sales", ["uid=user1", "uid=user2", group_dn("leads")]),
            group("leads", ["uid=user3", group_dn("inner")]),
            group("inner", ["uid=user4", "uid=user5", group_dn("leads")]),
            group("support", ["uid=user6", "uid=user7", "uid=user8"])]


DIRECTORY = [employee(i) for i in range(1, COUNT + 1)] + nested_groups()


def change(dn, *lines):
    return f"dn: {dn}\nchangetype: modify\n" + "".join(f"{line}\n" for line in lines) + "\n"


def swap(dn, attribute, old, new):
    return change(dn, f"delete: {attribute}", f"{attribute}: {old}", "-", f"add: {attribute}", f"{attribute}: {new}")


def move(old, new, kind):
    """From one state to the other: memberships, a subgroup, titles, and somebody disabled."""
    user = "uid={},{}".format
    return (swap(group_dn("inner"), "member", user(old[0], PEOPLE), user(new[0], PEOPLE)) +
            swap(group_dn("support"), "member", user(old[1], PEOPLE), user(new[1], PEOPLE)) +
            swap(group_dn("sales"), "member", old[2], new[2]) +
            change(user(old[3], PEOPLE), "replace: title", "title: agent") +
            change(user(new[3], PEOPLE), "replace: title", "title: manager") +
            change(user("user12", PEOPLE), "replace: employeeType", f"employeeType: {kind}"))


LEADS, SUPPORT = group_dn("leads"), group_dn("support")
TO = {"b": move(("user5", "user7", LEADS, "user11"), ("user9", "user10", SUPPORT, "user12"), "left"),
      "a": move(("user9", "user10", SUPPORT, "user12"), ("user5", "user7", LEADS, "user11"), "here")}


def config(directory, *urls, limits=LIMITS_OFF, answer="10s", page_size=PAGE, interval=0, more=""):
    servers = ", ".join(f'"{url}"' for url in urls)
    return f"""{RULES}{policy(limits)}
sources:
  - name: corp
    type: ldap
    servers: [{servers}]
    tls: none
    allow_cleartext: true
    bind: {{method: simple, dn: "{directory.root_dn}", password_file: {directory.password_file}}}
    users: {{base: "{PEOPLE}", disabled: ["employeeType=left"]}}
    groups: {{base: "{GROUPS}"}}
    page_size: {page_size}
    timeouts: {{connect: 20s, answer: {answer}}}
    interval: {interval}
{more}"""


def lost(before, after, told=()):
    """What a person had and has no longer; [] is what must be. told: whom the directory itself says to be disabled."""
    gone = []
    for name, (_, profile, disabled, grants) in before.items():
        _, new_profile, new_disabled, new_grants = after.get(name, ("", "", 0, set()))
        missing = {g for g in grants - new_grants if g[1] not in ("manager", "viewer")}
        stopped = new_disabled and not disabled and name not in told
        if missing or stopped or (profile == "manager" and new_profile != "manager"):
            gone.append((name, profile, new_profile, disabled, new_disabled, missing))
    return gone


def lost_roles(before, after):
    """Roles come from groups; titles are the person's own."""
    return {name: gone for name, (*_, grants) in before.items()
            if (gone := {g for g in grants if g[0] == ROLE} - after[name][3])}


class Scene:
    """A daemon that reads a directory through a proxy."""

    def __init__(self, directory, proxy, bridge, expected):
        self.directory, self.proxy, self.bridge, self.expected = directory, proxy, bridge, expected
        self.state = "a"

    def read(self):
        run = attempt(self.bridge, "sync", "corp")
        assert run["state"] == "done", run
        (report,) = run["reports"]
        return report

    def people(self):
        return people(self.bridge.folder / "store.db")

    def toggle(self):
        self.state = "b" if self.state == "a" else "a"
        self.directory.modify(TO[self.state])

    def fail(self, *faults):
        """The directory changes, and a read of it meets the faults. The report; nothing may be lost."""
        self.toggle()
        before = self.people()
        self.proxy.next(*faults)
        report = self.read()
        if not report["complete"]:
            # What an entry says by itself counts at once: somebody is disabled, whatever came after.
            told = {"user12"} if self.state == "b" else set()
            assert not lost(before, self.people(), told), (self.state, report)
            assert report["revoked"] == report["held"] == report["missing"] == 0, report
            assert report["disabled"] <= len(told), report
            (source,) = self.bridge.ctl("status")["sources"]
            assert report["problem"] and source["problem"] == report["problem"], (source, report)
        return report

    def recover(self):
        self.proxy.clear()
        report = self.read()
        assert report["complete"], report
        assert self.people() == self.expected[self.state]


def fresh(directory, folder):
    """What a daemon makes of the directory that has never seen another state."""
    folder.mkdir(exist_ok=True)
    with Bridge(config(directory, directory.url), folder=folder) as bridge:
        assert attempt(bridge, "sync", "corp")["reports"][0]["complete"]
        return people(bridge.folder / "store.db")


def both_states(directory, folder):
    """{state: what a fresh daemon makes of it}; the directory is in "a" before and after."""
    expected = {}
    for name in ("b", "a"):
        directory.modify(TO[name])
        expected[name] = fresh(directory, folder / name)
    assert lost(expected["a"], expected["b"]) and lost(expected["b"], expected["a"])
    return expected


class Watched(Slapd):
    """Read by somebody from whom access rules may hide a quarter of the people, with success."""

    READER = f"cn=reader,{SUFFIX}"
    ENTRY = (f"dn: {READER}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n"
             "cn: reader\nuserPassword: readers\n\n")
    EVERYTHING = ["to attrs=userPassword by anonymous auth by * none", "to * by * read"]
    HIDDEN = (f'to dn.regex="^(uid=user1|uid=user4|uid=user9),{PEOPLE}$" '
              f'by dn.exact="{READER}" none by * read')

    def __init__(self, folder, **more):
        super().__init__(DIRECTORY + [self.ENTRY], acls=self.EVERYTHING, **more)
        self.readers = folder / "readers"
        self.readers.touch(mode=0o600)
        self.readers.write_text("readers")

    def config(self, *urls, **more):
        text = config(self, *urls, **more)
        return text.replace(self.root_dn, self.READER).replace(str(self.password_file), str(self.readers))

    def restart(self, hide):
        self.stop()
        path = self.folder / "slapd.conf"
        rules = [self.EVERYTHING[0], self.HIDDEN, self.EVERYTHING[1]] if hide else self.EVERYTHING
        lines = [line for line in path.read_text().splitlines(True) if not line.startswith("access ")]
        at = lines.index(next(line for line in lines if line.startswith("directory "))) + 1
        path.write_text("".join(lines[:at] + [f"access {rule}\n" for rule in rules] + lines[at:]))
        self.start()
