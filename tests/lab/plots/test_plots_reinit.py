"""The pictures of notebook 04 show the values they were given."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ftlab.lab import plots
from ftlab.lab.chart import BLUE, GREY, ORANGE
from ftlab.lab.figure import draw
from ftlab.lab.layout import place
from tests.lab.pictures import charts_of, line_of, problems

BEFORE = {"layer.0": 0.06, "layer.1": 0.05, "pooler": math.nan}
AFTER = {"layer.0": 0.06, "layer.1": 0.02, "pooler": math.nan}
RNG = np.random.default_rng(0)
WEIGHTS = {"layer.0": RNG.normal(0, 0.06, 5000), "layer.1": RNG.normal(0, 0.05, 5000)}
FRESH = {"layer.0": WEIGHTS["layer.0"], "layer.1": RNG.normal(0, 0.02, 5000)}

FIGURES = {
    "bars": lambda: draw(plots.before_after_sheet(BEFORE, AFTER, changed=["layer.1", "pooler"], unit="spread")),
    "bars, nothing changed": lambda: draw(plots.before_after_sheet(BEFORE, BEFORE, changed=[], unit="spread")),
    "weights": lambda: plots.plot_weights(WEIGHTS, FRESH),
    "weights all alike": lambda: plots.plot_weights({"scale": np.ones(9)}, {"scale": np.ones(9)}, x_label="scale"),
    "sweep": lambda: plots.plot_sweep(range(4), {"first": [3, 2, 1, 2], "last": [2, 1]}, x_label="fresh layers"),
    "sweep to come": lambda: plots.plot_sweep(range(4), {"first": [], "last": []}, x_label="fresh layers"),
    "one setting": lambda: plots.plot_sweep([0.5], {"first": [3]}, x_label="share", title="A title"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_labels_and_a_sentence(name):
    figure = FIGURES[name]()
    assert figure.png().startswith(b"\x89PNG")
    assert all(chart.x.label and chart.title for chart in charts_of(figure))
    assert problems(place(figure.sheet)) == problems(place(figure.sheet, 600)) == []
    assert plots.describe(figure).endswith(".") and not any(c.isdigit() for c in repr(figure))


def test_bars_before_and_after():
    [chart] = charts_of(FIGURES["bars"]())
    assert list(chart.y.names) == ["pooler", "layer.1", "layer.0"]
    bars = {(chart.y.names[round(bar.row)], bar.row % 1 > 0.5): (bar.value, bar.note, bar.colour) for bar in chart.bars}
    assert bars["layer.0", True] == (0.06, "0.0600", GREY) and bars["layer.0", False] == (0.06, "0.0600 kept", BLUE)
    assert bars["layer.1", True] == (0.05, "0.0500", GREY)
    assert bars["layer.1", False] == (0.02, "0.0200 re-initialised", ORANGE)
    assert math.isnan(bars["pooler", False][0]) and bars["pooler", False][1] == "none"
    assert "layer.1 0.0500 to 0.0200" in plots.describe(FIGURES["bars"]())
    assert "nothing has changed" in plots.describe(FIGURES["bars, nothing changed"]())


def test_weights_are_shares_of_all_values():
    figure = FIGURES["weights"]()
    assert [chart.title for chart in charts_of(figure)] == ["layer.0", "layer.1"]
    for chart, name in zip(charts_of(figure), WEIGHTS, strict=True):
        before = line_of(chart, "before")
        assert before.fill and (before.x[0], before.x[-1]) == (chart.x.low, chart.x.high)
        inside = ((WEIGHTS[name] > chart.x.low) & (WEIGHTS[name] < chart.x.high)).mean()
        assert before.y[::2].sum() == pytest.approx(inside, abs=0.01) and inside > 0.99
    assert "layer.1: 0.050 before, 0.020 after" in plots.describe(figure)


def test_a_sweep_goes_as_far_as_its_values():
    [chart] = charts_of(FIGURES["sweep"]())
    first, last = chart.lines
    assert np.column_stack([first.x, first.y]).tolist() == [[0, 3], [1, 2], [2, 1], [3, 2]]
    assert np.column_stack([last.x, last.y]).tolist() == [[0, 2], [1, 1]]
    assert first.marker != last.marker and first.dash != last.dash and {first.colour, last.colour} == {GREY, BLUE}
    assert chart.title == "Validation RMSE" and chart.x.whole
    unfinished = FIGURES["sweep to come"]()
    assert unfinished.sheet.charts[0].x.low < 0 and unfinished.sheet.charts[0].x.high > 3
    assert "nothing yet" in plots.describe(unfinished)
