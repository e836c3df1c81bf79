"""Pictures of the clinic: a run's curves, all cases beside each other, what is recognised from how much."""

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

RUNS = clinic.load(Path(__file__).resolve().parents[3] / "data" / "results" / "clinic.jsonl")


def test_the_curves_are_the_histories_own():
    for kept in (RUNS[0], RUNS[-1]):
        figure = plots.plot_curves(kept.history, chance_loss(kept), title="run 1")
        losses, norms = charts_of(figure)
        assert losses.title == "Run 1"
        assert np.array_equal(losses.lines[0].y, kept.history.loss)
        assert line_of(losses, "validation").y.tolist() == [e["loss"] for e in kept.history.evals]
        assert set(line_of(losses, "nothing learned").y) == {chance_loss(kept)}
        assert np.array_equal(norms.lines[0].y, kept.history.grad_norm)
        assert norms.title == "Gradient norm" and norms.y.log and problems(place(figure.sheet)) == []
        assert losses.y.log == (kept.case == "rate 5e-3"), "a loss that exploded leaves room for the rest"
        assert f"largest {kept.history.grad_norm.max():.4g}" in figure.sentence
        assert f"has a loss of {chance_loss(kept):.4g}" in figure.sentence
        assert figure.png().startswith(b"\x89PNG")


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_curves_of_short_and_broken_runs(steps):
    run = make_run(steps=steps)
    if steps == 5:
        run.history.append(loss=math.nan, grad_norm=math.inf, lr=run.schedule.lr[5].tolist(), seconds=1.0)
    for chance in (None, 1.0):
        assert plots.plot_curves(run.history, chance).png().startswith(b"\x89PNG")


def test_every_case_has_a_chart_with_two_lines_a_run_on_one_scale():
    runs = {}
    for kept in RUNS:
        runs.setdefault(kept.case, []).append(kept)
    runs = dict(list(runs.items())[:7])
    chance = {case: chance_loss(records[0]) for case, records in runs.items()}
    figure = plots.plot_cases({case: [r.history for r in records] for case, records in runs.items()}, chance)
    drawn = charts_of(figure)
    assert [chart.title for chart in drawn] == list(runs)
    assert len({axes.get_position().y0 for axes in figure.axes}) == 2, "seven cases stand in two rows"
    first = drawn[0]
    assert len(first.lines) == 2 * 3 + 1  # training and validation losses, the level of knowing nothing
    assert set(first.lines[-1].y) == {1.0}
    validation = first.lines[5]  # of the first seed, drawn last
    history = runs["rate 5e-3"][0].history
    assert validation.y == pytest.approx([e["loss"] / chance["rate 5e-3"] for e in history.evals])
    assert validation.dash and validation.opacity == 1 and first.lines[1].opacity < 1
    assert all((chart.y.low, chart.y.high) == (0, 3) for chart in drawn)
    assert all(f"{case}: loss " in figure.sentence for case in runs)
    assert plots.plot_cases({"alone": [make_run().history]}).png().startswith(b"\x89PNG")


def test_what_is_recognised_is_counted():
    counts = {"the run": {"a": 3, "b": 2}, "history alone": {"a": 3, "b": 0}}
    figure = plots.plot_recognised(counts, {"a": 3, "b": 2})
    assert figure.sentence == "the run: a 3 of 3, b 2 of 2; history alone: a 3 of 3, b 0 of 2."
    assert [[bar.note for bar in chart.bars] for chart in charts_of(figure)] == [
        ["3 of 3", "2 of 2"],
        ["3 of 3", "0 of 2"],
    ]
    assert [[bar.value for bar in chart.bars] for chart in charts_of(figure)] == [[1, 1], [1, 0]]
    colours = {bar.value: bar.colour for chart in charts_of(figure) for bar in chart.bars}
    assert colours[0] != colours[1] and problems(place(figure.sheet)) == []
