"""What the plan's cells allow to say: each arm against the baseline and the frozen probe, by the plan's rule.

table = confirmation(load_cells("data/results/snippets.jsonl"), references)
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from ftlab.errors import DataError
from ftlab.history import HIGHER_IS_BETTER
from ftlab.study.statistics import FEWEST_UNITS, LEVEL, holm, paired_t

UNIT = ["rows", "split", "fold", "n_train", "sample"]
"""What names a place in the plan; an arm has one cell there."""


def load_references(path: str | Path) -> pd.DataFrame:
    """Read the reference models' scores: the columns of UNIT, `data`, `study`, and one test score a model.

    Raises DataError for a file that is missing or damaged.
    """
    rows = []
    try:
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            rows.append({**record, **{name: score[1] for name, score in record["scores"].items()}})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a file of reference scores ({error}); tools/references.py makes it") from None
    return pd.DataFrame(rows)


def confirmation(cells: pd.DataFrame, references: pd.DataFrame | None = None) -> pd.DataFrame:
    """Compare every arm of one study with the baseline, and with the frozen probe where its scores are given.

    cells: of `load_cells`, one study of the plan. references: of `load_references`. One row an arm and thing it is
    compared with. Columns: `score`, `than` (what it is compared with), `than_score`, `pairs`, `difference`, `low`,
    `high` (95 % interval, corrected for overlapping training sets where folds are the unit), `p`, `p_holm` (over all
    rows), `sees` (the smallest difference that would have been found with probability 0.8 by this comparison alone,
    before Holm's correction) and `verdict`. "Equivalent" means within 0.01 standard deviations of the target, which is
    the training mean's score; it is said of RMSE, with references, alone.

    Raises DataError for cells without a place in the plan, of several data sets, designs or devices, without a
    baseline, and for two cells of an arm at one place.
    """
    for name in ("rows", "device"):
        if name not in cells or cells[name].isna().any():
            raise DataError(f"{name}: some cells name none; only cells of the plan are judged by its rule")
    for name in ("data", "device", "metric", "n_train"):
        if cells[name].nunique(dropna=False) > 1:
            shown = ", ".join(map(str, cells[name].unique()))
            raise DataError(f"{name}: the cells have several ({shown}), which are never put into one mean; choose one")
    cells = cells.assign(**{name: cells[name] if name in cells else None for name in UNIT})
    if (unscored := cells["score"].isna()).any():  # a run that diverged before its first evaluation
        if references is None:
            raise DataError(
                f"score: missing in {unscored.sum()} of {len(cells)} runs, which counts as guessing; give references, "
                "which say what that scores"
            )
        guesses = _places(references)["mean"]
        cells["score"] = [guesses[_place(cell)] if lost else cell["score"]
                          for lost, (_, cell) in zip(unscored, cells.iterrows(), strict=True)]  # fmt: skip
    scores = _by_place(cells, "name", "score")
    if "baseline" not in scores:
        raise DataError(f"baseline: no cell is called 'baseline'; there are {', '.join(scores)}")
    blocks = cells["rows"].str.contains("/").all()
    first = cells.iloc[0]
    tested = len(first["predictions"]) if isinstance(first.get("predictions"), list) else math.nan
    trained = first["n_train"] if not pd.isna(first["n_train"]) else 3 * tested  # 60 % and 20 % of the rows
    overlap = 0.0 if blocks else float(tested / trained)
    rows = []
    probe = None if references is None else _places(references)["frozen"].reindex(scores.index)
    spread = 0.0 if references is None or first["metric"] != "rmse" else references["mean"].mean()
    for arm in scores:
        for than, other in (("baseline", scores["baseline"]), ("frozen probe", probe)):
            if other is None or (arm == "baseline" and than == "baseline"):
                continue
            found = paired_t(scores[arm] - other, overlap=overlap, margin=0.01 * spread)
            rows.append({"arm": arm, "than": than, "score": scores[arm].mean(), "than_score": other.mean(),
                         "pairs": found.pairs, "difference": found.mean, "low": found.low, "high": found.high,
                         "p": found.p, "sees": found.sees, "equivalent": found.equivalent})  # fmt: skip
    table = pd.DataFrame(rows)
    table["p_holm"] = holm(table["p"])
    lower = not HIGHER_IS_BETTER[first["metric"]]
    table["verdict"] = [_verdict(row, lower) for _, row in table.iterrows()]
    return table.set_index(["arm", "than"])


def confirmation_text(table: pd.DataFrame) -> str:
    """Write a table of `confirmation` as Markdown."""
    lines = [
        "| arm | against | test score | difference | 95 % interval | p (Holm) | verdict |",
        "|---|---|--:|--:|---|--:|---|",
    ]
    for (arm, than), row in table.iterrows():
        lines.append(
            f"| {arm} | {than} | {row['score']:.4f} / {row['than_score']:.4f} | {row['difference']:+.4f} | "
            f"{row['low']:+.4f} to {row['high']:+.4f} | {row['p_holm']:.3f} | {row['verdict']} |"
        )
    return "\n".join(lines)


def _places(records: pd.DataFrame) -> pd.DataFrame:
    return records.set_index(pd.Index([_place(row) for _, row in records.iterrows()]))


def _by_place(cells: pd.DataFrame, column: str, value: str) -> pd.DataFrame:
    places = [_place(row) for _, row in cells.iterrows()]
    twice = pd.DataFrame({"place": places, "arm": cells[column].to_numpy()}).duplicated()
    if twice.any():
        raise DataError(f"cells: {cells[column].iloc[int(twice.argmax())]!r} stands there twice at one place")
    order = list(dict.fromkeys(cells[column]))
    return pd.DataFrame({"place": places, "arm": cells[column].to_numpy(), value: cells[value].to_numpy()}).pivot(
        index="place", columns="arm", values=value
    )[order]


def _place(row: Any) -> str:
    sample = row.get("sample")
    if not pd.isna(row["n_train"]) and (sample is None or pd.isna(sample)):
        sample = row.get("seed", sample)
    known = (row["rows"], row.get("split"), row["fold"], row["n_train"], sample)
    return "/".join("-" if pd.isna(value) else value if isinstance(value, str) else str(int(value)) for value in known)


def _verdict(row: pd.Series, lower_is_better: bool) -> str:
    if row["pairs"] < FEWEST_UNITS:
        return f"too few pairs ({row['pairs']})"
    if row["p_holm"] < 1 - LEVEL:
        return "better" if (row["difference"] < 0) == lower_is_better else "worse"
    same = ", equivalent" if row["equivalent"] else ""
    return f"within noise (sees {row['sees']:.3f}){same}"
