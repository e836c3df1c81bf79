"""The pictures of notebook 04 show the values they were given."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ftlab.lab import old_svg as svg
from ftlab.lab import plots

BEFORE = {"layer.0": 0.06, "layer.1": 0.05, "pooler": math.nan}
AFTER = {"layer.0": 0.06, "layer.1": 0.02, "pooler": math.nan}
RNG = np.random.default_rng(0)
WEIGHTS = {"layer.0": RNG.normal(0, 0.06, 5000), "layer.1": RNG.normal(0, 0.05, 5000)}
FRESH = {"layer.0": WEIGHTS["layer.0"], "layer.1": RNG.normal(0, 0.02, 5000)}

FIGURES = {
    "bars": lambda: plots.plot_before_after(BEFORE, AFTER, changed=["layer.1", "pooler"], unit="spread"),
    "bars, nothing changed": lambda: plots.plot_before_after(BEFORE, BEFORE, changed=[], unit="spread"),
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
    assert all(axes.get_xlabel() and axes.get_title(loc="left") for axes in figure.axes)
    assert plots.describe(figure).endswith(".") and not any(c.isdigit() for c in repr(figure))


def test_bars_before_and_after():
    [axes] = FIGURES["bars"]().axes
    bars = {series.get_label(): [bar.get_width() for bar in series] for series in axes.containers}
    np.testing.assert_equal(
        bars, {"before": [0.06, 0.05, math.nan], "after: kept": [0.06], "after: fresh": [0.02, math.nan]}
    )
    assert "layer.1 0.0500 to 0.0200" in plots.describe(FIGURES["bars"]())
    assert "nothing has changed" in plots.describe(FIGURES["bars, nothing changed"]())


def test_weights_are_shares_of_all_values():
    figure = FIGURES["weights"]()
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["layer.0", "layer.1"]
    for axes, name in zip(figure.axes, WEIGHTS, strict=True):
        heights = np.array([bar.get_height() for bar in axes.patches if hasattr(bar, "get_height")])
        low, high = axes.get_xlim()
        inside = ((WEIGHTS[name] > low) & (WEIGHTS[name] < high)).mean()
        assert heights.sum() == pytest.approx(inside, abs=0.01) and inside > 0.99
    assert "layer.1: 0.050 before, 0.020 after" in plots.describe(figure)


def test_a_sweep_goes_as_far_as_its_values():
    [axes] = FIGURES["sweep"]().axes
    first, last = axes.lines
    assert first.get_xydata().tolist() == [[0, 3], [1, 2], [2, 1], [3, 2]]
    assert last.get_xydata().tolist() == [[0, 2], [1, 1]]
    assert first.get_marker() != last.get_marker() and first.get_linestyle() != last.get_linestyle()
    assert {line.get_color() for line in axes.lines} == {svg.GREY[0], svg.BLUE[0]}
    assert axes.get_ylabel() == "validation RMSE"
    unfinished = FIGURES["sweep to come"]()
    assert unfinished.axes[0].get_xlim()[0] < 0 and unfinished.axes[0].get_xlim()[1] > 3
    assert "nothing yet" in plots.describe(unfinished)
