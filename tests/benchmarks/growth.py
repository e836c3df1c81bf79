"""How the cost of a step grows with batch, length and layers, and of a study with its runs; and what follows on paper.

    seconds a step = fixed + matrices / r + attention / s

matrices = 6 x layers x (4 h^2 + 2 h i) x batch x length operations, attention = 12 x layers x h x batch x length^2, for
width h and middle width i. The three constants are fitted to the measured points; a GPU's are assumed (`Device`).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import nnls
from transformers import BertConfig, BertForSequenceClassification

from ftlab.lab.chart import BLUE, ORANGE, Axis, Chart, Line, Sheet
from ftlab.lab.figure import Picture, draw
from ftlab.tuning.memory import ARCHITECTURES, Architecture

from .measure import Options, wait_for_the_gpu
from .training import attention_work, matrix_work

ROOT = Path(__file__).resolve().parents[2]
# (batch, length, layers): from the middle one changes at a time.
MIDDLE = (8, 128, 6)
POINTS = [MIDDLE]
POINTS += [(batch, 128, 6) for batch in (2, 4, 16, 32)]
POINTS += [(8, length, 6) for length in (32, 64, 256, 512)]
POINTS += [(8, 128, layers) for layers in (1, 2, 4, 12)]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
WORKERS, RUNS = ((1, 2, 4, 8), (8, 32)) if DEVICE == "cuda" else ((1, 2), (2, 4))
STUDY = [(workers, runs) for runs in RUNS for workers in WORKERS]


def features(sizes: Architecture, batch: float, length: float) -> list[float]:
    """Return what the constants are multiplied by: 1, and the two kinds of work in units of 10^9 operations."""
    return [1.0, matrix_work(sizes, batch * length) / 1e9, attention_work(sizes, batch, length) / 1e9]


def fit(rows: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Find the constants, none below 0, with the least squares of the relative errors."""
    return nnls(rows / measured[:, None], np.ones(len(measured)))[0]


def measure_growth(options: Options) -> dict[str, Any]:
    """Measure the points in turn, `options.pairs` times round, and studies of several runs; return plain values."""
    sizes = Architecture(6, 32, 2, 64, 1000) if options.tiny else ARCHITECTURES["minilm"]
    models = {layers: _model(replace(sizes, layers=layers)) for layers in sorted({point[2] for point in POINTS})}
    for batch, length, layers in POINTS:  # once unmeasured: the optimizer makes its states, the memory is fetched
        _step(*models[layers], batch, length)
    taken: dict[tuple[int, int, int], list[float]] = {point: [] for point in POINTS}
    for _ in range(options.pairs):
        for batch, length, layers in POINTS:
            began = time.perf_counter()
            _step(*models[layers], batch, length)
            taken[batch, length, layers].append(time.perf_counter() - began)
    measured = np.array([np.median(times) for times in taken.values()])
    rows = np.array([features(replace(sizes, layers=layers), b, n) for b, n, layers in POINTS])
    constants = fit(rows, measured)
    return {
        "note": "",
        "architecture": asdict(sizes),
        "points": [
            {"batch": b, "length": n, "layers": layers, "seconds": float(s), "formula": float(f)}
            for (b, n, layers), s, f in zip(POINTS, measured, rows @ constants, strict=True)
        ],
        "constants": constants.tolist(),
        "study": [
            {"workers": workers, "runs": runs, "seconds": _study(workers, runs, options)}
            for workers, runs in (STUDY[: len(WORKERS)] if options.tiny else STUDY)
        ],
        "options": asdict(options),
    }


def _model(sizes: Architecture) -> tuple[BertForSequenceClassification, torch.optim.Optimizer]:
    """Make a random BERT of these sizes and its optimizer."""
    config = BertConfig(
        vocab_size=sizes.vocabulary,
        hidden_size=sizes.width,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        intermediate_size=sizes.intermediate,
        num_labels=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = BertForSequenceClassification(config).to(DEVICE).train()
    return model, torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)


def _step(model: BertForSequenceClassification, optimizer: torch.optim.Optimizer, batch: int, length: int) -> None:
    ids = torch.randint(model.config.vocab_size, (batch, length), generator=torch.Generator().manual_seed(0)).to(DEVICE)
    model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()
    wait_for_the_gpu()


def _study(workers: int, runs: int, options: Options) -> float:
    """Take the time of a study of so many short runs, its workers sharing the cores, their start counted."""
    threads = max(1, torch.get_num_threads() // workers)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "ftlab", "study", "--epochs", "1", "--folds", "1", "--seeds", str(runs)]
        command += ["--recipes", "baseline", "--storage", f"sqlite:///{folder}/study.db"]
        command += ["--out", f"{folder}/cells.jsonl"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(threads)}
        began = time.perf_counter()
        started = [
            subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            for _ in range(workers)
        ]
        errors = [process.communicate()[1] for process in started]
        taken = time.perf_counter() - began
        if any(process.returncode for process in started):
            raise RuntimeError(f"the study failed: {errors[-1].decode()[-2000:]}")
    return taken


# ---------------------------------------------------------------------------------------------------------- on paper


@dataclass(frozen=True)
class Device:
    """A GPU as the formula sees it; all of it is assumption, to be replaced by what you know.

    tflops: 10^12 operations a second on paper. used: the share of it that training reaches in matrices and attention.
    fixed: seconds an update costs whatever its size: some 2,000 kernels started one by one, the optimizer, the data.
    link: 10^9 bytes a second between GPUs that add their gradients up.
    """

    name: str
    tflops: float
    used: float
    fixed: float
    link: float = 100.0

    def step(self, sizes: Architecture, batch: int, length: float) -> float:
        """Seconds of an update on one GPU."""
        _, matrices, attention = features(sizes, batch, length)
        return self.fixed + (matrices + attention) / (1e3 * self.tflops * self.used)

    def shared_step(self, sizes: Architecture, batch: int, length: float, gpus: int) -> float:
        """Seconds of an update whose batch several GPUs share: each sends 2 (p - 1) / p of the gradient's bytes."""
        sent = 2 * (gpus - 1) / gpus * 4 * sizes.parameters
        return self.step(sizes, batch / gpus, length) + sent / (1e9 * self.link)


P100 = Device("P100, 32 bits", 9.3, 0.7, 0.02)
A100 = Device("A100, bf16", 312, 0.35, 0.04)
# roberta-base on CommonLit: 2,833 texts; in this package a fold trains on 60 % of them and validates on 20 %.
TEXTS, TOKENS, BATCH, EPOCHS, FOLDS = 2833, 215, 16, 15, 5


def paper_estimate() -> list[str]:
    """Say what roberta-base on CommonLit takes by the formula, with every assumption."""
    sizes = ARCHITECTURES["roberta-base"]
    updates = EPOCHS * -(-round(0.6 * TEXTS) // BATCH)
    forward = EPOCHS * round(0.2 * TEXTS) / BATCH / 3  # an evaluated text costs a third of a trained one
    one = A100.step(sizes, BATCH, TOKENS)
    eight = A100.shared_step(sizes, BATCH, TOKENS, 8)
    theirs = 20 * 142 * FOLDS * P100.step(sizes, BATCH, 250)
    minutes = (updates + forward) * one / 60
    shared = (updates + forward) * eight / 60
    return [
        f"On paper: roberta-base, CommonLit ({TEXTS:,} texts, {TOKENS} tokens each on average, 60 % of them to train), "
        f"batch {BATCH}, {EPOCHS} epochs = {updates:,} updates a run, evaluated once an epoch.",
        f"Assumed: {A100.name}: {A100.tflops:g} TFLOP/s, {A100.used:.0%} of them reached; {1e3 * A100.fixed:.0f} ms an "
        f"update whatever its size; {A100.link:g} GB/s between GPUs.",
        f"One GPU: {1e3 * one:.0f} ms an update, {minutes:.1f} min a run, {FOLDS * minutes:.0f} min for {FOLDS} folds.",
        f"Eight GPUs sharing each batch, 2 texts each: {1e3 * eight:.0f} ms an update, {shared:.1f} min a run, "
        f"{one / eight:.1f} times as fast. Eight runs beside each other, one a GPU, as `study` has them: "
        f"{minutes:.1f} min for eight, 8 times as fast.",
        f"Check: the article's baseline, padded to 250, at most 20 epochs of 142 updates, {FOLDS} folds, on a "
        f"{P100.name} ({P100.tflops:g} TFLOP/s, {P100.used:.0%} reached): {theirs / 3600:.1f} h if none stops early; "
        "with it, the article reports about one hour.",
    ]


# ---------------------------------------------------------------------------------------------- what was found, shown


def describe(growth: Mapping[str, Any]) -> str:
    """Say the fitted formula, how well it fits, what studies took, and the estimate on paper, as a Markdown list."""
    fixed, matrices, attention = growth["constants"]
    misses = [abs(point["formula"] / point["seconds"] - 1) for point in growth["points"]]

    def rate(seconds_per_billion: float) -> str:
        return f"{1 / seconds_per_billion:.0f} GFLOP/s" if seconds_per_billion else "any rate (too little to be seen)"

    lines = [
        "How cost grows: seconds a step = fixed + 6 L (4 h^2 + 2 h i) B n / r + 12 L h B n^2 / s "
        "(L layers of width h and i, batch B, length n)",
        f"Fitted: fixed {1e3 * fixed:.0f} ms, r = {rate(matrices)}, s = {rate(attention)}; off by "
        f"{np.median(misses):.0%} in the median, {max(misses):.0%} at most, over {len(misses)} points.",
    ]
    for study in growth["study"]:
        lines.append(f"A study of {study['runs']} runs, {_workers(study['workers'])}: {study['seconds']:.0f} s.")
    return "\n".join(f"- {line}" for line in [*lines, *paper_estimate()])


def picture(growth: Mapping[str, Any]) -> Picture:
    """Draw time per step against batch, length and layers, with the formula as a line, and the time of studies."""
    constants, sizes = np.array(growth["constants"]), Architecture(**growth["architecture"])
    names, charts = ("batch", "length", "layers"), []
    for at, name in enumerate(names):
        points = [p for p in growth["points"] if sum(a != b for a, b in zip(_place(p), MIDDLE, strict=True)) <= 1]
        points = [p for p in points if all(_place(p)[i] == MIDDLE[i] for i in range(3) if i != at)]
        x = np.linspace(0, max(p[name] for p in points), 100)
        along = [[*MIDDLE[:at], value, *MIDDLE[at + 1 :]] for value in x]
        line = np.array([features(replace(sizes, layers=layers), b, n) @ constants for b, n, layers in along])
        measured = np.array([(p[name], p["seconds"]) for p in points]).T
        held = ", ".join(f"{other} {MIDDLE[i]}" for i, other in enumerate(names) if i != at)
        lines = [Line("formula", x, line, BLUE), Line("measured", *measured, ORANGE, width=0, marker="dot")]
        axes = {"x": Axis(name, low=0), "y": Axis(low=0), "labels": "above"}
        charts.append(Chart("Seconds", lines, note=f"a step, by {name} ({held})", **axes))
    lines = []
    looks = ((BLUE, "", "dot"), (ORANGE, "6 3", "square"), (BLUE, "2 2", "square"), (ORANGE, "", "dot"))
    for workers, look in zip(sorted({s["workers"] for s in growth["study"]}), looks, strict=False):
        found = np.array([(s["runs"], s["seconds"]) for s in growth["study"] if s["workers"] == workers]).T
        lines.append(Line(_workers(workers), *found, look[0], look[1], marker=look[2]))
    axes = {"x": Axis("runs of one epoch", whole=True), "y": Axis(low=0), "labels": "above"}
    charts.append(Chart("Seconds", lines, note="a study, by runs", **axes))
    sentence = (
        "Seconds a training step against batch, length and layers, dots measured and a line by the formula; "
        f"seconds of a study against its runs. {describe(growth).splitlines()[1].removeprefix('- ')}"
    )
    return draw(Sheet(charts, "how the cost of training grows", sentence, columns=2))


def _place(point: Mapping[str, Any]) -> tuple[int, int, int]:
    return point["batch"], point["length"], point["layers"]


def _workers(count: int) -> str:
    return "1 worker on all cores" if count == 1 else f"{count} workers sharing the cores"
