"""What this machine and this notebook can do: versions, device, and which of the live parts will work.

`check` is the first cell of every notebook. It finds out from inside the kernel, so it can tell what is
installed here but not what the page in the browser has loaded.
"""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

STOP_BUTTON_TESTED = ("7.2", "7.4")
"""Oldest and newest minor version of ipykernel on which the Stop button was seen to work while a cell runs.
"""


def in_notebook() -> bool:
    """Tell whether this code runs in a Jupyter kernel, where pictures can be shown."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None


def check() -> None:
    """Print versions, device, and what of the live parts works here, with one-line fixes."""
    print("\n".join(report()))


def report() -> list[str]:
    """Return the lines that `check` prints."""
    packages = ("ftlab", "transformers", "jupyterlab", "ipykernel", "ipywidgets", "matplotlib", "numpy")
    lines = [f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"]
    lines.append(", ".join(f"{name} {_version(name) or 'missing'}" for name in packages))
    lines.append(_device())
    lines.append(f"running in {_place()}")
    return lines + [_live_curves(), _stop_button(), _panels()]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _at_least(package: str, wanted: tuple[int, ...]) -> bool:
    """Tell whether a package is installed in this version or a newer one."""
    return tuple(_numbers(_version(package) or "0")) >= wanted


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(".")[:2] if part.isdigit()]


def _device() -> str:
    try:
        import torch  # takes seconds, and nothing else here needs it
    except ImportError:
        return "torch missing; fix: pip install torch"
    if torch.cuda.is_available():
        device = f"cuda: {torch.cuda.get_device_name()}"
    elif torch.backends.mps.is_available():
        device = "mps (Apple); numbers differ slightly from those printed in the notebooks"
    else:
        device = "cpu"
    precision = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if precision != "no":
        device += f", mixed precision {precision} (ACCELERATE_MIXED_PRECISION)"
    return f"torch {torch.__version__}, {torch.get_num_threads()} threads, device {device}"


def _place() -> str:
    if "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ:
        return "Google Colab (not tested with ftlab)"
    if "KAGGLE_KERNEL_RUN_TYPE" in os.environ:
        return "a Kaggle notebook (not tested with ftlab)"
    if not in_notebook():
        return "a terminal or script"
    if any(name in os.environ for name in ("VSCODE_PID", "VSCODE_CWD")):
        return "a notebook in VS Code (not tested with ftlab)"
    return "a Jupyter kernel"


def _live_curves() -> str:
    if not in_notebook():
        return "live curves: no, a progress bar instead; they need a notebook: make lab"
    if "VSCODE_PID" in os.environ or "VSCODE_CWD" in os.environ:
        return "live curves: yes; if they appear twice or stand still, use fit(..., live='widget')"
    return "live curves: yes"


def _stop_button() -> str:
    if not in_notebook():
        return "Stop button: no, Ctrl-C ends a run and keeps what it has"
    interrupt = "interrupting the kernel (I, I) always works"
    if not _at_least("ipywidgets", (8, 0)):
        return f"Stop button: no, {interrupt}; fix: pip install 'ipywidgets>=8.1,<9', then restart the kernel"
    if not _at_least("ipykernel", (7, 2)):
        return f"Stop button: no, {interrupt}; fix: pip install 'ipykernel>=7.2,<8', then restart the kernel"
    oldest, newest = (tuple(_numbers(v)) for v in STOP_BUTTON_TESTED)
    if not oldest <= tuple(_numbers(_version("ipykernel") or "0")) <= newest:
        tested = " to ".join(STOP_BUTTON_TESTED)
        return f"Stop button: not tested with this ipykernel (tested: {tested}); {interrupt}"
    return f"Stop button: yes; {interrupt} too"


def _panels() -> str:
    if not _at_least("ipywidgets", (8, 0)):
        fix = "pip install 'ipywidgets>=8.1,<9', then restart the kernel"
        return f"panels: no, ipywidgets 8 is missing; fix: {fix}"
    if not in_notebook():
        return "panels: no, they need a notebook: make lab"
    if "google.colab" not in sys.modules and not _version("jupyterlab_widgets"):
        return "panels: perhaps; if they show as text: pip install jupyterlab_widgets, then reload the page"
    return "panels: yes; if one shows as text, reload the page in the browser"
