"""Pictures of notebook 02: rates by layer, with a comparison, and values of every layer side by side."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from ftlab.lab import old_svg as svg
from ftlab.lab import plots
from ftlab.recipe import PAPER, Recipe
from ftlab.schedules import layer_rates, preview

LAYERS = ["embeddings", "layer.0", "layer.1", "head"]


def test_values_by_layer_are_drawn_where_they_are():
    series = {"one rate": [0.1, 0.2, 0.3, 0.9], "decay": [0.05, 0.15, 0.3, 0.8]}
    figure = plots.plot_by_layer(LAYERS, series, title="how far each layer moved", x_label="relative distance")
    [axes] = figure.axes
    assert [t.get_text() for t in axes.get_yticklabels()] == LAYERS
    assert axes.get_title(loc="left") == figure.name == "how far each layer moved"
    body = {line.get_label(): line.get_xdata().tolist() for line in axes.lines if line.get_label() in series}
    assert body == {label: values[:3] for label, values in series.items()}, "no line leads to the head"
    heads = [line.get_xdata()[0] for line in axes.lines if line.get_label() not in series]
    assert heads == [0.9, 0.8] and axes.get_xlim()[0] == 0
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in axes.lines[::2]}
    assert len(looks) == 2, "lines differ by more than colour"
    assert "decay: 0.05 (embeddings) to 0.3 (layer.1), 0.8 (head)" in figure.sentence
    assert figure.png().startswith(b"\x89PNG")


def test_layer_rates_are_bars_with_strokes_and_lines():
    recipe = PAPER["llrd"]
    schedule = preview(recipe, 142)
    rates = layer_rates(12, lr=recipe.lr, head_lr=recipe.head_lr, layer_decay=recipe.layer_decay)
    others = 0.9 * rates
    figure = plots.plot_layer_rates(schedule, rates, others, name="timm")
    bars, lines = figure.axes
    assert [p.get_width() for p in bars.patches] == rates.tolist()
    assert bars.collections[0].get_offsets()[:, 0].tolist() == others.tolist()
    assert len({line.get_label() for line in lines.lines} & set(schedule.layers)) == 14
    assert "embeddings 9.89e-7" in figure.sentence and "timm: embeddings 8.9e-7" in figure.sentence


def test_a_rate_of_zero_is_written_on_a_logarithmic_axis():
    recipe = Recipe(layer_decay=0.0)
    rates = layer_rates(6, lr=recipe.lr, layer_decay=0.0)
    bars = plots.plot_layer_rates(preview(recipe), rates, log=True).axes[0]
    assert [t.get_text() for t in bars.texts] == ["0"] * 6 + ["2e-4"] * 2


def test_neighbours_with_equal_rates_are_described_together():
    rates = layer_rates(6, lr=3e-5, group_lrs=(1e-5, 3e-5))
    assert plots.describe_layer_rates(preview(Recipe()).layers, rates) == (
        "Rate by layer: embeddings to layer.2 1e-5, layer.3 to layer.5 3e-5, head 3e-5."
    )


@pytest.mark.parametrize("log", [False, True])
def test_strokes_across_bars(log):
    picture = svg.bar_chart(
        ["a", "b", "c"], [1.0, 2.0, 4.0], title="t", x_label="x", strokes=[2.0, np.nan, 8.0], log_x=log
    )
    root = ElementTree.fromstring(picture)
    strokes = [p for p in root.iter("{http://www.w3.org/2000/svg}path") if p.get("stroke-width") == "2.5"]
    x = [float(p.get("d")[1:].split(",")[0]) for p in strokes]
    ends = [float(r.get("x")) + float(r.get("width")) for r in root.iter("{http://www.w3.org/2000/svg}rect")]
    assert len(x) == 2 and x[0] == pytest.approx(ends[1], abs=0.11), "a stroke at 2 stands where the bar of 2 ends"
    assert x[1] > ends[2] and x[1] < 640, "the axis reaches as far as the strokes"
    plain = svg.bar_chart(["a"], [1.0], title="t", x_label="x")
    assert plain == svg.bar_chart(["a"], [1.0], title="t", x_label="x", strokes=[np.nan])
