"""schemas/openapi.yaml is a valid document of OpenAPI 3.1: whatever reads such documents can read it."""
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
METHODS = {"get", "put", "post", "patch", "delete"}


class Strict(yaml.SafeLoader):
    """Keys that stand twice are a mistake."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"{node.start_mark}: a key twice"
        return super().construct_mapping(node, deep)


DOCUMENT = yaml.load((ROOT / "schemas/openapi.yaml").read_text(), Strict)
OPERATIONS = {f"{method.upper()} {path}": (path, told) for path, methods in DOCUMENT["paths"].items()
              for method, told in methods.items()}


def walk(value, place=""):
    """(place, mapping) of everything."""
    if isinstance(value, dict):
        yield place, value
        for key, item in value.items():
            yield from walk(item, f"{place}/{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from walk(item, f"{place}/{number}")


def target(reference):
    found = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def resolved(told):
    while "$ref" in told:
        told = target(told["$ref"])
    return told


def test_references_lead_somewhere():
    used = set()
    for place, told in walk(DOCUMENT):
        if isinstance(told.get("$ref"), str):
            try:
                assert isinstance(target(told["$ref"]), dict)
            except KeyError:
                pytest.fail(f"{place}: there is no {told['$ref']}")
            used.add(told["$ref"])
    for kind, items in DOCUMENT["components"].items():
        if kind != "securitySchemes":
            assert {f"#/components/{kind}/{name}" for name in items} <= used, "nobody uses it"


def test_schemas_are_schemas():
    schemas = [(f"/components/schemas/{name}", told) for name, told in DOCUMENT["components"]["schemas"].items()]
    schemas += [(place, told["schema"]) for place, told in walk(DOCUMENT) if isinstance(told.get("schema"), dict)]
    assert len(schemas) > 100
    for place, schema in schemas:
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as problem:
            pytest.fail(f"{place}: {problem.message}")


def test_names_are_given_once():
    names = [told["operationId"] for _, told in OPERATIONS.values()]
    assert len(names) == len(set(names))
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    assert tags == {tag for _, told in OPERATIONS.values() for tag in told["tags"]}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation(operation):
    path, told = OPERATIONS[operation]
    assert operation.split()[0].lower() in METHODS
    parameters = [resolved(one) for one in told.get("parameters", [])]
    places = [(one["in"], one["name"]) for one in parameters]
    assert len(places) == len(set(places))
    assert {name for place, name in places if place == "path"} == set(re.findall(r"{(\w+)}", path))
    for one in parameters:
        assert one["in"] in ("path", "query", "header") and isinstance(one["schema"], dict)
        assert one.get("required", False) or one["in"] != "path", one["name"]
    for status, answer in told["responses"].items():
        assert re.fullmatch(r"[1-5]\d\d|default", status) and resolved(answer)["description"]
    for scheme in [name for one in DOCUMENT["security"] + told.get("security", []) for name in one]:
        assert scheme in DOCUMENT["components"]["securitySchemes"]
