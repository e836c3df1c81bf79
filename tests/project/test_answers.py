"""What a notebook says of its own runs, folded away under "The answer" and the like, stands in its outputs."""

import re
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
ANSWER = re.compile(r"<details><summary>(?:What these runs did|The answer|After ).*?</summary>(.+?)</details>", re.S)
NUMBER = re.compile(r"(?<![\d.])\d+\.\d+(?!\.?\d|e-?\d)")


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


LESSONS = sorted(path for path in FOLDER.glob("[0-9]*.ipynb") if answers_of(nbformat.read(path, as_version=4)))


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_the_numbers_of_an_answer_were_put_out(path):
    """To the decimals that the answer gives."""
    notebook = nbformat.read(path, as_version=4)
    shown = {float(number) for number in NUMBER.findall(shown_by(notebook))}
    for number in NUMBER.findall("".join(answers_of(notebook))):
        half = 0.5 * 10.0 ** -len(number.split(".")[1])
        assert any(abs(value - float(number)) <= half * 1.001 for value in shown), number


def test_most_lessons_answer_their_predictions():
    assert len(LESSONS) >= 7
