"""A security key and the browser before it, without either: what our script would put into its forms.

    key = Authenticator("http://localhost:8080")
    fields = key.create(options)    # options: what a page asks, as in its field "options"
    fields = key.get(options)

Everything that is said can be said otherwise: create(options, origin="https://evil.example").
"""
import base64
import hashlib
import json
import os
import struct
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


# --- CBOR, as much as is needed (RFC 8949) ---

def _head(major, number):
    for info, limit, form in ((None, 24, None), (24, 1 << 8, ">B"), (25, 1 << 16, ">H"), (26, 1 << 32, ">I")):
        if number < limit:
            return bytes([major << 5 | number]) if info is None else \
                bytes([major << 5 | info]) + struct.pack(form, number)
    raise ValueError(number)


def cbor(value):
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        return _head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return _head(4, len(value)) + b"".join(map(cbor, value))
    return _head(5, len(value)) + b"".join(cbor(name) + cbor(one) for name, one in value.items())


class Authenticator:
    def __init__(self, origin):
        self.origin, self.rp_id = origin, urlsplit(origin).hostname
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = os.urandom(32)
        self.counter = 0
        self.handle = b""

    def _client(self, kind, options, origin=None, challenge=None, type_=None, more=None):
        said = {"type": type_ or kind, "challenge": challenge or options["challenge"],
                "origin": origin or self.origin, "crossOrigin": False, **(more or {})}
        return json.dumps(said, separators=(",", ":")).encode()

    def _data(self, flags, rp_id=None, counter=None, attested=b""):
        counter = self.counter if counter is None else counter
        return hashlib.sha256((rp_id or self.rp_id).encode()).digest() + struct.pack(">BI", flags, counter) + attested

    def _cose(self):
        point = self.key.public_key().public_numbers()
        return cbor({1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")})

    def create(self, options, rp_id=None, flags=PRESENT | VERIFIED, **client):
        assert options["rp"]["id"] == self.rp_id and {"type": "public-key", "alg": -7} in options["pubKeyCredParams"]
        self.handle = decode(options["user"]["id"])
        attested = bytes(16) + struct.pack(">H", len(self.id)) + self.id + self._cose()
        data = self._data(flags | ATTESTED, rp_id, attested=attested)
        return {"id": encode(self.id), "client_data": encode(self._client("webauthn.create", options, **client)),
                "attestation": encode(cbor({"fmt": "none", "attStmt": {}, "authData": data}))}

    def get(self, options, rp_id=None, counter=None, flags=PRESENT, edit=None, **client):
        """edit: what becomes of the client data after it was signed."""
        if counter is None:
            self.counter += 1
        said, data = self._client("webauthn.get", options, **client), self._data(flags, rp_id, counter)
        signature = self.key.sign(data + hashlib.sha256(said).digest(), ec.ECDSA(hashes.SHA256()))
        return {"id": encode(self.id), "client_data": encode(edit(said) if edit else said),
                "authenticator_data": encode(data), "signature": encode(signature),
                "user_handle": encode(self.handle)}
