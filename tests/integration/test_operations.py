"""
What operators are told: figures, alerts, the dashboard and log lines are as rolebridged(8) describes them.

ROLEBRIDGE_UPDATE=1 rewrites the lists of figures and events in the manual.
"""
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import requests
import yaml

from bridge import ROOT, Bridge
from ports import free_port

MANUAL = ROOT / "daemon/main/rolebridged.8"
RULES = ROOT / "config/prometheus-rules.yaml"
DASHBOARD = ROOT / "config/grafana-dashboard.json"
FIXTURES = ROOT / "tests/fixtures/operations"
CONFIG = """
public_url: "http://127.0.0.1:{port}"
listeners: [{{address: "127.0.0.1:{port}"}}]
profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: viewer, permissions: []}}
policy: {{default_profile: viewer}}
sources:
  - {{name: people, type: csv, path: people.csv, key: id, interval: 0}}
"""
COMMAND_SECONDS = 300
SAMPLE = re.compile(r'([a-z_:][a-z0-9_:]*)(\{(?:[a-z_]+="(?:[^"\\]|\\.)*",?)*\})? (\S+)')
# Of a summary there is none.
TYPES = ("counter", "gauge", "histogram")


@pytest.fixture(name="figures", scope="module")
def scrape(tmp_path_factory):
    """The text of /metrics after something happened."""
    port = free_port()
    folder = tmp_path_factory.mktemp("operations")
    with Bridge(CONFIG.format(port=port), {"people.csv": "id,uid,mail\n1,a,a@b.example\n"}, folder=folder) as bridge:
        bridge.ctl("sync", "people")
        bridge.ctl("backup", folder / "backup.db")
        address = f"http://127.0.0.1:{port}/metrics"
        assert requests.get(address, timeout=60).headers["Content-Type"].startswith("text/plain; version=0.0.4")
        yield requests.get(address, timeout=60).text


def families(text):
    """name → (type, help), and the samples."""
    found, samples, helps = {}, [], {}
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name, words = line[7:].split(" ", 1)
            assert name not in helps, f"{name} is described twice"
            helps[name] = words
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert name in helps and name not in found, f"{name}: HELP, then TYPE, once"
            found[name] = (kind, helps[name])
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            samples.append((match[1], match[2] or "", match[3]))
    assert set(found) == set(helps)
    return found, samples


def family_of(name, found):
    """A histogram's samples have names of their own."""
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    return base if found.get(base, ("",))[0] == "histogram" else name


def test_conventions(figures):
    """Names, units and types as Prometheus has them; no sample without a family, none twice, families in one piece."""
    found, samples = families(figures)
    assert len(found) > 50
    for name, (kind, words) in found.items():
        assert kind in TYPES, name
        assert name.startswith(("rolebridge_", "process_")), name
        assert name.endswith("_total") == (kind == "counter"), name
        assert not re.search(r"(milli|micro|nano)?seconds_(?!total)|_(ms|us|kb|mb|percent|minutes|hours|days)\b", name), name
        assert not re.search(r"(milli|micro|nano)seconds|kilobytes|megabytes", name), name
        assert words[0].isupper() or words[0].isdigit(), name
        assert words.endswith("."), name
    seen = set()
    for name, labels, value in samples:
        assert family_of(name, found) in found, name
        float(value)
        assert (name, labels) not in seen, (name, labels)
        seen.add((name, labels))
    order = [family_of(name, found) for name, _, _ in samples]
    assert [name for i, name in enumerate(order) if i == 0 or order[i - 1] != name] == list(dict.fromkeys(order))


def promtool(*words, folder=None, text=None):
    tool = shutil.which("promtool")
    if not tool:
        pytest.skip("promtool (package prometheus) is not installed")
    return subprocess.run([tool, *map(str, words)], cwd=folder, input=text, capture_output=True, text=True,
                          timeout=COMMAND_SECONDS, check=False)


def test_durations_are_cumulative(figures):
    """Each bucket holds those before it; the count is the last one's, and what took time has a sum."""
    name = "rolebridge_http_request_duration_seconds"
    kinds = {}
    for sample, labels, value in families(figures)[1]:
        match = re.fullmatch(r'\{kind="(\w+)"(?:,le="([^"]+)")?\}', labels)
        if sample.startswith(name):
            kinds.setdefault(match[1], {})[match[2] or sample[len(name):]] = float(value)
    assert set(kinds) == {"auth", "slow", "other", "control"}
    for kind, row in kinds.items():
        bounds = [key for key in row if not key.startswith("_")]
        assert bounds[-1] == "+Inf" and [float(bound) for bound in bounds] == sorted(float(bound) for bound in bounds)
        counts = [row[bound] for bound in bounds]
        assert counts == sorted(counts) and counts[-1] == row["_count"], kind
        assert (row["_sum"] > 0) == (row["_count"] > 0), kind
    assert kinds["control"]["_count"] > 0 and kinds["other"]["_count"] > 0


def test_promtool_likes_the_figures(figures):
    result = promtool("check", "metrics", text=figures)
    assert result.returncode == 0 and not result.stderr.strip(), result.stderr + result.stdout


def test_alerts(tmp_path):
    """They load, each fires when it should, and none while all is well."""
    shutil.copy(RULES, tmp_path)
    for path in FIXTURES.glob("*.yaml"):
        shutil.copy(path, tmp_path)
    result = promtool("check", "rules", RULES.name, folder=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    result = promtool("test", "rules", *sorted(path.name for path in FIXTURES.glob("*.yaml")), folder=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


def alerts():
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def test_each_alert_is_tested():
    tested = " ".join(path.read_text() for path in FIXTURES.glob("*.yaml"))
    for rule in alerts():
        assert re.search(rf"\b{rule['alert']}\b", tested), rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["summary"].endswith(".")


# --- the manual ---

def part(text, name):
    """Between two comments of the manual."""
    match = re.search(rf'\.\\" begin {name}\n(.*?)\.\\" end {name}\n', text, re.S)
    assert match, name
    return match


def items(name):
    """Of a list: what stands in each .It, and the text below."""
    found = {}
    for piece in part(MANUAL.read_text(), name)[1].split(".It Li ")[1:]:
        head, _, body = piece.partition("\n")
        assert head not in found, head
        found[head] = body.replace("\n.El", "").strip()
    return found


def rewrite(name, lines):
    text = MANUAL.read_text()
    match = part(text, name)
    body = ".Bl -tag -width Ds -compact\n" + "".join(lines) + ".El\n"
    MANUAL.write_text(text[:match.start(1)] + body + text[match.end(1):])


def sources():
    return sorted((ROOT / "daemon").rglob("*.c"))


def described(figures):
    """All families: those of this daemon, and those that other parts of the configuration bring."""
    found = dict(families(figures)[0])
    for path in sources():
        text = re.sub(r'"\s*\n\s*"', "", path.read_text())
        for name, words, kind in re.findall(r'# HELP (\w+) ([^"\\]+)\\n# TYPE \1 (\w+)\\n', text):
            found.setdefault(name, (kind, words))
    return found


def test_figures_are_described(figures):
    found = described(figures)
    if os.environ.get("ROLEBRIDGE_UPDATE"):
        rewrite("figures", [f".It Li {name}\n{words} ({kind})\n" for name, (kind, words) in sorted(found.items())])
    told = items("figures")
    assert sorted(told) == sorted(found)
    for name, (kind, words) in found.items():
        assert told[name] == f"{words} ({kind})", name


def named(text):
    return set(re.findall(r"\b(?:rolebridge|process)_[a-z0-9_]+\b", text))


def test_rules_and_dashboard_name_what_is_there(figures):
    kinds = described(figures)
    found = set(kinds)
    asked = named(" ".join(rule["expr"] for rule in alerts()))
    asked = {family_of(name, kinds) for name in asked}
    assert asked and asked <= found, asked - found
    dashboard = json.loads(DASHBOARD.read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    shown = named(" ".join(target["expr"] for panel in panels for target in panel["targets"]))
    shown = {family_of(name, kinds) for name in shown}
    assert len(panels) > 20 and shown <= found, shown - found
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    # No two of them on the same place.
    places = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & places, panel["title"]
        places |= cells


def test_dashboard_can_be_asked(figures):
    """Each expression is one that Prometheus understands."""
    dashboard = json.loads(DASHBOARD.read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    rules = {"groups": [{"name": "dashboard", "rules": [
        {"record": f"panel:{i}", "expr": expression.replace("$__rate_interval", "5m").replace("$instance", "a").replace("$job", "b")}
        for i, expression in enumerate(expressions)]}]}
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"rolebridge-dashboard-{os.getpid()}.yaml"
    path.write_text(yaml.safe_dump(rules).replace("panel:", "panel_"))
    try:
        result = promtool("check", "rules", path)
    finally:
        path.unlink()
    assert result.returncode == 0, result.stdout + result.stderr


# --- log lines ---

CALL = re.compile(r'\b(?:log_(error|warning|info|debug)|LOG_EVENT_)\(\s*')
FIELD = re.compile(r'\bF_(STR|INT|ERR)\(\s*(?:"(\w+)")?')


def call_of(text, at):
    """All words of a call that begins behind its parenthesis."""
    depth, quoted, begin = 1, False, at
    while depth:
        letter = text[at]
        if letter == '"' and text[at - 1] != "\\":
            quoted = not quoted
        elif not quoted:
            depth += (letter == "(") - (letter == ")")
        at += 1
    return text[begin:at - 1]


def arguments(call):
    depth, quoted, begin = 0, False, 0
    for at, letter in enumerate(call):
        if letter == '"' and call[at - 1] != "\\":
            quoted = not quoted
        elif not quoted:
            depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0 and not quoted:
            yield call[begin:at].strip()
            begin = at + 1
    yield call[begin:].strip()


def events_of(word, text):
    """The names that an expression may be: a text, one of two, a macro of the file, one of a table of it."""
    found = re.findall('"([^"]+)"', word)
    if found:
        return found
    name = re.match(r"\w+", word)[0]
    macro = re.search(rf'#define {name} "([^"]+)"', text)
    table = re.search(rf"\b{name}\b(?:\[\w*\])+ = {{(.*?)}};", text, re.S)
    assert macro or table, f"what events is '{word}'?"
    return [macro[1]] if macro else re.findall(r'"([a-z-]+\.[a-z.-]+)"', table[1])


def logged():
    """event → (levels, fields) as the code has them."""
    found = {}
    for path in sources():
        text = path.read_text()
        for match in CALL.finditer(text):
            words = list(arguments(call_of(text, match.end())))
            call = ", ".join(words)
            for event in events_of(words[0 if match[1] else 1], text):
                levels, fields = found.setdefault(event, (set(), set()))
                levels.add(match[1] or "any level")
                fields |= {"error" if kind == "ERR" else name for kind, name in FIELD.findall(call)}
    return found


def event_lines(found):
    for event, (levels, fields) in sorted(found.items()):
        yield f".It Li {event}\n{', '.join(sorted(levels))}" + (f": {', '.join(sorted(fields))}" if fields else "") + "\n"


def test_events_are_described():
    found = logged()
    assert len(found) > 60
    if os.environ.get("ROLEBRIDGE_UPDATE"):
        rewrite("events", event_lines(found))
    told = items("events")
    for event, line in zip(sorted(found), event_lines(found)):
        assert told.get(event) == line.split("\n")[1], event
    assert sorted(told) == sorted(found)


def test_fields_are_described():
    fields = set().union(*(fields for _, fields in logged().values()))
    assert sorted(items("fields")) == sorted(fields)


def test_a_line_has_its_fields(tmp_path):
    """What a line shows is what the list says of it."""
    with Bridge("profiles: [{name: administrator}]\npolicy: {default_profile: administrator}\nlog_level: debug\n",
                folder=tmp_path) as bridge:
        bridge.ctl("status")
        text = bridge.logged()
    found = logged()
    lines = [line for line in text.splitlines() if "http.request" in line]
    assert lines
    fields = set(re.findall(r"(\w+)=", lines[-1]))
    assert fields <= found["http.request"][1] | {"path"}, fields
