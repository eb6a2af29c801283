"""Option tables, --help, JSON Schema, manual and examples say the same."""
import json
import subprocess

import jsonschema
import pytest
import yaml

from bridge import DAEMON, ROOT

SCHEMA = ROOT / "schemas" / "config.schema.json"
MANUAL = ROOT / "daemon" / "main" / "rolebridge.yaml.5"
EXAMPLES = sorted([ROOT / "config" / "rolebridge.yaml", *(ROOT / "config" / "demo").glob("*.yaml")])


def printed(what):
    return subprocess.run([DAEMON, "--print", what], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("what, path", [("schema", SCHEMA), ("manual", MANUAL)])
def test_committed_copy_is_what_the_tables_say(what, path):
    assert path.read_text() == printed(what), f"run `make generate` to rewrite {path.relative_to(ROOT)}"


def test_schema_is_a_valid_schema():
    jsonschema.Draft202012Validator.check_schema(json.loads(printed("schema")))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_follow_the_schema(path):
    """Parts that are included lack what is required at the top of the first file: none is."""
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
    document = yaml.load(path.read_text(), Loader=yaml.BaseLoader)
    errors = [e for e in validator.iter_errors(typed(document, validator.schema)) if "include" not in e.message]
    assert not errors, errors[0]


def typed(value, _schema):
    """YAML 1.2 core scalars: PyYAML reads 1.1, where `no` is false and dates are objects."""
    if isinstance(value, dict):
        return {name: typed(item, _schema) for name, item in value.items()}
    if isinstance(value, list):
        return [typed(item, _schema) for item in value]
    if value in ("true", "false"):
        return value == "true"
    try:
        return int(value)
    except ValueError:
        return value


@pytest.mark.parametrize("path", [ROOT / "config" / "rolebridge.yaml", ROOT / "config" / "demo" / "rolebridge.yaml"],
                         ids=lambda path: path.parent.name)
def test_examples_load(path):
    result = subprocess.run([DAEMON, "--check", path], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert " error: " not in result.stderr


def test_every_option_is_in_help_manual_and_schema():
    names = set()

    def collect(schema):
        if isinstance(schema, dict):
            names.update(schema.get("properties", {}))
            for value in schema.values():
                collect(value)
        elif isinstance(schema, list):
            for value in schema:
                collect(value)

    collect(json.loads(printed("schema")))
    assert len(names) > 60
    help_text, manual = printed("options"), printed("manual")
    for name in sorted(names - {"include"}):
        assert name in help_text, name
        assert name in manual, name


def test_manuals_are_well_formed():
    pages = [*ROOT.glob("daemon/*/*.[158]")]
    assert {page.name for page in pages} >= {"rolebridged.8", "rolebridgectl.1", "rolebridge.yaml.5",
                                             "rolebridge-rules.5"}
    for page in pages:
        result = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], capture_output=True, text=True,
                                check=False)
        assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("words, status", [(["--help"], 0), (["--version"], 0), (["--nonsense"], 2), (["extra"], 2),
                                           (["--print", "nonsense"], 2), (["--worker", "nonsense"], 2),
                                           (["--config", "/nonexistent/file"], 1),
                                           (["--check", "/nonexistent/file"], 1)])
def test_exit_status(words, status):
    result = subprocess.run([DAEMON, *words], capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == status, result.stderr
