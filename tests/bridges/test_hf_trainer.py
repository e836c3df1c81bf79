"""The bridges to Trainer, inside a real Trainer on a tiny model: rates by layer and step, averages, scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score
from transformers import EvalPrediction, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

import ftlab as ft
from ftlab import hf_bridge
from ftlab.evaluate import scores
from ftlab.models.load import tiny_model
from ftlab.trainer import make_optimizer

BASE = ft.Recipe(epochs=2, batch_size=8, lr=1e-3, layer_decay=0.7, warmup=0.25, max_length=16)
ROWS, STEPS = 40, 5  # rows, and the steps that they make an epoch


@pytest.fixture(scope="module")
def data():
    return ft.load_data("passages")


def train(recipe, data, folder, *, model=None, callbacks=(), optimizers=None, **arguments):
    """Train with Hugging Face's Trainer as the recipe says; return it, with every group's rates as they were used."""
    torch.manual_seed(0)
    tokenizer = ft.load_tokenizer("minilm")
    rows = data.tokenise(tokenizer, recipe.max_length)
    model = tiny_model(recipe, task=data.task, labels=data.labels) if model is None else model
    accumulation = recipe.gradient_accumulation_steps
    steps = math.ceil(math.ceil(ROWS / recipe.batch_size) / accumulation)
    seen = Rates()
    trainer = Trainer(
        model,
        TrainingArguments(
            output_dir=str(folder),
            num_train_epochs=recipe.epochs,
            per_device_train_batch_size=recipe.batch_size,
            gradient_accumulation_steps=accumulation,
            max_grad_norm=recipe.max_grad_norm,
            logging_steps=1,
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            **{"save_strategy": "no", **arguments},
        ),
        train_dataset=rows.select(range(ROWS)),
        eval_dataset=rows.select(range(ROWS, 2 * ROWS)),
        processing_class=tokenizer,
        compute_metrics=hf_bridge.compute_metrics(data.task),
        optimizers=optimizers or hf_bridge.optimizers(recipe, model, steps),
        callbacks=[seen, *callbacks],
    )
    trainer.train(resume_from_checkpoint=arguments.get("resume_from_checkpoint"))
    trainer.rates = seen.rates
    return trainer


class Rates(TrainerCallback):
    """Writes down the rate of every layer as the optimizer is about to use it."""

    def __init__(self):
        self.rates = []

    def on_pre_optimizer_step(self, args, state, control, optimizer=None, **kwargs):
        self.rates.append({group["layer"]: group["lr"] for group in optimizer.param_groups})


RECIPES = {
    "llrd and warm-up": BASE,
    "groups": BASE.but(layer_decay=1.0, group_lrs=[1e-4, 5e-4, 1e-3], head_lr=2e-3),
    "frozen below": BASE.but(layer_decay=0.0),
    "a flat rate while averaging": BASE.but(swa_start=1, swa_lr=5e-4, swa_anneal_steps=3),
    "cosine, accumulation": BASE.but(schedule="cosine", gradient_accumulation_steps=2, epochs=3),
    "sgd": BASE.but(optimizer="sgd"),
}


@pytest.mark.parametrize("name", RECIPES)
def test_trainer_applies_the_rates_of_the_preview_bit_for_bit(name, data, tmp_path):
    recipe = RECIPES[name]
    trainer = train(recipe, data, tmp_path)
    steps_per_epoch = 3 if recipe.gradient_accumulation_steps == 2 else STEPS
    schedule = ft.preview(recipe, steps_per_epoch)
    assert trainer.state.global_step == len(trainer.rates) == schedule.total_steps
    assert np.array_equal([[rates[layer] for layer in schedule.layers] for rates in trainer.rates], schedule.lr)
    logged = [entry["learning_rate"] for entry in trainer.state.log_history if "learning_rate" in entry]
    assert logged == schedule.lr[:, 0].tolist(), "Trainer logs the first group's, that of the embeddings"


def test_the_weights_move_as_those_rates_say(data, tmp_path):
    model = tiny_model(BASE)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    train(BASE.but(layer_decay=0.0, weight_decay=0.0), data, tmp_path, model=model)
    place = ft.layer_map(model).place
    moved = {place[name] for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {"layer.5", "head"}


def test_a_resumed_training_goes_on_with_the_right_rates(data, tmp_path):
    whole = train(BASE, data, tmp_path, save_strategy="steps", save_steps=4)
    resumed = train(BASE, data, tmp_path, resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    assert resumed.rates == whole.rates[4:] and len(resumed.rates) == 6


@pytest.mark.parametrize(
    "changes",
    [{"epochs": 4}, {"epochs": 3, "lr": 5e-3, "layer_decay": 0.9}, {"epochs": 3, "schedule": "cosine", "swa_start": 2}],
    ids=str,
)
def test_a_training_resumed_with_another_plan_has_its_rates_from_the_first_update_on(changes, data, tmp_path):
    train(BASE, data, tmp_path, save_strategy="steps", save_steps=4)
    recipe = BASE.but(**changes)
    resumed = train(recipe, data, tmp_path, resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    schedule = ft.preview(recipe, STEPS)
    got = [[rates[layer] for layer in schedule.layers] for rates in resumed.rates]
    assert np.array_equal(got, schedule.lr[4:]) and len(got) > 6
    logged = {e["step"]: e["learning_rate"] for e in resumed.state.log_history if "learning_rate" in e}
    assert [logged[step + 1] for step in range(4, schedule.total_steps)] == schedule.lr[4:, 0].tolist()


def test_a_training_that_another_scheduler_began_goes_on_with_the_rates_of_the_preview(data, tmp_path):
    """Trainer's own scheduler saves its base rates; LambdaLR would multiply ours by them."""
    model = tiny_model(BASE)
    optimizer = make_optimizer(BASE, model)
    theirs = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    train(BASE, data, tmp_path, model=model, optimizers=(optimizer, theirs), save_strategy="steps", save_steps=4)
    resumed = train(BASE, data, tmp_path, resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    schedule = ft.preview(BASE, STEPS)
    assert np.array_equal([[r[layer] for layer in schedule.layers] for r in resumed.rates], schedule.lr[4:])


@pytest.mark.parametrize("order", ["optimizer first", "scheduler first"])
def test_in_a_loop_of_ones_own_either_may_be_loaded_first(order):
    def plan(epochs):
        return hf_bridge.optimizers(BASE.but(epochs=epochs), tiny_model(BASE), STEPS)

    optimizer, scheduler = plan(2)
    for _ in range(4):
        optimizer.step()
        scheduler.step()
    pair, states = plan(3), (optimizer.state_dict(), scheduler.state_dict())
    for one, state in list(zip(pair, states, strict=True))[:: 1 if order == "optimizer first" else -1]:
        one.load_state_dict(state)
    schedule = ft.preview(BASE.but(epochs=3), STEPS)
    for step in (4, 5, 6):
        held = {group["layer"]: group["lr"] for group in pair[0].param_groups}
        assert [held[layer] for layer in schedule.layers] == schedule.lr[step].tolist()
        pair[0].step()
        pair[1].step()


def test_the_last_rate_stays_after_the_end():
    model = tiny_model(BASE)
    optimizer, scheduler = hf_bridge.optimizers(BASE.but(schedule="constant"), model, STEPS)
    for _ in range(3 * BASE.epochs * STEPS):
        optimizer.step()
        scheduler.step()
    assert max(scheduler.get_last_lr()) == BASE.lr


def test_a_group_without_a_place_is_refused():
    schedule = ft.preview(BASE, STEPS)
    plain = torch.optim.AdamW(tiny_model(BASE).parameters())
    with pytest.raises(ft.RecipeError, match="group 0 has layer None.*ft.llrd.param_groups"):
        hf_bridge.scheduler(plain, schedule)
    shallow = make_optimizer(BASE, tiny_model(BASE, num_layers=7))
    with pytest.raises(ft.RecipeError, match="layer 'layer.6', not one of embeddings"):
        hf_bridge.scheduler(shallow, schedule)
    with pytest.raises(ft.RecipeError, match=r"it holds \d+ of 500 steps"):
        hf_bridge.scheduler(make_optimizer(BASE, tiny_model(BASE)), ft.preview(BASE, 250, steps=20))


# -------------------------------------------------------------------------------------------------- averaging


class Snapshots(TrainerCallback):
    """Keeps the weights after every step."""

    def __init__(self):
        self.kept = []

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.kept.append({name: value.clone() for name, value in model.state_dict().items()})


@pytest.mark.parametrize("swa_step", [0, 6, 9])
def test_the_average_is_the_mean_of_the_snapshots(swa_step, data, tmp_path):
    model = tiny_model(BASE)
    swa, snapshots = hf_bridge.SWACallback(swa_step), Snapshots()
    trainer = train(BASE, data, tmp_path, model=model, callbacks=[swa, snapshots])
    assert swa.averager.num_updates == 10 - swa_step
    live = trainer.evaluate()["eval_rmse"]
    swa.put_into(trainer.model)
    for name, value in trainer.model.state_dict().items():
        wanted = torch.stack([kept[name].double() for kept in snapshots.kept[swa_step:]]).mean(0)
        assert torch.allclose(value.double(), wanted, atol=1e-6), name
    averaged = trainer.evaluate()["eval_rmse"]
    assert (averaged == live) == (swa_step == 9)


def test_the_average_is_right_under_mixed_precision(data, tmp_path):
    """There, Trainer puts a wrapper round the model's forward, which must run the weights that were put in."""
    model = tiny_model(BASE)
    swa = hf_bridge.SWACallback(2)
    trainer = train(BASE, data, tmp_path, model=model, callbacks=[swa], bf16=True)
    live = trainer.predict(trainer.eval_dataset).predictions
    swa.put_into(trainer.model)
    averaged = trainer.predict(trainer.eval_dataset).predictions
    assert np.abs(averaged - live).max() > 0
    by_itself = tiny_model(BASE)
    by_itself.load_state_dict(swa.averager.model.state_dict())
    batch = trainer.data_collator([{k: trainer.eval_dataset[i][k] for k in ("input_ids",)} for i in range(8)])
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert np.allclose(by_itself.eval()(**batch).logits.float().numpy(), averaged[:8], atol=2e-2)


def test_averaging_that_could_not_be_right_is_refused(data, tmp_path):
    swa = hf_bridge.SWACallback(6)
    with pytest.raises(ft.ModelError, match="no weights were averaged; training ended before step 6"):
        swa.put_into(tiny_model(BASE))
    train(BASE, data, tmp_path, callbacks=[swa], save_strategy="steps", save_steps=4)
    with pytest.raises(ft.CheckpointError, match="resumes at step 8, but averaging began at step 6"):
        train(BASE, data, tmp_path, callbacks=[swa], resume_from_checkpoint=str(tmp_path / "checkpoint-8"))
    train(BASE, data, tmp_path, callbacks=[swa], resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    assert swa.averager.num_updates == 4, "a training starts its own average"
    split = TrainingArguments(output_dir=str(tmp_path), report_to="none")
    split.fsdp = True
    with pytest.raises(ft.ModelError, match="fsdp splits the weights"):
        swa.on_train_begin(split, TrainerState(), TrainerControl(), model=tiny_model(BASE))
    for step in (-1, 2.5, True, "last", None):
        with pytest.raises(ft.RecipeError, match="swa_step: "):
            hf_bridge.SWACallback(step)


def test_all_techniques_together_with_frequent_evaluation(data, tmp_path):
    recipe = BASE.but(reinit_layers=2, swa_start=1, eval_every=2)
    model = tiny_model(recipe)
    fresh = ft.reinit.reinit_top_layers(model, recipe.reinit_layers)
    assert fresh and all(name in dict(model.named_parameters()) for name in fresh)
    swa = hf_bridge.SWACallback(ft.preview(recipe, STEPS).swa_step)
    best = {"load_best_model_at_end": True, "metric_for_best_model": "rmse", "greater_is_better": False}
    when = {"eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 2}
    trainer = train(recipe, data, tmp_path, model=model, callbacks=[swa], **best, **when)
    looks = [entry["eval_rmse"] for entry in trainer.state.log_history if "eval_rmse" in entry]
    assert len(looks) == 5 and trainer.state.best_metric == min(looks)
    assert trainer.evaluate()["eval_rmse"] == min(looks)
    assert swa.averager.num_updates == 5


# ----------------------------------------------------------------------------------------------------- scores


def test_scores_are_those_of_fit():
    generator = np.random.default_rng(0)
    logits, ids = generator.normal(size=(60, 3)), generator.integers(0, 3, 60)
    got = hf_bridge.compute_metrics("classification")(EvalPrediction((logits, "hidden states"), ids))
    chosen = logits.argmax(1)
    assert got == {
        "macro_f1": pytest.approx(f1_score(ids, chosen, average="macro")),
        "accuracy": accuracy_score(ids, chosen),
    }
    values, targets = generator.normal(size=(60, 1)), generator.normal(size=60)
    got = hf_bridge.compute_metrics("regression")(EvalPrediction(values, targets))
    assert got == {"rmse": pytest.approx(np.sqrt(np.mean((values[:, 0] - targets) ** 2)))}
    assert got["rmse"] == scores("regression", values, targets)["score"]
    assert math.isnan(hf_bridge.compute_metrics("regression")(EvalPrediction(values * np.nan, targets))["rmse"])
    with pytest.raises(ft.RecipeError, match="task: 'ranking' is unknown. Known: regression, classification"):
        hf_bridge.compute_metrics("ranking")


def test_trainer_scores_classes_too(data, tmp_path):
    frame = data.frame.assign(label=np.where(data.frame["level"] > 5, "hard", "easy"))
    classes = ft.load_data(frame, text="excerpt", target="label")
    trainer = train(BASE, classes, tmp_path)
    logged = trainer.evaluate()
    output = trainer.predict(trainer.eval_dataset)
    assert logged["eval_macro_f1"] == f1_score(output.label_ids, output.predictions.argmax(1), average="macro")
    assert {"eval_accuracy", "eval_loss"} <= set(logged)
