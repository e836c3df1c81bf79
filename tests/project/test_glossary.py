"""The glossary defines each term once, defines what the series relies on, and each term is met where it says."""

import dataclasses
import re
from functools import lru_cache
from pathlib import Path

import nbformat

from ftlab.__main__ import main
from ftlab.clinic.diagnosis import ILLNESSES
from ftlab.recipe import Recipe
from ftlab.schedules import ALL_SCHEDULES

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9]*.ipynb"))
TEXT = (FOLDER / "00_glossary.md").read_text(encoding="utf-8")
NAME = r"\*\*[^*]+\*\*|`[^`]+`"
ENTRY = re.compile(rf"^- (?P<names>(?:{NAME}|[ ,()]|or )+)\. (?P<meaning>.+?) Met in (?P<places>.+)\.$", re.M)
ENTRIES = [match.groupdict() for match in ENTRY.finditer(TEXT)]


def names_of(entry):
    return [name.strip("*`") for name in re.findall(NAME, entry["names"])]


DEFINED = {name.lower() for entry in ENTRIES for name in names_of(entry)}


@lru_cache
def words_of(path):
    """Return a notebook's prose and code in lower case, each run of white space as one space."""
    cells = nbformat.read(path, as_version=4).cells
    return " ".join("\n".join(cell.source for cell in cells).replace("*", "").lower().split())


def test_every_line_of_the_list_is_an_entry():
    assert len(ENTRIES) == len(re.findall(r"^- ", TEXT, re.M)) > 50
    for entry in ENTRIES:
        assert 20 < len(entry["meaning"]) < 300, entry["names"]


def test_each_term_is_defined_once_and_found_by_the_alphabet():
    for kind in (r"\*\*([^*]+)\*\*", r"`([^`]+)`"):
        names = [name.lower() for entry in ENTRIES for name in re.findall(kind, entry["names"])]
        assert not {name for name in names if names.count(name) > 1}
    for section in re.split(r"^## ", TEXT, flags=re.M)[1:]:
        first = [re.search(r"\*\*([^*]+)\*\*", match["names"])[1].lower() for match in ENTRY.finditer(section)]
        assert first == sorted(first), section.splitlines()[0]


def test_a_term_is_met_in_the_notebooks_that_it_names(case):
    for entry in ENTRIES:
        with case(names_of(entry)[0]):
            notebooks = re.findall(r"\[(\d\d)\]\((\d\d_\w+\.ipynb)\)", entry["places"])
            assert notebooks
            for number, file in notebooks:
                assert file.startswith(number)
                words = words_of(FOLDER / file)
                assert any(name.lower() in words for name in names_of(entry)), f"{names_of(entry)} not in {file}"


def needed():
    """Name what the series relies on, and where it stands: fields, schedules, illnesses, subjects, bold type."""
    for field in dataclasses.fields(Recipe):
        yield field.name, "a field of the recipe"
    for name in ALL_SCHEDULES:
        yield name, "a schedule"
    for name in ILLNESSES:
        yield name, "an illness that diagnose names"
    for path in NOTEBOOKS:
        prose = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]
        subject = re.match(r"# \d\d · (?:The )?([^:,\n]+)", prose[0])[1]
        yield subject, f"the subject of {path.name}"
        for name in re.findall(r"\*\*([a-z][a-z'-]+(?:\s[a-z'-]+){0,2})\*\*", "\n".join(prose)):
            yield " ".join(name.split()), f"introduced in bold type in {path.name}"


# Subjects that are no terms, and bold type that stresses a word and introduces none.
NO_TERMS = {
    "Layer-wise learning rates", "Results", "Start here", "Your task", "batch", "before", "chosen",
    "differences within pairs", "each parameter", "epochs",
    "every tensor", "first", "has learned nothing", "invented", "is a schedule", "mean", "no bias correction",
    "nothing", "one", "plus noise",
    "scheduled", "timm", "too few updates", "training",
}  # fmt: skip


def test_what_the_series_relies_on_is_defined():
    in_the_table = re.findall(r"^\| `(\w+)` \|", TEXT, re.M)
    known = "\n".join([*DEFINED, *in_the_table])
    missing = [
        f"{name}: {where}"
        for name, where in needed()
        if name not in NO_TERMS and not re.search(rf"\b{re.escape(name.lower().rstrip('s'))}", known)
    ]
    assert not missing, "\n".join(missing)


def test_the_table_of_fields_is_the_one_that_the_recipe_has(capsys):
    """`python -m ftlab fields` prints it: paste it into the glossary when a field changes."""
    assert main(["fields"]) == 0
    printed = capsys.readouterr().out
    assert printed in TEXT, f"the glossary's table is out of date; it should be:\n\n{printed}"
    assert [line.split("`")[1] for line in printed.splitlines()[2:]] == [f.name for f in dataclasses.fields(Recipe)]


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXT):
        assert target.startswith("https://") or (FOLDER / target).is_file(), target
