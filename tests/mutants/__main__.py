"""Put each fault of the table into a copy of the project and run its tests: `python -m tests.mutants [WORD ...]`.

Words choose the faults whose names hold one of them. --tree: the folder of another version, whose own tests are run.
Prints a row a fault: killed, by which test, or survived. The exit status is the number of those that survived.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.mutants.table import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".cache", ".hypothesis", ".pytest_cache", "__pycache__", "_site")


def mutated(tree: Path, mutant: Mutant) -> tuple[Path, str]:
    """Return a file of the tree and its text with the fault in it. Raises ValueError if the fault fits nowhere."""
    for name, old, new in mutant.edits:
        text = (tree / name).read_text(encoding="utf-8")
        if text.count(old) == 1:
            return tree / name, text.replace(old, new)
    raise ValueError(f"{mutant.name}: none of its old texts stands in its file exactly once")


def run_tests(tree: Path, tests: list[str]) -> str | None:
    """Run tests until the first failure; return its name, or None if all pass."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    own = {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command, cwd=tree, env={**os.environ, **own}, capture_output=True, text=True, timeout=1800
        )
    except subprocess.TimeoutExpired:
        return "no end after half an hour"
    if done.returncode == 0:
        return None
    failed = re.search(r"^(?:SUBFAILED|FAILED|ERROR).*?::(\w+)", done.stdout, re.MULTILINE)
    if done.returncode != 1 or failed is None:
        raise RuntimeError(f"pytest ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    return failed[1]


def main() -> int:
    """Run the faults asked for; return how many survived."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", help="run only the faults whose names hold one of these")
    parser.add_argument("--tree", type=Path, default=ROOT, help="the project's folder, or another version's")
    options = parser.parse_args()
    chosen = [m for m in MUTANTS if not options.words or any(word in m.name for word in options.words)]
    survived = 0
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "copy")
        shutil.copytree(options.tree, tree, ignore=LEFT_OUT)
        failing = run_tests(tree, sorted({test for mutant in chosen for test in mutant.tests}))
        if failing:
            parser.error(f"{failing} fails without any fault")
        print("| fault | noticed by |\n| --- | --- |", flush=True)
        for mutant in chosen:
            path, faulty = mutated(tree, mutant)
            text = path.read_text(encoding="utf-8")
            path.write_text(faulty, encoding="utf-8")
            killer = run_tests(tree, mutant.tests)
            path.write_text(text, encoding="utf-8")
            survived += killer is None
            print(f"| {mutant.name} | {'NOBODY' if killer is None else f'`{killer}`'} |", flush=True)
    return survived


if __name__ == "__main__":
    sys.exit(main())
