"""Answers to the notebooks' exercises, checked at once: what you gave, what was wanted, and a hint when they differ.

The right answer is worked out when it is asked for, from the package itself, never stored.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ftlab.errors import ExerciseError
from ftlab.frequent_eval import BestScore, expected_minimum, is_evaluation_step
from ftlab.llrd import convention_rates
from ftlab.recipe import PAPER, Recipe
from ftlab.schedules import SCHEDULES, layer_rates, preview

_CHECKS: dict[str, Callable[[Any], tuple[bool, str]]] = {}


def check(name: str, answer: Any) -> bool | None:
    """Check the answer to an exercise, such as "01.1"; print the verdict and return it, None for no answer yet.

    Raises ExerciseError for an unknown exercise, or for an answer of the wrong kind, saying what kind is wanted.
    """
    if name not in _CHECKS:
        raise ExerciseError(f"exercise {name!r} is unknown; there are {', '.join(_CHECKS)}")
    if answer is None or answer is Ellipsis:
        print(f"{name}: no answer yet. Put yours in place of `...` and run the cell again.")
        return None
    right, words = _CHECKS[name](answer)
    print(f"{name}: {'right' if right else 'not yet'}. {words}")
    return right


def _exercise(name: str) -> Callable:
    def register(function: Callable) -> Callable:
        _CHECKS[name] = function
        return function

    return register


def _number(name: str, answer: Any) -> float:
    try:
        return float(answer)
    except (TypeError, ValueError):
        raise ExerciseError(f"{name}: wants a number, got {type(answer).__name__}") from None


def _function(name: str, answer: Any) -> Callable:
    if not callable(answer):
        raise ExerciseError(f"{name}: wants a function, got {type(answer).__name__}")
    return answer


# --------------------------------------------------------------------------------------------------- 01_baseline


@_exercise("01.1")
def _updates(answer: Any) -> tuple[bool, str]:
    """How many updates does a recipe with batch_size=8 and gradient_accumulation_steps=4 make on 432 passages?"""
    recipe = Recipe(batch_size=8, gradient_accumulation_steps=4)
    batches = math.ceil(432 / recipe.batch_size)
    right = recipe.epochs * math.ceil(batches / recipe.gradient_accumulation_steps)
    if _number("01.1", answer) == right:
        return (
            True,
            f"{batches} batches an epoch make {right // recipe.epochs} updates, the last of fewer batches.",
        )
    return (
        False,
        "Count the batches of an epoch, then the groups of four; a group that is not full still updates.",
    )


@_exercise("01.2")
def _rmse(answer: Any) -> tuple[bool, str]:
    """A function rmse(predictions, targets) over all examples, tried on arrays drawn here."""
    rmse = _function("01.2", answer)
    generator = np.random.default_rng()
    for n in (1, 2, 17, 1000):
        predictions, targets = generator.normal(size=(2, n))
        wanted = math.sqrt(sum((p - t) ** 2 for p, t in zip(predictions, targets, strict=True)) / n)
        got = _number("01.2", rmse(predictions, targets))
        if not math.isclose(got, wanted, rel_tol=1e-9):
            return False, f"For {n} random values your function gives {got:.4f}; {wanted:.4f} was wanted."
    return True, "It agrees with the definition on four sets of random values."


@_exercise("01.3")
def _schedule(answer: Any) -> tuple[bool, str]:
    """A recipe whose rate falls along half a cosine from 5e-5 over 5 epochs, without warm-up."""
    if not isinstance(answer, Recipe):
        raise ExerciseError(
            f"01.3: wants a Recipe, got {type(answer).__name__}; start from ft.Recipe().but(...)"
        )
    schedule = preview(answer, steps_per_epoch=27)
    if schedule.total_steps != 135:
        return (
            False,
            f"With 27 steps an epoch your recipe makes {schedule.total_steps} steps; 135 were wanted.",
        )
    wanted = 5e-5 * 0.5 * (1 + np.cos(np.pi * np.arange(135) / 135))
    gap = np.abs(schedule.lr - wanted[:, None]).max(axis=1)
    if gap.max() > 1e-12:
        step = int(gap.argmax())
        return (
            False,
            f"At step {step} your rates reach {schedule.lr[step].max():.2e}; {wanted[step]:.2e} was wanted.",
        )
    return True, "Every layer's rate follows the curve."


# ------------------------------------------------------------------------------------------------------- 02_llrd


@_exercise("02.1")
def _decay(answer: Any) -> tuple[bool, str]:
    """Which decay gives the embeddings of a 12-layer model a tenth of the top layer's rate?"""
    decay = _number("02.1", answer)
    if not 0 < decay <= 1:
        return False, f"A decay lies between 0 and 1; you gave {decay:g}."
    share = float(layer_rates(12, lr=1.0, layer_decay=decay)[0])
    if abs(share - 0.1) < 5e-4:
        return True, f"Twelve times in a row it makes {share:.4f}: the twelfth root of a tenth."
    return False, f"With {decay:g} the embeddings have {share:.4f} of the top layer's rate; 0.1 was wanted."


@_exercise("02.2")
def _merge(answer: Any) -> tuple[bool, str]:
    """A function merge(groups) that joins optimizer groups with equal lr and weight_decay, tried on random groups."""
    merge = _function("02.2", answer)
    generator = np.random.default_rng()
    for n in (1, 2, 9, 40):
        settings = [(float(lr), float(wd)) for lr, wd in generator.choice([0.0, 1e-5, 3e-5, 1e-4], size=(n, 2))]
        groups = [{"params": [i], "lr": lr, "weight_decay": wd} for i, (lr, wd) in enumerate(settings)]
        try:
            got = [((g["lr"], g["weight_decay"]), sorted(g["params"])) for g in merge(groups)]
        except (TypeError, KeyError):
            raise ExerciseError("02.2: wants a list of groups with params, lr and weight_decay") from None
        wanted = {key: [i for i, setting in enumerate(settings) if setting == key] for key in settings}
        if len(got) != len(wanted):
            return False, f"From {n} groups you make {len(got)}; they have {len(wanted)} different settings."
        if dict(got) != wanted:
            return False, f"From {n} groups you make {len(got)}, as wanted, but a parameter has changed its settings."
    return True, "Four sets of random groups came out with every parameter under its own settings."


@_exercise("02.3")
def _as_timm(answer: Any) -> tuple[bool, str]:
    """A recipe with the rates that timm gives for lr=1e-3 and layer_decay=0.75."""
    if not isinstance(answer, Recipe):
        raise ExerciseError(
            f"02.3: wants a Recipe, got {type(answer).__name__}; start from ft.Recipe().but(...)"
        )
    schedule = preview(answer, steps=[0])
    wanted = convention_rates("timm", len(schedule.layers) - 2, lr=1e-3, layer_decay=0.75)
    wrong = [i for i, rate in enumerate(schedule.lr[0]) if not math.isclose(rate, wanted[i], rel_tol=1e-6)]
    if wrong:
        i = wrong[-1]
        return False, f"At the first step {schedule.layers[i]} has {schedule.lr[0, i]:.3g}; timm gives {wanted[i]:.3g}."
    return True, f"All {len(wanted)} places have timm's rates."


# ----------------------------------------------------------------------------------------------------- 03_warmup


@_exercise("03.1")
def _warmup_steps(answer: Any) -> tuple[bool, str]:
    """How long is a warm-up of 0.06 in 5 epochs on 432 passages in batches of 16, two batches an update?"""
    recipe = Recipe(epochs=5, batch_size=16, gradient_accumulation_steps=2, warmup=0.06)
    batches = math.ceil(432 / recipe.batch_size)
    updates = math.ceil(batches / recipe.gradient_accumulation_steps)
    right = preview(recipe, steps_per_epoch=updates).warmup_steps
    if _number("03.1", answer) == right:
        total = updates * recipe.epochs
        return True, f"{batches} batches make {updates} steps an epoch, {total} in all; 6 % of them, rounded up."
    return (
        False,
        "Count the steps of an epoch first: two batches make one, and the last batch of an epoch makes one alone. "
        "A share is rounded up.",
    )


@_exercise("03.2")
def _trapezoid(answer: Any) -> tuple[bool, str]:
    """A function trapezoid(step, total, warmup, decay) -> factor, tried at every step of random plans."""
    trapezoid = _function("03.2", answer)
    generator = np.random.default_rng()
    for warmup, decay in ((0, 5), (5, 0), (0, 0), *generator.integers(1, 20, (4, 2)).tolist()):
        total = warmup + decay + int(generator.integers(1, 20))
        steps = np.arange(total)
        arguments = {"decay_steps": decay, "decay_type": "linear"}
        wanted = SCHEDULES["warmup_stable_decay"](steps, total, warmup, **arguments)
        for step, factor in zip(steps.tolist(), wanted.tolist(), strict=True):
            try:
                got = _number("03.2", trapezoid(step, total, warmup, decay))
            except ZeroDivisionError:
                got = math.nan  # a warm-up or a decay of no steps has no slope
            if not math.isclose(got, factor, abs_tol=1e-9):
                plan = f"step {step} of {total} with {warmup} steps of warm-up and {decay} of decay"
                return False, f"At {plan} your factor is {got:.3f}; {factor:.3f} was wanted."
    return True, "It agrees with warmup_stable_decay at every step of seven plans."


@_exercise("03.3")
def _first_update(answer: Any) -> tuple[bool, str]:
    """By how many times the rate does Adam without bias correction move a weight in its first update?"""
    beta1, beta2 = 0.9, 0.999
    right = (1 - beta1) / math.sqrt(1 - beta2)
    if math.isclose(_number("03.3", answer), right, rel_tol=0.01):
        return True, f"(1 - 0.9) / sqrt(1 - 0.999) = {right:.2f}, where the corrected Adam moves it by 1."
    return (
        False,
        "After one gradient g the averages are m = (1 - 0.9) g and v = (1 - 0.999) g². Divide m by the root of v, "
        "for any g above 0.",
    )


# ----------------------------------------------------------------------------------------------------- 04_reinit


@_exercise("04.1")
def _fresh_parameters(answer: Any) -> tuple[bool, str]:
    """How many parameters of roberta-base start afresh with its top five layers and its pooler?"""
    import torch
    from transformers import RobertaConfig, RobertaModel

    with torch.device("meta"):  # shapes without memory; the configuration's defaults are the base size
        model = RobertaModel(RobertaConfig())
    layer, pooler = (sum(p.numel() for p in m.parameters()) for m in (model.encoder.layer[0], model.pooler))
    total = sum(p.numel() for p in model.parameters())
    given, right = _number("04.1", answer), 5 * layer + pooler
    if given == right:
        return True, f"{right:,} of the backbone's parameters: {right / total:.0%} of all, the word table included."
    if given == 5 * layer:
        return False, "These are the five layers; the pooler goes with them."
    return False, "One layer: six matrices and their biases, two LayerNorms with scale and shift. Then the pooler."


@_exercise("04.2")
def _stayed(answer: Any) -> tuple[bool, str]:
    """A function stayed(before, after) -> names of the tensors that are equal bit for bit, tried on random tensors."""
    import torch

    stayed = _function("04.2", answer)
    before = {name: torch.randn(40, 30) for name in ("same", "nudged", "shuffled", "fresh", "also same")}
    after = {name: tensor.clone() for name, tensor in before.items()}
    after["nudged"][7, 7] = torch.nextafter(after["nudged"][7, 7], torch.tensor(torch.inf))
    after["shuffled"] = after["shuffled"].flip(0)
    after["fresh"] = torch.randn(40, 30)
    for wanted in (["also same", "same"], []):
        given = stayed(before, after)
        if isinstance(given, str) or not hasattr(given, "__iter__"):
            raise ExerciseError(f"04.2: wants a function that returns names, got {type(given).__name__}")
        given = sorted(map(str, given))
        if given != wanted:
            return False, (
                f"For five tensors called {', '.join(before)} your function gives {given}; {wanted} was wanted. "
                "The nudged one differs in the last bit of a single weight."
            )
        before, after = ({k: d[k] for k in ("nudged", "shuffled", "fresh")} for d in (before, after))
    return True, "It tells a weight that moved by one bit from one that stayed. Such a test would have caught the trap."


@_exercise("04.3")
def _largest_start(answer: Any) -> tuple[bool, str]:
    """The recipe with the most fresh layers of MiniLM for which less than 30 % of all parameters start afresh."""
    if not isinstance(answer, Recipe):
        raise ExerciseError(f"04.3: wants a Recipe, got {type(answer).__name__}; start from ft.Recipe().but(...)")
    from ftlab.models import layer_map, load_model

    layers = layer_map(load_model(Recipe()))
    counts = layers.counts()
    pooler = sum(p.numel() for p in layers.pooler.parameters())
    top = [counts[name] for name in reversed(layers.layers[1:-1])]
    shares = [0.0] + [(pooler + sum(top[:n])) / sum(counts.values()) for n in range(1, len(top) + 1)]
    right = max(n for n, share in enumerate(shares) if share < 0.3)
    given = answer.reinit_layers
    if given >= len(shares):
        return False, f"Your recipe asks for {given} fresh layers; MiniLM has {len(top)}."
    if given != right:
        verdict = "too many" if given > right else "one more still fits"
        return False, f"With {given} fresh layers the share is {shares[given]:.1%}: {verdict}."
    if changed := set(answer.diff(Recipe())) - {"reinit_layers"}:
        return False, f"The number of layers is right; leave {', '.join(sorted(changed))} at the default."
    return True, f"{right} fresh layers and the pooler are {shares[right]:.1%} of all parameters."


# -------------------------------------------------------------------------------------------------------- 05_swa


@_exercise("05.1")
def _snapshots(answer: Any) -> tuple[bool, str]:
    """How many snapshots does the article's mean hold at the end: 5 epochs of 142 steps, averaged from epoch 3?"""
    schedule = preview(PAPER["llrd+warmup+swa"], 142)
    right = schedule.total_steps - schedule.swa_step
    if _number("05.1", answer) == right:
        return True, f"Steps {schedule.swa_step} to {schedule.total_steps - 1}: {right} snapshots."
    return False, "Count from 0: which epochs are left from epoch 3 on? Every step of theirs adds a snapshot."


@_exercise("05.2")
def _running_mean(answer: Any) -> tuple[bool, str]:
    """A function update(mean, weights, k) -> mean of k + 1 snapshots, tried on arrays drawn here."""
    update = _function("05.2", answer)
    snapshots = np.random.default_rng().normal(size=(6, 2, 3))
    for k, weights in enumerate(snapshots):
        mean = snapshots[:k].mean(axis=0) if k else np.zeros_like(weights)
        with np.errstate(all="ignore"):  # a division by 0 shows in the result
            got = update(mean.copy(), weights.copy(), k)
        try:
            agrees = np.allclose(np.asarray(got, dtype=np.float64), snapshots[: k + 1].mean(axis=0))
        except (TypeError, ValueError):
            raise ExerciseError(
                f"05.2: wants a function that returns an array of the shape of `weights`, not {type(got).__name__}"
            ) from None
        if not agrees:
            return False, f"After {k} snapshots and one more, your mean is not the arithmetic mean of all {k + 1}."
    return True, "It stays the arithmetic mean from the first snapshot to the sixth."


@_exercise("05.3")
def _average_late(answer: Any) -> tuple[bool, str]:
    """The article's recipe, averaging the last fifth of the run at each layer's own rate."""
    if not isinstance(answer, Recipe):
        raise ExerciseError(
            f'05.3: wants a Recipe, got {type(answer).__name__}; start from ft.PAPER["llrd+warmup+swa"].but(...)'
        )
    article = PAPER["llrd+warmup+swa"]
    other = set(answer.diff(article)) - {"swa_start", "swa_lr", "swa_anneal_steps"}
    if other:
        return False, f"These fields were to stay as they are: {', '.join(sorted(other))}."
    if answer.swa_start is None:
        return False, "Your recipe does not average at all; set swa_start, in epochs counted from 0."
    schedule = preview(answer, 142)
    if schedule.swa_step != 568:
        averaged = schedule.total_steps - schedule.swa_step
        return False, f"{averaged} of {schedule.total_steps} steps are averaged; one in five was wanted."
    if not np.array_equal(schedule.lr[-1], schedule.lr[schedule.swa_step]):
        return False, "The layers do not keep their rates: a number in swa_lr is one rate for all of them."
    return True, "The last epoch is averaged, and every layer keeps the rate it had when that began."


# ---------------------------------------------------------------------------------------------- 06_frequent_eval


@_exercise("06.1")
def _number_of_looks(answer: Any) -> tuple[bool, str]:
    """How many looks does a run of 5 epochs of 27 steps take with eval_every=15?"""
    total = 5 * 27
    plan = {"eval_every": 15, "steps_per_epoch": 27, "total_steps": total}
    right = sum(is_evaluation_step(step, **plan) for step in range(1, total + 1))
    if _number("06.1", answer) == right:
        return True, "Nine multiples of 15 and five ends of epochs, of which one, step 135, is both."
    return False, "Count the multiples of 15, and the ends of epochs; a step that is both is one look, not two."


@_exercise("06.2")
def _keep(answer: Any) -> tuple[bool, str]:
    """A function keep(scores, patience) that returns (look kept, number of looks taken), tried on random scores."""
    keep = _function("06.2", answer)
    generator = np.random.default_rng()
    for looks, patience in ((1, 1), (6, 1), (12, 3), (40, 2), (40, 5), (40, 50)):
        scores = generator.integers(0, 30, looks) / 10  # coarse, so that some are equal
        best, kept, taken = BestScore(patience=patience), 0, 0
        for i, score in enumerate(scores.tolist()):
            kept, taken = i if best.update(score) else kept, i + 1
            if best.exhausted:
                break
        try:
            got = tuple(int(value) for value in keep(scores, patience))
        except (TypeError, ValueError):
            raise ExerciseError("06.2: wants a function that returns two whole numbers") from None
        if got != (kept, taken):
            shown = f"[{', '.join(f'{score:g}' for score in scores)}]"
            return False, f"For patience {patience} and {shown} it gives {got}; {(kept, taken)} was wanted."
    return True, "It agrees with BestScore on six sets of random scores."


@_exercise("06.3")
def _looks_for_an_optimism(answer: Any) -> tuple[bool, str]:
    """From how many equally good, independent looks of noise 0.02 does the best flatter by more than 0.03?"""
    counts = np.arange(1, 200)
    right = int(counts[-0.02 * expected_minimum(counts) > 0.03][0])
    if _number("06.3", answer) == right:
        return True, f"The best of {right} draws lies {-expected_minimum(right):.2f} standard deviations too low."
    return (
        False,
        "0.03 is one and a half times the noise: find the first k whose `expected_minimum` lies below -1.5.",
    )
