"""Draw README's curves from the committed results: the frozen probe and fine-tuning by number of film sentences.

python tools/curve.py      writes notebooks/pictures/curve.svg and curve-dark.svg
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ftlab.lab import svg
from ftlab.lab.chart import Sheet
from ftlab.lab.plots import by_size_sheet
from ftlab.study import load_cells
from ftlab.study.plan_report import load_references

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PICTURES = ROOT / "data" / "results", ROOT / "notebooks" / "pictures"
DARK = "<style>.ftlab{color:#e6edf3;--ground:#0d1117}.ftlab g{color:var(--dark)}</style>"
"""A picture of its own knows no theme: GitHub's dark colours."""


def sheet() -> Sheet:
    """Describe the scores of the plan's study `snippets curve`, a curve for each model."""
    cells = load_cells(RESULTS / "snippets_curve_plan.jsonl")
    probes = load_references(RESULTS / "references.jsonl").query("study == 'snippets curve'")
    models = {
        "linear probe on the frozen model": probes.assign(score=probes["frozen"]),
        "fine-tuned": cells[cells["name"] == "baseline"],
        "fine-tuned, all techniques": cells[cells["name"] == "all"],
    }
    scores = pd.concat(own[["n_train", "score"]].assign(model=model) for model, own in models.items())
    return by_size_sheet(scores.assign(data="film sentences"), x_label="sentences to train on")


def main(folder: Path = PICTURES) -> None:
    """Write both pictures."""
    text = svg.draw(sheet(), 848)
    (folder / "curve.svg").write_text(text + "\n", encoding="utf-8")
    (folder / "curve-dark.svg").write_text(dark(text) + "\n", encoding="utf-8")


def dark(text: str) -> str:
    """Return an SVG picture in the colours of a dark page."""
    end = text.rindex("</svg>")
    return text[:end] + DARK + text[end:]


if __name__ == "__main__":
    main()
