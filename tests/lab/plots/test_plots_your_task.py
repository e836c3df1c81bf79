"""The picture that lays models of different depth over each other."""

from __future__ import annotations

import numpy as np
import pytest

from ftlab import plots
from ftlab.lab.layout import place
from ftlab.schedules import layer_rates
from tests.lab.pictures import charts_of, line_of, problems


def test_rates_are_shares_of_the_top_layers_on_one_axis_of_depth():
    six = layer_rates(6, lr=2e-4, layer_decay=0.8)[:-1]
    twelve = layer_rates(12, lr=2e-5, layer_decay=0.8**0.5)[:-1]
    figure = plots.plot_depth_shares({"six": six, "twelve": twelve})
    [chart] = charts_of(figure)
    small, large = line_of(chart, "six"), line_of(chart, "twelve")
    assert len(small.x) == 7 and len(large.x) == 13 and set(small.x) <= set(np.round(large.x, 12)) | set(large.x)
    assert small.y[-1] == large.y[-1] == 1 and small.y[0] == pytest.approx(0.8**6) == pytest.approx(large.y[0])
    assert small.note == large.note == "embeddings 0.262"
    assert figure.sentence == (
        "six: embeddings 0.262 of the top layer's rate; twelve: embeddings 0.262 of the top layer's rate."
    )
    assert problems(place(figure.sheet)) == [] and figure.png().startswith(b"\x89PNG")
