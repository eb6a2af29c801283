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
# Workers, the configuration check, what refreshes metadata and what the timer does never answer a request; nor do the
# accounts helper and what targets note about deliveries.
ELSEWHERE = ("daemon/source/ldap/", "daemon/source/saml/metadata.c", "daemon/main/idp.c", "daemon/client/outgoing.c",
             "daemon/change/retention.c", "daemon/audit/archive.c", "daemon/accounts/", "daemon/base/ssh_key.c",
             "daemon/target/accounts_", "daemon/target/webhook_")


def reasons():
    found = {}
    for path in sorted((ROOT / "daemon").rglob("*.c")):
        name = str(path.relative_to(ROOT))
        if name.startswith(ELSEWHERE):
            continue
        text = path.read_text()
        for reason in REFUSAL.findall(text) + PASSED.findall(text) + re.findall('"([^"]+)"', "".join(TABLE.findall(text))):
            found.setdefault(reason, name)
    return found


def test_codes_are_described():
    document = yaml.safe_load((ROOT / "schemas/openapi.yaml").read_text())
    listed = document["components"]["schemas"]["ErrorCode"]["enum"]
    assert listed == sorted(set(listed))
    found = reasons()
    assert len(found) > 10
    missing = [f"{name}: {reason}" for reason, name in found.items() if reason not in listed]
    assert not missing, "\n".join(missing)
