"""Predictions and scores: the honest numbers, over all examples and never over batches.

Root mean squared error is the root of the mean squared error over every example; the mean of per-batch roots, as
often published, is another and smaller number. For classes: accuracy and macro F1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from sklearn.metrics import accuracy_score, f1_score, log_loss, root_mean_squared_error
from torch import nn

from ftlab.data.batches import Batches, evaluation_batches

EVALUATION_BATCH = {"cpu": 16, "cuda": 256}
"""Rows in a batch of an evaluation, 64 where not named: on a CPU more rows are more padding and nothing else, on a GPU
they are fewer launches."""
METRICS = {"regression": "rmse", "classification": "macro_f1"}
"""The score each task selects on."""


@torch.inference_mode()
def predict_logits(
    model: nn.Module,
    make_batch: Callable[[np.ndarray], dict[str, torch.Tensor]],
    batches: Sequence[np.ndarray],
) -> np.ndarray:
    """Run the model in evaluation mode over batches of row numbers; return logits (n, k) as float64 in their order.

    make_batch: row numbers -> tensors on the model's device. The model's mode is restored afterwards.
    """
    was_training = model.training
    model.eval()
    try:
        outputs = []
        for rows in batches:
            inputs = {key: value for key, value in make_batch(rows).items() if key != "labels"}
            outputs.append(model(**inputs).logits)
        # One transfer from a GPU for all batches; in this order, because some devices (MPS) have no float64.
        return torch.cat(outputs).cpu().double().numpy()
    finally:
        model.train(was_training)


def predict_rows(model: nn.Module, batches: Batches, rows: np.ndarray, accelerator: Accelerator) -> np.ndarray:
    """Compute logits (n, k) of `rows`, in their order, in the accelerator's precision, shared out among its processes.

    Takes a bare model: one wrapped for several processes waits for the others at every batch, and they may have
    fewer batches or none.
    """
    parts = evaluation_batches(batches.lengths[rows], EVALUATION_BATCH.get(accelerator.device.type, 64))
    mine = parts[accelerator.process_index :: accelerator.num_processes]
    done = []
    if mine:  # there may be fewer batches than processes
        with accelerator.autocast():
            done = [(np.concatenate(mine), predict_logits(model, batches.make, [rows[part] for part in mine]))]
    if accelerator.num_processes > 1:
        done = gather_object(done)
    order, logits = (np.concatenate(columns) for columns in zip(*done, strict=True))
    return logits[np.argsort(order)]


def predictions_from_logits(task: str, logits: np.ndarray) -> np.ndarray:
    """Turn logits (n, k) into predictions (n,): the value itself, or the number of the most likely class."""
    return logits[:, 0] if task == "regression" else logits.argmax(axis=1)


def score_predictions(task: str, predictions: np.ndarray, targets: np.ndarray, num_classes: int = 1) -> float:
    """Score predictions (n,) against targets (n,): root mean squared error, or macro F1 over all classes."""
    if task == "regression":
        return float(root_mean_squared_error(targets, predictions))
    return float(f1_score(targets, predictions, labels=np.arange(num_classes), average="macro", zero_division=0))


def scores(task: str, logits: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
    """Score logits (n, k) against targets (n,): `score` (the metric selected on), `loss`, for classes `accuracy`.

    Regression: score = root mean squared error, loss = mean squared error. Classification: score = macro F1 over
    all classes of the task, loss = mean cross entropy. Values that are not finite give a score that is not a number.
    """
    if not np.isfinite(logits).all():
        return {"score": float("nan"), "loss": float("nan")}
    chosen = predictions_from_logits(task, logits)
    score = score_predictions(task, chosen, targets, logits.shape[1])
    if task == "regression":
        return {"score": score, "loss": score**2}
    classes = np.arange(logits.shape[1])
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return {
        "score": score,
        "loss": float(log_loss(targets, odds / odds.sum(axis=1, keepdims=True), labels=classes)),
        "accuracy": float(accuracy_score(targets, chosen)),
    }
