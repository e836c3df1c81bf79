"""The tuned recipe of each data set: the best of the tuning rows, where the confirming rows bear it out.

`data/results/PLAN.md` says what was drawn; no row that it was chosen on is a row that it is confirmed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ftlab.recipe import Recipe

_BASE = {"head": "mix", "epochs": 8}

RECOMMENDED: Mapping[str, Recipe] = MappingProxyType(
    {
        "passages": Recipe(**_BASE, lr=1.8e-4),
        "snippets": Recipe(**_BASE, lr=9.9e-5, max_length=64),
        "clear": Recipe(
            **_BASE, lr=2.3e-4, layer_decay=0.69, warmup=0.06, reinit_layers=2, swa_start=4.0
        ),  # the averaged weights are its answer: `run.swa_score`
    }
)
"""{data set: recipe}. Each is the best draw of all arms on the tuning rows, unless its arm came out behind the plain
baseline, tuned as well, on the confirming rows: then it is that baseline, with fewer parts. So it went with the head
started from the probe on `passages` and with a short warm-up on `snippets`. On CLEAR it is all techniques together; the
baseline's confirming cells there are not trained yet."""
