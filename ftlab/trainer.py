"""The training loop: fit(recipe, data) -> Run.

`training_loop` is the whole of it, one visible line for each technique; `fit` sets the stage before and takes the
scores after; `Job` is what a step needs. Batches are made in `ftlab.data.batches`, checkpoints in `ftlab.checkpoint`.
Devices, mixed precision and several processes are `accelerate`'s work.
"""

from __future__ import annotations

import copy
import math
import threading
import time
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from ftlab import hooks
from ftlab.callbacks import Callback
from ftlab.checkpoint import resume_job, save_job
from ftlab.data import Data, Split
from ftlab.data.batches import Batches
from ftlab.errors import CheckpointError, DataError, RecipeError
from ftlab.evaluate import METRICS, predict_rows, predictions_from_logits, scores
from ftlab.history import History
from ftlab.models import LayerMap, cuda_graphs, first_token_only, layer_map, load_model, load_tokenizer, tiny_model
from ftlab.models.references import start_from_probe
from ftlab.models.rng import own_generator, seeded
from ftlab.preset import is_tiny, preset, shrink
from ftlab.recipe import Recipe
from ftlab.run import Run, TestSet
from ftlab.schedules import KNOWN_LAYERS, LRSchedule, preview
from ftlab.techniques.bertadam import BertAdam
from ftlab.techniques.frequent_eval import BestScore, is_evaluation_step
from ftlab.techniques.llrd import grouped_param_groups, param_groups
from ftlab.techniques.reinit import reinit_top_layers
from ftlab.techniques.swa import WeightAverager


def training_loop(job: Job, recipe: Recipe) -> str:
    """Train until the end, patience, a stop, or a number that is not finite; return the status."""
    rates = job.schedule.lr.tolist()
    for step in range(job.first_step, job.schedule.total_steps):
        if job.best.exhausted:
            return "early_stopped"
        if job.is_stopped():
            return "interrupted"

        for group in job.optimizer.param_groups:  # 02 layer-wise rates and 03 warm-up, in one array
            group["lr"] = rates[step][job.place[group["layer"]]]

        loss, grad_norm = job.forward_and_backward(job.batches_of(step))
        job.record(loss, grad_norm)
        if job.has_diverged:
            return "diverged"
        job.optimizer.step()
        job.optimizer.zero_grad()

        if job.averager and step >= job.schedule.swa_step:  # 05 stochastic weight averaging
            job.averager.update(job.accelerator.unwrap_model(job.model))
        job.notify("on_step", job.history)

        if job.is_evaluation_step(step + 1):  # 06 frequent evaluation
            score = job.evaluate(step + 1)
            if not math.isfinite(score):
                return "diverged"
            job.checkpoint(step + 1)
            job.notify("on_evaluate", job.history)
    return "completed"


def fit(
    recipe: Recipe,
    data: Data,
    fold: int = 0,
    live: bool | str = True,
    callbacks: Sequence[Callback] = (),
    checkpoint_dir: str | Path | None = None,
    resume: bool = False,
    stop: threading.Event | None = None,
    score_test: bool = True,
) -> Run:
    """Fine-tune with `recipe` on a fold's training set, select on its validation set, score its test set once.

    live: curves in a notebook or a progress bar in a terminal; "widget" draws the curves with ipywidgets; False or
    "off" is silent. callbacks: `Callback` objects. checkpoint_dir: a folder to save to at every evaluation; with
    `resume` the newest checkpoint there is continued, bit for bit as if nothing had happened. stop: an event that, once
    set, ends the run after the update in progress. Ctrl-C, or interrupting the kernel, ends it at once; either way
    everything up to then is kept. score_test: False leaves the test set closed, until `run.score_test()` opens it.

    The same recipe, data, fold and number of threads give the same numbers on a CPU, bit for bit, and the global random
    state is left alone. What a head does not read of the top layer is not computed (`ftlab.models.first_token`). With
    FTLAB_PRESET=tiny in the environment a small random model is trained on a few rows.

    Raises RecipeError, DataError, ModelError or CheckpointError before training begins if something does not fit.
    """
    _check_arguments(recipe, data, fold, live, checkpoint_dir, resume)
    fingerprint = {"recipe": recipe.key_fields(), "data": data.fingerprint, "fold": int(fold), **conditions()}
    began = time.perf_counter()
    with seeded(recipe.seed) as random:
        job = _prepare(recipe, data, data.split(fold), random)
        job.checkpoint_dir, job.fingerprint, job.stop = checkpoint_dir, fingerprint, stop or job.stop
        job.callbacks += callbacks
        if live not in (False, "off") and job.accelerator.is_main_process:
            job.callbacks += filter(None, [hooks.call("live_callback", live)])
        if resume:
            resume_job(job)
        run = Run(
            recipe=job.recipe,
            status="interrupted",
            history=job.history,
            schedule=job.schedule,
            fold=int(fold),
            data_name=data.name,
            data_fingerprint=data.fingerprint,
            task=data.task,
            labels=data.labels,
            model=job.bare_model,
            tokenizer=job.tokenizer,
            test_set=TestSet(job.batches, job.split.test, data.targets[job.split.test]),
        )
        for callback in job.callbacks:
            callback.predict = lambda rows: predictions_from_logits(
                data.task, job.predict(job.bare_model, np.asarray(rows))
            )
        try:
            job.notify("on_train_begin", job.history, job.schedule, job.stop)
            with first_token_only(job.bare_model, job.averager and job.averager.model), cuda_graphs(job):
                run.status = training_loop(job, recipe)
            if job.has_diverged:
                run.status = "diverged"  # found in the updates that were read back last
            job.restore_best_weights()
            run.best_score = job.best.score
            run.swa_model = job.averager.model if job.has_average and run.status != "diverged" else None
            if score_test and not data.closed_test and run.status != "interrupted":
                run.score_test()
        except KeyboardInterrupt:
            run.status = "interrupted"
            run.test_score = run.swa_score = run.targets = run.predictions = None
        except BaseException:
            job.dismiss_callbacks(None)
            raise
    job.restore_best_weights()
    job.accelerator.unwrap_model(job.model, keep_fp32_wrapper=False)  # mixed precision ends with the run
    run.best_score = job.best.score
    run.swa_model = job.averager.model if job.has_average and run.status != "diverged" else None
    run.seconds = time.perf_counter() - began
    job.dismiss_callbacks(run)
    return run


# ------------------------------------------------------------------------------------------------- the loop's parts


@dataclass
class Job:
    """Everything the training loop handles, and the steps it is made of."""

    recipe: Recipe
    data: Data
    split: Split
    accelerator: Accelerator
    tokenizer: Any
    rows: Any  # the tokenised texts
    batches: Batches
    layers: LayerMap
    model: nn.Module  # as accelerate prepared it
    bare_model: nn.Module
    random: own_generator
    optimizer: torch.optim.Optimizer
    schedule: LRSchedule
    averager: WeightAverager | None
    history: History
    best: BestScore
    callbacks: list[Callback] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    first_step: int = 0
    best_weights: dict[str, torch.Tensor] | None = None
    checkpoint_dir: str | Path | None = None
    fingerprint: dict[str, Any] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self.place = {name: i for i, name in enumerate(self.schedule.layers)}

    @property
    def has_average(self) -> bool:
        """Whether weights have been averaged yet."""
        return self.averager is not None and self.averager.num_updates > 0

    @property
    def drawing(self) -> Any:
        """The block in which a forward pass draws its dropout; without dropout nothing is drawn."""
        return self.random if self.recipe.dropout != 0 and self.accelerator.device.type == "cpu" else nullcontext()

    def batches_of(self, step: int) -> list[np.ndarray]:
        """Return the rows of the batches that make update `step`."""
        return self.batches.of(step)

    def make_batch(self, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """Pad rows to the longest among them, on the model's device."""
        return self.batches.make(rows)

    def is_stopped(self) -> bool:
        """Tell whether the run is to end now; a stop in one of several processes ends all of them, after one update."""
        if self.accelerator.num_processes == 1:
            return self.stop.is_set()
        stops = torch.tensor(float(self.stop.is_set()), device=self.accelerator.device)
        return bool(self.accelerator.reduce(stops, "sum"))

    def forward_and_backward(self, batches: list[np.ndarray]) -> tuple[float, float]:
        """Leave the gradient of the mean loss over all rows of `batches`, clipped; return that loss and the norm."""
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        shares = [rows[rank::processes] for rows in batches]
        rows_in_update = sum(map(len, batches))
        weights = [len(share) / rows_in_update for share in shares]
        # A process without rows computes one and ignores it.
        computed = [share if len(share) else rows[:1] for share, rows in zip(shares, batches, strict=True)]
        of_batches = None if processes == 1 else [len(s) / len(rows) for s, rows in zip(shares, batches, strict=True)]
        total, norm = self.gradient([self.make_batch(rows) for rows in computed], weights, of_batches)
        return tuple(torch.stack([total, norm.to(total)]).tolist())  # one transfer from the GPU, not two

    def gradient(
        self, batches: list[dict[str, Any]], weights: list[float], shares: list[float] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Leave the gradient of the batches' mean losses, weighted and added up; return that loss and the norm.

        shares: which share of each batch is here, where other processes have the rest.
        """
        accelerator = self.accelerator
        total = torch.zeros((), device=accelerator.device)
        for i, (batch, weight) in enumerate(zip(batches, weights, strict=True)):
            share = None if shares is None else shares[i]
            # Gradients travel between processes once an update.
            with nullcontext() if i == len(batches) - 1 else accelerator.no_sync(self.model):
                labels = batch.pop("labels")
                with self.drawing:
                    logits = self.model(**batch).logits.float()
                loss = self.loss(logits, labels, share) * weight
                accelerator.backward(loss * accelerator.num_processes)  # the processes' gradients are averaged
            total += loss.detach()
        limit = math.inf if self.recipe.max_grad_norm is None else self.recipe.max_grad_norm
        norm = accelerator.clip_grad_norm_(self.model.parameters(), limit)
        return accelerator.reduce(total, "sum"), norm

    def loss(self, logits: torch.Tensor, labels: torch.Tensor, share: float | None = None) -> torch.Tensor:
        """Mean loss of a batch: squared error or its root for values, cross entropy for classes.

        share: which share of the batch these rows are where other processes have the rest. Summed over them, weighted
        by it, the losses are the whole batch's, and so are their gradients.
        """
        if self.data.task == "classification":
            return nn.functional.cross_entropy(logits, labels)
        squared = nn.functional.mse_loss(logits[:, 0], labels)
        if self.recipe.loss == "auto":
            return squared
        if share is None:
            return torch.sqrt(squared + 1e-12)  # no infinite slope at 0
        root = torch.sqrt(self.accelerator.reduce(squared.detach() * share, "sum") + 1e-12)
        return (squared / root + root) / 2  # where the parts' mean is root squared: equal to the root, in slope as well

    @property
    def has_diverged(self) -> bool:
        """Whether the newest loss or norm is no finite number; an overflow that float16's scaler skips is normal."""
        if self.history.is_finite:
            return False
        return not (self.overflow_is_skipped() and math.isfinite(self.history.loss[-1]))

    def overflow_is_skipped(self) -> bool:
        """Tell whether float16's loss scaler skips an update whose gradient is not finite, and halves its scale.

        At a scale of 1 and below the overflow is the gradient's own.
        """
        scaler = self.accelerator.scaler
        return scaler is not None and scaler.get_scale() > 1

    def record(self, loss: float, grad_norm: float) -> None:
        """Write the update into the history, with the rates as the optimizer holds them."""
        held = {group["layer"]: group["lr"] for group in self.optimizer.param_groups}
        self.history.append(
            loss=loss,
            grad_norm=grad_norm,
            lr=[held[name] for name in self.schedule.layers],
            seconds=time.perf_counter() - self.started,
        )

    def is_evaluation_step(self, done: int) -> bool:
        """Tell whether to evaluate now that `done` updates are done."""
        return is_evaluation_step(
            done,
            eval_every=self.recipe.eval_every,
            steps_per_epoch=self.schedule.steps_per_epoch,
            total_steps=self.schedule.total_steps,
        )

    def evaluate(self, done: int) -> float:
        """Score the validation set, and the averaged weights as themselves; keep the weights if they are the best."""
        began = time.perf_counter()
        rows, task = self.split.validation, self.data.task
        result = scores(task, self.predict(self.bare_model, rows), self.data.targets[rows])
        if self.has_average:
            averaged = scores(task, self.predict(self.averager.model, rows), self.data.targets[rows])
            result["swa_score"] = averaged["score"]
            result["swa_distance"] = self.averager.distance(self.bare_model)
        best = copy.copy(self.best)
        is_best = best.update(result["score"])
        weights = self.copy_weights() if is_best else self.best_weights
        vars(self).update(best=best, best_weights=weights)  # together: an interrupt comes before or after
        self.history.evals.append(
            {
                "step": done,
                "epoch": done / self.schedule.steps_per_epoch,
                **result,
                "best": is_best,
                "seconds": time.perf_counter() - began,
            }
        )
        return result["score"]

    def predict(self, model: nn.Module, rows: np.ndarray) -> np.ndarray:
        """Compute logits (n, k) of `rows`, in their order."""
        return predict_rows(model, self.batches, rows, self.accelerator)

    def copy_weights(self) -> dict[str, torch.Tensor]:
        """Copy the present weights to the computer's memory."""
        weights, pinned = self.bare_model.state_dict(), self.accelerator.device.type == "cuda"  # a GPU is faster there
        kept = {name: torch.empty_like(value, device="cpu", pin_memory=pinned) for name, value in weights.items()}
        for name, value in weights.items():
            kept[name].copy_(value)
        return kept

    def restore_best_weights(self) -> None:
        """Put the best checkpoint's weights into the model; without any evaluation it keeps the present ones."""
        if self.best_weights is not None:
            self.bare_model.load_state_dict(self.best_weights)

    def notify(self, event: str, *arguments: Any) -> None:
        """Tell every callback."""
        for callback in self.callbacks:
            getattr(callback, event)(*arguments)

    def dismiss_callbacks(self, run: Run | None) -> None:
        """Tell every callback the end, and release it: through `predict` it would keep model and optimizer alive."""
        try:
            self.notify("on_train_end", run)
        finally:
            for callback in self.callbacks:
                vars(callback).pop("predict", None)
            self.callbacks.clear()

    def checkpoint(self, done: int) -> None:
        """Save everything needed to continue after `done` updates, if a folder was named."""
        if self.checkpoint_dir is not None:
            save_job(self, done)


# -------------------------------------------------------------------------------------------------------- set-up


def prepare(recipe: Recipe, data: Data, fold: int = 0) -> Job:
    """Set a run up exactly as `fit` does, and do not start it: what the range test and the measurements work with.

    Raises RecipeError, DataError or ModelError as `fit` does.
    """
    _check_arguments(recipe, data, fold, False, None, False)
    with seeded(recipe.seed) as random:
        return _prepare(recipe, data, data.split(fold), random)


def _prepare(recipe: Recipe, data: Data, split: Split, random: own_generator) -> Job:
    """Load the model and set every technique up."""
    if is_tiny():
        num_layers = KNOWN_LAYERS.get(recipe.model, KNOWN_LAYERS["minilm"])
        recipe, split = shrink(recipe, split)
        tokenizer = load_tokenizer("minilm")
        model = tiny_model(recipe, task=data.task, labels=data.labels, num_layers=num_layers)
    else:
        tokenizer = load_tokenizer(recipe.model)
        model = load_model(recipe, task=data.task, labels=data.labels)
    updates = math.ceil(len(split.train) / recipe.batch_size)
    steps_per_epoch = math.ceil(updates / recipe.gradient_accumulation_steps)
    layers = layer_map(model)
    schedule = preview(recipe, steps_per_epoch, num_layers=layers.num_layers)
    with random:
        reinit_top_layers(model, recipe.reinit_layers, layers=layers)  # 04
    averager = WeightAverager(model) if schedule.swa_step is not None else None  # 05
    accelerator = Accelerator()
    optimizer = make_optimizer(recipe, model, accelerator.device, layers=layers)  # 02
    prepared, optimizer = accelerator.prepare(model, optimizer)
    if averager:
        averager.to(accelerator.device)
    rows = data.tokenise(tokenizer, recipe.max_length)
    batches = Batches(
        rows,
        split.train,
        tokenizer,
        device=accelerator.device,
        batch_size=recipe.batch_size,
        accumulate=recipe.gradient_accumulation_steps,
        steps_per_epoch=steps_per_epoch,
        seed=recipe.seed,
    )
    if recipe.head_init == "probe":
        start_from_probe(model, batches, split.train, data.targets[split.train], data.labels and len(data.labels))
    history = History(
        schedule.layers,
        metric=METRICS[data.task],
        steps_per_epoch=steps_per_epoch,
        total_steps=schedule.total_steps,
        swa_step=schedule.swa_step,
    )
    return Job(
        recipe=recipe,
        data=data,
        split=split,
        accelerator=accelerator,
        tokenizer=tokenizer,
        rows=rows,
        batches=batches,
        layers=layers,
        model=prepared.train(),
        bare_model=model,
        random=random,
        optimizer=optimizer,
        schedule=schedule,
        averager=averager,
        history=history,
        best=BestScore(higher_is_better=history.higher_is_better, patience=recipe.patience),
    )


def make_optimizer(
    recipe: Recipe, model: nn.Module, device: torch.device | str = "cpu", *, layers: LayerMap | None = None
) -> torch.optim.Optimizer:
    """Make the recipe's optimizer over the model's parameter groups; every group carries `name` and `layer`.

    layers: the model's layer map, where it is known already. Warns where AdamW's weight decay is lost by rounding.
    """
    shared = {"weight_decay": recipe.weight_decay, "layers": layers}
    if recipe.group_lrs is not None:
        head_lr = recipe.lr if recipe.head_lr is None else recipe.head_lr
        groups = grouped_param_groups(model, lrs=recipe.group_lrs, head_lr=head_lr, **shared)
    else:
        groups = param_groups(model, lr=recipe.lr, head_lr=recipe.head_lr, layer_decay=recipe.layer_decay, **shared)
    if recipe.optimizer == "adamw":
        _warn_of_lost_decay(groups)
        return torch.optim.AdamW(groups, fused=torch.device(device).type in ("cpu", "cuda"))
    if recipe.optimizer == "bertadam":
        # The loop has clipped the whole gradient already, so the bias correction differs from AdamW, and eps: 1e-6.
        return BertAdam(groups, lr=recipe.lr, max_grad_norm=0.0)
    return torch.optim.SGD(groups, lr=recipe.lr)


def _warn_of_lost_decay(groups: list[dict[str, Any]]) -> None:
    """Say so if AdamW's factor 1 - lr * weight_decay is nearer to 1 than 32 bits can tell, 2 ** -24."""
    decays = {group["name"]: group["lr"] * group["weight_decay"] for group in groups if group["weight_decay"]}
    if lost := {name: decay for name, decay in decays.items() if 0 < decay < 2**-24}:
        name, decay = min(lost.items(), key=lambda item: item[1])
        warnings.warn(
            f"weight_decay: AdamW multiplies a weight by 1 - lr * weight_decay, which 32 bits round away, wholly or in "
            f"part, below 6e-8: {len(lost)} of {len(decays)} groups, down to {decay:.1e} in {name!r}. Raise lr or "
            "weight_decay, set it to 0, or use optimizer='bertadam', which keeps it",
            stacklevel=3,
        )


def _check_arguments(
    recipe: Recipe, data: Data, fold: int, live: bool | str, checkpoint_dir: str | Path | None, resume: bool
) -> None:
    if not isinstance(recipe, Recipe):
        raise RecipeError(f"recipe: {type(recipe).__name__} is not a Recipe; make one with ft.Recipe(...)")
    if not isinstance(data, Data):
        raise DataError(f"data: {type(data).__name__} is not a data set; make one with ft.load_data(...)")
    if isinstance(fold, bool) or not isinstance(fold, (int, np.integer)) or not 0 <= fold < data.num_folds:
        raise RecipeError(f"fold: {fold!r} is not one of the folds 0 to {data.num_folds - 1}")
    if recipe.loss == "rmse" and data.task != "regression":
        raise RecipeError("loss: 'rmse' is for regression and the data holds classes; use loss='auto'")
    if live not in (True, False, "off", "svg", "widget"):
        raise RecipeError(f"live: {live!r} is unknown; use True, False, 'off', 'svg' or 'widget'")
    if resume and checkpoint_dir is None:
        raise CheckpointError("resume: there is nothing to resume from; name the folder with checkpoint_dir=...")


def conditions() -> dict[str, str | None]:
    """Return what decides a run's numbers and no recipe holds: the preset for tests, mixed precision (None: 32 bits).

    accelerate reads the precision from ACCELERATE_MIXED_PRECISION, and trains in 32 bits where the device lacks it.
    """
    accelerator = Accelerator()
    precision = accelerator.mixed_precision if accelerator.native_amp else None
    return {"preset": preset(), "mixed_precision": precision}
