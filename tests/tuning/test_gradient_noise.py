"""Gradient noise against a problem whose gradient covariance is known, and against gradients taken one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import ftlab as ft
from ftlab.errors import RecipeError
from ftlab.recipe import Recipe
from ftlab.tuning.gradient_noise import GradientNoise, gradient_noise


class LinearRegression:
    """Mean squared error of w x over 400 rows, at w = 0: the gradient of row i is -2 y_i x_i, all moments exact."""

    def __init__(self, slope: float = 1.0) -> None:
        generator = np.random.default_rng(7)
        self.x = generator.normal(size=(400, 5))
        self.y = self.x @ np.array([slope, -slope, 0.5 * slope, 0.0, 0.0]) + generator.normal(size=400)
        self.rows = np.arange(400)
        self.calls = []
        each = -2 * self.y[:, None] * self.x
        self.mean = each.mean(axis=0)
        self.signal = float(self.mean @ self.mean)
        self.noise = float(((each - self.mean) ** 2).sum(axis=1).mean())

    def gradient(self, rows):
        self.calls.append(rows.copy())
        w = torch.zeros(5, dtype=torch.float64, requires_grad=True)
        loss = ((torch.tensor(self.x[rows]) @ w - torch.tensor(self.y[rows])) ** 2).mean()
        return torch.autograd.grad(loss, w)[0]


def test_the_variance_follows_the_law_and_the_noise_scale_is_the_true_one():
    problem = LinearRegression()
    measured = gradient_noise(problem.gradient, problem.rows, repeats=600)
    assert measured.examples == 9600 and measured.batch_sizes == (1, 2, 4, 8, 16)
    law = [problem.noise / size for size in measured.batch_sizes]
    assert measured.variance == pytest.approx(law, rel=0.1)
    assert measured.noise == pytest.approx(problem.noise, rel=0.05)
    assert measured.signal == pytest.approx(problem.signal, rel=0.05)
    assert measured.b_simple == pytest.approx(problem.noise / problem.signal, rel=0.1)


@pytest.mark.parametrize("sizes", [(1, 2, 4, 8, 16), (2, 8), (3, 9)])
def test_the_estimators_are_unbiased(sizes):
    """Over many short measurements each errs, but their mean is the truth within three of its standard errors."""
    problem = LinearRegression(0.3)
    seen = [
        gradient_noise(problem.gradient, problem.rows, batch_sizes=sizes, repeats=2, seed=seed) for seed in range(300)
    ]
    wanted = {"noise": problem.noise, "signal": problem.signal}
    for name, truth in wanted.items():
        values = np.array([getattr(noise, name) for noise in seen])
        error = values.std(ddof=1) / math.sqrt(len(values))
        assert abs(values.mean() - truth) < 3 * error and error < 0.1 * max(wanted.values()), name
    for i, size in enumerate(sizes):
        values = np.array([noise.variance[i] for noise in seen])
        assert abs(values.mean() - problem.noise / size) < 3 * values.std(ddof=1) / math.sqrt(len(values)), size


def test_every_number_is_what_the_definitions_say():
    problem = LinearRegression()
    measured = gradient_noise(problem.gradient, problem.rows, batch_sizes=(2, 6), repeats=4, seed=5)
    rows = np.array(problem.calls)
    assert rows.shape == (12, 2) and measured.examples == 24
    each = -2 * problem.y[rows][..., None] * problem.x[rows]
    small, large, everything = each.mean(axis=1), each.reshape(4, 6, 5).mean(axis=1), each.mean(axis=(0, 1))
    assert measured.squared_norm == pytest.approx([(g**2).sum(axis=1).mean() for g in (small, large)])
    assert measured.variance == pytest.approx([g.var(axis=0, ddof=1).sum() for g in (small, large)])
    assert measured.mean_squared_norm == pytest.approx(everything @ everything)
    b, t = 2, 24
    assert measured.signal == pytest.approx((t * everything @ everything - b * measured.squared_norm[0]) / (t - b))
    assert measured.squared_norm[0] == pytest.approx(measured.signal + measured.noise / b)
    assert measured.mean_squared_norm == pytest.approx(measured.signal + measured.noise / t)


def test_the_same_seed_draws_the_same_batches():
    problem = LinearRegression()
    a, b, c = (gradient_noise(problem.gradient, problem.rows, repeats=2, seed=seed) for seed in (1, 1, 2))
    assert a == b != c


def test_without_a_signal_the_noise_scale_has_no_end():
    assert GradientNoise((1, 4), (8.0, 2.0), (8.0, 2.0), 16, 0.4).b_simple == math.inf
    assert GradientNoise((1, 4), (9.0, 3.0), (8.0, 2.0), 16, 1.5).b_simple == pytest.approx(8.0)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ({"batch_sizes": (4,)}, ["batch_sizes", "(4,)", "two"]),
        ({"batch_sizes": (2, 3)}, ["batch_sizes", "(2, 3)", "multiple"]),
        ({"batch_sizes": (4, 4)}, ["batch_sizes", "(4, 4)"]),
        ({"batch_sizes": (4, 2)}, ["batch_sizes", "(4, 2)"]),
        ({"batch_sizes": (0, 2)}, ["batch_sizes", "(0, 2)", "1 or more"]),
        ({"batch_sizes": (1, 2.0)}, ["batch_sizes", "2.0"]),
        ({"batch_sizes": (True, 2)}, ["batch_sizes", "True"]),
        ({"repeats": 1}, ["repeats", "1", "2 or more"]),
        ({"repeats": 2.5}, ["repeats", "2.5"]),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments, parts):
    problem = LinearRegression()
    with pytest.raises(RecipeError) as caught:
        gradient_noise(problem.gradient, problem.rows, **arguments)
    assert all(part in str(caught.value) for part in parts), str(caught.value)
    assert not problem.calls


# ------------------------------------------------------------------------------------------------- of a model


@pytest.fixture(scope="module")
def data():
    return ft.load_data("passages")


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setenv("FTLAB_PRESET", "tiny")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


RECIPE = Recipe(max_length=16, batch_size=8, epochs=1)


def test_a_model_s_noise_is_measured_with_its_weights_left_alone(data):
    model = ft.fit(RECIPE, data, live=False).model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    start, after = (
        ft.measure_gradient_noise(RECIPE, data, model=given, batch_sizes=(2, 4, 8), repeats=4)
        for given in (None, model)
    )
    assert model.training and all(p.grad is None for p in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    for noise in (start, after):
        assert noise.noise > 0 and noise.examples == 32
        assert noise.variance == pytest.approx([noise.noise / size for size in noise.batch_sizes], rel=0.7)
    assert start != after
    assert start == ft.measure_gradient_noise(RECIPE, data, batch_sizes=(2, 4, 8), repeats=4)


def test_dropout_adds_nothing_to_the_noise(data):
    wet = RECIPE.but(dropout=0.5)
    assert ft.measure_gradient_noise(wet, data, batch_sizes=(4, 8), repeats=2) == ft.measure_gradient_noise(
        RECIPE, data, batch_sizes=(4, 8), repeats=2
    )


@pytest.mark.parametrize("batch_size", [32, 30])
def test_accumulated_gradients_are_those_of_the_large_batch(data, batch_size):
    differences = ft.accumulation_difference(RECIPE, data, batch_size=batch_size, steps=(1, 2, 4, 8, batch_size))
    assert differences.pop(1) == 0
    assert list(differences) == [2, 4, 8, batch_size] and all(0 < d < 1e-6 for d in differences.values())


def test_clipping_and_dropout_have_no_part_in_the_comparison(data):
    plain = ft.accumulation_difference(RECIPE, data, steps=(4,))
    assert ft.accumulation_difference(RECIPE.but(max_grad_norm=1e-3, dropout=0.3), data, steps=(4,)) == plain


def test_accumulation_counts_rows_not_batches(data, monkeypatch):
    """Were each small batch to weigh the same, 30 rows in 4 parts would not give the large batch's gradient."""
    from ftlab.trainer import Job

    right = Job.forward_and_backward

    def wrong(self, batches):
        for rows in batches:
            batch = self.make_batch(rows)
            labels = batch.pop("labels")
            (self.loss(self.model(**batch).logits, labels) / len(batches)).backward()
        return 0.0, 0.0

    monkeypatch.setattr(Job, "forward_and_backward", wrong)
    assert ft.accumulation_difference(RECIPE, data, batch_size=30, steps=(4,))[4] > 1e-3
    monkeypatch.setattr(Job, "forward_and_backward", right)
    assert ft.accumulation_difference(RECIPE, data, batch_size=30, steps=(4,))[4] < 1e-6


def test_a_loss_that_is_no_mean_is_refused(data):
    for measure in (ft.measure_gradient_noise, ft.accumulation_difference):
        with pytest.raises(RecipeError, match="loss: 'rmse'"):
            measure(RECIPE.but(loss="rmse"), data)


@pytest.mark.parametrize("parts", [0, 9, 2.0, True])
def test_more_parts_than_rows_are_refused(data, parts):
    with pytest.raises(RecipeError, match=f"steps: {parts}.*1 to 8"):
        ft.accumulation_difference(RECIPE, data, batch_size=8, steps=(parts,))
