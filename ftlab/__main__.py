"""The command line: `fit` trains, `preview` shows every layer's rate, `study` compares recipes, `results` sums up.

    python -m ftlab fit --data passages
    python -m ftlab fit --data mine.csv --text review --target stars --lr 5e-5 --layer_decay 0.9 --fold all
    python -m ftlab preview --paper llrd+warmup
    python -m ftlab study --recipes techniques --folds 5 --seeds 3 --storage sqlite:///study.db --out cells.jsonl
    python -m ftlab study --search layer_decay=0.6:1.0 reinit_layers=0:4 lr=1e-5:1e-3:log --trials 30
    python -m ftlab results cells.jsonl
    python -m ftlab fields

Every field of a Recipe is an option of the same name; `fields` prints them all. Several processes: `accelerate launch
--multi_gpu --num_processes 2 -m ftlab fit ...` for one run (on CPUs with ACCELERATE_USE_CPU=true before it;
accelerate's own --cpu starts one process, without a word); `study --workers 4`, or the same `study` command on several
machines, for many.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from ftlab.errors import FtlabError, RecipeError
from ftlab.recipe import ABOUT, PAPER, Recipe
from ftlab.schedules import preview

NOT_WITH = {
    "plan": ("search", "folds", "seeds", "data", "text", "target", "task", "recipe", "paper", *ABOUT),
    "search": ("recipes", "seeds", "n_train", "out", "test_looks", "max_cells"),
}
"""Options of `study` that another one leaves without effect."""


def main(argv: list[str] | None = None) -> int:
    """Run a command; return the exit status: 0 done, 1 diverged, 2 bad input, 130 interrupted, 141 pipe closed."""
    return _run(_parser().parse_args(argv))


def _run(args: argparse.Namespace, prefix: str = "") -> int:
    try:
        status = args.run(args)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # `| head` has what it wants
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains as it ends
        return 141
    except (FtlabError, OSError) as error:  # OSError: a full disk, a folder that cannot be written to
        print(f"{prefix}error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{prefix}interrupted", file=sys.stderr)
        return 130


def fit_command(args: argparse.Namespace) -> int:
    """Train on one fold or on all, print status and scores, and save the run if asked to."""
    recipe = _recipe(args)
    from accelerate import PartialState  # torch and transformers are loaded only by the commands that need them

    from ftlab.data import load_data
    from ftlab.trainer import fit

    data = load_data(args.data, text=args.text, target=args.target, task=args.task)
    folds = range(data.num_folds) if args.fold == "all" else [_fold(args.fold)]
    suffixes = {fold: f"fold-{fold}" if len(folds) > 1 else "" for fold in folds}
    for folder in [Path(args.out, suffix) for suffix in suffixes.values()] if args.out else []:
        if os.path.exists(folder):
            raise RecipeError(f"--out: {folder} already exists; choose another folder")
    runs = []
    for fold, suffix in suffixes.items():
        run = fit(
            recipe,
            data,
            fold=fold,
            live=not args.quiet,
            checkpoint_dir=Path(args.checkpoint_dir, suffix) if args.checkpoint_dir else None,
            resume=args.resume,
        )
        runs.append(run)
        speaks = PartialState().is_main_process  # under `accelerate launch` one process saves and reports
        if args.out and speaks:
            run.save(Path(args.out, suffix))
        if speaks:
            _report(run)
        if run.status == "interrupted":
            return 130
    if len(runs) > 1:
        metric = runs[0].history.metric
        tests = [r.test_score if r.swa_score is None else r.swa_score for r in runs]
        if None not in tests and speaks:
            print(f"mean test {metric} over {len(runs)} folds: {sum(tests) / len(tests):.4f}")
    return 1 if any(run.status == "diverged" for run in runs) else 0


def preview_command(args: argparse.Namespace) -> int:
    """Print the rate of every layer at the corners of the schedule, or draw it to a file."""
    schedule = preview(_recipe(args), args.steps_per_epoch, num_layers=args.num_layers, steps=args.points)
    print("step " + " ".join(f"{name:>10}" for name in schedule.layers))
    for step, rates in zip(schedule.steps, schedule.lr, strict=True):
        print(f"{step:4d} " + " ".join(f"{rate:10.3e}" for rate in rates))
    if args.out:
        try:
            schedule.plot().savefig(args.out)
        except (OSError, ValueError) as error:  # ValueError: no such kind of picture
            raise RecipeError(f"--out: cannot write {args.out} ({error})") from None
    return 0


def study_command(args: argparse.Namespace) -> int:
    """Train the open cells of a study, or search; return 1 if cells are left that could not be trained."""
    base = _recipe(args)
    _refuse_options_without_effect(args)
    if args.workers < 1:
        raise RecipeError(f"--workers: {args.workers} is out of range; give 1 or more")

    from ftlab.data import load_data
    from ftlab.study.plan import data_of
    from ftlab.study.queue import Study
    from ftlab.study.search import find_recipe, open_search

    say = partial(_say, args.prefix)
    if args.max_cells is not None and args.max_cells < 0:
        raise RecipeError(f"--max_cells: {args.max_cells} is out of range; give 0 or more")
    planned = _planned_cells(args) if args.plan else None
    name = data_of(args.plan) if args.plan else "passages" if args.data is None else args.data
    data = load_data(name, text=args.text, target=args.target, task=args.task)
    folds = _counts("--folds", args.folds or ["1" if args.search else "5"])
    if args.search:
        space = dict(_field_values(text) for text in args.search)
        shared = {"folds": folds, "storage": args.storage, "name": args.name or "search", "report": say}
        if args.workers > 1:
            open_search(space, base, data, **shared)  # bad input is refused once
            _work_side_by_side(args)
        found = find_recipe(space, base, data, trials=20 if args.trials is None else args.trials, **shared)
        if not args.prefix:
            print(f"best mean validation score (selected on) {found.score:.4f}: {found.recipe}")
        return 0
    study = Study(
        planned or _named_recipes(args.recipes or ["techniques"], base),
        data,
        folds=folds,
        seeds=_counts("--seeds", args.seeds or ["3"]),
        n_train=_sizes(args) or [None],
        storage=args.storage,
        name=args.name or args.plan or "study",
        out=args.out,
        test_looks=args.test_looks,
    )
    if args.workers > 1:
        study.run(max_cells=0, report=None)  # bad input is refused once, and one process fills the queue
        _work_side_by_side(args)
        progress = study.progress()
        say(f"{study.name}: {progress}")
    else:
        progress = study.run(max_cells=args.max_cells, report=say)
    return 1 if progress.left and args.max_cells is None else 0


def _say(prefix: str, text: str) -> None:
    """Print each line of a text by itself, so that the lines of several workers stay whole."""
    for line in text.splitlines():
        print(prefix + line, flush=True)


def _refuse_options_without_effect(args: argparse.Namespace) -> None:
    given = {name for name, value in vars(args).items() if value is not None and value is not False}
    for option, others in NOT_WITH.items():
        if option in given and (unused := [name for name in others if name in given]):
            raise RecipeError(f"--{unused[0]}: has no effect beside --{option}; leave it out")
    if "trials" in given and "search" not in given:
        raise RecipeError("--trials: counts the trials of a search; give --search too, or leave it out")


def _planned_cells(args: argparse.Namespace) -> list[Any]:
    """Read what the tuning of the plan has chosen, and return the cells of the study, arms and sizes asked for."""
    from ftlab.study.plan import confirming

    try:
        frozen = json.loads(Path(args.frozen).read_text(encoding="utf-8"))
        cells = confirming(args.plan, frozen)
        asked = {"--recipes": ("arm", "name", args.recipes), "--n_train": ("size", "n_train", _sizes(args))}
        for option, (kind, field, values) in asked.items():
            known = {getattr(cell, field): None for cell in cells}
            if unknown := [value for value in values or () if value not in known]:
                names = ", ".join("all" if value is None else str(value) for value in known)
                raise RecipeError(f"{option}: {unknown[0]!r} is no {kind} of {args.plan!r}; its {kind}s: {names}")
            cells = [cell for cell in cells if getattr(cell, field) in (values or known)]
        return cells
    except FtlabError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = f"{type(error).__name__}: {error}"
        raise RecipeError(f"--frozen: {args.frozen} holds no choices of the plan ({why})") from None


def _sizes(args: argparse.Namespace) -> list[int | None]:
    return [None if text == "all" else _whole("--n_train", text) for text in args.n_train or ()]


def _work_side_by_side(args: argparse.Namespace) -> None:
    """Run the command in `args.workers` processes."""
    from ftlab import __main__ as importable  # as the module that runs, "__main__", a new process cannot import it
    from ftlab.study.workers import run_side_by_side

    options = {name: value for name, value in vars(args).items() if name != "run"}
    run_side_by_side(partial(importable._worker, options), args.workers)


def _worker(options: dict[str, Any], prefix: str) -> int:
    return _run(argparse.Namespace(**{**options, "run": study_command, "workers": 1, "prefix": prefix}), prefix)


def results_command(args: argparse.Namespace) -> int:
    """Print the table of a study: each recipe against the baseline."""
    from ftlab.study import report

    for path in args.cells:
        print(report.report(path, args.baseline))
    return 0


def fields_command(args: argparse.Namespace) -> int:
    """Print the table of a recipe's fields in Markdown, as the glossary has it."""
    print("| field | default | allowed | what it is |\n|---|---|---|---|")
    for name, known in ABOUT.items():
        unit = f" ({known.unit})" if known.unit else ""
        print(f"| `{name}` | {getattr(Recipe(), name)} | {known.allowed}{unit} | {known.help} |")
    return 0


def _report(run: Any) -> None:
    """Print a run's outcome, one line a score, labelled for what it is."""
    metric = run.history.metric
    lines = {
        f"best validation {metric} (selected on)": run.best_score,
        f"test {metric}": run.test_score,
        f"test {metric} of the averaged weights": run.swa_score,
    }
    print(
        f"fold {run.fold}: {run.status} after {len(run.history)} of {run.history.total_steps} steps, "
        f"{run.seconds:.0f} s"
    )
    for name, value in lines.items():
        if value is not None:
            print(f"  {name}: {value:.4f}")
    sys.stdout.flush()


def _recipe(args: argparse.Namespace) -> Recipe:
    """Build the recipe: the article's, a file's or the default, then the options on top."""
    base = Recipe()
    if args.paper is not None:
        if args.paper not in PAPER:
            raise RecipeError(f"--paper: {args.paper!r} is unknown. Known: {', '.join(PAPER)}")
        base = PAPER[args.paper]
    if args.recipe is not None:
        try:
            base = Recipe.from_json(Path(args.recipe).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"--recipe: cannot read {args.recipe} ({error})") from None
    given = {f.name: getattr(args, f.name) for f in dataclasses.fields(Recipe)}
    return base.but(**{name: _value(text) for name, text in given.items() if text is not None})


def _value(text: str) -> Any:
    """Read an option as the Python or JSON value it spells, else as the text it is."""
    for read in (ast.literal_eval, json.loads):
        try:
            return read(text)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):  # TypeError: {[]: 1}
            pass
    return text


def _fold(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise RecipeError(f"--fold: {text!r} is neither a number nor 'all'") from None


def _whole(option: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise RecipeError(f"{option}: {text!r} is not a whole number") from None


def _counts(option: str, texts: list[str]) -> list[int]:
    """Read one number as 0, 1, ... below it, and several as themselves: "5", or "0 2 4"."""
    from ftlab.study.queue import whole_numbers

    numbers = [_whole(option, text) for text in texts]
    return whole_numbers(option, numbers[0] if len(numbers) == 1 else numbers, count=True)


def _named_recipes(names: list[str], base: Recipe) -> dict[str, Recipe]:
    """Collect recipes: names and groups known to ftlab.study.queue, or JSON files of {name: {field: value}}."""
    from ftlab.study.arms import FEW_SAMPLES, PAIRS, TECHNIQUES

    groups = {"techniques": TECHNIQUES, "pairs": PAIRS, "few_samples": FEW_SAMPLES}
    single = {**FEW_SAMPLES, **PAIRS, **TECHNIQUES}
    changes: dict[str, Any] = {}
    for name in names:
        if name in groups:
            changes.update(groups[name])
        elif name in single:
            changes[name] = single[name]
        else:
            changes.update(_recipes_of_file(name, [*groups, *single]))
    return {name: base.but(**fields) for name, fields in changes.items()}


def _recipes_of_file(name: str, known: list[str]) -> dict[str, dict[str, Any]]:
    try:
        recipes = json.loads(Path(name).read_text(encoding="utf-8"))
    except OSError:
        raise RecipeError(
            f"--recipes: {name!r} is neither a file nor known. Known: {', '.join(dict.fromkeys(known))}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"--recipes: {name} is not JSON ({error})") from None
    if not isinstance(recipes, dict) or not recipes or not all(isinstance(fields, dict) for fields in recipes.values()):
        raise RecipeError(f'--recipes: {name} must hold {{"name": {{"field": value}}}}')
    return recipes


def _field_values(text: str) -> tuple[str, Any]:
    """Read lr=1e-5:1e-3:log as a range, and schedule=linear,cosine as choices."""
    field, equals, values = text.partition("=")
    if not equals or not values:
        raise RecipeError(f"--search: {text!r} is not FIELD=LOW:HIGH, FIELD=LOW:HIGH:log or FIELD=CHOICE,CHOICE")
    if ":" in values:
        return field, tuple(_value(part) for part in values.split(":"))
    return field, [_value(part) for part in values.split(",")]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ftlab", description="Fine-tune Transformers, and see the rates first."
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    fit = commands.add_parser("fit", help="fine-tune and report an honest score")
    fit.set_defaults(run=fit_command)
    fit.add_argument("--fold", default="0", help="number of the fold, or 'all' (default: 0)")
    fit.add_argument("--out", help="new folder to save the run in")
    fit.add_argument("--checkpoint-dir", help="folder to save checkpoints in at every evaluation")
    fit.add_argument("--resume", action="store_true", help="continue from the newest checkpoint")
    fit.add_argument("--quiet", action="store_true", help="no progress bar")

    show = commands.add_parser("preview", help="show every layer's rate without training")
    show.set_defaults(run=preview_command)
    show.add_argument("--steps_per_epoch", type=int, help="updates an epoch (27; with --paper the article's)")
    show.add_argument("--num_layers", type=int, help="needed only for a model that is not known here")
    show.add_argument("--points", type=int, default=12, help="how many steps to print at most (default: 12)")
    show.add_argument("--out", help="picture to write, such as rates.png")

    study = commands.add_parser("study", help="train recipes x folds x seeds, with as many workers as you start")
    study.set_defaults(run=study_command, prefix="")
    study.add_argument(
        "--recipes", nargs="+", metavar="NAME",
        help="techniques (default), pairs, few_samples, single ones of these, a JSON file; with --plan: its arms",
    )  # fmt: skip
    study.add_argument("--folds", nargs="+", help="a number, or several by name (default: 5; of a search: 1)")
    study.add_argument("--seeds", nargs="+", help="a number, or several by name (default: 3)")
    study.add_argument("--n_train", nargs="+", metavar="N", help="training rows (default: all); with --plan: its sizes")
    study.add_argument("--storage", default="sqlite:///ftlab-study.db", help="database that the workers share")
    study.add_argument("--name", help="name of the study in the storage")
    study.add_argument("--out", help="JSONL file of the finished cells, read first and written after each")
    study.add_argument("--test_looks", action="store_true", help="score the test set at every evaluation")
    study.add_argument("--max_cells", type=int, help="stop after so many cells, each worker")
    study.add_argument(
        "--workers", type=int, default=1,
        help="processes on this machine, of one thread each unless OMP_NUM_THREADS is set (default: 1)",
    )  # fmt: skip
    study.add_argument("--plan", metavar="STUDY", help="a study of data/results/PLAN.md, such as 'passages 200'")
    study.add_argument(
        "--frozen", default="data/results/frozen.json", help="what the plan's tuning chose (default: that file)"
    )
    study.add_argument("--search", nargs="+", metavar="FIELD=VALUES", help="search in place of a comparison")
    study.add_argument("--trials", type=int, help="trials of a search (default: 20)")

    results = commands.add_parser("results", help="print a study's table")
    results.set_defaults(run=results_command)
    results.add_argument("cells", nargs="+", help="JSONL files written by study --out")
    results.add_argument("--baseline", default="baseline", help="recipe to compare with (default: baseline)")

    for command in (fit, study):
        command.add_argument(
            "--data",
            default="passages",
            help="passages, clear, snippets, commonlit, rotten_tomatoes, or a file (default: passages)",
        )
        command.add_argument("--text", help="column of the texts")
        command.add_argument("--target", help="column of the targets")
        command.add_argument("--task", choices=["regression", "classification"])

    study.set_defaults(data=None)  # told from one that was given

    table = commands.add_parser("fields", help="print every field of a recipe: default, what is allowed, what it is")
    table.set_defaults(run=fields_command)

    for command in (fit, show, study):
        command.add_argument("--recipe", help="JSON file written by Recipe.to_json()")
        command.add_argument("--paper", help=f"one of the article's recipes: {', '.join(PAPER)}")
        fields = command.add_argument_group("recipe fields")
        for name, known in ABOUT.items():
            text = f"{known.help} (allowed: {known.allowed}; default: {getattr(Recipe(), name)})"
            fields.add_argument(f"--{name}", metavar=known.unit.upper() or "VALUE", help=text.replace("%", "%%"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
