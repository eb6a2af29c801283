"""Every named attack is refused for its own reason, every legitimate variety accepted; nothing grows, nothing is slow."""
import os

import pytest

import cases
import costs
import forge as f
from judge import Judge

REPEATS = int(os.environ.get("ROLEBRIDGE_REPEATS", "300"))
GROWTH_KIB = 256
COST_RATIO = 20


@pytest.fixture(scope="module")
def forge(tmp_path_factory):
    return f.Forge(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def judge(forge):
    judge = Judge(forge)
    yield judge
    judge.close()


def look_up(verdict, name):
    value = verdict
    for part in name.split("."):
        value = value[part]
    return value


@pytest.mark.parametrize("case", cases.cases(), ids=lambda case: case.name)
def test_case(forge, judge, case):
    verdict, use = judge.judge(case.kind, case.message(forge), case.facts, count=REPEATS)
    assert (verdict["verdict"], verdict["reason"]) == (
        ("refused", case.reason) if case.reason else ("accepted", "")), verdict["detail"]
    for name, value in case.expect.items():
        assert look_up(verdict, name) == value, name
    assert use["grown_kib"] <= GROWTH_KIB


@pytest.mark.parametrize("case", [c for c in cases.cases() if c.kind == "response"], ids=lambda c: c.name)
def test_explained(forge, judge, case):
    """A test login comes to the same verdict and names the checks."""
    verdict = judge.judge(case.kind, case.message(forge), {**case.facts, "explain": True})
    assert (verdict["verdict"], verdict["reason"]) == (
        ("refused", case.reason) if case.reason else ("accepted", "")), verdict["detail"]
    outcomes = verdict["checks"]
    assert list(outcomes)[:3] == ["gate", "signature", "second-verifier"] and len(outcomes) == 21
    failed = [text for text in outcomes.values() if text not in ("passed", "skipped")]
    assert bool(failed) == bool(case.reason)
    if case.reason:
        assert failed[0].startswith(case.reason + ":")


@pytest.mark.parametrize("name,message", costs.messages(), ids=lambda value: value if isinstance(value, str) else "")
def test_cost(forge, judge, name, message):
    """No message within the size limit costs more than 20 times a valid login."""
    # Both beside each other: what else runs here slows them alike, and the smallest ratio is what they cost.
    for _ in range(8):
        _, valid = judge.judge("response", f.post(forge.signed_response()), count=200)
        verdict, hostile = judge.judge("response", f.post(message(forge)), {"keys": ["idp", "next", "old-sp"]},
                                       count=10)
        ratio = (hostile["cpu_us"] / 10) / (valid["cpu_us"] / 200)
        if ratio <= COST_RATIO:
            break
    assert verdict["verdict"] == "refused"
    assert ratio <= COST_RATIO, verdict["reason"]
