"""Random numbers of one's own: equal to the global generator's, and neither side disturbs the other."""

from __future__ import annotations

import threading
import time

import torch
from torch import nn

import ftlab as ft
from ftlab.models import load_model
from ftlab.models.rng import own_generator


def draw_everything() -> list[torch.Tensor]:
    """Draw once with every kind of operation that a model or its initialisation may use."""
    x, q = torch.ones(3, 40), torch.linspace(-1, 1, 1024).reshape(2, 4, 8, 16)
    lstm, attention = nn.LSTM(16, 16, 2, dropout=0.3), nn.MultiheadAttention(16, 2, dropout=0.3)
    drawn = [
        torch.rand(5), torch.randn(40), torch.randint(9, (5,)), torch.randint(2, 9, (5,)), torch.randperm(12),
        torch.rand_like(x), torch.randn_like(x), torch.randint_like(x, 5), torch.normal(x, 2.0),
        torch.normal(0.0, 1.0, (5,)), torch.bernoulli(x / 2), torch.multinomial(x, 3), torch.poisson(x),
        torch.empty(20).exponential_(), torch.empty(5).cauchy_(), torch.empty(5).log_normal_(),
        torch.empty(5).geometric_(0.5), torch.empty(3).random_(), torch.empty(9).uniform_(),
        nn.init.trunc_normal_(torch.empty(40)), nn.Linear(20, 30).weight, nn.Embedding(5, 6).weight,
        nn.functional.dropout(x, 0.3), nn.functional.dropout1d(x, 0.3), nn.functional.alpha_dropout(x, 0.2, True),
        nn.functional.rrelu(x - 2, training=True), nn.functional.gumbel_softmax(x),
        nn.functional.scaled_dot_product_attention(q, q, q, dropout_p=0.3),
        attention(q[0], q[0], q[0])[0], lstm(q[0])[0],
    ]  # fmt: skip
    return [tensor.detach() for tensor in drawn]


def test_the_numbers_are_those_of_the_seeded_global_generator_which_stays_where_it_is():
    torch.manual_seed(7)
    expected = draw_everything()
    torch.manual_seed(99)
    before = torch.get_rng_state()
    with own_generator(7):
        drawn = draw_everything()
    assert [i for i, pair in enumerate(zip(drawn, expected, strict=True)) if not torch.equal(*pair)] == []
    assert torch.equal(torch.get_rng_state(), before)


def test_a_block_entered_again_goes_on_and_gradients_are_the_same():
    torch.manual_seed(3)
    x = torch.linspace(-1, 1, 50, requires_grad=True)
    (nn.functional.dropout(x, 0.5) * nn.functional.dropout(x, 0.5)).sum().backward()
    own, y = own_generator(3), torch.linspace(-1, 1, 50, requires_grad=True)
    with own:
        first = nn.functional.dropout(y, 0.5)
    with own:
        second = nn.functional.dropout(y, 0.5)
    (first * second).sum().backward()
    assert torch.equal(x.grad, y.grad)


def test_a_generator_that_is_named_is_the_one_that_draws():
    expected = torch.rand(4, generator=torch.Generator().manual_seed(1))
    with own_generator(2):
        assert torch.equal(torch.rand(4, generator=torch.Generator().manual_seed(1)), expected)
        assert torch.empty(3, device="meta").normal_().is_meta  # nothing is drawn there


class Drawing(threading.Thread):
    """Another cell: draws all the time, and keeps what it drew."""

    def __init__(self) -> None:
        super().__init__()
        self.stop, self.drawn = threading.Event(), []

    def run(self) -> None:
        torch.manual_seed(5)
        while not self.stop.is_set():
            self.drawn.append(torch.rand(3))
            time.sleep(0.0002)


def test_a_run_and_a_cell_that_draws_all_the_time_do_not_disturb_each_other(monkeypatch):
    """With the global generator put in and out around the run, both sides of this differ."""
    monkeypatch.setenv("FTLAB_PRESET", "tiny")
    data, recipe = ft.load_data("passages"), ft.Recipe(dropout=0.2, reinit_layers=2, epochs=3, head="attention")
    alone = ft.fit(recipe, data, live=False)
    for _ in range(3):
        other = Drawing()
        other.start()
        together = ft.fit(recipe, data, live=False)
        other.stop.set()
        other.join()
        assert together.history == alone.history and together.test_score == alone.test_score
        assert len(other.drawn) > 100
        torch.manual_seed(5)
        expected = torch.stack([torch.rand(3) for _ in other.drawn])
        assert torch.equal(torch.stack(other.drawn), expected)


def test_dropout_draws_on_from_step_to_step(monkeypatch):
    """One mask for the whole run would pass the tests of equality."""
    monkeypatch.setenv("FTLAB_PRESET", "tiny")
    model = load_model(ft.Recipe(dropout=0.5)).train()
    ids = torch.randint(5, 100, (2, 10), generator=torch.Generator().manual_seed(1))
    random = own_generator(0)
    with torch.no_grad(), random:
        assert not torch.equal(model(ids).logits, model(ids).logits)
