"""Score the reference models wherever the plan of the study confirms a recipe, on the same rows.

python tools/references.py [study ...]      adds what is missing in data/results/references.jsonl
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import ftlab as ft
from ftlab.study import Cell, plan
from ftlab.study.cells import write_lines

RESULTS = Path(__file__).resolve().parents[1] / "data" / "results"
FILE = RESULTS / "references.jsonl"
PLACE = ("data", "rows", "split", "fold", "n_train", "sample", "model")


def main(studies: list[str]) -> None:
    """Score what is missing, study by study."""
    frozen = json.loads((RESULTS / "frozen.json").read_text(encoding="utf-8"))
    records = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()] if FILE.exists() else []
    known = {tuple(record[name] for name in PLACE) for record in records}
    loaded: dict[str, ft.Data] = {}
    whole = [("passages, all rows", Cell("", ft.Recipe(), fold)) for fold in range(5)]  # where the first design stands
    whole += [("passages, mpnet", Cell("", ft.Recipe(model="mpnet"), fold)) for fold in range(5)]
    for study, cell in [*whole, *plan.cells("confirm", frozen)]:
        if studies and study not in studies:
            continue
        name = plan.data_of(study)
        sample = cell.sample if cell.n_train is None or cell.sample is not None else cell.recipe.seed
        place = (name, cell.rows, cell.split, cell.fold, cell.n_train, sample, cell.recipe.model)
        if place in known:
            continue
        known.add(place)
        if name not in loaded:
            loaded[name] = ft.load_data(name)
        table = ft.references(cell.data(loaded[name]), cell.fold, cell.recipe.model, max_length=plan.LENGTHS[name])
        scores = {model: [round(row["validation"], 6), round(row["test"], 6)] for model, row in table.iterrows()}
        records.append({"study": study, **dict(zip(PLACE, place, strict=True)), "scores": scores})
        print(study, place, scores["frozen"][1], flush=True)
        write_lines(FILE, records)


if __name__ == "__main__":
    main(sys.argv[1:])
