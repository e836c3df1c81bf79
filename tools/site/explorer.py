"""The schedule explorer: one HTML page that moves without a kernel and without a network.

The rate of a layer at a step is its peak rate times the schedule's factor. Both are computed here by `ftlab.preview`,
the function that panels draw and `fit` applies, for every position of every control, and stored in the page; its
script looks them up, multiplies and draws. No formula is written a second time.
"""

from __future__ import annotations

import json
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from ftlab.bert_schedules import BERT_SCHEDULES
from ftlab.lab.chart import rate_lines
from ftlab.recipe import Recipe
from ftlab.schedules import KNOWN_LAYERS, SCHEDULES, layer_names, preview

HERE = Path(__file__).resolve().parent
STEPS_PER_EPOCH = 27  # `passages` in batches of 16
WARMUPS = (0, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
DECAYS = tuple(i / 100 for i in range(101))
RATES = (1e-6, 2e-6, 3.5e-6, 5e-6, 1e-5, 2e-5, 3e-5, 5e-5, 1e-4, 2e-4, 3e-4, 5e-4, 1e-3, 2e-3)
MODELS = ("minilm", "roberta-base", "answerdotai/ModernBERT-base", "roberta-large")
LAYERS = {KNOWN_LAYERS[name]: name for name in MODELS}
START = {"schedule": "linear", "warmup": 0.1, "layer_decay": 0.9, "lr": Recipe().lr, "layers": 6}
DIGITS = 7  # kept of each number: far more than a picture shows


def explorer_data() -> dict[str, Any]:
    """Compute what the page looks up.

    factors: {schedule: a list for each of `warmups` of the factor at each step}. peaks: {layers: a list for each of
    `decays` of the peak rate of each place, embeddings first, in units of the top layer's rate}. lines: {layers: name,
    colour on light pages, colour on dark ones and dash of each place}.
    """
    unit = Recipe(lr=1.0)
    factors = {
        name: [_short(_preview(unit.but(schedule=name, warmup=float(share))).lr[:, -1]) for share in WARMUPS]
        for name in (*SCHEDULES, *BERT_SCHEDULES)
    }
    flat = unit.but(schedule="constant")
    peaks = {
        layers: [_short(_preview(flat.but(layer_decay=decay), layers).lr[0]) for decay in DECAYS] for layers in LAYERS
    }
    return {
        "steps_per_epoch": STEPS_PER_EPOCH,
        "families": {"after the warm-up": list(SCHEDULES), "BERT's own": list(BERT_SCHEDULES)},
        "warmups": WARMUPS,
        "warmup_steps": [_preview(unit.but(warmup=float(share))).warmup_steps for share in WARMUPS],
        "decays": DECAYS,
        "rates": RATES,
        "models": LAYERS,
        "defaults": {name: getattr(Recipe(), name) for name in ("model", "schedule", "warmup", "layer_decay")},
        "start": START,
        "factors": factors,
        "peaks": peaks,
        "lines": {layers: _looks(layers) for layers in LAYERS},
    }


def explorer_page() -> str:
    """Return the page as HTML text, with everything it needs inside."""
    data = json.dumps(explorer_data(), separators=(",", ":")).replace("</", "<\\/")
    parts = {name: (HERE / name).read_text(encoding="utf-8") for name in ("base.css", "theme.js", "explorer.js")}
    return Template((HERE / "explorer.html").read_text(encoding="utf-8")).substitute(
        base_css=parts["base.css"], theme_js=parts["theme.js"], explorer_js=parts["explorer.js"], data=data
    )


def _preview(recipe: Recipe, layers: int = 1) -> Any:
    return preview(recipe, STEPS_PER_EPOCH, num_layers=layers)


def _short(values: np.ndarray) -> list[float]:
    """Round to DIGITS significant digits; whole numbers as such, which take less room."""
    rounded = [float(f"{value:.{DIGITS}g}") for value in values]
    return [int(value) if value == int(value) else value for value in rounded]


def _looks(layers: int) -> list[list[str]]:
    """Return name, two colours and dash of every place, as every other picture of the package has them."""
    names = layer_names(layers)
    alone = [(name, i) for i, name in enumerate(names)]
    lines = rate_lines(names, np.arange(1), np.zeros((1, len(names))), groups=alone)
    return [[line.label, *line.colour, line.dash] for line in lines]
