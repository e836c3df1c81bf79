"""Full fine-tuning by Hugging Face's Trainer gives the same losses, step by step, as `fit`: two loops, one result."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

import ftlab as ft
from ftlab.data.batches import length_grouped_batches
from ftlab.models.load import load_tokenizer, tiny_model
from ftlab.recipe import Recipe

TEXTS = [f"{'The cat sat on the mat. ' * (1 + i % 4)}{'Epistemology. ' * (i % 3)}Number {i}." for i in range(120)]
ROWS = 48  # of the train part, as the tiny preset has it
RECIPE = Recipe(head="auto", epochs=3, batch_size=8, max_length=32, lr=3e-3, seed=1)


@pytest.fixture(scope="module")
def tasks():
    """The same texts with a value and with one of three classes."""
    noise = np.random.default_rng(0).normal(0, 0.3, len(TEXTS))
    values = [text.count("Epistemology") + 0.5 for text in TEXTS]  # far from 0, so that three epochs learn something
    kinds = ["easy", "easy", "fair", "easy", "easy", "hard"] * 20
    frame = pd.DataFrame({"text": TEXTS, "score": values + noise, "kind": kinds})
    return {
        "regression": ft.load_data(frame, target="score"),
        "classification": ft.load_data(frame, target="kind"),
    }


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setenv("FTLAB_PRESET", "tiny")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def train_with_trainer(recipe, data, folder, **changes):
    """Fine-tune by Trainer from the recipe's own start, in the recipe's own order; return its losses and itself."""
    model = tiny_model(recipe, task=data.task, labels=data.labels)
    tokenizer = load_tokenizer("minilm")
    rows, train = data.tokenise(tokenizer, recipe.max_length), data.split(0).train[:ROWS]
    lengths = np.asarray(rows["length"])[train]
    batches = [
        train[batch].tolist()
        for epoch in range(recipe.epochs)
        for batch in length_grouped_batches(lengths, recipe.batch_size, seed=recipe.seed, epoch=epoch)
    ]

    class SameOrder(Trainer):
        def get_train_dataloader(self):
            return DataLoader(self.train_dataset, batch_sampler=batches, collate_fn=self.data_collator)

    settings = dict(
        num_train_epochs=1,  # `batches` holds those of all epochs
        learning_rate=recipe.lr,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        lr_scheduler_type="linear",
        warmup_steps=recipe.warmup,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
    )
    trainer = SameOrder(
        model,
        TrainingArguments(str(folder), **{**settings, **changes}),
        train_dataset=rows.remove_columns("length"),
        data_collator=DataCollatorWithPadding(tokenizer),
    )
    trainer.train()
    return np.array([log["loss"] for log in trainer.state.log_history if "loss" in log]), trainer


@pytest.mark.parametrize("task", ["regression", "classification"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"batch_size": 10},  # the epoch's smaller batch stands somewhere in the middle
        {"weight_decay": 0.3},
        {"warmup": 5},
        {"max_grad_norm": 0.1},
    ],
    ids=lambda changes: ",".join(changes) or "plain",
)
def test_trainer_and_fit_agree_at_every_step(tasks, task, changes, tmp_path):
    recipe, data = RECIPE.but(**changes), tasks[task]
    run = ft.fit(recipe, data, live=False)
    losses, trainer = train_with_trainer(recipe, data, tmp_path)
    assert len(losses) == len(run.history) == recipe.epochs * -(-ROWS // recipe.batch_size)
    assert np.abs(losses - run.history.loss).max() < 1e-5
    norms = [log["grad_norm"] for log in trainer.state.log_history if "grad_norm" in log]
    assert norms == pytest.approx(run.history.grad_norm, rel=1e-4)
    assert losses[-5:].mean() < losses[:5].mean() - 0.1, "they agree about a model that learns"


def test_the_agreement_is_no_accident(tasks, tmp_path):
    """Another rate, decay, clipping or schedule leads elsewhere."""
    recipe, data = RECIPE.but(weight_decay=0.3), tasks["regression"]
    run = ft.fit(recipe, data, live=False)
    for name, value in {
        "learning_rate": 1.01 * recipe.lr,
        "weight_decay": 0.0,
        "max_grad_norm": 0.5,
        "lr_scheduler_type": "constant",
    }.items():
        losses, _ = train_with_trainer(recipe, data, tmp_path, **{name: value})
        assert np.abs(losses - run.history.loss).max() > 1e-4, name


class AtTheEnd(ft.Callback):
    """Keep what the model predicts after its last update."""

    def on_evaluate(self, history):
        self.predictions = self.predict(np.arange(30))


def test_the_models_at_the_end_predict_the_same(tasks, tmp_path):
    data, end = tasks["regression"], AtTheEnd()
    ft.fit(RECIPE, data, live=False, callbacks=[end])
    _, trainer = train_with_trainer(RECIPE, data, tmp_path)
    batch = DataCollatorWithPadding(load_tokenizer("minilm"))(
        [load_tokenizer("minilm")(text, truncation=True, max_length=RECIPE.max_length) for text in data.texts[:30]]
    )
    with torch.no_grad():
        logits = trainer.model.eval()(**batch.to(trainer.model.device)).logits[:, 0]
    assert np.abs(logits.cpu().numpy() - end.predictions).max() < 1e-5
    assert end.predictions.mean() > 0.5
