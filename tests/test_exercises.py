"""Exercises: right answers pass, plausible wrong ones get a hint, answers of the wrong kind a typed error."""

import numpy as np
import pytest
import torch

from ftlab import PAPER, ExerciseError, Recipe, exercises

RIGHT = {
    "01.1": 56,
    "01.2": lambda p, t: np.sqrt(np.mean((p - t) ** 2)),
    "01.3": Recipe(lr=5e-5, schedule="cosine", epochs=5),
    "02.1": 0.1 ** (1 / 12),
    "02.2": lambda groups: [
        {
            "params": [p for g in groups if (g["lr"], g["weight_decay"]) == key for p in g["params"]],
            "lr": key[0],
            "weight_decay": key[1],
        }
        for key in {(g["lr"], g["weight_decay"]) for g in groups}
    ],
    "02.3": Recipe(lr=0.75e-3, head_lr=1e-3, layer_decay=0.75),
    "03.1": 5,
    "03.2": lambda step, total, warmup, decay: min(
        1.0, step / warmup if warmup else 1.0, (total - step) / decay if decay else 1.0
    ),
    "03.3": 3.162,
    "04.1": 5 * (4 * (768 * 768 + 768) + 2 * 768 * 3072 + 3072 + 768 + 4 * 768) + 768 * 768 + 768,
    "04.2": lambda before, after: [name for name in before if torch.equal(before[name], after[name])],
    "04.3": Recipe(reinit_layers=3),
    "05.1": 284,
    "05.2": lambda mean, weights, k: (k * mean + weights) / (k + 1),
    "05.3": PAPER["llrd+warmup+swa"].but(swa_start=4, swa_lr=None),
    "06.1": 13,
    "06.2": lambda scores, patience: keep(scores, patience),
    "06.3": 10,
}
WRONG = {
    "01.1": [216, 54, 14, -1],
    "01.2": [
        lambda p, t: np.mean(np.abs(p - t)),
        lambda p, t: np.mean((p - t) ** 2),
        lambda p, t: float("nan"),
    ],
    "01.3": [
        Recipe(lr=5e-5, schedule="cosine"),
        Recipe(epochs=5, lr=5e-5),
        Recipe(epochs=5, schedule="cosine"),
    ],
    "02.1": [0.9, 0.1 ** (1 / 11), 0.1, 0, 1.2, -1],
    "02.2": [
        lambda groups: groups,
        lambda groups: [{**groups[0], "params": [p for g in groups for p in g["params"]]}],
        lambda groups: [
            {"params": [i], "lr": lr, "weight_decay": wd}
            for i, (lr, wd) in enumerate({(g["lr"], g["weight_decay"]) for g in groups})
        ],
    ],
    "02.3": [
        Recipe(lr=1e-3, layer_decay=0.75),
        Recipe(lr=0.75e-3, layer_decay=0.75),
        Recipe(lr=1e-3, head_lr=1e-3, layer_decay=0.75),
    ],
    "03.1": [4, 4.2, 9, 14],
    "03.2": [
        lambda step, total, warmup, decay: step / warmup if step < warmup else 1.0,
        lambda step, total, warmup, decay: min(1.0, step / warmup, (total - step) / decay),
        lambda step, total, warmup, decay: min(1.0, (step + 1) / (warmup + 1), (total - step) / (decay + 1)),
    ],
    "03.3": [1, 0.1, 31.6],
    "04.1": [5, 5 * 7_087_872, 5 * 7_077_888 + 590_592, 36_030_000],
    "04.2": [
        lambda before, after: [name for name in before if not torch.equal(before[name], after[name])],
        lambda before, after: [name for name in before if torch.allclose(before[name], after[name])],
        lambda before, after: [name for name in before if before[name].sum() == after[name].sum()],
        lambda before, after: [name for name in before if before[name] is after[name]],
        lambda before, after: list(before),
        lambda before, after: [],
    ],
    "04.3": [Recipe(), Recipe(reinit_layers=2), Recipe(reinit_layers=4), Recipe(reinit_layers=9),
             Recipe(reinit_layers=3, lr=5e-5)],
    "05.1": [2, 142, 426, 710],
    "05.2": [
        lambda mean, weights, k: (mean + weights) / 2,
        lambda mean, weights, k: mean + (weights - mean) / k,
        lambda mean, weights, k: mean + (weights - mean) / (k + 2),
        lambda mean, weights, k: 0.9 * mean + 0.1 * weights if k else weights,
    ],
    "05.3": [
        Recipe(swa_start=3.2),
        PAPER["llrd+warmup"],
        PAPER["llrd+warmup+swa"].but(swa_lr=None),
        PAPER["llrd+warmup+swa"].but(swa_start=4),
        PAPER["llrd+warmup+swa"].but(swa_start=4, swa_lr=None, warmup=0),
    ],
    "06.1": [14, 9, 5],
    "06.2": [
        lambda scores, patience: (int(np.argmin(scores)), len(scores)),
        lambda scores, patience: keep(scores, patience + 1),
        lambda scores, patience: keep(-scores, patience),
    ],
    "06.3": [9, 11, 1.5],
}
WRONG_KIND = {
    "01.1": "many", "01.2": 3, "01.3": "cosine", "02.1": "ninety", "02.2": 28, "02.3": 0.75,
    "04.1": "many", "04.2": 3, "04.3": 3, "06.1": "many", "06.2": 3, "06.3": "ten",
    "05.1": "many", "05.2": 284, "05.3": {"swa_start": 4},
    "03.1": "few", "03.2": 0.5, "03.3": "large",
}  # fmt: skip


def keep(scores, patience):
    """The look kept and the looks taken, as exercise 06.2 wants them."""
    kept = 0
    for i in range(len(scores)):
        kept = i if scores[i] < scores[kept] else kept
        if i - kept >= patience:
            return kept, i + 1
    return kept, len(scores)


def test_every_exercise_is_covered():
    assert set(RIGHT) == set(WRONG) == set(WRONG_KIND) == set(exercises.base.CHECKS)


@pytest.mark.parametrize("name", RIGHT)
def test_right_answers(name, capsys):
    assert exercises.check(name, RIGHT[name]) is True
    assert f"{name}: right." in capsys.readouterr().out


@pytest.mark.parametrize("name, answer", [(n, a) for n, answers in WRONG.items() for a in answers])
def test_wrong_answers_get_a_hint(name, answer, capsys):
    assert exercises.check(name, answer) is False
    assert f"{name}: not yet. " in capsys.readouterr().out


@pytest.mark.parametrize("answer", [None, ...])
def test_no_answer_yet(answer, capsys):
    assert exercises.check("01.1", answer) is None
    assert "no answer yet" in capsys.readouterr().out


@pytest.mark.parametrize("name", WRONG_KIND)
def test_answers_of_the_wrong_kind(name):
    with pytest.raises(ExerciseError, match=f"^{name}: wants"):
        exercises.check(name, WRONG_KIND[name])


def test_a_function_that_returns_no_array_is_of_the_wrong_kind():
    with pytest.raises(ExerciseError, match="05.2: wants a function that returns an array"):
        exercises.check("05.2", lambda mean, weights, k: "the mean")


def test_unknown_exercises():
    with pytest.raises(ExerciseError, match="'99.1' is unknown; there are 01.1"):
        exercises.check("99.1", 1)


def test_a_function_that_returns_no_pair_is_of_the_wrong_kind():
    with pytest.raises(ExerciseError, match="06.2: wants a function that returns two whole numbers"):
        exercises.check("06.2", lambda scores, patience: None)
