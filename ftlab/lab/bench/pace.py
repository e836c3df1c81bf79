"""How long a run will take on this machine: from a run that was measured here, before that from a measured product."""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ftlab.schedules import KNOWN_LAYERS

if TYPE_CHECKING:
    from ftlab.data import Data
    from ftlab.lab.bench.rows import Row
    from ftlab.recipe import Recipe

WIDTHS = {6: 384, 12: 768, 22: 768, 24: 1024}
"""Hidden width by number of layers, of the models known here."""
SHARE = 0.8
"""Of the speed of a plain matrix product, what training reaches by the count of `Pace._guess` (measured)."""
TOKENS_A_WORD = 1.35
ROWS_VALIDATION = 64


@cache
def speed() -> float:
    """Measure the floating-point operations a second that this machine makes of a matrix product (20 ms)."""
    a, b = np.ones((2048, 384), np.float32), np.ones((384, 1536), np.float32)
    a @ b
    began, products = time.perf_counter(), 0
    while time.perf_counter() - began < 0.02:
        a @ b
        products += 1
    return 2.0 * a.shape[0] * a.shape[1] * b.shape[1] * products / (time.perf_counter() - began)


class Pace:
    """Seconds that a run on a data set takes, by recipe and size."""

    def __init__(self, data: Data, fold: int) -> None:
        split = data.split(fold)
        self.train, self.validation = len(split.train), len(split.validation)
        some = split.train[:200]
        self.words = np.array([len(data.texts[row].split()) for row in some])
        self.measured: dict[tuple, tuple[float, float]] = {}  # seconds a row to train and to evaluate, by model

    def measure(self, row: Row) -> None:
        """Take the pace of a finished run."""
        history = row.history
        if len(history) < 3 or not history.evals:
            return
        rows_done = history.steps_per_epoch and len(history) * (row.size or self.train) / history.steps_per_epoch
        inside = sum(e["seconds"] for e in history.evals if e["step"] < len(history))
        training = (history.seconds[-1] - inside) / rows_done
        rows = self.validation if row.size is None else min(ROWS_VALIDATION, self.validation)
        evaluating = float(np.median([e["seconds"] for e in history.evals])) / rows
        self.measured[self._key(row.recipe)] = (float(training), evaluating)

    def seconds(self, recipe: Recipe, size: int | None) -> float | None:
        """Estimate the seconds of a run; None for a model whose size is not known before it has been measured."""
        pace = self.measured.get(self._key(recipe)) or self._guess(recipe)
        if pace is None:
            return None
        rows = size or self.train
        validated = self.validation if size is None else min(ROWS_VALIDATION, self.validation)
        steps = -(-rows // (recipe.batch_size * recipe.gradient_accumulation_steps))
        evaluations = recipe.epochs * (1 if recipe.eval_every is None else max(1, -(-steps // recipe.eval_every)))
        return 1.5 + recipe.epochs * rows * pace[0] + evaluations * validated * pace[1]

    def expected(self, recipe: Recipe, size: int | None) -> tuple[str, str]:
        """Say how long a run will take here, and how that is known."""
        seconds = self.seconds(recipe, size)
        if seconds is None:
            return "time known after a run", "This model has not been trained here yet"
        shown = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
        if self._key(recipe) in self.measured:
            return f"about {shown} here", "By the pace of the runs before"
        return f"about {shown} here", "By the speed of a matrix product on this machine, until a run has been measured"

    @staticmethod
    def _key(recipe: Recipe) -> tuple:
        return recipe.model, recipe.head, recipe.max_length

    def _guess(self, recipe: Recipe) -> tuple[float, float] | None:
        layers = KNOWN_LAYERS.get(recipe.model)
        width = WIDTHS.get(layers)
        if width is None:
            return None
        tokens = float(np.minimum(self.words * TOKENS_A_WORD, recipe.max_length).mean())
        operations = 24.0 * layers * width**2 * tokens  # of a forward pass: 12 h^2 weights a layer, two operations each
        return 3 * operations / (SHARE * speed()), operations / (SHARE * speed())
