"""The training loop: plain AdamW when all is off, deterministic, techniques applied, ended and resumed cleanly."""

import gc
import json
import math
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import ftlab as ft
from ftlab.__main__ import main
from ftlab.checkpoint import load_checkpoint
from ftlab.data.batches import length_grouped_batches
from ftlab.models.load import load_tokenizer, tiny_model
from ftlab.techniques.frequent_eval import BestScore
from ftlab.trainer import prepare, training_loop
from tests.pairwise import pairwise

TEXTS = [
    "The cat sat on the mat and looked at the dog. " * (1 + i % 4)
    + f"{'Notwithstanding epistemology. ' * (i % 3)}Number {i}."
    for i in range(120)
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """120 short texts whose target is how often a hard phrase occurs in them, with a little noise."""
    path = tmp_path_factory.mktemp("data") / "rows.jsonl"
    noise = np.random.default_rng(0).normal(0, 0.1, len(TEXTS))
    rows = [{"text": t, "target": t.count("epistemology") - 1 + n} for t, n in zip(TEXTS, noise, strict=True)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return ft.load_data(path)


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "classes.jsonl"
    rows = [{"text": t, "label": ["short", "long"][len(t) > 100]} for t in TEXTS]
    path.write_text("\n".join(map(json.dumps, rows)))
    return ft.load_data(path)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setenv("FTLAB_PRESET", "tiny")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a tiny model gains nothing from more
    yield
    torch.set_num_threads(threads)


RECIPE = ft.Recipe(epochs=2, batch_size=8, lr=3e-3)


def fit(recipe, data, **arguments):
    return ft.fit(recipe, data, **{"live": False, **arguments})


class StopAfter(ft.Callback):
    """Stop the run after so many updates."""

    def __init__(self, steps):
        self.steps, self.stop = steps, threading.Event()

    def on_step(self, history):
        if len(history) == self.steps:
            self.stop.set()


def weights(run):
    return {name: value.clone() for name, value in run.final_model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# ------------------------------------------------------------------------------------------------ plain training


def test_with_all_techniques_off_it_is_plain_adamw(data):
    """A loop written here with torch alone gives the same losses, norms and weights."""
    recipe = RECIPE.but(weight_decay=0.0, seed=5)  # of the weights and of the batches
    run = fit(recipe, data)
    torch.manual_seed(5)
    model = tiny_model(recipe, task="regression", labels=None, num_layers=6).train()
    tokenizer = load_tokenizer("minilm")
    train = data.split(0).train[:48]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: 1 - s / 12)
    losses, norms = [], []
    for epoch in range(2):
        lengths = [len(tokenizer(data.texts[i], truncation=True, max_length=48)["input_ids"]) for i in train]
        for rows in length_grouped_batches(lengths, 8, seed=5, epoch=epoch):
            rows = train[rows]
            batch = tokenizer(
                [data.texts[i] for i in rows],
                truncation=True,
                max_length=48,
                padding=True,
                return_tensors="pt",
            )
            labels = torch.tensor(data.targets[rows], dtype=torch.float32)
            loss = ((model(**batch).logits[:, 0] - labels) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)))
            optimizer.step()
            scheduler.step()
            losses.append(loss.item())
    np.testing.assert_allclose(run.history.loss, losses, rtol=2e-4)
    np.testing.assert_allclose(run.history.grad_norm, norms, rtol=2e-3)
    np.testing.assert_allclose(run.history.lr[:, 0], [3e-3 * (1 - s / 12) for s in range(12)], rtol=1e-12)


def test_what_is_drawn_in_a_run_follows_the_seed(data):
    """Without learning, what is handed back is the tiny model whose top layer was drawn anew right after seeding."""
    recipe = RECIPE.but(lr=0.0, epochs=1, reinit_layers=1, seed=5)
    run = fit(recipe, data)
    model = tiny_model(recipe, task="regression", labels=None, num_layers=6)
    torch.manual_seed(5)
    ft.reinit.reinit_top_layers(model, 1)
    assert same(run.final_model.state_dict(), model.state_dict())


def test_predictions_are_those_of_each_text_by_itself_in_the_order_of_the_rows(data):
    """Texts of all lengths, one after the other through the model that is handed back."""
    run = fit(RECIPE, data)
    test = data.split(0).test[:24]
    alone = []
    with torch.no_grad():
        for i in test:
            inputs = run.tokenizer(data.texts[i], truncation=True, max_length=48, return_tensors="pt")
            alone.append(run.final_model.eval()(**inputs).logits.item())
    assert np.std(alone) > 2e-4, "or their order could not be seen: a tiny model hardly tells texts apart"
    np.testing.assert_allclose(run.predictions, alone, rtol=0, atol=1e-5)
    np.testing.assert_allclose(run.predict([data.texts[i] for i in test]), alone, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(run.targets, data.targets[test])
    assert run.test_score == pytest.approx(math.sqrt(np.mean((np.array(alone) - run.targets) ** 2)), rel=1e-4)


@pytest.fixture(scope="module")
def extremes(tmp_path_factory):
    """The 50 easiest and the 50 hardest passages, with their scores and as two classes."""
    frame = ft.load_data("passages").frame.sort_values("target")
    frame = pd.concat([frame.head(50), frame.tail(50)])
    frame["label"] = np.where(frame["target"] > 0, "easy", "hard")
    path = tmp_path_factory.mktemp("data") / "extremes.csv"
    frame.to_csv(path, index=False)
    return {
        "regression": ft.load_data(path, target="target"),
        "classification": ft.load_data(path, target="label"),
    }


SHORT = ft.Recipe(max_length=16, batch_size=8, lr=3e-4, epochs=2)


def test_the_real_model_learns_and_the_scores_are_what_they_say(extremes, monkeypatch):
    monkeypatch.delenv("FTLAB_PRESET")
    data = extremes["regression"]
    run = fit(SHORT, data)
    assert run.status == "completed" and len(run.history) == 16
    assert run.history.loss[-8:].mean() < 0.5 * run.history.loss[:8].mean()
    assert run.test_score < 0.6 * run.targets.std()
    rmse = math.sqrt(np.mean((run.predictions - run.targets) ** 2))
    assert run.test_score == pytest.approx(rmse, rel=1e-12)
    assert run.best_score == min(e["score"] for e in run.history.evals)
    assert run.swa_score is None and run.swa_model is None
    test = data.split(0).test
    np.testing.assert_array_equal(run.targets, data.targets[test])
    np.testing.assert_allclose(run.predict([data.texts[i] for i in test]), run.predictions, rtol=1e-4, atol=1e-5)


def test_classification(extremes, monkeypatch):
    monkeypatch.delenv("FTLAB_PRESET")
    data = extremes["classification"]
    run = fit(SHORT, data)
    assert run.history.metric == "macro_f1" and run.task == "classification"
    assert run.test_score > 0.8
    assert run.best_score == max(e["score"] for e in run.history.evals)
    assert {"accuracy", "score", "loss"} <= run.history.evals[0].keys()
    test = data.split(0).test
    named = run.predict([data.texts[i] for i in test])
    assert set(named) == {"easy", "hard"}
    assert (named == np.array(data.labels)[run.predictions]).all()


def test_the_best_checkpoint_is_kept_and_not_the_last(data):
    """At a wild rate the score goes up and down; the model handed back must be the one that scored best."""
    run = fit(RECIPE.but(lr=3e-2, eval_every=1, epochs=3, seed=1), data)
    scores = [e["score"] for e in run.history.evals]
    assert scores.index(min(scores)) < len(scores) - 1, "the last look must not be the best for this to prove anything"
    validation = data.split(0).validation[:24]
    rmse = math.sqrt(np.mean((run.predict([data.texts[i] for i in validation]) - data.targets[validation]) ** 2))
    assert rmse == pytest.approx(min(scores), rel=1e-3)


def test_the_same_recipe_gives_the_same_numbers_bit_for_bit(data):
    recipe = RECIPE.but(dropout=0.1, layer_decay=0.8, warmup=3, swa_start=1, reinit_layers=1, eval_every=2)
    torch.manual_seed(123)
    first = fit(recipe, data)
    torch.manual_seed(456)
    before = torch.get_rng_state()
    second = fit(recipe, data)
    assert torch.equal(before, torch.get_rng_state()), "fit must leave the reader's random state alone"
    assert first.history == second.history and same(weights(first), weights(second))
    assert first.test_score == second.test_score and first.swa_score == second.swa_score
    other = fit(recipe.but(seed=1), data)
    assert first.history != other.history and first.history.loss[0] != other.history.loss[0]


def test_the_history_holds_the_previewed_rates_bit_for_bit(data):
    recipe = RECIPE.but(layer_decay=0.7, head_lr=1e-2, warmup=0.25, schedule="cosine", swa_start=1.5, swa_lr=1e-3)
    run = fit(recipe, data)
    expected = ft.preview(recipe, steps_per_epoch=6, num_layers=6)
    np.testing.assert_array_equal(run.history.lr, expected.lr)
    assert run.history.layers == expected.layers and run.history.swa_step == expected.swa_step == 9


def test_the_distance_to_the_average_is_measured_while_there_is_one(data, tmp_path):
    """By hand, in NumPy: from the weights saved at the last evaluation to those of the averaged model."""
    run = fit(RECIPE.but(swa_start=1, eval_every=2), data, checkpoint_dir=tmp_path)
    assert ["swa_distance" in e for e in run.history.evals] == [e["step"] > 6 for e in run.history.evals]
    tensors, state = load_checkpoint(tmp_path)
    assert state["step"] == 12
    gaps = [
        tensors["model"][name].double().numpy() - averaged.detach().double().numpy()
        for name, averaged in run.swa_model.named_parameters()
    ]
    expected = math.sqrt(sum((gap**2).sum() for gap in gaps))
    assert run.history.evals[-1]["swa_distance"] == pytest.approx(expected, rel=1e-4) and expected > 0


def test_the_average_is_the_mean_of_the_weights_after_each_update_from_the_switch_on(data, tmp_path):
    """By hand, in NumPy: of 12 updates the last 6, as the checkpoints hold them."""
    snapshots = []

    class Copy(ft.Callback):
        def on_evaluate(self, history):
            tensors, state = load_checkpoint(tmp_path)
            if state["step"] > 6:
                snapshots.append(tensors["model"])

    run = fit(RECIPE.but(swa_start=1, eval_every=1), data, checkpoint_dir=tmp_path, callbacks=[Copy()])
    assert len(snapshots) == 6 and run.history.swa_step == 6
    for name, averaged in run.swa_model.named_parameters():
        mean = np.mean([snapshot[name].double().numpy() for snapshot in snapshots], axis=0)
        np.testing.assert_allclose(averaged.detach().numpy(), mean, rtol=1e-5, atol=1e-7)


def test_the_average_is_scored_as_itself(data):
    """At the last evaluation it is the model that is handed back."""
    run = fit(RECIPE.but(swa_start=1), data)
    validation = data.split(0).validation[:24]
    rmse = math.sqrt(np.mean((run.predict([data.texts[i] for i in validation]) - data.targets[validation]) ** 2))
    assert run.history.evals[-1]["swa_score"] == pytest.approx(rmse, rel=1e-4)
    assert run.history.evals[-1]["score"] != pytest.approx(rmse, rel=1e-4)


def test_every_parameter_moves_at_its_own_rate(data):
    """With SGD and one step, each change divided by its layer's rate is the clipped gradient: compare two recipes."""

    def first_step(**changes):
        recipe = RECIPE.but(optimizer="sgd", weight_decay=0.0, epochs=1, **changes)
        start = tiny_model(recipe, task="regression", labels=None, num_layers=6).state_dict()
        taken, press = {}, StopAfter(1)
        run = fit(recipe, data, stop=press.stop, callbacks=[press])
        for name, value in run.model.state_dict().items():
            taken[name] = value - start[name]
        return taken, ft.layer_map(run.model).place, run.history.lr[0]

    even, place, _ = first_step(lr=1.0)
    decayed, _, rates = first_step(lr=1.0, layer_decay=0.5)
    names = ["embeddings", *(f"layer.{i}" for i in range(6)), "head"]
    for name, layer in place.items():
        rate = rates[names.index(layer)]
        expected = 1.0 if layer == "head" else 0.5 ** (6 - names.index(layer))
        assert rate == expected
        torch.testing.assert_close(decayed[name], even[name] * rate, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("batch_size, accumulate", [(4, 2), (2, 4), (3, 5)])
def test_accumulated_gradients_equal_the_big_batchs(data, batch_size, accumulate):
    """48 rows; 3 x 5 leaves a last update of one batch, whose mean must be over its own three rows."""
    seen = {}
    recipe = RECIPE.but(optimizer="sgd", lr=1.0, max_grad_norm=None, weight_decay=0.0)
    small = recipe.but(batch_size=batch_size, gradient_accumulation_steps=accumulate)
    press = StopAfter(1)
    run = fit(small, data, stop=press.stop, callbacks=[press])
    assert run.history.steps_per_epoch == math.ceil(math.ceil(48 / batch_size) / accumulate)

    train = data.split(0).train[:48]
    tokenizer = load_tokenizer("minilm")
    lengths = [len(tokenizer(data.texts[i], truncation=True, max_length=48)["input_ids"]) for i in train]
    batches = length_grouped_batches(lengths, batch_size, seed=0, epoch=0)[:accumulate]
    rows = train[np.concatenate(batches)]
    model = tiny_model(recipe, task="regression", labels=None, num_layers=6).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batch = tokenizer([data.texts[i] for i in rows], truncation=True, max_length=48, padding=True, return_tensors="pt")
    labels = torch.tensor(data.targets[rows], dtype=torch.float32)
    ((model(**batch).logits[:, 0] - labels) ** 2).mean().backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            seen[name] = before[name] - run.model.state_dict()[name]
            torch.testing.assert_close(seen[name], parameter.grad, rtol=1e-3, atol=2e-6)
    with torch.no_grad():
        expected = ((model(**batch).logits[:, 0] - labels) ** 2).mean().item()
    assert run.history.loss[0] == pytest.approx(expected, rel=1e-4)


def test_the_last_partial_group_is_a_mean_over_its_own_rows(data):
    """48 rows in batches of 10, three to an update: the second update has two batches, about 18 rows."""
    recipe = RECIPE.but(batch_size=10, gradient_accumulation_steps=3, epochs=1, lr=0.0)
    run = fit(recipe, data)
    assert len(run.history) == 2
    train = data.split(0).train[:48]
    model = tiny_model(recipe, task="regression", labels=None, num_layers=6).eval()
    run.model.load_state_dict(model.state_dict())
    squared = (run.predict([data.texts[i] for i in train]) - data.targets[train]) ** 2
    tokenizer = load_tokenizer("minilm")
    lengths = [len(tokenizer(data.texts[i])["input_ids"][:48]) for i in train]
    batches = length_grouped_batches(lengths, 10, seed=0, epoch=0)
    for update in (0, 1):
        rows = np.concatenate(batches[3 * update : 3 * update + 3])
        assert run.history.loss[update] == pytest.approx(squared[rows].mean(), rel=1e-4)


def test_no_weight_decay_on_vectors(data):
    """With the rate on and gradients off (clipped to nothing), only matrices shrink, each by (1 - lr * decay)."""
    recipe = RECIPE.but(lr=0.1, weight_decay=0.5, schedule="constant", epochs=1, batch_size=48, optimizer="bertadam")
    recipe = recipe.but(max_grad_norm=1e-30)
    run = fit(recipe, data)
    start = tiny_model(recipe, task="regression", labels=None, num_layers=6)
    for name, value in start.named_parameters():
        factor = 1 - 0.1 * 0.5 if value.ndim > 1 else 1.0
        torch.testing.assert_close(run.model.state_dict()[name], value * factor, rtol=1e-5, atol=1e-7)


# ----------------------------------------------------------------------------------------------------- endings


def test_patience(data):
    run = fit(RECIPE.but(lr=0.0, eval_every=1, patience=3, epochs=3), data)
    assert run.status == "early_stopped"
    assert [e["best"] for e in run.history.evals] == [True, False, False, False]
    assert run.test_score is not None


@pytest.mark.parametrize("at", [1, 4, 7])
def test_the_stop_event_ends_the_run_after_the_update_in_progress(data, at):
    press = StopAfter(at)
    run = fit(RECIPE, data, stop=press.stop, callbacks=[press])
    assert run.status == "interrupted" and len(run.history) == at
    assert run.test_score is None and (run.best_score is None) == (at < 6)
    assert np.isfinite(run.predict(TEXTS[:3])).all()


@pytest.mark.parametrize("event", ["on_train_begin", "on_step", "on_evaluate"])
def test_an_interrupt_keeps_everything_so_far(data, event):
    ended = []

    class Press(ft.Callback):
        def on_train_end(self, run):
            ended.append(run)

    def interrupt(*_):
        raise KeyboardInterrupt

    press = Press()
    setattr(press, event, interrupt)
    run = fit(RECIPE, data, callbacks=[press])
    assert run.status == "interrupted" and ended == [run]
    assert len(run.history) == {"on_train_begin": 0, "on_step": 1, "on_evaluate": 6}[event]
    assert np.isfinite(run.predict(TEXTS[0]))


def test_an_interrupt_leaves_the_best_score_with_its_own_weights(data):
    """Raised at one line after another of an evaluation that finds a new best."""
    job = prepare(RECIPE, data)

    def load(noise: int) -> float:
        torch.manual_seed(noise)
        with torch.no_grad():
            for parameter in job.bare_model.parameters():
                parameter.copy_(torch.randn_like(parameter) * 0.1)
        job.best = BestScore()
        return job.evaluate(1)

    worse, better = sorted((1, 2), key=load, reverse=True)
    score = {noise: load(noise) for noise in (worse, better)}
    kept = {score[noise]: (load(noise), job.best_weights)[1] for noise in (worse, better)}

    def lines_until(limit: float) -> int:
        """Evaluate the better weights over the worse, interrupted at a line; return how many lines there were."""
        load(worse)
        job.bare_model.load_state_dict(kept[score[better]])
        count = 0

        def trace(frame, event, argument):
            nonlocal count
            if Path(frame.f_code.co_filename).name not in ("trainer.py", "frequent_eval.py"):
                return None
            count += event == "line"
            if count > limit:
                sys.settrace(None)
                raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            job.evaluate(2)
        finally:
            sys.settrace(before)
        return count

    lines, found = lines_until(math.inf), set()
    for line in {*range(20), *range(20, lines, 31), *range(lines - 12, lines)}:
        with pytest.raises(KeyboardInterrupt):
            lines_until(line)
        assert same(job.best_weights, kept[job.best.score]), f"mixed after {line} of {lines} lines"
        found.add(job.best.score)
    assert found == set(score.values()), "before and after, and never between"


def test_callbacks_can_ask_for_predictions_and_change_nothing_by_it(data):
    test = data.split(0).test[:24]
    seen = []

    class Look(ft.Callback):
        def on_evaluate(self, history):
            seen.append(self.predict(test))

    recipe = RECIPE.but(dropout=0.1, eval_every=2)
    plain, looked = fit(recipe, data), fit(recipe, data, callbacks=[Look()])
    assert looked.history == plain.history and same(weights(looked), weights(plain))
    best = [e["best"] for e in looked.history.evals]
    np.testing.assert_array_equal(seen[len(best) - 1 - best[::-1].index(True)], looked.predictions)
    assert not np.array_equal(seen[0], seen[-1])


def test_an_error_in_a_callback_is_raised_and_the_others_are_told(data):
    ended = []

    class Other(ft.Callback):
        def on_train_end(self, run):
            ended.append(run)

    class Broken(ft.Callback):
        def on_step(self, history):
            raise ZeroDivisionError("the reader's own mistake")

    with pytest.raises(ZeroDivisionError):
        fit(RECIPE, data, callbacks=[Other(), Broken()])
    assert ended == [None]


@pytest.mark.parametrize("ends", ["well", "in error"])
def test_a_callback_does_not_keep_the_model_alive(data, ends):
    models = []

    class Look(ft.Callback):
        def on_evaluate(self, history):
            models.extend(weakref.ref(x) for x in gc.get_objects() if issubclass(type(x), torch.optim.Optimizer))
            if ends == "in error":
                raise ZeroDivisionError

    look = Look()
    gc.collect()
    gc.disable()  # so that only what nothing refers to is freed
    try:
        try:
            fit(RECIPE, data, callbacks=[look])
        except ZeroDivisionError as error:
            error.__traceback__ = None
        assert models and not any(model() for model in models)
    finally:
        gc.enable()


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
def test_a_loss_that_is_not_finite_stops_the_run(data):
    run = fit(RECIPE.but(lr=1e30, optimizer="sgd", max_grad_norm=None), data)
    assert run.status == "diverged"
    assert 0 < len(run.history) < run.history.total_steps
    assert not (np.isfinite(run.history.loss[-1]) and np.isfinite(run.history.grad_norm[-1])) or not run.history.evals
    assert len(run.history.to_frame()) == len(run.history)
    assert isinstance(repr(run), str)


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
def test_after_divergence_the_best_checkpoint_is_used_and_not_a_broken_average(data):
    """The rate explodes when averaging begins: the first epoch's checkpoint must be what is handed back."""
    recipe = RECIPE.but(lr=1e-3, optimizer="sgd", max_grad_norm=None, swa_start=1, swa_lr=1e30, swa_anneal_steps=0)
    run = fit(recipe, data)
    assert run.status == "diverged" and len(run.history.evals) >= 1
    assert run.swa_model is None and run.swa_score is None
    assert math.isfinite(run.test_score) and math.isfinite(run.best_score)
    assert np.isfinite(run.predict(TEXTS[:3])).all()


# ----------------------------------------------------------------------------------------------------- resuming

ALL_ON = RECIPE.but(
    epochs=3, dropout=0.1, layer_decay=0.9, warmup=3, reinit_layers=2, swa_start=1, swa_lr=1e-3, eval_every=2,
    batch_size=5, gradient_accumulation_steps=2,
)  # fmt: skip


def test_resumed_runs_equal_undisturbed_ones_bit_for_bit(data, case):
    whole = fit(ALL_ON, data)
    assert whole.status == "completed"
    for steps in (1, 3, 5, 9, 14):
        with case(f"stopped after {steps}") as folder:
            press = StopAfter(steps)
            first = fit(ALL_ON, data, checkpoint_dir=folder, stop=press.stop, callbacks=[press])
            assert first.status == "interrupted"
            second = fit(ALL_ON, data, checkpoint_dir=folder, resume=True)
            assert second.status == "completed" and second.history == whole.history
            assert same(weights(second), weights(whole)) and same(second.model.state_dict(), whole.model.state_dict())
            scores = [(run.best_score, run.test_score, run.swa_score) for run in (second, whole)]
            assert scores[0] == scores[1]


def test_a_best_checkpoint_from_before_the_stop_is_handed_back_after_it(data, tmp_path):
    """At a wild rate the score goes up and down; the run is stopped after its best evaluation and before its end."""
    recipe = RECIPE.but(lr=3e-2, eval_every=1, epochs=3, seed=1)
    whole = fit(recipe, data)
    scores = [e["score"] for e in whole.history.evals]
    best = whole.history.evals[scores.index(min(scores))]["step"]
    assert best + 1 < whole.history.total_steps, "nothing comes after the best evaluation: this would prove nothing"
    press = StopAfter(best + 1)
    fit(recipe, data, checkpoint_dir=tmp_path, stop=press.stop, callbacks=[press])
    resumed = fit(recipe, data, checkpoint_dir=tmp_path, resume=True)
    assert resumed.history == whole.history and resumed.best_score == min(scores)
    assert same(weights(resumed), weights(whole)) and resumed.test_score == whole.test_score


def test_resuming_a_finished_run_changes_nothing(data, tmp_path):
    for recipe in (RECIPE, RECIPE.but(lr=0.0, eval_every=1, patience=2)):
        folder = tmp_path / str(recipe.patience)
        first = fit(recipe, data, checkpoint_dir=folder)
        again = fit(recipe, data, checkpoint_dir=folder, resume=True)
        assert again.status == first.status and again.history == first.history
        assert again.test_score == first.test_score


def test_a_checkpoint_of_another_run_is_refused(data, tmp_path):
    fit(RECIPE, data, checkpoint_dir=tmp_path)
    with pytest.raises(ft.CheckpointError, match="recipe.lr, recipe.seed"):
        fit(RECIPE.but(lr=1e-4, seed=3), data, checkpoint_dir=tmp_path, resume=True)
    with pytest.raises(ft.CheckpointError, match="fold"):
        fit(RECIPE, data, fold=1, checkpoint_dir=tmp_path, resume=True)


# ---------------------------------------------------------------------------------------------- all together

FACTORS = {
    "rates": [{}, {"layer_decay": 0.8}, {"group_lrs": [1e-4, 1e-3, 3e-3]}],
    "averaging": [{}, {"swa_start": 1}, {"swa_start": 0.5, "swa_lr": 1e-3, "swa_anneal_steps": 2}],
    "optimizer": [{}, {"optimizer": "bertadam"}, {"optimizer": "sgd"}],
    "head": [{}, {"head": "attention"}, {"head": "mix"}],
    "head rate": [{}, {"head_lr": 1e-2}],
    "warm-up": [{}, {"warmup": 4}],
    "re-initialisation": [{}, {"reinit_layers": 2}],
    "evaluations": [{}, {"eval_every": 2}],
    "patience": [{}, {"patience": 2}],
    "accumulation": [{}, {"gradient_accumulation_steps": 2}],
    "dropout": [{}, {"dropout": None}],
    "loss": [{}, {"loss": "rmse"}],
    "schedule": [{}, {"schedule": "warmup_stable_decay", "schedule_args": {"decay_steps": 0.5}}],
}


def test_every_technique_works_with_every_other(data, case):
    """Each two settings of two techniques meet in one of these runs."""
    for chosen in pairwise(FACTORS):
        changes = {field: value for fields in chosen.values() for field, value in fields.items()}
        with case(changes):
            run = fit(RECIPE.but(**changes), data)
            assert run.status == "completed" or (run.status == "early_stopped" and run.recipe.patience)
            assert np.isfinite(run.history.loss).all() and np.isfinite(run.test_score)
            assert (run.swa_score is not None) == (run.recipe.swa_start is not None)
            expected = ft.preview(run.recipe, run.history.steps_per_epoch, num_layers=6)
            np.testing.assert_array_equal(run.history.lr, expected.lr[: len(run.history)])
            if run.status == "completed":
                assert len(run.history) == expected.total_steps


# ---------------------------------------------------------------------------------------------------- arguments


def test_bad_arguments_are_refused_before_training(data, case):
    for arguments, error in [
        ({"fold": 5}, "fold: 5"),
        ({"fold": -1}, "fold: -1"),
        ({"fold": True}, "fold: True"),
        ({"fold": 1.0}, "fold: 1.0"),
        ({"live": "yes"}, "live: 'yes'"),
        ({"resume": True}, "resume"),
        ({"recipe": "minilm"}, "recipe: str"),
        ({"data": [1, 2]}, "data: list"),
        ({"recipe": RECIPE.but(reinit_layers=7)}, "reinit_layers"),
        ({"recipe": RECIPE.but(group_lrs=[1e-5] * 7)}, "group_lrs"),
    ]:
        arguments = {"recipe": RECIPE, "data": data, "live": False, **arguments}
        with case(error), pytest.raises(ft.FtlabError, match=f"^{error}"):
            ft.fit(arguments.pop("recipe"), arguments.pop("data"), **arguments)


def test_rmse_loss_for_classes_is_refused(classes):
    with pytest.raises(ft.RecipeError, match="loss"):
        fit(RECIPE.but(loss="rmse"), classes)


def test_the_loop_can_be_read_in_one_sitting():
    import inspect

    assert len(inspect.getsource(training_loop).splitlines()) <= 45


# ------------------------------------------------------------------------------------------------ command line


FTLAB = [sys.executable, "-m", "ftlab"]


def test_fit_on_the_command_line(tmp_path, capfd):
    assert main(["fit", "--data", "passages", "--layer_decay", "0.8", "--out", str(tmp_path / "run")]) == 0
    out, err = capfd.readouterr()
    assert "completed" in out and "test rmse: " in out
    assert "it/s" in err or "steps" in err or "%" in err, "a progress bar is shown"
    run = ft.Run.load(tmp_path / "run")
    assert run.recipe.layer_decay == 0.8 and f"{run.test_score:.4f}" in out


def test_all_folds_on_the_command_line(capfd):
    assert main(["fit", "--fold", "all", "--epochs", "1", "--quiet"]) == 0
    out, err = capfd.readouterr()
    assert out.count("test rmse: ") == 5 and "mean test rmse over 5 folds: " in out
    assert err == ""


def test_bad_input_on_the_command_line_gets_one_line(case, capfd):
    for arguments, message in [
        (["fit", "--lr", "-1"], "lr: -1"),
        (["fit", "--data", "pasages"], "passages"),
        (["fit", "--fold", "seven"], "--fold: 'seven'"),
        (["fit", "--fold", "7"], "fold: 7"),
        (["fit", "--paper", "bas"], "--paper: 'bas'"),
        (["fit", "--recipe", "nowhere.json"], "--recipe: cannot read nowhere.json"),
        (["fit", "--resume"], "resume"),
        (["preview", "--model", "nobody/knows"], "num_layers"),
    ]:
        with case(message):
            assert main(arguments) == 2
            out, err = capfd.readouterr()
            assert err.startswith("error: ") and message in err and err.count("\n") == 1


def test_no_traceback_on_the_command_line():
    done = subprocess.run([*FTLAB, "preview", "--lr", "fast"], capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_preview_on_the_command_line(tmp_path, capsys):
    arguments = ["preview", "--paper", "llrd", "--steps_per_epoch", "142", "--out", str(tmp_path / "rates.png")]
    assert main(arguments) == 0 and "9.885e-07" in capsys.readouterr().out
    assert (tmp_path / "rates.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(os.name != "posix", reason="a pipe that nobody reads is for POSIX systems")
def test_a_reader_that_has_read_enough_is_no_error():
    """As in `python -m ftlab results FILE | head -3`."""
    done = unread("results", str(Path(__file__).parents[1] / "data" / "results" / "techniques.jsonl"))
    assert done.stderr == "" and done.returncode == 141


@pytest.mark.skipif(os.name != "posix", reason="a pipe that nobody reads is for POSIX systems")
def test_a_run_is_saved_before_anything_is_said_of_it(tmp_path):
    done = unread("fit", "--epochs", "1", "--quiet", "--out", str(tmp_path / "run"), env={"PYTHONUNBUFFERED": "1"})
    assert done.stderr == "" and done.returncode == 141
    assert ft.Run.load(tmp_path / "run").status == "completed"


def unread(*arguments, env=None):
    """Run a command whose output nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        return subprocess.run(
            [*FTLAB, *arguments],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
