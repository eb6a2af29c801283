"""A company in an LDIF file, of any size, and what a daemon made of it."""
import json
import sqlite3
from contextlib import closing

BASE = "dc=example,dc=org"
PEOPLE = f"ou=people,{BASE}"
GROUPS = f"ou=groups,{BASE}"
GROUP_COUNT = 5

# For directories of slapd.py: one role by one group.
SALES_RULES = f"""
profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: viewer, permissions: ["accounts:read@own"]}}
segments: [All]
roles:
  - {{name: sales, classifications: [Sales], segments: [All], permissions: ["quotes:*@own"]}}
rules:
  - id: sales
    groups: ["cn=sales,{GROUPS}"]
    grant: {{roles: [sales]}}
"""

RULES = """
profiles:
  - {name: administrator, permissions: ["*:*@all"]}
  - {name: manager, permissions: ["accounts:*@all"]}
  - {name: viewer, permissions: ["accounts:read@own"]}
segments: [All]
roles:
""" + "".join(f"""  - {{name: role{i}, classifications: [Sales], segments: [All], permissions: ["things{i}:*@own"]}}
""" for i in range(GROUP_COUNT)) + "rules:\n" + f"""  - id: administrators
    groups: ["cn=administrators,{GROUPS}"]
    grant: {{profile: administrator}}
  - id: managers
    when: "(title=manager)"
    grant: {{profile: manager}}
""" + "".join(f"""  - id: group{i}
    groups: ["cn=group{i},{GROUPS}"]
    grant: {{roles: [role{i}]}}
""" for i in range(GROUP_COUNT))

LIMITS_OFF = ("{disables_min: 1000000, disables_max: 1000000, removals_min: 1000000, group_loss_percent: 100, "
              "new_administrators: 1000000, first_sync_administrators: true}")
LIMITS_TIGHT = ("{disables_min: 0, disables_max: 0, removals_min: 0, removals_percent: 0%, "
                "new_administrators: 1000000, first_sync_administrators: true}")


def policy(limits=LIMITS_OFF):
    return (f"policy:\n  default_profile: viewer\n  missing_runs: 1\n  missing_grace: 0\n"
            f"  limits: {limits}\n")


def config(limits=LIMITS_OFF, path="people.ldif", more=""):
    return (f"{more}{RULES}{policy(limits)}sources:\n"
            f"  - {{name: corp, type: ldif, path: {path}, interval: 0}}\n")


def person(number, title="agent"):
    return (f"dn: uid=p{number:06d},{PEOPLE}\nobjectClass: inetOrgPerson\nuid: p{number:06d}\n"
            f"cn: Person {number}\nsn: {number}\nmail: p{number:06d}@example.org\ntitle: {title}\n"
            f"entryUUID: key-{number:06d}\n\n")


def group(name, members):
    return (f"dn: cn={name},{GROUPS}\nobjectClass: groupOfNames\ncn: {name}\nentryUUID: group-{name}\n" +
            "".join(f"member: uid=p{m:06d},{PEOPLE}\n" for m in members) + "\n")


def ldif(numbers, shift=0):
    """Everybody has one role or none, two are administrators; with another shift a part of titles and roles is another."""
    numbers = list(numbers)
    text = [person(n, "manager" if (n + shift) % 3 == 0 else "agent") for n in numbers]
    text.append(group("administrators", [10, 11]))
    for i in range(GROUP_COUNT):
        text.append(group(f"group{i}", [n for n in numbers if (n * 7 + shift) % (2 * GROUP_COUNT) == i]))
    return "".join(text)


def attempt(bridge, *words):
    """A run however it ended, or the refusal: the JSON that was answered."""
    result = bridge.run(*words)
    text = result.stdout.strip() or result.stderr.strip()
    try:
        return json.loads(text)
    except ValueError as error:
        raise AssertionError(f"no JSON: {result}") from error


def read(bridge, source="corp"):
    """Report of a sync, complete or not."""
    run = attempt(bridge, "sync", source)
    assert run.get("state") == "done", run
    (report,) = run["reports"]
    return report


def rows(path, statement, *arguments):
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)) as store:
        return store.execute(statement, arguments).fetchall()


PEOPLE_QUERY = """
SELECT u.username, u.email, coalesce(p.text, ''), u.disabled, coalesce(g.value ->> 0, 0), coalesce(n.text, ''),
       coalesce(g.value ->> 2, 0), coalesce(i.text, ''), coalesce(s.text, '')
FROM user AS u LEFT JOIN name AS p ON p.id = u.profile LEFT JOIN user_grant AS t ON t.user = u.id
LEFT JOIN json_each(t.grants) AS g
LEFT JOIN name AS n ON n.id = g.value ->> 1 LEFT JOIN name AS i ON i.id = g.value ->> 3
LEFT JOIN name AS s ON s.id = g.value ->> 4
"""


def people(store):
    """Everybody by username, straight from the store: address, profile, why disabled, grants with origins."""
    found = {}
    for name, email, profile, disabled, *grant in rows(store, PEOPLE_QUERY):
        person_found = found.setdefault(name, (email, profile, disabled, set()))
        if grant[0]:
            person_found[3].add(tuple(grant))
    return found
