"""Messages that are within every limit, or near one, and made to cost as much as they can."""
from lxml import etree

import forge as f
from forge import ENVELOPED, EXC, C14N, find

SIZE = 255 * 1024


def with_extensions(forge, inside, **options):
    """A response, signed by nobody we know, with so much more in it."""
    return bury(forge.signed_response(key="foreign", **options), inside)


def bury(tree, inside):
    data = f.to_bytes(tree)
    room = SIZE - len(data)
    return data.replace(b"<samlp:Status>", b"<samlp:Extensions>" + inside(room) +
                        b"</samlp:Extensions><samlp:Status>")


def fill(piece, limit=None, head=b"", tail=b""):
    def inside(room):
        count = (room - len(head) - len(tail)) // len(piece)
        return head + piece * min(count, limit or count) + tail
    return inside


def right_digest(forge, change, **options):
    """All digests right, the signature of somebody else: the most that anybody without the key gets us to do."""
    a = forge.assertion()
    change(a)
    return f.to_bytes(forge.signed_response(a, key="foreign", **options))


def values(a, text="x" * 40, count=2900):
    attribute = find(a, "saml:AttributeStatement/saml:Attribute")
    for _ in range(count):
        f.add(attribute, "saml:AttributeValue", text)


def namespaces(a, count=4600):
    """As many names in scope as may be, for each of as many elements as may be."""
    attribute = find(a, "saml:AttributeStatement/saml:Attribute")
    scope = {f"p{i}": f"urn:p{i}" for i in range(14)}
    value = etree.SubElement(attribute, f"{{{f.SAML}}}AttributeValue", nsmap=scope)
    for i in range(count):
        etree.SubElement(value, f"{{urn:p{i % 14}}}x")


def deep_namespaces(a):
    attribute = find(a, "saml:AttributeStatement/saml:Attribute")
    for _ in range(480):
        value = etree.SubElement(attribute, f"{{{f.SAML}}}AttributeValue")
        for level in range(9):
            value = etree.SubElement(value, f"{{urn:{level}}}x", nsmap={f"n{level}": f"urn:{level}"})


def many_attributes(a, count=430):
    attribute = find(a, "saml:AttributeStatement/saml:Attribute")
    for _ in range(count):
        value = etree.SubElement(attribute, f"{{{f.SAML}}}AttributeValue")
        for i in range(22):
            value.set(f"a{i:02}", "")


def messages():
    big = {
        "transforms": lambda forge: many_transforms(forge),
        "references": lambda forge: many_references(forge),
        "elements": lambda forge: with_extensions(forge, fill(b"<a/>")),
        "elements-at-the-limit": lambda forge: with_extensions(forge, fill(b"<a/>", 4800)),
        "empty-attributes": lambda forge: with_extensions(forge, fill(b' a="1"', None, b"<a", b"/>")),
        "distinct-attributes": lambda forge: with_extensions(
            forge, lambda room: b"<a " + b" ".join(b'a%d=""' % i for i in range(room // 12)) + b"/>"),
        "namespaces": lambda forge: with_extensions(
            forge, lambda room: b"<a " + b" ".join(b'xmlns:a%d="u"' % i for i in range(room // 18)) + b"/>"),
        "namespaces-nested": lambda forge: with_extensions(
            forge, lambda room: b"".join(b'<a%d:a xmlns:a%d="urn:%d">' % (i, i, i) for i in range(3000)) +
            b"".join(b"</a%d:a>" % i for i in range(2999, -1, -1))),
        "deep": lambda forge: with_extensions(
            forge, lambda room: b"<a>" * (room // 7) + b"</a>" * (room // 7)),
        "character-references": lambda forge: with_extensions(forge, fill(b"&#65;")),
        "character-references-at-the-limit": lambda forge: with_extensions(forge, fill(b"&#65;", 8000)),
        "entity-references": lambda forge: with_extensions(forge, fill(b"&amp;", 8000)),
        "ids": lambda forge: with_extensions(
            forge, lambda room: b"".join(b'<a ID="i%d"/>' % i for i in range(4000))),
        "long-text": lambda forge: with_extensions(forge, fill(b"x")),
        "long-name": lambda forge: with_extensions(forge, fill(b"x", None, b"<", b"/>")),
        "unbound-prefixes": lambda forge: with_extensions(forge, fill(b"<x:a/>", 4800)),
        "brackets": lambda forge: with_extensions(forge, fill(b"<")),
        "ampersands": lambda forge: with_extensions(forge, fill(b"&")),
        "quotes": lambda forge: with_extensions(forge, fill(b'"')),
        "nothing-but-blanks": lambda forge: b" " * SIZE,
        "signed-text": lambda forge: right_digest(forge, lambda a: values(a, "x" * 240000, 1)),
        "signed-values": lambda forge: right_digest(forge, values),
        "signed-values-inclusive": lambda forge: right_digest(forge, values, canonicalization=C14N),
        "signed-elements": lambda forge: right_digest(forge, lambda a: values(a, None, 4800)),
        "signed-namespaces": lambda forge: right_digest(forge, namespaces),
        "signed-namespaces-inclusive": lambda forge: right_digest(forge, namespaces, canonicalization=C14N),
        "signed-namespaces-twice": lambda forge: right_digest(
            forge, namespaces, transforms=[ENVELOPED, C14N]),
        "signed-deep-namespaces": lambda forge: right_digest(forge, deep_namespaces),
        "signed-deep-namespaces-inclusive": lambda forge: right_digest(
            forge, deep_namespaces, canonicalization=C14N),
        "signed-prefix-list": lambda forge: right_digest(
            forge, namespaces, prefixes=" ".join(f"p{i}" for i in range(8))),
        "signed-attributes": lambda forge: right_digest(forge, many_attributes),
        "signed-line-breaks": lambda forge: right_digest(
            forge, lambda a: values(a, "\r" * 7000, 1)),
        # Not large enough to be asked for a signature of SignedInfo first.
        "usual-namespaces-inclusive": lambda forge: right_digest(
            forge, lambda a: namespaces(a, 200), canonicalization=C14N),
        "usual-prefix-list": lambda forge: right_digest(
            forge, lambda a: namespaces(a, 200), prefixes=" ".join(f"p{i}" for i in range(8))),
        "usual-attributes": lambda forge: right_digest(forge, lambda a: many_attributes(a, 38)),
        "usual-and-long": lambda forge: right_digest(forge, lambda a: values(a, "x" * 1000, 190)),
        "encrypted-keys": lambda forge: many_keys(forge),
    }
    return list(big.items())


def many_transforms(forge):
    r = forge.signed_response(key="foreign")
    transforms = find(r, "saml:Assertion/ds:Signature/ds:SignedInfo/ds:Reference/ds:Transforms")
    for _ in range(2500):
        f.add(transforms, "ds:Transform", Algorithm=EXC)
    return r


def many_references(forge):
    r = forge.signed_response(key="foreign")
    reference = find(r, "saml:Assertion/ds:Signature/ds:SignedInfo/ds:Reference")
    for _ in range(400):
        reference.getparent().append(f.clone(reference))
    return r


def many_keys(forge):
    r = forge.encrypt(forge.signed_response(key="foreign"), to="foreign")
    key = find(r, "saml:EncryptedAssertion/xenc:EncryptedData/ds:KeyInfo/xenc:EncryptedKey")
    for _ in range(3):
        key.getparent().append(f.clone(key))
    return r
