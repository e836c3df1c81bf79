"""When to look, what is best, when to stop: tables worked by hand, and transformers' own early stopping.

And how much of a best score is luck: the known expected minimum of normal draws, SciPy's integrals, the bootstrap.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats
from transformers import EarlyStoppingCallback, TrainerControl, TrainerState, TrainingArguments

from ftlab.errors import DataError, RecipeError
from ftlab.study.optimism import expected_minimum, kept_looks, optimism, rmse_noise, simulate_looks
from ftlab.techniques.frequent_eval import BestScore, is_evaluation_step


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
    args = TrainingArguments(metric_for_best_model="eval_m", greater_is_better=higher, report_to="none", use_cpu=True)
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


# ------------------------------------------------------------------------------------- how much of a best score is luck


def scipy_minimum(k):
    """The mean of the smallest of k normal draws, by its density."""
    return integrate.quad(lambda x: x * k * stats.norm.pdf(x) * stats.norm.sf(x) ** (k - 1), -12, 12, epsabs=1e-11)[0]


def test_the_expected_minimum_of_normal_draws():
    known = [0, -1 / math.sqrt(math.pi), -1.5 / math.sqrt(math.pi)]  # exact for one, two and three draws
    assert np.allclose(expected_minimum([1, 2, 3]), known, atol=1e-9)
    many = [4, 10, 100, 225, 1000, 5000]
    assert np.allclose(expected_minimum(many), [scipy_minimum(k) for k in many], atol=1e-7)
    assert expected_minimum(10).shape == () and expected_minimum([[1], [2]]).shape == (2, 1)
    with pytest.raises(RecipeError, match="looks: 0 .*1 or more"):
        expected_minimum([3, 0])


@pytest.mark.parametrize("correlation", [0.0, 0.6, 1.0])
def test_pure_luck_follows_the_formula(correlation):
    runs, noise = 20_000, 0.02
    got = optimism(np.full(60, 0.3), noise=noise, correlation=correlation, runs=runs)
    wanted = [-noise * math.sqrt(1 - correlation) * scipy_minimum(k) for k in range(1, 61)]
    assert np.allclose(got, wanted, atol=5 * noise / math.sqrt(runs))  # five standard errors
    assert correlation == 1.0 or got[-1] > 10 * got[0]


def test_simulated_looks_have_the_noise_and_the_likeness_asked_for():
    scores = simulate_looks([0.5, 0.4, 0.3], noise=0.02, correlation=0.7, runs=40_000, seed=3)
    assert scores.shape == (40_000, 3)
    assert np.allclose(scores.mean(axis=0), [0.5, 0.4, 0.3], atol=5e-4)
    assert np.allclose(scores.std(axis=0), 0.02, rtol=0.02)
    assert np.allclose(np.corrcoef(scores.T)[np.triu_indices(3, 1)], 0.7, atol=0.02)
    assert np.array_equal(simulate_looks([0.3] * 3, noise=0, runs=5), np.full((5, 3), 0.3))


def test_the_simulation_is_seeded_and_more_looks_keep_the_first():
    few, many = (simulate_looks(np.zeros(k), noise=1, correlation=0.3, runs=50, seed=7) for k in (4, 9))
    assert np.array_equal(few, many[:, :4])
    assert not np.array_equal(few, simulate_looks(np.zeros(4), noise=1, correlation=0.3, runs=50, seed=8))


def test_a_look_that_is_clearly_better_wins_and_flatters_no_one():
    """Optimism needs rivals: where one look is far ahead the best score is as honest as any."""
    got = optimism([0.9, 0.6, 0.2], noise=0.01, runs=20_000)
    assert np.allclose(got, 0, atol=5 * 0.01 / math.sqrt(20_000))


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"quality": []}, "quality has shape"),
        ({"quality": [[0.1]]}, "quality has shape"),
        ({"noise": -0.1}, r"noise: -0.1 is out of range; allowed: \[0, inf\)"),
        ({"noise": float("nan")}, "noise: nan"),
        ({"correlation": 1.5}, r"correlation: 1.5 is out of range; allowed: \[0, 1\]"),
        ({"runs": 0}, "runs: 0 .*1 or more"),
    ],
)
def test_a_simulation_out_of_range_is_refused(arguments, words):
    with pytest.raises(RecipeError, match=words):
        simulate_looks(**{"quality": [0.3], "noise": 0.1, **arguments})


@given(
    st.lists(st.floats(0, 1, width=16), min_size=1, max_size=30),
    st.one_of(st.none(), st.integers(1, 6)),
)
def test_the_look_kept_is_the_one_that_best_score_keeps(scores, patience):
    best, kept = BestScore(patience=patience), []
    for i, score in enumerate(scores):
        if best.exhausted or not best.update(score):
            kept.append(kept[-1])
        else:
            kept.append(i)
    assert kept_looks(np.array(scores), patience).tolist() == kept
    assert kept_looks(np.array([scores, scores]), patience).tolist() == [kept, kept]


def test_patience_takes_fewer_looks_and_so_less_luck():
    free, stopped = (optimism(np.zeros(50), noise=1, patience=p, runs=4000)[-1] for p in (None, 5))
    assert 0.5 < stopped < free - 0.2
    assert optimism(np.zeros(50), noise=1, patience=1, runs=4000)[0] == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("draw", ["normal", "laplace", "uniform"])
def test_the_noise_of_a_score_agrees_with_the_bootstrap(draw):
    generator = np.random.default_rng(1)
    errors = getattr(generator, draw)(size=400)
    samples = errors[generator.integers(400, size=(20_000, 400))]
    bootstrap = np.sqrt(np.mean(samples**2, axis=1)).std()
    assert rmse_noise(errors) == pytest.approx(bootstrap, rel=0.03)


def test_the_noise_of_a_score_of_normal_errors():
    errors = 0.3 * np.random.default_rng(2).standard_normal(100_000)
    assert rmse_noise(errors) == pytest.approx(0.3 / math.sqrt(2 * 100_000), rel=0.02)
    assert rmse_noise([0.5, -0.5, 0.5]) == 0 and rmse_noise(np.zeros(4)) == 0
    with pytest.raises(DataError, match="two or more"):
        rmse_noise([0.1])
