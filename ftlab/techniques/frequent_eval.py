"""Frequent evaluation: when to score the validation set, which checkpoint to keep, when to stop early.

Several evaluations an epoch catch a best checkpoint that lies between the ends of epochs (Zhang et al. 2021; Dodge et
al. 2020), and make the best score look better than it is: the minimum of many noisy scores is biased downwards
(`ftlab.study.optimism`).
"""

from __future__ import annotations

import math


def is_evaluation_step(step: int, *, eval_every: int | None, steps_per_epoch: int, total_steps: int) -> bool:
    """Tell whether to evaluate after `step` updates: every `eval_every`, and at the end of an epoch and of the run."""
    at_end_of_epoch = step % steps_per_epoch == 0 or step == total_steps
    return at_end_of_epoch or (eval_every is not None and step % eval_every == 0)


class BestScore:
    """Follow a validation score: is it a new best, and is patience exhausted?

    patience: evaluations in a row without a new best after which `exhausted` is true; None never stops. As in Keras
    and `transformers.EarlyStoppingCallback`; the article's "more than 3 without progress" is a patience of 4.
    """

    def __init__(self, *, higher_is_better: bool = False, patience: int | None = None) -> None:
        self.higher_is_better = higher_is_better
        self.patience = patience
        self.score: float | None = None
        self.looks_without_progress = 0

    def update(self, score: float) -> bool:
        """Take in a score; return whether it is a new best. A score that is not a number never is."""
        better = not math.isnan(score) and (
            self.score is None or (score > self.score if self.higher_is_better else score < self.score)
        )
        if better:
            self.score, self.looks_without_progress = score, 0
        else:
            self.looks_without_progress += 1
        return better

    @property
    def exhausted(self) -> bool:
        """Whether `patience` evaluations in a row brought no new best."""
        return self.patience is not None and self.looks_without_progress >= self.patience
