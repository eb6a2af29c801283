#!/usr/bin/python3
"""Makes the benchmark's directory and rules: the same bytes for the same size.

    generate.py USERS FOLDER

writes FOLDER/directory.ldif (for slapadd) and FOLDER/rules.yaml. For 100,000
users there are 5,000 groups with about 1.07 million memberships: sizes follow a
power law, the largest has a fifth of all users, some have 10,000; groups
nest to depth 8 and one chain in ten is closed to a cycle. One name in 25 needs escaping in
its DN.
"""
import random
import sys
import uuid
from pathlib import Path

BASE = "dc=bench,dc=example"
FIRST = ("Anna Björn Chloé David Elif Farid Greta Hugo Inès Jonas Katja Luca Mina Noah Olga "
         "Pavel Rosa Sven Tara Ulla").split()
LAST = ("Albers Brandt Claasen Demir Ebert Fischer Graf Hansen Ibrahim Jansen Keller Lorenz "
        "Meyer Novak Otte Petersen Quast Richter Schulz Thomsen").split()
DEPARTMENTS = ["Sales", "Support", "Engineering", "Finance", "Fraud", "Marketing", "Operations",
               "Compliance"]
TITLES = ["Manager", "Agent", "Engineer", "Controller", "Analyst", "Intern", "Director"]
GROUPS_PER_USER = 0.05
MEMBERSHIPS_PER_USER = 10.7
RULES = 300


def user_dn(number):
    if number % 25 == 7:
        return f"cn=User\\, {number} \\+ Co+uid=u{number:07d},ou=people,{BASE}"
    return f"uid=u{number:07d},ou=people,{BASE}"


def group_dn(number):
    return f"cn=group-{number:05d},ou=groups,{BASE}"


def write_user(out, number, rng):
    first = FIRST[number * 7 % len(FIRST)]
    last = LAST[number * 13 % len(LAST)]
    out.write(f"dn: {user_dn(number)}\nobjectClass: inetOrgPerson\nuid: u{number:07d}\n")
    if number % 25 == 7:
        out.write(f"cn: User, {number} + Co\n")
    else:
        out.write(f"cn: {ascii_name(first)} {last} {number}\n")
    out.write(
        f"sn: {last}\ngivenName: {ascii_name(first)}\nmail: u{number:07d}@bench.example\n"
        f"title: {rng.choice(TITLES)}\ndepartmentNumber: {rng.choice(DEPARTMENTS)}\n"
        f"employeeType: {'contractor' if rng.random() < 0.1 else 'employee'}\n"
        f"employeeNumber: {number}\n"
        f"entryUUID: {uuid.UUID(int=(0x0190 << 112) | (number * 2654435761 % (1 << 64)))}\n\n")


def ascii_name(name):
    return name.encode("ascii", "ignore").decode() or "X"


def group_sizes(users, groups):
    """Power law, scaled to the wanted number of memberships."""
    wanted = users * MEMBERSHIPS_PER_USER
    weights = [1 / (rank + 8) ** 0.9 for rank in range(groups)]
    scale = wanted / sum(weights)
    return [max(2, min(users // 5, int(weight * scale))) for weight in weights]


def nested(number, groups):
    """Chains of eight: each contains the next; every tenth chain is a cycle."""
    chain, place = divmod(number, 8)
    if place < 7 and number + 1 < groups:
        yield number + 1
    elif chain % 10 == 0:
        yield chain * 8


def write_group(out, number, size, users, groups, rng):
    out.write(f"dn: {group_dn(number)}\nobjectClass: groupOfNames\ncn: group-{number:05d}\n"
              f"entryUUID: {uuid.UUID(int=(0x0191 << 112) | number)}\n")
    start = rng.randrange(users)
    step = rng.choice([1, 3, 7, 11, 13])
    seen = set()
    for index in range(size):
        member = (start + index * step) % users
        if member not in seen:
            seen.add(member)
            out.write(f"member: {user_dn(member)}\n")
    for child in nested(number, groups):
        out.write(f"member: {group_dn(child)}\n")
    out.write("\n")


def write_rules(out, groups):
    out.write("profiles:\n")
    for name in ["administrator", "super-manager", "developer", "analyst", "viewer"]:
        out.write(f"  - {{name: {name}, permissions: [\"accounts:read@own\"]}}\n")
    out.write("segments: [All]\nroles:\n")
    for number in range(50):
        out.write(f"  - {{name: role-{number:02d}, description: Role {number}, classifications: [Sales], "
                  f"segments: [All], permissions: [\"r{number}:read@all\"]}}\n")
    out.write("rules:\n")
    profiles = ["super-manager", "developer", "analyst"]
    for number in range(RULES):
        group = groups // 10 + number * (groups * 9 // 10 // RULES)
        out.write(f"  - id: rule-{number:03d}\n    groups: [\"{group_dn(group)}\", "
                  f"\"{group_dn((group + 3) % groups)}\"]\n")
        if number % 3 == 0:
            out.write("    when: \"(&(employeeType=*)(!(employeeType=contractor)))\"\n")
        elif number % 7 == 0:
            out.write(f"    when: \"(|(title={TITLES[number % len(TITLES)]})(department=Fraud))\"\n")
        grant = f"roles: [role-{number % 50:02d}]"
        if number % 5 == 0:
            grant += f", profile: {profiles[number // 5 % 3]}"
        out.write(f"    grant: {{{grant}}}\n")


def main():
    users, folder = int(sys.argv[1]), Path(sys.argv[2])
    groups = max(8, int(users * GROUPS_PER_USER))
    rng = random.Random(20260101)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "directory.ldif", "w", encoding="utf-8") as out:
        out.write(f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\ndc: bench\no: Bench\n\n")
        for unit in ["people", "groups"]:
            out.write(f"dn: ou={unit},{BASE}\nobjectClass: organizationalUnit\nou: {unit}\n\n")
        for number in range(users):
            write_user(out, number, rng)
        sizes = group_sizes(users, groups)
        for number in range(groups):
            write_group(out, number, sizes[number], users, groups, rng)
    with open(folder / "rules.yaml", "w", encoding="utf-8") as out:
        write_rules(out, groups)
    print(f"{users} users, {groups} groups, {sum(sizes)} memberships, largest {sizes[0]}")


if __name__ == "__main__":
    main()
