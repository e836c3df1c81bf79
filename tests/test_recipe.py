"""Recipes: validation, copies, differences, JSON, and the article's own settings."""

import ast
import copy
import dataclasses
import inspect
import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftlab import recipe as recipe_module
from ftlab.errors import RecipeError
from ftlab.recipe import PAPER, Recipe


def test_but_and_diff():
    base = Recipe()
    changed = base.but(layer_decay=0.8)
    assert changed.diff(base) == {"layer_decay": (1.0, 0.8)}
    assert base.layer_decay == 1.0 and base.diff(base) == {}
    assert repr(changed) == "Recipe(layer_decay=0.8)"
    assert changed != base and changed == base.but(layer_decay=0.8)
    assert len({base, changed, base.but(layer_decay=0.8)}) == 2
    assert hash(base.but(warmup=0)) == hash(base.but(warmup=0.0)) and base.but(warmup=0) == base.but(warmup=0.0)
    assert len({base.but(schedule="cosine", schedule_args={"num_cycles": n}) for n in (1, 2, 2.0)}) == 2


def test_a_recipe_cannot_be_changed():
    recipe = Recipe(schedule="cosine", schedule_args={"num_cycles": 1})
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.lr = 1.0
    with pytest.raises(RecipeError, match="never changes"):
        recipe.schedule_args["num_cycles"] = 2


@pytest.mark.parametrize("name", PAPER)
def test_json_round_trip(name):
    recipe = PAPER[name]
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert pickle.loads(pickle.dumps(recipe)) == recipe == copy.deepcopy(recipe)


def test_numpy_values_become_plain():
    recipe = Recipe(lr=np.float32(0.5), epochs=np.int64(4), group_lrs=np.array([1e-5, 2e-5]))
    assert type(recipe.lr) is float and type(recipe.epochs) is int
    assert recipe.group_lrs == (1e-5, 2e-5)
    json.loads(recipe.to_json())


BAD = {
    "model": ["", "  ", None, 3],
    "head": ["linear", None, 1],
    "head_init": ["ridge", None],
    "max_length": [0, 3, 2.5, True, "128", None],
    "dropout": [-0.1, 1.0, "0.1", float("nan"), True],
    "epochs": [0, -1, 1.5, None, "3", True, 2**40],
    "batch_size": [0, 16.0, None],
    "gradient_accumulation_steps": [0, -2, 1.0],
    "lr": [-1e-5, float("inf"), float("nan"), "2e-5", None, True, [1e-5]],
    "head_lr": [-1.0, "x", float("inf")],
    "layer_decay": [-0.1, 1.1, None, "0.9"],
    "group_lrs": [[], [1e-5, -1], "1e-5", 1e-5, [None], {"a": 1}],
    "weight_decay": [-0.01, None, float("inf")],
    "optimizer": ["adam", None, "AdamW"],
    "max_grad_norm": [0, -1, float("nan")],
    "schedule": ["lineer", None, 3],
    "schedule_args": [None, 3, {"power": 2}, {1: 2}],
    "warmup": [-1, 1.0, 1.5, -0.1, None, "50", True, float("nan")],
    "reinit_layers": [-1, 1.5, None],
    "swa_start": [-1, 4, 5.0, "2", float("nan")],
    "swa_lr": [-1e-6, "x"],
    "swa_anneal_steps": [-1, 2.5, None],
    "eval_every": [0, -10, 2.5],
    "patience": [0, 1.5, -1],
    "seed": [-1, 0.5, None, "a", 2**32],
    "loss": ["mse", None],
}


def test_every_field_is_covered():
    assert set(BAD) == {f.name for f in dataclasses.fields(Recipe)}


@pytest.mark.parametrize("field, value", [(f, v) for f, values in BAD.items() for v in values], ids=repr)
def test_bad_values_name_the_field(field, value):
    with pytest.raises(RecipeError, match=rf"^{field}\b"):
        Recipe(**{field: value})


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"group_lrs": [1e-5], "layer_decay": 0.9}, "group_lrs and layer_decay"),
        ({"epochs": 2, "swa_start": 2}, "swa_start"),
        ({"schedule": "cosine_with_restarts", "schedule_args": {"num_cycles": 1.5}}, "num_cycles"),
        ({"schedule": "polynomial", "schedule_args": {"power": -1}}, "power"),
        ({"schedule": "warmup_stable_decay", "schedule_args": {"decay_type": "sqrt"}}, "decay_type"),
        ({"schedule": "linear", "schedule_args": {"num_cycles": 1}}, "takes none"),
    ],
)
def test_contradictions(fields, message):
    with pytest.raises(RecipeError, match=message):
        Recipe(**fields)


def test_unknown_fields_suggest_the_nearest():
    with pytest.raises(RecipeError, match="did you mean 'layer_decay'"):
        Recipe().but(layer_dekay=0.9)
    with pytest.raises(RecipeError, match="did you mean 'cosine'"):
        Recipe(schedule="cosin")


@pytest.mark.parametrize("text", ["", "[1]", "{", "null", '{"lr": "x"}', '{"learning": 1}', '{"lr": NaN}'])
def test_bad_json(text):
    with pytest.raises(RecipeError):
        Recipe.from_json(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(st.sampled_from([f.name for f in dataclasses.fields(Recipe)]), json_values)
def test_any_value_is_taken_or_refused_with_a_typed_error(name, value):
    try:
        recipe = Recipe(**{name: value})
    except RecipeError as error:
        assert name in str(error)
    else:
        assert Recipe.from_json(recipe.to_json()) == recipe


def test_the_articles_recipes():
    """Figures of the article: rates, groups, warm-up, re-initialised layers, averaging, looks."""
    assert list(PAPER) == [
        "baseline",
        "llrd",
        "grouped_llrd",
        "llrd+warmup",
        "llrd+warmup+swa",
        "grouped_llrd+warmup+swa",
        "all",
    ]
    baseline, everything = PAPER["baseline"], PAPER["all"]
    assert (baseline.model, baseline.lr, baseline.epochs, baseline.batch_size) == (
        "roberta-base",
        1e-6,
        20,
        16,
    )
    assert (baseline.max_length, baseline.dropout, baseline.loss, baseline.warmup) == (250, None, "rmse", 0)
    assert everything.group_lrs == (1e-6, 1.75e-6, 3.5e-6) and everything.head_lr == 3.6e-6
    assert (everything.warmup, everything.reinit_layers, everything.eval_every) == (50, 5, 10)
    assert (everything.swa_start, everything.swa_lr, everything.swa_anneal_steps) == (3, 2e-6, 10)
    assert PAPER["llrd+warmup"].diff(PAPER["llrd"]) == {"warmup": (0, 50)}


def test_no_default_reaches_the_articles_recipes():
    """The first of them names every field; the others are changed copies of it. So a new default changes none."""
    tree = ast.parse(inspect.getsource(recipe_module))
    [baseline] = [n.value for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "_BASELINE"]
    assert ast.unparse(baseline.func) == "Recipe" and not baseline.args
    assert {keyword.arg for keyword in baseline.keywords} == {f.name for f in dataclasses.fields(Recipe)}
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "Recipe"]
    made = [call for call in calls if call.lineno >= baseline.lineno]
    assert made == [baseline], "the others come from it by but(...)"
