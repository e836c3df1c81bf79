"""Results: what each recipe was worth beside the baseline, from runs over folds and seeds, and how sure that is.

    cells = load_cells("data/results/techniques.jsonl")     # or a list of runs: ft.compare([run, run, ...])
    table, text = main_table(cells)

Runs are compared in pairs of the same fold and the same seed, so that a hard fold or a lucky seed weighs on both alike.

The interval of a mean difference comes from a two-way bootstrap (Owen 2007, "The pigeonhole bootstrap"): folds and
seeds are drawn with replacement, each by itself, and a drawn fold brings its whole row, a drawn seed its whole column.
Runs of one fold share their test passages and runs of one seed their fresh head, so the runs are no independent draws,
and resampling them one by one would give an interval that is too narrow. No bootstrap is exact for such a table
(McCullagh 2000); this one errs on the wide side. Its ends are moved outwards for few pairs as far as Student's t would
move them (Hesterberg 2015, the expanded percentile interval).

The p-value comes from flipping the signs of single pairs (Fisher 1935). It asks a narrower question: did the recipe
change anything on *these* folds? Given the folds, runs with other seeds are independent, and under "no change" each
difference is as likely with the other sign. Flipping whole folds would ask about new passages, but with five folds the
smallest p it can give is 2/32, so it could never find anything: that question is left to the interval, and a verdict
other than "within noise" needs both. Holm (1979) corrects for the number of recipes tried.

What neither covers: the training sets of the folds overlap (Bengio and Grandvalet 2004), and other data, models and
learning rates are other questions.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ftlab.errors import DataError
from ftlab.history import HIGHER_IS_BETTER
from ftlab.recipe import Recipe
from ftlab.study.cells import FIELDS, PLACE, STATUSES, WHOLE, cells_frame, load_cells
from ftlab.study.plan_report import confirmation, confirmation_text, load_references
from ftlab.study.statistics import LEVEL, bootstrap_interval, holm, paired_differences, sign_flip_p

if TYPE_CHECKING:
    from ftlab.run import Run

UNITS = {"rmse": "RMSE", "macro_f1": "macro F1"}


def _from_runs(runs: Sequence[Run], baseline: str | Recipe) -> pd.DataFrame:
    """Make cells of runs; the baseline's are called "baseline", the others after what they change in it."""
    recipes = [run.recipe.but(seed=0) for run in runs]
    if isinstance(baseline, Recipe):
        base = baseline.but(seed=0)
        if base not in recipes:
            raise DataError(f"baseline: none of the {len(runs)} runs has {base!r}; train it on the same folds, seeds")
    elif baseline == "baseline":
        base = min(recipes, key=lambda recipe: len(recipe.diff(Recipe())))
    else:
        raise DataError(f"baseline: {baseline!r}; for a list of runs give the baseline's Recipe, or leave it out")
    cells = []
    for i, (run, recipe) in enumerate(zip(runs, recipes, strict=True)):
        if run.status not in STATUSES:
            raise DataError(f"runs[{i}]: {run.status}; a run that was not ended tells nothing, train it to its end")
        fields = recipe.to_dict()
        values = {
            "name": changes_text(recipe, base) or "baseline",
            "changes": {name: fields[name] for name in recipe.diff(Recipe())},
            "recipe": fields,
            "data": run.data_name,
            "metric": run.history.metric,
            "fold": run.fold,
            "seed": run.recipe.seed,
            "status": run.status,
            "validation": run.best_score,
            "test": run.test_score,
            "swa_test": run.swa_score,
            "evals": [
                {"step": e["step"], "validation": e["score"], "swa_validation": e.get("swa_score")}
                for e in run.history.evals
            ],
            "loss": run.history.loss.tolist(),
            "seconds": run.seconds,
            "load_before": None,
            "peak_memory_mib": None,
        }
        cells.append((f"runs[{i}]", values))
    return cells_frame(cells)


def compare(
    runs: pd.DataFrame | Sequence[Any],
    baseline: str | Recipe = "baseline",
    *,
    recipes: Sequence[str] | None = None,
    max_load: float = 2.5,
) -> pd.DataFrame:
    """Compare every recipe with the baseline in pairs of the same fold and seed; one row a recipe, the baseline first.

    runs: a list of `Run`, a study's results, or the table of `load_cells`. baseline: its name; for runs its Recipe, by
    default the one that changes least. recipes: the names to compare (default: all); Holm counts these. max_load: runs
    whose machine had more to do than this when they began (load average, where it is known) do not count as timed; a
    study that runs one cell after another leaves about one a processor core.

    Columns: `changes` to the baseline; `runs`, `failed` and `pairs`, numbers; `score`, mean test score of all runs that
    have one; `difference` of the pairs, with `low` and `high` of its 95 % interval (`bootstrap_interval`), `p`
    (`sign_flip_p`), `p_holm` and the `verdict`; `looks`, checkpoints chosen among; `selected`, the mean validation
    score of the weights that are judged; `optimism`, by how much that flatters: the mean of test minus validation, or
    the reverse where more is better; `time` and `memory`, the median ratio to the baseline's over pairs, of which
    `timed` count for the time; `seconds` (of the runs that count) and `memory_mib`, medians; `command`, which trains
    the recipe with one seed (empty for rows that only a study draws).

    A run that diverged counts as failed and keeps its place in the means if it saved a checkpoint before: leaving it
    out would flatter the recipe. One without any score cannot be in a mean; verdict and text say how many there are.

    Raises DataError for a missing baseline, unfinished runs, a pair that stands there twice, one name for two recipes,
    and cells of more than one data set, metric or number of training rows.
    """
    cells = _cells_of(runs, baseline)
    base_name = baseline if isinstance(baseline, str) else "baseline"
    _one_study(cells)
    names = [base_name, *(n for n in cells["name"].unique() if n != base_name)]
    if recipes is not None:
        unknown = [name for name in recipes if name not in names]
        if unknown:
            raise DataError(f"recipes: no cell is called {unknown[0]!r}; there are {', '.join(names)}")
        names = [base_name, *(n for n in recipes if n != base_name)]
    if base_name not in set(cells["name"]):
        there = ", ".join(map(repr, names[1:])) or "none"
        raise DataError(f"baseline: no cell is called {base_name!r}; there are {there}. Name one of them")

    better_if_lower = not HIGHER_IS_BETTER[cells["metric"].iloc[0]]
    table = pd.DataFrame(
        [_row(cells, name, base_name, better_if_lower, max_load) for name in names],
        index=pd.Index(names, name="recipe"),
    )
    table["p_holm"] = holm(table["p"])
    comparisons = int(table["p"].notna().sum())
    table["verdict"] = [
        "" if name == base_name else _verdict(row, comparisons, better_if_lower) for name, row in table.iterrows()
    ]
    return table[_COLUMNS]


_COLUMNS = [
    "changes", "runs", "failed", "pairs", "score", "difference", "low", "high", "p", "p_holm", "verdict", "looks",
    "selected", "optimism", "time", "timed", "memory", "seconds", "memory_mib", "command",
]  # fmt: skip


def _cells_of(runs: Any, baseline: str | Recipe) -> pd.DataFrame:
    if isinstance(runs, pd.DataFrame):
        missing = {*FIELDS, "recipe", "score", "selected", "looks", "failed"} - set(runs.columns)
        if missing:
            raise DataError(f"runs: the table has no column {sorted(missing)[0]!r}; make it with load_cells")
        if not isinstance(baseline, str):
            raise DataError("baseline: for a table of cells give the name of the baseline, not a Recipe")
        if runs.empty:
            raise DataError("runs: the table holds no cell; there is nothing to compare")
        return runs
    runs = list(runs)
    if not runs:
        raise DataError("runs: the list is empty; there is nothing to compare")
    if all(hasattr(run, "recipe") for run in runs):
        return _from_runs(runs, baseline)
    return cells_frame((f"cells[{i}]", values) for i, values in enumerate(runs))


def _one_study(cells: pd.DataFrame) -> None:
    """Raise DataError if the cells do not belong to one study."""
    for name in WHOLE:
        values = cells[name].unique()
        if len(values) > 1:
            shown = ", ".join(map(str, values))
            raise DataError(
                f"{name}: the cells have several ({shown}), and a mean over them has no meaning; choose one first, "
                f"as in cells[cells[{name!r}] == {values[-1]!r}]"
            )
    twice = cells.duplicated([name for name in ("name", *PLACE) if name in cells])
    if twice.any():
        row = cells[twice].iloc[0]
        raise DataError(f"runs: {row['name']!r} on fold {row['fold']} with seed {row['seed']} stands there twice")
    recipes = cells["recipe"].map(lambda recipe: recipe.but(seed=0))
    for name, group in recipes.groupby(cells["name"]):
        if group.nunique() > 1:
            raise DataError(f"name: {name!r} stands for several recipes ({', '.join(map(repr, group.unique()))})")


def _row(cells: pd.DataFrame, name: str, base_name: str, better_if_lower: bool, max_load: float) -> dict[str, Any]:
    """Work out a recipe's row, all but what depends on the other rows."""
    own, base = (cells[cells["name"] == n].set_index(["fold", "seed"]) for n in (name, base_name))
    recipe, base_recipe = (frame["recipe"].iloc[0] for frame in (own, base))
    folds, seeds = own.index.get_level_values("fold"), own.index.get_level_values("seed")
    flatters = (own["score"] - own["selected"]) * (1 if better_if_lower else -1)
    row = {
        "changes": changes_text(recipe, base_recipe),
        "runs": len(own),
        "failed": int(own["failed"].sum()),
        "pairs": 0,
        "score": own["score"].mean(),
        **dict.fromkeys(("difference", "low", "high", "p", "time", "memory"), math.nan),
        "looks": _median(own["looks"]),
        "selected": own["selected"][own["score"].notna()].mean(),
        "optimism": flatters.mean(),
        "timed": 0,
        "seconds": _median(own["seconds"][~(own["load_before"] > max_load)]),
        "memory_mib": _median(own["peak_memory_mib"]),
        "command": command(
            recipe,
            data=own["data"].iloc[0],
            fold="all" if folds.nunique() > 1 else int(folds[0]),
            seed=int(seeds.min()),
            n_train=own["n_train"].iloc[0],
        )
        if not _of_the_plan(own)
        else "",
    }
    if name == base_name:
        return row
    differences = paired_differences(cells, name, base_name)
    low, high = bootstrap_interval(differences)
    pairs = differences.T.unstack().dropna()  # by fold and seed
    own, base = own.loc[pairs.index], base.loc[pairs.index]
    busy = (own["load_before"] > max_load) | (base["load_before"] > max_load)
    times = (own["seconds"] / base["seconds"])[~busy].dropna()
    return {
        **row,
        "pairs": len(pairs),
        "difference": pairs.mean(),
        "low": low,
        "high": high,
        "p": sign_flip_p(pairs),
        "time": _median(times),
        "timed": len(times),
        "memory": _median(own["peak_memory_mib"] / base["peak_memory_mib"]),
    }


def _median(values: pd.Series) -> float:
    known = values.dropna()
    return float(known.median()) if len(known) else math.nan


def _verdict(row: pd.Series, comparisons: int, better_if_lower: bool) -> str:
    """Say in words what interval and corrected p allow."""
    beyond = row["low"] > 0 or row["high"] < 0
    if not row["pairs"]:
        words = "no pairs"
    elif beyond and row["p_holm"] < 1 - LEVEL:
        words = "better" if (row["difference"] < 0) == better_if_lower else "worse"
    elif comparisons * 2.0 ** (1 - row["pairs"]) >= 1 - LEVEL:
        words = "too few pairs"  # even if all of them agreed
    else:
        words = "within noise"
    return f"{words}, {row['failed']} of {row['runs']} failed" if row["failed"] else words


# ----------------------------------------------------------------------------------------------------- recipes in words
def changes_text(recipe: Recipe, base: Recipe | None = None) -> str:
    """Write what a recipe changes in `base` (default: the plain recipe), the seed left out: "layer_decay=0.9"."""
    changed = recipe.but(seed=0).diff((base or Recipe()).but(seed=0))
    return ", ".join(f"{name}={_value(new)}" for name, (_, new) in changed.items())


def command(
    recipe: Recipe, *, data: str = "passages", fold: int | str = "all", seed: int = 0, n_train: int | None = None
) -> str:
    """Write the command that trains a recipe with one seed; empty for a sample of the rows, which a study draws."""
    if n_train is not None and not pd.isna(n_train):
        return ""
    parts = ["python", "-m", "ftlab", "fit", "--data", data, "--fold", str(fold)]
    for name, (_, new) in recipe.but(seed=0).diff(Recipe()).items():
        parts += [f"--{name}", _value(new)]
    return shlex.join([*parts, "--seed", str(seed)])


def _value(value: Any) -> str:
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return value if isinstance(value, str) else repr(dict(value) if isinstance(value, Mapping) else value)


# -------------------------------------------------------------------------------------------------------------- tables
def main_table(
    source: pd.DataFrame | Sequence[Any] | str | Path, baseline: str = "baseline"
) -> tuple[pd.DataFrame, str]:
    """Return the comparison of a file of cells, or of anything `compare` takes, as a table and as Markdown text.

    Names with a "+" in them, pairs of techniques, are another question: they stand in rows and tables of their own, and
    Holm's correction counts them by themselves. Raises DataError as `load_cells` and `compare` do.
    """
    cells = load_cells(source) if isinstance(source, (str, Path)) else _cells_of(source, baseline)
    names = [name for name in cells["name"].unique() if name != baseline]
    families = [[n for n in names if "+" not in n], [n for n in names if "+" in n]]
    tables = [compare(cells, baseline, recipes=family) for family in families if family]
    tables = tables or [compare(cells, baseline)]
    unit = f"test {UNITS[cells['metric'].iloc[0]]}"
    table = pd.concat(tables)
    table = table[~table.index.duplicated()]
    parts = [_introduction(cells, unit, baseline), *(_markdown(t, unit) for t in tables), _notes(cells, table)]
    return table, "\n\n".join(parts)


def _introduction(cells: pd.DataFrame, unit: str, baseline: str) -> str:
    metric, data = cells["metric"].iloc[0], cells["data"].iloc[0]
    n_train = cells["n_train"].iloc[0]
    rows = "" if pd.isna(n_train) else f", {n_train} training rows"
    return (
        f"{_plural(len(cells), 'run')} on `{data}`{rows}: {_plural(cells['fold'].nunique(), 'fold')}, "
        f"{_plural(cells['seed'].nunique(), 'seed')}; {unit}, {'higher' if HIGHER_IS_BETTER[metric] else 'lower'} is "
        f"better. Differences are to `{baseline}` with the same fold and seed."
    )


def _markdown(table: pd.DataFrame, unit: str) -> str:
    """Write a comparison as two Markdown tables: what recipes are worth; how they were chosen and what they cost."""
    worth, cost = [], []
    for name, row in table.iterrows():
        worth.append(
            {
                "recipe": name,
                "runs": f"{row['runs']}",
                "pairs": f"{row['pairs']}" if row["verdict"] else "",
                unit: _number(row["score"]),
                "difference": _number(row["difference"], "+"),
                "95 % interval": "" if math.isnan(row["low"]) else f"{row['low']:+.4f} to {row['high']:+.4f}",
                "p (Holm)": _p(row["p_holm"]),
                "verdict": row["verdict"],
            }
        )
        cost.append(
            {
                "recipe": name,
                "chosen among": f"{row['looks']:.0f} evaluations" if row["looks"] else "none: averaged",
                "validation": _number(row["selected"]),
                "optimism": _number(row["optimism"], "+"),
                "time": f"x {row['time']:.2f} ({row['timed']} timed)" if row["timed"] else _known(row["seconds"], "s"),
                "memory": f"x {row['memory']:.2f}" if row["memory"] > 0 else _known(row["memory_mib"], "MiB"),
                "failed": f"{row['failed']} of {row['runs']}",
            }
        )
    return f"{_rows(worth)}\n\n{_rows(cost)}"


def _notes(cells: pd.DataFrame, table: pd.DataFrame) -> str:
    missing = int(cells["score"].isna().sum())
    notes = [
        "A verdict other than noise needs both: an interval that leaves out 0, and p below 0.05 after the correction "
        "for the number of recipes in its table.",
        "Validation is the score of the weights that are judged; optimism is how far it flatters beside the test.",
        "Time and memory: medians; x is the ratio to the baseline in pairs that began on a quiet machine.",
    ]
    if missing:
        notes.append(f"{missing} of {len(cells)} runs have no score: they are counted as failed, and in no mean.")
    commands = [
        f"- `{name}`{f' ({row.changes})' if row.changes else ''}: `{row.command}`"
        for name, row in table.iterrows()
        if row["command"]
    ]
    made = "\n\nEach row with one seed; the other seeds by `--seed`:\n\n" + "\n".join(commands) if commands else ""
    return "\n".join(notes) + made


def report(source: pd.DataFrame | Sequence[Any] | str | Path, baseline: str = "baseline", guessing: float = 1.0) -> str:
    """Return all there is to say of a file of cells as Markdown: `main_table` for each data set and number of rows.

    Cells trained on samples of the rows come first, in the table of `few_sample_table`. Cells of the plan are judged by
    its rule (`confirmation`), beside the frozen probe if the file has a `references.jsonl` next to it; where samples
    and seeds are crossed that table is all. Raises DataError as these do.
    """
    cells = load_cells(source) if isinstance(source, (str, Path)) else _cells_of(source, baseline)
    studies = [group for _, group in cells.groupby(WHOLE, sort=False, dropna=False)]
    if _of_the_plan(cells):
        if "sample" in cells and cells["sample"].notna().any():
            return few_sample_table(cells, guessing)[1]
        beside = Path(source).with_name("references.jsonl") if isinstance(source, (str, Path)) else None
        known = load_references(beside) if beside is not None and beside.exists() else None
        return "\n\n".join(_judged(study, known) for study in studies)
    parts = [main_table(study, baseline)[1] for study in studies]
    for _, sampled in cells[cells["n_train"].notna()].groupby(["data", "metric"], sort=False):
        parts.insert(0, few_sample_table(sampled, guessing)[1])
    return "\n\n".join(parts)


def _judged(study: pd.DataFrame, references: pd.DataFrame | None) -> str:
    """Write what the plan's rule says of one of its studies, or of one size of it."""
    name, n_train = study["study"].iloc[0], study["n_train"].iloc[0]
    size = "" if pd.isna(n_train) else f" with {n_train} training rows"
    own = None if references is None else references[references["study"] == name]
    return f"{_plural(len(study), 'run')} of `{name}`{size}:\n\n{confirmation_text(confirmation(study, own))}"


def _of_the_plan(cells: pd.DataFrame) -> bool:
    """Tell whether all cells have a place in the study's plan, on rows that no recipe alone can name."""
    return "rows" in cells and bool(cells["rows"].notna().all())


def few_sample_table(
    source: pd.DataFrame | Sequence[Any] | str | Path, guessing: float = 1.0
) -> tuple[pd.DataFrame, str]:
    """Return mean, spread and share of failed runs by number of training rows and recipe, as a table and as Markdown.

    guessing: score of predicting the training mean for everything (about 1 for standardised targets and RMSE), or of
    the most frequent class. A run has failed if it diverged or is no better than that, as in Zhang et al. (2021).
    Columns: `runs`, `mean`, `sd` and `worst` of the test score over the runs that have one, `failed` (a share).
    Raises DataError for cells of several data sets or metrics, and as `load_cells` does.
    """
    cells = load_cells(source) if isinstance(source, (str, Path)) else _cells_of(source, "baseline")
    for n_train in cells["n_train"].unique():
        _one_study(cells[cells["n_train"].isna() if pd.isna(n_train) else cells["n_train"] == n_train])
    cells = cells.assign(failed=failed_runs(cells, guessing))
    higher = HIGHER_IS_BETTER[cells["metric"].iloc[0]]
    groups = cells.groupby(["n_train", "name"], sort=False, dropna=False)
    table = groups.agg(
        runs=("score", "size"),
        mean=("score", "mean"),
        sd=("score", "std"),
        worst=("score", "min" if higher else "max"),
        failed=("failed", "mean"),
    ).sort_index(level="n_train", sort_remaining=False)
    unit = f"test {UNITS[cells['metric'].iloc[0]]}"
    rows = [
        {
            "training rows": "all" if pd.isna(n) else str(n),
            "recipe": name,
            "runs": f"{row['runs']:.0f}",
            f"mean {unit}": _number(row["mean"]),
            "sd": _number(row["sd"]),
            "worst": _number(row["worst"]),
            "failed": f"{row['failed']:.0%}",
        }
        for (n, name), row in table.iterrows()
    ]
    note = f"Failed: diverged, or no better than {guessing:.3f}, the score of guessing."
    return table, f"{_rows(rows)}\n\n{note}"


def failed_runs(cells: pd.DataFrame, guessing: float) -> pd.Series:
    """Tell of each cell whether its run failed: it diverged, has no score, or is no better than guessing."""
    higher = HIGHER_IS_BETTER[cells["metric"].iloc[0]]
    no_better = cells["score"] <= guessing if higher else cells["score"] >= guessing
    return cells["failed"] | no_better


def _number(value: float, sign: str = "") -> str:
    return "" if math.isnan(value) else f"{value:{sign}.4f}"


def _p(value: float) -> str:
    return "" if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _known(value: float, unit: str) -> str:
    return "" if math.isnan(value) else f"{value:.0f} {unit}"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _rows(rows: Sequence[Mapping[str, str]]) -> str:
    """Write rows as a Markdown table whose columns line up."""
    heads = list(rows[0])
    widths = [max(len(head), *(len(row[head]) for row in rows)) for head in heads]
    lines = [heads, ["-" * width for width in widths], *([row[head] for head in heads] for row in rows)]
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |" for line in lines
    )
