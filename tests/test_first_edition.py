"""What the first edition (0.1.0) wrote stays readable: a saved run, a checkpoint in mid-run, cells, a history.

`tests/fixtures/first_edition/make.py` says how the files were made.
"""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

import ftlab as ft
from ftlab import clinic
from ftlab.study import Cell, load_cells
from ftlab.study.first_edition import FIRST_EDITION

HERE = Path(__file__).resolve().parent / "fixtures" / "first_edition"
ABOUT = json.loads((HERE / "about.json").read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def _beside_the_files(monkeypatch):
    monkeypatch.chdir(HERE)  # their recipe names the model by a relative path


def test_a_saved_run_predicts_what_it_predicted() -> None:
    run = ft.Run.load("run")
    assert run.status == "completed"
    assert (run.test_score, run.swa_score) == (ABOUT["test_score"], ABOUT["swa_score"])
    assert run.history == ft.History.from_json("history.json")
    assert np.array_equal(run.history.lr, run.schedule.lr), "the preview of its recipe is still the truth"
    texts = list(ft.load_data("passages").texts[:4])
    np.testing.assert_allclose(run.predict(texts), ABOUT["predictions"], atol=1e-6)


def test_a_checkpoint_in_mid_run_is_continued_to_the_same_end(tmp_path: Path) -> None:
    folder = shutil.copytree("checkpoint", tmp_path / "checkpoint")
    recipe = ft.Recipe.from_json(Path("run/recipe.json").read_text(encoding="utf-8"))
    data = ft.load_data("passages").few_samples(48)
    run = ft.fit(recipe, data, live=False, checkpoint_dir=folder, resume=True)
    whole = ft.History.from_json("history.json")
    assert run.status == "completed" and len(run.history) == len(whole)
    done = ABOUT["steps"]
    assert np.array_equal(run.history.loss[:done], whole.loss[:done]), "these were read, not trained again"
    np.testing.assert_allclose(run.history.loss, whole.loss, rtol=1e-4)  # another processor rounds otherwise
    assert np.array_equal(run.history.lr, whole.lr)
    assert run.test_score == pytest.approx(ABOUT["test_score"], abs=1e-5)
    assert run.swa_score == pytest.approx(ABOUT["swa_score"], abs=1e-5)


def test_a_history_in_json_and_in_parquet() -> None:
    assert ft.History.from_json("history.json") == ft.History.from_parquet("history.parquet")


@pytest.mark.parametrize("kind", ["techniques", "pairs", "few_samples", "clear"])
def test_cells_are_read_against_the_defaults_of_their_time(kind: str) -> None:
    cells = load_cells(f"{kind}.jsonl")
    assert len(cells) == 2
    frozen = json.loads(Path("defaults.json").read_text(encoding="utf-8"))
    assert dict(FIRST_EDITION) == frozen, "these defaults never change: cells of 0.1.0 hold only what differs from them"
    for _, cell in cells.iterrows():
        expected = {**ft.Recipe().to_dict(), **frozen, **cell["changes"], "seed": cell["seed"]}
        assert cell["recipe"].to_dict() == expected
        assert math.isfinite(cell["score"])


@pytest.mark.parametrize("kind", ["techniques", "few_samples"])
def test_cells_keep_their_keys(kind: str) -> None:
    """A study goes on where 0.1.0 stopped: what is in its file is not trained again."""
    data = ft.load_data("passages")
    for line in Path(f"{kind}.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        recipe = ft.Recipe(**FIRST_EDITION).but(**record["changes"], seed=record["seed"])
        cell = Cell(record["name"], recipe, record["fold"], record["n_train"])
        assert cell.key(cell.data(data)) == record["cell"]


def test_the_clinics_runs() -> None:
    assert [patient.case for patient in clinic.load("clinic.jsonl")]
