"""Charts as data: colours by depth, lines thinned and smoothed, layers with equal rates as one line."""

from __future__ import annotations

import math

import matplotlib as mpl
import matplotlib.style
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex, to_rgb

from ftlab.lab import chart
from ftlab.recipe import PAPER, Recipe
from ftlab.schedules import preview


def luminance(colour):
    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot(channels, [0.2126, 0.7152, 0.0722]))


def contrast(a, b):
    """Contrast ratio of two colours by WCAG 2.1."""
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_stored_colours_are_those_of_matplotlib():
    viridis = mpl.colormaps["viridis"]
    assert [to_hex(viridis(i / 15)) for i in range(16)] == list(chart.VIRIDIS)
    cycle = matplotlib.style.library["tableau-colorblind10"]["axes.prop_cycle"].by_key()["color"]
    assert {*chart.BLUE, *chart.ORANGE, *chart.GREY} <= set(cycle)
    for i, colour in enumerate(chart.depth_colours(26)):  # between the stored ones
        for part, (low, high) in zip(colour, (chart.ON_LIGHT, chart.ON_DARK), strict=True):
            exact = viridis(low + (high - low) * i / 25)[:3]
            assert np.abs(np.subtract(to_rgb(part), exact)).max() < 0.025


@pytest.mark.parametrize("count", [1, 2, 8, 14, 26])
def test_lines_stand_out_on_light_and_dark_pages(count):
    colours = [*chart.depth_colours(count), chart.BLUE, chart.ORANGE, chart.GREY, chart.INK]
    assert min(contrast(light, "#ffffff") for light, _ in colours) >= 3
    assert min(contrast(dark, page) for _, dark in colours for page in ("#111111", "#212121")) >= 3
    for side in (0, 1):  # deeper is lighter, so that depth survives in grey
        depth = [luminance(colour[side]) for colour in chart.depth_colours(count)]
        assert depth == sorted(depth)


def test_lines_are_told_apart_without_colour():
    schedule = preview(Recipe(layer_decay=0.8, head_lr=2e-4))
    lines = chart.rate_lines(schedule.layers, schedule.steps, schedule.lr)
    assert [line.label for line in lines] == schedule.layers
    dashes = [line.dash for line in lines]
    assert all(a != b for a, b in zip(dashes, dashes[1:], strict=False))
    assert dashes[0] not in dashes[1:] and dashes[-1] not in dashes[:-1]


@given(st.integers(0, 900), st.integers(4, 300), st.floats(0, 1), st.integers(0, 99))
def test_thinning_keeps_ends_and_extremes(count, limit, gaps, seed):
    random = np.random.default_rng(seed)
    y = random.standard_cauchy(count)
    y[random.random(count) < gaps] = np.nan
    x, kept = chart.thin(np.arange(len(y)), y, limit)
    assert len(x) == len(kept) <= max(limit, 2) and np.array_equal(y[x], kept, equal_nan=True)
    known = y[np.isfinite(y)]
    if len(known):
        assert {known.min(), known.max()} <= set(kept.tolist())
    if count:
        assert x[0] == 0 and x[-1] == len(y) - 1 and (np.diff(x) > 0).all()


@given(
    st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(math.nan), st.just(math.inf)), max_size=60),
    st.integers(1, 20),
)
def test_smoothing_is_the_mean_of_the_last_finite_values(values, window):
    expected = []
    for i in range(len(values)):
        seen = [v for v in values[max(0, i + 1 - window) : i + 1] if math.isfinite(v)]
        expected.append(sum(seen) / len(seen) if seen else math.nan)
    assert chart.smooth(np.array(values), window) == pytest.approx(expected, rel=1e-6, abs=1e-4, nan_ok=True)


def test_layers_with_equal_rates_become_one_line():
    def names(recipe):
        schedule = preview(recipe)
        return [line.label for line in chart.rate_lines(schedule.layers, schedule.steps, schedule.lr)]

    assert names(Recipe()) == ["all layers"]
    assert names(Recipe(head_lr=1e-3)) == ["embeddings to layer.5", "head"]
    assert names(PAPER["grouped_llrd"]) == [
        "embeddings to layer.3",
        "layer.4 to layer.7",
        "layer.8 to layer.11",
        "head",
    ]


def test_long_runs_are_drawn_with_few_points():
    schedule = preview(Recipe(epochs=3, layer_decay=0.8, warmup=0.1), steps_per_epoch=20_000)
    lines = chart.rate_lines(schedule.layers, schedule.steps, schedule.lr)
    assert all(len(line.x) <= 300 and line.x[0] == 0 and line.x[-1] == 59_999 for line in lines)
