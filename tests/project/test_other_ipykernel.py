"""The notebooks' cells run on the ipykernel before the pinned one too: 7.3, where a callback waits for its cell."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
OTHER = "7.3"


@pytest.mark.slow
@pytest.mark.skipif(version("ipykernel").startswith(OTHER), reason=f"ipykernel {OTHER} is this environment's own")
def test_a_notebook_passes_on_the_other_ipykernel(tmp_path):
    packages = tmp_path / "packages"
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", packages, f"ipykernel=={OTHER}.*"]
    installed = subprocess.run(install, capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"ipykernel {OTHER} cannot be installed: {installed.stderr.strip().splitlines()[-1]}")

    notebook = nbformat.read(ROOT / "notebooks" / "01_baseline.ipynb", as_version=4)
    check = f"import ipykernel; assert ipykernel.__version__.startswith({OTHER!r}), ipykernel.__version__"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(check))
    nbformat.write(notebook, tmp_path / "01_baseline.ipynb")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    nbval = [sys.executable, "-m", "pytest", "-q", "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=300"]
    path = os.pathsep.join(map(str, (packages, ROOT)))
    environment = {**os.environ, "PYTHONPATH": path, "FTLAB_PRESET": "tiny"}
    done = subprocess.run([*nbval, tmp_path / "01_baseline.ipynb"], cwd=tmp_path, env=environment, capture_output=True,
                          text=True)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
