"""Requests made from the OpenAPI document: such as it describes, and such as are broken in one place each.

    for operation in operations(document):
        for case in broken(operation, seed): …

Always the same for the same document and seed. A case is bytes: what no JSON library would write is written too.
"""
import copy
import json
import random
import re
from dataclasses import dataclass, field

MARK = "@@raw@@"
LONG = 300_000
# What fields of these names mean, where the document says no more than that they are texts.
USUAL = {"permissions": ["notes:read@own"], "scope": ["notes:read@own"], "classifications": ["Support"], "segments": ["Core"],
         "profile": "viewer", "roles": ["worker"], "personas": ["lead"], "organization": "default", "source": "staff",
         "user": "viv", "to": "wil", "when": "(title=x)", "filter": "(title=x)", "kind": "role", "name": None, "username": None,
         "email": None, "application": "crm", "type": "account", "url": "https://x.example/", "id": None, "plan": "0" * 64,
         "rule": "writers", "permission": "notes:read@own", "external_id": None, "token": "x" * 43, "from": "2026-01-01",
         "expires": "2030-01-31", "at": "2026-01-01T00:00:00Z", "review_due": "2030-01-31", "users": ["viv"], "segment": None,
         "reason": "because"}
WRONG = [True, 7, 1.5, "x", [], {}]
TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
# What is no value of any field, as bytes of JSON.
NO_VALUES = {"invalid UTF-8": b'"a\xff\xfeb"', "overlong UTF-8": b'"\xc0\xaf"', "surrogate in UTF-8": b'"\xed\xa0\x80"',
             "lone surrogate": b'"\\ud800"', "NUL": b'"a\\u0000b"', "raw control": b'"a\x01b"', "not closed": b'"a',
             "deep array": b"[" * 3000 + b"]" * 3000, "deep object": b'{"a":' * 3000 + b"1" + b"}" * 3000,
             "endless number": b"9" * 400, "endless exponent": b"1e99999", "less than all": b"-" + b"9" * 30, "not a number": b"NaN",
             "infinity": b"-Infinity", "leading zero": b"007", "nothing": b"", "comment": b"/**/1"}
# Lists whose items are judged each by itself: a bad one is told of, and the others count.
ROWS = {"/api/v1/import/users": "users", "/api/v1/events": "events", "/api/v1/users/bulk": "users",
        "/api/v1/resources/{application}": "resources"}
SEGMENTS = ["..", ".", "%2e%2e", "%2e%2e%2f%2e%2e", "%2F", "%00", "a%00b", "%ff", "%c0%af", "%ed%a0%80", "%0a", "%0d%0ax:y", "%7f",
            "%e2%80%ae", "%20", "*", "%25", "%2500", "'", "%22", "a" * 10240, "%F0%9F%98%80" * 300, "-1", "0", "9" * 40]
QUERY = ["", "%ff", "%00", "a%00b", "%0a", "a" * 10000, "-1", "9" * 40, "1e3", "0x10", "null", "%F0%9F%98%80", "%ed%a0%80", "%"]


@dataclass
class Case:
    name: str
    method: str
    path: str
    body: bytes | None = None
    headers: dict = field(default_factory=dict)
    refused: bool = False  # whatever else is so, it must not be taken
    at: str | None = None  # the field that is at fault

    def __str__(self):
        body = self.body if self.body is None or len(self.body) < 2000 else self.body[:1000] + b" ... " + self.body[-200:]
        return (f"{self.name}\n  {self.method} {self.path[:2000]}\n  headers {self.headers}\n  body {body!r}"
                f"{'' if self.body is None else f' ({len(self.body)} bytes)'}")


class Operation:
    def __init__(self, document, path, method):
        self.document, self.path, self.method = document, path, method.upper()
        self.told = document["paths"][path][method]
        self.parameters = [self.resolve(one) for one in self.told.get("parameters", [])]
        self.content = self.resolve(self.told.get("requestBody", {})).get("content", {})
        self.permission = self.told.get("x-permission")

    def __str__(self):
        return f"{self.method} {self.path}"

    def resolve(self, schema):
        """Without references and alternatives at its top: the first of these."""
        schema = schema or {}
        while "$ref" in schema:
            target = self.document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            schema = target
        for word in ("oneOf", "anyOf"):
            if word in schema:
                rest = {key: value for key, value in schema.items() if key != word}
                schema = merge(self.resolve(schema[word][0]), rest)
        if "allOf" in schema:
            parts = [self.resolve(part) for part in schema["allOf"]]
            rest = {key: value for key, value in schema.items() if key != "allOf"}
            schema = rest
            for part in parts:
                schema = merge(schema, part)
        return schema

    def certain(self, schema):
        """Is what the document says of it all there is to say? Not where there are alternatives."""
        while "$ref" in schema:
            schema = self.resolve({"$ref": schema["$ref"]}) if not any(
                word in schema for word in ("oneOf", "anyOf")) else schema
            break
        return not any(word in schema for word in ("oneOf", "anyOf", "not"))

    @property
    def body(self):
        """The schema of a JSON body; None: there is none."""
        content = self.content.get("application/json")
        return self.resolve(content["schema"]) if content else None

    def in_(self, place):
        return [one for one in self.parameters if one["in"] == place]


def merge(a, b):
    made = {**a, **b}
    for word in ("properties",):
        if word in a and word in b:
            made[word] = {**a[word], **b[word]}
    if "required" in a and "required" in b:
        made["required"] = a["required"] + b["required"]
    return made


def operations(document):
    return [Operation(document, path, method) for path, methods in document["paths"].items()
            for method in methods if method in ("get", "put", "post", "patch", "delete")]


def types_of(schema):
    told = schema.get("type")
    if told is None:
        return None
    return set(told) if isinstance(told, list) else {told}


class Maker:
    """Values as the document describes them."""

    def __init__(self, operation, seed):
        self.operation = operation
        self.random = random.Random(f"{seed} {operation}")

    def unique(self, name):
        number = self.random.randrange(10**6)
        return f"p{number}@x.example" if name == "email" else f"p{number}"

    def value(self, schema, name="", depth=0, full=True):
        schema = self.operation.resolve(schema)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][0]
        types = types_of(schema) or {"object" if "properties" in schema else "string"}
        if name in USUAL and types & {"string", "array"}:
            usual = USUAL[name] if USUAL[name] is not None else self.unique(name)
            if ("array" in types) == isinstance(usual, list):
                return copy.deepcopy(usual)
        if "object" in types:
            return self.object(schema, depth, full)
        if "array" in types:
            count = max(schema.get("minItems", 0), 1 if full and depth < 4 else 0)
            return [self.value(schema.get("items", {}), name, depth + 1, full) for _ in range(count)]
        if types & {"integer", "number"}:
            return schema.get("minimum", 1)
        if "boolean" in types:
            return False
        return self.text(schema)

    def object(self, schema, depth, full):
        required = schema.get("required", [])
        return {name: self.value(told, name, depth + 1, full) for name, told in schema.get("properties", {}).items()
                if name in required or (full and depth < 4)}

    def text(self, schema):
        if schema.get("format") == "uuid":
            return "01234567-89ab-4def-8123-456789abcdef"
        if schema.get("format") in ("date-time", "date"):
            return "2030-01-31" if schema["format"] == "date" else "2030-01-31T00:00:00Z"
        for text in ("abc", "a", "x.example", "0" * 64, "A", "12", "abcdefgh"):
            if re.search(schema.get("pattern", ""), text) and len(text) >= schema.get("minLength", 0):
                return text
        return "abc".ljust(schema.get("minLength", 0), "x")


def places(operation, schema, value, at=()):
    """(way to it, schema, required) of each field there is in the value."""
    schema = operation.resolve(schema)
    if isinstance(value, dict):
        for name, told in schema.get("properties", {}).items():
            if name in value:
                yield (*at, name), told, name in schema.get("required", [])
                yield from places(operation, told, value[name], (*at, name))
    elif isinstance(value, list) and value:
        yield from places(operation, schema.get("items", {}), value[0], (*at, 0))


def replaced(value, way, new):
    """A copy with something else in that place; ... removes it."""
    made = copy.deepcopy(value)
    inner = made
    for step in way[:-1]:
        inner = inner[step]
    if new is ...:
        del inner[way[-1]]
    else:
        inner[way[-1]] = new
    return made


def written(way):
    text = ""
    for step in way:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def raw(value, bytes_):
    return json.dumps(value).encode().replace(json.dumps(MARK).encode(), bytes_)


class Breaker:
    def __init__(self, operation, path, seed):
        self.operation, self.path = operation, path
        self.maker = Maker(operation, seed)
        self.query = self.needed_query()

    def needed_query(self):
        needed = [one for one in self.operation.in_("query") if one.get("required")]
        return "&".join(f"{one['name']}={self.maker.value(one['schema'], one['name'])}" for one in needed)

    def target(self, query=""):
        query = "&".join(part for part in (self.query, query) if part)
        return self.path + ("?" + query if query else "")

    def case(self, name, body=..., query="", path=None, **more):
        headers = more.pop("headers", {})
        if body is ...:
            body = self.valid_body()
        if body is not None and "Content-Type" not in headers:
            headers["Content-Type"] = self.content_type()
        return Case(name, self.operation.method, path or self.target(query), body,
                    {key: value for key, value in headers.items() if value is not None}, **more)

    def content_type(self):
        content = self.operation.content
        return "application/json" if "application/json" in content or not content else next(iter(content))

    def valid_body(self, full=False):
        if not self.operation.content:
            return None
        if self.operation.body is None:
            return b"username\nx\n"
        return json.dumps(self.maker.value(self.operation.body, full=full)).encode()

    def valid(self):
        yield self.case("what is needed")
        if self.operation.content:
            yield self.case("everything", self.valid_body(full=True))

    def fields(self):
        schema = self.operation.body
        # A file of people is read row by row, and what is wrong with it is told when the run ends.
        if schema is None or "text/csv" in self.operation.content:
            return
        value = self.maker.value(schema)
        rows = ROWS.get(self.operation.path)
        for way, told, required in places(self.operation, schema, value):
            if len(way) > 2 and way[0] == rows:
                continue
            name = written(way)
            whole = self.operation.resolve(told)
            types = types_of(whole) if self.operation.certain(told) and self.operation.certain(whole) else None
            if required:
                yield self.case(f"{name} missing", raw(replaced(value, way, ...), b""), refused=True, at=name)
            yield self.case(f"{name} null", raw(replaced(value, way, None), b""))
            for wrong in WRONG:
                kinds = {TYPES[type(wrong)]} | ({"number"} if type(wrong) is int else set())
                yield self.case(f"{name} as {json.dumps(wrong)}", raw(replaced(value, way, wrong), b""),
                                refused=types is not None and not kinds & types, at=name)
            for what, bytes_ in NO_VALUES.items():
                yield self.case(f"{name}: {what}", raw(replaced(value, way, MARK), bytes_), refused=True)
            if types and "string" in types and not whole.get("enum") and whole.get("maxLength", 0) <= LONG:
                for size in {whole.get("maxLength", LONG) + 1, LONG}:
                    yield self.case(f"{name} of {size} bytes", raw(replaced(value, way, "a" * size), b""), refused=True, at=name)
            if types and "array" in types and whole.get("maxItems", LONG) < 20000:
                inner = value
                for step in way:
                    inner = inner[step]
                many = (inner or ["a"])[:1] * (whole["maxItems"] + 1)
                yield self.case(f"{name}: too many", raw(replaced(value, way, many), b""), refused=True, at=name)
            if types and types & {"integer"}:
                for number in (whole.get("minimum", -(2**63)) - 1, whole.get("maximum", 2**63 - 1) + 1):
                    # What no number of the machine can hold is no JSON to us, whichever field it stands in.
                    at = name if -(2**63) <= number < 2**63 else None
                    yield self.case(f"{name}: {number}", raw(replaced(value, way, number), b""), refused=True, at=at)
            if whole.get("enum"):
                yield self.case(f"{name}: none of its words", raw(replaced(value, way, "no-such-word"), b""),
                                refused=self.operation.certain(told), at=name)

    def objects(self):
        schema = self.operation.body
        if schema is None or "text/csv" in self.operation.content or "object" not in (types_of(schema) or {"object"}) or schema.get("additionalProperties"):
            return
        value = self.maker.value(schema)
        yield self.case("unknown field", json.dumps({**value, "no-such-field": 1}).encode(), refused=True, at="no-such-field")
        yield self.case("field with a strange name", raw(value, b"")[:-1] + (b"," if value else b"") + b'"\\u0000":1}', refused=True)
        yield self.case("empty name", json.dumps({**value, "": 1}).encode(), refused=True)
        for name in value:
            text = json.dumps(value).encode()
            yield self.case(f"{name} twice", text[:-1] + b"," + json.dumps({name: value[name]}).encode()[1:], refused=True)

    def bodies(self):
        if not self.operation.content:
            # A body where none belongs is no reason for anything to break.
            yield self.case("a body unasked", b'{"a":1}')
            return
        valid = self.valid_body(full=True)
        yield self.case("empty", b"", refused=bool((self.operation.body or {}).get("required")))
        yield self.case("spaces", b"  \r\n ")
        yield self.case("wrong type", valid, headers={"Content-Type": "text/plain"}, refused=True)
        yield self.case("no type", valid, headers={"Content-Type": None})
        yield self.case("many types", valid, headers={"Content-Type": "application/json, text/csv;" + "x" * 500}, refused=True)
        if self.operation.body is None or "text/csv" in self.operation.content:
            return
        for size in {1, len(valid) // 2, len(valid) - 1}:
            if size < len(valid):
                yield self.case(f"cut after {size} bytes", valid[:size], refused=True)
        for what, bytes_ in {**NO_VALUES, "a text": b'"x"', "null": b"null", "true": b"true"}.items():
            yield self.case(f"all of it: {what}", bytes_, refused=what not in ("nothing", "null"))
        yield self.case("an array", b"[1]", refused="array" not in (types_of(self.operation.body) or {"object"}))
        yield self.case("more behind", valid + b"{}", refused=True)
        yield self.case("byte order mark", b"\xef\xbb\xbf" + valid)
        yield self.case("UTF-16", valid.decode().encode("utf-16"), refused=True)
        yield self.case("gzip unasked", b"\x1f\x8b\x08" + valid, refused=True)

    def queries(self):
        yield self.case("unknown parameter", query="no-such-parameter=1", refused=True)
        for one in self.operation.in_("query"):
            name, schema = one["name"], self.operation.resolve(one["schema"])
            types = types_of(schema) or set()
            for value in QUERY:
                numeric = types == {"integer"} and value not in ("",)
                yield self.case(f"?{name}", query=f"{name}={value}", refused=numeric or (types == {"boolean"} and value != ""))
            yield self.case(f"?{name} twice", query=f"{name}=1&{name}=2", refused=True)
            if schema.get("enum"):
                yield self.case(f"?{name} none of its words", query=f"{name}=no-such-word", refused=True, at=name)

    def known_queries(self):
        """Each parameter of the document, with a value that is one: nobody may say it is not known."""
        for one in self.operation.in_("query"):
            schema = self.operation.resolve(one["schema"])
            if one["name"] not in ("filter", "segment"):
                yield one["name"], self.case(f"?{one['name']} is known",
                                             query=f"{one['name']}={self.maker.value(schema, one['name'])}".replace(" ", "%20"))

    def segments(self):
        for one in self.operation.in_("path"):
            for value in SEGMENTS:
                way = self.operation.path
                for other in self.operation.in_("path"):
                    way = way.replace("{" + other["name"] + "}", value if other is one else "abc")
                yield self.case(f"{{{one['name']}}} = {value[:40]}", path=way)

    def conditions(self):
        if not any(one["name"] == "If-Match" for one in self.operation.in_("header")):
            return
        for value in ('"999999"', 'W/"1"', '"x"'):
            yield self.case(f"If-Match: {value}", headers={"If-Match": value}, refused=True)
        for value in ("abc", '"1", "2"', "", '"' + "9" * 400 + '"', '"', '""'):
            yield self.case(f"If-Match: {value}", headers={"If-Match": value}, refused=True)

    def all(self):
        for kind in (self.bodies, self.objects, self.fields, self.queries, self.segments, self.conditions):
            yield from kind()


def broken(operation, path, seed):
    return list(Breaker(operation, path, seed).all())
