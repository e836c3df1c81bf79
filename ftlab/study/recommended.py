"""The recipe that did best on the tuning rows of each data set, among all arms and draws of the plan.

`data/results/PLAN.md` says what was drawn; no row that it was chosen on is a row that it is confirmed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ftlab.recipe import Recipe

_BASE = {"head": "mix", "epochs": 8}

RECOMMENDED: Mapping[str, Recipe] = MappingProxyType(
    {
        "passages": Recipe(**_BASE, lr=6.6e-5, head_init="probe"),
        "snippets": Recipe(**_BASE, lr=8.2e-5, warmup=0.08, max_length=64),
        "clear": Recipe(
            **_BASE, lr=2.3e-4, layer_decay=0.69, warmup=0.06, reinit_layers=2, swa_start=4.0
        ),  # the averaged weights are its answer: `run.swa_score`
    }
)
"""{data set: recipe}. On `passages` the head starts from the frozen model's probe, which on the confirming rows, twice
as many to train on, was no better than the plain baseline (within noise); on `snippets` a short warm-up was ahead of
the plain baseline by less than a thousandth; on CLEAR it is all techniques together."""
