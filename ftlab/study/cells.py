"""The cells of a study in a file, one line of JSON each: written, read back, checked, and made a table of."""

from __future__ import annotations

import json
import math
import numbers
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ftlab.errors import DataError, RecipeError
from ftlab.history import HIGHER_IS_BETTER
from ftlab.study.first_edition import recipe_of


def write_lines(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Write one line of JSON a record, under another name first, so that a crash leaves the old file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(prefix=f".{path.name[:60]}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(record, allow_nan=False) + "\n" for record in records)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def read_records(path: Path, here: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Read a study's file of cells: {key: record}.

    here: the present `ftlab.trainer.conditions()`. Raises DataError naming a line that is damaged or of others.
    """
    found: dict[str, dict[str, Any]] = {}
    if not path.exists():
        return found
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); give another file") from None
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line.decode("utf-8"))
            key, score, there = record["cell"], record["validation"], {name: record.get(name) for name in here}
            if not isinstance(key, str) or (score is not None and type(score) not in (int, float)):
                raise TypeError(f"its key is {key!r}, its validation score {score!r}")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise DataError(
                f"{path}, line {number}: not a cell of a study ({error!r}); delete the line, its cell is trained again"
            ) from None
        for name, value in here.items():
            if there[name] != value:
                raise DataError(
                    f"{path}, line {number}: a cell of {name}: {there[name]!r}, and now it is {value!r}; "
                    "give another file, so that their results do not mix"
                )
        found[key] = record
    return found


def load_cells(path: str | Path) -> pd.DataFrame:
    """Read the finished cells of a study, one line of JSON each, as a table of one row a cell.

    Beside the fields of the file: `recipe`, the whole Recipe; `score`, what the cell is judged by (the averaged
    weights' test score where the recipe averages, else that of the best checkpoint); `selected`, the validation score
    of the same weights; `looks`, among how many checkpoints they were chosen (0: averaged weights are not chosen);
    `failed`, whether the run diverged or has no score.

    Raises DataError naming file, line and field for a file that is missing or empty, a damaged line, a field that is
    missing or of the wrong kind, and a cell that stands there twice.
    """
    path = Path(path)
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); `make results` makes it") from None
    cells = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            values = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: not JSON ({error}); delete the line, its cell is trained again") from None
        cells.append((where, values))
    if not cells:
        raise DataError(f"{path}: holds no cell; `make results` trains them")
    return cells_frame(cells)


def _is_number(value: Any) -> bool:
    if isinstance(value, numbers.Integral):
        return not isinstance(value, bool) and abs(value) < 2**63
    return value is None or isinstance(value, numbers.Real)


def _is_count(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_look(value: Any) -> bool:
    if not isinstance(value, dict) or not {"step", "validation"} <= set(value) or not _is_count(value["step"]):
        return False
    return all(_is_number(value.get(name)) for name in ("validation", "swa_validation", "test"))


def _are_looks(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_look, value))


def _one_of(names: Iterable[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value in names


STATUSES = ("completed", "early_stopped", "diverged")
FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (lambda v: isinstance(v, str) and bool(v.strip()), "a recipe's name"),
    "changes": (lambda v: isinstance(v, dict), "an object of recipe fields"),
    "data": (lambda v: isinstance(v, str) and bool(v.strip()), "a data set's name"),
    "fold": (_is_count, "a whole number from 0"),
    "seed": (_is_count, "a whole number from 0"),
    "status": (_one_of(STATUSES), f"one of {', '.join(STATUSES)}"),
    "validation": (_is_number, "a number or null"),
    "test": (_is_number, "a number or null"),
    "swa_test": (_is_number, "a number or null"),
    "evals": (_are_looks, "a list of evaluations with step and validation"),
    "loss": (lambda v: isinstance(v, list), "a list of numbers"),
    "seconds": (_is_number, "a number or null"),
    "load_before": (_is_number, "a number or null"),
    "peak_memory_mib": (_is_number, "a number or null"),
}
OPTIONAL: dict[str, tuple[Callable[[Any], bool], str]] = {
    "recipe": (lambda v: v is None or isinstance(v, dict), "an object of all recipe fields"),
    "n_train": (lambda v: v is None or _is_count(v), "a whole number, or null for all training rows"),
    "metric": (_one_of(HIGHER_IS_BETTER), f"one of {', '.join(HIGHER_IS_BETTER)}"),
    "preset": (lambda v: v is None or isinstance(v, str), "a preset's name or null"),
    "mixed_precision": (lambda v: v is None or isinstance(v, str), "its name, such as bf16, or null for 32 bits"),
}
DEFAULTS = {"recipe": None, "n_train": None, "metric": "rmse", "preset": None, "mixed_precision": None}
WHOLE = ["data", "n_train", "metric", "preset", "mixed_precision"]
"""Cells that differ in one of these are results of different studies and are never put into one mean."""
PLACE = ["rows", "split", "sample", "fold", "seed"]
"""Where a recipe was trained: part, split and sample of the rows where a plan names them, fold, seed. One cell each."""


def cells_frame(cells: Iterable[tuple[str, Any]]) -> pd.DataFrame:
    """Check (where it stands, values) of each cell, add what follows from them, and make the table."""
    rows, seen = [], {}
    for where, values in cells:
        row = _checked(where, values)
        key = tuple(row.get(name) for name in [*WHOLE, "name", *PLACE])
        if key in seen:
            raise DataError(
                f"{where}: {row['name']!r} on fold {row['fold']} with seed {row['seed']} stands already at "
                f"{seen[key]}; keep one of them"
            )
        seen[key] = where
        rows.append(row)
    frame = pd.DataFrame(rows)
    frame["n_train"] = frame["n_train"].astype("Int64")
    return frame


def _checked(where: str, values: Any) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise DataError(f"{where}: holds a {type(values).__name__}, not a cell; delete it, its cell is trained again")
    row = {**DEFAULTS, **values}
    for name, (is_right, kind) in {**FIELDS, **OPTIONAL}.items():
        if name not in row:
            raise DataError(f"{where}: field {name!r} is missing; delete the cell, it is trained again")
        if not is_right(row[name]):
            raise DataError(f"{where}: field {name!r} is {row[name]!r}; expected: {kind}")
    kept = "changes" if row["recipe"] is None else "recipe"  # the first edition kept what differed from its defaults
    try:
        row["recipe"] = recipe_of(row).but(seed=row["seed"])
    except RecipeError as error:
        raise DataError(f"{where}: field {kept!r} makes no recipe ({error})") from None
    averages, looks = row["recipe"].swa_start is not None, row["evals"]
    last = looks[-1].get("swa_validation") if looks else None
    for name in ("validation", "test", "swa_test", "seconds", "load_before", "peak_memory_mib"):
        row[name] = _real(row[name])
    row["score"] = row["swa_test"] if averages else row["test"]
    row["selected"] = _real(last) if averages else row["validation"]
    row["looks"] = 0 if averages else len(looks)
    row["failed"] = row["status"] == "diverged" or math.isnan(row["score"])
    return row


def _real(value: float | None) -> float:
    return math.nan if value is None or not math.isfinite(value) else float(value)
