"""One way to measure everything: two things in turn, the ratio of each pair, the median of the ratios.

Machines are noisy, and what disturbs one measurement disturbs its neighbour. So no time is reported by itself: a row is
a ratio, its two sides are measured one after the other, and the side that begins changes from pair to pair.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

PACKAGES = ("ftlab", "torch", "transformers", "accelerate", "numpy", "matplotlib")


@dataclass(frozen=True)
class Options:
    """How much is measured: pairs a row, optimizer steps an epoch, and whether on a toy that only shows it runs."""

    pairs: int = 5
    steps: int = 27
    tiny: bool = False


class Skip(Exception):
    """A row that cannot be measured here; the text says why."""


@dataclass
class Sides:
    """What a row measures: two functions, each of which does its work once and returns the number.

    note: said after the measurement. close: called at the end, whatever happened.
    """

    ours: Callable[[], float]
    theirs: Callable[[], float]
    note: Callable[[], str] = str
    close: Callable[[], Any] = str


@dataclass(frozen=True)
class Row:
    """A row of the table.

    unit: of both numbers; more of a unit "per second" is better, of any other less. at_least: the ratio wanted, how
    many times better ours is; at_most: the ratio wanted, how many times as much ours costs; neither: the cost is told.
    make: sets both sides up, or raises Skip. warm_up: do each side once before, unmeasured.
    """

    name: str
    what: str
    against: str
    unit: str
    make: Callable[[Options], Sides]
    at_least: float | None = None
    at_most: float | None = None
    warm_up: bool = True

    def ratio(self, ours: float, theirs: float) -> float:
        """Say how many times better ours is, or, in a row about cost, how many times as much it takes."""
        better = ours / theirs if self.unit.endswith("/s") else theirs / ours
        return 1 / better if self.at_least is None else better

    def met(self, ratio: float) -> bool | None:
        """Tell whether the ratio is what is wanted; None where nothing is."""
        if self.at_least is not None:
            return ratio >= self.at_least
        return None if self.at_most is None else ratio <= self.at_most


def seconds(work: Callable[[], Any], repeats: int = 1) -> Callable[[], float]:
    """Make a side that takes the time of `repeats` calls and returns seconds a call."""

    def side() -> float:
        wait_for_the_gpu()
        began = time.perf_counter()
        for _ in range(repeats):
            work()
        wait_for_the_gpu()
        return (time.perf_counter() - began) / repeats

    return side


def wait_for_the_gpu() -> None:
    """Let a GPU, if there is one, finish what it was given: it works on after a call has returned."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def measure(row: Row, options: Options) -> dict[str, Any]:
    """Measure a row, and return it as plain values; medians are over the pairs."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    sides = row.make(options)
    pairs: list[tuple[float, float]] = []
    try:
        if row.warm_up:
            sides.ours(), sides.theirs()
        for i in range(options.pairs):
            found = {}
            for side in ("ours", "theirs") if i % 2 == 0 else ("theirs", "ours"):
                gc.collect()  # the litter of one side is not swept at the cost of the other
                found[side] = getattr(sides, side)()
            pairs.append((found["ours"], found["theirs"]))
        note = sides.note()
    finally:
        sides.close()
    ratios = [row.ratio(*pair) for pair in pairs]
    return {
        "what": row.what,
        "against": row.against,
        "unit": row.unit,
        "at_least": row.at_least,
        "at_most": row.at_most,
        "ours": median(ours for ours, _ in pairs),
        "theirs": median(theirs for _, theirs in pairs),
        "ratio": median(ratios),
        "ratios": ratios,
        "pairs": pairs,
        "met": row.met(median(ratios)),
        "note": note,
        "load_before": load,
        "options": asdict(options),
    }


# ---------------------------------------------------------------------------------------------- the file of results


def machine() -> dict[str, Any]:
    """Describe this machine and the versions of what runs on it."""
    import torch

    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    known = hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if known else None
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "memory_gb": memory and round(memory / 1e9, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }


def run(
    work: Mapping[str, Callable[[], dict[str, Any]]],
    options: Options,
    path: Path,
    *,
    here: Mapping[str, Any],
    fresh: bool = False,
    say: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Do what the file lacks for this machine, write it after each row, and return the reports of all machines.

    work: {name: what measures it}. A row that the file has from the same machine, versions and options is kept, unless
    `fresh`. Every machine has a report of its own, this one's first; with other versions it is begun anew. A row that
    cannot be measured says why and is tried again next time; one that fails does not keep the others from being
    measured.
    """
    reports = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    mine = next((report for report in reports if hardware(report["machine"]) == hardware(here)), None)
    others = [report for report in reports if report is not mine]
    if mine is None or mine["machine"] != here:
        if mine:
            say(f"{path.name} was measured with other versions: this machine's report is begun anew")
        mine = {"machine": dict(here), "rows": {}}
    for name, do in work.items():
        old = mine["rows"].get(name, {})
        if old.get("options") == asdict(options) and not fresh:
            say(f"{name}: kept from {path.name}")
            continue
        say(f"{name} ...")
        try:
            mine["rows"][name] = do()
        except Skip as reason:
            mine["rows"][name] = {"skipped": str(reason)}
        except Exception as error:
            say(traceback.format_exc())
            mine["rows"][name] = {"failed": f"{type(error).__name__}: {error}"}
        write([mine, *others], path)
    return [mine, *others]


def hardware(machine: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stays when a package is updated."""
    return {name: value for name, value in machine.items() if name != "versions"}


def write(reports: list[dict[str, Any]], path: Path) -> None:
    """Write the file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    draft.write_text(json.dumps(reports, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, path)


# ------------------------------------------------------------------------------------------------------- the table


def table(report: Mapping[str, Any], names: Iterable[str]) -> str:
    """Write one machine's rows as a Markdown table, with the machine above and the notes below."""
    here = report["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in here["versions"].items())
    place = f"{here['cpu']}, {here['cores']} cores, {here['threads']} threads, {here['memory_gb']} GB, {here['system']}"
    lines = [f"Machine: {place}{', ' + here['gpu'] if here['gpu'] else ''}. Versions: {versions}.", ""]
    cells = [("row", "what", "against", "ours", "theirs", "ratio", "range", "aim", "")]
    notes = []
    for name in names:
        row = report["rows"].get(name, {"skipped": "not measured yet"})
        if why := row.get("skipped") or row.get("failed"):
            notes.append(f"- {name}: {'skipped' if 'skipped' in row else 'FAILED'}: {why}")
        elif "ratio" in row:
            cells.append((name, *_cells(row)))
            notes += [f"- {name}: {row['note']}"] if row["note"] else []
        elif row.get("note"):
            notes.append(row["note"])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, tuple("-" * width for width in widths))
    lines += ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells]
    return "\n".join([*lines, "", *notes])


def brief(reports: Iterable[Mapping[str, Any]], names: Iterable[str]) -> str:
    """Write the rows as the README has them: what against what, the ratio, the aim, and the processor.

    Each row is the first report's that has measured it.
    """
    lines = ["| What | Against | Ratio | Aim | | On |", "|---|---|--:|--:|---|---|"]
    for name in names:
        for report in reports:
            row = report["rows"].get(name, {})
            if "ratio" in row:
                ratio = f"{row['ratio']:.2f}" if row["ratio"] < 10 else f"{row['ratio']:,.0f}"
                place = short(report["machine"])
                lines.append(
                    f"| {row['what']} | {row['against']} | {ratio} | {wanted(row)} | {verdict(row)} | {place} |"
                )
                break
    return "\n".join(lines)


def short(machine: Mapping[str, Any]) -> str:
    """Name the processor, "Intel(R) Xeon(R) Processor" as Intel Xeon, and its instructions: makers reuse names."""
    name = machine["cpu"].replace("(R)", "").replace("(TM)", "").replace("Processor", "").strip()
    return f"{name}, {machine['instructions']}"


def wanted(row: Mapping[str, Any]) -> str:
    """Say which ratio a row is to have."""
    if row["at_least"] is not None:
        return f"at least {row['at_least']:g}"
    return "stated" if row["at_most"] is None else f"at most {row['at_most']:g}"


def verdict(row: Mapping[str, Any]) -> str:
    """Say whether it has it."""
    return {True: "met", False: "not met", None: ""}[row["met"]]


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        row["what"],
        row["against"],
        amount(row["ours"], row["unit"]),
        amount(row["theirs"], row["unit"]),
        f"{row['ratio']:.3g}",
        f"{min(row['ratios']):.3g} to {max(row['ratios']):.3g}",
        wanted(row),
        verdict(row),
    )


def amount(value: float, unit: str) -> str:
    """Write a number with its unit; short times in milliseconds."""
    return f"{1e3 * value:.3g} ms" if unit == "s" and value < 1 else f"{value:,.4g} {unit}"
