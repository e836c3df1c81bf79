"""The range test: the rates it promises, the losses of a plain loop, suggestions as fastai's, ends well, changes
nothing."""

import dataclasses
import json
import random

import numpy as np
import pandas as pd
import pytest
import torch

import ftlab as ft
from ftlab.data.batches import length_grouped_batches
from ftlab.errors import DataError, RecipeError
from ftlab.history import History
from ftlab.models.load import load_tokenizer, tiny_model
from ftlab.trainer import Job
from ftlab.tuning.lr_finder import RULES, LRFinder, smooth, suggest

TEXTS = [
    "The cat sat on the mat and looked at the dog. " * (1 + i % 4)
    + f"{'Notwithstanding epistemology. ' * (i % 3)}Number {i}."
    for i in range(120)
]


def written(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("data") / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return ft.load_data(path)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """120 short texts whose target is how often a hard phrase occurs in them, with a little noise."""
    noise = np.random.default_rng(0).normal(0, 0.1, len(TEXTS))
    rows = [{"text": t, "target": t.count("epistemology") - 1 + n} for t, n in zip(TEXTS, noise, strict=True)]
    return written(tmp_path_factory, rows)


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    return written(tmp_path_factory, [{"text": t, "label": ["short", "long"][len(t) > 100]} for t in TEXTS])


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setenv("FTLAB_PRESET", "tiny")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


RECIPE = ft.Recipe(epochs=2, batch_size=8)


# ------------------------------------------------------------------------------------------------- the test itself


def test_the_losses_are_those_of_a_plain_loop_with_a_rising_rate(data):
    """A loop written here with torch alone: AdamW, clipping, a rate that grows by the same factor each step."""
    finder = ft.find_lr(RECIPE.but(weight_decay=0.0), data, low=1e-4, high=1e-1, steps=25)
    torch.manual_seed(0)
    model = tiny_model(RECIPE, task="regression", labels=None, num_layers=6).train()
    tokenizer = load_tokenizer("minilm")
    train = data.split(0).train[:48]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.0)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 1000 ** (1 / 24))
    lengths = [len(tokenizer(data.texts[i], truncation=True, max_length=48)["input_ids"]) for i in train]
    batches = [rows for epoch in range(5) for rows in length_grouped_batches(lengths, 8, seed=0, epoch=epoch)]
    losses, rates = [], []
    for rows in batches[: len(finder.losses)]:
        texts = [data.texts[i] for i in train[rows]]
        batch = tokenizer(texts, truncation=True, max_length=48, padding=True, return_tensors="pt")
        labels = torch.tensor(data.targets[train[rows]], dtype=torch.float32)
        loss = ((model(**batch).logits[:, 0] - labels) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    assert len(losses) >= 12
    np.testing.assert_allclose(finder.rates, rates, rtol=1e-9)
    np.testing.assert_allclose(finder.losses, losses, rtol=2e-3)


@pytest.mark.parametrize(
    "changes",
    [
        {"layer_decay": 0.5},
        {"layer_decay": 0.8, "head_lr": 1e-3, "lr": 1e-4},
        {"group_lrs": (1e-6, 2e-6, 8e-6), "head_lr": 1e-5},
        {"layer_decay": 0.0},
        {"warmup": 3, "swa_start": 1, "schedule": "cosine", "layer_decay": 0.9, "reinit_layers": 2},
    ],
    ids=str,
)
def test_every_layer_keeps_its_share_of_the_rate(data, changes):
    recipe = RECIPE.but(**changes)
    finder = ft.find_lr(recipe, data, low=1e-6, high=1e-4, steps=20)
    assert finder.status == "completed"
    np.testing.assert_array_equal(finder.rates, np.geomspace(1e-6, 1e-4, 20))
    plan = ft.preview(recipe.but(schedule="constant", schedule_args={}, warmup=0, swa_start=None), 6).lr[0]
    np.testing.assert_allclose(finder.history.lr, finder.rates[:, None] * (plan / plan[-2]), rtol=1e-12)


def test_it_uses_the_batches_accumulation_and_clipping_of_fit(data):
    recipe = RECIPE.but(lr=1e-6, gradient_accumulation_steps=2, schedule="constant")
    finder = ft.find_lr(recipe, data, low=1e-6, high=1.0000001e-6, steps=20)
    run = ft.fit(recipe.but(epochs=3), data, live=False)
    np.testing.assert_allclose(finder.losses[:9], run.history.loss, rtol=1e-5)
    np.testing.assert_allclose(finder.history.grad_norm[:9], run.history.grad_norm, rtol=1e-4)


def test_nothing_changes_and_the_same_arguments_give_the_same_numbers(data):
    recipe = RECIPE.but(dropout=0.1, lr=1e-3)
    before = ft.fit(recipe, data, live=False)
    texts, targets, fingerprint = list(data.texts), data.targets.copy(), data.fingerprint
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    states = random.getstate(), str(np.random.get_state()), torch.get_rng_state()
    first = ft.find_lr(recipe, data, steps=40)
    assert random.getstate() == states[0] and str(np.random.get_state()) == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    assert torch.is_grad_enabled() and torch.get_num_threads() == 1
    assert recipe == RECIPE.but(dropout=0.1, lr=1e-3)
    assert data.texts == texts and np.array_equal(data.targets, targets) and data.fingerprint == fingerprint
    torch.manual_seed(99)
    second = ft.find_lr(recipe, data, steps=40)
    assert first.history == second.history and first.start_loss == second.start_loss
    after = ft.fit(recipe, data, live=False)
    assert after.history == before.history
    ours, theirs = after.model.state_dict(), before.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_the_loss_before_training_is_that_of_the_untouched_model(data, classes):
    for rows, loss in ((data, "auto"), (data, "rmse"), (classes, "auto")):
        recipe = RECIPE.but(loss=loss, dropout=0.3)
        finder = ft.find_lr(recipe, rows, steps=20)
        untouched = ft.fit(recipe.but(lr=0.0, epochs=1), rows, live=False)
        train = rows.split(0).train[:48]
        batch = untouched.tokenizer([rows.texts[i] for i in train], truncation=True, max_length=48, padding=True,
                                    return_tensors="pt")  # fmt: skip
        with torch.no_grad():
            logits = untouched.model.eval()(**batch).logits
        targets = torch.tensor(rows.targets[train])
        if rows.task == "classification":
            wanted = torch.nn.functional.cross_entropy(logits, targets)
        else:
            wanted = torch.mean((logits[:, 0] - targets) ** 2)
            wanted = wanted.sqrt() if loss == "rmse" else wanted
        assert finder.start_loss == pytest.approx(wanted.item(), rel=1e-4)


# ---------------------------------------------------------------------------------------------- where it ends


def test_it_stops_where_the_smoothed_loss_is_four_times_its_best(data):
    recipe = RECIPE.but(optimizer="sgd", max_grad_norm=1.0, batch_size=4)
    finder = ft.find_lr(recipe, data, low=1e-4, high=1e3, steps=120, smoothing=0.8)
    assert finder.status == "diverged" and len(finder.losses) < 120
    smoothed, first = finder.smoothed, 12
    best = np.minimum(finder.start_loss, np.minimum.accumulate(smoothed[first:]))
    over = smoothed[first + 1 :] > 4 * best[:-1]
    assert over[-1] and not over[:-1].any()


def test_a_number_that_is_not_finite_ends_it_at_once(data):
    finder = ft.find_lr(RECIPE.but(optimizer="sgd", max_grad_norm=None), data, low=1e-3, high=1e30, steps=30)
    assert finder.status == "diverged"
    finite = np.isfinite(finder.losses) & np.isfinite(finder.history.grad_norm)
    assert finite[:-1].all() and len(finder.losses) < 30


def test_a_start_that_diverges_says_so(data):
    finder = ft.find_lr(RECIPE.but(max_grad_norm=None, optimizer="sgd"), data, low=100.0, high=1000.0)
    assert finder.status == "diverged" and len(finder.losses) <= 11
    assert "the loss diverged from the start" in finder.refusal and "low=0.1 or so" in finder.refusal
    assert finder.refusal in repr(finder)
    with pytest.raises(RecipeError, match="^low: the loss diverged from the start"):
        _ = finder.suggestions
    with pytest.raises(RecipeError, match="^low: "):
        finder.apply()
    assert "no suggestion" in ft.plots.describe(finder.plot())


def test_a_range_in_which_nothing_is_learnt_says_so():
    finder = synthetic(np.full(60, 2.0), start=1.5, total=60)
    with pytest.raises(RecipeError, match="^high: the loss never fell below the 1.5 before training"):
        _ = finder.suggestions


def test_an_interrupt_keeps_what_was_measured(data, monkeypatch):
    whole = ft.find_lr(RECIPE, data, steps=60)
    work, calls = Job.forward_and_backward, []

    def impatient(job, batches):
        calls.append(1)
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        return work(job, batches)

    monkeypatch.setattr(Job, "forward_and_backward", impatient)
    state = torch.get_rng_state()
    for stop_at in (1, 4, 36):  # noqa: B007  (read by `impatient`)
        calls.clear()
        finder = ft.find_lr(RECIPE, data, steps=60)
        assert finder.status == "interrupted" and len(finder.losses) == stop_at - 1
        assert np.array_equal(finder.losses, whole.losses[: stop_at - 1])
        assert "interrupted" in repr(finder) and finder.plot().png().startswith(b"\x89PNG")
        if stop_at < 10:
            with pytest.raises(RecipeError, match=f"interrupted after {stop_at - 1} of 60 updates"):
                _ = finder.suggestions
    assert torch.equal(torch.get_rng_state(), state)


# ------------------------------------------------------------------------------------------- reading the curve


def synthetic(losses, *, start=1.0, total=None, smoothing=0.0, status="completed", recipe=RECIPE, low=1e-7, high=1.0):
    """A finder with a curve of our own."""
    rates = np.geomspace(low, high, total or len(losses))
    history = History(["embeddings", "layer.0", "head"], steps_per_epoch=6, total_steps=total or len(losses))
    for rate, loss in zip(rates.tolist(), np.asarray(losses).tolist(), strict=False):
        history.append(loss=loss, grad_norm=1.0, lr=[rate] * 3, seconds=0.0)
    return LRFinder(recipe, status, history, start, smoothing)


RATES = np.geomspace(1e-7, 1.0, 85)
X = np.log10(RATES)
BOWL = 1 - 0.8 / (1 + np.exp(-3 * (X + 4))) + np.exp(3 * (X + 1))
CURVES = {
    "bowl": BOWL,
    "ripples": BOWL + 0.05 * np.sin(9 * X),
    "waves": BOWL + 0.2 * np.sin(5 * X),
    "two valleys": BOWL - 0.7 * np.exp(-20 * (X + 6) ** 2),
}
# What fastai 2.8.12 finds on these curves: the places of its `steep`, `valley` and (before the tenth) `minimum`.
FASTAI = {"bowl": (35, 26, 54), "ripples": (37, 41, 57), "waves": (31, 52, 50), "two valleys": (10, 32, 54)}


@pytest.mark.parametrize("name", CURVES)
def test_the_suggestions_are_those_of_fastai(name):
    found = suggest(RATES, CURVES[name])
    assert list(found) == list(RULES)
    steepest, valley, lowest = (RATES[i] for i in FASTAI[name])
    assert found == pytest.approx({"steepest": steepest, "valley": valley, "min/10": lowest / 10}, rel=1e-12)


def test_the_valley_of_a_curve_that_only_falls_is_its_middle_and_of_one_that_rises_its_start():
    assert suggest(RATES, 1 - X)["valley"] == RATES[41]
    assert suggest(RATES, 1 + X)["valley"] == RATES[0]


@pytest.mark.parametrize("smoothing", [0.0, 0.5, 0.9, 0.98])
def test_smoothing_is_the_exponential_mean_of_pandas(smoothing):
    losses = np.random.default_rng(1).normal(1, 0.3, 50)
    wanted = pd.Series(losses).ewm(alpha=1 - smoothing, adjust=True).mean()
    np.testing.assert_allclose(smooth(losses, smoothing), wanted, rtol=1e-12)
    assert smooth(np.array([]), smoothing).shape == (0,)


def test_the_first_tenth_and_the_last_five_are_not_read():
    losses = np.concatenate([np.full(10, 0.01), np.linspace(1, 0.5, 80), np.full(10, 0.02)])
    finder = synthetic(losses)
    rates = finder.rates
    wanted = suggest(rates[10:95], losses[10:95])
    assert finder.suggestions == wanted and wanted["min/10"] == pytest.approx(rates[90] / 10)
    short = synthetic(losses[:60], total=100, status="diverged")
    assert short.suggestions == suggest(rates[10:55], losses[10:55])


def test_another_smoothing_reads_the_same_test_again():
    finder = synthetic(CURVES["waves"])
    again = dataclasses.replace(finder, smoothing=0.9)
    assert np.array_equal(again.losses, finder.losses) and again.suggestions != finder.suggestions
    with pytest.raises(RecipeError, match=r"smoothing: 1.0 is out of range; allowed: \[0, 1\)"):
        dataclasses.replace(finder, smoothing=1.0)


def test_a_fall_within_the_noise_is_called_one():
    noise = np.random.default_rng(0).normal(1, 0.2, 100)
    flat, deep = (synthetic(noise - fall * (np.arange(100) > 50), smoothing=0.9) for fall in (0.0, 0.6))
    assert "no further than its noise" in flat.caution and flat.caution in repr(flat)
    assert not deep.caution and "steepest" in repr(deep)


def test_a_suggestion_is_applied_to_head_and_groups_in_proportion():
    finder = synthetic(BOWL, recipe=RECIPE.but(lr=1e-4, head_lr=3e-4, layer_decay=0.9))
    rate = finder.suggestions["min/10"]
    applied = finder.apply("min/10")
    assert applied.lr == rate and applied.head_lr == pytest.approx(3 * rate) and applied.layer_decay == 0.9
    groups = synthetic(BOWL, recipe=RECIPE.but(lr=1e-4, group_lrs=(1e-6, 2e-6))).apply("min/10")
    assert groups.group_lrs == pytest.approx((rate / 2, rate)) and groups.lr == pytest.approx(50 * rate)
    with pytest.raises(RecipeError, match="rule: 'best' is unknown. Known: steepest, valley, min/10"):
        finder.apply("best")


# -------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"low": 0}, r"low: 0 is out of range; allowed: \(0, inf\)"),
        ({"low": float("nan")}, "low: nan is not a finite number"),
        ({"high": float("inf")}, "high: inf is not a finite number"),
        ({"high": "1"}, "high: '1' is not a finite number"),
        ({"low": 1.0, "high": 1.0}, "high: 1.0 does not lie above low=1.0"),
        ({"steps": 19}, "steps: 19 is out of range; allowed: 20 or more"),
        ({"steps": 50.0}, "steps: 50.0 is not a whole number"),
        ({"steps": True}, "steps: True is not a whole number"),
        ({"smoothing": 1}, r"smoothing: 1 is out of range; allowed: \[0, 1\)"),
        ({"smoothing": -0.1}, "smoothing: -0.1 is out of range"),
        ({"fold": 5}, "fold: 5 is not one of the folds 0 to 4"),
        ({"recipe": RECIPE.but(lr=0.0)}, "lr: with a rate of 0 for the top layer"),
        ({"recipe": {"lr": 1e-3}}, "recipe: dict is not a Recipe"),
    ],
    ids=str,
)
def test_bad_arguments_are_named(data, arguments, message):
    with pytest.raises(RecipeError, match=message):
        ft.find_lr(**{"recipe": RECIPE, "data": data, "steps": 20, **arguments})


def test_data_of_the_wrong_kind_is_named():
    with pytest.raises(DataError, match="data: list is not a data set"):
        ft.find_lr(RECIPE, TEXTS)


# ---------------------------------------------------------------------------------------------- the real model


def test_on_the_real_model_the_suggestions_lie_where_it_learns(monkeypatch, tmp_path):
    monkeypatch.delenv("FTLAB_PRESET")
    frame = ft.load_data("passages").frame.sort_values("target")
    path = tmp_path / "extremes.csv"
    pd.concat([frame.head(50), frame.tail(50)]).to_csv(path, index=False)
    recipe = ft.Recipe(max_length=16, batch_size=8)
    finder = ft.find_lr(recipe, ft.load_data(path, target="target"), low=1e-5, high=1e-1, steps=40)
    assert finder.smoothed.min() < 0.6 * finder.start_loss and not finder.caution
    assert all(1e-5 <= rate < 1e-2 for rate in finder.suggestions.values())
