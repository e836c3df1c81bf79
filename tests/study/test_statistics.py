"""The plan's rule: Student's t over independent pairs, corrected where training sets overlap; how often it errs."""

import math

import numpy as np
import pytest
from scipy import stats

from ftlab.errors import DataError
from ftlab.study.statistics import FEWEST_UNITS, paired_t, share_interval, sign_flip_p


def test_without_overlap_it_is_the_paired_t_test_of_scipy():
    values = np.random.default_rng(0).normal(-0.01, 0.02, 12)
    found = paired_t(values)
    expected = stats.ttest_1samp(values, 0)
    interval = expected.confidence_interval(0.95)
    assert (found.pairs, found.p) == (12, pytest.approx(expected.pvalue))
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert paired_t([*values, math.nan]) == found, "a pair without a score is left out"


def test_the_correction_is_nadeau_and_bengios():
    """Their equation for J repetitions: variance (1 / J + n2 / n1) S^2, here with 20 % to test and 60 % to train."""
    values = np.random.default_rng(1).normal(0.005, 0.01, 20)
    found, plain = paired_t(values, overlap=20 / 60), paired_t(values)
    t = values.mean() / math.sqrt((1 / 20 + 1 / 3) * values.var(ddof=1))
    assert found.p == pytest.approx(2 * stats.t.sf(abs(t), 19))
    assert (found.high - found.low) / (plain.high - plain.low) == pytest.approx(math.sqrt((1 / 20 + 1 / 3) * 20))


def test_what_it_sees_is_found_four_times_in_five():
    generator, n, sd = np.random.default_rng(2), 10, 1.0
    effect = paired_t(np.array([-1.0, 1.0] * 5) * sd / math.sqrt(10 / 9)).sees  # a sample with this very spread
    found = [paired_t(generator.normal(effect, sd, n)).p < 0.05 for _ in range(3000)]
    assert 0.74 < np.mean(found) < 0.86  # t quantiles added up are an approximation


def test_equivalence_needs_the_whole_interval_within_the_margin():
    values = 0.001 * np.random.default_rng(3).standard_normal(15)
    assert paired_t(values, margin=0.01).equivalent
    assert not paired_t(values + 0.0098, margin=0.01).equivalent
    assert not paired_t(30 * values, margin=0.01).equivalent


def test_too_little_says_nothing():
    for values in ([], [0.1], [0.1, 0.1, 0.1]):
        found = paired_t(values)
        assert found.pairs == len(values) and math.isnan(found.p) and not found.equivalent
    assert FEWEST_UNITS == 10


def simulated(generator, *, crossed, studies=2000, folds=5, repeats=3, seed_sd=1.0, residual_sd=1.0):
    """Paired differences without any true one: a seed's effect is as large as the residual.

    crossed: the first design, the same seeds in all folds; else each pair has a seed of its own.
    """
    residual = generator.normal(0, residual_sd, (studies, folds, repeats))
    seeds = generator.normal(0, seed_sd, (studies, 1 if crossed else folds, repeats))
    return (residual + seeds).reshape(studies, -1)


def test_false_alarms_and_coverage_under_the_plan_and_under_the_first_design():
    generator = np.random.default_rng(4)
    nested = [paired_t(values) for values in simulated(generator, crossed=False)]
    alarms = np.mean([found.p < 0.05 for found in nested])
    covered = np.mean([found.low <= 0 <= found.high for found in nested])
    assert 0.035 < alarms < 0.065, "seeds of their own: the rule errs as often as it says"
    assert 0.935 < covered < 0.965
    crossed = simulated(generator, crossed=True, studies=120)
    flips = np.mean([sign_flip_p(values, draws=999) < 0.05 for values in crossed])
    assert flips > 0.12, "seeds crossed with folds: single pairs are no independent draws"


@pytest.mark.parametrize(("found", "of"), [(0, 10), (3, 10), (10, 10), (13, 120)])
def test_a_share_has_the_exact_interval(found, of):
    expected = stats.binomtest(found, of).proportion_ci(0.95, "exact")
    assert share_interval([True] * found + [False] * (of - found)) == pytest.approx((expected.low, expected.high))


def test_runs_that_share_their_recipe_are_worth_fewer():
    recipes = np.repeat(np.arange(8), 10)
    alike = np.repeat([1, 1, 0, 0, 0, 0, 0, 0], 10)  # a recipe's runs all agree: eight draws in place of eighty
    wide = share_interval(alike, recipes)
    expected = stats.binomtest(2, 8).proportion_ci(0.95, "exact")
    assert wide == pytest.approx((expected.low, expected.high), abs=0.03)
    spread = np.tile([1] * 2 + [0] * 6, 10)  # as many in each recipe's runs: nothing is shared
    assert share_interval(spread, np.repeat(np.arange(10), 8)) == pytest.approx(share_interval(spread), abs=0.02)
    none = share_interval(np.zeros(70), np.repeat(np.arange(7), 10))
    assert none == pytest.approx((0, 1 - 0.025 ** (1 / 7)))
    generator = np.random.default_rng(3)
    covered = []
    for _ in range(600):  # a third of the variance lies between recipes, as with correlated runs
        chance = generator.beta(0.4, 1.6, 20).repeat(10)
        low, high = share_interval(generator.random(200) < chance, np.repeat(np.arange(20), 10))
        covered.append(low <= 0.2 <= high)
    assert 0.9 < np.mean(covered) < 0.995


def test_a_share_of_nothing():
    with pytest.raises(DataError, match="hits: there is no run"):
        share_interval([])
    with pytest.raises(DataError, match="clusters has 2 entries for 3 runs"):
        share_interval([True, False, True], [1, 2])
