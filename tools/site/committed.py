"""The runs that the explorer can show: cells of `data/results`, by size, recipe, fold and seed.

A schedule is computed by `ftlab.preview` from the recipe of the cell; losses and scores are the cell's own, rounded.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ftlab.lab.chart import smoothing_window
from ftlab.recipe import Recipe
from ftlab.schedules import preview
from ftlab.study import load_cells

RESULTS = Path(__file__).resolve().parents[2] / "data" / "results"
MOVED = ("schedule", "warmup", "layer_decay", "lr", "head_lr")
"""Fields that a control of the page moves; of all others a free setting has the baseline's."""
PASSAGES = "passages were written and rated by language models"
FIELDS = ("schedule", "warmup", "decay", "lr", "head", "layers")


@dataclass(frozen=True)
class Size:
    """A data set and a number of training rows, and the file whose cells were trained on them."""

    name: str
    file: str
    n_train: int | None
    note: str
    data: str
    """The Python that loads it, with `{place}` and `{seed}` of a run."""
    place: str = "fold"


SIZES = (
    Size("passages, 432 to train on", "techniques", None, PASSAGES, 'data = ft.load_data("passages")'),
    *(
        Size(f"passages, {n} to train on", "few_samples", n, PASSAGES,
             f'data = ft.load_data("passages").few_samples({n}, seed={{seed}})')
        for n in (50, 100, 200)
    ),
    Size("snippets, 432 to train on", "snippets", None, "sentences of film reviews, rated by people",
         "from ftlab.study.train import part_of\n"
         'data = part_of(ft.load_data("snippets"), "confirm/{place}")', place="block"),
)  # fmt: skip


@lru_cache
def load(file: str) -> pd.DataFrame:
    """Load the cells of a file of results."""
    return load_cells(RESULTS / f"{file}.jsonl")


@lru_cache
def cells_of(size: Size) -> pd.DataFrame:
    """Return a size's cells, with the fold or the block of each in the column `place`."""
    cells = load(size.file)
    cells = cells[cells["n_train"].isna() if size.n_train is None else cells["n_train"].eq(size.n_train).fillna(False)]
    place = cells["fold"] if size.place == "fold" else cells["rows"].str.rpartition("/")[2].astype(int)
    return cells.assign(place=place)


@lru_cache
def recipes(size: Size) -> dict[str, Recipe]:
    """Return a size's recipes by name with seed 0: the baseline first, then those that move only rates."""
    found = {name: group["recipe"].iloc[0].but(seed=0) for name, group in cells_of(size).groupby("name", sort=False)}
    baseline = found["baseline"]
    order = sorted(found, key=lambda name: (name != "baseline", not is_plain(found[name], baseline), name == "all"))
    return {name: found[name] for name in order}


def is_plain(recipe: Recipe, baseline: Recipe) -> bool:
    """Tell whether a recipe differs from the baseline only in what a control of the page moves."""
    return set(recipe.diff(baseline)) <= set(MOVED)


def size_data(size: Size, keep: Callable[[np.ndarray], int], position: Callable[[str, Any], Any]) -> dict[str, Any]:
    """Return what the page holds of a size.

    keep: stores an array that is shared and returns its number. position: of a control ("warmup"), for a value.
    """
    cells, known = cells_of(size), recipes(size)
    baseline = known["baseline"]
    places = {place: sorted(int(seed) for seed in set(group["seed"])) for place, group in cells.groupby("place")}
    base = {name: new for name, (_, new) in baseline.diff(Recipe()).items() if name not in (*MOVED, "seed")}
    return {
        "name": size.name,
        "note": size.note,
        "device": cells["device"].iloc[0] if "device" in cells else "CPU",
        "steps_per_epoch": steps_per_epoch(cells.iloc[0]),
        "base": [f"{name}={json.dumps(value)}" for name, value in base.items()],
        "python": size.data,
        "place": size.place,
        "places": {str(place): seeds for place, seeds in places.items()},
        "recipes": [
            {
                "name": name,
                "what": _what(recipe, baseline),
                "python": repr(recipe).replace("'", '"'),
                "plain": is_plain(recipe, baseline),
                "averages": recipe.swa_start is not None,
                "at": dict(zip(FIELDS, _positions(recipe, position), strict=True)),
                **_schedule(recipe, cells[cells["name"] == name], keep),
                "pairs": pairs(cells, name),
            }
            for name, recipe in known.items()
        ],
        "runs": {
            name: {f"{run['place']}/{run['seed']}": run_data(run) for run in group.to_dict("records")}
            for name, group in cells.groupby("name")
        },
    }


def steps_per_epoch(cell: Any) -> int:
    """Return a cell's optimizer updates an epoch."""
    whole, rest = divmod(len(cell["loss"]), cell["recipe"].epochs)
    assert not rest, cell["name"]
    return whole


def run_data(run: dict[str, Any]) -> list[list[float | None]]:
    """Return a run's loss at each step, validation RMSE at each evaluation, that of the averaged weights, and scores.

    Scores: validation as it was selected on, test, seconds.
    """
    evals = run["evals"]
    averaged = [e["swa_validation"] and short(e["swa_validation"], 6) for e in evals]
    return [
        [short(loss, 3) for loss in run["loss"]],
        [short(e["validation"], 6) for e in evals],
        averaged if any(averaged) else [],
        [round(run["selected"], 6), round(run["score"], 6), round(run["seconds"])],
    ]


def pairs(cells: pd.DataFrame, name: str) -> list[float]:
    """Return of all pairs with the baseline of the same fold and seed: how many, mean difference, how many lower."""
    score = cells.set_index(["name", "place", "seed"])["score"]
    apart = (score[name] - score["baseline"]).to_numpy()
    return [len(apart), round(float(apart.mean()), 6), int((apart < 0).sum())]


def short(value: float, digits: int) -> float:
    """Round to significant digits; a whole number as such, which takes less room."""
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded == int(rounded) else rounded


def _schedule(recipe: Recipe, cells: pd.DataFrame, keep: Callable[[np.ndarray], int]) -> dict[str, Any]:
    plan = preview(recipe, steps_per_epoch(cells.iloc[0]))
    return {
        "rates": [keep(column) for column in plan.lr.T],
        "warmup_steps": plan.warmup_steps,
        "swa_step": plan.swa_step,
        "window": smoothing_window(plan.total_steps),
        "evals": [e["step"] for e in cells["evals"].iloc[0]],
    }


def _what(recipe: Recipe, baseline: Recipe) -> str:
    """Say what a recipe changes: "layer_decay 0.9"."""
    return ", ".join(f"{name} {new}" for name, (_, new) in recipe.diff(baseline).items())


def _positions(recipe: Recipe, position: Callable[[str, Any], Any]) -> list[Any]:
    values = (recipe.schedule, recipe.warmup, recipe.layer_decay, recipe.lr, recipe.head_lr, recipe.model)
    return [position(name, value) for name, value in zip(FIELDS, values, strict=True)]
