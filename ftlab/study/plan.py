"""The plan of the study, fixed before its first run: arms, draws, rows, sizes, and which cells that makes.

    for study, cell in cells("tune arms", frozen): ...
    Study(confirming("passages", frozen), load_data("passages"), name="passages", out=...).run()

`data/results/PLAN.md` is the same in words. Every arm has the same number of draws over its own parameter and the
learning rate, the baseline too; draws are judged on rows that confirm nothing; then everything is frozen. A test holds
the plan against the committed cells.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ftlab.errors import DataError
from ftlab.recipe import Recipe
from ftlab.study.first_edition import FIRST_EDITION
from ftlab.study.train import Cell

DRAWS = 8
DRAW_SEED = 20261127
BASES = [
    {"head": head, "epochs": epochs, "lr": lr}
    for head in ("auto", "mean", "mix")
    for epochs in (4, 8)
    for lr in (1e-4, 2e-4, 4e-4)
]
"""What the baseline is chosen among: head, epochs, learning rate."""
LENGTHS = {"passages": 256, "snippets": 64, "clear": 256}
"""Tokens kept of a text."""
ARMS = ("baseline", "llrd", "warmup", "reinit", "swa", "head_start", "all")
TUNED = {"snippets": ARMS, "passages": ARMS, "clear": ("baseline", "all")}
PRIMARY = ("snippets", "all", "baseline")
"""The primary contrast: study, arm, arm that it is compared with."""
CURVE = {"snippets": (50, 200, 432, 1000, 2000, 4900), "clear": (50, 200, 432, 1000)}
FEW = (50, 100, 200)
FEW_ARMS: Mapping[str, Mapping[str, Any]] = {
    "baseline": {},
    "reinit": {"reinit_layers": 2},
    "llrd": {"layer_decay": 0.9},
    "longer": {"epochs": 3},  # times the baseline's
    "head_start": {"head_init": "probe"},
    "bertadam": {"optimizer": "bertadam"},
    "bertadam+warmup": {"optimizer": "bertadam", "warmup": 0.1},
    "bertadam+warmup+low_lr": {"optimizer": "bertadam", "warmup": 0.1, "lr": 0.1},  # times the baseline's
}
STAGES = ("tune base", "tune arms", "confirm")
Frozen = Mapping[str, Any]
"""{"base": {data: fields}, "arms": {data: {arm: fields}}}: what the tuning stages have chosen."""


def draws(arm: str, epochs: int) -> list[dict[str, Any]]:
    """Return an arm's draws: the learning rate, log-uniform, and its own parameters; the same whenever it is called."""
    generator = np.random.default_rng([DRAW_SEED, *arm.encode()])
    found = []
    for _ in range(DRAWS):
        lr = float(f"{math.exp(generator.uniform(math.log(5e-5), math.log(1e-3))):.2g}")
        own = {
            "layer_decay": round(float(generator.uniform(0.6, 0.95)), 2),
            "warmup": round(float(generator.uniform(0.05, 0.3)), 2),
            "reinit_layers": int(generator.integers(1, 4)),
            "swa_start": float(epochs * generator.choice([0.5, 0.75])),
            # a constant, reasonably high learning rate, as Izmailov et al. (2018) ask, or each layer's own kept
            "swa_lr": [None, lr, lr / 2][int(generator.integers(3))],
        }
        mine = {
            "baseline": (),
            "llrd": ("layer_decay",),
            "warmup": ("warmup",),
            "reinit": ("reinit_layers",),
            "swa": ("swa_start", "swa_lr"),
            "head_start": (),
            "all": ("layer_decay", "warmup", "reinit_layers", "swa_start", "swa_lr"),
        }[arm]
        found.append({"lr": lr, **{name: own[name] for name in mine}})
        if arm == "head_start":
            found[-1]["head_init"] = "probe"
    return found


def base_recipe(data: str, fields: Mapping[str, Any]) -> Recipe:
    """Make a recipe of the plan: every technique off, the fields given, the length that suits the data."""
    return Recipe(**{**FIRST_EDITION, "max_length": LENGTHS[data], **fields})


def cells(stage: str, frozen: Frozen | None = None) -> Iterator[tuple[str, Cell]]:
    """Yield (study, cell) for every cell of a stage, in the order in which they are to be trained.

    A study is a data set's name, or that name and what is asked of it ("snippets curve"). The seed of a block or a fold
    is its own, 1000 + block or 1000 x (split + 1) + fold, for all arms and sizes; samples and seeds are crossed where
    there are few samples. Raises DataError for a stage that is not in STAGES, or one that needs what the stages before
    have chosen.
    """
    if stage not in STAGES:
        raise DataError(f"stage: {stage!r} is unknown; the stages are {', '.join(STAGES)}")
    if stage != STAGES[0] and not frozen:
        raise DataError(f"frozen: stage {stage!r} needs what the stages before it have chosen")
    if stage == "tune base":
        for data, places in (("snippets", [(f"tune/{b}", None, 0) for b in range(2)]),
                             ("passages", [("tune", 0, f) for f in range(2)])):  # fmt: skip
            for i, fields in enumerate(BASES):
                for rows, split, fold in places:
                    recipe = base_recipe(data, {**fields, "seed": fold})
                    yield f"{data} base", Cell(f"base {i}", recipe, fold, split=split, rows=rows)
    elif stage == "tune arms":
        places = {
            "snippets": [(f"tune/{block}", None, 0) for block in range(3)],
            "passages": [("tune", 0, fold) for fold in range(3)],
            "clear": [("tune", 0, fold) for fold in range(2)],
        }
        for data, arms in TUNED.items():
            base = _base(frozen)
            for arm in arms:
                for i, fields in enumerate(draws(arm, base["epochs"])):
                    for rows, split, fold in places[data]:
                        recipe = base_recipe(data, {**base, **fields, "seed": fold})
                        yield f"{data} arms", Cell(f"{arm} {i}", recipe, fold, split=split, rows=rows)
    else:
        yield from _confirming(frozen)


def confirming(study: str, frozen: Frozen) -> list[Cell]:
    """Return the cells of one confirming study, such as "passages 200". Raises DataError for an unknown name."""
    found: dict[str, list[Cell]] = {}
    for name, cell in cells("confirm", frozen):
        found.setdefault(name, []).append(cell)
    if study not in found:
        raise DataError(f"plan: {study!r} is no study of it; its studies: {', '.join(found)}")
    return found[study]


def data_of(study: str) -> str:
    """Name the data set of a confirming study: "few samples" are of `passages`."""
    return next((name for name in LENGTHS if study.startswith(name)), "passages")


def _confirming(frozen: Frozen) -> Iterator[tuple[str, Cell]]:
    def recipe(data: str, arm: str, seed: int, **more: Any) -> Recipe:
        return base_recipe(data, {**_base(frozen), **frozen["arms"][data][arm], **more, "seed": seed})

    for block in range(10):
        for arm in ARMS:
            yield "snippets", Cell(arm, recipe("snippets", arm, 1000 + block), 0, rows=f"confirm/{block}")
    for split in range(4):
        for fold in range(5):
            for arm in ARMS:
                cell = Cell(arm, recipe("passages", arm, 1000 * (split + 1) + fold), fold, 200, None, split, "confirm")
                yield "passages 200", cell
    for split in range(2):
        for fold in range(5):
            for arm in ARMS:
                yield "passages", Cell(arm, recipe("passages", arm, 1000 * (split + 1) + fold), fold, None, None, split,
                                       "confirm")  # fmt: skip
    for fold in range(5):
        for arm in TUNED["clear"]:
            yield "clear", Cell(arm, recipe("clear", arm, 1000 + fold), fold, split=0, rows="confirm")
    for data, sizes in CURVE.items():
        for n in sizes:
            for split in range(3):
                for arm in ("baseline", "all"):
                    cell = Cell(arm, recipe(data, arm, 1000 * (split + 1)), 0, n, None, split, "confirm")
                    yield f"{data} curve", cell
    base = base_recipe("passages", {**_base(frozen), **frozen["arms"]["passages"]["baseline"]})
    for n in FEW:
        for sample in range(4):
            for seed in range(3):
                for arm, fields in FEW_ARMS.items():
                    changed = dict(fields)
                    if "epochs" in changed:
                        changed["epochs"] = 3 * base.epochs
                    if "lr" in changed:
                        changed["lr"] = base.lr / 10
                    yield "few samples", Cell(arm, base.but(**changed, seed=seed), 0, n, sample, 0, "confirm")


def _base(frozen: Frozen) -> dict[str, Any]:
    return {name: frozen["base"][name] for name in ("head", "epochs")}


def choose_base(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Choose head, epochs and learning rate: the least mean over data sets of the score over that set's best.

    records: results of the cells of "tune base". The score is the test score of tuning rows, on which no checkpoint was
    selected. A run without a score counts as guessing (the largest score there is).
    """
    means = _means(records)
    relative = []
    for i in range(len(BASES)):
        by_data = [scores.get(f"base {i}", math.inf) / min(scores.values()) for scores in means.values()]
        relative.append(float(np.mean(by_data)))
    return {**BASES[int(np.argmin(relative))], "relative": min(relative)}


def choose_arms(records: Iterable[Mapping[str, Any]], base: Mapping[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """Choose each arm's draw by its mean test score on the tuning rows: {data: {arm: fields}}."""
    chosen: dict[str, dict[str, dict[str, Any]]] = {}
    for data, scores in _means(records).items():
        for arm in TUNED[data]:
            means = [scores.get(f"{arm} {i}", math.inf) for i in range(DRAWS)]
            best = int(np.argmin(means))
            chosen.setdefault(data, {})[arm] = draws(arm, base["epochs"])[best]
    return chosen


def _means(records: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Average the score of each recipe by data set; lower is better. A recipe without a cell is not in it."""
    scores: dict[str, dict[str, list[float]]] = {}
    for record in records:
        score = record["test"] if record["swa_test"] is None else record["swa_test"]
        score = math.inf if score is None or not math.isfinite(score) else score
        scores.setdefault(record["data"], {}).setdefault(record["name"], []).append(score)
    return {data: {name: float(np.mean(v)) for name, v in names.items()} for data, names in scores.items()}
