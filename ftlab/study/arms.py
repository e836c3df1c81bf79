"""The recipes that the committed studies compare."""

from __future__ import annotations

from typing import Any

TECHNIQUES: dict[str, dict[str, Any]] = {
    "baseline": {},
    "llrd": {"layer_decay": 0.9},
    "warmup": {"warmup": 0.1},
    "reinit": {"reinit_layers": 2},
    "swa": {"swa_start": 3},
    "frequent_eval": {"eval_every": 10},
    "all": {"layer_decay": 0.9, "warmup": 0.1, "reinit_layers": 2, "swa_start": 3, "eval_every": 10},
}
"""The five techniques, each the baseline plus one change: the article's settings scaled to six layers and four epochs.
Chosen beforehand, not tuned."""
PAIRS: dict[str, dict[str, Any]] = {
    "llrd+warmup": {"layer_decay": 0.9, "warmup": 0.1},
    "llrd+reinit": {"layer_decay": 0.9, "reinit_layers": 2},
    "warmup+reinit": {"warmup": 0.1, "reinit_layers": 2},
    "llrd+swa": {"layer_decay": 0.9, "swa_start": 3},
}
"""The pairs that people combine."""
FEW_SAMPLES: dict[str, dict[str, Any]] = {
    "baseline": {},
    "reinit": {"reinit_layers": 2},
    "llrd": {"layer_decay": 0.9},
    "longer": {"epochs": 12},
    "no_bias_correction": {"optimizer": "bertadam"},
}
"""What Zhang et al. (2021) compare on few samples; to them the missing bias correction is the main culprit."""
