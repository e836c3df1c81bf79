"""BertAdam: Adam with decoupled weight decay and without bias correction, as BERT was trained (Devlin et al. 2019).

Copies of the published code carried the missing correction into years of fine-tuning. It makes the first updates too
large: 3.2 times Adam's at the first, over 6 times at the tenth, still 3.2 times at the hundredth, with b1 = 0.9 and
b2 = 0.999 (`ftlab.schedules.missing_correction`). Few-sample fine-tuning feels that (Mosbach et al. 2021; Zhang et al.
2021).
"""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer
from torch.optim.optimizer import required

from ftlab.bert_schedules import BERT_SCHEDULES
from ftlab.errors import ModelError, RecipeError
from ftlab.schedules import schedule_arguments


class SparseGradientError(ModelError, RuntimeError):
    """A gradient is sparse, as embeddings with sparse=True have them; a RuntimeError, as published."""


class BertAdam(Optimizer):
    """Adam (Kingma and Ba 2015) without bias correction, with decoupled weight decay and clipping per parameter.

        m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  p = p - rate (m / (sqrt(v) + e) + weight_decay p)

    As published in Microsoft's DeepSpeedExamples, whose schedules are those of pytorch-pretrained-bert up to 0.5, on
    torch's foreach operations. Before the update each parameter's gradient is scaled, in place, to a norm of at most
    `max_grad_norm` (0 or less: no clipping). Both terms are added before they are multiplied by the rate: in 32 bits
    p (1 - rate weight_decay), as `torch.optim.AdamW` has it, loses a decay near or below 6e-8 (2 ** -24).

    The rate is `lr` times the factor of `schedule`, one of the six in `ftlab.schedules.BERT_SCHEDULES`, at
    step / t_total. step counts from 0, for each parameter by itself: one without a gradient stays as it is and does
    not count. warmup: share of t_total in [0, 1), or -1 for none. t_total: the number of updates planned, or -1 for
    the constant rate `lr`, whatever schedule and warm-up say; anything else may then set the groups' `lr` between
    steps. decay_rate, decay_steps, degree, warm_degree: the schedule's own arguments; None for its defaults. Every
    option but `params` may be set group by group; `lr` may be left out where every group has its own.

    Beyond t_total the cosine, the line and the polynomial stay at 0, which they have come to, with one warning; the
    published ones rise again or turn negative. The constant and the two exponentials go on by their formulas.

        optimizer = BertAdam(model.parameters(), lr=2e-5, warmup=0.1, t_total=len(batches))
        for batch in batches:
            model(**batch).loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    Raises RecipeError, a ValueError, for an option out of range; SparseGradientError, a RuntimeError, before anything
    is changed.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = required,
        warmup: float = -1,
        t_total: int = -1,
        schedule: str = "warmup_linear",
        b1: float = 0.9,
        b2: float = 0.999,
        e: float = 1e-6,
        weight_decay: float = 0.01,
        max_grad_norm: float = 1.0,
        *,
        decay_rate: float | None = None,
        decay_steps: float | None = None,
        degree: float | None = None,
        warm_degree: float | None = None,
    ) -> None:
        given = dict(locals())  # every argument but params is an option that a group may have of its own
        defaults = {name: value for name, value in given.items() if name not in ("self", "params", "__class__")}
        _check(defaults if lr is not required else {**defaults, "lr": 0.0}, defaults)
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters with options of its own. Raises RecipeError if one is out of range."""
        _check({**self.defaults, **param_group}, param_group)
        super().add_param_group(param_group)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a state; what the published optimizer's groups do not have is taken from the constructor."""
        super().__setstate__(state)
        for group in self.param_groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)

    def get_lr(self) -> list[float]:
        """Return the rate that the next step will use, one for each parameter; [0] before the first step.

        As published, it is [0] as long as any parameter has made no step, such as one that never has a gradient.
        """
        if not all(self.state.get(p) for group in self.param_groups for p in group["params"]):
            return [0]
        return [rate for group in self.param_groups for rate in self._rates(group, group["params"])]

    @torch.no_grad()
    def step(self, closure: Callable[[], torch.Tensor] | None = None) -> torch.Tensor | None:
        """Update every parameter that has a gradient; return the closure's loss if one is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        todo = [(group, [p for p in group["params"] if p.grad is not None]) for group in self.param_groups]
        if any(p.grad.is_sparse for _, params in todo for p in params):
            raise SparseGradientError(
                "Adam does not support sparse gradients, please consider SparseAdam instead, "
                "or make the embedding with sparse=False"
            )
        for group, params in todo:
            if not params:
                continue
            for p in params:
                if not self.state[p]:
                    self.state[p].update(step=0, next_m=torch.zeros_like(p), next_v=torch.zeros_like(p))
            states = [self.state[p] for p in params]
            rates = self._rates(group, params)
            _warn_of_the_end(group, states, rates)
            all_grads = [p.grad for p in params]
            all_ms, all_vs = ([state[name] for state in states] for name in ("next_m", "next_v"))

            if group["max_grad_norm"] > 0:
                _clip_each(all_grads, group["max_grad_norm"])
            for ps, grads, ms, vs, rs in _pieces(params, all_grads, all_ms, all_vs, rates):
                torch._foreach_lerp_(ms, grads, 1 - group["b1"])
                torch._foreach_mul_(vs, group["b2"])
                torch._foreach_addcmul_(vs, grads, grads, 1 - group["b2"])
                updates = torch._foreach_sqrt(vs)
                torch._foreach_add_(updates, group["e"])
                torch._foreach_reciprocal_(updates)  # in place, so that no second copy is held
                torch._foreach_mul_(updates, ms)
                if group["weight_decay"] > 0:  # decoupled, yet in one sum with Adam's part: alone it would be lost
                    torch._foreach_add_(updates, ps, alpha=group["weight_decay"])
                torch._foreach_mul_(updates, rs)
                torch._foreach_sub_(ps, updates)

            for state in states:
                state["step"] += 1
        return loss

    def _rates(self, group: Mapping[str, Any], params: list[torch.Tensor]) -> list[float]:
        """Return the scheduled rate of each parameter's next update."""
        total = group["t_total"]
        if total == -1:
            return [group["lr"]] * len(params)
        steps = np.array([self.state[p]["step"] for p in params])
        own = {name: group[name] for name in _OWN[group["schedule"]] if group[name] is not None}
        factors = BERT_SCHEDULES[group["schedule"]](steps, total, _warmup_steps(group["warmup"], total), **own)
        return [group["lr"] * factor for factor in factors.tolist()]


_PIECE = 2**18  # elements; five tensors of 1 to 2 MiB, which an update goes over many times, stay in a cache


def _pieces(*columns: list[Any]) -> Iterator[tuple[Any, ...]]:
    """Yield parameters, gradients, both means and rates, on a CPU in pieces, so that no copy of the group is held."""
    most = _PIECE if all(p.device.type == "cpu" for p in columns[0]) else math.inf
    piece, size = [], 0
    for *tensors, rate in zip(*columns, strict=True):
        long = tensors[0].numel() > most and all(tensor.is_contiguous() for tensor in tensors)
        for part in zip(*(t.view(-1).split(_PIECE) if long else [t] for t in tensors), strict=True):
            piece.append((*part, rate))
            size += part[0].numel()
            if size >= most:
                yield tuple(zip(*piece, strict=True))
                piece, size = [], 0
    if piece:
        yield tuple(zip(*piece, strict=True))


def _warmup_steps(warmup: float, total: int) -> float:
    """Turn a share of the run into updates: -1 for none, and whole where only rounding keeps it from being whole."""
    steps = warmup * total
    nearest = round(steps)
    return -1 if warmup == -1 else nearest if abs(steps - nearest) < 1e-9 * total else steps


def _clip_each(grads: list[torch.Tensor], limit: float) -> None:
    """Scale every gradient whose own norm is above `limit` down to it, in place."""
    norms = torch._foreach_norm(grads)
    norms = torch.stack([norm.to(norms[0].device) for norm in norms]).tolist()  # one transfer for all
    scales = [limit / (norm + 1e-6) for norm in norms]
    long = [i for i, scale in enumerate(scales) if scale < 1]
    if long:
        torch._foreach_mul_([grads[i] for i in long], [scales[i] for i in long])


def _warn_of_the_end(group: Mapping[str, Any], states: list[dict[str, Any]], rates: list[float]) -> None:
    """Say so, once, if an update comes after the planned ones and the schedule has come to 0."""
    late = any(state["step"] == group["t_total"] and rate == 0 for state, rate in zip(states, rates, strict=True))
    if late and group["lr"] > 0:
        warnings.warn(
            f"BertAdam: the run is longer than t_total={group['t_total']} updates, and {group['schedule']!r} has come "
            "to 0 there, so the weights no longer change; give the number of all updates as t_total",
            stacklevel=2,
        )


# ----------------------------------------------------------------------------------------------------------- checks

_OWN = {name: tuple(schedule_arguments(name)) for name in BERT_SCHEDULES}
_OPTIONAL = ("decay_rate", "decay_steps", "degree", "warm_degree")


def _above_0(value: float | None) -> bool:
    return value is None or value > 0


# Option -> its name in the published message, what is allowed, the same in words, what to do.
_ALLOWED: dict[str, tuple[str, Callable[[Any], bool], str, str]] = {
    "lr": ("learning rate", lambda v: 0 <= v < math.inf, ">= 0.0", "about 2e-5 is usual for BERT"),
    "warmup": ("warmup", lambda v: 0 <= v < 1 or v == -1, "in [0.0, 1.0[ or -1", "a share of t_total; -1 is none"),
    "t_total": (
        "t_total",
        lambda v: v == -1 or 1 <= v < math.inf and v == int(v),
        "a whole number >= 1, or -1",
        "it is the number of all updates; -1 keeps the rate constant",
    ),
    "b1": ("b1 parameter", lambda v: 0 <= v < 1, "in [0.0, 1.0[", "0.9 is usual"),
    "b2": ("b2 parameter", lambda v: 0 <= v < 1, "in [0.0, 1.0[", "0.999 is usual"),
    "e": ("epsilon value", lambda v: 0 <= v < math.inf, ">= 0.0", "1e-6 is usual"),
    "weight_decay": ("weight_decay", lambda v: 0 <= v < math.inf, ">= 0.0", "0.0 is none"),
    "max_grad_norm": ("max_grad_norm", lambda v: True, "a number", "-1 is no clipping"),
    "decay_rate": ("decay_rate", lambda v: v is None or 0 < v <= 1, "in ]0.0, 1.0]", "None is the schedule's own"),
    "decay_steps": ("decay_steps", _above_0, "> 0.0", "None is the whole decay"),
    "degree": ("degree", _above_0, "> 0.0", "None is the schedule's own"),
    "warm_degree": ("warm_degree", _above_0, "> 0.0", "None is the schedule's own"),
}


def _check(options: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Check a group's options; `given` are those that were given for this very group."""
    schedule = options["schedule"]
    if not isinstance(schedule, str) or schedule not in BERT_SCHEDULES:
        raise RecipeError(f"Invalid schedule parameter: {schedule} - should be one of {', '.join(BERT_SCHEDULES)}")
    for name, (title, allowed, words, remedy) in _ALLOWED.items():
        value = options[name]
        is_number = isinstance(value, numbers.Real) and not isinstance(value, bool) and not math.isnan(value)
        if not (is_number or value is None and name in _OPTIONAL) or not allowed(value):
            raise RecipeError(f"Invalid {title}: {value} - should be {words}; {remedy}")
    for name in _OPTIONAL:
        if given.get(name) is not None and name not in _OWN[schedule]:
            takes = " and ".join(_OWN[schedule]) or "none"
            raise RecipeError(f"{name}: the schedule {schedule!r} has no such argument; it takes {takes}")
