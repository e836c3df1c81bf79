"""The citation file says the same as the package."""

from pathlib import Path

import yaml

import ftlab
from tests.project.test_setup import PROJECT

CITATION = yaml.safe_load((Path(__file__).resolve().parents[2] / "CITATION.cff").read_text(encoding="utf-8"))


def test_the_citation_agrees_with_the_package():
    assert CITATION["version"] == ftlab.__version__
    assert CITATION["license"] == PROJECT["license"]
    assert CITATION["authors"] == PROJECT["authors"]


def test_the_citation_has_what_the_format_requires():
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["message"] and CITATION["title"].startswith(PROJECT["name"])
