"""Three ways to train the same sample: `fit`'s own loop, Hugging Face's Trainer at its best, and the article's loop.

All three start from a set-up that is not timed, see each text of the sample once an epoch, and are timed from the first
batch to the last. What they return is examples a second: texts, whatever they were padded to.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ftlab as ft
from ftlab.data.batches import evaluation_batches
from ftlab.data.load import Data
from ftlab.errors import DataError
from ftlab.evaluate import EVALUATION_BATCH
from ftlab.models import cuda_graphs, first_token_only, load_tokenizer
from ftlab.recipe import Recipe
from ftlab.trainer import Job, prepare, training_loop
from ftlab.tuning.memory import Architecture

from .measure import Options, Skip, wait_for_the_gpu

BATCH = 16
PAD, VALIDATION_BATCH = 250, 64  # the article's
EPOCHS = 8 if torch.cuda.is_available() else 1  # a GPU needs seconds for one, and records its graphs in the first
RECIPE = Recipe(head="auto", epochs=EPOCHS, batch_size=BATCH)  # the head that Trainer and the article have


def sample(name: str, options: Options) -> Data:
    """Load a data set and keep as many training rows as `options.steps` batches have, or all there are."""
    if name == "clear" and not os.environ.get("FTLAB_DATA"):
        raise Skip("FTLAB_DATA does not name a folder with the CLEAR corpus")
    try:
        data = ft.load_data(name)
    except DataError as error:
        raise Skip(str(error)) from None
    fewest = min(len(data.split(fold).train) for fold in range(data.num_folds))
    return data.few_samples(min(BATCH * options.steps, fewest))


def train(job: Job, *, evaluate: bool = False) -> float:
    """Train by the package's loop; return examples a second."""
    if not evaluate:
        job.is_evaluation_step = lambda done: False
    with first_token_only(job.bare_model, job.averager and job.averager.model), _timed() as clock, cuda_graphs(job):
        status = training_loop(job, job.recipe)
    if status != "completed":
        raise RuntimeError(f"the run ended before its time: {status}")
    return job.recipe.epochs * len(job.split.train) / clock.seconds


def train_by_trainer(job: Job) -> float:
    """Train a prepared run's model by Trainer: dynamic padding, batches grouped by length, nothing logged or saved."""
    from transformers import DataCollatorWithPadding, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    clock = _timed()

    class Clock(TrainerCallback):
        def on_train_begin(self, *arguments: Any, **others: Any) -> None:
            clock.__enter__()

        def on_train_end(self, *arguments: Any, **others: Any) -> None:
            clock.__exit__()

    recipe = job.recipe
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            folder,
            num_train_epochs=recipe.epochs,
            per_device_train_batch_size=recipe.batch_size,
            learning_rate=recipe.lr,
            weight_decay=recipe.weight_decay,
            max_grad_norm=recipe.max_grad_norm,
            lr_scheduler_type="linear",
            optim="adamw_torch_fused",
            train_sampling_strategy="group_by_length",
            logging_strategy="no",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
        )
        trainer = Trainer(
            job.bare_model,
            settings,
            train_dataset=job.rows.select(job.split.train),
            data_collator=DataCollatorWithPadding(job.tokenizer),
            callbacks=[Clock()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return recipe.epochs * len(job.split.train) / clock.seconds


def train_bare(job: Job) -> float:
    """Do only what a run cannot do without, and return the seconds: its forward and backward passes, clipping, the
    optimizer's steps and the validation passes, over batches made before. Nothing is drawn at random, recorded or kept.
    """
    recipe, model = job.recipe, job.bare_model
    steps = [[job.make_batch(rows) for rows in job.batches_of(step)] for step in range(job.schedule.total_steps)]
    rows = job.split.validation
    parts = evaluation_batches(job.batches.lengths[rows], EVALUATION_BATCH.get(job.accelerator.device.type, 64))
    validation = [job.make_batch(rows[part]) for part in parts]
    for batch in validation:
        batch.pop("labels")
    with first_token_only(model), _timed() as clock:
        for done, batches in enumerate(steps, start=1):
            for batch in batches:
                labels = batch.pop("labels")
                loss = torch.nn.functional.mse_loss(model(**batch).logits[:, 0], labels)
                (loss / len(batches)).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.max_grad_norm)
            job.optimizer.step()
            job.optimizer.zero_grad()
            if job.is_evaluation_step(done):
                model.eval()
                with torch.inference_mode():
                    for batch in validation:
                        model(**batch)
                model.train()
    return clock.seconds


class ArticleLoop:
    """The loop of the article this project grew from, written anew after its description.

    Every text padded to 250 tokens, dropout as the model was shipped with it, one optimizer group for each tensor, the
    loss the root of the batch's mean squared error and read with `.item()` at every batch; validation in batches of 64
    in the order of the rows, its score the mean of the batches' roots.
    """

    def __init__(self, job: Job) -> None:
        from transformers import get_scheduler

        self.model, self.device = job.bare_model, job.accelerator.device
        self.training = self._loader(job, job.split.train, BATCH, shuffle=True)
        self.validation = self._loader(job, job.split.validation, VALIDATION_BATCH)
        self.optimizer = torch.optim.AdamW(groups_by_tensor(self.model))
        self.scheduler = get_scheduler(
            "linear", self.optimizer, num_warmup_steps=0, num_training_steps=len(self.training)
        )

    def _loader(self, job: Job, rows: np.ndarray, batch: int, shuffle: bool = False) -> Iterable[list[torch.Tensor]]:
        texts = [job.data.texts[i] for i in rows]
        tokens = job.tokenizer(texts, max_length=PAD, padding="max_length", truncation=True, return_tensors="pt")
        targets = torch.tensor(job.data.targets[rows], dtype=torch.float32)
        columns = torch.utils.data.TensorDataset(tokens["input_ids"], tokens["attention_mask"], targets)
        return torch.utils.data.DataLoader(columns, batch_size=batch, shuffle=shuffle)

    def _loss(self, batch: list[torch.Tensor]) -> torch.Tensor:
        ids, mask, targets = (tensor.to(self.device) for tensor in batch)
        logits = self.model(input_ids=ids, attention_mask=mask).logits[:, 0]
        return torch.sqrt(torch.nn.functional.mse_loss(logits, targets))

    def train(self) -> float:
        """Train an epoch; return examples a second."""
        self.model.train()
        with _timed() as clock:
            total = 0.0
            for batch in self.training:
                self.optimizer.zero_grad()
                loss = self._loss(batch)
                loss.backward()
                self.optimizer.step()
                self.scheduler.step()
                total += loss.item()
        return len(self.training.dataset) / clock.seconds

    @torch.no_grad()
    def validate(self) -> float:
        """Score the validation part as the article does."""
        self.model.eval()
        return sum(self._loss(batch).item() for batch in self.validation) / len(self.validation)


def save_twelve_layers(folder: str) -> None:
    """Save a BERT of the usual size, 12 layers 768 wide; its weights are random, which no step takes longer for."""
    from transformers import BertConfig, BertModel

    load_tokenizer("minilm").save_pretrained(folder)
    BertModel(BertConfig()).save_pretrained(folder)


def groups_by_tensor(model: torch.nn.Module) -> list[dict[str, Any]]:
    """Make one optimizer group for each tensor, as the article does: rates by thirds of the layers, decay on some."""
    place = ft.layer_map(model)
    rates = {"embeddings": 1e-6, "head": 3.6e-6}
    for i in range(place.num_layers):
        rates[f"layer.{i}"] = (1e-6, 1.75e-6, 3.5e-6)[3 * i // place.num_layers]
    return [
        {
            "params": [parameter],
            "lr": rates[place.place[name]],
            "weight_decay": 0.0 if name.endswith("bias") or "LayerNorm" in name else 0.01,
        }
        for name, parameter in model.named_parameters()
    ]


# ------------------------------------------------------------------------------------------- work and matrix products


def matrix_work(sizes: Architecture, tokens: float) -> float:
    """Floating-point operations of a training step in the layers' matrices: 6 x their weights x tokens.

    Two for a multiply-add, once forward and twice backward (Kaplan et al. 2020). The head is left out: it works on one
    token of each text.
    """
    return 6.0 * sizes.layers * sizes.layer_matrices * tokens


def attention_work(sizes: Architecture, batch: float, length: float) -> float:
    """Floating-point operations of a training step in scores and weighted sums: 12 L batch length^2 width."""
    return 12.0 * sizes.layers * batch * length**2 * sizes.width


def real_tokens(job: Job) -> int:
    """Count the tokens of the training part, without padding."""
    return int(job.batches.lengths[job.split.train].sum())


def matrix_rate(sizes: Architecture, tokens: int, device: torch.device, repeats: int = 3) -> float:
    """Time the products of a layer's matrices alone, forward and backward, on so many tokens; return GFLOP/s."""
    width, middle = sizes.width, sizes.intermediate
    shapes = [(width, width)] * 4 + [(width, middle), (middle, width)]
    parts = [
        [torch.randn(shape, device=device) for shape in ((tokens, here), (there, here), (tokens, there))]
        for here, there in shapes
    ]
    with _timed() as clock:
        for _ in range(repeats * sizes.layers):
            for inputs, weights, slopes in parts:
                inputs @ weights.T
                slopes @ weights
                slopes.T @ inputs
    one_layer = matrix_work(replace(sizes, layers=1), tokens)
    return repeats * sizes.layers * one_layer / clock.seconds / 1e9


class _timed:
    """A stopwatch that waits for the GPU, if there is one."""

    def __enter__(self) -> _timed:
        wait_for_the_gpu()
        self._began = time.perf_counter()
        return self

    def __exit__(self, *error: Any) -> None:
        wait_for_the_gpu()
        self.seconds = time.perf_counter() - self._began


# --------------------------------------------------------------------------------------------- in a process of its own


def print_peak_memory(side: str, steps: int) -> None:
    """Train an epoch of `passages` by "ours" or "theirs" and print the most main memory this process held, in MiB.

    Not ru_maxrss: on Linux a child begins with its parent's, which has torch in memory.
    """
    data = sample("passages", Options(steps=steps))
    if side == "ours":
        ft.fit(RECIPE, data, live=False)
    else:
        train_by_trainer(prepare(RECIPE, data))
    status = Path("/proc/self/status").read_text().splitlines()
    print(next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:")))


if __name__ == "__main__":
    print_peak_memory(sys.argv[1], int(sys.argv[2]))
