"""Stochastic weight averaging (SWA): evaluate the mean of the weights along the end of training (Izmailov et al. 2018).

The iterates of stochastic gradient descent circle around a wide valley; their mean lies nearer its middle. The schedule
while averaging is `ftlab.schedules.swa_tail`. Averaging is done by `torch.optim.swa_utils.AveragedModel`.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_multi_avg_fn

from ftlab.checks import real


class WeightAverager:
    """The running mean of a model's weights, kept beside the model.

    After k updates every parameter is the arithmetic mean of its k snapshots; with `ema_decay` it is the exponential
    moving average d * average + (1 - d) * weights instead. Costs one copy of the weights. Buffers are copied from the
    newest snapshot; a model with BatchNorm needs `torch.optim.swa_utils.update_bn` before it is evaluated, which a
    Transformer with LayerNorm does not (`has_batch_norm`).

        averager = WeightAverager(model)
        for batch in batches:
            ...; optimizer.step(); averager.update(model)
        evaluate(averager.model)
    """

    def __init__(self, model: nn.Module, *, ema_decay: float | None = None) -> None:
        real("ema_decay", ema_decay, 0, 1, below=True, optional=True)
        average = get_swa_multi_avg_fn() if ema_decay is None else get_ema_multi_avg_fn(ema_decay)
        self._averaged = AveragedModel(model, multi_avg_fn=average)
        self.has_batch_norm = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())

    def update(self, model: nn.Module) -> None:
        """Take the model's present weights into the average."""
        self._averaged.update_parameters(model)

    @property
    def model(self) -> nn.Module:
        """The averaged model, in evaluation mode; meaningless before the first update."""
        return self._averaged.module.eval()

    @property
    def num_updates(self) -> int:
        """How many snapshots the average holds."""
        return int(self._averaged.n_averaged)

    def to(self, device: torch.device | str) -> WeightAverager:
        """Move the average to a device; return self."""
        self._averaged.to(device)
        return self

    def distance(self, model: nn.Module) -> float:
        """Euclidean distance between the averaged and the present weights."""
        pairs = zip(self._averaged.module.parameters(), model.parameters(), strict=True)
        with torch.no_grad():
            return float(torch.stack([(a - p).square().sum() for a, p in pairs]).sum().sqrt())

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the averaged weights and the number of snapshots."""
        return self._averaged.state_dict()

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore what `state_dict` returned."""
        self._averaged.load_state_dict(state)
