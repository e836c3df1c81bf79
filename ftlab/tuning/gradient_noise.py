"""Gradient noise: how far the gradient of a batch strays from that of the whole set (McCandlish et al. 2018).

With G the gradient of the mean loss over all examples and Sigma the covariance of one example's gradient, the gradient
g_B of a batch of B examples, drawn with replacement, has

    mean G        variance E|g_B - G|^2 = tr(Sigma) / B        E|g_B|^2 = |G|^2 + tr(Sigma) / B

Signal and noise are of equal size at B_simple = tr(Sigma) / |G|^2: below it a larger batch buys a better direction,
well above it only more arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from ftlab.checks import is_int, whole
from ftlab.data import Data
from ftlab.errors import RecipeError
from ftlab.recipe import Recipe
from ftlab.trainer import prepare


@dataclass(frozen=True)
class GradientNoise:
    """Gradients of batches of several sizes, measured on the same draw of examples.

    batch_sizes: ascending. squared_norm: of each size B, the mean of |g_B|^2. variance: of each size, the unbiased
    estimate of E|g_B - G|^2. examples: how many were drawn, T. mean_squared_norm: |g_T|^2, of all of them as one batch.
    """

    batch_sizes: tuple[int, ...]
    squared_norm: tuple[float, ...]
    variance: tuple[float, ...]
    examples: int
    mean_squared_norm: float

    @property
    def noise(self) -> float:
        """tr(Sigma), by the unbiased two-batch estimator of the smallest size b and of all T examples.

        noise = (E|g_b|^2 - |g_T|^2) / (1 / b - 1 / T)
        """
        b = self.batch_sizes[0]
        return (self.squared_norm[0] - self.mean_squared_norm) / (1 / b - 1 / self.examples)

    @property
    def signal(self) -> float:
        """|G|^2, by the same estimator; by chance it can fall below 0.

        signal = (T |g_T|^2 - b E|g_b|^2) / (T - b)
        """
        b, t = self.batch_sizes[0], self.examples
        return (t * self.mean_squared_norm - b * self.squared_norm[0]) / (t - b)

    @property
    def b_simple(self) -> float:
        """The simple noise scale tr(Sigma) / |G|^2, in examples; infinite where no signal shows above the noise."""
        return self.noise / self.signal if self.signal > 0 else math.inf


def gradient_noise(
    gradient: Callable[[np.ndarray], Tensor],
    rows: np.ndarray,
    *,
    batch_sizes: Sequence[int] = (1, 2, 4, 8, 16),
    repeats: int = 16,
    seed: int = 0,
) -> GradientNoise:
    """Measure the spread of the gradients of batches drawn from `rows` with replacement.

    gradient: row numbers (B,) -> the gradient of their mean loss, a new tensor (P,). It is asked for batches of the
    smallest size alone: the gradient of a larger one is the mean of theirs, as under accumulation. So every size is
    seen on the same T = repeats x (largest size) examples, in T / (smallest size) backward passes, with one vector of P
    numbers held for each size. repeats: batches of the largest size. The same arguments give the same batches.

    Raises RecipeError unless there are two sizes or more, each a multiple of the one before, and two repeats or more.
    """
    sizes = tuple(batch_sizes)
    if (
        len(sizes) < 2
        or not all(is_int(size) and size > 0 for size in sizes)
        or any(b % a or b == a for a, b in pairwise(sizes))
    ):
        raise RecipeError(
            f"batch_sizes: {batch_sizes!r} is not allowed; allowed: two whole numbers of 1 or more, or several, each a "
            "multiple of the one before, such as (1, 4, 16)"
        )
    whole("repeats", repeats, 2)
    draws = np.random.default_rng(seed)
    norms = dict.fromkeys(sizes, 0.0)

    def batch_gradient(level: int) -> Tensor:
        """Draw a batch of sizes[level] and note its gradient's squared norm, and those of its parts."""
        if level == 0:
            mean = gradient(draws.choice(rows, sizes[0]))
        else:
            parts = sizes[level] // sizes[level - 1]
            mean = batch_gradient(level - 1)
            for _ in range(parts - 1):
                mean = mean.add_(batch_gradient(level - 1))
            mean = mean.div_(parts)
        norms[sizes[level]] += float(mean @ mean)
        return mean

    mean = batch_gradient(len(sizes) - 1)
    for _ in range(repeats - 1):
        mean = mean.add_(batch_gradient(len(sizes) - 1))
    mean = mean.div_(repeats)
    examples, of_all = repeats * sizes[-1], float(mean @ mean)
    counts = [examples // size for size in sizes]
    squared_norm = [norms[size] / n for size, n in zip(sizes, counts, strict=True)]
    variance = [(norm - of_all) * n / (n - 1) for norm, n in zip(squared_norm, counts, strict=True)]
    return GradientNoise(sizes, tuple(squared_norm), tuple(variance), examples, of_all)


def measure_gradient_noise(
    recipe: Recipe,
    data: Data,
    fold: int = 0,
    *,
    model: nn.Module | None = None,
    batch_sizes: Sequence[int] = (1, 2, 4, 8, 16),
    repeats: int = 16,
) -> GradientNoise:
    """Measure the gradient noise of a model on a fold's training set, without dropout; its weights stay as they are.

    model: such as `run.model`, to measure after training; default: the one that the recipe starts from.

    Raises as `gradient_noise` and `fit` do, and RecipeError for loss="rmse", which is not a mean over examples.
    """
    _check_loss(recipe)
    job = prepare(recipe, data, fold)
    model = job.bare_model if model is None else model.to(job.accelerator.device)
    parameters = [p for p in model.parameters() if p.requires_grad]

    def gradient(rows: np.ndarray) -> Tensor:
        batch = job.make_batch(rows)
        labels = batch.pop("labels")
        loss = job.loss(model(**batch).logits.float(), labels)
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)])

    was_training = model.training
    model.eval()
    try:
        return gradient_noise(gradient, job.split.train, batch_sizes=batch_sizes, repeats=repeats, seed=recipe.seed)
    finally:
        model.train(was_training)


def accumulation_difference(
    recipe: Recipe, data: Data, fold: int = 0, *, batch_size: int = 32, steps: Sequence[int] = (2, 4, 8)
) -> dict[int, float]:
    """Compare the gradient of a large batch with that of the same rows in several small ones, as `fit` adds them up.

    Returns {number of small batches: |g_small - g_large| / |g_large|}. Each small batch weighs as many rows as it has,
    so that it may be smaller than the others. Without dropout and clipping.

    Raises as `fit` does, and RecipeError for loss="rmse", whose large batch is not the mean of its parts, or for more
    parts than rows.
    """
    _check_loss(recipe)
    job = prepare(recipe.but(dropout=0.0, max_grad_norm=None), data, fold)
    rows = job.split.train[:batch_size]

    def gradient(parts: int) -> Tensor:
        whole("steps", parts, 1, len(rows))
        job.forward_and_backward(np.array_split(rows, parts))
        flat = torch.cat([p.grad.flatten() for p in job.bare_model.parameters() if p.grad is not None])
        job.optimizer.zero_grad()
        return flat

    large = gradient(1)
    return {parts: float((gradient(parts) - large).norm() / large.norm()) for parts in steps}


def _check_loss(recipe: Recipe) -> None:
    if recipe.loss == "rmse":
        raise RecipeError(
            "loss: 'rmse' is the root of a batch's error, not a mean over its examples, so that the gradients of small "
            "batches do not average to that of a large one; use loss='auto'"
        )
