"""Pictures of the clinic: a run's vital signs, all cases beside each other, first findings by case."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from ftlab import clinic, plots
from ftlab.clinic.diagnosis import chance_loss
from ftlab.lab.layout import place
from tests.fake_run import make_run
from tests.lab.pictures import charts_of, line_of, problems

PATIENTS = clinic.load(Path(__file__).resolve().parents[3] / "data" / "results" / "clinic.jsonl")


def test_vital_signs_are_the_histories_own():
    patient = PATIENTS[0]
    figure = plots.plot_vitals(patient.history, chance_loss(patient), title="patient 1")
    losses, norms = charts_of(figure)
    assert losses.title == "Patient 1"
    assert np.array_equal(line_of(losses, "each step").y, patient.history.loss)
    assert set(line_of(losses, "nothing learned").y) == {np.var(patient.targets)}
    assert np.array_equal(norms.lines[0].y, patient.history.grad_norm)
    assert norms.title == "Gradient norm" and norms.y.log and problems(place(figure.sheet)) == []
    assert f"largest {patient.history.grad_norm.max():.4g}" in figure.sentence
    assert f"has a loss of {np.var(patient.targets):.4g}" in figure.sentence
    assert figure.png().startswith(b"\x89PNG")


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_vital_signs_of_short_and_broken_runs(steps):
    run = make_run(steps=steps)
    if steps == 5:
        run.history.append(loss=math.nan, grad_norm=math.inf, lr=run.schedule.lr[5].tolist(), seconds=1.0)
    for chance in (None, 1.0):
        assert plots.plot_vitals(run.history, chance).png().startswith(b"\x89PNG")


def test_the_ward_has_a_pane_a_case_and_a_line_a_run():
    runs = {}
    for patient in PATIENTS:
        runs.setdefault(patient.case, []).append(patient)
    runs = dict(list(runs.items())[:7])
    chance = {case: chance_loss(patients[0]) for case, patients in runs.items()}
    figure = plots.plot_ward({case: [p.history for p in patients] for case, patients in runs.items()}, chance)
    drawn = charts_of(figure)
    assert [chart.title for chart in drawn] == list(runs)
    assert len({axes.get_position().y0 for axes in figure.axes}) == 2, "seven cases stand in two rows"
    first = drawn[0]
    assert len(first.lines) == 2 * 3 + 1  # losses, looks, the level of knowing nothing
    assert first.lines[-1].y[0] == pytest.approx(chance["rate 5e-3"])
    assert len({line.dash for line in first.lines[:6:2]}) == len({line.marker for line in first.lines[1:6:2]}) == 3
    assert all(f"{case}: loss " in figure.sentence for case in runs)
    assert plots.plot_ward({"alone": [make_run().history]}).png().startswith(b"\x89PNG")


def test_confusion_counts():
    counts = np.array([[3, 0, 0], [0, 2, 1]])
    figure = plots.plot_confusion(["a", "b"], ["ill", "worse", "healthy"], counts)
    assert figure.sentence == "a: 3 ill; b: 2 worse, 1 healthy."
    [axes] = figure.axes
    written = {(text.get_position(), text.get_text()) for text in axes.texts}
    assert written == {((0, 0), "3"), ((1, 1), "2"), ((2, 1), "1")}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
