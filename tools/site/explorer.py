"""The explorer: one HTML page of learning rates and losses that moves without a kernel and without a network.

The rate of a layer at a step is its peak rate times the schedule's factor. Both are computed here by `ftlab.preview`,
the function that panels draw and `fit` applies, for every position of every control, and stored in the page; its
script looks them up, multiplies and draws. No formula is written a second time. `committed` adds the runs that were
really trained, with the schedule of each.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from committed import SIZES, recipes, short, size_data

from ftlab.bert_schedules import BERT_SCHEDULES
from ftlab.lab.chart import BLUE, GREY, ORANGE, rate_lines
from ftlab.recipe import Recipe
from ftlab.schedules import KNOWN_LAYERS, SCHEDULES, layer_names, preview

HERE = Path(__file__).resolve().parent
COMMITTED = [recipe for size in SIZES for recipe in recipes(size).values()]
WARMUPS = (0, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
WARMUPS = tuple(sorted({*WARMUPS, *(recipe.warmup for recipe in COMMITTED)}))
DECAYS = tuple(i / 100 for i in range(101))
RATES = (1e-6, 2e-6, 3.5e-6, 5e-6, 1e-5, 2e-5, 3e-5, 5e-5, 1e-4, 2e-4, 3e-4, 5e-4, 1e-3, 2e-3)
RATES = tuple(sorted({*RATES, *(recipe.lr for recipe in COMMITTED)}))
MODELS = ("minilm", "roberta-base", "answerdotai/ModernBERT-base", "roberta-large")
LAYERS = {KNOWN_LAYERS[name]: name for name in MODELS}
START = {"size": 0, "recipe": "llrd", "step": 0.6}
DIGITS = 7  # kept of each rate: far more than a picture shows


class Pool:
    """Arrays by number, each stored once."""

    def __init__(self) -> None:
        self.arrays: list[str | list[list[float]]] = []
        self.numbers: dict[bytes, int] = {}

    def keep(self, values: np.ndarray) -> int:
        """Return the number of an array."""
        values = np.ascontiguousarray(values, dtype=np.float64)
        if values.tobytes() not in self.numbers:
            self.numbers[values.tobytes()] = len(self.arrays)
            self.arrays.append(packed(values))
        return self.numbers[values.tobytes()]


def packed(values: np.ndarray) -> str | list[list[float]]:
    """Write an array as [[steps], [values]] of its corners, with straight lines between them, or in base64.

    In base64 each value has 32 bits, the least significant byte first. Values of corners have DIGITS digits.
    """
    rounded = np.array([short(value, DIGITS) for value in values])
    corners, start = [0], 0
    for end in range(2, len(values)):
        inside = np.arange(start + 1, end)
        straight = np.interp(inside, [start, end], rounded[[start, end]])
        if (np.abs(straight - values[inside]) > 5e-7 * np.abs(values[inside])).any():
            start = end - 1
            corners.append(start)
        if 4 * len(corners) > len(values):
            return base64.b64encode(values.astype("<f4").tobytes()).decode()
    corners = sorted({*corners, len(values) - 1})
    return [corners, [short(values[i], DIGITS) for i in corners]]


def explorer_data() -> dict[str, Any]:
    """Compute what the page looks up.

    arrays: rates and factors by step. peaks: for each of `decays` the peak rate of each place of the deepest model,
    embeddings first, in units of the top layer's rate; of fewer layers, the last so many. lines: {layers: name, colour
    on light pages, colour on dark ones and dash of each place}. sizes: as `committed.size_data`, and factors:
    {schedule: the number of an array for each of `warmups`}.
    """
    unit, pool = Recipe(lr=1.0), Pool()
    deepest = unit.but(schedule="constant")
    sizes = []
    for size in SIZES:
        held = size_data(size, pool.keep, position)
        epoch, epochs = held["steps_per_epoch"], recipes(size)["baseline"].epochs
        plans = {
            name: [
                preview(unit.but(schedule=name, warmup=float(share), epochs=epochs), epoch, num_layers=1)
                for share in WARMUPS
            ]
            for name in (*SCHEDULES, *BERT_SCHEDULES)
        }
        held["factors"] = {name: [pool.keep(plan.lr[:, -1]) for plan in made] for name, made in plans.items()}
        held["warmup_steps"] = [plan.warmup_steps for plan in plans["linear"]]
        sizes.append({**held, "total": epoch * epochs})
    return {
        "families": {"after the warm-up": list(SCHEDULES), "BERT's own": list(BERT_SCHEDULES)},
        "warmups": WARMUPS,
        "decays": DECAYS,
        "rates": RATES,
        "models": LAYERS,
        "defaults": {name: getattr(Recipe(), name) for name in ("model", "schedule", "warmup", "layer_decay")},
        "start": START,
        "peaks": [
            [short(rate, DIGITS) for rate in preview(deepest.but(layer_decay=decay), 1, num_layers=max(LAYERS)).lr[0]]
            for decay in DECAYS
        ],
        "lines": {layers: _looks(layers) for layers in LAYERS},
        "colours": {"run": ORANGE, "baseline": GREY, "averaged": BLUE},
        "sizes": sizes,
        "arrays": pool.arrays,
    }


def position(control: str, value: Any) -> Any:
    """Return where a control of the page stands for a value of a recipe's field."""
    if control == "layers":
        return str(KNOWN_LAYERS[value])
    if control == "schedule":
        return value
    values = {"warmup": WARMUPS, "decay": DECAYS, "lr": RATES, "head": RATES}[control]
    return "" if value is None else str(values.index(value))


def explorer_page() -> str:
    """Return the page as HTML text, with everything it needs inside."""
    data = json.dumps(explorer_data(), separators=(",", ":")).replace("</", "<\\/")
    names = ("base.css", "theme.js", "explorer.css", "picture.js", "explorer.js")
    parts = {name.replace(".", "_"): (HERE / name).read_text(encoding="utf-8") for name in names}
    return Template((HERE / "explorer.html").read_text(encoding="utf-8")).substitute(parts, data=data)


def _looks(layers: int) -> list[list[str]]:
    """Return name, two colours and dash of every place, as every other picture of the package has them."""
    names = layer_names(layers)
    alone = [(name, i) for i, name in enumerate(names)]
    lines = rate_lines(names, np.arange(1), np.zeros((1, len(names))), groups=alone)
    return [[line.label, *line.colour, line.dash] for line in lines]
