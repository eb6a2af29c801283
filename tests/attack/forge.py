"""SAML messages as an IdP makes them, and as attackers do.

A message is an lxml tree until it is signed; signing and encrypting are done by the xmlsec1 command, which shares no
code with what is tested but the library underneath. `Forge` holds the keys and the facts of one IdP and
one service provider; everything else is functions from trees to trees.
"""
import base64
import copy
import datetime
import os
import subprocess
import urllib.parse
import zlib

from lxml import etree

SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
DS = "http://www.w3.org/2000/09/xmldsig#"
XENC = "http://www.w3.org/2001/04/xmlenc#"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
XS = "http://www.w3.org/2001/XMLSchema"
EXC = "http://www.w3.org/2001/10/xml-exc-c14n#"
C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
NS = {"saml": SAML, "samlp": SAMLP, "ds": DS, "xenc": XENC}

SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
ENVELOPED = DS + "enveloped-signature"
SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
PASSWORD = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"

IDP = "https://idp.example/metadata"
SP = "https://sp.example/saml/corp/metadata"
ACS = "https://sp.example/saml/corp/acs"
SLO = "https://sp.example/saml/corp/slo"
REQUEST = "_0123456789abcdef0123456789abcdef"
# A Tuesday. The judge has no clock of its own; a live daemon has: give `now` to Forge then.
NOW = 1900000000


def timestamp(seconds):
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def run(*command, data=None):
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def make_key(folder, name, kind="rsa"):
    """A key pair: NAME.key (PEM), NAME.pem and NAME.der (certificate)."""
    key, pem, der = (os.path.join(folder, f"{name}.{end}") for end in ("key", "pem", "der"))
    options = {"rsa": ["-newkey", "rsa:2048"],
               "ec": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
               "rsa3072": ["-newkey", "rsa:3072"]}[kind]
    run("openssl", "req", "-x509", "-nodes", "-days", "3650", "-subj", f"/CN={name}", *options,
        "-keyout", key, "-out", pem)
    run("openssl", "x509", "-in", pem, "-outform", "DER", "-out", der)
    return key


def element(name, text=None, **attributes):
    prefix, local = name.split(":")
    made = etree.Element(f"{{{NS[prefix]}}}{local}", nsmap={prefix: NS[prefix]})
    for key, value in attributes.items():
        if value is not None:
            made.set(key, value)
    made.text = text
    return made


def add(parent, name, text=None, **attributes):
    made = element(name, text, **attributes)
    parent.append(made)
    return made


def find(tree, path):
    found = tree.find(path, NS)
    if found is None:
        raise LookupError(path)
    return found


ATTRIBUTES = [
    ("urn:oid:0.9.2342.19200300.100.1.1", "uid", ["anna"]),
    ("urn:oid:0.9.2342.19200300.100.1.3", "mail", ["anna@corp.example"]),
    ("urn:oid:2.5.4.42", "givenName", ["Ännä"]),
    ("urn:oid:2.5.4.4", "sn", ["O'Brien & Söhne"]),
    ("urn:oid:2.16.840.1.113730.3.1.241", "displayName", ["Ännä O'Brien"]),
    ("urn:oid:2.16.840.1.113730.3.1.3", "employeeNumber", ["4711"]),
    ("urn:oid:2.5.4.12", "title", ["Head of R&D"]),
    ("urn:oid:2.5.4.11", "ou", ["R&D"]),
    ("urn:oid:1.3.6.1.4.1.5923.1.1.1.6", "eduPersonPrincipalName", ["anna@corp.example"]),
    ("groups", None, ["R&D", "Sales"] + [f"group-{i:02} of the whole company" for i in range(18)]),
]


class Forge:
    def __init__(self, folder, now=NOW, idp=IDP, sp=SP, acs=ACS, slo=SLO, request=REQUEST):
        self.folder = str(folder)
        self.now, self.idp, self.sp, self.acs, self.slo = now, idp, sp, acs, slo
        self.request = request
        self.count = 0
        for name, kind in (("idp", "rsa"), ("next", "rsa3072"), ("foreign", "rsa"), ("ec", "ec"),
                           ("sp", "rsa"), ("old-sp", "rsa")):
            if not os.path.exists(self.path(f"{name}.der")):
                make_key(self.folder, name, kind)

    def path(self, name):
        return os.path.join(self.folder, name)

    def id(self, what="id"):
        self.count += 1
        return f"_{what}{self.count:08x}{os.urandom(12).hex()}"

    # --- trees ---

    def assertion(self, attributes=None, xsi_type=False, friendly=True):
        a = element("saml:Assertion", ID=self.id("a"), Version="2.0", IssueInstant=timestamp(self.now))
        add(a, "saml:Issuer", self.idp)
        subject = add(a, "saml:Subject")
        add(subject, "saml:NameID", "7d5a-anna", Format=PERSISTENT)
        confirmation = add(subject, "saml:SubjectConfirmation", Method=BEARER)
        add(confirmation, "saml:SubjectConfirmationData", Recipient=self.acs,
            NotOnOrAfter=timestamp(self.now + 300), InResponseTo=self.request)
        conditions = add(a, "saml:Conditions", NotBefore=timestamp(self.now - 30),
                         NotOnOrAfter=timestamp(self.now + 300))
        add(add(conditions, "saml:AudienceRestriction"), "saml:Audience", self.sp)
        statement = add(a, "saml:AuthnStatement", AuthnInstant=timestamp(self.now - 5),
                        SessionIndex="_session1", SessionNotOnOrAfter=timestamp(self.now + 28800))
        add(add(statement, "saml:AuthnContext"), "saml:AuthnContextClassRef", PASSWORD)
        statement = add(a, "saml:AttributeStatement")
        for name, short, values in ATTRIBUTES if attributes is None else attributes:
            attribute = add(statement, "saml:Attribute", Name=name,
                            NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:uri",
                            FriendlyName=short if friendly else None)
            for value in values:
                made = add(attribute, "saml:AttributeValue", value)
                if xsi_type:
                    made = self.typed(made)
        return a

    @staticmethod
    def typed(value):
        made = etree.Element(value.tag, nsmap={"saml": SAML, "xsi": XSI, "xs": XS})
        made.set(f"{{{XSI}}}type", "xs:string")
        made.text = value.text
        value.getparent().replace(value, made)
        return made

    def response(self, *assertions):
        r = element("samlp:Response", ID=self.id("r"), Version="2.0",
                    IssueInstant=timestamp(self.now), Destination=self.acs,
                    InResponseTo=self.request)
        add(r, "saml:Issuer", self.idp)
        add(add(r, "samlp:Status"), "samlp:StatusCode", Value=SUCCESS)
        for a in assertions:
            r.append(a)
        return r

    def logout_request(self):
        r = element("samlp:LogoutRequest", ID=self.id("l"), Version="2.0",
                    IssueInstant=timestamp(self.now), Destination=self.slo,
                    NotOnOrAfter=timestamp(self.now + 120))
        add(r, "saml:Issuer", self.idp)
        add(r, "saml:NameID", "7d5a-anna", Format=PERSISTENT)
        add(r, "samlp:SessionIndex", "_session1")
        return r

    def logout_response(self):
        r = element("samlp:LogoutResponse", ID=self.id("l"), Version="2.0",
                    IssueInstant=timestamp(self.now), Destination=self.slo,
                    InResponseTo=self.request)
        add(r, "saml:Issuer", self.idp)
        add(add(r, "samlp:Status"), "samlp:StatusCode", Value=SUCCESS)
        return r

    # --- signing ---

    @staticmethod
    def template(target_id, method=RSA_SHA256, digest=SHA256, canonicalization=EXC, transforms=None,
                 prefixes=None, certificate=True, uri=None):
        s = element("ds:Signature")
        info = add(s, "ds:SignedInfo")
        add(info, "ds:CanonicalizationMethod", Algorithm=canonicalization)
        add(info, "ds:SignatureMethod", Algorithm=method)
        reference = add(info, "ds:Reference", URI="#" + target_id if uri is None else uri)
        inside = add(reference, "ds:Transforms")
        for algorithm in [ENVELOPED, canonicalization] if transforms is None else transforms:
            transform = add(inside, "ds:Transform", Algorithm=algorithm)
            if prefixes is not None and algorithm == EXC:
                listed = etree.SubElement(transform, f"{{{EXC}}}InclusiveNamespaces", nsmap={"ec": EXC})
                listed.set("PrefixList", prefixes)
        add(reference, "ds:DigestMethod", Algorithm=digest)
        add(reference, "ds:DigestValue")
        add(s, "ds:SignatureValue")
        if certificate:
            add(add(add(s, "ds:KeyInfo"), "ds:X509Data"), "ds:X509Certificate")
        return s

    def sign(self, tree, target=None, key="idp", **options):
        """The whole tree anew, with a signature in target (default: the root) behind its Issuer."""
        marked = etree.tostring(tree)
        tree = etree.fromstring(marked)
        target_id = (tree if target is None else target).get("ID")
        target = next(e for e in tree.iter(etree.Element) if e.get("ID") == target_id)
        template = self.template(target_id, **options)
        issuer = target.find("saml:Issuer", NS)
        target.insert(0 if issuer is None else target.index(issuer) + 1, template)
        return etree.fromstring(self.xmlsec_sign(tree, template, key))

    def xmlsec_sign(self, tree, template, key):
        path = self.path("to-sign.xml")
        template.set("Id", "sign-this")
        with open(path, "wb") as out:
            out.write(etree.tostring(tree))
        signed = run("xmlsec1", "--sign", "--privkey-pem",
                     f"{self.path(key + '.key')},{self.path(key + '.pem')}", "--id-attr:ID", "Assertion",
                     "--id-attr:ID", "Response", "--id-attr:ID", "LogoutRequest",
                     "--id-attr:ID", "LogoutResponse", "--id-attr:Id", "Signature",
                     "--node-id", "sign-this", path)
        return signed.replace(b' Id="sign-this"', b"")

    def signed_response(self, assertion=None, both=False, **options):
        a = self.assertion() if assertion is None else assertion
        signed = self.sign(self.response(a), a, **options)
        return self.sign(signed, **options) if both else signed

    # --- encryption ---

    def encrypt(self, tree, cipher="http://www.w3.org/2009/xmlenc11#aes256-gcm", to="sp", session="aes-256",
                beside=False, transport=XENC + "rsa-oaep-mgf1p"):
        """The tree with its assertion inside an EncryptedAssertion."""
        tree = etree.fromstring(etree.tostring(tree))
        assertion = find(tree, "saml:Assertion")
        # As products do it: the assertion is a document of its own that is encrypted.
        alone = self.path("alone.xml")
        with open(alone, "wb") as out:
            out.write(etree.tostring(assertion, with_tail=False))
        template = self.path("template.xml")
        with open(template, "w", encoding="utf-8") as out:
            out.write(f'<xenc:EncryptedData xmlns:xenc="{XENC}" Type="{XENC}Element">'
                      f'<xenc:EncryptionMethod Algorithm="{cipher}"/><ds:KeyInfo xmlns:ds="{DS}">'
                      f'<xenc:EncryptedKey><xenc:EncryptionMethod Algorithm="{transport}"/>'
                      f'<xenc:CipherData><xenc:CipherValue/></xenc:CipherData></xenc:EncryptedKey>'
                      f'</ds:KeyInfo><xenc:CipherData><xenc:CipherValue/></xenc:CipherData>'
                      f'</xenc:EncryptedData>')
        data = etree.fromstring(run("xmlsec1", "--encrypt", "--pubkey-cert-pem", self.path(f"{to}.pem"),
                                    "--session-key", session, "--xml-data", alone, template))
        wrapper = element("saml:EncryptedAssertion")
        wrapper.append(data)
        if beside:
            wrapper.append(find(data, "ds:KeyInfo/xenc:EncryptedKey"))
        tree.replace(assertion, wrapper)
        return tree


# --- encodings ---

def to_bytes(tree):
    return tree if isinstance(tree, bytes) else etree.tostring(tree)


def post(tree, wrap=0, newline=b"\r\n"):
    """The value of the form field SAMLResponse (or SAMLRequest)."""
    text = base64.b64encode(to_bytes(tree))
    if wrap:
        text = newline.join(text[i:i + wrap] for i in range(0, len(text), wrap)) + newline
    return text


def deflate(data):
    made = zlib.compressobj(9, zlib.DEFLATED, -15)
    return made.compress(to_bytes(data)) + made.flush()


def redirect(forge, tree, field="SAMLRequest", key="idp", relay_state=None, method=RSA_SHA256,
             compressed=None, digest="sha256"):
    """A signed query, as bytes."""
    raw = base64.b64encode(deflate(tree) if compressed is None else compressed)
    parts = [f"{field}={urllib.parse.quote(raw, safe='')}"]
    if relay_state is not None:
        parts.append("RelayState=" + urllib.parse.quote(relay_state, safe=""))
    parts.append("SigAlg=" + urllib.parse.quote(method, safe=""))
    text = "&".join(parts).encode()
    signature = run("openssl", "dgst", f"-{digest}", "-sign", forge.path(f"{key}.key"), data=text)
    return text + b"&Signature=" + urllib.parse.quote(base64.b64encode(signature), safe="").encode()


def clone(tree):
    return copy.deepcopy(tree)
