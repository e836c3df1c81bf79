"""A search for a better recipe: TPE proposes values (Bergstra et al. 2011), hopeless runs are cut short.

    found = ft.find_recipe({"layer_decay": (0.6, 1.0), "reinit_layers": (0, 4)}, ft.Recipe(), data, trials=30)
    found.recipe, found.trials

It selects on validation scores, as every choice must; what the winner is worth, only the test part can say, once.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState

from ftlab.callbacks import Callback
from ftlab.data import Data
from ftlab.errors import RecipeError
from ftlab.evaluate import METRICS
from ftlab.history import HIGHER_IS_BETTER, History
from ftlab.recipe import Recipe
from ftlab.study.queue import open_storage, quiet_optuna
from ftlab.trainer import conditions, fit

Space = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Found:
    """The outcome of a search. recipe: the best one; score: its mean validation score, which flatters. trials: one
    dictionary a trial in their order, with its values, `score` (None if cut short) and `state`."""

    recipe: Recipe
    score: float
    trials: list[dict[str, Any]]


def find_recipe(
    space: Space,
    base: Recipe,
    data: Data,
    *,
    trials: int = 20,
    folds: Sequence[int] = (0,),
    storage: str = "sqlite:///ftlab-search.db",
    name: str = "search",
    prune: bool = True,
    seed: int = 0,
    report: Callable[[str], None] | None = print,
) -> Found:
    """Search for the recipe with the best mean validation score over `folds`.

    space: {field: values}. (low, high) of two numbers is a range, of whole numbers if both are; (low, high, "log") one
    on a logarithmic scale; a list holds choices. trials: finished or cut short, in all, over all the workers that share
    the storage; a search that goes on counts those it has. prune: stop a run whose validation score lies behind the
    median of earlier runs at the same step. The tree-structured Parzen estimator (TPE) begins with ten random trials.

    Raises RecipeError for an unknown field, a value that the field refuses, or the name of a search whose scores do not
    compare with these; DataError for a fold that is not there.
    """
    for field, values in space.items():
        for value in _corners(field, values):
            base.but(**{field: value})
    for fold in folds:
        data.split(fold)
    with quiet_optuna():
        study = optuna.create_study(
            storage=open_storage(storage),
            study_name=name,
            load_if_exists=True,
            direction="maximize" if HIGHER_IS_BETTER[METRICS[data.task]] else "minimize",
            sampler=optuna.samplers.TPESampler(seed=seed),
            pruner=optuna.pruners.MedianPruner() if prune else optuna.pruners.NopPruner(),
        )
    fixed = {f"recipe.{field}": value for field, value in base.to_dict().items() if field not in space}
    _same_search(study, {"data": data.fingerprint, "folds": list(folds), **conditions(), **fixed})
    say = report or (lambda line: None)

    def objective(trial: optuna.Trial) -> float:
        try:
            recipe = base.but(**{field: _suggest(trial, field, values) for field, values in space.items()})
        except RecipeError as error:  # two fields that exclude each other
            raise optuna.TrialPruned(str(error)) from None
        done: list[float] = []
        for fold in folds:
            pruning = _Pruning(trial, done)
            run = fit(recipe, data, fold=fold, live=False, callbacks=[pruning], stop=pruning.stop)
            if pruning.stop.is_set():
                raise optuna.TrialPruned("behind the median")
            if run.status == "interrupted":
                raise KeyboardInterrupt
            if run.best_score is None:
                raise optuna.TrialPruned(run.status)
            done.append(run.best_score)
        return float(np.mean(done))

    def after(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        score = "cut short" if trial.value is None else f"{trial.value:.4f}"
        say(f"{name} {trial.number + 1}: {trial.params}: {score}")
        if sum(t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in study.get_trials(deepcopy=False)) >= trials:
            study.stop()

    finished = sum(t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in study.trials)
    if finished < trials:
        with quiet_optuna():
            study.optimize(objective, n_trials=trials - finished, callbacks=[after])
    if not any(t.state == TrialState.COMPLETE for t in study.trials):
        raise RecipeError(f"space: none of {len(study.trials)} trials reached its end; widen the ranges or the trials")
    rows = [{**t.params, "score": t.value, "state": t.state.name.lower()} for t in study.trials]
    return Found(base.but(**study.best_params), float(study.best_value), rows)


def _same_search(study: optuna.Study, wanted: dict[str, Any]) -> None:
    """Note what all trials of a search have in common, or refuse to go on with another; ranges may change."""
    saved = study.user_attrs.get("common")
    if saved is None:
        study.set_user_attr("common", wanted)
        return
    wanted = json.loads(json.dumps(wanted))  # as the storage gives it back
    differing = [key for key in wanted if key in saved and saved[key] != wanted[key]]
    if differing:
        raise RecipeError(
            f"name: {study.study_name!r} in this storage is another search; these differ: {', '.join(differing)}. "
            "Choose another name"
        )


class _Pruning(Callback):
    """Report each validation score to Optuna; stop the run once it is behind."""

    def __init__(self, trial: optuna.Trial, done: Sequence[float]) -> None:
        self.trial, self.done = trial, done
        self.stop = threading.Event()

    def on_evaluate(self, history: History) -> None:
        """Report the best score so far, averaged with the folds that are done."""
        if history.best is None:
            return
        score = float(np.mean([*self.done, history.best["score"]]))
        self.trial.report(score, len(self.done) * history.total_steps + history.evals[-1]["step"])
        if self.trial.should_prune():
            self.stop.set()


def _is_range(values: Sequence[Any]) -> bool:
    numbers = values[:2]
    plain = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in numbers)
    return isinstance(values, tuple) and plain and len(numbers) == 2 and tuple(values[2:]) in ((), ("log",))


def _corners(field: str, values: Sequence[Any]) -> Sequence[Any]:
    """Return the values whose validity decides: the ends of a range, or every choice."""
    if isinstance(values, tuple):
        if not _is_range(values) or values[0] >= values[1]:
            raise RecipeError(f'{field}: {values!r} is no range; give (low, high), (low, high, "log") or a list')
        if len(values) == 3 and values[0] <= 0:
            raise RecipeError(f"{field}: {values!r} is no range on a logarithmic scale; let it begin above 0")
        return values[:2]
    if not isinstance(values, list) or not values:
        raise RecipeError(f"{field}: {values!r} is neither a range nor a list of choices")
    return values


def _suggest(trial: optuna.Trial, field: str, values: Sequence[Any]) -> Any:
    if not isinstance(values, tuple):
        return trial.suggest_categorical(field, values)
    low, high, log = values[0], values[1], len(values) == 3
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(field, low, high, log=log)
    return trial.suggest_float(field, low, high, log=log)
