"""`check` says what works here, and for what does not, how to mend it."""

from __future__ import annotations

import sys

import pytest
import torch

from ftlab.lab import check

INSTALLED = {
    "ftlab": "0.1.0",
    "transformers": "5.0.0",
    "jupyterlab": "4.6.6",
    "ipykernel": "7.4.0",
    "ipywidgets": "8.1.9",
    "jupyterlab_widgets": "3.0.17",
    "matplotlib": "3.11.2",
    "numpy": "2.4.6",
}
PLACES = ("COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE", "VSCODE_PID", "VSCODE_CWD")


@pytest.fixture
def report(monkeypatch):
    """Return a function: what `check` would print with these versions at this place, as one text."""

    def report(*, notebook=True, variables=(), **versions):
        installed = {**INSTALLED, **versions}
        monkeypatch.setattr(check, "_version", installed.get)
        monkeypatch.setattr(check, "in_notebook", lambda: notebook)
        for name in PLACES:
            monkeypatch.delenv(name, raising=False)
        for name in variables:
            monkeypatch.setenv(name, "1")
        return "\n".join(check.report())

    return report


def test_where_all_is_well_there_is_nothing_to_mend(report):
    text = report()
    assert "live curves: yes" in text and "Stop button: yes" in text and "panels: yes" in text
    assert "fix:" not in text and "running in a Jupyter kernel" in text


def test_check_prints_versions_and_device_once(report, capsys, monkeypatch):
    report()
    assert check.check() is None
    text = capsys.readouterr().out
    assert text.count("ipykernel 7.4.0") == text.count(f"torch {torch.__version__}") == 1
    assert f"{torch.get_num_threads()} threads" in text
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "H200")
    assert "device cuda: H200" in report()


@pytest.mark.parametrize(
    ("ipykernel", "answer"),
    [
        (
            "6.31.0",
            "Stop button: no, interrupting the kernel (I, I) always works; fix: pip install 'ipykernel",
        ),
        ("7.1.0", "fix: pip install 'ipykernel>=7.2,<8'"),
        ("7.2.0", "Stop button: yes"),
        ("7.3.0a1", "Stop button: yes"),
        ("7.4.9", "Stop button: yes"),
        ("7.5.0", "Stop button: not tested with this ipykernel (tested: 7.2 to 7.4)"),
        ("8.0.0", "Stop button: not tested"),
    ],
)
def test_the_stop_button_depends_on_the_kernel(report, ipykernel, answer):
    assert answer in report(ipykernel=ipykernel)


def test_what_is_missing_is_named_with_its_mending(report, monkeypatch):
    text = report(ipywidgets=None)
    assert "ipywidgets missing" in text and text.count("fix: pip install 'ipywidgets>=8.1,<9'") == 2
    assert "panels: no" in report(ipywidgets="7.8.1")
    assert "pip install jupyterlab_widgets" in report(jupyterlab_widgets=None)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "torch missing; fix: pip install torch" in report()


def test_mixed_precision_is_told_where_it_is_on(report, monkeypatch):
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    assert "precision" not in report()
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    assert ", mixed precision bf16 (ACCELERATE_MIXED_PRECISION)" in report()


def test_outside_a_notebook_nothing_is_promised(report):
    text = report(notebook=False)
    assert "a terminal or script" in text and "progress bar" in text and "Ctrl-C" in text and "panels: no" in text


@pytest.mark.parametrize(
    ("variable", "place"),
    [("COLAB_RELEASE_TAG", "Google Colab"), ("KAGGLE_KERNEL_RUN_TYPE", "Kaggle"), ("VSCODE_PID", "VS Code")],
)
def test_other_places_are_recognised(report, variable, place):
    text = report(variables=[variable])
    assert place in text and "not tested" in text
    assert ("live='widget'" in text) == (variable == "VSCODE_PID")


def test_this_test_does_not_run_in_a_notebook(monkeypatch):
    assert not check.in_notebook()
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not check.in_notebook()
