"""Exercises: right answers pass, plausible wrong ones get a hint, answers of the wrong kind a typed error."""

import numpy as np
import pytest

from ftlab import ExerciseError, Recipe, exercises

RIGHT = {
    "01.1": 56,
    "01.2": lambda p, t: np.sqrt(np.mean((p - t) ** 2)),
    "01.3": Recipe(lr=5e-5, schedule="cosine", epochs=5),
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
}
WRONG_KIND = {"01.1": "many", "01.2": 3, "01.3": "cosine"}


def test_every_exercise_is_covered():
    assert set(RIGHT) == set(WRONG) == set(WRONG_KIND) == set(exercises._CHECKS)


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


def test_unknown_exercises():
    with pytest.raises(ExerciseError, match="'99.1' is unknown; there are 01.1"):
        exercises.check("99.1", 1)
