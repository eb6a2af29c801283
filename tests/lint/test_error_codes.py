"""Every stable error code that the code can give stands in schemas/openapi.yaml."""
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
# err_refuse(err, ERR_CONFLICT, "last-administrator", …), over line breaks
REFUSAL = re.compile(r'err_refuse\(\s*[^,]+,\s*ERR_\w+,\s*"([^"]+)"')
# Passed on by name to what refuses: factoring_other(…, "self-reset", err)
PASSED = re.compile(r'factoring_other\(\s*[^,]+,[^,]+,[^,]+,\s*"([^"]+)"')
# By what a code is sent.
TABLE = re.compile(r'reasons\[COURIER_WAYS\] = \{([^}]*)\}')
# Workers, the configuration check, what refreshes metadata and what the timer does never answer a request.
ELSEWHERE = ("daemon/source/ldap/", "daemon/source/saml/metadata.c", "daemon/main/idp.c", "daemon/client/outgoing.c",
             "daemon/change/retention.c", "daemon/audit/archive.c", "daemon/base/ssh_key.c")
# They answer no request either; their codes come back with deliveries, and in what a target's plan compares.
DELIVERIES = ("daemon/accounts/", "daemon/target/accounts", "daemon/target/webhook", "daemon/target/worker.c")
# The helper's own refuse(), and that of webhooks: refuse(err, "name-used", …); the table of its answers; given to a row.
DELIVERY_CODES = (REFUSAL, re.compile(r'\brefuse\((?:[^,()]+,\s*){1,2}"([a-z-]+)"'),
                  re.compile(r'only_value\([^"]+"([a-z-]+)"'), re.compile(r'\{ "([a-z-]+)", ACCOUNTS_(?:AGAIN|REFUSED)'),
                  re.compile(r'->code = "([a-z-]+)"'))


def reasons():
    found = {}
    for path in sorted((ROOT / "daemon").rglob("*.c")):
        name = str(path.relative_to(ROOT))
        if name.startswith(ELSEWHERE + DELIVERIES):
            continue
        text = path.read_text()
        for reason in REFUSAL.findall(text) + PASSED.findall(text) + re.findall('"([^"]+)"', "".join(TABLE.findall(text))):
            found.setdefault(reason, name)
    return found


def schema(name):
    return yaml.safe_load((ROOT / "schemas/openapi.yaml").read_text())["components"]["schemas"][name]


def test_codes_are_described():
    listed = schema("ErrorCode")["enum"]
    assert listed == sorted(set(listed))
    found = reasons()
    assert len(found) > 10
    missing = [f"{name}: {reason}" for reason, name in found.items() if reason not in listed]
    assert not missing, "\n".join(missing)


def delivery_codes():
    texts = [path.read_text() for path in sorted((ROOT / "daemon").rglob("*.c"))
             if str(path.relative_to(ROOT)).startswith(DELIVERIES)]
    return {code for text in texts for pattern in DELIVERY_CODES for code in pattern.findall(text)}


def test_codes_of_deliveries_are_described():
    """All that there are, none that there is not, each with a word about it."""
    listed = schema("DeliveryCode")
    assert listed["enum"] == sorted(set(listed["enum"])) == sorted(listed["x-descriptions"])
    assert all(text.endswith(".") for text in listed["x-descriptions"].values())
    assert sorted(delivery_codes()) == listed["enum"]
