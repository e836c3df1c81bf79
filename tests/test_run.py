"""Runs: saved and loaded with the same numbers, used in a plain pipeline, damaged folders refused."""

import json

import numpy as np
import pytest
import torch
from transformers import pipeline

import ftlab as ft


@pytest.fixture(scope="module")
def run():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTLAB_PRESET", "tiny")
        recipe = ft.Recipe(epochs=2, batch_size=8, lr=1e-3, swa_start=1, layer_decay=0.9, warmup=2)
        return ft.fit(recipe, ft.load_data("passages"), live=False)


TEXTS = ["The dog ran.", "Jurisprudence presupposes hermeneutics, whatever one says.", "A long walk " * 30]


def test_save_and_load(run, tmp_path):
    run.save(tmp_path / "run")
    back = ft.Run.load(tmp_path / "run")
    assert back.recipe == run.recipe and back.history == run.history and back.status == run.status
    for name in ("best_score", "test_score", "swa_score", "seconds", "fold", "data_name", "task", "labels"):
        assert getattr(back, name) == getattr(run, name), name
    np.testing.assert_array_equal(back.predictions, run.predictions)
    np.testing.assert_array_equal(back.schedule.lr, run.schedule.lr)
    np.testing.assert_array_equal(back.predict(TEXTS), run.predict(TEXTS))
    for (name, a), b in zip(run.model.state_dict().items(), back.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_nothing_is_overwritten(run, tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(ft.CheckpointError, match="already exists"):
        run.save(tmp_path / "run")


def test_save_pretrained_loads_in_a_plain_pipeline_with_the_same_numbers(tmp_path, monkeypatch):
    monkeypatch.setenv("FTLAB_PRESET", "tiny")
    run = ft.fit(ft.Recipe(head="auto", epochs=1), ft.load_data("passages"), live=False)
    run.save_pretrained(tmp_path / "model")
    pipe = pipeline("text-classification", model=str(tmp_path / "model"), function_to_apply="none", device="cpu")
    got = [answer["score"] for answer in pipe(TEXTS, truncation=True, max_length=run.recipe.max_length)]
    np.testing.assert_allclose(got, run.predict(TEXTS), rtol=1e-5, atol=1e-6)


def test_the_averaged_weights_are_the_ones_used(run):
    assert run.final_model is run.swa_model is not run.model
    rmse = np.sqrt(np.mean((run.predictions - run.targets) ** 2))
    assert run.swa_score == pytest.approx(rmse)


def test_predict_takes_one_text_or_many_in_any_order(run):
    many = run.predict(TEXTS)
    assert many.shape == (3,)
    np.testing.assert_allclose(run.predict(TEXTS[::-1]), many[::-1], rtol=1e-5, atol=1e-6)
    one = run.predict(TEXTS[1])
    assert isinstance(one, float) and one == pytest.approx(many[1], rel=1e-5)
    assert run.predict([]).shape == (0,)


@pytest.mark.parametrize("texts", [[""], ["fine", "  "], [None], [3], ["fine", b"bytes"], None, 5, 0.5])
def test_what_is_not_text_is_refused(run, texts):
    with pytest.raises(ft.DataError, match=r"^texts\[\d\]"):
        run.predict(texts)


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: (d / "run.json").unlink(),
        lambda d: (d / "run.json").write_text("{"),
        lambda d: (d / "run.json").write_text(json.dumps({"status": "completed"})),
        lambda d: (d / "recipe.json").write_text('{"lr": -1}'),
        lambda d: (d / "history.json").write_text(""),
        lambda d: next((d / "model").glob("*.safetensors")).write_bytes(b"\x00" * 20),
    ],
)
def test_damaged_folders_are_refused(run, tmp_path, damage):
    run.save(tmp_path / "run")
    damage(tmp_path / "run")
    with pytest.raises(ft.FtlabError):
        ft.Run.load(tmp_path / "run")


def test_the_repr_says_how_it_ended(run):
    assert "completed" in repr(run) and f"{run.test_score:.4f}" in repr(run)


def test_a_closed_test_set_is_opened_later_with_the_same_numbers(run, tmp_path, monkeypatch):
    monkeypatch.setenv("FTLAB_PRESET", "tiny")
    later = ft.fit(run.recipe, ft.load_data("passages"), live=False, score_test=False)
    assert later.history == run.history and later.best_score == run.best_score
    assert later.test_score is later.swa_score is later.targets is later.predictions is None
    later.save(tmp_path / "closed")
    assert later.score_test() == later.swa_score == run.swa_score
    assert later.test_score == run.test_score
    np.testing.assert_array_equal(later.targets, run.targets)
    np.testing.assert_array_equal(later.predictions, run.predictions)
    closed = ft.Run.load(tmp_path / "closed")
    assert closed.test_score is None
    with pytest.raises(ft.DataError, match="test_set: a loaded run holds no data"):
        closed.score_test()
