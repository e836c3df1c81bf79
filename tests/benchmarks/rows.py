"""The rows of the table: each a function that sets both sides up."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from accelerate.state import AcceleratorState

from ftlab.data.load import Data
from ftlab.evaluate import scores
from ftlab.models.first_token import first_token_only
from ftlab.recipe import Recipe
from ftlab.schedules import preview
from ftlab.trainer import fit, make_optimizer, prepare
from ftlab.tuning.memory import Architecture

from .measure import Options, Row, Sides, Skip, seconds
from .training import (
    RECIPE,
    ArticleLoop,
    groups_by_tensor,
    matrix_rate,
    matrix_work,
    real_tokens,
    sample,
    save_twelve_layers,
    train,
    train_bare,
    train_by_trainer,
)

ROOT = Path(__file__).resolve().parents[2]
ROWS: dict[str, Row] = {}


def row(name: str, what: str, against: str, unit: str = "s", **wanted: Any) -> Callable[[Any], Any]:
    """Enter a function that sets both sides up as a row of the table."""

    def enter(make: Callable[[Options], Sides]) -> Callable[[Options], Sides]:
        ROWS[name] = Row(name, what, against, unit, make, **wanted)
        return make

    return enter


# --------------------------------------------------------------------------------------------------------- training


def _ready(name: str, options: Options, recipe: Recipe = RECIPE) -> Data:
    """Load a sample and train one batch of it, so that what torch does only once is done."""
    data = sample(name, options)
    train(prepare(recipe, data.few_samples(recipe.batch_size)))
    return data


def _against(
    name: str, other: Callable[[Any], float], options: Options, ours: Recipe = RECIPE, theirs: Recipe | None = None
) -> Sides:
    data = _ready(name, options, ours)
    job = prepare(ours, data)
    told = f"{len(job.split.train)} texts, {real_tokens(job) / len(job.split.train):.0f} tokens each on average"
    return Sides(lambda: train(prepare(ours, data)), lambda: other(prepare(theirs or ours, data)), lambda: told)


@row("trainer", "training, passages", "Trainer at its best", "texts/s", at_least=1.15, warm_up=False)
def trainer_on_passages(options: Options) -> Sides:
    """Train by the package and by Trainer."""
    return _against("passages", train_by_trainer, options)


@row("trainer-clear", "training, CLEAR", "Trainer at its best", "texts/s", at_least=1.15, warm_up=False)
def trainer_on_clear(options: Options) -> Sides:
    """Train by the package and by Trainer on longer texts."""
    return _against("clear", train_by_trainer, options)


@row(
    "trainer-base", "training, CLEAR, 12 layers 768 wide", "Trainer at its best", "texts/s", at_least=1.3, warm_up=False
)
def trainer_with_twelve_layers(options: Options) -> Sides:
    """Train the usual size of BERT by the package and by Trainer."""
    if not (torch.cuda.is_available() or options.tiny):
        raise Skip("takes a GPU: on a CPU a model of this size trains for minutes an epoch")
    folder = tempfile.TemporaryDirectory()
    save_twelve_layers(folder.name)
    sides = _against("clear", train_by_trainer, options, RECIPE.but(model=folder.name))
    return replace(sides, close=folder.cleanup)


@row("article", "training, passages", "the article's loop", "texts/s", at_least=5, warm_up=False)
def article_on_passages(options: Options) -> Sides:
    """Train by the package and as the article does, dropout and all."""
    return _against("passages", lambda job: ArticleLoop(job).train(), options, theirs=RECIPE.but(dropout=None))


@row("article-clear", "training, CLEAR", "the article's loop", "texts/s", at_least=2.3, warm_up=False)
def article_on_clear(options: Options) -> Sides:
    """Train by the package and as the article does on longer texts."""
    return _against("clear", lambda job: ArticleLoop(job).train(), options, theirs=RECIPE.but(dropout=None))


def _share_of_the_machine(name: str, options: Options) -> Sides:
    data = _ready(name, options)
    job = prepare(RECIPE, data)
    sizes, tokens = Architecture.of(job.bare_model.config), real_tokens(job)
    texts = len(job.split.train)
    in_a_batch = RECIPE.batch_size * tokens // texts
    computed = (sizes.layers - 1 + 2 * sizes.width**2 / sizes.layer_matrices) / sizes.layers
    told = (
        "6 x weights of the layers' matrices x real tokens; padding, attention, head and optimizer are no use. "
        f"ftlab computes {computed:.0%} of it: the top layer's queries, outputs and feed-forward part for one token"
    )
    return Sides(
        lambda: train(prepare(RECIPE, data)) * matrix_work(sizes, tokens / texts) / 1e9,
        lambda: matrix_rate(sizes, in_a_batch, job.accelerator.device),
        lambda: told,
    )


@row("machine", "useful work, passages", "matrix products alone", "GFLOP/s", at_least=0.75, warm_up=False)
def machine_on_passages(options: Options) -> Sides:
    """Count the work that training has to do, and hold it against the machine's rate at the same shapes."""
    return _share_of_the_machine("passages", options)


@row("machine-clear", "useful work, CLEAR", "matrix products alone", "GFLOP/s", at_least=0.75, warm_up=False)
def machine_on_clear(options: Options) -> Sides:
    """Do the same on longer texts."""
    return _share_of_the_machine("clear", options)


@row("validation", "a validation pass, passages", "the article's validate_fn", at_least=2.5)
def validation(options: Options) -> Sides:
    """Score the same rows with the same weights."""
    data = sample("passages", options)
    job = prepare(RECIPE, data)
    rows = job.split.validation
    article = ArticleLoop(prepare(RECIPE, data))

    def score() -> None:
        with first_token_only(job.bare_model):
            scores(data.task, job.predict(job.bare_model, rows), data.targets[rows])

    ours = seconds(score)
    return Sides(ours, seconds(article.validate), lambda: f"{len(rows)} texts")


def _run(recipe: Recipe, data: Data) -> Callable[[], float]:
    """Make a side that trains and evaluates as `fit` does; seconds without loading and the test score."""
    epochs = recipe.epochs

    def side() -> float:
        job = prepare(recipe, data)
        return epochs * len(job.split.train) / train(job, evaluate=True)

    return side


@row("few", "fit whole, 50 texts to train on", "its passes and steps alone", at_most=1.1)
def few_samples(options: Options) -> Sides:
    """Train on so few texts that what is done once, or at each step beside the arithmetic, would weigh most."""
    data, recipe = _ready("passages", options).few_samples(50), Recipe()
    job = prepare(recipe, data)
    told = (
        f"{job.schedule.total_steps} steps and {recipe.epochs} evaluations of {len(job.split.validation)} texts; "
        "ours also loads the model, pads the batches, draws, records and keeps the best weights"
    )
    ours = seconds(lambda: fit(recipe, data, live=False, score_test=False))
    return Sides(ours, lambda: train_bare(prepare(recipe, data)), lambda: told)


@row("swa", "a run that averages weights in its last quarter", "the plain run", warm_up=False)
def averaging(options: Options) -> Sides:
    """Average the weights at each step of the last epoch of four, and score the average too."""
    data, plain = _ready("passages", options), RECIPE.but(epochs=4)
    if options.tiny:
        plain = plain.but(epochs=2)
    return Sides(_run(plain.but(swa_start=plain.epochs - 1), data), _run(plain, data))


@row("frequent", "a run that evaluates every 10 steps", "the plain run", warm_up=False)
def frequent_evaluation(options: Options) -> Sides:
    """Evaluate every ten steps and at the end of the epoch, not only there."""
    data = _ready("passages", options)
    looks = prepare(RECIPE.but(eval_every=10), data)
    count = sum(looks.is_evaluation_step(done) for done in range(1, looks.schedule.total_steps + 1))
    told = f"{len(looks.split.validation)} texts at each of {count} evaluations in place of {RECIPE.epochs}"
    return Sides(_run(RECIPE.but(eval_every=10), data), _run(RECIPE, data), lambda: told)


@row("bf16", "a run in mixed precision, bf16", "the plain run", warm_up=False)
def mixed_precision(options: Options) -> Sides:
    """Let the matrix products have inputs of 16 bits; the numbers are others, so it is the reader's choice."""
    side = _run(RECIPE, _ready("passages", options))
    has = ", ".join(name for name in ("avx512_bf16", "amx_bf16") if torch.cpu.get_capabilities().get(name))

    def in_precision(name: str) -> float:
        with _precision(name):
            return side()

    told = f"ACCELERATE_MIXED_PRECISION=bf16; what this processor has for it: {has or 'nothing'}"
    return Sides(lambda: in_precision("bf16"), lambda: in_precision("no"), lambda: told)


@contextmanager
def _precision(name: str) -> Any:
    """Let accelerate read the precision anew, which it does once in a process."""
    with patch.dict(os.environ, ACCELERATE_MIXED_PRECISION=name):
        AcceleratorState._reset_state(reset_partial_state=True)
        try:
            yield
        finally:
            AcceleratorState._reset_state(reset_partial_state=True)


@row("memory", "peak memory of fit", "Trainer at its best", "MiB", at_most=1.0, warm_up=False)
def memory(options: Options) -> Sides:
    """Train in a process of its own and read the most memory it held."""

    def side(name: str) -> float:
        return float(_python("-m", "tests.benchmarks.training", name, str(options.steps)).split()[-1])

    return Sides(lambda: side("ours"), lambda: side("theirs"), lambda: "fit also evaluates and keeps the best weights")


# -------------------------------------------------------------------------------------------------------- optimizers


def _stepper(job: Any, optimizer: torch.optim.Optimizer, repeats: int) -> Callable[[], float]:
    generator = torch.Generator().manual_seed(0)
    for parameter in job.bare_model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator).to(parameter.device) / 1000
    return seconds(optimizer.step, repeats)


def _repeats(options: Options) -> int:
    return 2 if options.tiny else 20


@row("llrd", "one optimizer step, grouped LLRD", "one group for each tensor", at_least=3)
def grouped_rates(options: Options) -> Sides:
    """Step over the layers' groups and over as many groups as there are tensors."""
    data = sample("passages", options)
    recipe = RECIPE.but(group_lrs=(1e-6, 1.75e-6, 3.5e-6), head_lr=3.6e-6)
    job, other = prepare(recipe, data), prepare(recipe, data)
    ours = make_optimizer(recipe, job.bare_model, job.accelerator.device)
    theirs = torch.optim.AdamW(groups_by_tensor(other.bare_model))
    told = f"{len(ours.param_groups)} groups, fused, against {len(theirs.param_groups)}"
    repeats = _repeats(options)
    return Sides(_stepper(job, ours, repeats), _stepper(other, theirs, repeats), lambda: told)


@row("bertadam", "one optimizer step, BertAdam", "AdamW(foreach=True)", at_least=1)
def bertadam(options: Options) -> Sides:
    """Step both over the same groups; neither clips, as in `fit`, where the loop does."""
    data = sample("passages", options)
    recipe = RECIPE.but(optimizer="bertadam")
    job, other = prepare(recipe, data), prepare(recipe, data)
    ours = make_optimizer(recipe, job.bare_model, job.accelerator.device)
    groups = make_optimizer(RECIPE, other.bare_model, other.accelerator.device).param_groups
    own = ("params", "lr", "weight_decay")
    theirs = torch.optim.AdamW([{name: group[name] for name in own} for group in groups], foreach=True)
    repeats = _repeats(options)
    return Sides(_stepper(job, ours, repeats), _stepper(other, theirs, repeats))


# ------------------------------------------------------------------------------------------ previews and what is seen


@row("preview", "a preview of 10,000 steps, 26 groups", "stepping get_scheduler", at_least=1000)
def previewing(options: Options) -> Sides:
    """Compute all rates at once, and by stepping an optimizer and its scheduler through the run."""
    from transformers import get_scheduler

    steps = 100 if options.tiny else 10_000
    recipe = Recipe(epochs=4, layer_decay=0.9, warmup=0.1)

    def ours() -> Any:
        return preview(recipe, steps // 4, num_layers=24).lr

    wanted = ours()

    def theirs() -> list[list[float]]:
        peaks = preview(recipe.but(warmup=0), steps // 4, num_layers=24, steps=[0]).lr[0]
        weights = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": float(peak)} for peak in peaks]
        optimizer = torch.optim.AdamW(weights)
        scheduler = get_scheduler("linear", optimizer, num_warmup_steps=steps // 10, num_training_steps=steps)
        rates = []
        for _ in range(steps):
            rates.append([group["lr"] for group in optimizer.param_groups])
            optimizer.step()
            scheduler.step()
        return rates

    difference = abs(wanted - torch.tensor(theirs(), dtype=torch.float64).numpy()).max()
    return Sides(seconds(ours, 20), seconds(theirs), lambda: f"largest difference between the rates {difference:.1e}")


@row("import", "import ftlab and draw a first panel", "import torch, transformers", at_least=5)
def importing(options: Options) -> Sides:
    """Start Python anew for each."""
    first = "import ftlab as ft; ft.panels.SchedulePanel(ft.Recipe(layer_decay=0.9)).svg"
    started = seconds(lambda: _python("-c", "pass"))()
    told = f"Python's own start ({1e3 * started:.0f} ms) counts on both sides; the picture is the one that moves"
    return Sides(
        seconds(lambda: _python("-c", first)),
        seconds(lambda: _python("-c", "import torch, transformers")),
        lambda: told,
    )


@contextmanager
def _notebook() -> Any:
    """Let IPython's displays go somewhere, formatted as for a notebook and then forgotten."""
    from IPython.core.displaypub import CapturingDisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    before, shell.display_pub = shell.display_pub, CapturingDisplayPublisher(parent=shell)
    shell.display_pub.clear_output = lambda wait=False: None  # its own would write to the terminal
    try:
        yield shell
    finally:
        shell.display_pub = before
        InteractiveShell.clear_instance()


@row("live", "a run with live curves and its history", "the same run without", at_most=1.02, warm_up=False)
def watching(options: Options) -> Sides:
    """Draw the curves as in a notebook, the picture at the end too; on the other side record nothing at all."""
    from ftlab.lab.live import LiveCurves

    data = _ready("passages", options)
    recipe = RECIPE.but(epochs=2 if options.tiny else 4)
    drawn = []

    def ours() -> float:
        job, curves = prepare(recipe, data), LiveCurves()
        job.callbacks.append(curves)

        def watched() -> None:
            job.notify("on_train_begin", job.history, job.schedule, threading.Event())
            train(job, evaluate=True)
            run = SimpleNamespace(history=job.history, schedule=job.schedule, status="completed", seconds=0.0)
            job.notify("on_train_end", run)

        with _notebook() as shell, redirect_stdout(io.StringIO()):
            taken = seconds(watched)()
            drawn.append(len(shell.display_pub.outputs))
        if curves.broken:
            raise RuntimeError("the live display failed")
        return taken

    def theirs() -> float:
        job = prepare(recipe, data)
        job.record = lambda loss, grad_norm: None
        return seconds(lambda: train(job, evaluate=True))()

    return Sides(ours, theirs, lambda: f"{drawn[-1]} displays in a run")


@row("bench", "a run at a bench, with two drawn before", "the same run without", at_most=1.02, warm_up=False)
def at_a_bench(options: Options) -> Sides:
    """Draw learning rates, losses over two earlier runs, and the table; widgets send their messages to nobody here."""
    from ftlab.lab.bench.bench import Bench, _Watch
    from ftlab.lab.bench.rows import Row
    from tests.fake_run import make_run

    data = _ready("passages", options)
    recipe = RECIPE.but(epochs=2 if options.tiny else 4)
    bench = Bench(recipe, [], data=data, size=None)
    drawn = []

    def ours() -> float:
        job = prepare(recipe, data)
        bench.rows = [Row(f"run {i}", recipe, {}, None, {}, data, status="completed") for i in (1, 2)]
        for row_ in bench.rows:
            run = make_run(recipe, steps_per_epoch=job.schedule.steps_per_epoch)
            row_.history, row_.schedule = run.history, run.schedule
        bench.rows.append(Row("this run", recipe, {}, None, {}, data))
        bench.current = bench.rows[-1]
        bench._list_rows()
        watch = _Watch(bench, bench.current)
        count: list[int] = []
        bench.redraw = lambda: (count.append(1), type(bench).redraw(bench))
        job.callbacks.append(watch)

        def watched() -> None:
            job.notify("on_train_begin", job.history, job.schedule, threading.Event())
            train(job, evaluate=True)

        taken = seconds(watched)()
        drawn.append(len(count))
        if watch.broken or bench.message:
            raise RuntimeError(f"the bench failed: {bench.message}")
        return taken

    def theirs() -> float:
        job = prepare(recipe, data)
        return seconds(lambda: train(job, evaluate=True))()

    return Sides(ours, theirs, lambda: f"{drawn[-1]} pictures in a run")


@row("update", "one live update", "one of livelossplot", at_least=50)
def one_update(options: Options) -> Sides:
    """Draw the same 300 steps: ours with every layer's rate beside loss and score, theirs loss, score and one rate."""
    if find_spec("livelossplot") is None:
        raise Skip("livelossplot is not installed, and nothing else here needs it: pip install livelossplot")
    import matplotlib
    from livelossplot import PlotLosses
    from livelossplot.outputs import MatplotlibPlot
    from matplotlib_inline.backend_inline import select_figure_formats

    from ftlab.lab.live import LiveCurves
    from tests.fake_run import make_run

    run = make_run(Recipe(epochs=4, layer_decay=0.8, warmup=0.1), steps_per_epoch=75)
    notebook = _notebook()
    shell = notebook.__enter__()
    before = matplotlib.get_backend()
    matplotlib.use("module://matplotlib_inline.backend_inline")
    select_figure_formats(shell, {"png"})
    curves = LiveCurves()
    curves.on_train_begin(run.history, run.schedule, threading.Event())
    plot = PlotLosses(outputs=[MatplotlibPlot()])
    last = run.history.evals[0]["score"]
    for loss, rates in zip(run.history.loss, run.history.lr, strict=True):
        plot.update({"loss": loss, "score": last, "rate": rates[-1]})

    def close() -> None:
        notebook.__exit__(None, None, None)
        matplotlib.use(before)

    repeats = 2 if options.tiny else 10
    return Sides(seconds(curves.draw, 10 * repeats), seconds(plot.send, repeats), close=close)


@row("panel", "a panel: control moved to picture painted", "interact, inline back end", at_least=3.5)
def panel(options: Options) -> Sides:
    """Press a key on a slider in a real JupyterLab and wait for the new picture on the screen."""
    from .browser import panel_and_interact

    return panel_and_interact(options)


def _python(*arguments: str) -> str:
    """Run this Python on its own in the project's folder and return what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"python {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return done.stdout
