"""Bridges to Hugging Face's `Trainer`: a recipe's rates, the averaging and the scores of `fit` inside another loop.

    trainer = Trainer(model, args, ..., optimizers=ft.hf_bridge.optimizers(recipe, model, steps_per_epoch),
                      callbacks=[swa := ft.hf_bridge.SWACallback(swa_step)])

Re-initialisation needs no bridge: call `ft.reinit.reinit_top_layers(model, n)` before the optimizer is made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import EvalPrediction, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ftlab.checks import whole
from ftlab.errors import CheckpointError, ModelError, RecipeError
from ftlab.evaluate import METRICS, scores
from ftlab.models import layer_map
from ftlab.recipe import Recipe
from ftlab.schedules import LRSchedule, preview
from ftlab.techniques.swa import WeightAverager
from ftlab.trainer import make_optimizer


def optimizers(recipe: Recipe, model: nn.Module, steps_per_epoch: int) -> tuple[torch.optim.Optimizer, LambdaLR]:
    """Make the pair that `Trainer(optimizers=...)` takes: the recipe's optimizer, with every layer's rate by step.

    At step s each group has the rate of `preview(recipe, steps_per_epoch)` at s for its layer, bit for bit: warm-up,
    schedule, layer-wise rates and the rates while averaging. steps_per_epoch: Trainer's optimizer updates an epoch,
    ceil(rows / (batch x devices x accumulation)). Trainer's own learning_rate, weight_decay, warm-up and scheduler are
    not used; its epochs, batch size, accumulation and max_grad_norm are, so set them as the recipe has them.

    Raises RecipeError or ModelError as `fit` does.
    """
    schedule = preview(recipe, steps_per_epoch, num_layers=layer_map(model).num_layers)
    optimizer = make_optimizer(recipe, model, next(model.parameters()).device)
    return optimizer, scheduler(optimizer, schedule)


def scheduler(optimizer: torch.optim.Optimizer, schedule: LRSchedule) -> LambdaLR:
    """Make a scheduler that gives every group of `optimizer` the rate that `schedule` has for its layer.

    For any loop that calls `scheduler.step()` after `optimizer.step()`. The groups need `layer`, as those of
    `ft.llrd.param_groups` have it. After the last step the last rate stays. A training that is resumed with another
    schedule, of more epochs for instance, has that schedule's rates from its first update on. Raises RecipeError for a
    group without a layer, or of a layer that the schedule lacks.
    """
    rates, last = schedule.lr, len(schedule.lr) - 1
    if last + 1 != schedule.total_steps:
        raise RecipeError(f"schedule: it holds {last + 1} of {schedule.total_steps} steps; make it without steps=")
    columns = []
    for i, group in enumerate(optimizer.param_groups):
        if group.get("layer") not in schedule.layers:
            raise RecipeError(
                f"optimizer: group {i} has layer {group.get('layer')!r}, not one of "
                f"{', '.join(schedule.layers)}; make the groups with ft.llrd.param_groups"
            )
        columns.append(schedule.layers.index(group["layer"]))
        group["lr"] = group["initial_lr"] = 1.0  # LambdaLR multiplies by this
    made = _FromSchedule(optimizer, [lambda step, c=c: float(rates[min(step, last), c]) for c in columns])
    optimizer.register_load_state_dict_post_hook(lambda _: made.apply())
    return made


class _FromSchedule(LambdaLR):
    """LambdaLR whose rates are those of its own schedule, whichever a checkpoint was written with.

    LambdaLR itself leaves the first update after loading the rate that the optimizer's checkpoint holds, and takes over
    the base rates of whatever scheduler wrote the state.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over how many steps were made, and nothing else."""
        self.last_epoch, self._step_count = state_dict["last_epoch"], state_dict["_step_count"]
        self.apply()

    def apply(self) -> None:
        """Give every group the rate of the present step."""
        self._last_lr = [rate(self.last_epoch) for rate in self.lr_lambdas]
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = rate


class SWACallback(TrainerCallback):
    """Average the weights inside Trainer from a step on (Izmailov et al. 2018), as `fit` does.

    swa_step: the first update, counted from 0, whose weights are averaged: `preview(...).swa_step`. With one process
    or several; not with FSDP or DeepSpeed, which split the weights. `averager` is the WeightAverager of this training.

        swa = SWACallback(swa_step)
        trainer = Trainer(model, ..., callbacks=[swa]); trainer.train()
        swa.put_into(trainer.model); trainer.evaluate()     # the average, scored as itself

    Raises RecipeError for a step that is no whole number of 0 or more; CheckpointError when training is resumed after
    averaging has begun, since Trainer's checkpoints do not hold the average.
    """

    def __init__(self, swa_step: int) -> None:
        self.swa_step = whole("swa_step", swa_step)  # such as preview(...).swa_step
        self.averager: WeightAverager | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        """Start a new average. Raises ModelError or CheckpointError where it could not be right."""
        if split := [name for name in ("fsdp", "deepspeed") if getattr(args, name, None)]:
            raise ModelError(f"SWACallback: {split[0]} splits the weights, so they cannot be averaged; switch one off")
        if state.global_step > self.swa_step:
            raise CheckpointError(
                f"SWACallback: training resumes at step {state.global_step}, but averaging began at step "
                f"{self.swa_step} and the average was not saved; resume from an earlier checkpoint, or start anew"
            )
        self.averager = WeightAverager(model)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        """Take the weights after this update into the average."""
        if state.global_step > self.swa_step:  # Trainer has counted the update already
            self.averager.update(model)

    def put_into(self, model: nn.Module) -> None:
        """Give a model the averaged weights. Raises ModelError if there are none yet."""
        if self.averager is None or not self.averager.num_updates:
            raise ModelError(f"SWACallback: no weights were averaged; training ended before step {self.swa_step}")
        model.load_state_dict(self.averager.model.state_dict())


def compute_metrics(task: str) -> Callable[[EvalPrediction], dict[str, float]]:
    """Make the function that `Trainer(compute_metrics=...)` takes, with the scores of `fit`, over all examples.

    "regression": {"rmse"}. "classification": {"macro_f1", "accuracy"}. Trainer puts "eval_" before the names, and
    takes one of them as metric_for_best_model. Raises RecipeError for another task.
    """
    if task not in METRICS:
        raise RecipeError(f"task: {task!r} is unknown. Known: {', '.join(METRICS)}")

    def metrics(prediction: EvalPrediction) -> dict[str, float]:
        logits = prediction.predictions
        logits = logits[0] if isinstance(logits, tuple) else logits  # models that return more than logits
        result = scores(task, np.asarray(logits, dtype=np.float64), np.asarray(prediction.label_ids))
        return {METRICS[task]: result["score"], **{k: result[k] for k in ("accuracy",) if k in result}}

    return metrics
