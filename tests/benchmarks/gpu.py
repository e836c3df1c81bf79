"""The GPU's part of the report: training speed, from the results that were measured there in one process."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parents[2] / "data" / "results" / "gpu.json"
PRECISIONS = {"no": "32 bits", "bf16": "bf16"}


def load() -> dict[str, Any]:
    """Read the sections by their names."""
    found = json.loads(FILE.read_text(encoding="utf-8"))
    return {each["section"]: each["result"] for part in found.values() for each in part if "result" in each}


def training(sections: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each data set and precision: texts a second of each way, two ratios of every repetition."""
    rows = []
    for name, result in sections.items():
        if name.startswith("minilm:"):
            steady = {way: speeds[1] for way, speeds in result["texts/s whole, steady"].items()}
            ratios = {"trainer": result["graphs/trainer steady"], "bare graphs": result["graphs/bare graphs steady"]}
            precision = PRECISIONS[result["precision"]]
            rows.append({"what": f"{result['data']}, {precision}", "texts/s": steady, "ratios": ratios})
    return rows


def brief(sections: dict[str, Any]) -> str:
    """Write the rows as the README and the report have them; a ratio is the median of its repetitions."""
    lines = [
        "| Training, texts a second | ftlab | Trainer at its best | bare loop | bare loop with the same graphs | "
        "ftlab : Trainer | ftlab : bare loop with graphs |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in training(sections):
        speeds = [f"{row['texts/s'][way]:,.0f}" for way in ("graphs", "trainer", "bare", "bare graphs")]
        ratios = [f"{statistics.median(row['ratios'][way]):.2g}" for way in ("trainer", "bare graphs")]
        lines.append(f"| {' | '.join([row['what'], *speeds, *ratios])} |")
    return "\n".join(lines)


def describe(sections: dict[str, Any]) -> str:
    """Write the section of the report."""
    here = sections["device"]
    versions = ", ".join(f"{name} {here[name]}" for name in ("python", "torch", "cuda", "transformers", "accelerate"))
    counts = {row["what"]: len(row["ratios"]["trainer"]) for row in training(sections)}
    repeated = "; ".join(f"{what}: {', '.join(f'{x:.3g}' for x in row['ratios']['trainer'])}"
                         for what, row in zip(counts, training(sections), strict=True))  # fmt: skip
    return (
        f"## On a GPU\n\nMachine: {here['device']}, {here['cores']} cores. Versions: {versions}.\n\n"
        f"{brief(sections)}\n\n"
        "minilm with its own classification head, batches of 16, 432 texts an epoch; speeds from the second epoch on, "
        "when every graph has been recorded. All ways in turn in one process, "
        f"{min(counts.values())} to {max(counts.values())} repetitions. ftlab against Trainer in each: {repeated}.\n"
        "In bf16 Trainer and the plain loops wait for this machine's slow host cores, which makes those ratios large."
    )
