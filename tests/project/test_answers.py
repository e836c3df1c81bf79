"""What a notebook says of its own runs, folded away under "What these runs did", stands in its outputs."""

import re
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
ANSWER = re.compile(r"<details><summary>What these runs did</summary>(.+?)</details>", re.S)


def answers_of(notebook):
    return ANSWER.findall("\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown"))


def shown_by(notebook):
    """Return every text that the code cells have put out, what pictures say included."""
    texts = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            alt = output.get("metadata", {}).get("image/png", {}).get("alt", "")
            texts += [output.get("text", ""), output.get("data", {}).get("text/plain", ""), alt]
    return "\n".join(texts)


@pytest.mark.parametrize("name", ["02_llrd", "03_warmup"])
def test_the_numbers_of_an_answer_were_put_out(name):
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    answers, shown = answers_of(notebook), shown_by(notebook)
    assert answers
    for number in re.findall(r"\d+\.\d+", "".join(answers)):
        assert re.search(rf"(?<![\d.]){re.escape(number)}(?!\d)", shown), number
