"""BertAdam: Adam with decoupled weight decay and without bias correction, as BERT was trained (Devlin et al. 2019).

Without bias correction the first updates are too large: with b1 = 0.9, b2 = 0.999 the first is about 3.2 times the
size of Adam's, which few-sample fine-tuning feels (Mosbach et al. 2021; Zhang et al. 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import Optimizer


class BertAdam(Optimizer):
    """Adam (Kingma and Ba 2015) without bias correction, with decoupled weight decay and clipping per parameter.

        m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  p = p - lr (m / (sqrt(v) + e) + weight_decay p)

    The gradient of each parameter is first scaled to a norm of at most `max_grad_norm` (0 or less: no clipping). The
    rate is the group's `lr` as it stands at the step, so any schedule may set it between steps. Raises ValueError
    for a negative `lr` or `e`, or `b1`, `b2` outside [0, 1), RuntimeError for sparse gradients.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        b1: float = 0.9,
        b2: float = 0.999,
        e: float = 1e-6,
        weight_decay: float = 0.01,
        max_grad_norm: float = 1.0,
    ) -> None:
        if lr < 0.0:
            raise ValueError(f"Invalid learning rate: {lr} - should be >= 0.0")
        for name, value in (("b1", b1), ("b2", b2)):
            if not 0.0 <= value < 1.0:
                raise ValueError(f"Invalid {name} parameter: {value} - should be in [0.0, 1.0[")
        if e < 0.0:
            raise ValueError(f"Invalid epsilon value: {e} - should be >= 0.0")
        defaults = dict(lr=lr, b1=b1, b2=b2, e=e, weight_decay=weight_decay, max_grad_norm=max_grad_norm)
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], torch.Tensor] | None = None) -> torch.Tensor | None:
        """Update every parameter that has a gradient; return the closure's loss if one is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            grads = [p.grad for p in params]
            if any(g.is_sparse for g in grads):
                raise RuntimeError("BertAdam does not support sparse gradients; use torch.optim.SparseAdam")
            for p in params:
                if not self.state[p]:
                    self.state[p] = {"next_m": torch.zeros_like(p), "next_v": torch.zeros_like(p)}
            ms = [self.state[p]["next_m"] for p in params]
            vs = [self.state[p]["next_v"] for p in params]
            if group["max_grad_norm"] > 0:
                scales = [
                    (group["max_grad_norm"] / (norm + 1e-6)).clamp(max=1.0)
                    for norm in torch._foreach_norm(grads)
                ]
                torch._foreach_mul_(grads, scales)
            torch._foreach_lerp_(ms, grads, 1 - group["b1"])
            torch._foreach_mul_(vs, group["b2"])
            torch._foreach_addcmul_(vs, grads, grads, 1 - group["b2"])
            denominators = torch._foreach_sqrt(vs)
            torch._foreach_add_(denominators, group["e"])
            if group["weight_decay"] > 0:  # decoupled: from the weights before the step, as Adam's part is
                torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_addcdiv_(params, ms, denominators, -group["lr"])
        return loss
