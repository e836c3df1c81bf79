"""Measure and print the table: `python -m tests.benchmarks`.

What is measured is written to the file of results at once, so that a bench that was stopped goes on where it was. The
table and the picture of how cost grows are written beside it, with the endings .md and .png.
"""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def report_text(reports: list[dict[str, Any]]) -> str:
    """Write all that was measured as Markdown: for each machine the table, its versions, the notes; how cost grows."""
    from . import gpu, growth, measure, rows

    parts = ["# Speed\n\nBy `make bench`; each ratio is a median of pairs measured in turn."]
    shown = _with_growth(reports)
    for report in reports:
        place = report["machine"]
        parts.append(f"## On {place['cores']} cores, {measure.short(place)}")
        parts.append(measure.table(report, [*rows.ROWS, "growth"]))
        if report is shown:
            grown = report["rows"]["growth"]
            parts.append(f"{growth.describe(grown)}\n\n![How the cost of training grows](bench.png)")
    return "\n\n".join([*parts, gpu.describe(gpu.load())]) + "\n"


def _with_growth(reports: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the first report that holds how cost grows."""
    return next((report for report in reports if "points" in report["rows"].get("growth", {})), None)


def main(argv: list[str] | None = None) -> int:
    """Run the rows asked for; return 1 if one failed. A row that is only slow is no failure."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="only these rows; a wrong name prints them all")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of measurements a row (default 5)")
    parser.add_argument("--steps", type=int, default=27, help="optimizer steps an epoch of training rows (default 27)")
    parser.add_argument("--tiny", action="store_true", help="on a toy, to see that every row runs; no speed")
    parser.add_argument("--fresh", action="store_true", help="measure again what the file has already")
    parser.add_argument("--out", type=Path, help="the file of results (default data/results/bench.json)")
    args = parser.parse_args(argv)
    if args.pairs < 1 or args.steps < 1:
        parser.error("--pairs and --steps must be 1 or more")
    os.environ["HF_HUB_OFFLINE"] = "1"  # before anything of Hugging Face is imported
    os.environ.pop("FTLAB_PRESET", None)
    if args.tiny:
        os.environ["FTLAB_PRESET"] = "tiny"

    from . import growth, measure, rows

    options = measure.Options(args.pairs, args.steps, args.tiny)
    work = {name: partial(measure.measure, row, options) for name, row in rows.ROWS.items()}
    work["growth"] = partial(growth.measure_growth, options)
    names = args.rows or list(work)
    if unknown := [name for name in names if name not in work]:
        parser.error(f"no row {', '.join(unknown)}; rows: {', '.join(work)}")
    path = args.out or ROOT / (".cache/bench-tiny.json" if args.tiny else "data/results/bench.json")
    reports = measure.run(
        {name: work[name] for name in names},
        options,
        path,
        here=measure.machine(),
        fresh=args.fresh,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    text = report_text(reports)
    print(text)
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    if shown := _with_growth(reports):
        path.with_suffix(".png").write_bytes(growth.picture(shown["rows"]["growth"]).png())
    return int(any("failed" in row for row in reports[0]["rows"].values()))


if __name__ == "__main__":
    sys.exit(main())
