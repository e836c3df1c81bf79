"""A search for a better recipe: TPE proposes values (Bergstra et al. 2011), hopeless runs are cut short.

    found = ft.find_recipe({"layer_decay": (0.6, 1.0), "reinit_layers": (0, 4)}, ft.Recipe(), data, trials=30)
    found.recipe, found.trials

It selects on validation scores, as every choice must; what the winner is worth, only the test set can say, once.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from ftlab.callbacks import Callback
from ftlab.data import Data
from ftlab.errors import RecipeError
from ftlab.evaluate import METRICS
from ftlab.history import HIGHER_IS_BETTER, History
from ftlab.recipe import Recipe
from ftlab.study.queue import quiet_optuna, whole_numbers
from ftlab.study.storage import Storage, open_storage
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
    seed: one worker alone proposes the same values every time; several never repeat one another's draws.

    Raises RecipeError for an unknown field, a value that the field refuses, folds that name none, or the name of a
    search whose scores do not compare with these; DataError for a fold that is not there.
    """
    say = report or (lambda line: None)
    study, database = open_search(
        space, base, data, folds=folds, storage=storage, name=name, prune=prune, seed=seed, report=report
    )

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

    def finished() -> int:
        return sum(t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in study.get_trials(deepcopy=False))

    with quiet_optuna():
        while finished() < trials:
            optuna.storages.fail_stale_trials(study)
            trial = study.ask()
            score, state = None, TrialState.FAIL
            with database.alive(trial._trial_id):
                try:
                    score, state = objective(trial), TrialState.COMPLETE
                except optuna.TrialPruned:
                    state = TrialState.PRUNED
                except UpdateFinishedTrialError:
                    pass  # held for dead, because the machine slept, say
                finally:
                    study.tell(trial, score, state, skip_if_finished=True)
            say(f"{name} {trial.number + 1}: {trial.params}: {'cut short' if score is None else f'{score:.4f}'}")
    if not any(t.state == TrialState.COMPLETE for t in study.trials):
        raise RecipeError(f"space: none of {len(study.trials)} trials reached its end; widen the ranges or the trials")
    rows = [
        {**t.params, "score": t.value if t.state == TrialState.COMPLETE else None, "state": t.state.name.lower()}
        for t in study.trials
    ]
    return Found(base.but(**study.best_params), float(study.best_value), rows)


def open_search(
    space: Space,
    base: Recipe,
    data: Data,
    *,
    folds: Sequence[int] = (0,),
    storage: str = "sqlite:///ftlab-search.db",
    name: str = "search",
    prune: bool = True,
    seed: int = 0,
    report: Callable[[str], None] | None = print,
) -> tuple[optuna.Study, Storage]:
    """Check the arguments of `find_recipe`, and open its search in the database without a trial.

    Raises what `find_recipe` raises.
    """
    for field, values in space.items():
        for value in _corners(field, values):
            base.but(**{field: value})
    folds = whole_numbers("folds", folds)
    for fold in folds:
        data.split(fold)
    database = open_storage(storage)
    if report is not None:
        database.report = lambda line: report(f"{name}: {line}")
    with quiet_optuna():
        study = optuna.create_study(
            storage=database,
            study_name=name,
            load_if_exists=True,
            direction="maximize" if HIGHER_IS_BETTER[METRICS[data.task]] else "minimize",
            sampler=_SeededByTrial(seed),
            pruner=optuna.pruners.MedianPruner() if prune else optuna.pruners.NopPruner(),
        )
    fixed = {f"recipe.{field}": value for field, value in base.to_dict().items() if field not in space}
    _same_search(study, {"data": data.fingerprint, "folds": folds, **conditions(), **fixed})
    return study, database


class _SeededByTrial(optuna.samplers.BaseSampler):
    """TPE with a random state of its own for each trial, drawn from the seed and the trial's number.

    So two workers, or one that goes on with a search, draw other values than the trials before; values that another
    worker is trying now count as bad ones (constant liar), so that TPE proposes no neighbours of them.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        seed = np.random.SeedSequence([self.seed, trial.number]).generate_state(1)[0]
        self.tpe = optuna.samplers.TPESampler(seed=int(seed), constant_liar=True)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}  # TPE proposes one field after the other

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: Any) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self.tpe.sample_independent(study, trial, param_name, param_distribution)


def _same_search(study: optuna.Study, expected: dict[str, Any]) -> None:
    """Note what all trials of a search have in common, or refuse to go on with another; ranges may change."""
    saved = study.user_attrs.get("common")
    if saved is None:
        study.set_user_attr("common", expected)
        return
    expected = json.loads(json.dumps(expected))  # as the storage gives it back
    differing = [key for key in expected if key in saved and saved[key] != expected[key]]
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
