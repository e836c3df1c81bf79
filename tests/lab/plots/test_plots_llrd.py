"""Pictures of notebook 02: rates by layer, with a comparison, and values of every layer side by side."""

from __future__ import annotations

import numpy as np
import pytest

from ftlab.lab import plots
from ftlab.lab.layout import place
from ftlab.lab.svg import draw
from ftlab.recipe import PAPER, Recipe
from ftlab.schedules import layer_rates, preview
from tests.lab.pictures import charts_of, line_of, problems, texts_of

LAYERS = ["embeddings", "layer.0", "layer.1", "head"]


def test_values_by_layer_are_drawn_where_they_are():
    series = {"one rate": [0.1, 0.2, 0.3, 0.9], "decay": [0.05, 0.15, 0.3, 0.8]}
    figure = plots.plot_by_layer(LAYERS, series, title="how far each layer moved", x_label="relative distance")
    [chart] = charts_of(figure)
    assert list(chart.y.names) == LAYERS[::-1], "the head stands on top"
    assert chart.title == "How far each layer moved" and figure.name == "how far each layer moved"
    for label, values in series.items():
        x, y = line_of(chart, label).x, line_of(chart, label).y
        assert x[[0, 1, 2, 4]].tolist() == values and y[[0, 1, 2, 4]].tolist() == [3, 2, 1, 0]
        assert np.isnan(x[3]) and np.isnan(y[3]), "no line leads to the head"
    assert chart.x.low == 0 and problems(place(figure.sheet)) == []
    looks = {(line.colour, line.marker, line.dash) for line in chart.lines}
    assert len(looks) == len({look[1:] for look in looks}) == 2, "lines differ by more than colour"
    assert "decay: 0.05 (embeddings) to 0.3 (layer.1), 0.8 (head)" in figure.sentence
    assert figure.png().startswith(b"\x89PNG")


def test_layer_rates_are_bars_with_strokes_and_lines():
    recipe = PAPER["llrd"]
    schedule = preview(recipe, 142)
    rates = layer_rates(12, lr=recipe.lr, head_lr=recipe.head_lr, layer_decay=recipe.layer_decay)
    others = 0.9 * rates
    sheet = plots.layer_rates_sheet(schedule, rates, others, name="timm")
    bars, lines = sheet.charts
    drawn = sorted(bars.bars, key=lambda bar: bar.row)
    assert [bar.value for bar in drawn] == rates[::-1].tolist() and [bar.stroke for bar in drawn] == others[
        ::-1
    ].tolist()
    assert list(bars.y.names) == schedule.layers[::-1] and "timm" in bars.note
    assert {line.label for line in lines.lines} == set(schedule.layers)
    assert "embeddings 9.89e-7" in sheet.sentence and "timm: embeddings 8.9e-7" in sheet.sentence
    assert problems(place(sheet)) == problems(place(sheet, 580)) == []


def test_a_rate_of_zero_is_written_on_a_logarithmic_axis():
    recipe = Recipe(layer_decay=0.0)
    rates = layer_rates(6, lr=recipe.lr, layer_decay=0.0)
    written = texts_of(draw(plots.layer_rates_sheet(preview(recipe), rates, log=True), 580))
    assert written.count("0") >= 6 and written.count("2e-4") >= 2


def test_neighbours_with_equal_rates_are_described_together():
    rates = layer_rates(6, lr=3e-5, group_lrs=(1e-5, 3e-5))
    assert plots.describe_layer_rates(preview(Recipe()).layers, rates) == (
        "Rate by layer: embeddings to layer.2 1e-5, layer.3 to layer.5 3e-5, head 3e-5."
    )


def test_how_far_layers_moved_is_set_against_their_rates():
    before, after = dict(zip(LAYERS, [0.01, 0.02, 0.03, 0.2], strict=True)), dict.fromkeys(LAYERS, 0.01)
    rates = {"one rate": np.full(4, 2e-4), "decay": np.array([5e-5, 1e-4, 2e-4, 2e-4])}
    figure = plots.plot_moved({"one rate": before, "decay": after}, rates)
    distances, ratios = charts_of(figure)
    assert list(distances.y.names) == list(ratios.y.names) == LAYERS[::-1] and distances.x.log
    assert line_of(distances, "one rate").x == pytest.approx([1, 2, 3, 20]), "in per cent"
    assert line_of(distances, "one rate").y.tolist() == [3, 2, 1, 0], "the head on top"
    assert [bar.value for bar in ratios.bars] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 20])
    assert [bar.stroke for bar in ratios.bars] == pytest.approx([0.25, 0.5, 1, 1])
    assert "layer.0 0.50 (rates 0.50)" in figure.sentence and problems(place(figure.sheet)) == []


def test_a_layer_that_stood_still_leaves_a_gap():
    moved = {"one rate": dict.fromkeys(LAYERS, 0.01), "frozen": {**dict.fromkeys(LAYERS, 0.01), "embeddings": 0.0}}
    figure = plots.plot_moved(moved, {"one rate": np.ones(4), "frozen": np.array([0.0, 1, 1, 1])})
    assert "embeddings 0.00 (rates 0.00)" in figure.sentence and figure.png().startswith(b"\x89PNG")
