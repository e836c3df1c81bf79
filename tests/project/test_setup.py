"""The set-up: dependencies, pins, conda file, Makefile and CI agree with one another."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


PROJECT = tomllib.loads(read("pyproject.toml"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
REQUIREMENTS = [Requirement(line) for lines in (PROJECT["dependencies"], *EXTRAS.values()) for line in lines]
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def environment_of(python: str, platform: str = "linux") -> dict[str, str]:
    """Return the marker variables in which a pin and a requirement are read."""
    return {
        "python_version": python,
        "python_full_version": f"{python}.7",
        "sys_platform": platform,
        "os_name": "nt" if platform == "win32" else "posix",
        "platform_machine": "x86_64",
        "implementation_name": "cpython",
    }


def pins(python: str, platform: str = "linux") -> dict[str, list[Version]]:
    """Return the pinned versions by package, as pip reads constraints.txt there."""
    found: dict[str, list[Version]] = {}
    for line in read("constraints.txt").splitlines():
        if line and not line.startswith("#"):
            pin = Requirement(line)
            [specifier] = pin.specifier
            assert specifier.operator == "==", f"constraints.txt: {line} is no pin"
            if pin.marker is None or pin.marker.evaluate(environment_of(python, platform)):
                found.setdefault(canonicalize_name(pin.name), []).append(Version(specifier.version))
    return found


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_every_dependency_has_one_pin_inside_its_range(python: str, platform: str) -> None:
    pinned = pins(python, platform)
    for requirement in REQUIREMENTS:
        if requirement.marker and not requirement.marker.evaluate(environment_of(python, platform)):
            continue
        versions = pinned.get(canonicalize_name(requirement.name), [])
        assert len(versions) == 1, f"{requirement.name}: {len(versions)} pins on {python}, {platform}"
        assert versions[0] in requirement.specifier, f"{requirement} excludes its own pin {versions[0]}"


@pytest.mark.parametrize("python", PYTHONS)
def test_no_package_is_pinned_twice(python: str) -> None:
    assert [name for name, versions in pins(python).items() if len(versions) > 1] == []


def test_pythons_are_3_10_to_3_13() -> None:
    supported = SpecifierSet(PROJECT["requires-python"])
    assert all(f"{python}.0" in supported for python in PYTHONS)
    assert "3.9.20" not in supported
    named = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if c.startswith("Programming Language")]
    assert named == PYTHONS


def test_this_environment_has_the_pinned_torch() -> None:
    """The CPU build of a version (+cpu) answers to the same pin as the CUDA build."""
    from importlib.metadata import version

    [pinned] = pins(f"{sys.version_info.major}.{sys.version_info.minor}")["torch"]
    assert Version(version("torch")).public == str(pinned)


def test_the_tests_install_every_driver() -> None:
    assert {*EXTRAS["postgres"], *EXTRAS["mysql"]} <= set(EXTRAS["test"])


def test_conda_environment_is_pyproject_and_its_pins() -> None:
    environment = yaml.safe_load(read("environment.yml"))
    *conda, pip = environment["dependencies"]
    assert pip == {"pip": ["-c constraints.txt", "-e .[lab,test]"]}
    assert set(EXTRAS) == {"base", "lab", "mysql", "postgres", "sentencepiece", "test"}, (
        "a new extra: does environment.yml need it?"
    )
    assert "pip" in conda
    [python] = [line.partition("=")[2] for line in conda if line.startswith("python=")]
    assert python in PYTHONS
    assert len(conda) == 2, "dependencies belong in pyproject.toml"
    assert environment["channels"] == ["conda-forge", "nodefaults"]


def make(*arguments: str, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run make as from a fresh shell, not as a child of the `make test` that may run this test."""
    inherited = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"}
    environment = {name: value for name, value in os.environ.items() if name not in inherited} | variables
    command = ["make", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Make a directory with a space in its name, holding only what make itself reads."""
    directory = tmp_path / "a checkout"
    directory.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, directory)
    return directory


def executable(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@needs_make
def test_make_alone_lists_every_target() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", read("Makefile"), re.MULTILINE)
    assert phony
    listed = re.findall(r"^  ([a-z]+) +\S", make().stdout, re.MULTILINE)
    assert sorted(listed) == sorted(phony[1].split())
    assert {"lab", "test", "notebooks", "clean"} <= set(listed)


@needs_make
def test_every_make_command_in_the_documents_is_a_target() -> None:
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    for document in ("README.md", "CONTRIBUTING.md"):
        named = set(re.findall(r"(?:^|`)make ([a-z]+)", read(document), re.MULTILINE))
        assert named, f"{document} names no make command"
        assert named <= targets, f"{document}: {sorted(named - targets)} are no targets"


@needs_make
def test_environment_is_made_once_and_again_when_its_lists_change(checkout: Path) -> None:
    """A stand-in for Python writes down what make asks of it: a venv once, then pip for each change."""
    log = checkout / "log"
    recorder = (
        f'echo "$@" >> "{log}"\ncase "$*" in *"venv --clear"*) mkdir -p .venv/bin; cp "$0" .venv/bin/python;; esac'
    )
    python = executable(checkout / "stand-in", recorder)
    install = "-m pip install --constraint constraints.txt --editable .[lab,test]"
    no_news = "-m jupyter labextension disable --level=sys_prefix @jupyterlab/apputils-extension:announcements"

    first = make(".venv/.stamp", f"PYTHON={python}", cwd=checkout)
    assert first.returncode == 0, first.stderr
    asked = [line for line in log.read_text().splitlines() if "sys.version_info" not in line]
    assert asked == ["-m venv --clear .venv", install, no_news]

    log.unlink()
    assert make(".venv/.stamp", f"PYTHON={python}", cwd=checkout).returncode == 0
    assert not log.exists(), "a second make must not touch the environment"

    for name in ("constraints.txt", "pyproject.toml"):
        later = (checkout / ".venv/.stamp").stat().st_mtime + 5
        os.utime(checkout / name, (later, later))
        assert make(".venv/.stamp", f"PYTHON={python}", cwd=checkout).returncode == 0
        asked = log.read_text().splitlines()
        assert asked == ["-m pip --version", install, no_news], f"{name} changed: keep the venv"
        log.unlink()
        os.utime(checkout / ".venv/.stamp", (later + 1, later + 1))


@needs_make
def test_make_says_when_python_is_too_old_missing_or_has_no_venv(checkout: Path) -> None:
    old = executable(checkout / "old", 'if [ "$1" = --version ]; then echo Python 3.9.18; else exit 1; fi')
    result = make("lab", f"PYTHON={old}", cwd=checkout)
    assert result.returncode != 0
    assert "needs Python 3.10 or newer" in result.stderr and "Python 3.9.18" in result.stderr

    result = make("lab", "PYTHON=python-that-is-not-there", cwd=checkout)
    assert result.returncode != 0
    assert "No python-that-is-not-there here" in result.stderr

    bare = executable(checkout / "bare", 'case "$*" in *venv*) exit 1;; esac')
    result = make("lab", f"PYTHON={bare}", cwd=checkout)
    assert result.returncode != 0
    assert "apt install python3-venv" in result.stderr
    assert not (checkout / ".venv/.stamp").exists()


@needs_make
@pytest.mark.parametrize("display", [True, False])
def test_lab_is_served_on_loopback_and_opens_a_browser_only_on_a_display(display: bool) -> None:
    screen = ":0" if display or sys.platform == "darwin" else ""
    commands = make("-n", "lab", DISPLAY=screen, WAYLAND_DISPLAY="").stdout
    assert "--ip=127.0.0.1" in commands and "token" not in commands
    assert "/lab/tree/00_start_here.ipynb" in commands
    assert ("--no-browser" in commands) == (not screen)


def in_makefile(checkout: Path, shell: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a shell line as a recipe of the Makefile."""
    with (checkout / "Makefile").open("a", encoding="utf-8") as makefile:
        makefile.write(f"\nshell-line:\n\t@{shell}\n")
    return make("shell-line", cwd=checkout, **variables)


@needs_make
@pytest.mark.parametrize("home", ["", "nowhere", "a home"])
def test_without_a_home_everything_is_kept_in_the_checkout(checkout: Path, tmp_path: Path, home: str) -> None:
    (tmp_path / "a home").mkdir()
    result = in_makefile(checkout, "printf '%s' \"$$HOME\"", HOME=str(tmp_path / home) if home else "")
    expected = tmp_path / home if home == "a home" else checkout / ".cache/home"
    assert result.stdout == str(expected)


@needs_make
def test_python3_is_the_environments_kernel_before_the_users_own(checkout: Path, tmp_path: Path) -> None:
    for where, name in ((tmp_path / "theirs", "theirs"), (checkout / ".venv/share/jupyter", "ours")):
        (where / "kernels/python3").mkdir(parents=True)
        kernel = {"argv": ["python"], "display_name": name, "language": "python"}
        (where / "kernels/python3/kernel.json").write_text(json.dumps(kernel), encoding="utf-8")
    find = "from jupyter_client.kernelspec import get_kernel_spec as get; print(get('python3').display_name)"
    theirs = str(tmp_path / "theirs")
    settings = {"JUPYTER_PATH": theirs, "JUPYTER_DATA_DIR": theirs, "JUPYTER_PREFER_ENV_PATH": "0"}
    assert in_makefile(checkout, f'"{sys.executable}" -c "{find}"', **settings).stdout.strip() == "ours"


def test_ci_runs_the_check_of_the_readme() -> None:
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK) or os.name == "nt"
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    assert re.search(r"^(FTLAB_SOAK=\d+ )?make check\Z", read(".ci/run").rstrip(), re.MULTILINE)
    assert re.search(r"^make test\nmake check$", read("README.md"), re.MULTILINE)


@needs_make
def test_what_make_test_leaves_out_is_in_make_check() -> None:
    """Deselected marks, notebooks and folders: each in one of the two."""
    test, check = (re.findall(r"-m pytest (.*)", make("-n", target).stdout) for target in ("test", "check"))
    settings = tomllib.loads(read("pyproject.toml"))["tool"]["pytest"]["ini_options"]
    assert settings["addopts"].endswith(" -m 'not slow and not soak and not database'")
    assert not [line for line in test if " -m " in line or "--cov" in line or "tests/browser" in line]
    assert [line for line in check if ' -m ""' in line and "--cov=ftlab" in line and "--cov-fail-under=90" in line]
    assert "browser" in settings["norecursedirs"] and [line for line in check if line.startswith("tests/browser")]
    run_by_test = re.findall(r"notebooks/(\w+)\.ipynb", " ".join(test))
    assert {name[:2] for name in run_by_test} - {"00"} == {"01", "07"}
    assert [line for line in check if "--nbval-lax" in line and line.endswith(" notebooks")]
