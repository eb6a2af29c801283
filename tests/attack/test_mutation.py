"""Mutations of valid messages: whatever is accepted says the same as the original, and nothing dies.

Deterministic for a seed; ROLEBRIDGE_MUTATIONS sets how many of each kind.
"""
import os
import random

import pytest
from lxml import etree

import forge as f
from judge import Judge

COUNT = int(os.environ.get("ROLEBRIDGE_MUTATIONS", "600"))
SEED = int(os.environ.get("ROLEBRIDGE_SEED", "20260101"))
# What stands outside an element that alone is signed is not verified, and says nothing of the person.
UNVERIFIED = ("response_id", "detail")

SNIPPETS = [b"<!---->", b"<?a?>", b"<![CDATA[", b"]]>", b"&amp;", b"&#32;", b"&x;", b"\0", b"\xef\xbb\xbf", b" ",
            b"<a/>", b"</saml:Assertion>", b"<saml:Assertion>", b'ID="x"', b"xmlns:saml='urn:x'", b'xml:id="x"',
            b"admin", b"#", b"2.0", b"<saml:NameID>admin</saml:NameID>", b"\xc2\x85", b"\xff"]


def elements(tree):
    return list(tree.iter(etree.Element))


def pick(rng, tree, root=False):
    return rng.choice(elements(tree)[0 if root else 1:])


def move(rng, tree):
    target = pick(rng, tree)
    place = rng.choice([e for e in elements(tree) if target not in e.iterancestors() and e is not target])
    place.insert(rng.randint(0, len(place)), target)


def copy(rng, tree):
    place = pick(rng, tree, root=True)
    place.insert(rng.randint(0, len(place)), f.clone(pick(rng, tree)))


def copy_changed(rng, tree):
    made = f.clone(pick(rng, tree))
    for name in made.iter(f"{{{f.SAML}}}NameID", f"{{{f.SAML}}}AttributeValue"):
        name.text = "admin"
    for identified in made.iter(etree.Element):
        if identified.get("ID") and rng.random() < 0.7:
            identified.set("ID", f"_evil{rng.random()}")
    place = pick(rng, tree, root=True)
    place.insert(rng.randint(0, len(place)), made)


def remove(rng, tree):
    target = pick(rng, tree)
    target.getparent().remove(target)


def swap(rng, tree):
    one, other = pick(rng, tree), pick(rng, tree)
    if one in other.iterancestors() or other in one.iterancestors() or one is other:
        return
    place = one.getparent(), one.getparent().index(one)
    other.getparent().replace(other, one)
    place[0].insert(place[1], other)


def change_text(rng, tree):
    pick(rng, tree).text = rng.choice(["admin", "", " ", "x" * 100, "AAAA", f.SP, f.ACS, f.timestamp(f.NOW)])


def change_attribute(rng, tree):
    target = rng.choice([e for e in elements(tree) if e.attrib])
    name = rng.choice(list(target.attrib))
    values = [v for e in elements(tree) for v in e.attrib.values()]
    target.set(name, rng.choice(values + ["", "x", "#", "2.0", f.timestamp(f.NOW + 9)]))


def remove_attribute(rng, tree):
    target = rng.choice([e for e in elements(tree) if e.attrib])
    target.attrib.pop(rng.choice(list(target.attrib)))


def add_attribute(rng, tree):
    pick(rng, tree, root=True).set(rng.choice(["ID", "Id", "id", "Version", "Destination", "InResponseTo", "Format",
                                               "{urn:x}y"]), rng.choice(["_x", "2.0", f.ACS, f.REQUEST]))


def wrap(rng, tree):
    target = pick(rng, tree)
    name = rng.choice([f"{{{f.SAMLP}}}Extensions", f"{{{f.SAML}}}Advice", f"{{{f.DS}}}Object", target.tag])
    made = etree.Element(name)
    target.getparent().replace(target, made)
    made.append(target)


def unwrap(rng, tree):
    target = pick(rng, tree)
    place, index = target.getparent(), target.getparent().index(target)
    children = list(target)
    place.remove(target)
    for child in reversed(children):
        place.insert(index, child)


def annotate(rng, tree):
    place = pick(rng, tree, root=True)
    place.insert(rng.randint(0, len(place)), rng.choice([etree.Comment("x"), etree.ProcessingInstruction("x", "y")]))


def rename(rng, tree):
    pick(rng, tree, root=True).tag = rng.choice(elements(tree)).tag


STRUCTURAL = [move, copy, copy_changed, remove, swap, change_text, change_attribute, remove_attribute, add_attribute,
              wrap, unwrap, annotate, rename]


def mutate_tree(rng, original):
    tree = f.clone(original)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        if len(elements(tree)) > 3:
            rng.choice(STRUCTURAL)(rng, tree)
    return etree.tostring(tree)


def mutate_bytes(rng, original):
    data = bytearray(etree.tostring(original))
    for _ in range(rng.choice([1, 1, 2])):
        at = rng.randrange(len(data))
        kind = rng.randrange(4)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at:at] = rng.choice(SNIPPETS)
        elif kind == 2:
            del data[at:at + rng.choice([1, 1, 8, 200])]
        else:
            other = rng.randrange(len(data))
            data[at:at] = data[other:other + rng.choice([8, 100, 1000])]
    return bytes(data)


ORIGINALS = {
    "assertion": lambda forge: forge.signed_response(),
    "response": lambda forge: forge.sign(forge.response(forge.assertion())),
    "both": lambda forge: forge.signed_response(both=True),
    "inclusive": lambda forge: forge.signed_response(canonicalization=f.C14N),
    "encrypted": lambda forge: forge.encrypt(forge.signed_response()),
    "encrypted-in-signed": lambda forge: forge.sign(forge.encrypt(forge.signed_response(), cipher=f.XENC + "aes256-cbc")),
}


@pytest.fixture(scope="module")
def forge(tmp_path_factory):
    return f.Forge(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def judge(forge):
    judge = Judge(forge)
    yield judge
    judge.close()


def content(verdict):
    return {name: value for name, value in verdict.items() if name not in UNVERIFIED}


@pytest.mark.parametrize("name", ORIGINALS)
@pytest.mark.parametrize("mutate", [mutate_tree, mutate_bytes], ids=["structure", "bytes"])
def test_no_forgery(forge, judge, name, mutate):
    rng = random.Random(f"{SEED} {name} {mutate.__name__}")
    original = ORIGINALS[name](forge)
    expected = judge.judge("response", f.post(original))
    assert expected["verdict"] == "accepted"
    outcomes = {}
    for _ in range(COUNT):
        message = mutate(rng, original)
        verdict = judge.judge("response", f.post(message))
        reason = verdict["reason"] or verdict["verdict"]
        outcomes[reason] = outcomes.get(reason, 0) + 1
        assert verdict["verdict"] in ("accepted", "refused")
        if verdict["verdict"] == "accepted":
            assert content(verdict) == content(expected), message.decode(errors="replace")
    # The run is worth something: it got past the first check, and to the last.
    assert len(outcomes) >= 4, outcomes


@pytest.mark.parametrize("mutate", [mutate_tree, mutate_bytes], ids=["structure", "bytes"])
def test_no_forged_logout(forge, judge, mutate):
    rng = random.Random(f"{SEED} logout {mutate.__name__}")
    original = forge.sign(forge.logout_request())
    expected = judge.judge("logout", f.post(original))
    assert expected["verdict"] == "accepted"
    for _ in range(COUNT):
        message = mutate(rng, original)
        verdict = judge.judge("logout", f.post(message))
        if verdict["verdict"] == "accepted":
            assert content(verdict) == content(expected), message.decode(errors="replace")


def test_no_forged_query(forge, judge):
    rng = random.Random(f"{SEED} query")
    original = f.redirect(forge, forge.logout_request(), relay_state="/a b?c=d&e")
    expected = judge.judge("redirect", original)
    assert expected["verdict"] == "accepted"
    pieces = [b"&", b"=", b"%", b"+", b"SAMLRequest=", b"SAMLResponse=", b"RelayState=", b"SigAlg=", b"%00", b"%2B"]
    for _ in range(COUNT):
        data = bytearray(original)
        at = rng.randrange(len(data))
        if rng.random() < 0.5:
            data[at:at] = rng.choice(pieces)
        else:
            data[at] = rng.randrange(256)
        verdict = judge.judge("redirect", bytes(data))
        if verdict["verdict"] == "accepted":
            assert content(verdict) == content(expected), bytes(data)
