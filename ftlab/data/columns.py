"""Choose the text and target columns of a table, infer the task, and check every value of both."""

from __future__ import annotations

import difflib
import math
import warnings

import numpy as np
import pandas as pd

from ftlab.data.headers import ERROR_NAMES, normal
from ftlab.data.spelling import (
    are_codes,
    as_numbers,
    class_name,
    holds_several,
    is_missing,
    is_no_text,
    is_not_finite,
    is_number,
    is_whole,
    number,
)
from ftlab.data.table import Table, is_unicode, listed, short
from ftlab.errors import DataError

# Under these names whole numbers are class ids, as long as there are at most MAX_CLASS_IDS different ones.
CLASS_NAMES = ("label", "labels", "class")
MAX_CLASS_IDS = 20


def choose_column(table: Table, role: str, asked: str | None, known: tuple[str, ...]) -> str:
    """Return the column that holds the text or the target: the one named, or the one whose name is recognised."""
    present = list(table.frame.columns)
    if asked is not None and not isinstance(asked, str):
        raise DataError(f"{table.name}: {role} is {short(asked)}; give the name of a column")
    names = known if asked is None else (normal(asked),)
    found = [asked] if asked in present else [name for name in present if normal(name) in names]
    headless = (
        f"the first line looks like data ({short(', '.join(present))}); if the file has no header, write one"
        f"{table.header_remedy}"
    )
    if len(found) == 1:
        if found[0] in table.repeated:
            raise DataError(
                f"{table.name}: column name {short(found[0])} occurs {table.repeated[found[0]]} times; rename the "
                f"columns, or name another with {role}="
            )
        if asked is not None and table.doubt == "surely":
            raise DataError(f"{table.name}: {headless}")
        return found[0]
    if found:
        problem = f"several columns may hold the {role}: {listed(found, write=short)}. "
        remedy = f"Say which, for example load_data(..., {role}={short(found[0])})."
    elif asked is None:
        problem = f"no column has one of the names recognised for the {role} ({', '.join(known)}). "
        remedy = f"Say which holds it, load_data(..., {role}=...)."
    else:
        by_normal = {normal(name): name for name in present}
        near = difflib.get_close_matches(normal(asked), by_normal, n=1)
        problem = f"there is no column {short(asked)}"
        remedy = f"; did you mean {short(by_normal[near[0]])}?" if near else "."
    if not found and table.doubt == "surely":
        raise DataError(f"{table.name}: {problem.removesuffix('. ')}, and {headless}")
    if not found and table.doubt:
        remedy += f" But {headless}."
    raise DataError(f"{table.name}: {problem}{remedy} Columns present: {listed(present, 20, write=short)}")


def checked_texts(table: Table, column: str) -> list[str]:
    """Return a column's texts. Raises DataError naming the first row that holds none."""
    texts = table.frame[column].tolist()
    missing = [i for i, text in enumerate(texts) if is_missing(text)]
    if missing:
        raise table.error(column, missing, "the text is empty", "Fill it in or delete the row")
    wrong = [i for i, text in enumerate(texts) if not isinstance(text, str)]
    if not wrong and all(map(is_no_text, texts)):
        wrong = list(range(len(texts)))
    if wrong:
        value = texts[wrong[0]]
        problem = f"expected a text, found {short(value)} of type {type(value).__name__}"
        raise table.error(column, wrong, problem, "Make it a string, or name the right column with text=")
    broken = [i for i, text in enumerate(texts) if not is_unicode(text)]
    if broken:
        problem = "the text holds half a character (a lone UTF-16 surrogate)"
        raise table.error(column, broken, problem, "Repair or delete that character")
    return texts


def checked_targets(table: Table, column: str) -> list:
    """Return a column's values. Raises DataError naming the first row that holds more than one value."""
    values = table.frame[column].tolist()
    several = [i for i, value in enumerate(values) if holds_several(value)]
    if several:
        problem = f"the target {short(values[several[0]])} holds a list; a text has one number or one of the classes"
        remedy = "Several labels a text (multi-label) are not supported: make a column of each label, and name one"
        raise table.error(column, several, problem, remedy)
    return values


def infer_task(table: Table, column: str, values: list) -> str:
    """Tell from a target column's values, and its name, whether they are classes or quantities.

    Values count as they are spelt, so that the file's format does not decide: "1" is a whole number as 1 is. Raises
    DataError if the spelling leaves it open.
    """
    present = [value for value in values if not is_missing(value)]
    if not present:
        return "regression"
    # With a decimal comma it is a number that is written wrongly, and will be refused, not a class.
    pointed = [value.replace(",", ".", 1) if isinstance(value, str) else value for value in present]
    words = sum(math.isnan(number(value)) for value in pointed)
    if words > len(present) / 2 or all(isinstance(value, (bool, np.bool_)) for value in present):
        return "classification"
    if are_codes(present):
        return "classification"
    if all(map(is_whole, present)):
        distinct = len({class_name(value) for value in present})
        if distinct == 2 or (normal(column) in CLASS_NAMES and distinct <= MAX_CLASS_IDS):
            return "classification"
    decimals: dict[float, str] = {}
    for text in (value.strip() for value in present if isinstance(value, str) and "." in value):
        first = decimals.setdefault(number(text), text)
        if first != text and is_number(text):
            raise DataError(
                f"{table.name}: column {short(column)} holds {short(first)} and {short(text)}: one quantity or two "
                "names? Pass task='regression' or task='classification'"
            )
    return "regression"


def regression_targets(table: Table, column: str, values: list) -> np.ndarray:
    """Return a column as float64 values. Raises DataError naming the first that is no finite number."""
    targets = np.array([number(value) for value in values], dtype=np.float64)
    # Labels are float32 on their way to the model and must be finite there as well.
    bad = np.flatnonzero(~(np.abs(targets) <= np.finfo(np.float32).max))
    if not len(bad):
        return targets
    value = values[bad[0]]
    problem = f"the target {short(value)} is not a number"
    remedy = "Correct it; if the targets are names of classes, pass task='classification'"
    if is_missing(value) or (isinstance(value, str) and value.strip().casefold() == "nan"):
        problem, remedy = "the target is empty or NaN", "Give it a number or delete the row"
    elif not math.isnan(targets[bad[0]]):
        problem, remedy = f"the target {short(value)} is infinite or overflows float32", "Correct it or delete it"
    elif isinstance(value, str) and not math.isnan(number(value.replace(",", ".", 1))):
        remedy = "Write it with a decimal point"
    raise table.error(column, bad, problem, remedy)


def classification_targets(table: Table, column: str, values: list) -> tuple[np.ndarray, list[str]]:
    """Return a column as class ids, and the classes' names that they index: as they stand in the file."""
    names = [class_name(value) for value in values]
    finite = [name for name in names if name and not is_not_finite(name)]
    numbered = all(map(is_number, finite))  # then "nan" among them is no class
    bad = [i for i, name in enumerate(names) if not name or (numbered and is_not_finite(name))]
    if bad:
        remedy = "Give it a class or delete the row"
        raise table.error(column, bad, f"the target {short(values[bad[0]])} names no class", remedy)
    labels = sorted(set(names))
    if numbered:
        labels.sort(key=number)
    if len(labels) == 1:
        raise DataError(
            f"{table.name}: column {short(column)}: every target is {short(labels[0])}; at least two classes are needed"
        )
    ids = {label: i for i, label in enumerate(labels)}
    return np.array([ids[name] for name in names], dtype=np.int64), labels


def converted(table: Table, text: str, target: str, targets: np.ndarray | None) -> pd.DataFrame:
    """Return all columns of a table: of a text file, what is spelt as numbers as numbers, apart from the text.

    targets: the target as numbers; None leaves it as it is spelt, for classes.
    """
    frame = table.frame
    if not table.as_text:
        return frame
    done = {text: frame[text].tolist(), target: frame[target].tolist() if targets is None else targets}
    return pd.DataFrame({name: done[name] if name in done else as_numbers(frame[name]) for name in frame})


def standard_errors_of(table: Table) -> np.ndarray | None:
    """Return the targets' standard errors, None without exactly one column of them."""
    found = [name for name in table.frame.columns if normal(name) in ERROR_NAMES]
    if len(found) != 1 or found[0] in table.repeated:
        return None
    errors = np.array([number(value) for value in table.frame[found[0]].tolist()], dtype=np.float64)
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
