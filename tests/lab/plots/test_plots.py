"""Every figure shows the data it was given, shows itself as a PNG without pyplot, and has a sentence to go
with it.
"""

from __future__ import annotations

import base64
import io
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image

from ftlab.checks import number
from ftlab.lab import plots
from ftlab.lab.chart import smooth
from ftlab.lab.layout import place
from ftlab.recipe import PAPER, Recipe
from ftlab.schedules import preview
from tests.fake_run import RECIPE, make_run
from tests.lab.pictures import charts_of, line_of, problems

RNG = np.random.default_rng(0)
VALUES = RNG.standard_normal(50)
FIGURES = {
    "schedule": lambda: plots.plot_schedule(preview(RECIPE)),
    "schedule of the article": lambda: plots.plot_schedule(preview(PAPER["grouped_llrd+warmup+swa"], 142)),
    "schedule of a large model": lambda: plots.plot_schedule(preview(Recipe(model="roberta-large", layer_decay=0.9))),
    "frozen": lambda: plots.plot_schedule(preview(Recipe(lr=0.0))),
    "run": lambda: plots.plot_run(make_run()),
    "interrupted run": lambda: plots.plot_run(make_run(steps=40, status="interrupted")),
    "run that averages": lambda: plots.plot_run(make_run(RECIPE.but(swa_start=1), every=4)),
    "run for classes": lambda: plots.plot_run(make_run(metric="macro_f1")),
    "history": lambda: plots.plot_history(make_run().history),
    "history of one step": lambda: plots.plot_history(make_run(steps=1).history),
    "empty history": lambda: plots.plot_history(make_run(steps=0).history, preview(RECIPE)),
    "parameters": lambda: plots.plot_parameters({"embeddings": 900, "layer.0": 90, "head": 10}),
    "predictions": lambda: plots.plot_predictions(VALUES, VALUES + 0.1, np.full(50, 0.1)),
    "constant predictions": lambda: plots.plot_predictions(VALUES, np.zeros(50)),
    "spread": lambda: plots.plot_spread({"seed only": [0.3, 0.28], "decay": [0.27]}),
    "lengths": lambda: plots.plot_lengths([10, 20, 30], max_length=25),
    "one length": lambda: plots.plot_lengths([10, 10]),
    "targets": lambda: plots.plot_targets(VALUES, name="ease"),
    "classes": lambda: plots.plot_targets([0, 1, 1], labels=["easy", "hard"]),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_shows_itself_as_a_small_sharp_png_with_a_sentence(name):
    figure = FIGURES[name]()
    bundle, metadata = figure._repr_mimebundle_()
    png = base64.b64decode(bundle["image/png"])
    image = Image.open(io.BytesIO(png))
    shown = metadata["image/png"]
    assert image.size == (round(1.5 * shown["width"]), round(1.5 * shown["height"]))
    assert len(png) < 80_000 and len(np.unique(np.asarray(image))) > 4
    assert shown["alt"] == plots.describe(figure) and shown["alt"].endswith((".", "step"))
    assert bundle["text/plain"] == f"<Picture: {figure.name}>" and not any(c.isdigit() for c in bundle["text/plain"])
    # Every chart says what it shows, nothing lies over a text, and all text stands out from the white ground.
    assert all(chart.title for chart in figure.sheet.charts)
    assert figure.sheet.charts[-1].x.label or figure.sheet.charts[-1].x.names
    for width in (848, 600):
        assert problems(place(figure.sheet, min(width, figure.sheet.width))) == []
    for text in figure.findobj(Text):
        if text.get_text():
            r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(text.get_color()))
            assert 1.05 / (0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05) >= 4.5


def test_the_same_data_give_the_same_bytes():
    assert plots.plot_run(make_run()).png() == plots.plot_run(make_run()).png()


def test_figures_need_no_pyplot():
    code = (
        "import sys; from ftlab.lab import plots; plots.plot_spread({'a': [1.0, 2.0]}).png(); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_schedule_is_drawn_as_it_is():
    schedule = preview(RECIPE)
    figure = plots.plot_schedule(schedule)
    [chart] = charts_of(figure)
    for i, name in enumerate(schedule.layers):
        line = line_of(chart, name)
        assert np.array_equal(line.x, schedule.steps) and np.array_equal(line.y, schedule.lr[:, i])
    assert [(mark.x, mark.label) for mark in chart.marks] == [(9, "warm-up ends"), (27, ""), (54, "")]
    assert len(figure.axes[0].lines) == 8 + 3, "what is described is drawn: eight layers and three marks"


def test_a_run_is_drawn_as_it_was():
    run = make_run(RECIPE.but(swa_start=1), every=9)
    history = run.history
    rate, loss, score = charts_of(plots.plot_run(run))
    assert np.array_equal(line_of(loss, "each step").y, history.loss)
    assert np.array_equal(line_of(loss, "smoothed").y, smooth(history.loss, 4))
    assert line_of(loss, "validation").y.tolist() == [e["loss"] for e in history.evals]
    assert line_of(score, "model").x.tolist() == list(range(9, 82, 9))
    assert line_of(score, "model").y.tolist() == [e["score"] for e in history.evals]
    averaged = line_of(score, "averaged").y
    assert np.isnan(averaged[:3]).all() and averaged[3:].tolist() == [e["swa_score"] for e in history.evals[3:]]
    best = line_of(score, "best")
    assert (best.x[0], best.y[0], best.note) == (history.best["step"], history.best["score"], "0.368")
    for i, name in enumerate(history.layers):
        assert np.array_equal(line_of(rate, name).y, history.lr[:, i])
    assert "averaging starts" in [mark.label for mark in rate.marks]
    assert {(chart.x.low, chart.x.high) for chart in (rate, loss, score)} == {(0, 81)}, "all over the same steps"
    assert not any(chart.playhead for chart in (rate, loss, score))


def test_what_was_planned_stays_in_sight_while_a_run_is_not_over():
    run = make_run(steps=30)
    rate = charts_of(plots.plot_run(run))[0]
    faint = [line for line in rate.lines if line.opacity == 0.35 and len(line.x) == 81]
    assert len(faint) == 8 and np.array_equal(faint[0].y, run.schedule.lr[:, 0])
    assert len(line_of(rate, "head").x) == 30
    assert not [line for line in charts_of(plots.plot_run(make_run()))[0].lines if line.opacity == 0.35]


def test_a_playhead_stands_at_the_step_that_a_live_run_has_reached():
    run = make_run(steps=30)
    charts = plots.run_sheet(run.history, run.schedule, live=True).charts
    assert [chart.playhead.x for chart in charts] == [30, 30, 30] and charts[0].playhead.label == "step 30 of 81"


def test_an_exploded_loss_goes_on_a_logarithmic_axis():
    run = make_run(steps=40, status="diverged")
    assert not plots.loss_chart(run.history).y.log
    for loss in (1e4, 1e9, float("inf"), float("nan")):
        run.history.append(loss=loss, grad_norm=1.0, lr=run.schedule.lr[0].tolist(), seconds=1.0)
    figure = plots.plot_run(run)
    assert figure.sheet.charts[1].y.log and figure.axes[1].get_yscale() == "log" and figure.png()


def test_predictions_are_drawn_against_their_true_values():
    figure = plots.plot_predictions([0.0, 1.0, 2.0], [0.0, 1.0, 5.0], [0.1, 0.1, 0.1])
    [chart] = charts_of(figure)
    points = line_of(chart, "one text")
    assert points.x.tolist() == [0, 1, 2] and points.y.tolist() == [0, 1, 5] and points.width == 0
    equal = line_of(chart, "predicted = true")
    assert np.array_equal(equal.x, equal.y) and figure.axes[0].get_xlim() == figure.axes[0].get_ylim()
    spread = line_of(chart, "±1 standard error")
    assert spread.x[:2] == pytest.approx([-0.1, 0.1]) and spread.y[3:5].tolist() == [1, 1] and np.isnan(spread.x[2])
    assert figure.sentence == "3 predictions against their true values: RMSE 1.732, correlation 0.945."


def test_parameters_are_summed_for_backbone_and_head():
    figure = plots.plot_parameters({"embeddings": 900, "layer.0": 90, "head": 10})
    [chart] = charts_of(figure)
    assert [bar.value for bar in chart.bars] == [10, 90, 900]
    assert list(chart.y.names) == ["head", "layer.0", "embeddings"], "the head stands on top"
    assert figure.sentence == (
        "1,000 parameters: 990 in the backbone (99.0%), 10 in the head (1.0%); the largest part is embeddings."
    )


def test_spread_lengths_and_targets_in_words():
    assert plots.plot_spread({"a": [0.2, 0.4]}).sentence == "a: mean 0.300, from 0.200 to 0.400 over 2 runs."
    lengths = plots.plot_lengths([10, 20, 30], max_length=25)
    assert lengths.sentence.endswith("10 to 30 tokens, median 20; 1 (33.3%) are longer than 25 and are cut.")
    assert plots.plot_targets([0, 1, 1], labels=["easy", "hard"]).sentence == "easy: 1, hard: 2."
    assert plots.plot_targets([-1.0, 1.0]).sentence.startswith("2 targets from -1.00 to 1.00, mean 0.00")


def test_runs_and_histories_in_words():
    run = make_run(every=27)
    first, last = run.history.evals[0]["score"], run.history.evals[-1]["score"]
    end = number(np.mean(run.history.loss[-4:]))
    assert plots.describe(run) == (
        f"completed: 81 of 81 steps in 1.5 s; training loss 1.2 at the start, {end} at the end (smoothed); "
        f"validation RMSE {first:.3f} at first, best {last:.3f} after step 81, {last:.3f} at the last of 3."
    )
    assert plots.describe(make_run(steps=0).history) == "0 of 81 steps."
    assert "macro F1" in plots.describe(make_run(metric="macro_f1").history)


def test_schedules_in_words():
    assert plots.describe(preview(Recipe(epochs=3, lr=1e-4))) == (
        "Learning rate over 81 steps; highest: all layers 1e-4 at step 0; at the last step 1.23e-6."
    )
    text = plots.describe(preview(PAPER["llrd+warmup+swa"], 142))
    assert "head 3.6e-6 at step 50" in text and "warm-up ends at step 50; averaging starts at step 426." in text
    assert "at the last step 2e-6" in text
