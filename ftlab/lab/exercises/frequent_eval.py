"""The exercises of notebook 06_frequent_eval."""

from __future__ import annotations

from typing import Any

import numpy as np

from ftlab.errors import ExerciseError
from ftlab.lab.exercises.base import exercise, function, number
from ftlab.study.optimism import expected_minimum
from ftlab.techniques.frequent_eval import BestScore, is_evaluation_step


@exercise("06.1")
def _number_of_evaluations(answer: Any) -> tuple[bool, str]:
    """How many evaluations does a run of 5 epochs of 27 steps take with eval_every=15?"""
    total = 5 * 27
    plan = {"eval_every": 15, "steps_per_epoch": 27, "total_steps": total}
    right = sum(is_evaluation_step(step, **plan) for step in range(1, total + 1))
    if number("06.1", answer) == right:
        return True, "Nine multiples of 15 and five ends of epochs, of which one, step 135, is both."
    return False, "Count the multiples of 15, and the ends of epochs; a step that is both is one evaluation, not two."


@exercise("06.2")
def _keep(answer: Any) -> tuple[bool, str]:
    """A function keep(scores, patience) -> (evaluation kept, evaluations made), tried on random scores."""
    keep = function("06.2", answer)
    generator = np.random.default_rng()
    for count, patience in ((1, 1), (6, 1), (12, 3), (40, 2), (40, 5), (40, 50)):
        scores = generator.integers(0, 30, count) / 10  # coarse, so that some are equal
        best, kept, taken = BestScore(patience=patience), 0, 0
        for i, score in enumerate(scores.tolist()):
            kept, taken = i if best.update(score) else kept, i + 1
            if best.exhausted:
                break
        try:
            got = tuple(int(value) for value in keep(scores, patience))
        except (TypeError, ValueError):
            raise ExerciseError("06.2: wants a function that returns two whole numbers") from None
        if got != (kept, taken):
            shown = f"[{', '.join(f'{score:g}' for score in scores)}]"
            return False, f"For patience {patience} and {shown} it gives {got}; {(kept, taken)} was expected."
    return True, "It agrees with BestScore on six sets of random scores."


@exercise("06.3")
def _evaluations_for_an_optimism(answer: Any) -> tuple[bool, str]:
    """From how many equally good, independent evaluations of noise 0.02 does the best flatter by more than 0.03?"""
    counts = np.arange(1, 200)
    right = int(counts[-0.02 * expected_minimum(counts) > 0.03][0])
    if number("06.3", answer) == right:
        return True, f"The best of {right} draws lies {-expected_minimum(right):.2f} standard deviations too low."
    return (
        False,
        "0.03 is one and a half times the noise: find the first k whose `expected_minimum` lies below -1.5.",
    )
