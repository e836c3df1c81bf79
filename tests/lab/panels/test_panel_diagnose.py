"""The panel of notebook 10: every run and every guess, what stays hidden; a bench that cures runs."""

from __future__ import annotations

import html
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from ftlab import clinic
from ftlab.clinic.diagnosis import ILLNESSES, diagnose
from ftlab.errors import RecipeError
from ftlab.lab.bench.rows import Row
from ftlab.lab.layout import place
from ftlab.lab.panels import ClinicPanel, CurePanel
from ftlab.schedules import preview
from tests.lab.panels.test_panels import places
from tests.lab.pictures import line_of, problems

RUNS = clinic.load(Path(__file__).resolve().parents[3] / "data" / "results" / "clinic.jsonl")
SOME = RUNS[::3]


def parts(panel):
    return list(ElementTree.fromstring(f"<div>{panel.svg}</div>"))


@pytest.mark.parametrize("reveal", [False, True])
@pytest.mark.parametrize("name", ["run", "guess", "reveal"])
def test_every_control_moves_over_its_whole_range(name, reveal):
    panel = ClinicPanel(SOME)
    panel.reveal.value = reveal
    seen = set()
    for widget, value in places(panel.controls[name]):
        widget.value = value
        assert not panel.message, (value, panel.message)
        assert len(parts(panel)) == (3 if panel.reveal.value else 2)
        seen.add(panel.svg)
        assert eval(panel.code.removeprefix("recipe = "), {"base": clinic.BASE}) == panel.recipe
    assert len(seen) > 1
    panel.reset()
    assert panel.recipe == clinic.BASE and len(parts(panel)) == 2


@pytest.mark.parametrize("number", range(1, len(RUNS) + 1))
def test_a_diagnosis_is_hidden_until_asked_for(number):
    kept = RUNS[number - 1]
    panel = ClinicPanel(RUNS)
    panel.run.value = number
    assert panel.code == "recipe = base" and kept.case not in panel.svg and "finding" not in panel.svg
    assert not any(name in panel.svg for name in ILLNESSES)
    panel.set(guess="overfitting", reveal=True)
    found = diagnose(kept)
    verdict, diagnosis, curves = parts(panel)  # the answer stands above the curves, not out of sight below them
    assert curves.get("role") == "img"
    verdict, shown = "".join(verdict.itertext()), "".join(diagnosis.itertext())
    for finding in found:
        assert finding.name in shown and all(text in shown for text in (*finding.evidence, *finding.remedies))
    assert ("nothing found" in shown) == (not found)
    assert f"The rules say: {found.names[0] if found else 'healthy'}." in verdict
    assert "You said: overfitting." in verdict and f"The case: {kept.case}." in verdict
    assert panel.recipe == kept.recipe


def test_the_next_run_hides_the_diagnosis_again():
    panel = ClinicPanel(SOME)
    panel.set(guess="diverged", reveal=True)
    assert "The rules say" in panel.svg
    panel.run.list.value = "run 2"
    assert not panel.reveal.value and panel.guess.value is None and "The rules say" not in panel.svg
    panel.set(run=3, reveal=True)
    assert panel.reveal.value and SOME[2].case in panel.svg


def test_the_complaint_and_the_curves_are_shown():
    panel = ClinicPanel(RUNS)
    first = RUNS[0]
    assert first.complaint == clinic.CASES[first.case].complaint
    asked, curves = parts(panel)
    assert "Choose your diagnosis" in "".join(asked.itertext())
    assert first.complaint in panel.complaint == panel.picture(panel.recipe).caption
    assert curves.get("role") == "img" and "training loss" in curves.get("aria-label")
    assert [chart.title for chart in panel.picture(panel.recipe).charts] == ["Run 1: loss", "Gradient norm"]
    assert problems(place(panel.picture(panel.recipe), 580)) == []
    healthy = next(i for i, p in enumerate(RUNS, start=1) if p.illness is None)
    panel.run.value = healthy
    assert "all is well" in panel.complaint


def test_the_figure_is_the_same_picture():
    panel = ClinicPanel(SOME)
    panel.run.value = 2
    figure = panel.figure(panel.recipe)
    assert figure.png().startswith(b"\x89PNG")
    losses = figure.sheet.charts[0]
    assert losses.title == "Run 2: loss"
    assert np.array_equal(losses.lines[0].y, SOME[1].history.loss)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"run": 99}, ["run", "99", "1, 2, 3"]),
        ({"run": 0}, ["run", "0", "1, 2, 3"]),
        ({"guess": "flu"}, ["guess", "'flu'", "'diverged'", "'healthy'"]),
        ({"reveal": "yes"}, ["reveal", "'yes'", "True or False"]),
        ({"lr": 1e-3}, ["lr", "no such control", "run, guess, reveal"]),
    ],
)
def test_what_is_not_allowed_is_refused_and_nothing_changes(values, words):
    panel = ClinicPanel(SOME)
    before = panel.svg
    with pytest.raises(RecipeError) as error:
        panel.set(**values)
    assert all(word in str(error.value) for word in words)
    assert panel.svg == before and not panel.message


def test_no_runs():
    with pytest.raises(RecipeError, match="runs: the list is empty"):
        ClinicPanel([])


# ------------------------------------------------------------------------------------------------- the bench of cures


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.setenv("FTLAB_PRESET", "tiny")
    return CurePanel()


def row_of(bench, kept, name="a run"):
    """Put a recorded run into the bench's table, as if it had just been trained there."""
    data = clinic.find(kept.case).data(kept.seed)
    row = Row(name, kept.recipe, {}, None, {**{n: c.value for n, c in bench.controls.items()}, "case": kept.case}, data)
    row.history, row.schedule, row.status = (
        kept.history,
        preview(kept.recipe, kept.history.steps_per_epoch),
        "completed",
    )
    bench.rows.append(row)
    return row


def test_a_bench_starts_from_each_case_and_changes_nothing(bench):
    for name, case in clinic.CASES.items():
        bench.case.value = name
        assert not bench.message and bench.recipe == bench.base == case.recipe(7), name
        assert bench.steps_per_epoch == -(-len(case.data(7).split(0).train) // case.recipe().batch_size), name
        assert recipe_of_the_code(bench) == bench.recipe, name
        assert CurePanel(name).recipe == bench.recipe
    with pytest.raises(RecipeError, match="case: 'flu' is unknown; there are rate 5e-3"):
        CurePanel("flu")


def recipe_of_the_code(bench):
    names = {"clinic": clinic}
    exec("\n".join(bench.code.splitlines()[:2]), names)
    return names["recipe"]


def test_nothing_found_in_predictions_is_not_asked_again_without_them(bench):
    row = row_of(bench, next(kept for kept in RUNS if kept.illness is None))
    bench._found[id(row)] = diagnose(bench._record(row, None))  # as `_finished` keeps it
    found = bench.findings_of(row)
    assert not found and not any("no targets and predictions" in note for note in found.notes)


def test_settings_change_the_recipe_and_reset_brings_back_the_case(bench):
    bench.set(case="no warm-up", warmup=0.25, lr=1e-4, optimizer="adamw")
    assert (
        bench.recipe.diff(bench.base).keys() == {"warmup", "lr", "optimizer"}
        and recipe_of_the_code(bench) == bench.recipe
    )
    bench.reset()
    assert bench.case.value == "no warm-up" and bench.recipe == bench.base
    bench.set(case="frozen backbone")
    assert bench.frozen.value and bench.recipe.group_lrs == (0.0,)
    bench.frozen.value = False
    assert bench.recipe.group_lrs is None and bench.recipe.head_lr is None


def test_what_diagnose_says_stands_in_the_bench_and_in_the_stored_picture(bench, capsys):
    assert clinic.CASES["rate 5e-3"].complaint in html.unescape(bench._diagnosis.value) and bench.findings is None
    run = bench.train()
    found = bench.findings
    assert repr(found) in capsys.readouterr().out and run.test_score is None
    assert (found.names[0] if found else "nothing found") in bench._diagnosis.value
    assert f"diagnose, of baseline: {found.names[0] if found else 'nothing found'}" in bench.stored_picture().caption
    losses = bench.picture(bench.recipe).charts[1]
    assert line_of(losses, "validation, baseline").y.tolist() == [e["loss"] for e in run.history.evals]
    data, validation = bench.rows[0].data, bench.rows[0].data.split(0).validation
    assert line_of(losses, "nothing learned").y[0] == pytest.approx(np.var(data.targets[validation]))
    assert problems(place(bench.picture(bench.recipe), 580)) == []


def test_findings_are_those_of_the_validation_set(bench):
    bench.case.value = "padding attended to"
    bench.train()
    row = bench.rows[0]
    texts = [row.data.texts[i] for i in row.data.split(0).validation]
    kept = bench._record(row, row.run.predict(texts))
    assert bench.findings.names == diagnose(kept).names and kept.scored == "validation"
    assert not any("test set" in finding for each in bench.findings for finding in each.evidence)


def test_cases_do_not_mix(bench):
    bench.set(epochs=1)
    first = bench.train()
    bench.set(case="two examples", epochs=1)
    assert bench.current is None and bench.baseline is None and bench.picture(bench.recipe)
    bench.train()
    bench.repaired.value = True
    bench.train()
    assert [row.drawn for row in bench.rows] == [False, True, True]
    assert bench.rows[2].changed == {"epochs": 1, "data": "repaired"} and len(bench.rows[2].data.split(0).train) == 96
    bench.restore(bench.rows[0])
    assert bench.case.value == "rate 5e-3" and bench.epochs.value == 1 and bench.current.run is bench.runs[0]
    assert first.history.loss.tolist() == bench.current.history.loss.tolist() and not bench.message


def test_recorded_runs_are_recognised_on_the_bench(bench):
    for kept in RUNS:
        if (
            kept.illness
            and kept.seed == 0
            and kept.case not in ("padding attended to", "class imbalance, not stratified")
        ):
            assert bench.findings_of(row_of(bench, kept, kept.case)).names[0] == kept.illness, kept.case
