"""Choose the text and target columns of a table, infer the task, and check every value of both."""

from __future__ import annotations

import difflib
import math
import numbers
import warnings

import numpy as np
import pandas as pd

from ftlab.data.files import Table, is_unicode
from ftlab.errors import DataError

# Column names that are recognised, after lower-casing and turning spaces and hyphens into underscores.
TEXT_NAMES = ("excerpt", "text", "passage", "sentence", "content", "document", "review")
TARGET_NAMES = ("target", "score", "label", "labels", "rating", "class", "bt_easiness", "y")
ERROR_NAMES = ("standard_error", "s.e.", "se", "std_error", "stderr")

# Under these names whole numbers are class ids, as long as there are at most MAX_CLASS_IDS different ones.
CLASS_NAMES = ("label", "labels", "class")
MAX_CLASS_IDS = 20


def _normal(name: str) -> str:
    return name.strip().casefold().replace(" ", "_").replace("-", "_")


def choose_column(table: Table, role: str, wanted: str | None, known: tuple[str, ...]) -> str:
    """Return the column that holds the text or the target: the one named, or the one whose name is recognised."""
    present = list(table.frame.columns)
    if wanted is not None and not isinstance(wanted, str):
        raise DataError(f"{table.name}: {role} is {wanted!r}; give the name of a column")
    if wanted in present:
        return wanted
    names = known if wanted is None else (_normal(wanted),)
    found = [name for name in present if _normal(name) in names]
    if len(found) == 1:
        return found[0]
    if found:
        problem = (
            f"several columns may hold the {role}: {', '.join(map(repr, found))}. Say which, for example "
            f"load_data(..., {role}={found[0]!r})."
        )
    elif wanted is None:
        problem = (
            f"no column has one of the names recognised for the {role} ({', '.join(known)}). Say which holds "
            f"it, load_data(..., {role}=...)."
        )
    else:
        by_normal = {_normal(name): name for name in present}
        near = difflib.get_close_matches(_normal(wanted), by_normal, n=1)
        hint = f"; did you mean {by_normal[near[0]]!r}?" if near else "."
        problem = f"there is no column {wanted!r}{hint}"
    raise DataError(f"{table.name}: {problem} Columns present: {', '.join(map(repr, present))}")


def checked_texts(table: Table, column: str) -> list[str]:
    """Return a column's texts. Raises DataError naming the first row that holds none."""
    texts = table.frame[column].tolist()
    missing = [i for i, text in enumerate(texts) if _is_missing(text)]
    if missing:
        raise table.error(column, missing, "the text is empty", "Fill it in or delete the row")
    wrong = [i for i, text in enumerate(texts) if not isinstance(text, str)]
    if wrong:
        value = texts[wrong[0]]
        problem = f"expected a text, found {value!r} of type {type(value).__name__}"
        raise table.error(column, wrong, problem, "Make it a string, or name the right column with text=")
    broken = [i for i, text in enumerate(texts) if not is_unicode(text)]
    if broken:
        problem = "the text holds half a character (a lone UTF-16 surrogate)"
        raise table.error(column, broken, problem, "Repair or delete that character")
    return texts


def _is_missing(value: object) -> bool:
    if isinstance(value, str):
        return not value.strip()
    if value is None or value is pd.NA:
        return True
    return isinstance(value, (float, np.floating, type(pd.NaT))) and value != value  # NaN, NaT


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan
    except OverflowError:
        return math.inf


def infer_task(column: str, values: list) -> str:
    """Tell from a target column's values, and its name, whether they are classes or quantities."""
    present = [value for value in values if not _is_missing(value)]
    if not present:
        return "regression"
    words = sum(math.isnan(_number(value)) for value in present)
    if words > len(present) / 2 or all(isinstance(value, (bool, np.bool_)) for value in present):
        return "classification"
    if all(isinstance(value, numbers.Integral) for value in present):
        distinct = len(set(present))
        if distinct == 2 or (_normal(column) in CLASS_NAMES and distinct <= MAX_CLASS_IDS):
            return "classification"
    return "regression"


def regression_targets(table: Table, column: str, values: list) -> np.ndarray:
    """Return a column as float64 values. Raises DataError naming the first that is no finite number."""
    targets = np.array([_number(value) for value in values], dtype=np.float64)
    # Labels are float32 on their way to the model and must be finite there as well.
    bad = np.flatnonzero(~(np.abs(targets) <= np.finfo(np.float32).max))
    if not len(bad):
        return targets
    value = values[bad[0]]
    problem = f"the target {value!r} is not a number"
    remedy = "Correct it; if the targets are names of classes, pass task='classification'"
    if _is_missing(value):
        problem, remedy = "the target is empty or NaN", "Give it a number or delete the row"
    elif not math.isnan(targets[bad[0]]):
        problem, remedy = f"the target {value!r} is infinite or overflows float32", "Correct it or delete it"
    elif isinstance(value, str) and not math.isnan(_number(value.replace(",", ".", 1))):
        remedy = "Write it with a decimal point"
    raise table.error(column, bad, problem, remedy)


def classification_targets(table: Table, column: str, values: list) -> tuple[np.ndarray, list[str]]:
    """Return a column as class ids, and the classes' names that they index."""
    names = [_class_name(value) for value in values]
    bad = [i for i, name in enumerate(names) if not name]
    if bad:
        remedy = "Give it a class or delete the row"
        raise table.error(column, bad, f"the target {values[bad[0]]!r} names no class", remedy)
    labels = sorted(set(names))
    if all(math.isfinite(_number(label)) for label in labels):
        labels.sort(key=_number)
    if len(labels) == 1:
        raise DataError(
            f"{table.name}: column {column!r}: every target is {labels[0]!r}; at least two classes are needed"
        )
    ids = {label: i for i, label in enumerate(labels)}
    return np.array([ids[name] for name in names], dtype=np.int64), labels


def _class_name(value: object) -> str:
    """Return a class's name, so that 1, 1.0 and "1" are one class; "" for what cannot be one."""
    if _is_missing(value):
        return ""
    if isinstance(value, (float, np.floating)):
        if math.isinf(value):
            return ""
        value = int(value) if value.is_integer() else value
    return str(value).strip()


def standard_errors_of(frame: pd.DataFrame) -> np.ndarray | None:
    """Return the targets' standard errors, None without exactly one column of them."""
    found = [name for name in frame.columns if _normal(name) in ERROR_NAMES]
    if len(found) != 1:
        return None
    errors = np.array([_number(value) for value in frame[found[0]].tolist()], dtype=np.float64)
    return errors if np.all(np.isfinite(errors) & (errors >= 0)) else None


def check_spread(name: str, targets: np.ndarray) -> None:
    """Refuse targets that are all equal; warn of a spread that the defaults do not suit."""
    if len(np.unique(targets.astype(np.float32))) == 1 and len(targets) > 1:
        raise DataError(f"{name}: every target is {targets[0]:g}: nothing to learn; choose another target=")
    spread = targets.std()
    if not 0.1 <= spread <= 10 and len(targets) > 1:
        warnings.warn(
            f"{name}: the targets have standard deviation {spread:.3g}; losses and learning rates here suit "
            "targets of about mean 0 and sd 1. Standardise them, (target - mean) / sd, and undo it on the "
            "predictions.",
            stacklevel=3,
        )
