"""The command line: `python -m ftlab fit` trains, `python -m ftlab preview` shows every layer's rate.

    python -m ftlab fit --data passages
    python -m ftlab fit --data mine.csv --text review --target stars --lr 5e-5 --layer_decay 0.9 --fold all
    python -m ftlab preview --paper llrd+warmup --steps_per_epoch 142

Every field of a Recipe is an option of the same name. Several processes: `accelerate launch -m ftlab fit ...`.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from ftlab.errors import FtlabError, RecipeError
from ftlab.recipe import PAPER, Recipe
from ftlab.schedules import preview


def main(argv: list[str] | None = None) -> int:
    """Run a command; return the exit status: 0 done, 1 diverged, 2 bad input, 130 interrupted."""
    args = _parser().parse_args(argv)
    try:
        return args.run(args)
    except FtlabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def fit_command(args: argparse.Namespace) -> int:
    """Train on one fold or on all, print status and scores, and save the run if asked to."""
    recipe = _recipe(args)
    from accelerate import PartialState  # torch and transformers are loaded only by the commands that need them

    from ftlab.data import load_data
    from ftlab.trainer import fit

    data = load_data(args.data, text=args.text, target=args.target, task=args.task)
    folds = range(data.num_folds) if args.fold == "all" else [_fold(args.fold)]
    if args.out and len(folds) == 1 and Path(args.out).exists():
        raise RecipeError(f"--out: {args.out} already exists; choose another folder")
    runs = []
    for fold in folds:
        suffix = f"fold-{fold}" if len(folds) > 1 else ""
        run = fit(
            recipe,
            data,
            fold=fold,
            live=not args.quiet,
            checkpoint_dir=Path(args.checkpoint_dir, suffix) if args.checkpoint_dir else None,
            resume=args.resume,
        )
        runs.append(run)
        speaks = PartialState().is_main_process  # under `accelerate launch` one process reports and saves
        if speaks:
            _report(run)
        if args.out and speaks:
            run.save(Path(args.out, suffix))
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
        schedule.plot().savefig(args.out)
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
    if args.paper:
        if args.paper not in PAPER:
            raise RecipeError(f"--paper: {args.paper!r} is unknown. Known: {', '.join(PAPER)}")
        base = PAPER[args.paper]
    if args.recipe:
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
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            pass
    return text


def _fold(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise RecipeError(f"--fold: {text!r} is neither a number nor 'all'") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ftlab", description="Fine-tune Transformers, and see the rates first."
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    fit = commands.add_parser("fit", help="fine-tune and report an honest score")
    fit.set_defaults(run=fit_command)
    fit.add_argument(
        "--data", default="passages", help="passages, clear, commonlit, or a file (default: passages)"
    )
    fit.add_argument("--text", help="column of the texts")
    fit.add_argument("--target", help="column of the targets")
    fit.add_argument("--task", choices=["regression", "classification"])
    fit.add_argument("--fold", default="0", help="number of the fold, or 'all' (default: 0)")
    fit.add_argument("--out", help="new folder to save the run in")
    fit.add_argument("--checkpoint-dir", help="folder to save checkpoints in at every evaluation")
    fit.add_argument("--resume", action="store_true", help="continue from the newest checkpoint")
    fit.add_argument("--quiet", action="store_true", help="no progress bar")

    show = commands.add_parser("preview", help="show every layer's rate without training")
    show.set_defaults(run=preview_command)
    show.add_argument("--steps_per_epoch", type=int, default=27)
    show.add_argument("--num_layers", type=int, help="needed only for a model that is not known here")
    show.add_argument("--points", type=int, default=12, help="how many steps to print at most (default: 12)")
    show.add_argument("--out", help="picture to write, such as rates.png")

    defaults = Recipe().to_dict()
    for command in (fit, show):
        command.add_argument("--recipe", help="JSON file written by Recipe.to_json()")
        command.add_argument("--paper", help=f"one of the article's recipes: {', '.join(PAPER)}")
        fields = command.add_argument_group("recipe fields")
        for name, default in defaults.items():
            fields.add_argument(f"--{name}", metavar="VALUE", help=f"default: {default}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
