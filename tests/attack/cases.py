"""Every kind of bad message, and every kind of good one, by name.

    for case in cases():
        message = case.message(forge)      # bytes: the form field's value, or the raw query

kind: "response" (POST to the ACS), "logout" (POST to the logout endpoint) or "redirect" (its query). reason: the
stable word of the refusal; None: accepted. facts: settings that differ from the usual (see judge.py); a case without
facts can be sent to any daemon that is set up as the forge is. Messages are made anew at each call.
"""
import base64
import dataclasses
import typing
import urllib.parse

from lxml import etree

import forge as f
from forge import DS, EXC, NS, SAML, SAMLP, XENC, add, clone, element, find, timestamp

CASES = []


@dataclasses.dataclass
class Case:
    name: str
    kind: str
    make: typing.Callable
    reason: typing.Optional[str]
    facts: dict
    expect: dict  # of accepted ones: what the verdict says

    def message(self, forge):
        made = self.make(forge)
        if self.kind == "redirect":
            return made
        return made if isinstance(made, Encoded) else f.post(made)


class Encoded(bytes):
    """Bytes that are the form field already."""


def cases():
    yield from CASES


def case(reason, name=None, kind="response", facts=None, expect=None):
    def keep(make):
        title = name or make.__name__.replace("_", "-")
        assert title not in {c.name for c in CASES}, title
        CASES.append(Case(title, kind, make, reason, facts or {}, expect or {}))
        return make
    return keep


def good(name=None, kind="response", facts=None, expect=None):
    return case(None, name, kind, facts, expect)


def table(reason, rows, make, kind="response", facts=None):
    """Rows of (name, argument…): make(forge, argument…)."""
    for title, *rest in rows:
        case(reason, title, kind, facts)(lambda forge, rest=rest: make(forge, *rest))


def signed_with(change):
    """A response whose assertion was changed before it was signed."""
    def make(forge, *rest):
        a = forge.assertion()
        change(a, *rest)
        return forge.signed_response(a)
    return make


def text(tree):
    return etree.tostring(tree)


def swap(tree, old, new, count=1):
    """The bytes of a signed message with something exchanged."""
    data = f.to_bytes(tree)
    assert old in data, old
    return data.replace(old, new, count)


# --- signature wrapping ---

def evil_of(assertion, forge):
    """A copy that says somebody else, without signature."""
    evil = clone(assertion)
    for signature in evil.findall("ds:Signature", NS):
        evil.remove(signature)
    evil.set("ID", forge.id("evil"))
    find(evil, "saml:Subject/saml:NameID").text = "admin"
    return evil


def parts(forge):
    r = forge.signed_response()
    a = find(r, "saml:Assertion")
    return r, a, evil_of(a, forge)


@case("assertion-several")
def xsw1_response_inside_its_signature(forge):
    r = forge.sign(forge.response(forge.assertion()))
    outer = clone(r)
    outer.set("ID", forge.id("evil"))
    find(outer, "saml:Assertion/saml:Subject/saml:NameID").text = "admin"
    inner = clone(r)
    inner.remove(find(inner, "ds:Signature"))
    find(outer, "ds:Signature").append(inner)
    return outer


@case("assertion-several")
def xsw2_response_before_its_signature(forge):
    r = forge.sign(forge.response(forge.assertion()))
    outer = clone(r)
    outer.set("ID", forge.id("evil"))
    find(outer, "saml:Assertion/saml:Subject/saml:NameID").text = "admin"
    inner = clone(r)
    inner.remove(find(inner, "ds:Signature"))
    outer.insert(outer.index(find(outer, "ds:Signature")), inner)
    return outer


@case("assertion-several")
def xsw3_evil_assertion_first(forge):
    r, a, evil = parts(forge)
    r.insert(r.index(a), evil)
    return r


@case("assertion-several")
def xsw4_signed_assertion_inside_evil_one(forge):
    r, a, evil = parts(forge)
    r.replace(a, evil)
    evil.append(a)
    return r


@case("assertion-several")
def xsw5_signature_moved_into_evil_assertion(forge):
    r, a, evil = parts(forge)
    signature = find(a, "ds:Signature")
    evil.insert(1, signature)
    r.insert(r.index(a), evil)
    return r


@case("assertion-several")
def xsw6_assertion_inside_signature_of_evil_one(forge):
    r, a, evil = parts(forge)
    signature = find(a, "ds:Signature")
    evil.insert(1, signature)
    r.replace(a, evil)
    signature.append(a)
    return r


@case("assertion-several")
def xsw7_evil_assertion_in_extensions(forge):
    r, a, evil = parts(forge)
    extensions = element("samlp:Extensions")
    extensions.append(evil)
    r.insert(r.index(find(r, "samlp:Status")), extensions)
    return r


@case("assertion-several")
def xsw8_signed_assertion_in_object(forge):
    r, a, evil = parts(forge)
    signature = find(a, "ds:Signature")
    evil.insert(1, signature)
    r.replace(a, evil)
    add(signature, "ds:Object").append(a)
    return r


def hide(forge, where):
    """The only assertion, somewhere else."""
    r = forge.signed_response()
    a = find(r, "saml:Assertion")
    r.remove(a)
    where(r).append(a)
    return r


table("assertion-misplaced", [
    ("assertion-only-in-extensions", lambda r: add(r, "samlp:Extensions")),
    ("assertion-only-in-status-detail",
     lambda r: add(find(r, "samlp:Status"), "samlp:StatusDetail")),
], hide)


@case("assertion-several")
def assertion_in_advice(forge):
    a = forge.assertion()
    advice = element("saml:Advice")
    advice.append(evil_of(a, forge))
    a.insert(a.index(find(a, "saml:AuthnStatement")), advice)
    return forge.signed_response(a)


@case("assertion-several")
def assertion_in_attribute_value(forge):
    a = forge.assertion()
    find(a, "saml:AttributeStatement/saml:Attribute/saml:AttributeValue").append(evil_of(a, forge))
    return forge.signed_response(a)


@case("assertion-several")
def two_assertions_one_signed(forge):
    r, a, evil = parts(forge)
    r.append(evil)
    return r


@case("assertion-several")
def two_assertions_both_signed(forge):
    first, second = forge.assertion(), forge.assertion()
    return forge.sign(forge.sign(forge.response(first, second), first), second)


@case("assertion-several")
def two_assertions_in_a_signed_response(forge):
    return forge.sign(forge.response(forge.assertion(), forge.assertion()))


@case("assertion-several")
def assertion_beside_an_encrypted_one(forge):
    r = forge.encrypt(forge.signed_response())
    r.append(forge.assertion())
    return r


@case("assertion-several")
def two_encrypted_assertions(forge):
    r = forge.encrypt(forge.signed_response())
    r.append(clone(find(r, "saml:EncryptedAssertion")))
    return r


@case("assertion-several")
def assertion_of_saml_1_beside(forge):
    r = forge.signed_response()
    extensions = element("samlp:Extensions")
    etree.SubElement(extensions, "{urn:oasis:names:tc:SAML:1.0:assertion}Assertion")
    r.insert(1, extensions)
    return r


@case("assertion-missing")
def no_assertion_at_all(forge):
    return forge.sign(forge.response())


# --- IDs ---

@case("id-duplicate")
def response_and_assertion_with_one_id(forge):
    a = forge.assertion()
    r = forge.response(a)
    r.set("ID", a.get("ID"))
    return text(r)


@case("id-duplicate")
def id_again_in_extensions(forge):
    r = forge.signed_response()
    extensions = element("samlp:Extensions")
    etree.SubElement(extensions, "{urn:other}thing").set("ID", find(r, "saml:Assertion").get("ID"))
    r.insert(1, extensions)
    return r


@case("id-duplicate")
def id_again_in_small_letters(forge):
    r = forge.signed_response()
    extensions = element("samlp:Extensions")
    etree.SubElement(extensions, "{urn:other}thing").set("id", find(r, "saml:Assertion").get("ID"))
    r.insert(1, extensions)
    return r


@case("shape-malformed")
def xml_id(forge):
    r = forge.signed_response()
    extensions = element("samlp:Extensions")
    thing = etree.SubElement(extensions, "{urn:other}thing")
    thing.set("{http://www.w3.org/XML/1998/namespace}id", find(r, "saml:Assertion").get("ID"))
    r.insert(1, extensions)
    return r


def with_id(forge, value):
    r = forge.response(forge.assertion())
    if value is None:
        del r.attrib["ID"]
    else:
        r.set("ID", value)
    return text(r)


table("id-malformed", [("id-missing", None), ("id-empty", ""), ("id-with-quote", "a')|id('b"),
                       ("id-too-long", "_" + "a" * 300), ("id-with-blank", "_a b")], with_id)


@case("id-duplicate")
def encrypted_assertion_with_the_id_of_the_response(forge):
    a = forge.assertion()
    r = forge.response(a)
    signed = forge.signed_response(a)
    encrypted = forge.encrypt(signed)
    encrypted.set("ID", a.get("ID"))
    del r
    return encrypted


# --- signatures ---

@case("signature-missing")
def nothing_signed(forge):
    return forge.response(forge.assertion())


@case("signature-missing", facts={"require_signed": 1})
def response_signed_but_assertion_required(forge):
    return forge.sign(forge.response(forge.assertion()))


@case("signature-missing", facts={"require_signed": 2})
def assertion_signed_but_response_required(forge):
    return forge.signed_response()


@case("signature-missing", facts={"require_signed": 3})
def assertion_signed_but_both_required(forge):
    return forge.signed_response()


@case("signature-missing")
def signature_removed(forge):
    r = forge.signed_response()
    a = find(r, "saml:Assertion")
    a.remove(find(a, "ds:Signature"))
    return r


def empty(forge, path):
    r = forge.signed_response()
    target = find(r, path)
    target.text = None
    for child in list(target):
        target.remove(child)
    return r


table("signature-malformed", [
    ("signature-emptied", "saml:Assertion/ds:Signature"),
    ("signature-value-emptied", "saml:Assertion/ds:Signature/ds:SignatureValue"),
    ("signed-info-emptied", "saml:Assertion/ds:Signature/ds:SignedInfo"),
    ("digest-value-emptied", "saml:Assertion/ds:Signature/ds:SignedInfo/ds:Reference/ds:DigestValue"),
], empty)


@case("signature-invalid")
def signature_of_a_foreign_key(forge):
    return forge.signed_response(key="foreign")


@case("signature-invalid")
def signature_of_a_foreign_key_without_keyinfo(forge):
    return forge.signed_response(key="foreign", certificate=False)


@case("signature-invalid", facts={"keys": []})
def no_key_known(forge):
    return forge.signed_response()


@case("signature-invalid")
def foreign_signature_around_a_good_one(forge):
    return forge.sign(forge.signed_response(), key="foreign")


@case("signature-invalid")
def content_changed(forge):
    return swap(forge.signed_response(), b"7d5a-anna", b"7d5a-bert")


@case("signature-invalid")
def content_of_a_signed_response_changed(forge):
    return swap(forge.sign(forge.response(forge.assertion())), b"7d5a-anna", b"7d5a-bert")


@case("signature-invalid")
def attribute_added(forge):
    r = forge.signed_response()
    statement = find(r, "saml:Assertion/saml:AttributeStatement")
    add(add(statement, "saml:Attribute", Name="groups"), "saml:AttributeValue", "Admins")
    return r


@case("signature-reference")
def reference_to_the_other_element(forge):
    r = forge.response(forge.assertion())
    a = find(r, "saml:Assertion")
    a.insert(1, forge.template(r.get("ID")))
    return r


@case("signature-reference")
def reference_to_the_whole_document(forge):
    r = forge.response(forge.assertion())
    r.insert(1, forge.template(r.get("ID"), uri=""))
    return r


@case("signature-reference")
def reference_by_xpointer(forge):
    r = forge.response(forge.assertion())
    r.insert(1, forge.template(r.get("ID"), uri=f"#xpointer(id('{r.get('ID')}'))"))
    return r


@case("signature-reference")
def reference_to_a_file(forge):
    r = forge.response(forge.assertion())
    r.insert(1, forge.template(r.get("ID"), uri="file:///etc/passwd"))
    return r


@case("signature-reference")
def reference_over_http(forge):
    r = forge.response(forge.assertion())
    r.insert(1, forge.template(r.get("ID"), uri="http://127.0.0.1:9/x"))
    return r


@case("signature-malformed")
def two_references(forge):
    r = forge.signed_response()
    reference = find(r, "saml:Assertion/ds:Signature/ds:SignedInfo/ds:Reference")
    reference.getparent().append(clone(reference))
    return r


@case("signature-malformed")
def two_signed_infos(forge):
    r = forge.signed_response()
    info = find(r, "saml:Assertion/ds:Signature/ds:SignedInfo")
    info.getparent().insert(0, clone(info))
    return r


@case("signature-malformed")
def object_in_a_signature(forge):
    r = forge.signed_response()
    add(find(r, "saml:Assertion/ds:Signature"), "ds:Object", "x")
    return r


@case("shape-malformed")
def two_signatures_of_an_assertion(forge):
    r = forge.signed_response()
    signature = find(r, "saml:Assertion/ds:Signature")
    signature.getparent().insert(1, clone(signature))
    return r


def signature_elsewhere(forge, where):
    r = forge.signed_response()
    where(r).append(clone(find(r, "saml:Assertion/ds:Signature")))
    return r


table("signature-misplaced", [
    ("signature-in-extensions", lambda r: add(r, "samlp:Extensions")),
    ("signature-in-advice", lambda r: add(find(r, "saml:Assertion"), "saml:Advice")),
    ("signature-in-confirmation-data", lambda r: find(
        r, "saml:Assertion/saml:Subject/saml:SubjectConfirmation/saml:SubjectConfirmationData")),
], signature_elsewhere)


def transformed(forge, transforms):
    r = forge.response(forge.assertion())
    a = find(r, "saml:Assertion")
    a.insert(1, forge.template(a.get("ID"), transforms=transforms))
    return r


table("signature-transform", [
    ("transform-xpath", [f.ENVELOPED, "http://www.w3.org/TR/1999/REC-xpath-19991116"]),
    ("transform-xpath-filter", ["http://www.w3.org/2002/06/xmldsig-filter2", EXC]),
    ("transform-xslt", [f.ENVELOPED, "http://www.w3.org/TR/1999/REC-xslt-19991116"]),
    ("transform-base64", [f.ENVELOPED, "http://www.w3.org/2000/09/xmldsig#base64"]),
    ("transform-with-comments", [f.ENVELOPED, EXC + "WithComments"]),
    ("transform-not-enveloped", [EXC]),
    ("transform-other-order", [EXC, f.ENVELOPED]),
    ("transform-enveloped-twice", [f.ENVELOPED, f.ENVELOPED]),
    ("transform-unknown", [f.ENVELOPED, "urn:unknown"]),
], transformed)

table("signature-transform", [
    ("transforms-three", [f.ENVELOPED, EXC, EXC]),
    ("transforms-none", []),
], transformed)


@case("signature-transform")
def prefix_list_long(forge):
    return forge.signed_response(prefixes=" ".join(f"p{i}" for i in range(40)))


def algorithms(forge, **options):
    r = forge.response(forge.assertion())
    a = find(r, "saml:Assertion")
    a.insert(1, forge.template(a.get("ID"), **options))
    find(a, "ds:Signature/ds:SignatureValue").text = "AAAA"
    find(a, "ds:Signature/ds:SignedInfo/ds:Reference/ds:DigestValue").text = "AAAA"
    return r


for title, options in {
        "algorithm-rsa-sha1": {"method": DS + "rsa-sha1"},
        "algorithm-rsa-md5": {"method": "http://www.w3.org/2001/04/xmldsig-more#rsa-md5"},
        "algorithm-hmac-sha1": {"method": DS + "hmac-sha1"},
        "algorithm-hmac-sha256": {"method": "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"},
        "algorithm-dsa": {"method": DS + "dsa-sha1"},
        "algorithm-unknown": {"method": "urn:unknown"},
        "digest-sha1": {"digest": DS + "sha1"},
        "digest-md5": {"digest": "http://www.w3.org/2001/04/xmldsig-more#md5"},
        "canonicalization-with-comments": {"canonicalization": EXC + "WithComments",
                                           "transforms": [f.ENVELOPED, EXC]},
        "canonicalization-1-1": {"canonicalization": "http://www.w3.org/2006/12/xml-c14n11",
                                 "transforms": [f.ENVELOPED, EXC]},
}.items():
    case("signature-algorithm", title)(lambda forge, o=options: algorithms(forge, **o))


@case("signature-algorithm")
def really_signed_with_sha1(forge):
    return forge.signed_response(method=DS + "rsa-sha1", digest=DS + "sha1")


@case("signature-algorithm")
def hmac_output_length(forge):
    r = forge.signed_response()
    method = find(r, "saml:Assertion/ds:Signature/ds:SignedInfo/ds:SignatureMethod")
    add(method, "ds:SignatureValue", "1")
    return r


# --- bytes ---

def raw(change):
    return lambda forge: change(f.to_bytes(forge.signed_response()))


def in_name(inserted):
    return lambda forge: swap(forge.signed_response(), b"7d5a-anna", b"7d5a-" + inserted + b"anna")


case("xml-comment", "comment-in-name-id")(in_name(b"<!-- -->"))
case("xml-instruction", "instruction-in-name-id")(in_name(b"<?x y?>"))
case("xml-cdata", "cdata-in-name-id")(in_name(b"<![CDATA[x]]>"))
case("xml-comment", "comment-before-the-root")(raw(lambda d: b"<!-- x -->" + d))
case("xml-comment", "comment-behind-the-root")(raw(lambda d: d + b"<!-- x -->"))
case("xml-instruction", "stylesheet")(
    raw(lambda d: b'<?xml-stylesheet href="http://127.0.0.1:9/"?>' + d))
case("xml-doctype", "doctype")(raw(lambda d: b"<!DOCTYPE x>" + d))
case("xml-doctype", "doctype-external")(
    raw(lambda d: b'<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">' + d))
case("xml-doctype", "entity-file")(
    raw(lambda d: b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + d))
case("xml-doctype", "entity-bomb")(raw(lambda d: b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "'
                                       + b"&a;" * 50 + b'">]>' + d))
case("xml-malformed", "entity-undefined")(in_name(b"&e;"))
case("xml-malformed", "character-reference-nul")(in_name(b"&#0;"))
case("xml-malformed", "character-reference-control")(in_name(b"&#1;"))
case("xml-encoding", "nul-byte")(in_name(b"\0"))
case("xml-encoding", "nul-behind")(raw(lambda d: d + b"\0"))
case("xml-malformed", "control-byte")(in_name(b"\x01"))
case("xml-encoding", "not-utf-8")(in_name(b"\xff"))
case("xml-encoding", "overlong-utf-8")(in_name(b"\xc0\xbc"))
case("xml-encoding", "utf-16")(raw(lambda d: d.decode().encode("utf-16")))
case("xml-encoding", "utf-16-without-mark")(raw(lambda d: d.decode().encode("utf-16-le")))
case("xml-encoding", "declared-utf-16")(
    raw(lambda d: b'<?xml version="1.0" encoding="UTF-16"?>' + d))
case("xml-encoding", "declared-utf-7")(raw(lambda d: b'<?xml version="1.0" encoding="UTF-7"?>' + d))
case("xml-encoding", "declared-latin-1")(
    raw(lambda d: b'<?xml version="1.0" encoding="ISO-8859-1"?>' + d))
case("xml-malformed", "xml-1-1")(raw(lambda d: b'<?xml version="1.1"?>' + d))
case("xml-malformed", "trailing-text")(raw(lambda d: d + b"x"))
case("xml-malformed", "trailing-element")(raw(lambda d: d + b"<x/>"))
case("xml-malformed", "two-documents")(raw(lambda d: d + d))
case("xml-malformed", "cut")(raw(lambda d: d[:len(d) // 2]))
case("xml-malformed", "cut-by-one")(raw(lambda d: d[:-1]))
case("xml-malformed", "undeclared-prefix")(
    raw(lambda d: d.replace(b"<samlp:Status>", b"<samlp:Status x:y='z'>")))
case("xml-malformed", "attribute-twice")(
    raw(lambda d: d.replace(b'Version="2.0"', b'Version="2.0" Version="2.0"', 1)))
case("xml-malformed", "not-xml")(lambda forge: b"hello")
case("base64-malformed", "not-base64")(lambda forge: Encoded(b"<samlp:Response/>"))
case("base64-malformed", "base64-bad-byte")(
    lambda forge: Encoded(f.post(forge.signed_response())[:-8] + b"!AAAAAAA"))
case("base64-malformed", "base64-cut")(
    lambda forge: Encoded(f.post(b"<samlp:Response/>x")[:-1]))
case("base64-malformed", "base64-padding-in-the-middle")(
    lambda forge: Encoded(b"QQ==" + f.post(forge.signed_response())))
case("base64-malformed", "base64-bits-left-over")(lambda forge: Encoded(b"QR=="))
case("base64-malformed", "base64-url-safe")(lambda forge: Encoded(b"PD94-_8="))
case("message-empty", "empty")(lambda forge: Encoded(b""))
case("message-empty", "only-blanks")(lambda forge: Encoded(b" \r\n"))
case("message-too-large", "oversize")(raw(lambda d: d + b" " * (256 * 1024)))


@case("xml-xinclude")
def xinclude(forge):
    r = forge.signed_response()
    extensions = element("samlp:Extensions")
    include = etree.SubElement(extensions, "{http://www.w3.org/2001/XInclude}include")
    include.set("href", "file:///etc/passwd")
    r.insert(1, extensions)
    return r


@case("xml-too-complex")
def deep_nesting(forge):
    deep = b"<a>" * 20000 + b"</a>" * 20000
    return f.to_bytes(forge.signed_response()).replace(
        b"<samlp:Status>", b"<samlp:Extensions>" + deep + b"</samlp:Extensions><samlp:Status>")


# --- roots and shapes ---

@case("root-unexpected")
def soap_envelope(forge):
    soap = "http://schemas.xmlsoap.org/soap/envelope/"
    envelope = etree.Element(f"{{{soap}}}Envelope", nsmap={"S": soap})
    etree.SubElement(envelope, f"{{{soap}}}Body").append(forge.signed_response())
    return envelope


case("root-unexpected", "root-assertion")(
    lambda forge: find(forge.signed_response(), "saml:Assertion"))
case("root-unexpected", "root-logout-request")(lambda forge: forge.sign(forge.logout_request()))
case("root-unexpected", "root-logout-response")(lambda forge: forge.sign(forge.logout_response()))
case("root-unexpected", "root-artifact-response")(
    lambda forge: swap(forge.response(), b"samlp:Response", b"samlp:ArtifactResponse", 2))
case("root-unexpected", "root-in-another-namespace")(
    lambda forge: swap(forge.signed_response(), SAMLP.encode(), b"urn:other"))
case("root-unexpected", "root-of-saml-1")(
    lambda forge: swap(forge.signed_response(), SAMLP.encode(), b"urn:oasis:names:tc:SAML:1.0:protocol"))


def without(forge, path):
    r = forge.response(forge.assertion())
    target = find(r, path)
    target.getparent().remove(target)
    return forge.sign(r)


table("shape-malformed", [
    ("no-status", "samlp:Status"), ("no-status-code", "samlp:Status/samlp:StatusCode"),
    ("no-issuer-of-the-assertion", "saml:Assertion/saml:Issuer"),
    ("no-subject", "saml:Assertion/saml:Subject"),
    ("no-authn-context", "saml:Assertion/saml:AuthnStatement/saml:AuthnContext"),
], without)

case("shape-malformed", "attribute-without-name")(signed_with(
    lambda a: find(a, "saml:AttributeStatement/saml:Attribute").attrib.pop("Name")))
case("shape-malformed", "text-between-elements")(
    lambda forge: swap(forge.signed_response(), b"<saml:Conditions", b"x<saml:Conditions"))
case("shape-malformed", "unknown-statement")(signed_with(
    lambda a: etree.SubElement(a, f"{{{SAML}}}Statement")))
case("shape-malformed", "two-conditions")(signed_with(
    lambda a: a.append(clone(find(a, "saml:Conditions")))))
case("shape-malformed", "two-subjects")(signed_with(
    lambda a: a.append(clone(find(a, "saml:Subject")))))
case("shape-malformed", "base-id")(signed_with(
    lambda a: etree.SubElement(find(a, "saml:Subject"), f"{{{SAML}}}BaseID")))
case("identifier-malformed", "element-in-name-id")(signed_with(
    lambda a: etree.SubElement(find(a, "saml:Subject/saml:NameID"), f"{{{SAML}}}x")))
case("identifier-malformed", "element-in-issuer")(signed_with(
    lambda a: etree.SubElement(find(a, "saml:Issuer"), f"{{{SAML}}}x")))
case("identifier-malformed", "issuer-empty")(signed_with(
    lambda a: setattr(find(a, "saml:Issuer"), "text", "")))
case("encryption-unsupported", "encrypted-id")(signed_with(
    lambda a: etree.SubElement(find(a, "saml:Subject"), f"{{{SAML}}}EncryptedID")))
case("encryption-unsupported", "encrypted-attribute")(signed_with(
    lambda a: etree.SubElement(find(a, "saml:AttributeStatement"), f"{{{SAML}}}EncryptedAttribute")))
case("version-unsupported", "version-1-1-of-the-response")(
    lambda forge: swap(forge.response(forge.assertion()), b'Version="2.0"', b'Version="1.1"'))
case("version-unsupported", "version-3-of-the-assertion")(signed_with(
    lambda a: a.set("Version", "3.0")))
case("version-unsupported", "version-missing")(signed_with(lambda a: a.attrib.pop("Version")))
case("attribute-malformed", "attribute-of-mixed-content")(signed_with(
    lambda a: etree.SubElement(find(a, "saml:AttributeStatement/saml:Attribute/saml:AttributeValue"),
                               "{urn:other}x")))


# --- encryption ---

@case("encryption-unsigned")
def cbc_in_an_unsigned_response(forge):
    return forge.encrypt(forge.signed_response(), cipher=XENC + "aes256-cbc")


@case("encryption-algorithm")
def triple_des(forge):
    return forge.encrypt(forge.signed_response(), cipher=XENC + "tripledes-cbc", session="des-192")


@case("encryption-algorithm")
def rsa_1_5(forge):
    return forge.encrypt(forge.signed_response(), transport=XENC + "rsa-1_5")


@case("decryption-failed")
def encrypted_to_somebody_else(forge):
    return forge.encrypt(forge.signed_response(), to="foreign")


@case("decryption-failed")
def cipher_text_changed(forge):
    r = forge.encrypt(forge.signed_response())
    value = find(r, "saml:EncryptedAssertion/xenc:EncryptedData/xenc:CipherData/xenc:CipherValue")
    data = bytearray(base64.b64decode(value.text))
    data[len(data) // 2] ^= 1
    value.text = base64.b64encode(bytes(data)).decode()
    return r


@case("signature-missing")
def anyone_can_encrypt(forge):
    return forge.encrypt(forge.response(forge.assertion()))


@case("signature-invalid")
def foreign_assertion_encrypted(forge):
    return forge.encrypt(forge.signed_response(key="foreign"))


def encrypted_bytes(forge, change):
    """What is inside is whatever one likes."""
    r = forge.signed_response()
    a = find(r, "saml:Assertion")
    saved = f.etree.tostring

    def dump(tree, *args, **options):
        data = saved(tree, *args, **options)
        return change(data) if tree.tag == a.tag else data

    f.etree.tostring, restore = dump, saved
    try:
        return forge.encrypt(r)
    finally:
        f.etree.tostring = restore


@case("assertion-several")
def encrypted_assertion_with_another_inside(forge):
    a = forge.assertion()
    advice = element("saml:Advice")
    advice.append(evil_of(a, forge))
    a.insert(a.index(find(a, "saml:AuthnStatement")), advice)
    return forge.encrypt(forge.signed_response(a))


@case("encryption-malformed")
def cipher_reference(forge):
    r = forge.encrypt(forge.signed_response())
    data = find(r, "saml:EncryptedAssertion/xenc:EncryptedData/xenc:CipherData")
    data.remove(find(data, "xenc:CipherValue"))
    add(data, "xenc:CipherReference", URI="http://127.0.0.1:9/")
    return r


@case("encryption-malformed")
def encrypted_without_key(forge):
    r = forge.encrypt(forge.signed_response())
    key = find(r, "saml:EncryptedAssertion/xenc:EncryptedData/ds:KeyInfo/xenc:EncryptedKey")
    key.getparent().remove(key)
    return r


@case("encryption-malformed")
def encrypted_with_many_keys(forge):
    r = forge.encrypt(forge.signed_response())
    key = find(r, "saml:EncryptedAssertion/xenc:EncryptedData/ds:KeyInfo/xenc:EncryptedKey")
    for _ in range(50):
        key.getparent().append(clone(key))
    return r


# --- named checks ---

def status(forge, code, second=None, message=None):
    r = forge.response()
    outer = find(r, "samlp:Status/samlp:StatusCode")
    outer.set("Value", code)
    if second:
        add(outer, "samlp:StatusCode", Value=second)
    if message:
        add(find(r, "samlp:Status"), "samlp:StatusMessage", message)
    return forge.sign(r)


table("status-not-success", [
    ("status-requester", "urn:oasis:names:tc:SAML:2.0:status:Requester"),
    ("status-no-passive", "urn:oasis:names:tc:SAML:2.0:status:Responder",
     "urn:oasis:names:tc:SAML:2.0:status:NoPassive", "not\nsigned in"),
    ("status-empty", ""),
    ("status-almost", f.SUCCESS + "x"),
], status)


@case("status-not-success")
def status_failed_with_a_good_assertion(forge):
    r = forge.signed_response()
    find(r, "samlp:Status/samlp:StatusCode").set("Value", "urn:oasis:names:tc:SAML:2.0:status:Responder")
    return r


def change_signed(path, **attributes):
    """A row: the element of the assertion with other attributes; None removes."""
    def change(a):
        target = a if path == "." else find(a, path)
        for name, value in attributes.items():
            if value is None:
                target.attrib.pop(name, None)
            else:
                target.set(name, value)
    return signed_with(change)


def set_text(path, value):
    return signed_with(lambda a: setattr(find(a, path), "text", value))


DATA = "saml:Subject/saml:SubjectConfirmation/saml:SubjectConfirmationData"

case("issuer-mismatch", "assertion-of-another-idp")(
    set_text("saml:Issuer", "https://other.example/metadata"))
case("issuer-mismatch", "assertion-of-a-longer-idp")(set_text("saml:Issuer", f.IDP + "x"))
case("issuer-mismatch", "issuer-of-another-format")(
    change_signed("saml:Issuer", Format=f.PERSISTENT))


@case("issuer-mismatch")
def response_of_another_idp(forge):
    r = forge.signed_response()
    find(r, "saml:Issuer").text = "https://other.example/metadata"
    return r


@case("issuer-mismatch")
def signed_response_without_issuer(forge):
    return without(forge, "saml:Issuer")


def destination(forge, value, sign):
    a = forge.assertion()
    r = forge.response(a)
    if value is None:
        del r.attrib["Destination"]
    else:
        r.set("Destination", value)
    return forge.sign(r) if sign else forge.sign(r, a)


table("destination-mismatch", [
    ("destination-elsewhere", "https://evil.example/acs", False),
    ("destination-longer", f.ACS + "/", False), ("destination-empty", "", False),
    ("destination-missing-and-signed", None, True),
], destination)

case("recipient-mismatch", "recipient-elsewhere")(
    change_signed(DATA, Recipient="https://other.example/acs"))
case("recipient-mismatch", "recipient-missing")(change_signed(DATA, Recipient=None))
case("confirmation-endless", "confirmation-without-end")(change_signed(DATA, NotOnOrAfter=None))
case("confirmation-not-before", "confirmation-with-beginning")(
    change_signed(DATA, NotBefore=timestamp(f.NOW - 60)))
case("confirmation-missing", "confirmation-holder-of-key")(change_signed(
    "saml:Subject/saml:SubjectConfirmation", Method="urn:oasis:names:tc:SAML:2.0:cm:holder-of-key"))
case("confirmation-missing", "no-confirmation")(signed_with(
    lambda a: find(a, "saml:Subject").remove(find(a, "saml:Subject/saml:SubjectConfirmation"))))
case("confirmation-missing", "no-confirmation-data")(signed_with(
    lambda a: find(a, "saml:Subject/saml:SubjectConfirmation").remove(find(a, DATA))))

case("conditions-missing", "no-conditions")(signed_with(
    lambda a: a.remove(find(a, "saml:Conditions"))))
case("audience-missing", "no-audience-restriction")(signed_with(
    lambda a: find(a, "saml:Conditions").remove(find(a, "saml:Conditions/saml:AudienceRestriction"))))
case("audience-mismatch", "audience-empty")(signed_with(
    lambda a: find(a, "saml:Conditions/saml:AudienceRestriction").remove(
        find(a, "saml:Conditions/saml:AudienceRestriction/saml:Audience"))))
case("audience-mismatch", "audience-foreign")(
    set_text("saml:Conditions/saml:AudienceRestriction/saml:Audience", "https://other.example"))
case("audience-mismatch", "audience-longer")(
    set_text("saml:Conditions/saml:AudienceRestriction/saml:Audience", f.SP + "/"))


@signed_with
def and_another(a):
    add(add(find(a, "saml:Conditions"), "saml:AudienceRestriction"), "saml:Audience", "https://other.example")


case("audience-mismatch", "audience-restrictions-are-anded")(and_another)
case("condition-unknown", "condition-of-another-namespace")(signed_with(
    lambda a: etree.SubElement(find(a, "saml:Conditions"), "{urn:other}Condition")))
case("condition-unknown", "condition-abstract")(signed_with(
    lambda a: etree.SubElement(find(a, "saml:Conditions"), f"{{{SAML}}}Condition")))


def times(name, reason, path, attribute, seconds):
    case(reason, name)(lambda forge: change_signed(
        path, **{attribute: timestamp(forge.now + seconds)})(forge))


times("conditions-expired", "expired", "saml:Conditions", "NotOnOrAfter", -180)
times("conditions-early", "not-yet-valid", "saml:Conditions", "NotBefore", 181)
times("confirmation-expired", "expired", DATA, "NotOnOrAfter", -180)
times("issued-in-the-future", "not-yet-valid", ".", "IssueInstant", 181)
times("issued-long-ago", "expired", ".", "IssueInstant", -24 * 3600 - 180)
times("authn-in-the-future", "not-yet-valid", "saml:AuthnStatement", "AuthnInstant", 181)
times("session-over", "session-expired", "saml:AuthnStatement", "SessionNotOnOrAfter", -180)


@case("expired")
def response_issued_long_ago(forge):
    a = forge.assertion()
    r = forge.response(a)
    r.set("IssueInstant", timestamp(forge.now - 90000))
    return forge.sign(r, a)


for path, attribute in (("saml:Conditions", "NotBefore"), ("saml:Conditions", "NotOnOrAfter"),
                        (DATA, "NotOnOrAfter"), ("saml:AuthnStatement", "AuthnInstant"),
                        ("saml:AuthnStatement", "SessionNotOnOrAfter"), (".", "IssueInstant")):
    case("time-unparsable", f"unparsable-{path.split(':')[-1].lower().strip('.') or 'assertion'}-"
         f"{attribute.lower()}")(change_signed(path, **{attribute: "tomorrow"}))

for title, value in {"without-zone": "2099-01-01T00:00:00", "with-offset": "2099-01-01T00:00:00+01:00",
                     "no-such-day": "2099-02-30T00:00:00Z", "hour-25": "2099-01-01T25:00:00Z",
                     "blank": " 2099-01-01T00:00:00Z", "empty": "", "long-year": "12099-01-01T00:00:00Z",
                     "negative-year": "-2099-01-01T00:00:00Z",
                     "empty-fraction": "2099-01-01T00:00:00.Z"}.items():
    case("time-unparsable", f"time-{title}")(change_signed("saml:Conditions", NotOnOrAfter=value))

case("time-unparsable", "authn-instant-missing")(
    change_signed("saml:AuthnStatement", AuthnInstant=None))


def in_response_to(forge, outer, inner):
    a = forge.assertion()
    r = forge.response(a)
    for target, value in ((r, outer), (find(a, DATA), inner)):
        if value is None:
            target.attrib.pop("InResponseTo", None)
        elif value != "asked":
            target.set("InResponseTo", value)
    return forge.sign(r, a)


table("in-response-to-mismatch", [
    ("in-response-to-differs", "asked", "_other"), ("in-response-to-only-outside", "asked", None),
    ("in-response-to-only-inside", None, "asked"), ("in-response-to-outside-differs", "_other", "asked"),
], in_response_to)
table("in-response-to-unknown", [("in-response-to-unknown", "_other", "_other"),
                                 ("in-response-to-empty", "", "")], in_response_to)
table("in-response-to-missing", [("unsolicited", None, None)], in_response_to)
table("in-response-to-unknown", [("answer-of-somebody-else-where-unsolicited-may", "_other", "_other")],
      in_response_to, facts={"idp_initiated": True, "requests": []})

case("authn-statement-missing", "no-authn-statement")(signed_with(
    lambda a: a.remove(find(a, "saml:AuthnStatement"))))
case("authn-statement-several", "two-authn-statements")(signed_with(
    lambda a: a.append(clone(find(a, "saml:AuthnStatement")))))
case("authn-too-old", "force-authn-old", facts={"force_authn": True})(lambda forge: change_signed(
    "saml:AuthnStatement", AuthnInstant=timestamp(forge.now - 781))(forge))
case("authn-too-old", "force-authn-before-the-request", facts={"requests": [f"{f.REQUEST} {f.NOW - 10}"]})(
    lambda forge: change_signed("saml:AuthnStatement", AuthnInstant=timestamp(forge.now - 191))(forge))
case("authn-context-mismatch", "authn-context-not-as-asked",
     facts={"context": ["https://refeds.org/profile/mfa"]})(lambda forge: forge.signed_response())

case("name-id-empty", "name-id-empty")(set_text("saml:Subject/saml:NameID", ""))
case("name-id-empty", "name-id-blank")(set_text("saml:Subject/saml:NameID", " \n"))
case("name-id-empty", "name-id-missing")(signed_with(
    lambda a: find(a, "saml:Subject").remove(find(a, "saml:Subject/saml:NameID"))))
case("name-id-transient", "name-id-transient")(change_signed(
    "saml:Subject/saml:NameID", Format="urn:oasis:names:tc:SAML:2.0:nameid-format:transient"))
case("key-malformed", "name-id-with-blank-around")(set_text("saml:Subject/saml:NameID", " 7d5a-anna"))
case("key-malformed", "name-id-with-line-break")(set_text("saml:Subject/saml:NameID", "a\nb"))
case("key-malformed", "name-id-too-long")(set_text("saml:Subject/saml:NameID", "a" * 1025))
case("key-missing", "key-attribute-missing", facts={"key_from": "employeeID"})(
    lambda forge: forge.signed_response())
case("key-ambiguous", "key-attribute-twice", facts={"key_from": "groups"})(
    lambda forge: forge.signed_response())

case("domain-not-allowed", "mail-of-another-domain", facts={"domain": ["other.example"]})(
    lambda forge: forge.signed_response())


def attribute_value(index, value):
    def change(a):
        found = find(a, "saml:AttributeStatement")[index]
        find(found, "saml:AttributeValue").text = value
    return signed_with(change)


for title, value in {"of-a-longer-domain": "anna@corp.example.evil.example",
                     "of-a-subdomain": "anna@x.corp.example", "with-two-ats": "a@evil.example@corp.example",
                     "without-domain": "anna", "quoted": '"a@corp.example"@evil.example'}.items():
    case("domain-not-allowed", f"mail-{title}", facts={"domain": ["corp.example"]})(
        attribute_value(1, value))
for title, value in {"foreign": "anna@other.example", "missing": "anna", "longer": "anna@corp.example.x",
                     "twice": "anna@evil@corp.example"}.items():
    case("scope-not-allowed", f"scope-{title}", facts={"scope": ["corp.example"]})(
        attribute_value(8, value))

# --- what the second verifier cannot take ---

AGREE = {"agree": True}
case("verifier-unsupported", "agree-without-name-id", facts={**AGREE, "key_from": "uid"})(signed_with(
    lambda a: find(a, "saml:Subject").remove(find(a, "saml:Subject/saml:NameID"))))
case("verifier-unsupported", "agree-ecdsa", facts={**AGREE, "keys": ["ec"]})(
    lambda forge: forge.signed_response(
        key="ec", method="http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"))


@signed_with
def second_confirmation(a):
    confirmation = find(a, "saml:Subject/saml:SubjectConfirmation")
    other = clone(confirmation)
    find(other, "saml:SubjectConfirmationData").set("Recipient", "https://other.example/acs")
    confirmation.getparent().insert(1, other)


case("verifier-unsupported", "agree-two-confirmations", facts=AGREE)(second_confirmation)


# --- logout ---

def changed_logout(change, kind="request"):
    def make(forge):
        r = forge.logout_request() if kind == "request" else forge.logout_response()
        change(r, forge)
        return forge.sign(r)
    return make


def logout_case(reason, name, change, kind="request"):
    """By POST and by redirect: the same answer."""
    def by_redirect(forge):
        r = forge.logout_request() if kind == "request" else forge.logout_response()
        change(r, forge)
        return f.redirect(forge, r, field="SAMLRequest" if kind == "request" else "SAMLResponse")
    case(reason, f"{name}-by-post", kind="logout")(changed_logout(change, kind))
    case(reason, f"{name}-by-redirect", kind="redirect")(by_redirect)


logout_case(None, "logout-request", lambda r, forge: None)
logout_case(None, "logout-response", lambda r, forge: None, "response")
logout_case("issuer-mismatch", "logout-of-another-idp",
            lambda r, forge: setattr(find(r, "saml:Issuer"), "text", "https://other.example"))
logout_case("destination-mismatch", "logout-for-somebody-else",
            lambda r, forge: r.set("Destination", "https://other.example/slo"))
logout_case("destination-mismatch", "logout-without-destination", lambda r, forge: r.attrib.pop("Destination"))
logout_case("expired", "logout-expired",
            lambda r, forge: r.set("NotOnOrAfter", timestamp(forge.now - 180)))
logout_case("expired", "logout-issued-long-ago", lambda r, forge: (
    r.set("IssueInstant", timestamp(forge.now - 480)), r.attrib.pop("NotOnOrAfter")))
logout_case("not-yet-valid", "logout-from-the-future",
            lambda r, forge: r.set("IssueInstant", timestamp(forge.now + 181)))
logout_case("time-unparsable", "logout-unparsable", lambda r, forge: r.set("IssueInstant", "now"))
logout_case("identifier-malformed", "logout-of-nobody",
            lambda r, forge: setattr(find(r, "saml:NameID"), "text", ""))
logout_case("shape-malformed", "logout-without-name", lambda r, forge: r.remove(find(r, "saml:NameID")))
logout_case("in-response-to-unknown", "logout-answer-to-nobody",
            lambda r, forge: r.set("InResponseTo", "_other"), "response")
logout_case("in-response-to-missing", "logout-answer-to-nothing",
            lambda r, forge: r.attrib.pop("InResponseTo"), "response")
logout_case("version-unsupported", "logout-version", lambda r, forge: r.set("Version", "1.1"))

case("signature-missing", "logout-unsigned-by-post", kind="logout")(lambda forge: forge.logout_request())
case("signature-invalid", "logout-of-a-foreign-key-by-post", kind="logout")(
    lambda forge: forge.sign(forge.logout_request(), key="foreign"))
case("signature-invalid", "logout-changed-by-post", kind="logout")(
    lambda forge: swap(forge.sign(forge.logout_request()), b"7d5a-anna", b"7d5a-bert"))
case("root-unexpected", "response-at-the-logout-endpoint", kind="logout")(
    lambda forge: forge.signed_response())
case("assertion-misplaced", "logout-with-an-assertion", kind="logout")(changed_logout(
    lambda r, forge: add(r, "samlp:Extensions").append(forge.assertion())))


def query(reason, name, change):
    case(reason, name, kind="redirect")(
        lambda forge: change(f.redirect(forge, forge.logout_request(), relay_state="a/b?c=d")))


query("signature-missing", "query-unsigned", lambda q: q.split(b"&SigAlg")[0])
query("signature-missing", "query-without-signature", lambda q: q.split(b"&Signature=")[0])
query("signature-missing", "query-without-algorithm",
      lambda q: b"&".join(p for p in q.split(b"&") if not p.startswith(b"SigAlg")))
query("query-duplicate", "query-request-twice", lambda q: q + b"&SAMLRequest=x")
query("query-duplicate", "query-relay-state-twice", lambda q: q + b"&RelayState=x")
query("query-duplicate", "query-signature-twice", lambda q: q + b"&Signature=x")
query("query-malformed", "query-request-and-response", lambda q: q + b"&SAMLResponse=x")
query("query-unknown-parameter", "query-other-parameter", lambda q: q + b"&x=y")
query("query-unknown-parameter", "query-name-encoded",
      lambda q: q.replace(b"SAMLRequest", b"SAMLReques%74"))
query("query-unknown-parameter", "query-smuggled-encoded",
      lambda q: b"SAML%52equest=x&" + q)
query("query-unknown-parameter", "query-other-case", lambda q: q.replace(b"SAMLRequest", b"samlrequest"))
query("query-unknown-parameter", "query-empty-part", lambda q: q.replace(b"&RelayState", b"&&RelayState"))
query("query-malformed", "query-nul", lambda q: q.replace(b"&RelayState", b"\0&RelayState"))
query("query-malformed", "query-fragment", lambda q: q + b"#x")
query("query-unknown-parameter", "query-semicolon",
      lambda q: q.replace(b"&RelayState", b"&;RelayState"))
query("signature-invalid", "query-relay-state-changed",
      lambda q: q.replace(b"RelayState=a", b"RelayState=b"))
query("signature-invalid", "query-relay-state-removed",
      lambda q: b"&".join(p for p in q.split(b"&") if not p.startswith(b"RelayState")))
query("signature-invalid", "query-encoded-otherwise",
      lambda q: q.replace(b"RelayState=a", b"RelayState=%61"))
query("signature-invalid", "query-escapes-in-small-letters",
      lambda q: q.replace(b"%2F", b"%2f").replace(b"%3F", b"%3f"))
query("signature-algorithm", "query-sha1", lambda q: q.replace(
    urllib.parse.quote(f.RSA_SHA256, safe="").encode(), urllib.parse.quote(DS + "rsa-sha1", safe="").encode()))
query("query-unknown-parameter", "query-empty", lambda q: b"")
query("query-malformed", "query-only-relay-state", lambda q: b"RelayState=x")

case("signature-invalid", "query-of-a-foreign-key", kind="redirect")(
    lambda forge: f.redirect(forge, forge.logout_request(), key="foreign"))
case("signature-algorithm", "query-really-signed-with-sha1", kind="redirect")(
    lambda forge: f.redirect(forge, forge.logout_request(), method=DS + "rsa-sha1", digest="sha1"))
case("root-unexpected", "query-response-as-request", kind="redirect")(
    lambda forge: f.redirect(forge, forge.logout_response()))
case("root-unexpected", "query-request-as-response", kind="redirect")(
    lambda forge: f.redirect(forge, forge.logout_request(), field="SAMLResponse"))
case("root-unexpected", "query-with-a-response", kind="redirect")(
    lambda forge: f.redirect(forge, forge.response(forge.assertion())))
case("message-too-large", "query-deflate-bomb", kind="redirect")(
    lambda forge: f.redirect(forge, b"", compressed=f.deflate(b" " * (4 << 20))))
case("message-too-large", "query-deflate-bomb-of-100-mib", kind="redirect")(
    lambda forge: f.redirect(forge, b"", compressed=f.deflate(b" " * (100 << 20))))
case("deflate-malformed", "query-not-deflated", kind="redirect")(
    lambda forge: f.redirect(forge, b"", compressed=f.to_bytes(forge.logout_request())))
case("deflate-malformed", "query-deflate-cut", kind="redirect")(
    lambda forge: f.redirect(forge, b"", compressed=f.deflate(forge.logout_request())[:-3]))
case("deflate-malformed", "query-bytes-behind-deflate", kind="redirect")(
    lambda forge: f.redirect(forge, b"", compressed=f.deflate(forge.logout_request()) + b"x"))
case("message-empty", "query-inflates-to-nothing", kind="redirect")(
    lambda forge: f.redirect(forge, b"", compressed=f.deflate(b"")))
case("signature-unexpected", "query-with-a-signature-inside", kind="redirect")(
    lambda forge: f.redirect(forge, forge.sign(forge.logout_request())))


# --- what must be accepted ---

ANNA = {"key": "7d5a-anna", "groups": [1, 2, 4]}


def good_options(name, expect=None, facts=None, **options):
    good(name, facts=facts, expect=expect or ANNA)(lambda forge: forge.signed_response(**options))


SHA512 = {"method": "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512", "digest": XENC + "sha512"}
good_options("assertion-signed")
good_options("both-signed", both=True, facts={"require_signed": 3})
good_options("sha-512", **SHA512)
good_options("sha-384", method="http://www.w3.org/2001/04/xmldsig-more#rsa-sha384",
             digest="http://www.w3.org/2001/04/xmldsig-more#sha384")
good_options("inclusive-canonicalization", canonicalization=f.C14N)
good_options("inclusive-inside-exclusive", canonicalization=EXC, transforms=[f.ENVELOPED, f.C14N])
good_options("only-enveloped", transforms=[f.ENVELOPED])
good_options("prefix-list", prefixes="xs xsi saml")
good_options("without-key-info", certificate=False)
good_options("rollover-second-key", key="next", facts={"keys": ["idp", "next"]})
good_options("rollover-without-key-info", key="next", certificate=False,
             facts={"keys": ["idp", "foreign", "next"]})
good_options("sha1-where-allowed", method=DS + "rsa-sha1", digest=DS + "sha1", facts={"allow_sha1": True})
good_options("ecdsa", key="ec", method="http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256",
             facts={"keys": ["idp", "ec"]})
good_options("agree", facts=AGREE)

good("response-signed", expect=ANNA, facts={"require_signed": 2})(
    lambda forge: forge.sign(forge.response(forge.assertion())))
good("several-audiences", expect=ANNA)(signed_with(lambda a: find(
    a, "saml:Conditions/saml:AudienceRestriction").insert(0, element("saml:Audience", "https://other"))))
good("audience-restrictions-both-with-us", expect=ANNA)(signed_with(
    lambda a: find(a, "saml:Conditions").append(clone(find(a, "saml:Conditions/saml:AudienceRestriction")))))
good("one-time-use", expect=ANNA)(signed_with(lambda a: add(find(a, "saml:Conditions"), "saml:OneTimeUse")))
good("proxy-restriction", expect=ANNA)(signed_with(
    lambda a: add(find(a, "saml:Conditions"), "saml:ProxyRestriction", Count="0")))
good("no-friendly-name", expect={**ANNA, "attributes.mail": ["anna@corp.example"]})(
    lambda forge: forge.signed_response(forge.assertion(friendly=False)))
good("xsi-type", expect={**ANNA, "attributes.ou": ["R&D"]})(
    lambda forge: forge.signed_response(forge.assertion(xsi_type=True)))
good("byte-order-mark", expect=ANNA)(raw(lambda d: b"\xef\xbb\xbf" + d))
good("xml-declaration", expect=ANNA)(raw(lambda d: b'<?xml version="1.0" encoding="UTF-8"?>\n' + d))
good("xml-declaration-single-quotes", expect=ANNA)(
    raw(lambda d: b"<?xml version='1.0' encoding='utf-8' standalone='no'?>" + d + b"\n"))
good("base64-wrapped-76", expect=ANNA)(lambda forge: Encoded(f.post(forge.signed_response(), wrap=76)))
good("base64-wrapped-64-unix", expect=ANNA)(
    lambda forge: Encoded(f.post(forge.signed_response(), wrap=64, newline=b"\n")))
good("base64-wrapped-oddly", expect=ANNA)(lambda forge: Encoded(f.post(forge.signed_response(), wrap=61)))
good("two-confirmations", expect=ANNA)(second_confirmation)
good("no-name-id-where-it-is-not-the-key", expect={"key": "anna"}, facts={"key_from": "uid"})(signed_with(
    lambda a: find(a, "saml:Subject").remove(find(a, "saml:Subject/saml:NameID"))))
good("key-by-oid", expect={"key": "4711"}, facts={"key_from": "urn:oid:2.16.840.1.113730.3.1.3"})(
    lambda forge: forge.signed_response())
good("transient-where-it-is-not-the-key", expect={"key": "4711"}, facts={"key_from": "employeeNumber"})(
    change_signed("saml:Subject/saml:NameID", Format="urn:oasis:names:tc:SAML:2.0:nameid-format:transient"))
good("unsigned-response-without-issuer", expect=ANNA)(lambda forge: _without_response_issuer(forge))
good("unsigned-response-without-destination", expect=ANNA)(lambda forge: destination(forge, None, False))
good("unsolicited-where-allowed", expect={**ANNA, "in_response_to": ""},
     facts={"idp_initiated": True, "requests": []})(lambda forge: in_response_to(forge, None, None))
good("several-requests-wait", expect={"in_response_to": f.REQUEST},
     facts={"requests": ["_one", f.REQUEST, "_three"]})(lambda forge: forge.signed_response())
good("twenty-hours", expect={"replay_until": f.NOW + 20 * 3600 + 180})(lambda forge: _long_lived(forge))
good("fractions-of-seconds", expect=ANNA)(lambda forge: change_signed(
    "saml:Conditions", NotBefore=timestamp(forge.now - 30).replace("Z", ".1234567Z"),
    NotOnOrAfter=timestamp(forge.now + 30).replace("Z", ".999Z"))(forge))
good("clock-two-minutes-ahead", expect=ANNA)(lambda forge: _at(forge, 120))
good("clock-two-minutes-behind", expect=ANNA)(lambda forge: _at(forge, -120 - 300))
good("scope-allowed", expect=ANNA, facts={"scope": ["corp.example"]})(lambda forge: forge.signed_response())
good("domain-allowed", expect=ANNA, facts={"domain": ["other.example", "corp.example"]})(
    attribute_value(1, "Anna@CORP.example"))
good("force-authn-fresh", expect=ANNA, facts={"force_authn": True,
                                              "requests": [f"{f.REQUEST} {f.NOW - 10}"]})(
    lambda forge: forge.signed_response())
good("authn-context-as-asked", expect=ANNA, facts={"context": ["urn:x", f.PASSWORD]})(
    lambda forge: forge.signed_response())
good("second-factor-by-context", expect={"second_factor": f.NOW - 5},
     facts={"factor_context": ["https://refeds.org/profile/mfa"]})(set_text(
         "saml:AuthnStatement/saml:AuthnContext/saml:AuthnContextClassRef", "https://refeds.org/profile/mfa"))
good("second-factor-by-attribute", expect={"second_factor": f.NOW - 5},
     facts={"factor_attribute": "http://schemas.microsoft.com/claims/authnmethodsreferences",
            "factor_value": ["http://schemas.microsoft.com/claims/multipleauthn"]})(
    lambda forge: forge.signed_response(forge.assertion(attributes=[
        ("http://schemas.microsoft.com/claims/authnmethodsreferences", None,
         ["http://schemas.microsoft.com/ws/2008/06/identity/authenticationmethod/password",
          "http://schemas.microsoft.com/claims/multipleauthn"])])))
good("second-factor-too-long-ago", expect={"second_factor": 0},
     facts={"factor_context": [f.PASSWORD], "factor_age": 4})(lambda forge: forge.signed_response())
good("no-second-factor", expect={"second_factor": 0},
     facts={"factor_context": ["https://refeds.org/profile/mfa"]})(lambda forge: forge.signed_response())
good("microsoft-claims", expect={"attributes.mail": ["a@x"], "attributes.sn": ["B"], "groups": [1, 2]},
     facts={"groups": ["7d5a8a52-0e5e-4b5c-9a63-c05b7f9a0001", "sales"]})(
    lambda forge: forge.signed_response(forge.assertion(attributes=[
        ("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress", None, ["a@x"]),
        ("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/surname", None, ["B"]),
        ("http://schemas.microsoft.com/ws/2008/06/identity/claims/groups", None,
         ["7D5A8A52-0E5E-4B5C-9A63-C05B7F9A0001", "SALES"])])))
good("groups-that-did-not-fit", expect={"groups_complete": False})(
    lambda forge: forge.signed_response(forge.assertion(attributes=[
        ("http://schemas.microsoft.com/claims/groups.link", None, ["https://graph.example/"])])))
good("group-attribute-of-its-own", expect={"groups": [2]}, facts={"groups_from": "urn:custom:roles"})(
    lambda forge: forge.signed_response(forge.assertion(attributes=[
        ("urn:custom:roles", "roles", ["sales"]), ("groups", None, ["R&D"])])))
good("one-attribute-element-per-value", expect={"groups": [1, 2]})(
    lambda forge: forge.signed_response(forge.assertion(attributes=[
        ("groups", None, ["R&D"]), ("groups", None, ["sales"])])))
good("targeted-id", expect={"attributes.eduPersonTargetedID": ["opaque!1"]},
     facts={"attributes": ["eduPersonTargetedID"]})(lambda forge: _targeted_id(forge))
good("a-name-beats-a-friendly-name", expect={"attributes.mail": ["anna@corp.example"]})(
    lambda forge: forge.signed_response(forge.assertion(attributes=[
        ("urn:custom:1", "mail", ["evil@corp.example"]),
        ("urn:oid:0.9.2342.19200300.100.1.3", "something", ["anna@corp.example"])])))
good("friendly-name-of-an-unknown-name", expect={"attributes.mail": ["anna@corp.example"]})(
    lambda forge: forge.signed_response(forge.assertion(attributes=[
        ("urn:custom:1", "mail", ["anna@corp.example"])])))
good("escaped-names", expect={"attributes.rd": ["x < y"]}, facts={"attributes": [("rd", "urn:custom:R&D<\"'")]})(
    lambda forge: forge.signed_response(forge.assertion(attributes=[
        ("urn:custom:R&D<\"'", "R&D", ["x < y"]), ("tab", "\t\n&#x41;", ["y"])])))
good("mapped-attribute", expect={"attributes.costCentre": ["77"]},
     facts={"attributes": [("costCentre", "urn:custom:cc")]})(
    lambda forge: forge.signed_response(forge.assertion(attributes=[("urn:custom:cc", None, ["77"])])))
good("no-attributes", expect={"key": "7d5a-anna", "attributes": {}, "groups": []})(
    lambda forge: _no_attributes(forge))
good("a-thousand-groups", expect={"groups": [2]})(
    lambda forge: forge.signed_response(forge.assertion(attributes=[
        ("groups", None, [f"cn=group-{i},ou=groups,dc=corp,dc=example" for i in range(1000)] + ["Sales"])])))
good("encrypted-gcm", expect=ANNA)(lambda forge: forge.encrypt(forge.signed_response()))
good("encrypted-gcm-128", expect=ANNA)(lambda forge: forge.encrypt(
    forge.signed_response(), cipher="http://www.w3.org/2009/xmlenc11#aes128-gcm", session="aes-128"))
good("encrypted-key-beside", expect=ANNA)(lambda forge: forge.encrypt(forge.signed_response(), beside=True))
good("encrypted-cbc-in-a-signed-response", expect=ANNA)(
    lambda forge: forge.sign(forge.encrypt(forge.signed_response(), cipher=XENC + "aes256-cbc")))
good("encrypted-in-a-signed-response", expect=ANNA)(
    lambda forge: forge.sign(forge.encrypt(forge.response(forge.assertion()))))
good("encrypted-to-the-old-key", expect=ANNA, facts={"decrypt": ["sp", "old-sp"]})(
    lambda forge: forge.encrypt(forge.signed_response(), to="old-sp"))
good("query-in-another-order", kind="redirect", expect={"name_id": "7d5a-anna", "relay_state": "a/b?c=d"})(
    lambda forge: b"&".join(sorted(f.redirect(forge, forge.logout_request(),
                                              relay_state="a/b?c=d").split(b"&"), reverse=True)))
good("query-with-empty-relay-state", kind="redirect", expect={"relay_state": ""})(
    lambda forge: f.redirect(forge, forge.logout_request(), relay_state=""))


def _without_response_issuer(forge):
    a = forge.assertion()
    r = forge.response(a)
    r.remove(find(r, "saml:Issuer"))
    return forge.sign(r, a)


def _long_lived(forge):
    a = forge.assertion()
    for path in ("saml:Conditions", DATA):
        find(a, path).set("NotOnOrAfter", timestamp(forge.now + 20 * 3600))
    return forge.signed_response(a)


def _at(forge, seconds):
    """Made by an IdP whose clock is off; valid for five minutes from there."""
    now = forge.now
    forge.now = now + seconds
    try:
        return forge.signed_response()
    finally:
        forge.now = now


def _no_attributes(forge):
    a = forge.assertion()
    a.remove(find(a, "saml:AttributeStatement"))
    return forge.signed_response(a)


def _targeted_id(forge):
    a = forge.assertion(attributes=[("urn:oid:1.3.6.1.4.1.5923.1.1.1.10", None, [None])])
    add(find(a, "saml:AttributeStatement/saml:Attribute/saml:AttributeValue"), "saml:NameID", "opaque!1",
        Format=f.PERSISTENT)
    return forge.signed_response(a)
