"""The clinic's cases: each breaks one thing and no other, and its records come back as they were written."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from ftlab import clinic
from ftlab.clinic.diagnosis import ILLNESSES, diagnose
from ftlab.errors import CheckpointError, RecipeError
from ftlab.models.load import load_tokenizer
from ftlab.schedules import preview

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "data" / "results" / "clinic.jsonl"

sys.path.insert(0, str(ROOT / "tools"))
import clinic_runs  # noqa: E402


def test_the_healthy_data():
    data = clinic.passages(3)
    assert [len(part) for part in data.split(0)] == [96, 32, 32]
    assert data.fingerprint == clinic.passages(3).fingerprint != clinic.passages(4).fingerprint


def test_two_examples():
    split, whole = clinic.two_examples(3).split(0), clinic.passages(3).split(0)
    assert len(split.train) == 2 and set(split.train) <= set(whole.train)
    assert np.array_equal(split.validation, whole.validation) and np.array_equal(split.test, whole.test)


def test_shuffled_targets_are_the_same_targets_on_other_texts():
    shuffled, whole = clinic.shuffled_targets(3), clinic.passages(3)
    assert shuffled.texts == whole.texts
    assert np.array_equal(np.sort(shuffled.targets), np.sort(whole.targets))
    assert abs(np.corrcoef(shuffled.targets, whole.targets)[0, 1]) < 0.25
    assert np.array_equal(clinic.passages(3).targets, whole.targets)


def test_the_rare_class_falls_into_the_test_part_alone():
    data = clinic.rare_class_in_file_order(3)
    train, validation, test = (set(data.targets[part]) for part in data.split(0))
    assert data.labels == ["easy", "hard"] and train == validation == {0} and test == {0, 1}
    assert np.mean(data.targets == 1) == pytest.approx(0.08, abs=0.01)
    stratified = clinic.rare_class(3)
    assert all(set(stratified.targets[part]) == {0, 1} for part in stratified.split(0))
    assert stratified.fingerprint != data.fingerprint
    assert np.mean(clinic.two_classes(3).targets == 1) == 0.5


def test_padding_stands_in_the_parts_that_are_predicted_and_nothing_hides_it():
    data, plain = clinic.padded_to_evaluate(3), clinic.passages(3)
    split = data.split(0)
    assert all(np.array_equal(a, b) for a, b in zip(split, plain.split(0), strict=True))
    tokenizer = load_tokenizer("minilm")
    recipe = clinic.CASES["padding attended to"].recipe()
    rows = data.tokenise(tokenizer, recipe.max_length)["input_ids"]
    pads = np.array([sum(token == tokenizer.pad_token_id for token in row) for row in rows])
    assert not pads[split.train].any()
    assert pads[split.validation].min() > 60 and pads[split.test].min() > 60
    mask = tokenizer(data.texts[split.test[0]])["attention_mask"]
    assert all(mask)


@pytest.mark.parametrize("name", clinic.CASES)
def test_a_case_is_one_mistake_with_an_expected_finding(name):
    case = clinic.CASES[name]
    assert case.illness in ILLNESSES and case.complaint
    assert case.changes or case.data is not clinic.passages
    assert case.recipe(5).seed == 5 and case.recipe().diff(clinic.BASE).keys() == dict(case.changes).keys()


def test_what_is_repaired_is_the_data_without_their_fault():
    for name, case in clinic.CASES.items():
        broken, repaired = case.data(3), case.repaired(3)
        whole = case.data in (clinic.passages, clinic.two_classes)
        assert (broken.fingerprint == repaired.fingerprint) == whole, name
        assert repaired.task == broken.task and len(repaired.split(0).train) == 96, name


@pytest.mark.parametrize("name", clinic.HEALTHY)
def test_a_healthy_case_expects_nothing(name):
    assert clinic.find(name).illness is None
    assert clinic.find(name).recipe().epochs >= clinic.BASE.epochs


def test_an_unknown_case():
    with pytest.raises(RecipeError, match="case: 'flu' is unknown; there are rate 5e-3, two examples"):
        clinic.start("flu")


@pytest.mark.parametrize("name", ["two examples", "class imbalance, not stratified", "padding attended to"])
def test_a_case_can_be_started_and_kept(name, monkeypatch, tmp_path):
    monkeypatch.setenv("FTLAB_PRESET", "tiny")
    run = clinic.start(name, seed=1, epochs=2)
    path = tmp_path / "records.jsonl"
    path.write_text(clinic.to_line(name, run) + "\n", encoding="utf-8")
    [kept] = clinic.load(path)
    assert (kept.case, kept.seed, kept.status) == (name, 1, run.status)
    assert kept.recipe.but(**{"max_length": run.recipe.max_length}) == run.recipe
    assert np.allclose(kept.history.loss, run.history.loss, rtol=1e-5)
    assert kept.history.lr.shape == run.history.lr.shape
    assert np.array_equal(kept.history.lr, run.history.lr)
    assert np.allclose(kept.predictions, run.predictions, rtol=1e-5)
    assert diagnose(kept).names == diagnose(run).names


def test_a_record_without_predictions_comes_back_without_them(tmp_path):
    kept = dataclasses.replace(clinic.load(RECORDS)[0], targets=None, predictions=None)
    path = tmp_path / "records.jsonl"
    path.write_text(clinic.to_line(kept.case, kept) + "\n", encoding="utf-8")
    assert json.loads(path.read_text(encoding="utf-8"))["targets"] is None
    [back] = clinic.load(path)
    assert back.targets is back.predictions is None
    assert diagnose(back).names == diagnose(kept).names


def test_the_kept_records_fit_their_cases():
    runs = clinic.load(RECORDS)
    assert RECORDS.stat().st_size < 200_000
    for kept in runs:
        assert kept.recipe == clinic.find(kept.case).recipe(kept.seed)
        assert np.array_equal(
            kept.history.lr, preview(kept.recipe, kept.history.steps_per_epoch).lr[: len(kept.history)]
        )
        assert len(kept.targets) == len(kept.predictions) == 32
    assert {p.case for p in runs if p.illness is None} == set(clinic.HEALTHY)


def test_graded_runs_are_new_and_made_as_planned():
    """Seeds on which no threshold was set; every planned run is there, with the recipe of its dose."""
    planned = {(name, dose, seed): (changes, data) for name, dose, seed, changes, data in clinic_runs.graded_runs()}
    assert not {seed for _, _, seed in planned} & {kept.seed for kept in clinic.load(RECORDS)}
    kept = clinic.load(RECORDS.with_name("clinic_graded.jsonl"))
    assert {(run.case, run.dose, run.seed) for run in kept} == planned.keys() and len(kept) == len(planned)
    for run in kept:
        assert run.recipe == clinic.find(run.case).recipe(run.seed).but(**planned[run.case, run.dose, run.seed][0])


def test_doses():
    plain = clinic.passages(100)
    assert np.array_equal(plain.targets, clinic_runs.shuffled(100, 0).targets)
    half = clinic_runs.shuffled(100, 0.5)
    assert 0.4 < np.mean(half.targets != plain.targets) <= 0.5
    assert np.array_equal(np.sort(half.targets), np.sort(plain.targets)) and half.texts == plain.texts
    split = plain.split(0)
    for pads in (10, 80):
        texts = clinic_runs.padded(100, pads).texts
        assert {texts[row].count("[PAD]") for row in split.validation} == {pads}
        assert {texts[row].count("[PAD]") for row in split.train} == {0}
    assert len(clinic_runs.few(100, 8).split(0).train) == 8


def test_the_runs_of_the_study_are_healthy_runs(tmp_path):
    row = {
        "name": "llrd", "changes": {"layer_decay": 0.9}, "fold": 2, "seed": 1, "status": "completed",
        "loss": [1.0, 0.8, 0.5, 0.3] * 5, "grad_norm": [2.0] * 20,
        "evals": [{"step": 5, "validation": 0.7, "test": 0.8}],
    }  # fmt: skip
    path = tmp_path / "study.jsonl"
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    [kept] = clinic.load_study(path)
    assert (kept.case, kept.seed, kept.illness) == ("llrd, fold 2", 1, None)
    history = kept.history
    assert history.loss.tolist() == row["loss"] and history.steps_per_epoch == 5 and history.total_steps == 20
    assert np.array_equal(history.lr, preview(kept.recipe, 5).lr)
    assert history.evals[0]["loss"] == pytest.approx(0.49) and history.evals[0]["epoch"] == 1
    path.write_text(json.dumps({**row, "grad_norm": None}) + "\n", encoding="utf-8")
    with pytest.raises(CheckpointError, match="study.jsonl, line 1: not the record of a run"):
        clinic.load_study(path)


def test_damaged_records(tmp_path):
    path = tmp_path / "records.jsonl"
    with pytest.raises(CheckpointError, match="records.jsonl: cannot be read"):
        clinic.load(path)
    first, second = RECORDS.read_text(encoding="utf-8").splitlines()[:2]
    for bad in (second[:50], "3", "{}", second.replace("rate 5e-3", "flu"), second.replace('"lr"', '"rate"')):
        path.write_text(f"{first}\n{bad}\n", encoding="utf-8")
        with pytest.raises(CheckpointError, match="records.jsonl, line 2: not the record of a run"):
            clinic.load(path)
