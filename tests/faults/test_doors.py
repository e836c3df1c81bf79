"""Doors that stay shut: no shell, no code from data, no network beyond the named downloads, JupyterLab on loopback."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "ftlab").rglob("*.py"))

# Which modules may use which packages that reach beyond this machine, or start something on it.
DOORS = {
    "urllib": set(), "http": set(), "socket": set(), "ssl": set(), "requests": set(), "httpx": set(), "aiohttp": set(),
    "ftplib": set(), "smtplib": set(), "socketserver": set(), "xmlrpc": set(), "telnetlib": set(), "webbrowser": set(),
    "subprocess": set(), "multiprocessing": {"workers"}, "pty": set(), "ctypes": set(),
    "importlib.util": {"hub", "check"},
    "pickle": set(), "cPickle": set(), "dill": set(), "cloudpickle": set(), "joblib": set(), "shelve": set(),
    "marshal": set(), "code": set(), "codeop": set(), "runpy": set(), "imp": set(),
    # model_card writes a model card, schedules looks into the cache: neither asks the network.
    "huggingface_hub": {"hub", "builtin", "load", "model_card", "schedules"}, "pooch": {"builtin", "hub"},
}  # fmt: skip
# Calls by their last name; `model.eval()` is torch's, and has no argument.
FORBIDDEN = {
    "exec", "compile", "__import__", "system", "popen", "execv", "execvp", "execve", "spawnl", "spawnv", "startfile",
    "fork", "Popen", "check_output", "check_call", "urlopen", "urlretrieve", "create_connection", "unsafe_load",
    "push_to_hub", "upload_file", "upload_folder", "create_repo",
}  # fmt: skip


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def calls(path):
    """Yield (the called name's last part, the whole of it, the call)."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            whole = ast.unparse(node.func)
            yield whole.rpartition(".")[2], whole, node


@pytest.mark.fault("door left open")
def test_a_module_opens_no_door(case):
    for path in SOURCES:
        with case(path.relative_to(ROOT).as_posix()):
            assert_shut(path)


def assert_shut(path):
    for name in imports(path):
        for door, allowed in DOORS.items():
            if name == door or name.startswith(door + "."):
                assert path.stem in allowed, f"{path.name} imports {name}"
    for last, whole, call in calls(path):
        assert last not in FORBIDDEN or whole in ("re.compile", "platform.system"), (
            f"{path.name}, line {call.lineno}: {whole}"
        )
        if last == "eval":
            assert whole != "eval" and not call.args, f"{path.name}, line {call.lineno}: {ast.unparse(call)}"
        for keyword in call.keywords:
            said = f"{path.name}, line {call.lineno}: {keyword.arg}={ast.unparse(keyword.value)}"
            if keyword.arg in ("trust_remote_code", "shell", "allow_pickle"):
                assert ast.unparse(keyword.value) == "False", said
        assert whole not in ("torch.load", "np.load", "numpy.load", "pd.read_pickle", "pd.eval", "yaml.load"), whole
        if last == "from_pretrained":
            keywords = {keyword.arg for keyword in call.keywords}
            assert None in keywords or "trust_remote_code" in keywords, f"{path.name}, line {call.lineno}"


@pytest.mark.fault("door left open")
def test_the_only_addresses_are_the_named_ones():
    """Addresses in the code: where data and models come from, pages to read, and the names of XML's grammars."""
    known = {"github.com", "raw.githubusercontent.com", "www.kaggle.com", "www.w3.org", "huggingface.co", "arxiv.org"}
    found = {h for path in SOURCES for h in re.findall(r"https?://([\w.-]+)", path.read_text(encoding="utf-8"))}
    assert found - known == set()
    secret = re.compile(r"(api|secret|access)_?(key|token)\s*=\s*['\"]", re.IGNORECASE)
    assert not [path.name for path in SOURCES if secret.search(path.read_text(encoding="utf-8"))]


@pytest.mark.fault("door left open")
def test_jupyterlab_listens_on_loopback_and_keeps_its_token():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    [lab] = re.findall(r"-m jupyterlab (?:.*\\\n)*.*", makefile)
    assert "--ip=127.0.0.1" in lab
    for text in [makefile, *((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", ".ci/run"))]:
        assert not re.search(r"0\.0\.0\.0|IdentityProvider|PasswordIdentity|\.token|--token|password\s*=|allow_origin|"
                             r"disable_check_xsrf", text)  # fmt: skip


@pytest.mark.fault("door left open")
def test_security_md_says_what_is_true():
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 40
    for word in ("safetensors", "trust_remote_code", "127.0.0.1", "pip-audit"):
        assert word in text


@pytest.mark.fault("door left open")
@pytest.mark.skipif(shutil.which("git") is None or not (ROOT / ".git").exists(), reason="no git checkout")
def test_no_pickle_and_no_database_is_committed():
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    assert not [
        n for n in names if n.endswith((".pkl", ".pickle", ".pt", ".pth", ".bin", ".joblib", ".npy", ".db", ".env"))
    ]
