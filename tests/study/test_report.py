"""Results: reading cells, pairs, interval, p and Holm against SciPy, enumeration, simulation and numbers by hand."""

from __future__ import annotations

import itertools
import json
import math
import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import ftlab as ft
from ftlab import __main__ as cli
from ftlab import results
from ftlab.errors import DataError
from ftlab.recipe import Recipe
from ftlab.study import bootstrap_interval, holm, load_cells, sign_flip_p
from ftlab.study.cells import cells_frame
from ftlab.study.plan_report import confirmation, confirmation_text, load_references
from ftlab.study.statistics import tail
from tests.fake_run import make_run

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "data" / "results" / "techniques.jsonl"
CHANGES = {
    "baseline": {}, "llrd": {"layer_decay": 0.9}, "swa": {"swa_start": 3}, "frequent_eval": {"eval_every": 10},
    "llrd+swa": {"layer_decay": 0.9, "swa_start": 3},
}  # fmt: skip


def cell(name="baseline", fold=0, seed=0, test=0.3, **values):
    """A cell as a study writes it; where a recipe averages, the average scores 0.01 below the best checkpoint."""
    averages = "swa_start" in CHANGES.get(name, {})
    looks = [{"step": 27 * i, "validation": test - 0.02 + 0.1 / i, "swa_validation": None} for i in range(1, 5)]
    if averages:
        looks[-1]["swa_validation"] = test - 0.03
    return {
        "name": name,
        "changes": CHANGES.get(name, {}),
        "data": "passages",
        "fold": fold,
        "seed": seed,
        "status": "completed",
        "validation": test + 0.005,
        "test": test,
        "swa_test": test - 0.01 if averages else None,
        "evals": looks,
        "loss": [0.9, 0.5, None],
        "grad_norm": [1.0, 2.0, None],
        "seconds": 100.0,
        "load_before": 0.5,
        "peak_memory_mib": 1400,
        "versions": {"torch": "2"},
        **values,
    }


def study(differences, name="llrd", seed=0):
    """Cells of the baseline and of one recipe, whose paired differences are those of the table (folds, seeds)."""
    base = np.random.default_rng(seed).normal(0.3, 0.05, np.shape(differences))
    cells = []
    for (fold, s), difference in np.ndenumerate(np.asarray(differences, dtype=float)):
        cells.append(cell("baseline", fold, s, base[fold, s]))
        if math.isfinite(difference):
            cells.append(cell(name, fold, s, base[fold, s] + difference))
    return cells


def write(path, cells):
    path.write_text("".join(json.dumps(c) + "\n" for c in cells), encoding="utf-8")
    return path


# ------------------------------------------------------------------------------------------------------------- reading


def test_a_file_becomes_a_table_with_what_each_cell_is_judged_by(tmp_path):
    path = write(tmp_path / "cells.jsonl", [cell(), cell("swa"), cell("llrd", status="diverged", test=0.4)])
    path.write_text(path.read_text() + "\n", encoding="utf-8")  # a blank line at the end is no cell
    cells = load_cells(path)
    assert cells["name"].tolist() == ["baseline", "swa", "llrd"]
    assert cells["score"].tolist() == pytest.approx([0.3, 0.29, 0.4])  # averaged weights where the recipe averages
    assert cells["selected"].tolist() == pytest.approx([0.305, 0.27, 0.405])  # of the same weights
    assert cells["looks"].tolist() == [4, 0, 4]
    assert cells["failed"].tolist() == [False, False, True]
    assert (cells["metric"] == "rmse").all() and cells["n_train"].isna().all()


def test_a_run_without_a_score_stays_in_the_table_as_failed():
    lost = {"status": "diverged", "validation": None, "test": None, "swa_test": None, "evals": []}
    not_a_number = {**lost, "test": 0.3, "validation": math.inf, "swa_test": math.nan}
    cells = [cell(), {**cell("llrd"), **lost}, {**cell("swa"), **not_a_number}]
    table = ft.compare(cells)
    assert table["failed"].tolist() == [0, 1, 1] and table["pairs"].tolist() == [0, 0, 0]
    assert table.loc["swa", "verdict"] == "no pairs, 1 of 1 failed" and math.isnan(table.loc["swa", "score"])
    assert "2 of 3 runs have no score" in results.main_table(cells)[1]


def broken(**values):
    return json.dumps({**cell(), **values})


def without(name):
    return json.dumps({key: value for key, value in cell().items() if key != name})


@pytest.mark.parametrize(
    "line, words",
    [
        ('{"name": "base', "line 2: not JSON .*delete the line"),
        ("\udcff", "line 2: not JSON"),
        ("[1, 2]", "line 2: holds a list, not a cell"),
        (without("fold"), "line 2: field 'fold' is missing"),
        (without("swa_test"), "line 2: field 'swa_test' is missing"),
        (broken(fold=-1), "line 2: field 'fold' is -1; expected: a whole number from 0"),
        (broken(seed=True), "line 2: field 'seed' is True"),
        (broken(test="low"), "line 2: field 'test' is 'low'; expected: a number or null"),
        (broken(status="interrupted"), "line 2: field 'status' is 'interrupted'; expected: one of completed"),
        (broken(status=["completed"]), "line 2: field 'status'"),
        (broken(name=" "), "line 2: field 'name'"),
        (
            broken(evals=[{"step": 1}]),
            "line 2: field 'evals'.*expected: a list of evaluations with step",
        ),
        (broken(loss=None), "line 2: field 'loss'"),
        (broken(metric="accuracy"), "line 2: field 'metric' is 'accuracy'; expected: one of rmse, macro_f1"),
        (broken(n_train=2.5), "line 2: field 'n_train' is 2.5"),
        (broken(changes={"layer_decoy": 0.9}), "line 2: field 'changes' makes no recipe .*layer_decay"),
        (json.dumps(cell()), "line 2: 'baseline' on fold 0 with seed 0 stands already at .*line 1; keep one"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, line, words):
    path = tmp_path / "cells.jsonl"
    path.write_bytes((json.dumps(cell()) + "\n" + line + "\n").encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=f"cells.jsonl, {words}"):
        load_cells(path)


def test_a_file_that_is_missing_or_empty(tmp_path):
    with pytest.raises(DataError, match=r"none.jsonl: cannot be read \(No such file.*make results"):
        load_cells(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="holds no cell"):
        load_cells(write(tmp_path / "cells.jsonl", []))


# ---------------------------------------------------------------------------------------------------- p, exactly


def by_enumeration(differences):
    """Try every pattern of signs, in exact whole numbers."""
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
            for signs in itertools.product((1, -1), repeat=len(differences))]  # fmt: skip
    return sum(total >= abs(sum(differences)) for total in sums) / len(sums)


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=9))
def test_p_is_the_share_of_sign_patterns_for_few_pairs(differences):
    assert sign_flip_p(np.array(differences) / 64) == pytest.approx(by_enumeration(differences))  # 1/64: no rounding


def test_p_by_hand():
    assert sign_flip_p([-1, -2, -3]) == 0.25  # all agree: 2 of the 8 patterns
    assert sign_flip_p([3, -1]) == 1.0  # |3 - 1| = 2; the four patterns give 2, 4, 4, 2
    assert sign_flip_p([[0.1] * 3] * 5) == pytest.approx(2 / 2**15)  # a table is flipped pair by pair
    assert sign_flip_p([[0.1, math.nan], [0.1, 0.1]]) == sign_flip_p([0.1] * 3)
    assert sign_flip_p([0.1]) == sign_flip_p([0.0, 0.0, 0.0]) == 1.0 and math.isnan(sign_flip_p([]))


def test_p_of_many_pairs_is_drawn_and_agrees_with_student():
    values = np.random.default_rng(0).normal(0.4, 1, 40)
    p = sign_flip_p(values)
    assert p == sign_flip_p(values) and p == pytest.approx(stats.ttest_1samp(values, 0).pvalue, abs=0.01)


def test_p_is_uniform_when_nothing_differs():
    generator = np.random.default_rng(0)
    p = np.array([sign_flip_p(generator.standard_t(3, 8)) for _ in range(400)])
    for level in (0.05, 0.2, 0.5):
        assert (p <= level).mean() == pytest.approx(level, abs=3 * math.sqrt(level * (1 - level) / 400))


# --------------------------------------------------------------------------------------------------------- Holm


def test_holm_by_hand():
    # Sorted 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1 = 0.02, 0.03, 0.06, 0.04, and the last not below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]).tolist() == [1.0, 1.0] and holm([0.02]).tolist() == [0.02] and holm([]).tolist() == []
    assert holm([0.02, math.nan, 0.04]) == pytest.approx([0.04, math.nan, 0.04], nan_ok=True)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_test_of_bonferroni(p):
    """Holm (1979) rejects what Bonferroni rejects in every set of hypotheses that holds it (Marcus et al. 1976)."""
    sets = [c for size in range(1, len(p) + 1) for c in itertools.combinations(range(len(p)), size)]
    closed = [max(min(1, len(c) * min(p[j] for j in c)) for c in sets if i in c) for i in range(len(p))]
    assert holm(p) == pytest.approx(closed)


# ----------------------------------------------------------------------------------------------------- the interval


def test_one_row_of_pairs_is_scipys_bootstrap_with_its_ends_moved_out():
    values = np.random.default_rng(1).normal(0, 1, 12)
    q = tail(12)
    expected = stats.bootstrap(
        (values,), np.mean, method="percentile", confidence_level=1 - 2 * q, n_resamples=50_000, random_state=1
    ).confidence_interval
    for table in (values[:, None], values[None, :]):  # folds with one seed, seeds on one fold
        assert bootstrap_interval(table, draws=50_000) == pytest.approx(tuple(expected), abs=0.03)
    assert bootstrap_interval(values[:, None]) == bootstrap_interval(values[:, None])
    assert bootstrap_interval(values[:, None], seed=1) != bootstrap_interval(values[:, None])


def test_the_ends_are_those_of_students_t():
    # A normal approximation of the bootstrap, mean -+ z(q) sd / sqrt(n), is then exactly mean -+ t sd / sqrt(n - 1).
    for n in (5, 15, 200):
        z = -stats.norm.ppf(tail(n))
        assert z / math.sqrt(n) == pytest.approx(stats.t.ppf(0.975, n - 1) / math.sqrt(n - 1))
    assert tail(10**6) == pytest.approx(0.025, rel=1e-4)


def two_way_means(table):
    """The mean of every way to draw folds and seeds; each way is as likely."""
    folds, seeds = table.shape
    means = [
        table[np.ix_(f, s)].mean()
        for f in itertools.product(range(folds), repeat=folds)
        for s in itertools.product(range(seeds), repeat=seeds)
    ]
    return np.sort(means)


def test_folds_and_seeds_are_drawn_apart():
    table = np.random.default_rng(2).normal(0, 1, (4, 3))
    means, q = two_way_means(table), tail(12)
    low, high = np.quantile(means, [q, 1 - q], method="inverted_cdf")
    assert bootstrap_interval(table, draws=100_000) == pytest.approx((low, high), abs=0.06)
    # Not the same as drawing the twelve pairs one by one: rows that agree make the interval wider.
    rows = np.repeat(np.random.default_rng(3).normal(0, 1, (5, 1)), 3, axis=1)
    one_by_one = bootstrap_interval(rows.ravel()[:, None])
    assert np.diff(bootstrap_interval(rows)) > 1.3 * np.diff(one_by_one)


def test_a_missing_pair_is_left_out_and_too_few_have_no_interval():
    table = np.random.default_rng(4).normal(0.5, 0.1, (5, 3))
    holes = table.copy()
    holes[0, 0] = holes[3, 2] = np.nan
    low, high = bootstrap_interval(holes)
    assert low < np.nanmean(holes) < high and (low, high) != bootstrap_interval(table)
    diagonal = np.where(np.eye(5, dtype=bool), table[:, :1], np.nan)  # a draw may hit no pair at all
    assert np.isfinite(bootstrap_interval(diagonal)).all()
    for few in (table[:2, :2], table[:1, :1], np.full((5, 3), np.nan), np.empty((0, 0))):
        assert np.isnan(bootstrap_interval(few)).all()
    assert bootstrap_interval(np.zeros((5, 3))) == (0.0, 0.0)


@pytest.mark.parametrize(
    "fold, seed, least",
    [
        (0.0, 0.0, 0.95),  # runs differ by chance alone
        (0.5, 0.0, 0.95),  # and a technique helps on some folds more than on others
        (0.5, 0.5, 0.93),  # and with some seeds
        (1.0, 0.0, 0.92),  # folds as different as runs
    ],
)
def test_the_interval_covers_the_truth_as_often_as_it_says(fold, seed, least):
    generator = np.random.default_rng(5)
    covered, widths = 0, []
    for _ in range(400):
        table = (0.3 + fold * generator.standard_normal((5, 1)) + seed * generator.standard_normal((1, 3))
                 + generator.standard_normal((5, 3)))  # fmt: skip
        low, high = bootstrap_interval(table, draws=800)
        covered += low <= 0.3 <= high
        widths.append(high - low)
    assert covered / 400 >= least - 0.02  # twice the standard error of the share
    ideal = 2 * 1.96 * math.sqrt(fold**2 / 5 + seed**2 / 3 + 1 / 15)  # if the three variances were known
    assert ideal < np.mean(widths) < 1.75 * ideal


# ----------------------------------------------------------------------------------------------------------- comparing

GOOD = -0.02 + np.linspace(-0.004, 0.004, 15).reshape(5, 3)


def test_pairs_have_the_same_fold_and_seed():
    cells = study(GOOD)
    table = ft.compare(cells)
    row = table.loc["llrd"]
    assert table.index.tolist() == ["baseline", "llrd"] and row["pairs"] == row["runs"] == 15
    assert row["difference"] == pytest.approx(GOOD.mean()) and row["p"] == pytest.approx(2 / 2**15)
    assert (row["low"], row["high"]) == pytest.approx(bootstrap_interval(GOOD))
    assert row["p_holm"] == row["p"] and row["verdict"] == "better"
    assert row["score"] == pytest.approx(np.mean([c["test"] for c in cells if c["name"] == "llrd"]))
    grid = results.paired_differences(load_frame(cells), "llrd")
    assert grid.to_numpy() == pytest.approx(GOOD) and grid.index.name == "fold" and grid.columns.name == "seed"
    base = table.loc["baseline"]
    assert base["verdict"] == "" and base["pairs"] == 0 and math.isnan(base["difference"])


def load_frame(cells):
    return cells_frame((f"cells[{i}]", c) for i, c in enumerate(cells))


def test_a_table_a_list_of_cells_and_their_order_give_the_same():
    cells = study(GOOD)
    expected = ft.compare(cells)
    pd.testing.assert_frame_equal(ft.compare(load_frame(cells)), expected)
    pd.testing.assert_frame_equal(ft.compare(cells[::-1]), expected)


def test_more_is_better_for_classes():
    for sign, verdict in ((1, "worse"), (-1, "better")):
        cells = [{**c, "metric": "macro_f1"} for c in study(sign * GOOD)]
        table = ft.compare(cells)
        assert table.loc["llrd", "verdict"] == verdict
        # Validation lies 0.005 above test: that flatters where more is better, and does not for an RMSE.
        assert table["optimism"].tolist() == pytest.approx([0.005, 0.005])
    assert ft.compare(study(GOOD))["optimism"].tolist() == pytest.approx([-0.005, -0.005])
    assert "test macro F1, higher is better" in results.main_table(cells)[1]


def test_neutral_data_are_within_noise():
    noise = np.random.default_rng(0).normal(0, 0.01, (5, 3))
    assert ft.compare(study(noise - noise.mean())).loc["llrd", "verdict"] == "within noise"
    same = ft.compare(study(np.zeros((5, 3)))).loc["llrd"]
    assert same["p"] == 1.0 and same["low"] == same["high"] == 0.0 and same["verdict"] == "within noise"


def test_a_verdict_needs_the_interval_and_the_corrected_p():
    single = ft.compare(study(np.full((1, 7), -0.01) + np.arange(7) / 1e4)).loc["llrd"]
    assert single["high"] < 0 and single["p"] == pytest.approx(2 / 2**7) and single["verdict"] == "better"
    # The same pairs beside six other recipes that do nothing: 7 x 2/128 is above 0.05.
    cells = study(np.full((1, 7), -0.01) + np.arange(7) / 1e4)
    others = [{**c, "name": f"r{i}", "changes": {"warmup": i}} for i in range(1, 7) for c in cells
              if c["name"] == "baseline"]  # fmt: skip
    table = ft.compare([*cells, *others])
    assert table.loc["llrd", "p_holm"] == pytest.approx(7 * 2 / 2**7)
    assert set(table["verdict"][1:]) == {"too few pairs"}
    assert ft.compare([*cells, *others], recipes=["llrd"]).loc["llrd", "verdict"] == "better"
    # p below 0.05 alone is not enough: every fold counts once in the interval, and one of them tells another story.
    folds = np.repeat([[-0.03], [-0.03], [-0.03], [-0.03], [0.03]], 3, axis=1)
    row = ft.compare(study(folds + np.random.default_rng(0).normal(0, 1e-4, (5, 3)))).loc["llrd"]
    assert row["p_holm"] < 0.05 and row["high"] > 0 and row["verdict"] == "within noise"


def test_one_pair_and_one_fold():
    one = ft.compare(study([[-0.01]])).loc["llrd"]
    assert one["pairs"] == 1 and one["difference"] == pytest.approx(-0.01)
    assert one["p"] == 1.0 and math.isnan(one["low"]) and one["verdict"] == "too few pairs"
    fold = ft.compare(study(GOOD.reshape(1, 15))).loc["llrd"]
    assert fold["verdict"] == "better" and fold["command"].startswith("python -m ftlab fit --data passages --fold 0 ")


def test_unequal_cells_are_paired_where_both_are():
    holes = GOOD.copy()
    holes[1, 1:] = np.nan
    cells = [c for c in study(holes) if not (c["name"] == "baseline" and c["fold"] == 4 and c["seed"] == 0)]
    row = ft.compare(cells).loc["llrd"]
    kept = holes.copy()
    kept[4, 0] = np.nan
    assert row["runs"] == 13 and row["pairs"] == 12 and row["difference"] == pytest.approx(np.nanmean(kept))
    assert row["p"] == sign_flip_p(kept)


def test_a_run_that_failed_is_counted_and_said():
    cells = study(GOOD)
    bad = [c for c in cells if c["name"] == "llrd"][:2]
    bad[0].update(status="diverged", validation=None, test=None)  # no score: in no mean
    bad[1].update(status="diverged", test=5.0)  # a poor checkpoint is a result
    row = ft.compare(cells).loc["llrd"]
    assert row["failed"] == 2 and row["runs"] == 15 and row["pairs"] == 14
    assert row["difference"] > 0.2 and row["verdict"].endswith(", 2 of 15 failed")


def test_time_counts_only_on_a_quiet_machine_and_memory_always():
    cells = study(np.zeros((1, 6)))
    for c in cells:
        if c["name"] == "llrd":
            c.update(seconds=[120.0, 130.0, 140.0, 900.0, 150.0, 900.0][c["seed"]], peak_memory_mib=1540)
            c["load_before"] = {3: 9.0, 4: None}.get(c["seed"], 2.4)
        elif c["seed"] == 5:
            c["load_before"] = 9.0
    row = ft.compare(cells).loc["llrd"]
    assert row["timed"] == 4 and row["time"] == pytest.approx(np.median([1.2, 1.3, 1.4, 1.5]))
    assert row["memory"] == pytest.approx(1.1) and row["seconds"] == np.median([120, 130, 140, 150, 900])
    assert ft.compare(cells, max_load=10).loc["llrd", "timed"] == 6


@pytest.mark.parametrize(
    "cells, arguments, words",
    [
        ([], {}, "the list is empty"),
        ([cell("llrd")], {}, "baseline: no cell is called 'baseline'; there are 'llrd'"),
        ([cell()], {"baseline": "plain"}, "baseline: no cell is called 'plain'; there are 'baseline'"),
        ([cell()], {"recipes": ["lrd"]}, "recipes: no cell is called 'lrd'"),
        ([cell(), cell("llrd", data="clear")], {}, r"data: the cells have several \(passages, clear\).*choose one"),
        ([cell(), cell("llrd", metric="macro_f1")], {}, r"metric: the cells have several \(rmse, macro_f1\)"),
        ([cell(), cell("llrd", n_train=50)], {}, r"n_train: the cells have several \(<NA>, 50\)"),
        ([cell(), cell("llrd", preset="tiny")], {}, r"preset: the cells have several"),
        ([cell(), cell("llrd", mixed_precision="bf16")], {}, r"mixed_precision: the cells have several"),
        ([cell(), cell(seed=1, changes={"lr": 1e-5})], {}, "name: 'baseline' stands for several recipes"),
        ([cell(), cell()], {}, r"cells\[1\]: 'baseline' on fold 0 with seed 0 stands already at cells\[0\]"),
        ([cell(), 3], {}, r"cells\[1\]: holds a int"),
        (pd.DataFrame({"a": [1]}), {}, "runs: the table has no column .*load_cells"),
        (load_frame([cell()])[:0], {}, "the table holds no cell"),
        (pd.concat([load_frame([cell()])] * 2), {}, "runs: 'baseline' on fold 0 with seed 0 stands there twice"),
        (load_frame([cell()]), {"baseline": Recipe()}, "give the name of the baseline, not a Recipe"),
    ],
)
def test_what_cannot_be_compared_is_refused(cells, arguments, words):
    with pytest.raises(DataError, match=words):
        ft.compare(cells, **arguments)


def test_a_name_that_is_not_there():
    with pytest.raises(DataError, match="name: no cell is called 'lrd'; there are baseline"):
        results.paired_differences(load_frame([cell()]), "lrd")


# --------------------------------------------------------------------------------------------------------------- runs


def as_run(recipe, fold, test, **values):
    """What `fit` returns, as far as results are concerned."""
    run = vars(make_run(recipe))
    scores = {"best_score": test + 0.01, "test_score": test, "swa_score": None}
    return SimpleNamespace(**{**run, "fold": fold, "data_name": "passages", **scores, **values})


def test_runs_are_compared_like_cells():
    base = Recipe(epochs=3, lr=1e-4)
    other = base.but(layer_decay=0.8)
    runs = []
    for (seed, fold), difference in np.ndenumerate(GOOD):
        runs.append(as_run(other.but(seed=seed), fold, 0.3 + 0.01 * fold + difference))
        runs.append(as_run(base.but(seed=seed), fold, 0.3 + 0.01 * fold))
    table = ft.compare(runs)
    assert table.index.tolist() == ["baseline", "layer_decay=0.8"]  # the plainer recipe, although it comes second
    row = table.iloc[1]
    assert row["difference"] == pytest.approx(GOOD.mean()) and row["verdict"] == "better" and row["timed"] == 15
    assert row["looks"] == 3 and row["optimism"] == pytest.approx(-0.01) and math.isnan(row["memory"])
    assert row["command"].endswith("--epochs 3 --lr 0.0001 --layer_decay 0.8 --seed 0")
    turned = ft.compare(runs, baseline=other.but(seed=7))
    assert turned.index.tolist() == ["baseline", "layer_decay=1"] and turned.iloc[1]["verdict"] == "worse"
    _, text = results.main_table(runs)
    assert "| layer_decay=0.8 |" in text


def test_an_averaging_run_is_judged_by_its_average():
    base, averaging = Recipe(epochs=3), Recipe(epochs=3, swa_start=1)
    table = ft.compare([as_run(base, 0, 0.3), as_run(averaging, 0, 0.35, swa_score=0.28)])
    assert table.loc["swa_start=1", "score"] == 0.28 and table.loc["swa_start=1", "looks"] == 0
    last = make_run(averaging).history.evals[-1]["swa_score"]
    assert table.loc["swa_start=1", "selected"] == pytest.approx(last)


@pytest.mark.parametrize(
    "runs, arguments, words",
    [
        ([as_run(Recipe(), 0, 0.3, status="interrupted")], {}, r"runs\[0\]: interrupted; a run that was not ended"),
        ([as_run(Recipe(), 0, 0.3)] * 2, {}, r"runs\[1\]: 'baseline' on fold 0 with seed 0 stands already"),
        ([as_run(Recipe(), 0, 0.3)], {"baseline": Recipe(lr=1.0)}, "baseline: none of the 1 runs has Recipe"),
        ([as_run(Recipe(), 0, 0.3)], {"baseline": "llrd"}, "baseline: 'llrd'; for a list of runs give"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(runs, arguments, words):
    with pytest.raises(DataError, match=words):
        ft.compare(runs, **arguments)


# -------------------------------------------------------------------------------------------------- words and tables


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Recipe(layer_decay=0.9),
        Recipe(warmup=0.1, swa_start=3, swa_lr=2e-6, patience=5),
        Recipe(group_lrs=[1e-6, 1.75e-6], dropout=None, schedule="polynomial", schedule_args={"power": 2.0}),
        Recipe(model="a folder/with spaces", lr=1 / 3e4),
        *ft.PAPER.values(),
    ],
)
def test_the_command_makes_the_recipe(recipe):
    words = shlex.split(results.command(recipe, data="my data.csv", fold=2, seed=4))
    assert words[:4] == ["python", "-m", "ftlab", "fit"]
    arguments = cli._parser().parse_args(words[3:])
    assert cli._recipe(arguments) == recipe.but(seed=4)
    assert arguments.data == "my data.csv" and arguments.fold == "2"


def test_changes_in_words():
    assert results.changes_text(Recipe(layer_decay=0.9, warmup=50, seed=3)) == "layer_decay=0.9, warmup=50"
    assert results.changes_text(Recipe(lr=1e-5, swa_start=3), Recipe(lr=1e-5)) == "swa_start=3"
    assert results.changes_text(Recipe(seed=3)) == ""


def parse(text):
    """Every row of every Markdown table in a text, as a list of its fields."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not set(line) <= set("|- ")]
    return [[field.strip() for field in line.strip("|").split("|")] for line in lines]


def full_study():
    cells, generator = [], np.random.default_rng(6)
    for name in CHANGES:
        for fold, seed in itertools.product(range(5), range(1 if "+" in name else 3)):
            cells.append(cell(name, fold, seed, 0.3 + 0.02 * fold + generator.normal(0, 0.01)))
    return cells


def test_the_text_holds_the_numbers_of_the_table():
    table, text = results.main_table(full_study())
    assert text.startswith("65 runs on `passages`: 5 folds, 3 seeds; test RMSE, lower is better.")
    rows = parse(text)
    assert [row[0] for row in rows] == ["recipe", "baseline", "llrd", "swa", "frequent_eval"] * 2 + [
        "recipe", "baseline", "llrd+swa"] * 2  # fmt: skip
    llrd = table.loc["llrd"]
    assert rows[2][3:6] == [f"{llrd['score']:.4f}", f"{llrd['difference']:+.4f}",
                            f"{llrd['low']:+.4f} to {llrd['high']:+.4f}"]  # fmt: skip
    assert rows[2][6] == f"{llrd['p_holm']:.3f}" and rows[2][7] == llrd["verdict"]
    assert rows[7] == ["llrd", "4 evaluations", f"{llrd['selected']:.4f}", f"{llrd['optimism']:+.4f}",
                       "x 1.00 (15 timed)", "x 1.00", "0 of 15"]  # fmt: skip
    assert rows[8][1] == "none: averaged" and rows[6][4:6] == ["100 s", "1400 MiB"]
    assert table.loc["llrd", "p_holm"] == pytest.approx(holm(table["p"][:4])[1])  # pairs of techniques count apart
    assert table.loc["llrd+swa", "p_holm"] == table.loc["llrd+swa", "p"]
    command = "python -m ftlab fit --data passages --fold all --head auto --layer_decay 0.9 --seed 0"
    assert f"- `llrd` (layer_decay=0.9): `{command}`" in text


def test_a_study_of_the_baseline_alone_has_a_table():
    table, text = results.main_table([cell(), cell(seed=1, test=0.32)])
    assert table.index.tolist() == ["baseline"] and table["score"].tolist() == [pytest.approx(0.31)]
    assert parse(text)[1][:4] == ["baseline", "2", "", "0.3100"]
    with pytest.raises(DataError, match="no cell is called 'baseline'"):
        results.main_table([cell("llrd")])


# -------------------------------------------------------------------------------------------------------- few samples


def few_cells():
    cells = []
    for n, seed in itertools.product((50, 200), range(4)):
        cells.append(cell("baseline", seed % 2, seed, 0.5 + 0.1 * seed, n_train=n))
        cells.append(cell("llrd", seed % 2, seed, 0.6 + 0.2 * seed, n_train=n))
    cells[1].update(status="diverged", validation=None, test=None)
    return cells


def test_few_samples_by_hand(tmp_path):
    path = write(tmp_path / "few.jsonl", few_cells())
    table, text = results.few_sample_table(path, guessing=1.0)
    assert table.index.tolist() == [(50, "baseline"), (50, "llrd"), (200, "baseline"), (200, "llrd")]
    base, lost, _, llrd = (row for _, row in table.iterrows())
    assert base["mean"] == pytest.approx(0.65) and base["sd"] == pytest.approx(np.std([0.5, 0.6, 0.7, 0.8], ddof=1))
    assert base["failed"] == 0 and base["worst"] == pytest.approx(0.8) and base["runs"] == 4
    assert llrd["failed"] == 0.5  # 0.6, 0.8, and 1.0 and 1.2, which are no better than guessing
    assert lost["failed"] == 0.75 and lost["mean"] == pytest.approx(1.0) and lost["runs"] == 4
    rows = parse(text)
    assert rows[2] == ["50", "llrd", "4", "1.0000", "0.2000", "1.2000", "75%"]
    assert "no better than 1.000" in text
    assert results.few_sample_table(path, guessing=0.55)[0]["failed"].tolist() == [0.75, 1.0, 0.75, 1.0]


def test_few_samples_where_more_is_better():
    cells = [{**c, "metric": "macro_f1"} for c in few_cells()]
    table, _ = results.few_sample_table(cells, guessing=0.6)
    assert table["failed"].tolist() == [0.5, 0.25, 0.5, 0.25] and table["worst"].tolist()[0] == 0.5


def test_all_rows_count_as_a_number_of_rows_and_a_sample_has_no_command():
    cells = [*few_cells(), cell()]
    table, text = results.few_sample_table(cells)
    assert parse(text)[-1][0] == "all" and len(table) == 5
    assert set(ft.compare([c for c in cells if c.get("n_train") == 50])["command"]) == {""}
    with pytest.raises(DataError, match="data: the cells have several"):
        results.few_sample_table([cell(), cell("llrd", data="clear")])


def test_a_report_says_all_there_is_in_a_file(tmp_path):
    cells = [*full_study(), *few_cells(), *(cell(n, data="clear") for n in ("baseline", "llrd"))]
    text = results.report(write(tmp_path / "cells.jsonl", cells))
    assert text.startswith("| training rows | recipe")
    for part in ("65 runs on `passages`: 5", "8 runs on `passages`, 50 training rows: 2", "2 runs on `clear`: 1 fold,"):
        assert text.count(part) == 1, part


def test_a_report_on_cells_of_the_plan_judges_by_its_rule():
    """By the first design's rule `head_start` would be within noise; the plan's table in README has "worse"."""
    file = COMMITTED.with_name("snippets.jsonl")
    references = load_references(COMMITTED.with_name("references.jsonl"))
    by_the_plan = confirmation_text(confirmation(load_cells(file), references[references["study"] == "snippets"]))
    assert results.report(file) == f"70 runs of `snippets`:\n\n{by_the_plan}" and "| worse |" in by_the_plan
    curve = results.report(COMMITTED.with_name("snippets_curve_plan.jsonl"))
    assert "6 runs of `snippets curve` with 4900 training rows:" in curve and "too few pairs (3)" in curve
    assert set(ft.compare(load_cells(file))["command"]) == {""}, "no recipe alone trains on a block"


def test_crossed_samples_and_seeds_are_cells_of_their_own(tmp_path):
    """As the plan's few samples are: every sample of the rows under every seed, at one fold."""
    places = itertools.product(("baseline", "llrd"), range(2), range(3))
    cells = [
        cell(name, 0, seed, 0.5 + 0.1 * seed, n_train=50, sample=sample, split=0, rows="confirm", study="few samples")
        for name, sample, seed in places
    ]
    path = write(tmp_path / "few.jsonl", cells)
    assert len(load_cells(path)) == 12
    shown = [row[:4] for row in parse(results.report(path))[1:]]
    assert shown == [["50", name, "6", "0.6000"] for name in ("baseline", "llrd")]
    with pytest.raises(DataError, match="stands already"):
        load_cells(write(tmp_path / "twice.jsonl", [*cells, cells[0]]))


# ---------------------------------------------------------------------------- numbers that are shown, recomputed


def shown_tables():
    """Every place in the project that shows rows of the committed table: (name, text)."""
    for path in (ROOT / "notebooks").glob("07_*.ipynb"):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        outputs = [o for c in notebook["cells"] if c["cell_type"] == "code" for o in c["outputs"]]
        yield "notebook 07", "".join("".join(o.get("text", "")) for o in outputs)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    yield from (("README", block) for block in re.findall(r"<!-- results -->(.*?)<!-- /results -->", readme, re.S))


def test_every_row_shown_is_recomputed_from_the_committed_cells():
    shown = [(where, row) for where, text in shown_tables() for row in parse(text)]
    assert shown, "the README shows the table between <!-- results --> and <!-- /results -->"
    reported = [COMMITTED, *(COMMITTED.with_name(f"{name}.jsonl") for name in ("pairs", "clear"))]
    known = [row for path in reported if path.exists() for row in parse(results.report(path))]
    few = COMMITTED.with_name("few_samples.jsonl")
    if few.exists():  # its column of failed runs depends on what guessing scores
        known += parse(results.few_sample_table(few, guessing=guessing_score())[1])
    references = load_references(COMMITTED.with_name("references.jsonl"))
    for study, file in (("snippets", "snippets"), ("passages", "passages_plan"), ("passages 200", "passages_200_plan")):
        cells = load_cells(COMMITTED.with_name(f"{file}.jsonl"))
        known += parse(confirmation_text(confirmation(cells, references[references["study"] == study])))
    wrong = [f"{where}: {' | '.join(row)}" for where, row in shown if row not in known]
    assert not wrong, "run `make notebooks`:\n" + "\n".join(wrong)


def guessing_score():
    """RMSE of predicting the mean of the training part, in the mean over the folds."""
    data = ft.load_data("passages")
    splits = [data.split(fold) for fold in range(data.num_folds)]
    errors = [data.targets[s.test] - data.targets[s.train].mean() for s in splits]
    return float(np.mean([np.sqrt(np.mean(e**2)) for e in errors]))
