"""The model card: its numbers are the run's, the hub can read it, its code runs, and it refuses to say nothing."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from huggingface_hub import ModelCard

import ftlab as ft

RECIPE = ft.Recipe(head="auto", epochs=1, max_length=32, lr=1e-3)
WORDS = {"name": "me/ease", "intended": "Sorting passages by ease.", "not_for": "Grading pupils."}


@pytest.fixture(scope="module")
def trained():
    """A regression, one with averaging, a classification; each on the tiny preset, with its data."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTLAB_PRESET", "tiny")
        data = ft.load_data("passages")
        frame = data.frame.assign(label=np.where(data.frame["level"] > 5, "hard", "easy"))
        classes = ft.load_data(frame, text="excerpt", target="label")
        return {
            "values": (ft.fit(RECIPE, data, live=False), data),
            "averaged": (ft.fit(RECIPE.but(epochs=2, swa_start=1), data, fold=2, live=False), data),
            "classes": (ft.fit(RECIPE, classes, live=False), classes),
        }


@pytest.mark.parametrize("kind", ["values", "averaged", "classes"])
def test_the_numbers_are_those_of_the_run(trained, kind, tmp_path):
    run, data = trained[kind]
    ft.model_card(run, data, license="apache-2.0", **WORDS).save(tmp_path / "README.md")
    card = ModelCard.load(tmp_path / "README.md")
    score = run.swa_score if kind == "averaged" else run.test_score
    (result,) = card.data.eval_results
    assert result.metric_value == round(score, 4) and result.metric_type == run.history.metric
    assert result.dataset_name == data.name and str(run.fold) in result.dataset_split
    assert card.data.base_model == "sentence-transformers/all-MiniLM-L6-v2"
    assert card.data.license == "apache-2.0" and card.data.language == "en"
    assert f"| test (evaluated once) | {score:.4f} |" in card.text
    assert ("selected on" in card.text) == (kind != "averaged")
    assert WORDS["intended"] in card.text and f"**Not for.** {WORDS['not_for']}" in card.text
    recipe = re.search(r"```json\n(.*?)```", card.text, re.S)[1]
    assert ft.Recipe.from_json(recipe) == run.recipe == ft.Recipe().but(**json.loads(recipe))
    for name, rows in data.split(run.fold)._asdict().items():
        assert f"{name} {len(rows)}" in card.text


@pytest.mark.parametrize("kind", ["values", "classes"])
def test_the_code_in_the_card_runs(trained, kind, tmp_path):
    run, data = trained[kind]
    run.save_pretrained(tmp_path)
    card = ft.model_card(run, data, **{**WORDS, "name": str(tmp_path)})
    code = re.search(r"```python\n(.*?)```", card.text, re.S)[1].replace('pipe("..."', "answer = pipe(TEXT")
    names = {"TEXT": data.texts[0]}
    exec(code, names)
    (answer,) = names["answer"]
    if kind == "values":
        assert answer["score"] == pytest.approx(run.predict(data.texts[0]), abs=1e-5)
    else:
        assert answer["label"] == run.predict(data.texts[0])


def test_a_head_of_our_own_is_not_promised_to_a_pipeline(trained):
    run, data = trained["values"]
    card = ft.model_card(replace(run, recipe=run.recipe.but(head="mean")), data, **WORDS)
    assert "pipeline(" not in card.text and "ft.Run.load" in card.text


def test_a_folder_is_no_base_model(trained, tmp_path):
    run, data = trained["values"]
    for model, base in {
        str(tmp_path): None,
        "../mine": None,
        "C:\\mine": None,
        "mpnet": "sentence-transformers/all-mpnet-base-v2",
        "roberta-base": "roberta-base",
        "microsoft/deberta-v3-base": "microsoft/deberta-v3-base",
    }.items():
        card = ft.model_card(replace(run, recipe=run.recipe.but(model=model)), data, **WORDS)
        assert card.data.base_model == base, model


def test_a_card_that_would_mislead_is_refused(trained):
    run, data = trained["values"]
    for field in WORDS:
        with pytest.raises(ft.DataError, match=f"^{field}: ' ' is not a text"):
            ft.model_card(run, data, **{**WORDS, field: " "})
    with pytest.raises(ft.ModelError, match="it is interrupted and has no test score"):
        ft.model_card(replace(run, status="interrupted", test_score=None), data, **WORDS)
    with pytest.raises(ft.DataError, match="the run was trained on 'passages'"):
        ft.model_card(run, trained["classes"][1], **WORDS)


def test_the_data_of_another_run_are_refused(trained, tmp_path):
    """A sample of the same rows too, even one with as many updates and the same test set, and other folds."""
    run, data = trained["values"]
    run.save(tmp_path / "run")
    for kept in (run, ft.Run.load(tmp_path / "run")):
        ft.model_card(kept, ft.load_data("passages"), **WORDS)
        for other in (data.play(30), data.few_samples(430), data.resplit(1)):
            with pytest.raises(ft.DataError, match="data: the run was trained on another sample or other folds"):
                ft.model_card(kept, other, **WORDS)
    ft.model_card(replace(run, data_fingerprint=None), data.play(30), **WORDS)  # saved before runs kept it
