"""Run notebooks for real and store their outputs, cleaned.

    make notebooks                                  all of them
    python tools/execute.py 01_baseline         those named

A stored notebook keeps PNG and text, which every viewer shows. It loses widget state (GitHub refuses notebooks with
half of it), widget views that a PNG stands for, and times of execution. The fingerprint of the code that made the
outputs is kept in `metadata.ftlab`, and what the default recipe was, so that a test can tell when they are out of date.
A notebook with an error is left as it was.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from ftlab.recipe import Recipe
from ftlab.study.first_edition import FIRST_EDITION

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
WIDGET = "application/vnd.jupyter.widget-view+json"
SIZE_BUDGET = 1_500_000  # bytes


def notebooks(*names: str) -> list[Path]:
    """Return the notebooks of the series and their solutions, or those named by stem or file."""
    found = sorted(NOTEBOOKS.glob("[0-9]*.ipynb")) + sorted(NOTEBOOKS.glob("solutions/*.ipynb"))
    if not names:
        return found
    stems = {path: path.relative_to(NOTEBOOKS).with_suffix("") for path in found}
    by_name = {str(key): path for path in found for key in (stems[path], path.resolve())}
    wanted = [by_name.get(name) or by_name.get(str(Path(name).resolve())) for name in names]
    if None in wanted:
        sys.exit(f"No notebook {names[wanted.index(None)]!r}. There are: {', '.join(map(str, by_name))}")
    return wanted


def source_fingerprint(notebook: NotebookNode) -> str:
    """Return the SHA-256 of the code cells: what the outputs depend on in the notebook itself."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256("\0".join(code).encode()).hexdigest()


def defaults() -> dict[str, Any]:
    """Return what `Recipe()` has otherwise than the first edition: runs of `Recipe()` depend on it."""
    now = {name: getattr(Recipe(), name) for name in FIRST_EDITION}
    return {name: value for name, value in now.items() if value != FIRST_EDITION[name]}


def clean(notebook: NotebookNode) -> NotebookNode:
    """Return a copy fit to be stored: no widget state, no widget view beside a PNG, no times, text in one piece.

    A busy machine delivers what a cell prints in several pieces.
    """
    notebook = nbformat.from_dict(notebook)
    kept = {name: notebook.metadata[name] for name in ("kernelspec", "ftlab") if name in notebook.metadata}
    notebook.metadata = nbformat.from_dict({**kept, "language_info": {"name": "python"}})
    for cell in notebook.cells:
        cell.metadata = {name: value for name, value in cell.metadata.items() if name == "tags"}
        if cell.cell_type != "code":
            continue
        outputs = []
        for output in cell.outputs:
            data = output.get("data", {})
            if "image/png" in data or not data.get("text/plain"):
                data.pop(WIDGET, None)
            # A display that was emptied at the end of a cell, such as the Stop button's, leaves nothing to keep; nor do
            # a bench's widgets, whose picture is the display after them.
            if output.output_type in ("display_data", "execute_result") and not any(data.values()):
                continue
            if output.output_type == "stream":  # colours of a terminal, which not every viewer knows
                output.text = re.sub(r"\x1b\[[0-9;]*m", "", output.text)
            if outputs and output.output_type == "stream" and outputs[-1].get("name") == output.name:
                outputs[-1].text += output.text
                continue
            output.pop("execution_count", None) if output.output_type != "execute_result" else None
            outputs.append(output)
        cell.outputs = outputs
    return notebook


def execute(path: Path) -> float:
    """Run a notebook from top to bottom and store it cleaned; return the seconds it took."""
    notebook = nbformat.read(path, as_version=4)
    began = time.perf_counter()
    NotebookClient(
        notebook,
        timeout=3600,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        store_widget_state=False,
    ).execute()
    seconds = time.perf_counter() - began
    notebook.metadata["ftlab"] = {"source_sha256": source_fingerprint(notebook), "defaults": defaults()}
    text = nbformat.writes(clean(notebook)) + "\n"
    if len(text) > SIZE_BUDGET:
        sys.exit(f"{path.name}: {len(text):,} bytes with outputs; the budget is {SIZE_BUDGET:,}")
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
    return seconds


def main(*names: str) -> None:
    """Run each notebook; stop at the first error, with the notebook as it was."""
    if os.environ.get("FTLAB_PRESET"):
        sys.exit("FTLAB_PRESET is set; stored outputs come from real runs only. Unset it and try again")
    for path in notebooks(*names):
        print(f"{path.relative_to(NOTEBOOKS)} ...", flush=True)
        try:
            print(f"  {execute(path):.0f} s", flush=True)
        except CellExecutionError as error:
            sys.exit(f"{path.name}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
