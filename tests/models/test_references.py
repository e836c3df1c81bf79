"""Reference models and heads that start from a probe: against scikit-learn, transformers and formulas by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import Ridge
from sklearn.metrics import f1_score, root_mean_squared_error
from transformers import AutoModel, AutoTokenizer

import ftlab as ft
from ftlab.models import references as module
from ftlab.models.heads import HEADS
from ftlab.models.hub import minilm_folder
from ftlab.models.references import fit_linear, frozen_states, surface_features
from ftlab.recipe import HEAD_INITS
from ftlab.trainer import prepare


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setenv("FTLAB_PRESET", "tiny")


@pytest.fixture(scope="module")
def passages():
    return ft.load_data("passages")


@pytest.fixture(scope="module")
def classes(passages):
    frame = pd.DataFrame({"text": passages.texts, "label": np.where(passages.targets > 0.3, "easy", "hard")})
    return ft.load_data(frame)


def test_the_mean_is_the_training_mean_and_a_closed_test_set_stays_closed(tiny, passages):
    table = ft.references(passages, fold=1)
    assert table.index.tolist() == ["mean", "surface", "tfidf", "frozen"]
    assert table.columns.tolist() == ["validation", "test", "seconds"] and (table["seconds"] > 0).all()
    train, validation, test = (rows[:n] for rows, n in zip(passages.split(1), (48, 24, 24), strict=True))
    mean = passages.targets[train].mean()
    for name, rows in (("validation", validation), ("test", test)):
        expected = root_mean_squared_error(passages.targets[rows], np.full(len(rows), mean))
        assert table.loc["mean", name] == pytest.approx(expected)
    closed = ft.references(passages, fold=1, score_test=False)
    assert closed["test"].isna().all() and closed["validation"].equals(table["validation"])


def test_ridge_is_scikit_learns_on_standardised_inputs_with_a_floor_under_the_spread():
    generator = np.random.default_rng(0)
    inputs = generator.normal(3, 2, (60, 8))
    inputs[:, 5] = 1 + 5e-33 * generator.normal(size=60)  # as one of MiniLM's dimensions is
    targets = inputs[:, 0] - 2 * inputs[:, 1] + generator.normal(0, 0.5, 60)
    weight, bias = fit_linear(inputs, targets)
    assert weight.shape == (1, 8) and bias.shape == (1,) and np.isfinite(weight).all()
    spread = inputs.std(axis=0)
    spread[5] = 1e-3 * np.median(spread)
    standard = (inputs - inputs.mean(axis=0)) / spread
    candidates = [Ridge(alpha).fit(standard, targets).predict(standard) for alpha in module.PENALTIES]
    mine = inputs @ weight[0] + bias[0]
    assert min(np.abs(mine - other).max() for other in candidates) < 1e-8, "one of the penalties, in raw inputs"


def test_logistic_regression_gives_a_logit_a_class_even_where_one_is_missing():
    generator = np.random.default_rng(1)
    targets = generator.integers(0, 3, 150)
    inputs = generator.normal(0, 1, (150, 4)) + 3 * np.eye(4)[targets]
    weight, bias = fit_linear(inputs, targets, 4)
    assert weight.shape == (4, 4)
    chosen = (inputs @ weight.T + bias).argmax(axis=1)
    assert (chosen == targets).mean() > 0.85 and 3 not in chosen, "class 3 has no example"
    two = targets < 2
    weight, bias = fit_linear(inputs[two], targets[two], 2)
    assert ((inputs[two] @ weight.T + bias).argmax(axis=1) == targets[two]).mean() > 0.9


def test_the_most_frequent_class_stands_in_for_the_mean(tiny, classes):
    table = ft.references(classes, fold=0)
    train, _, test = (rows[:n] for rows, n in zip(classes.split(0), (48, 24, 24), strict=True))
    dummy = DummyClassifier(strategy="most_frequent").fit(np.zeros((len(train), 1)), classes.targets[train])
    guess = dummy.predict(np.zeros((len(test), 1)))
    expected = f1_score(classes.targets[test], guess, labels=[0, 1], average="macro", zero_division=0)
    assert table.loc["mean", "test"] == pytest.approx(expected)
    assert table.loc["tfidf"].between(0, 1).iloc[:2].all()


def test_without_a_group_of_characters_in_two_training_texts_tfidf_predicts_the_mean(tiny, passages, classes):
    short = pd.DataFrame({"text": ["ab", "cd", "ef", "gh", "ij"], "target": [1.0, 2.0, 3.0, 4.0, 5.0]})
    for data in (passages.few_samples(1), classes.few_samples(1), ft.load_data(short, num_folds=3)):
        scores = ft.references(data)[["validation", "test"]]
        assert scores.loc["tfidf"].equals(scores.loc["mean"]) and scores.notna().all(axis=None), data


def test_surface_features_by_hand():
    text = "The cat sat. It had 2 remarkable whiskers!"
    words = ["The", "cat", "sat", "It", "had", "remarkable", "whiskers"]
    letters = sum(map(len, words))
    found = surface_features(text)
    assert len(found) == 10
    assert found[:5] == [7, 2, 3.5, letters / 7, 2 / 7]
    assert found[5] == pytest.approx((1 + 1 + 1 + 1 + 1 + 4 + 2) / 7)  # syllables: re-mar-ka-ble as vowel groups
    assert found[6:] == [1.0, 2 / 7, 2 / 7, 1 / 7]  # different words, ". !", capitals, digits
    assert len(surface_features("...")) == 10, "a text without a word"


def test_frozen_states_are_transformers_own_averaged_over_the_tokens(passages):
    few = passages.blocks(1, 6, sizes=(2, 2, 2))[0]
    states = frozen_states(few, max_length=64)
    folder = minilm_folder()
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    for text, found in zip(few.texts, states, strict=True):
        inputs = tokenizer(text, truncation=True, max_length=64, return_tensors="pt")
        with torch.no_grad():
            hidden = model(**inputs, output_hidden_states=True).hidden_states
        expected = torch.cat([layer[0].mean(0) for layer in hidden]).numpy()
        np.testing.assert_allclose(found, expected, atol=2e-5)
    assert frozen_states(few, max_length=64) is states, "kept"
    assert states.shape == (6, 7 * 384)


def test_a_model_without_hidden_states_is_refused_by_name(tiny, passages, monkeypatch):
    class Silent(torch.nn.Module):
        def forward(self, **inputs):
            return object()

    model = module.tiny_model(ft.Recipe(head="mean"))
    model.backbone = Silent()
    monkeypatch.setattr(module, "tiny_model", lambda recipe: model)
    monkeypatch.setattr(module, "_states", type(module._states)())
    with pytest.raises(ft.ModelError, match="model 'minilm': it gives no hidden states"):
        ft.references(passages)


@pytest.mark.parametrize("head", ("auto", *HEADS))
def test_a_head_starts_from_the_ridge_solution_on_its_own_inputs(tiny, passages, head):
    """On its training rows the probe is no worse than their mean, and better than a random head."""
    recipe = ft.Recipe(head=head, head_init="probe", reinit_layers=1)
    job, plain = prepare(recipe, passages), prepare(recipe.but(head_init="random"), passages)
    rows = job.split.train
    targets = passages.targets[rows]
    error = root_mean_squared_error(targets, job.predict(job.bare_model, rows)[:, 0])
    assert error <= targets.std() + 1e-6
    assert error < root_mean_squared_error(targets, plain.predict(plain.bare_model, rows)[:, 0])
    ours, others = dict(job.bare_model.named_parameters()), dict(plain.bare_model.named_parameters())
    changed = {name for name in ours if not torch.equal(ours[name], others[name])}
    assert len(changed) == 2 and all(ours[name].shape[0] == 1 for name in changed), "weight and bias of the last layer"


def test_a_head_for_classes_starts_from_logistic_regression(tiny, classes):
    recipe = ft.Recipe(head="mean", head_init="probe")
    job, plain = prepare(recipe, classes), prepare(recipe.but(head_init="random"), classes)
    rows, targets = job.split.train, classes.targets[job.split.train]

    def loss(job):
        logits = torch.as_tensor(job.predict(job.bare_model, rows))
        return float(torch.nn.functional.cross_entropy(logits, torch.as_tensor(targets)))

    assert loss(job) < loss(plain)


def test_a_probed_head_is_kept_through_resume(tiny, passages, tmp_path):
    recipe = ft.Recipe(head="mix", head_init="probe", epochs=3, batch_size=8)
    whole = ft.fit(recipe, passages, live=False)

    class Stop(ft.Callback):
        def on_train_begin(self, history, schedule, stop):
            self.stop = stop

        def on_evaluate(self, history):
            self.stop.set()

    half = ft.fit(recipe, passages, live=False, checkpoint_dir=tmp_path, callbacks=[Stop()])
    assert half.status == "interrupted"
    resumed = ft.fit(recipe, passages, live=False, checkpoint_dir=tmp_path, resume=True)
    assert resumed.history == whole.history and resumed.test_score == whole.test_score


def test_the_field_is_neutral_and_left_out_of_keys():
    assert ft.Recipe().head_init == HEAD_INITS[0] == "random"
    assert "head_init" not in ft.Recipe().key_fields()
    assert ft.Recipe(head_init="probe").key_fields()["head_init"] == "probe"
    with pytest.raises(ft.RecipeError, match="head_init"):
        ft.Recipe(head_init="prob")
