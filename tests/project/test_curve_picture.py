"""README's curves are those of the committed results, and their words too."""

import html
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool():
    return runpy.run_path(str(ROOT / "tools" / "curve.py"))


def test_the_pictures_are_drawn_from_the_results(tool, tmp_path):
    tool["main"](tmp_path)
    for name in ("curve.svg", "curve-dark.svg"):
        committed = (ROOT / "notebooks/pictures" / name).read_text(encoding="utf-8")
        assert (tmp_path / name).read_text(encoding="utf-8") == committed, "draw them again: python tools/curve.py"


def test_readme_says_in_words_what_the_picture_shows(tool):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (alt,) = re.findall(r'<img src="notebooks/pictures/curve\.svg" alt="([^"]*)">', readme)
    assert html.unescape(alt) == tool["sheet"]().sentence


def test_the_dark_picture_differs_in_its_colours_alone(tool):
    light, dark = ((ROOT / "notebooks/pictures" / name).read_text() for name in ("curve.svg", "curve-dark.svg"))
    assert dark.replace(tool["DARK"], "") == light
