"""The search for a recipe: reproducible, continued only as what it was, and no worker repeats another's trials."""

from types import SimpleNamespace

import numpy as np
import pytest

import ftlab as ft
from ftlab.study import search

SPACE = {"lr": (1e-5, 1e-3, "log"), "layer_decay": (0.6, 1.0)}


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setenv("FTLAB_PRESET", "tiny")


@pytest.fixture(scope="module")
def data():
    return ft.load_data("passages")


@pytest.fixture
def quick(monkeypatch):
    """Trials without training: the score is a bowl over the values; what is appended to `before` runs within one."""
    before = []

    def fit(recipe, data, **options):
        if before:
            before.pop()()
        return SimpleNamespace(status="completed", best_score=(recipe.layer_decay - 0.8) ** 2 + abs(recipe.lr - 1e-4))

    monkeypatch.setattr(search, "fit", fit)
    return before


def values(found):
    return [(t["lr"], t["layer_decay"]) for t in found.trials]


def searched(data, folder, trials, **changes):
    storage = {"storage": f"sqlite:///{folder}/s.db", "report": None}
    return ft.find_recipe(SPACE, ft.Recipe(), data, trials=trials, **{**storage, **changes})


def test_one_worker_proposes_the_same_values_every_time_and_after_a_break(data, quick, tmp_path):
    """The first ten are random, the later ones are TPE's; a search that goes on does not begin its draws again."""
    for name in "abc":
        (tmp_path / name).mkdir()
    whole = values(searched(data, tmp_path / "a", 14))
    assert values(searched(data, tmp_path / "b", 14)) == whole
    searched(data, tmp_path / "c", 4)
    searched(data, tmp_path / "c", 11)
    assert values(searched(data, tmp_path / "c", 14)) == whole
    assert len(set(whole)) == 14
    (tmp_path / "d").mkdir()
    assert not set(values(searched(data, tmp_path / "d", 14, seed=1))) & set(whole)


def test_workers_do_not_repeat_one_anothers_trials(data, quick, tmp_path):
    """A second worker starts while the first is in its first trial, and again in a later one; both with one seed."""
    quick.append(lambda: searched(data, tmp_path, 3))
    first = searched(data, tmp_path, 8)
    quick.append(lambda: searched(data, tmp_path, 14))
    second = searched(data, tmp_path, 16)
    assert values(second)[:8] == values(first)
    assert len(set(values(second))) == len(second.trials) >= 16


def test_a_trial_that_is_held_for_dead_ends_alone(data, quick, tmp_path):
    """The machine slept: another worker has failed the trial meanwhile; the search goes on with the next."""
    lines = []

    def fail():
        study, _ = search.open_search(SPACE, ft.Recipe(), data, storage=f"sqlite:///{tmp_path}/s.db", report=None)
        study.tell(0, state=search.TrialState.FAIL)

    quick.append(fail)
    found = searched(data, tmp_path, 3, report=lines.append)
    assert [t["state"] for t in found.trials] == ["fail", "complete", "complete", "complete"]


def test_a_trial_that_is_cut_short_has_no_score(data, tmp_path, monkeypatch):
    def cut(recipe, data, *, callbacks, stop, **options):
        callbacks[0].trial.report(1.0, 1)
        stop.set()

    monkeypatch.setattr(search, "fit", cut)
    with pytest.raises(ft.RecipeError, match="none of 2 trials reached its end"):
        searched(data, tmp_path, 2)
    monkeypatch.setattr(search, "fit", lambda *a, **k: SimpleNamespace(status="completed", best_score=2.0))
    assert [t["score"] for t in searched(data, tmp_path, 3).trials] == [None, None, 2.0]


@pytest.mark.parametrize("folds", [[], (), 0, None, [0, 0], [0.5]])
def test_folds_that_name_none_are_refused(data, tmp_path, folds):
    with pytest.raises(ft.RecipeError, match="^folds: "):
        searched(data, tmp_path, 1, folds=folds)


def test_folds_may_be_numpys_numbers(data, quick, tmp_path):
    assert len(searched(data, tmp_path, 1, folds=np.arange(2)).trials) == 1


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"base": ft.Recipe(epochs=1, batch_size=8)}, "recipe.batch_size"),
        ({"folds": (1,)}, "folds"),
        ({"data": "few"}, "data"),
    ],
)
def test_a_search_goes_on_only_as_what_it_was(data, tmp_path, changes, words):
    """Scores of other data, folds or fixed fields are not compared with those that are there."""
    first = {"base": ft.Recipe(epochs=1), "data": data, "folds": (0,), "storage": f"sqlite:///{tmp_path}/s.db"}
    space = {"layer_decay": (0.6, 1.0)}
    assert len(ft.find_recipe(space, trials=1, report=None, **first).trials) == 1
    assert len(ft.find_recipe({"layer_decay": (0.5, 1.0)}, trials=2, report=None, **first).trials) == 2
    other = {**first, **changes, **({"data": data.few_samples(100)} if "data" in changes else {})}
    with pytest.raises(ft.RecipeError, match=f"name: 'search' .* another search; these differ: {words}"):
        ft.find_recipe(space, trials=3, report=None, **other)
