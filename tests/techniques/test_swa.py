"""Weight averaging: the arithmetic mean of the snapshots, worked out here; BatchNorm; the exponential variant."""

import numpy as np
import pytest
import torch
from torch import nn

from ftlab.errors import RecipeError
from ftlab.techniques.swa import WeightAverager


def snapshots(model, count=5):
    """Shake the model `count` times; yield after each."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        with torch.no_grad():
            for p in model.parameters():
                p.add_(torch.randn(p.shape, generator=generator))
        yield [p.detach().double().numpy().copy() for p in model.parameters()]


def test_the_average_is_the_arithmetic_mean_of_the_snapshots():
    model = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3))
    averager = WeightAverager(model)
    seen = []
    for k, weights in enumerate(snapshots(model), start=1):
        averager.update(model)
        seen.append(weights)
        assert averager.num_updates == k
        for i, averaged in enumerate(averager.model.parameters()):
            expected = np.mean([s[i] for s in seen], axis=0)
            np.testing.assert_allclose(averaged.detach().numpy(), expected, rtol=1e-5, atol=1e-6)


def test_the_exponential_average():
    model = nn.Linear(2, 2)
    averager = WeightAverager(model, ema_decay=0.9)
    expected = None
    for weights in snapshots(model):
        averager.update(model)
        expected = weights[0] if expected is None else 0.9 * expected + 0.1 * weights[0]
    np.testing.assert_allclose(averager.model.weight.detach().numpy(), expected, rtol=1e-5, atol=1e-6)


def test_the_model_itself_is_left_alone_and_the_distance_is_euclidean():
    model = nn.Linear(2, 1, bias=False)
    model.weight.data = torch.tensor([[0.0, 0.0]])
    averager = WeightAverager(model)
    averager.update(model)
    model.weight.data = torch.tensor([[6.0, 8.0]])
    averager.update(model)
    assert averager.model.weight.tolist() == [[3.0, 4.0]] and model.weight.tolist() == [[6.0, 8.0]]
    assert averager.distance(model) == pytest.approx(5.0)
    assert not averager.model.training


def test_batch_norm_is_noticed():
    assert WeightAverager(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))).has_batch_norm
    assert not WeightAverager(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))).has_batch_norm


def test_state_travels():
    model = nn.Linear(3, 3)
    first, second = WeightAverager(model), WeightAverager(model)
    for i, _ in enumerate(snapshots(model, 6)):
        first.update(model)
        if i == 2:
            second.load_state_dict(first.state_dict())
        elif i > 2:
            second.update(model)
    assert torch.equal(first.model.weight, second.model.weight) and first.num_updates == second.num_updates == 6


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_ema_decay_out_of_range(decay):
    with pytest.raises(RecipeError, match="ema_decay"):
        WeightAverager(nn.Linear(1, 1), ema_decay=decay)
