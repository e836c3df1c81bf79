"""The learning-rate range test: raise the rate from far too small to far too large and watch where the loss falls.

One short run in place of many. Smith (2017), "Cyclical learning rates for training neural networks", raised the rate on
a straight line and read two bounds off the accuracy; the rise in equal ratios, the smoothed loss, the stop at
divergence and the three suggestions are fastai's (Howard and Gugger 2020, "fastai: a layered API for deep learning").
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from ftlab import hooks
from ftlab.checks import real, whole
from ftlab.data import Data
from ftlab.errors import RecipeError
from ftlab.history import History
from ftlab.models.rng import seeded
from ftlab.recipe import Recipe
from ftlab.trainer import Job, prepare

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RULES = ("steepest", "valley", "min/10")
DIVERGED = 4.0  # times the best smoothed loss
FEWEST_STEPS = 20
START_ROWS = 128  # rows for the loss before training
_FEWEST_POINTS, _SKIP_END = 10, 5


def find_lr(
    recipe: Recipe,
    data: Data,
    fold: int = 0,
    *,
    low: float = 1e-7,
    high: float = 1.0,
    steps: int = 100,
    smoothing: float = 0.9,
) -> LRFinder:
    """Train with a rate that rises from `low` to `high` in equal ratios, one update each, and suggest a rate.

    rate(s) = low * (high / low) ** (s / (steps - 1)) for the top layer; every other layer keeps its share of it, so the
    test is of the recipe with its layer-wise decay, groups and head rate. Schedule, warm-up and averaging play no part;
    everything else (optimizer, clipping, accumulation, batches, seed) is as in `fit`. The test stops when the smoothed
    loss exceeds four times its best so far (counted from a tenth of the steps on, and from the loss before training),
    or when loss or gradient is no longer a finite number.

    The model is the test's own, made from the recipe as `fit` makes it and thrown away: nothing that is handed in
    changes, and the global random state is left alone. The same arguments give the same numbers on a CPU, bit for bit.
    It costs as much as `steps` updates of `fit`. Interrupting it keeps what has been measured. smoothing: see `smooth`.

    Raises RecipeError for an argument out of range; RecipeError, DataError or ModelError as `fit` does. A test that
    diverges from the start has a result as well, which says so; only its `suggestions` raise.
    """
    rates = _rates(low, high, steps)
    real("smoothing", smoothing, 0, 1, below=True)
    job = prepare(recipe, data, fold)
    job.history.total_steps = len(rates)
    start_loss = _loss_before_training(job)
    with seeded(recipe.seed) as job.random:
        try:
            status = _raise_the_rate(job, rates, smoothing, start_loss)
        except KeyboardInterrupt:
            status = "interrupted"
    return LRFinder(recipe, status, job.history, start_loss, float(smoothing), int(fold), data.name)


def _raise_the_rate(job: Job, rates: np.ndarray, smoothing: float, start_loss: float) -> str:
    """Make one update at each rate; return how it ended."""
    top = job.schedule.layers[-2]
    top_rate = next(group["lr"] for group in job.optimizer.param_groups if group["layer"] == top)
    if top_rate == 0:
        raise RecipeError("lr: with a rate of 0 for the top layer no layer has a share of it to raise; give any rate")
    shares = [group["lr"] / top_rate for group in job.optimizer.param_groups]
    best = start_loss
    for step, rate in enumerate(rates.tolist()):
        for group, share in zip(job.optimizer.param_groups, shares, strict=True):
            group["lr"] = rate * share
        loss, grad_norm = job.forward_and_backward(job.batches_of(step))
        job.record(loss, grad_norm)
        if not (math.isfinite(loss) and (math.isfinite(grad_norm) or job.overflow_is_skipped())):
            return "diverged"
        if step >= len(rates) // 10:  # before that, one lucky batch can be the best for good
            smoothed = smooth(job.history.loss, smoothing)[-1]
            if smoothed > DIVERGED * best:
                return "diverged"
            best = min(best, smoothed)
        job.optimizer.step()
        job.optimizer.zero_grad()
    return "completed"


def _loss_before_training(job: Job) -> float:
    """Compute the mean loss of rows from all over the training set, in evaluation mode."""
    train = job.split.train
    rows = train[np.linspace(0, len(train) - 1, min(len(train), START_ROWS)).astype(int)]
    logits = torch.from_numpy(job.predict(job.bare_model, rows)).float()
    labels = torch.from_numpy(job.data.targets[rows])
    return job.loss(logits, labels if job.data.task == "classification" else labels.float()).item()


@dataclass(frozen=True, eq=False, repr=False)
class LRFinder:
    """The outcome of a range test.

    status: "completed" (reached the highest rate), "diverged" (the usual end) or "interrupted". history: loss, gradient
    norm and the rate really applied to each layer, a row an update. start_loss: mean loss before training. smoothing:
    of `smoothed`; `dataclasses.replace(finder, smoothing=...)` reads the same test again with another one.
    """

    recipe: Recipe
    status: str
    history: History
    start_loss: float
    smoothing: float
    fold: int = 0
    data_name: str = field(default="")

    def __post_init__(self) -> None:
        real("smoothing", self.smoothing, 0, 1, below=True)

    @property
    def rates(self) -> np.ndarray:
        """Rate of the top layer at each update, shape (S,)."""
        return self.history.lr[:, -2]

    @property
    def losses(self) -> np.ndarray:
        """Training loss at each update, before it, shape (S,)."""
        return self.history.loss

    @property
    def smoothed(self) -> np.ndarray:
        """Exponential mean of the losses up to each update, shape (S,)."""
        return smooth(self.losses, self.smoothing)

    @property
    def usable(self) -> slice:
        """The part of the curve that is read: without its first tenth, where the mean is young, and its last five."""
        return slice(self.history.total_steps // 10, max(0, len(self.history) - _SKIP_END))

    @property
    def refusal(self) -> str:
        """Say why there is no suggestion; empty if there is one."""
        seen = self.smoothed[self.usable]
        if len(seen) >= _FEWEST_POINTS and seen.min() < self.start_loss:
            return ""
        done, total = len(self.history), self.history.total_steps
        if self.status == "interrupted":
            return f"the test was interrupted after {done} of {total} updates, before the loss fell; run it again"
        first, last = (f"{rate:.2g}" for rate in self.rates[[0, -1]])
        if self.status == "diverged":
            return (
                f"low: the loss diverged from the start, {self.start_loss:.3g} before training and "
                f"{self.losses[-1]:.3g} after {done} updates at rates from {first} to {last}; start lower, with "
                f"low={self.rates[0] / 1000:.1g} or so, and look at the targets if that does not help"
            )
        return (
            f"high: the loss never fell below the {self.start_loss:.3g} before training at rates from {first} to "
            f"{last}; widen the range with low=... and high=..., and look at the data if that does not help"
        )

    @property
    def caution(self) -> str:
        """Say if the fall of the loss is no larger than three standard deviations of its noise; empty if it is.

        The noise of one batch comes from the differences between neighbours up to the lowest point (von Neumann 1941);
        an exponential mean is worth (1 + b) / (1 - b) batches.
        """
        if self.refusal:
            return ""
        lowest = self.usable.start + int(self.smoothed[self.usable].argmin())
        one = np.sqrt(np.mean(np.diff(self.losses[: lowest + 1]) ** 2) / 2)
        noise = one * math.sqrt((1 - self.smoothing) / (1 + self.smoothing))
        if self.start_loss - self.smoothed[lowest] > 3 * noise:
            return ""
        return "the loss falls no further than its noise, so these rates mean little: use more steps or larger batches"

    @property
    def suggestions(self) -> dict[str, float]:
        """Rates for the top layer by rule, see `suggest`. Raises RecipeError saying why if there are none."""
        if self.refusal:
            raise RecipeError(self.refusal)
        return suggest(self.rates[self.usable], self.smoothed[self.usable])

    def apply(self, rule: str = "valley") -> Recipe:
        """Return the recipe with a suggested rate; the rates of head and groups keep their ratio to the top layer's.

        Raises RecipeError for an unknown rule, or if there is no suggestion.
        """
        if rule not in RULES:
            raise RecipeError(f"rule: {rule!r} is unknown. Known: {', '.join(RULES)}")
        suggested = self.suggestions[rule]
        groups, head = self.recipe.group_lrs, self.recipe.head_lr
        top = self.recipe.lr if groups is None else groups[-1]

        def scaled(rate: float) -> float:
            return rate / top * suggested

        return self.recipe.but(
            lr=scaled(self.recipe.lr),
            head_lr=None if head is None else scaled(head),
            group_lrs=None if groups is None else tuple(map(scaled, groups)),
        )

    def plot(self) -> Figure:
        """Draw loss against rate, raw and smoothed, with the suggestions."""
        return hooks.call("plot_lr_finder", self)

    def __repr__(self) -> str:
        """Say in one line how the test ended and what it suggests."""
        where = f" at {self.rates[-1]:.2g}" if len(self.history) else ""
        text = f"{self.status}{where} after {len(self.history)} of {self.history.total_steps} updates"
        if self.refusal:
            return f"LRFinder({text}; no suggestion: {self.refusal})"
        at = self.usable.start + int(self.smoothed[self.usable].argmin())
        text += f"; loss {self.start_loss:.3g} before training, lowest {self.smoothed[at]:.3g} at {self.rates[at]:.2g}"
        text += f"; {', '.join(f'{rule} {rate:.2g}' for rule, rate in self.suggestions.items())}"
        return f"LRFinder({text}{self.caution and f'; {self.caution}'})"


def smooth(losses: np.ndarray, smoothing: float) -> np.ndarray:
    """Average each loss with those before it, with weights that shrink by `smoothing` a step; shape (S,) as `losses`.

    m_t = b m_(t-1) + (1 - b) loss_t, divided by 1 - b^t, since m_0 = 0 counts for nothing (the bias correction of Adam,
    Kingma and Ba 2015). The mean lags b / (1 - b) steps behind: with 0.9 nine steps, with fastai's 0.98 forty-nine.
    """
    mean, means = 0.0, []
    for t, loss in enumerate(np.asarray(losses, dtype=np.float64).tolist(), start=1):
        mean = smoothing * mean + (1 - smoothing) * loss
        means.append(mean / (1 - smoothing**t))
    return np.array(means, dtype=np.float64)


def suggest(rates: np.ndarray, losses: np.ndarray) -> dict[str, float]:
    """Read a rate off a falling and rising curve of losses over rising rates, both of shape (n,), in three ways.

    steepest: where the loss falls most for each equal ratio of rates, argmin of (loss[i+1] - loss[i]) / log(rate[i+1] /
    rate[i]). min/10: a tenth of the rate with the lowest loss. valley: in the middle of the longest falling stretch;
    that is, of the longest sequence of indices along which the loss only falls, ending at e with k members, the index
    e - k + floor(k / 3) + floor(k / 6). All three as fastai defines them (`steep`, `minimum`, `valley`); Smith (2017)
    has two bounds read by eye instead: where the loss begins to fall, and where it stops to.
    """
    rates, losses = np.asarray(rates, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    slopes = np.diff(losses) / np.diff(np.log(rates))
    longest = np.ones(len(losses), dtype=int)  # the longest falling sequence that ends here
    for i, loss in enumerate(losses):
        longest[i] += longest[:i].max(initial=0, where=losses[:i] > loss)
    end = int(longest.argmax())
    k = int(longest[end])
    middle = max(0, end - k + k // 3 + k // 6)
    found = rates[slopes.argmin()], rates[middle], rates[losses.argmin()] / 10
    return dict(zip(RULES, map(float, found), strict=True))


# --------------------------------------------------------------------------------------------------------- checks


def _rates(low: float, high: float, steps: int) -> np.ndarray:
    if not real("low", low, above=True) < real("high", high, above=True):
        raise RecipeError(f"high: {high!r} does not lie above low={low!r}; give a higher one")
    return np.geomspace(low, high, whole("steps", steps, FEWEST_STEPS))
