"""A run: what `fit` gives back. Scores, history, the model; saved, loaded and put to use."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from accelerate import Accelerator
from safetensors import SafetensorError
from torch import nn
from transformers import PreTrainedTokenizerBase

from ftlab import hooks
from ftlab.checkpoint import check_manifest, write_manifest
from ftlab.data.batches import Batches, collate, evaluation_batches
from ftlab.errors import CheckpointError, DataError
from ftlab.evaluate import predict_logits, predict_rows, predictions_from_logits, scores
from ftlab.history import History
from ftlab.models import first_token_only, load_pretrained, load_tokenizer
from ftlab.models.hub import quiet
from ftlab.recipe import Recipe
from ftlab.schedules import LRSchedule, preview

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class TestSet:
    """A fold's test rows, ready to be scored: how batches are made, the rows' numbers, their targets (n,)."""

    batches: Batches
    rows: np.ndarray
    targets: np.ndarray


@dataclass
class Run:
    """The outcome of fine-tuning with one recipe on one fold.

    status: "completed", "early_stopped" (patience ran out), "interrupted" (by the reader) or "diverged" (the loss or
    the gradient was no longer a finite number). best_score: the best score on the validation set, the one that was
    selected on, so it flatters. test_score: score of that best checkpoint on the test set, measured once.
    swa_score: score of the averaged weights on the test set. A score that was not measured is None.
    targets, predictions: of the test set, by the model that `predict` uses. data_fingerprint: of the data, its folds
    and its sample (None: a run saved before it was kept). test_set: what `score_test` needs, in memory only.
    """

    recipe: Recipe
    status: str
    history: History
    schedule: LRSchedule
    fold: int
    data_name: str
    task: str
    labels: list[str] | None
    model: nn.Module = field(repr=False)
    tokenizer: PreTrainedTokenizerBase = field(repr=False)
    swa_model: nn.Module | None = field(default=None, repr=False)
    best_score: float | None = None
    test_score: float | None = None
    swa_score: float | None = None
    targets: np.ndarray | None = field(default=None, repr=False)
    predictions: np.ndarray | None = field(default=None, repr=False)
    seconds: float = 0.0
    data_fingerprint: str | None = None
    test_set: TestSet | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        """Say in one line how the run ended."""
        named = {
            "best validation": self.best_score,
            "test": self.test_score,
            "test of the average": self.swa_score,
        }
        scores = ", ".join(f"{name} {value:.4f}" for name, value in named.items() if value is not None)
        return (
            f"Run({self.status} after {len(self.history)} of {self.history.total_steps} steps, "
            f"{self.history.metric}: {scores or 'not measured'}, {self.seconds:.0f} s)"
        )

    def plot(self) -> Figure:
        """Draw loss, validation scores and every layer's rate as a matplotlib Figure."""
        return hooks.call("plot_run", self)

    def score_test(self) -> float | None:
        """Open the test set: score the best checkpoint on it, and the averaged weights if there are any.

        Sets `test_score`, `swa_score`, `targets` and `predictions` as `fit` does, and returns the score of the weights
        that `predict` uses; None if no checkpoint was kept. What is chosen after the test set was opened is chosen by
        it: open it once. Raises DataError for a run that was loaded, which holds no data.
        """
        if self.test_set is None:
            raise DataError("test_set: a loaded run holds no data; train with score_test=True, or score before saving")
        accelerator, batches, self.targets = Accelerator(), self.test_set.batches, self.test_set.targets
        with first_token_only(self.model, self.swa_model):
            for name, model in (("test_score", self.model), ("swa_score", self.swa_model)):
                if model is None or (name == "test_score" and self.best_score is None):
                    continue
                # Weights that a bench reads back from the disk are on the CPU.
                logits = predict_rows(model.to(batches.device), batches, self.test_set.rows, accelerator)
                setattr(self, name, scores(self.task, logits, self.targets)["score"])
                self.predictions = predictions_from_logits(self.task, logits)
        return self.test_score if self.swa_model is None else self.swa_score

    def predict(self, texts: str | Sequence[str], *, batch_size: int = 64) -> Any:
        """Predict for texts: an array (n,) of values, or of class names; for a single text, its value or class name.

        Uses the averaged weights if the recipe averages, otherwise the best checkpoint. Raises DataError for anything
        that is not text.
        """
        single = isinstance(texts, str) or not isinstance(texts, Iterable)
        texts = [texts] if single else list(texts)
        for i, text in enumerate(texts):
            if not isinstance(text, str) or not text.strip():
                raise DataError(f"texts[{i}]: {text!r} is not a text to predict for; give non-empty strings")
        if not texts:
            return np.empty(0)
        encoded = self.tokenizer(texts, truncation=True, max_length=self.recipe.max_length)
        batches = evaluation_batches([len(ids) for ids in encoded["input_ids"]], batch_size)
        pad = collate(self.tokenizer)
        device = next(self.final_model.parameters()).device

        def make_batch(rows: np.ndarray) -> Any:
            return pad([{k: v[i] for k, v in encoded.items()} for i in rows]).to(device)

        logits = predict_logits(self.final_model, make_batch, batches)[np.argsort(np.concatenate(batches))]
        predictions = predictions_from_logits(self.task, logits)
        if self.labels is not None:
            predictions = np.array(self.labels)[predictions]
        return predictions[0] if single else predictions

    @property
    def final_model(self) -> nn.Module:
        """The model to use: the averaged weights if the recipe averages, otherwise the best checkpoint."""
        return self.model if self.swa_model is None else self.swa_model

    def save_pretrained(self, folder: str | Path) -> None:
        """Write model and tokenizer; with head="auto" `transformers.pipeline` loads the folder as it is."""
        with quiet():
            self.final_model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def save(self, folder: str | Path) -> None:
        """Write the whole run to a new folder; `Run.load` reads it back with the same numbers.

        Written under another name first, so a crash leaves no half of a run. Raises CheckpointError if the folder
        exists already.
        """
        folder = Path(folder)
        if folder.exists():
            raise CheckpointError(f"{folder}: already exists; choose another folder, nothing was overwritten")
        partial = folder.with_name(f".partial-{folder.name}")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            partial.mkdir(parents=True)
            with quiet():
                self.model.save_pretrained(partial / "model")
                if self.swa_model is not None:
                    self.swa_model.save_pretrained(partial / "swa_model")
            self.tokenizer.save_pretrained(partial / "model")
            (partial / "recipe.json").write_text(self.recipe.to_json(), encoding="utf-8")
            self.history.to_json(partial / "history.json")
            summary = {name: getattr(self, name) for name in (*_SUMMARY, "data_fingerprint")}
            for name in ("targets", "predictions"):
                values = getattr(self, name)
                summary[name] = None if values is None else values.tolist()
            (partial / "run.json").write_text(json.dumps(summary, indent=1), encoding="utf-8")
            write_manifest(partial)
            partial.rename(folder)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise CheckpointError(f"{folder}: cannot write the run ({error})") from error

    @classmethod
    def load(cls, folder: str | Path) -> Run:
        """Read a run written by `save`. Raises CheckpointError naming the part that is missing or damaged."""
        folder = Path(folder)
        try:
            check_manifest(folder)
            summary = json.loads((folder / "run.json").read_text(encoding="utf-8"))
            recipe = Recipe.from_json((folder / "recipe.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{folder}: damaged, or not a run written by Run.save ({error})") from None
        history = History.from_json(folder / "history.json")
        try:
            arrays = {k: None if summary[k] is None else np.array(summary[k]) for k in ("targets", "predictions")}
            values = {name: summary[name] for name in _SUMMARY}
        except KeyError as error:
            raise CheckpointError(f"{folder}/run.json: {error} is missing; the file is damaged") from None
        num_layers = len(history.layers) - 2
        schedule = preview(recipe, history.steps_per_epoch, history.total_steps, num_layers=num_layers)
        averaged = load_pretrained(folder / "swa_model") if (folder / "swa_model").is_dir() else None
        return cls(
            recipe=recipe,
            history=history,
            schedule=schedule,
            model=load_pretrained(folder / "model"),
            tokenizer=load_tokenizer(str(folder / "model")),
            swa_model=averaged,
            data_fingerprint=summary.get("data_fingerprint"),
            **arrays,
            **values,
        )


_SUMMARY = ("status", "fold", "data_name", "task", "labels", "best_score", "test_score", "swa_score", "seconds")
