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

from ftlab.lab import old_svg as svg
from ftlab.lab import plots
from ftlab.recipe import PAPER, Recipe
from ftlab.schedules import preview
from tests.fake_run import RECIPE, make_run

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


def line_of(axes, label):
    return next(line for line in axes.lines if line.get_label() == label)


def panes(figure):
    return {axes.get_title(loc="left"): axes for axes in figure.axes}


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
    # Axes are labelled, and all text stands out from the white ground.
    for axes in figure.axes:
        assert axes.get_title(loc="left") and (axes.get_xlabel() or axes.get_title(loc="left") == "loss")
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
    [axes] = plots.plot_schedule(schedule).axes
    for i, name in enumerate(schedule.layers):
        line = line_of(axes, name)
        assert np.array_equal(line.get_xdata(), schedule.steps) and np.array_equal(line.get_ydata(), schedule.lr[:, i])
    assert "warm-up ends" in [t.get_text() for t in axes.texts]
    upright = [line.get_xdata()[0] for line in axes.lines if len(set(line.get_xdata())) == 1]
    assert sorted(upright) == [9, 27, 54]  # warm-up, two borders between epochs


def test_a_run_is_drawn_as_it_was():
    run = make_run(RECIPE.but(swa_start=1), every=9)
    history = run.history
    drawn = panes(plots.plot_run(run))
    loss, score, rate = drawn["loss"], drawn["validation RMSE"], drawn["learning rate of every layer"]
    assert np.array_equal(line_of(loss, "each step").get_ydata(), history.loss)
    assert np.array_equal(line_of(loss, "smoothed").get_ydata(), svg.smooth(history.loss, 4))
    assert line_of(loss, "validation").get_ydata().tolist() == [e["loss"] for e in history.evals]
    assert line_of(score, "model").get_xdata().tolist() == list(range(9, 82, 9))
    assert line_of(score, "model").get_ydata().tolist() == [e["score"] for e in history.evals]
    averaged = line_of(score, "averaged").get_ydata()
    assert np.isnan(averaged[:3]).all() and averaged[3:].tolist() == [e["swa_score"] for e in history.evals[3:]]
    best = line_of(score, f"best {history.best['score']:.3f}")
    assert (best.get_xdata()[0], best.get_ydata()[0]) == (history.best["step"], history.best["score"])
    for i, name in enumerate(history.layers):
        assert np.array_equal(line_of(rate, name).get_ydata(), history.lr[:, i])
    assert "averaging starts" in [t.get_text() for t in rate.texts]


def test_what_was_planned_stays_in_sight_while_a_run_is_not_over():
    run = make_run(steps=30)
    rate = panes(plots.plot_run(run))["learning rate of every layer"]
    faint = [line for line in rate.lines if line.get_alpha() == 0.35 and len(line.get_xdata()) == 81]
    assert len(faint) == 8 and np.array_equal(faint[0].get_ydata(), run.schedule.lr[:, 0])
    assert len(line_of(rate, "head").get_xdata()) == 30
    over = panes(plots.plot_run(make_run()))["learning rate of every layer"]
    assert not [line for line in over.lines if line.get_alpha() == 0.35 and len(line.get_xdata()) == 81]


def test_an_exploded_loss_goes_on_a_logarithmic_axis():
    run = make_run(steps=40, status="diverged")
    assert panes(plots.plot_run(run))["loss"].get_yscale() == "linear"
    for loss in (1e4, 1e9, float("inf"), float("nan")):
        run.history.append(loss=loss, grad_norm=1.0, lr=run.schedule.lr[0].tolist(), seconds=1.0)
    figure = plots.plot_run(run)
    assert panes(figure)["loss"].get_yscale() == "log" and figure.png()


def test_predictions_are_drawn_against_their_true_values():
    figure = plots.plot_predictions([0.0, 1.0, 2.0], [0.0, 1.0, 5.0], [0.1, 0.1, 0.1])
    [axes] = figure.axes
    points = line_of(axes, "one text")
    assert points.get_xdata().tolist() == [0, 1, 2] and points.get_ydata().tolist() == [0, 1, 5]
    equal = line_of(axes, "predicted = true")
    assert np.array_equal(equal.get_xdata(), equal.get_ydata())
    assert axes.get_xlim() == axes.get_ylim()
    assert figure.sentence == "3 predictions against their true values: RMSE 1.732, correlation 0.945."


def test_parameters_are_summed_for_backbone_and_head():
    figure = plots.plot_parameters({"embeddings": 900, "layer.0": 90, "head": 10})
    assert [bar.get_width() for bar in figure.axes[0].patches] == [900, 90, 10]
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
    end = svg.number(np.mean(run.history.loss[-4:]))
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
