"""Stored notebooks are clean, current, run from top to bottom, and readable by everybody; the cleaner itself works."""

import base64
import functools
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from torch.optim import swa_utils
from transformers import initialization

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
sys.path.insert(0, str(FOLDER.parent / "tools"))

from execute import SIZE_BUDGET, WIDGET, clean, defaults, execute, notebooks, source_fingerprint  # noqa: E402

PATHS = notebooks()
SERIES = [path for path in PATHS if path.parent == FOLDER]
START = FOLDER / "00_start_here.ipynb"
LESSONS = [path for path in SERIES if path != START]
each = pytest.mark.parametrize("path", PATHS, ids=lambda p: str(p.relative_to(FOLDER)))
each_of_series = pytest.mark.parametrize("path", SERIES, ids=lambda p: p.stem)
each_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)


def prose(path):
    cells = nbformat.read(path, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@each
def test_outputs_are_clean_current_and_from_one_run(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert clean(notebook) == notebook, "run `make notebooks`"
    assert notebook.metadata["ftlab"]["source_sha256"] == source_fingerprint(notebook), "run `make notebooks`"
    assert notebook.metadata["ftlab"]["defaults"] == defaults(), "run `make notebooks`: the default recipe was another"
    assert [cell.execution_count for cell in code_cells(notebook)] == list(range(1, len(code_cells(notebook)) + 1))
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    for output in outputs:  # what only a live kernel can show must carry a picture instead
        assert WIDGET not in output.get("data", {}) and "image/svg+xml" not in output.get("data", {})
    for cell in code_cells(notebook):
        pictures = [output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", {})]
        assert len(set(pictures)) == len(pictures), f"the same picture twice under: {cell.source}"
    assert path.stat().st_size <= SIZE_BUDGET


@each
def test_sources_keep_the_house_rules(path):
    notebook = nbformat.read(path, as_version=4)
    code = "\n".join(cell.source for cell in code_cells(notebook))
    for forbidden in (
        "!pip",
        "%pip",
        "import *",
        "filterwarnings",
        "%matplotlib",
        "pyplot",
    ):
        assert forbidden not in code, forbidden
    assert not re.search(r"""["'](/|[A-Z]:)""", code), "an absolute path"
    headings = re.findall(r"^(#+) ", "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown"), re.M)
    assert headings.count("#") == 1 and headings[0] == "#"
    for cell in code_cells(notebook):
        assert len(cell.source.splitlines()) <= 25, f"a long cell: {cell.source[:60]}"


@each_lesson
def test_a_notebook_has_its_parts(path):
    """Question, aims, time, a prediction, limits, summary, three exercises and papers."""
    notebook = nbformat.read(path, as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for part in ("**The question.**", "**You will be able to**", "**Time.**", "**Predict first.**", "do not show",
                 "## Summary", "## Exercises", "## Further reading"):  # fmt: skip
        assert part in text, part
    code = "\n".join(cell.source for cell in code_cells(notebook))
    number = path.stem[:2]
    assert re.findall(r'exercises\.check\("(\d\d)\.\d"', code) == [number] * 3
    assert "ft.check()" in code
    solution = nbformat.read(FOLDER / "solutions" / path.name, as_version=4)
    solved = "\n".join(cell.source for cell in code_cells(solution))
    assert re.findall(r'assert ft\.exercises\.check\("(\d\d\.\d)"', solved) == [f"{number}.{i}" for i in (1, 2, 3)]


def test_the_start_page_leads_to_every_notebook():
    """Its first cells are a bench and a prediction; its map has one row a lesson, with link and question."""
    cells = nbformat.read(START, as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    for part in ("**The question.**", "**Time.**", "**Predict first.**", "do not show", "language models"):
        assert part in text, part
    assert re.findall(r"^\| \[.+?\]\((\d\d_\w+\.ipynb)\) \| .+\?", text, re.M) == [path.name for path in LESSONS]
    assert "bench.train()" in code_cells(nbformat.read(START, as_version=4))[1].source


@pytest.mark.parametrize("path", [START, LESSONS[0]], ids=lambda p: p.stem)
def test_the_first_cell_is_a_bench(path):
    """One Shift+Enter leads to a picture that moves."""
    first = code_cells(nbformat.read(path, as_version=4))[0]
    assert re.search(r"^bench = ft\.panels\.\w+\(.*data=data.*\)\nbench$", first.source, re.M)
    assert any("image/png" in output.get("data", {}) for output in first.outputs)


@each_of_series
def test_links_lead_somewhere(path):
    text = prose(path)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        other = path.parent / file if file else path
        assert other.exists(), target
        if anchor and other.suffix == ".ipynb":
            headings = re.findall(r"^#+ (.+)$", prose(other), re.M)
            assert anchor in {heading.strip().replace(" ", "-") for heading in headings}, target


def test_a_checked_cell_does_not_depend_on_a_run():
    """The tag nbval-check-output is for cells that show the same on the tiny preset as in the stored full run."""
    for path in PATHS:
        for cell in code_cells(nbformat.read(path, as_version=4)):
            if "nbval-check-output" in cell.metadata.get("tags", []):
                assert "ft.fit(" not in cell.source and not re.search(r"\bruns?\b[.\[]", cell.source), cell.source


@functools.cache
def lines_of_source():
    """Return all lines of the package and of the two modules of others whose functions are shown."""
    shown = [*(FOLDER.parent / "ftlab").rglob("*.py"), Path(initialization.__file__), Path(swa_utils.__file__)]
    return {line.strip() for file in shown for line in file.read_text(encoding="utf-8").split("\n")}


@each
def test_source_that_a_cell_shows_is_still_the_source(path):
    """A function that was rewritten leaves its old text in the stored output, though the cell is the same."""
    for cell in code_cells(nbformat.read(path, as_version=4)):
        if "inspect.getsource(" in cell.source:
            printed = "".join(output.get("text", "") for output in cell.outputs)
            lines = [line.strip() for line in printed.split("\n") if re.match(r"    |def |class |for |@", line)]
            assert len(lines) >= 2, cell.source
            assert [line for line in lines if line not in lines_of_source()] == [], "run `make notebooks`"


# --------------------------------------------------------------------------------------------------- the cleaner

PNG = base64.b64encode(b"\x89PNG").decode()


def test_cleaning_keeps_pictures_and_text_and_drops_the_rest():
    def display(**data):
        return new_output("display_data", data={key.replace("_", "/"): value for key, value in data.items()})

    both = new_output("display_data", data={WIDGET: {"model_id": "a"}, "image/png": PNG, "text/plain": "panel"})
    only_widget = new_output("display_data", data={WIDGET: {"model_id": "b"}, "text/plain": "VBox()"})
    emptied = new_output("display_data", data={"text/plain": ""})
    bench = new_output("display_data", data={WIDGET: {"model_id": "c"}, "text/plain": ""})
    streams = (
        new_output("stream", text="\x1b[1mhel\x1b[0m"),
        new_output("stream", text="lo"),
        new_output("stream", name="stderr", text="!"),
    )
    cell = new_code_cell("x", outputs=[both, only_widget, emptied, bench, *streams], execution_count=1)
    cell.metadata = {"execution": {"iopub.status.busy": "now"}, "tags": ["t"], "scrolled": True}
    notebook = new_notebook(cells=[new_markdown_cell("# T"), cell])
    notebook.metadata = {"widgets": {"state": {}}, "kernelspec": {"name": "python3", "display_name": "P"}}
    cleaned = clean(notebook)
    assert "widgets" not in cleaned.metadata and cleaned.metadata.kernelspec.name == "python3"
    kept = cleaned.cells[1].outputs
    assert [sorted(o.get("data", {})) for o in kept] == [
        ["image/png", "text/plain"],
        [WIDGET, "text/plain"],
        [],
        [],
    ]
    assert [kept[2].text, kept[3].text] == ["hello", "!"], "in one piece, stream by stream"
    assert cleaned.cells[1].metadata == {"tags": ["t"]}
    assert clean(cleaned) == cleaned
    assert WIDGET in both.data, "the notebook given stays as it was"


def test_a_notebook_that_fails_is_left_as_it_was(tmp_path):
    path = tmp_path / "n.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("print('before')"), new_code_cell("1 / 0")]), path)
    before = path.read_bytes()
    with pytest.raises(Exception, match="ZeroDivisionError"):
        execute(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_notebook_that_runs_is_stored_with_its_fingerprint(tmp_path):
    path = tmp_path / "n.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("print('hello')")]), path)
    execute(path)
    stored = nbformat.read(path, as_version=4)
    assert stored.cells[0].outputs[0].text == "hello\n"
    assert stored.metadata["ftlab"] == {"source_sha256": source_fingerprint(stored), "defaults": {"head": "mix"}}
