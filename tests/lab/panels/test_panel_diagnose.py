"""The panel of notebook 10: every patient and every guess, what stays hidden, and what is shown on request."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from html import escape
from pathlib import Path

import numpy as np
import pytest

from ftlab import clinic
from ftlab.clinic.diagnosis import ILLNESSES, diagnose
from ftlab.errors import RecipeError
from ftlab.lab.layout import place
from ftlab.lab.panels import ClinicPanel
from tests.lab.panels.test_panels import places
from tests.lab.pictures import line_of, problems

PATIENTS = clinic.load(Path(__file__).resolve().parents[3] / "data" / "results" / "clinic.jsonl")
SOME = PATIENTS[::3]


def parts(panel):
    return list(ElementTree.fromstring(f"<div>{panel.svg}</div>"))


@pytest.mark.parametrize("reveal", [False, True])
@pytest.mark.parametrize("name", ["patient", "guess", "reveal"])
def test_every_control_moves_over_its_whole_range(name, reveal):
    panel = ClinicPanel(SOME)
    panel.reveal.value = reveal
    seen = set()
    for widget, value in places(panel.controls[name]):
        widget.value = value
        assert not panel.message, (value, panel.message)
        answered = panel.guess.value is not None
        assert len(parts(panel)) == (4 if panel.reveal.value else 2 + answered)
        seen.add(panel.svg)
        assert eval(panel.code.removeprefix("recipe = "), {"base": clinic.BASE}) == panel.recipe
    assert len(seen) > 1
    panel.reset()
    assert panel.recipe == clinic.BASE and len(parts(panel)) == 2


@pytest.mark.parametrize("number", range(1, len(PATIENTS) + 1))
def test_a_diagnosis_is_hidden_until_asked_for(number):
    patient = PATIENTS[number - 1]
    panel = ClinicPanel(PATIENTS)
    panel.patient.value = number
    assert panel.code == "recipe = base" and patient.case not in panel.svg and "finding" not in panel.svg
    assert not any(name in panel.svg for name in ILLNESSES)
    panel.set(guess="overfitting", reveal=True)
    found = diagnose(patient)
    shown = "".join(parts(panel)[-1].itertext())
    assert shown == repr(found)
    verdict = "".join(parts(panel)[-2].itertext())
    assert f"The rules say: {found.names[0] if found else 'healthy'}." in verdict
    assert "You said: overfitting." in verdict and f"The case: {patient.case}." in verdict
    assert panel.recipe == patient.recipe


def test_the_next_patient_hides_the_diagnosis_again():
    panel = ClinicPanel(SOME)
    panel.set(guess="diverged", reveal=True)
    assert "The rules say" in panel.svg
    panel.patient.list.value = "patient 2"
    assert not panel.reveal.value and panel.guess.value is None and "The rules say" not in panel.svg
    panel.set(patient=3, reveal=True)
    assert panel.reveal.value and SOME[2].case in panel.svg


def test_the_complaint_and_the_curves_are_shown():
    panel = ClinicPanel(PATIENTS)
    first = PATIENTS[0]
    assert first.complaint == clinic.CASES[first.case].complaint
    complaint, curves = parts(panel)
    assert first.complaint in "".join(complaint.itertext())
    assert curves.get("role") == "img" and "training loss" in curves.get("aria-label")
    assert [chart.title for chart in panel.picture(panel.recipe).charts] == ["Patient 1: loss", "Gradient norm"]
    assert problems(place(panel.picture(panel.recipe), 580)) == []
    healthy = next(i for i, p in enumerate(PATIENTS, start=1) if p.illness is None)
    panel.patient.value = healthy
    assert escape("I only came for a check-up.") in panel.svg


def test_the_figure_is_the_same_picture():
    panel = ClinicPanel(SOME)
    panel.patient.value = 2
    figure = panel.figure(panel.recipe)
    assert figure.png().startswith(b"\x89PNG")
    losses = figure.sheet.charts[0]
    assert losses.title == "Patient 2: loss"
    assert np.array_equal(line_of(losses, "each step").y, SOME[1].history.loss)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"patient": 99}, ["patient", "99", "1, 2, 3"]),
        ({"patient": 0}, ["patient", "0", "1, 2, 3"]),
        ({"guess": "flu"}, ["guess", "'flu'", "'diverged'", "'healthy'"]),
        ({"reveal": "yes"}, ["reveal", "'yes'", "True or False"]),
        ({"lr": 1e-3}, ["lr", "no such control", "patient, guess, reveal"]),
    ],
)
def test_what_is_not_allowed_is_refused_and_nothing_changes(values, words):
    panel = ClinicPanel(SOME)
    before = panel.svg
    with pytest.raises(RecipeError) as error:
        panel.set(**values)
    assert all(word in str(error.value) for word in words)
    assert panel.svg == before and not panel.message


def test_no_patients():
    with pytest.raises(RecipeError, match="patients: the list is empty"):
        ClinicPanel([])
