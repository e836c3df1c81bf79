"""BertAdam against the published formula in plain NumPy, and against AdamW where the two must agree."""

import numpy as np
import pytest
import torch

from ftlab.bertadam import BertAdam


def by_hand(p, grads, lr, b1=0.9, b2=0.999, e=1e-6, weight_decay=0.01, max_norm=1.0):
    """The published update, one parameter, float64."""
    m, v = np.zeros_like(p), np.zeros_like(p)
    for g in grads:
        norm = np.sqrt((g**2).sum())
        if max_norm > 0 and norm > max_norm:
            g = g * max_norm / (norm + 1e-6)
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        p = p - lr * (m / (np.sqrt(v) + e) + weight_decay * p)
    return p


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("max_norm", [-1.0, 0.5, 100.0])
def test_equals_the_formula(weight_decay, max_norm):
    generator = np.random.default_rng(0)
    starts = [generator.standard_normal(shape) for shape in [(3, 4), (5,), (2, 2)]]
    grads = [[generator.standard_normal(p.shape) for _ in range(20)] for p in starts]
    params = [torch.nn.Parameter(torch.tensor(p)) for p in starts]
    optimizer = BertAdam(params, lr=0.01, weight_decay=weight_decay, max_grad_norm=max_norm)
    for step in range(20):
        for p, gs in zip(params, grads, strict=True):
            p.grad = torch.tensor(gs[step])
        optimizer.step()
    for p, start, gs in zip(params, starts, grads, strict=True):
        expected = by_hand(start, gs, 0.01, weight_decay=weight_decay, max_norm=max_norm)
        np.testing.assert_allclose(p.detach().numpy(), expected, rtol=1e-10, atol=1e-12)


def test_the_first_step_is_larger_than_adamws_by_the_missing_correction():
    """(1 - b1) / sqrt(1 - b2) = 0.1 / sqrt(0.001) = 3.162 times, for a gradient far above epsilon."""
    moved = {}
    for name, make in {
        "bertadam": lambda p: BertAdam([p], lr=0.01, weight_decay=0, max_grad_norm=-1),
        "adamw": lambda p: torch.optim.AdamW([p], lr=0.01, weight_decay=0),
    }.items():
        p = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
        p.grad = torch.full_like(p, 100.0)
        make(p).step()
        moved[name] = 1 - p.item()
    assert moved["bertadam"] / moved["adamw"] == pytest.approx(0.1 / np.sqrt(0.001), rel=1e-5)


def test_parameters_without_a_gradient_stay_and_state_travels():
    p, q = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    optimizer = BertAdam([{"params": [p], "name": "a"}, {"params": [q], "lr": 0.5}], lr=0.1)
    p.grad = torch.ones(2)
    assert optimizer.step(lambda: torch.tensor(3.0)).item() == 3.0
    assert q.tolist() == [1, 1] and p.tolist() != [1, 1]
    again = BertAdam([{"params": [p], "name": "a"}, {"params": [q], "lr": 0.5}], lr=0.1)
    again.load_state_dict(optimizer.state_dict())
    assert torch.equal(again.state[p]["next_m"], optimizer.state[p]["next_m"])


@pytest.mark.parametrize(
    "arguments, message",
    [({"lr": -1.0}, "learning rate"), ({"b1": 1.0}, "b1"), ({"b2": -0.1}, "b2"), ({"e": -1e-6}, "epsilon")],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        BertAdam([torch.nn.Parameter(torch.ones(1))], **{"lr": 0.1, **arguments})


def test_sparse_gradients_are_refused():
    embedding = torch.nn.Embedding(4, 2, sparse=True)
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="sparse"):
        BertAdam(embedding.parameters(), lr=0.1).step()
