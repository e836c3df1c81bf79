"""When to look, what is best, when to stop: tables worked by hand, and transformers' own early stopping."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import EarlyStoppingCallback, TrainerControl, TrainerState, TrainingArguments

from ftlab.frequent_eval import BestScore, is_evaluation_step


@pytest.mark.parametrize(
    "eval_every, looks",
    [
        (None, [7, 14, 20]),
        (10, [7, 10, 14, 20]),  # every 10, at the end of each epoch of 7, and at the end of a run of 20
        (3, [3, 6, 7, 9, 12, 14, 15, 18, 20]),
        (100, [7, 14, 20]),
        (1, list(range(1, 21))),
    ],
)
def test_when_to_evaluate(eval_every, looks):
    got = [
        step
        for step in range(1, 21)
        if is_evaluation_step(step, eval_every=eval_every, steps_per_epoch=7, total_steps=20)
    ]
    assert got == looks


def test_patience_counts_looks_in_a_row():
    best = BestScore(patience=2)
    history = [(s, best.update(s), best.exhausted) for s in (0.9, 0.8, 0.8, 0.7, 0.71, 0.72)]
    assert [is_best for _, is_best, _ in history] == [True, True, False, True, False, False]
    assert [stop for _, _, stop in history] == [False, False, False, False, False, True]
    assert best.score == 0.7


def test_a_score_that_is_not_a_number_is_never_best():
    best = BestScore()
    assert not best.update(float("nan")) and best.score is None
    assert best.update(0.5) and not best.update(float("nan")) and best.score == 0.5
    assert not best.exhausted


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.integers(1, 5), st.booleans())
def test_stops_where_transformers_does(scores, patience, higher):
    callback = EarlyStoppingCallback(early_stopping_patience=patience)
    args = TrainingArguments(
        metric_for_best_model="eval_m", greater_is_better=higher, report_to="none", use_cpu=True
    )
    state, control = TrainerState(), TrainerControl()
    ours = BestScore(higher_is_better=higher, patience=patience)
    for score in scores:
        callback.on_evaluate(args, state, control, metrics={"eval_m": score})
        if ours.update(score):
            state.best_metric = score
        assert ours.exhausted == control.should_training_stop
        assert ours.score == (max if higher else min)(scores[: scores.index(score) + 1] + [ours.score])
        if ours.exhausted:
            break
