"""The rules that the compiler does not check: who may include whom, what no source may contain."""

import os
import re
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

TOP_LEVEL = {"daemon", "include", "config", "schemas", "tests", "systemd", "Makefile", "README.md",
             "LICENSE"}

# folder: the folders whose headers it may include, besides its own
_LOW = {"model", "base"}
_RULES = {"config", "identity"} | _LOW
_DECISION = {"rules"} | _RULES
_POLICY = {"decision"} | _DECISION
_STORE = {"audit"} | _LOW
_CHANGE = {"store", "policy"} | _POLICY | _STORE
_AUTH = {"change", "client"} | _CHANGE
_API = {"auth", "http"} | _AUTH
MAY_INCLUDE = {
    "base": set(),
    "model": {"base"},
    "config": _LOW,
    "identity": _LOW,
    "http": _LOW,
    "audit": _LOW,
    "client": _LOW,
    "rules": _RULES,
    "source": _RULES,
    "decision": _DECISION,
    "policy": _POLICY,
    "store": _STORE,
    "change": _CHANGE,
    "auth": _AUTH,
    "accounts": {"base"},
    "keys": {"accounts", "base"},
    "target": {"accounts", "keys"} | _AUTH,
    "api": _API,
    "web": {"api"} | _API,
    "cli": {"audit", "config", "rules", "client"} | _LOW,
    "main": {"base", "model", "config", "identity", "http", "audit", "client", "rules", "source",
             "decision", "policy", "store", "change", "auth", "target", "api", "web"},
}

# Each folder exports its option table, so each may know the types of a table's rows.
OPTION_ROWS = "rolebridge/config/options.h"

# Libraries that one folder alone knows: whoever wants another one changes that folder only.
ONE_FOLDER = {
    r"ldap\.h|lber\.h|ldap_\w+\.h": "daemon/source/ldap",
    r"(lasso|libxml|xmlsec)/.*": "daemon/source/saml",
    r"sqlite3\.h": "daemon/store",
    r"microhttpd\.h": "daemon/http",
    r"curl/.*": "daemon/client",
    r"libfyaml\.h": "daemon/config",
    r"seccomp\.h": "daemon/base",
}

BANNED = re.compile(r"(?<![\w.>])(strcpy|strcat|sprintf|vsprintf|gets|atoi|strtok|system|popen|alloca)"
                    r"\s*\(")
MARKERS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|\bstub\b", re.IGNORECASE)
# Paths of one machine: nobody else's build or test may need them.
MACHINE_PATHS = re.compile(r"(?<![\w.}])/(work|root|home)/\w")
MACHINE_PATHS_BUT_HOMES = re.compile(r"(?<![\w.}])/(work|root)/\w")

LONGEST_FUNCTION = 100
# "file:function": why it may be longer
LONG_FUNCTIONS = {}


def git_files(*options):
    """Paths known to git; None where there is no repository (a tarball, another owner)."""
    try:
        done = subprocess.run(["git", "-C", ROOT, "ls-files", "-z", *options], capture_output=True,
                              check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return [path for path in done.stdout.decode().split("\0") if path]


def all_files():
    files = git_files("--cached", "--others", "--exclude-standard")
    if files is None:
        files = []
        for folder, folders, names in os.walk(ROOT):
            folders[:] = [f for f in folders if f not in (".git", "build", "__pycache__")]
            files += [os.path.relpath(os.path.join(folder, name), ROOT) for name in names]
    return sorted(f for f in files if os.path.isfile(os.path.join(ROOT, f)))


FILES = all_files()
SOURCES = [f for f in FILES if f.endswith((".c", ".h"))]
OURS = [f for f in SOURCES if f.startswith(("daemon/", "include/"))]
HEADERS = [f for f in OURS if f.endswith(".h")]


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def without_comments(text):
    """The code with comments and the content of strings blanked; lines stay."""
    pattern = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def includes(path):
    """(line number, '<' or '"', what) of each include directive."""
    for number, line in enumerate(read(path).splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if match:
            yield number, match.group(1), match.group(2)


def folder_of(path):
    parts = path.split("/")
    return parts[2] if path.startswith("include/rolebridge/") else parts[1]


def offences(pattern, paths, text_of=read):
    found = []
    for path in paths:
        for number, line in enumerate(text_of(path).splitlines(), 1):
            if pattern.search(line):
                found.append(f"{path}:{number}: {line.strip()}")
    return found


def test_there_is_something_to_check():
    assert len(OURS) > 20 and "daemon/base/err.c" in OURS


def test_folders_are_known():
    assert {folder_of(f) for f in OURS} <= set(MAY_INCLUDE)


def test_folders_include_only_what_they_may():
    wrong = []
    for path in OURS:
        folder = folder_of(path)
        for number, _, what in includes(path):
            match = re.match(r"rolebridge/(\w+)/", what)
            if what == OPTION_ROWS and folder not in ("base", "model"):
                continue
            if match and match.group(1) not in MAY_INCLUDE[folder] | {folder}:
                wrong.append(f"{path}:{number}: {folder} may not include {what}")
    assert not wrong, "\n".join(wrong)


def test_private_headers_stay_in_their_folder():
    wrong = []
    for path in OURS:
        for number, quote, what in includes(path):
            if quote == "<" or what.startswith("sql/"):
                continue
            target = os.path.normpath(os.path.join(os.path.dirname(path), what))
            root = "/".join(path.split("/")[:2]) + "/"
            if not target.startswith(root) or path.startswith("include/"):
                wrong.append(f"{path}:{number}: {what}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("pattern", sorted(ONE_FOLDER))
def test_a_library_is_known_to_one_folder(pattern):
    wrong = []
    for path in OURS:
        for number, _, what in includes(path):
            if re.fullmatch(pattern, what) and not path.startswith(ONE_FOLDER[pattern] + "/"):
                wrong.append(f"{path}:{number}: {what} belongs to {ONE_FOLDER[pattern]}")
    assert not wrong, "\n".join(wrong)


def test_own_header_comes_first():
    wrong = []
    for path in OURS:
        if not path.endswith(".c"):
            continue
        name = os.path.basename(path)[:-2] + ".h"
        inner = path.split("/", 1)[1][:-2] + ".h"
        public = "rolebridge/" + inner
        private = os.path.join(os.path.dirname(path), name)
        own = [public] if "include/" + public in HEADERS else []
        own += [name] if private in HEADERS else []
        first = next((what for _, _, what in includes(path)), None)
        if own and first not in own:
            wrong.append(f"{path}: includes {first} before {own[0]}")
    assert not wrong, "\n".join(wrong)


def test_each_header_compiles_alone():
    build = os.environ.get("ROLEBRIDGE_BUILD", os.path.join(ROOT, "build"))
    libraries = "libsodium libsystemd libseccomp libfyaml ldap lber sqlite3 libmicrohttpd gnutls " \
                "libcurl jansson libxml-2.0 xmlsec1-openssl lasso zlib"
    flags = subprocess.run(["pkg-config", "--cflags", *libraries.split()], check=True,
                           capture_output=True, text=True).stdout.split()
    wrong = []
    for header in HEADERS:
        done = subprocess.run(
            ["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
             "-Iinclude", "-I" + os.path.join(build, "generated"), *flags, "-x", "c", "-"],
            input=f'#include "{header}"\n', cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            wrong.append(done.stderr)
    assert not wrong, "\n".join(wrong)


def test_no_banned_function():
    paths = [f for f in SOURCES if not f.endswith("base/banned.h")]
    wrong = offences(BANNED, paths, lambda path: without_comments(read(path)))
    assert not wrong, "\n".join(wrong)


def test_no_markers():
    paths = [f for f in FILES if f.endswith((".c", ".h", ".py", ".sh", ".sql", ".yaml", ".md"))
             or os.path.basename(f) in ("Makefile", "run")]
    wrong = offences(MARKERS, [f for f in paths if not f.startswith(("tests/lint/",
                                                                     "tests/fuzz/corpus/"))])
    assert not wrong, "\n".join(wrong)


def test_no_path_of_one_machine():
    # Homes are what accounts are about, and packages are tried in machines of their own.
    paths = {f for f in FILES if not f.startswith(("tests/lint/", "tests/fuzz/corpus/"))}
    homes = {f for f in paths if "accounts" in f or f.startswith("tests/packages/")}
    wrong = offences(MACHINE_PATHS, sorted(paths - homes)) + offences(MACHINE_PATHS_BUT_HOMES, sorted(homes))
    assert not wrong, "\n".join(wrong)


def test_top_level():
    tracked = git_files("--cached")
    if tracked is None:
        pytest.skip("no git repository")
    top = {path.split("/")[0] for path in tracked}
    assert {name for name in top if not name.startswith(".")} <= TOP_LEVEL


def functions(path):
    """(name, lines) of each function: from its opening brace in column 1 to the closing one."""
    name, start = None, 0
    for number, line in enumerate(read(path).splitlines(), 1):
        match = re.match(r"[\w].*?(\w+)\(", line)
        if match and not line.rstrip().endswith(";"):
            name = match.group(1)
        if line == "{":
            start = number
        elif line == "}" and start:
            yield name, number - start - 1
            start = 0


def test_functions_are_short():
    wrong = []
    for path in SOURCES:
        for name, lines in functions(path):
            if lines > LONGEST_FUNCTION and f"{path}:{name}" not in LONG_FUNCTIONS:
                wrong.append(f"{path}: {name} has {lines} lines")
    assert not wrong, "\n".join(wrong)


def test_the_checks_see_what_they_look_for():
    code = without_comments('strcpy(a, b); /* system( */ char *s = "popen(";\nx->system(1);')
    assert BANNED.findall(code) == ["strcpy"]
    assert MARKERS.search("/* todo: later */") and not MARKERS.search("/tmp/name-XXXXXX")
    assert MACHINE_PATHS.search('"/home/me/x"') and not MACHINE_PATHS.search("$BUILD/root/x")
