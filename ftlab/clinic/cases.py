"""The convergence clinic: eleven ways to break a short run, healthy ones to compare with, and their kept records.

Every case is one change, in the recipe or in the data, to the same short fine-tuning of a few passages. The records in
data/results/clinic.jsonl were made from these cases by tools/clinic_runs.py.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ftlab.data import Data, load_data
from ftlab.errors import CheckpointError, RecipeError
from ftlab.history import History
from ftlab.recipe import Recipe
from ftlab.schedules import preview
from ftlab.study.first_edition import FIRST_EDITION, recipe_of

if TYPE_CHECKING:
    from ftlab.run import Run

BASE = Recipe(**{**FIRST_EDITION, "max_length": 32, "batch_size": 8, "epochs": 3, "eval_every": 6})
"""The healthy run that every case breaks in one place: 36 steps on 96 passages, cut after 32 tokens."""
WORDS = 22  # about 30 tokens: what BASE keeps of a passage
PADS = 80


# ------------------------------------------------------------------------------------------------------- the data


def passages(seed: int) -> Data:
    """Draw 160 of the passages: 96 to train on, 32 to validate, 32 to test."""
    frame = load_data("passages").frame.sample(160, random_state=seed)
    return load_data(frame[["excerpt", "target"]], text="excerpt", target="target", seed=seed)


def two_examples(seed: int) -> Data:
    """Keep two training passages; validation and test stay whole."""
    return passages(seed).few_samples(2, seed)


def shuffled_targets(seed: int) -> Data:
    """Give every passage the target of another, as a wrong join or a wrongly sorted column does."""
    frame = passages(seed).frame
    frame["target"] = np.random.default_rng(seed).permutation(frame["target"].to_numpy())
    return load_data(frame, text="excerpt", target="target", seed=seed)


def two_classes(seed: int, share: float = 0.5) -> Data:
    """Ask only whether a passage is among the hardest `share` of all."""
    frame = passages(seed).frame
    hard = frame["target"].rank(method="first") <= share * len(frame)
    frame = frame.assign(label=np.where(hard, "hard", "easy")).sort_values("target")
    return load_data(frame[["excerpt", "label"]], text="excerpt", target="label", task="classification", seed=seed)


def rare_class(seed: int) -> Data:
    """Ask whether a passage is among the hardest 8 %; every fold has its share of both classes."""
    return two_classes(seed, share=0.08)


def rare_class_in_file_order(seed: int) -> Data:
    """Cut a file that is sorted by class into folds as it lies: one class of 8 % falls into a single fold."""
    data = rare_class(seed)
    folds = np.arange(len(data)) * data.num_folds // len(data)
    return dataclasses.replace(data, folds=folds, fingerprint=f"{data.fingerprint} in file order")


def padded_to_evaluate(seed: int) -> Data:
    """Pad validation and test texts, not the training texts, with tokens that the attention mask does not hide.

    So it happens where training pads to the batch and prediction to a fixed length, and the mask is forgotten there.
    """
    plain = passages(seed)
    texts = [" ".join(text.split()[:WORDS]) for text in plain.texts]
    split = plain.split(0)
    for row in (*split.validation, *split.test):
        texts[row] += " [PAD]" * PADS
    return load_data(plain.frame.assign(excerpt=texts), text="excerpt", target="target", seed=seed)


# ------------------------------------------------------------------------------------------------------ the cases


@dataclass(frozen=True)
class Case:
    """One way to break the run, or to leave it healthy.

    changes: fields of the recipe. data: seed -> Data. complaint: what its owner says. illness: the first finding that
    `diagnose` should have; None for a healthy run. repaired: the data without their fault; the same where they have
    none.
    """

    changes: Mapping[str, Any] = field(default_factory=dict)
    data: Callable[[int], Data] = passages
    complaint: str = ""
    illness: str | None = None
    repaired: Callable[[int], Data] = passages

    def recipe(self, seed: int = 0) -> Recipe:
        """Return the case's recipe."""
        return BASE.but(**self.changes, seed=seed)


CASES: Mapping[str, Case] = {
    "rate 5e-3": Case(
        {"lr": 5e-3},
        complaint="I took the rate that trained my last network from scratch. The loss went up before it came down.",
        illness="diverged",
    ),
    "two examples": Case(
        {"batch_size": 1, "epochs": 16, "eval_every": 8},
        two_examples,
        complaint="The training loss is 0.00! But it is useless on anything I show it.",
        illness="too few examples",
    ),
    "plain SGD at 2e-5": Case(
        {"optimizer": "sgd", "lr": 2e-5, "weight_decay": 0.0},
        complaint="2e-5 is the rate everybody uses. Nothing happens.",
        illness="too slow",
    ),
    "batch of one": Case(
        {"batch_size": 1, "epochs": 1, "eval_every": 16},
        complaint="My memory is small. The loss jumps about like mad.",
        illness="oscillating",
    ),
    "batch too large": Case(
        {"batch_size": 96, "eval_every": None},
        complaint="My memory is large, so I use it. Three epochs, and it has learned next to nothing.",
        illness="too slow",
    ),
    "no warm-up": Case(
        {"lr": 3e-4, "optimizer": "bertadam"},
        complaint="A fresh head, BertAdam as in the old script, its warm-up left out. Every text gets the same answer.",
        illness="plateau at the mean predictor",
    ),
    "labels shuffled": Case(
        {"epochs": 6, "eval_every": 12},
        shuffled_targets,
        complaint="I merged two tables. Training goes well, validation gets worse from the first evaluation on.",
        illness="label noise or bug",
    ),
    "frozen backbone": Case(
        {"group_lrs": (0.0,), "head_lr": 2e-4},
        complaint="I train the head only, to save time. It crawls.",
        illness="too slow",
    ),
    "class imbalance, not stratified": Case(
        {},
        rare_class_in_file_order,
        complaint="Two classes, accuracy 1.00 at every evaluation. Then the test set.",
        illness="collapsed predictions",
        repaired=rare_class,
    ),
    "padding attended to": Case(
        {"head": "mean", "max_length": 112},
        padded_to_evaluate,
        complaint="The curves are fine. In use, every prediction lies near the middle.",
        illness="label noise or bug",
    ),
    "too many epochs": Case(
        {"epochs": 8, "eval_every": None},
        two_classes,
        complaint="I let it train until the training loss was 0. It is surer than ever, and it is not better.",
        illness="overfitting",
        repaired=two_classes,
    ),
}
"""The broken runs."""

HEALTHY: Mapping[str, Case] = {
    "healthy": Case(),
    "healthy, warm-up": Case({"warmup": 0.1}),
    "healthy, layer-wise decay": Case({"layer_decay": 0.9}),
    "healthy, mean head": Case({"head": "mean"}),
    "healthy, cosine": Case({"schedule": "cosine", "warmup": 3}),
    "healthy, batches of 16": Case({"batch_size": 16, "epochs": 5, "eval_every": None}),
    "healthy, RMSE loss": Case({"loss": "rmse", "dropout": 0.1}),
    "healthy, two classes": Case({"eval_every": 9}, two_classes),
}
"""Short runs that nothing is wrong with."""


def start(name: str, seed: int = 0, live: bool | str = False, **changes: Any) -> Run:
    """Train a case for real and return its run; `changes` to its recipe are for trying a remedy.

    Raises RecipeError for an unknown case or field.
    """
    from ftlab.trainer import fit

    case = find(name)
    return fit(case.recipe(seed).but(**changes), case.data(seed), live=live)


def find(name: str) -> Case:
    """Return a case by its name. Raises RecipeError for an unknown one."""
    cases = {**CASES, **HEALTHY}
    if name not in cases:
        raise RecipeError(f"case: {name!r} is unknown; there are {', '.join(cases)}")
    return cases[name]


# ---------------------------------------------------------------------------------------------------- the records


@dataclass(frozen=True)
class KeptRun:
    """The kept record of a run: what `diagnose` reads of a run, without the model.

    illness: the first finding that `diagnose` should have; None for a healthy run. targets, predictions: of the set
    `scored`; None where they were not kept. dose: how much of the mistake was made ("lr 1e-3"); empty where it is what
    the case says.
    """

    case: str
    seed: int
    recipe: Recipe
    status: str
    history: History
    targets: np.ndarray | None = None
    predictions: np.ndarray | None = None
    illness: str | None = None
    complaint: str = ""
    scored: str = "test"
    dose: str = ""


def to_line(name: str, run: Run, dose: str = "") -> str:
    """Write a run of a case as one line of JSON; rates are left out, since the recipe decides them.

    Targets and predictions that were not kept are null. dose: how much of the mistake was made, where that is not what
    the case says.
    """
    history = run.history
    kept = ("step", "epoch", "score", "loss", "accuracy", "best")
    values = {
        "case": name,
        "seed": run.recipe.seed,
        "recipe": {field: new for field, (_, new) in run.recipe.diff(BASE).items() if field != "seed"},
        "status": run.status,
        "metric": history.metric,
        "steps_per_epoch": history.steps_per_epoch,
        "loss": _rounded(history.loss),
        "grad_norm": _rounded(history.grad_norm),
        "evals": [
            {key: _rounded(e[key]) if isinstance(e[key], float) else e[key] for key in kept if key in e}
            for e in history.evals
        ],
        "targets": _rounded(run.targets),
        "predictions": _rounded(run.predictions),
    }
    return json.dumps(values | ({"dose": dose} if dose else {}))


def load(path: str | Path) -> list[KeptRun]:
    """Read the records of a file written line by line with `to_line`. Raises CheckpointError naming a damaged line."""
    return _read_lines(path, _kept)


def load_study(path: str | Path) -> list[KeptRun]:
    """Read the runs of the study behind notebook 07 as healthy runs, without their predictions.

    Raises CheckpointError naming a damaged line.
    """
    return _read_lines(path, _from_study)


def _read_lines(path: str | Path, read: Callable[[dict[str, Any]], KeptRun]) -> list[KeptRun]:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error})") from None
    runs = []
    for i, line in enumerate(lines, start=1):
        try:
            runs.append(read(json.loads(line)))
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path}, line {i}: not the record of a run ({error!r})") from None
    return runs


def _kept(values: dict[str, Any]) -> KeptRun:
    case = find(values["case"])
    recipe = BASE.but(**values["recipe"], seed=values["seed"])
    arrays = {k: None if values[k] is None else np.array(values[k]) for k in ("targets", "predictions")}
    return KeptRun(
        case=values["case"],
        seed=values["seed"],
        recipe=recipe,
        status=values["status"],
        history=_history(values, recipe, values["evals"]),
        illness=case.illness,
        complaint=case.complaint,
        dose=values.get("dose", ""),
        **arrays,
    )


def _from_study(values: dict[str, Any]) -> KeptRun:
    recipe = recipe_of(values).but(seed=values["seed"])
    per_epoch = len(values["loss"]) // recipe.epochs
    evals = [
        {"step": e["step"], "epoch": e["step"] / per_epoch, "score": e["validation"], "best": False}
        | {"loss": e["validation"] ** 2}
        for e in values["evals"]
    ]
    history = _history({**values, "metric": "rmse", "steps_per_epoch": per_epoch}, recipe, evals)
    return KeptRun(f"{values['name']}, fold {values['fold']}", values["seed"], recipe, values["status"], history)


def _history(values: dict[str, Any], recipe: Recipe, evals: list[dict[str, Any]]) -> History:
    """Rebuild a history; its rates are what the recipe says, as they were when it ran."""
    schedule = preview(recipe, values["steps_per_epoch"])
    history = History(
        schedule.layers,
        metric=values["metric"],
        steps_per_epoch=values["steps_per_epoch"],
        total_steps=schedule.total_steps,
        swa_step=schedule.swa_step,
    )
    for loss, norm, rates in zip(values["loss"], values["grad_norm"], schedule.lr.tolist(), strict=False):
        history.append(loss=loss, grad_norm=norm, lr=rates, seconds=0.0)
    history.evals = [{**e, "seconds": 0.0} for e in evals]
    return history


def _rounded(values: Any) -> Any:
    """Keep six significant digits of a number or an array, as plain Python values; None stays None."""
    if values is None:
        return None
    if np.ndim(values) == 0:
        return float(f"{values:.6g}")
    return [value if isinstance(value, int) else float(f"{value:.6g}") for value in np.asarray(values).tolist()]
