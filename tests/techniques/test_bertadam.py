"""BertAdam against the published package's figures, the formula in NumPy, and AdamW where the two must agree."""

from __future__ import annotations

import copy
import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.utils import clip_grad_norm_
from torch.utils._python_dispatch import TorchDispatchMode

import ftlab as ft
from ftlab import bert_schedules
from ftlab.bert_schedules import BERT_SCHEDULES, missing_correction
from ftlab.errors import FtlabError, RecipeError
from ftlab.models import tiny_model
from ftlab.recipe import Recipe
from ftlab.schedules import ALL_SCHEDULES, SCHEDULES, preview
from ftlab.techniques import bertadam
from ftlab.techniques.bertadam import BertAdam, SparseGradientError
from ftlab.trainer import make_optimizer

PUBLISHED = json.loads(Path(__file__).with_name("bertadam_published.json").read_text(encoding="utf-8"))


def parameter(*shape, seed=0):
    return torch.nn.Parameter(torch.tensor(np.random.default_rng(seed).standard_normal(shape)))


def give(params, gradients):
    for p, gradient in zip(params, gradients, strict=True):
        p.grad = None if gradient is None else torch.as_tensor(gradient, dtype=p.dtype).clone()


def gradients(shapes, steps, seed=1):
    generator = np.random.default_rng(seed)
    return [[generator.standard_normal(shape) for shape in shapes] for _ in range(steps)]


# ------------------------------------------------------------------------------------------- the update


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
    shapes = [(3, 4), (5,), (2, 2)]
    params = [parameter(*shape) for shape in shapes]
    starts = [p.detach().numpy().copy() for p in params]
    given = gradients(shapes, 20)
    optimizer = BertAdam(params, lr=0.01, weight_decay=weight_decay, max_grad_norm=max_norm)
    for step in given:
        give(params, step)
        optimizer.step()
    for i, (p, start) in enumerate(zip(params, starts, strict=True)):
        expected = by_hand(start, [step[i] for step in given], 0.01, weight_decay=weight_decay, max_norm=max_norm)
        np.testing.assert_allclose(p.detach().numpy(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("case", PUBLISHED["cases"], ids=lambda c: f"{c['version']} {c['options']}")
def test_equals_the_published_package_step_for_step(case):
    """Made as the file's "made" says; get_lr() and every parameter, before the first step and after each."""
    shapes = [(2, 2), (3,)]
    params = [
        torch.nn.Parameter(torch.tensor(np.sin(1.0 + 3 * i + np.arange(math.prod(s))).reshape(s)))
        for i, s in enumerate(shapes)
    ]
    optimizer = BertAdam(params, **case["options"])
    beyond = case["options"].get("t_total", -1) == 6
    rates = [optimizer.get_lr()]
    for step, expected in enumerate(case["parameters"]):
        for i, (p, shape) in enumerate(zip(params, shapes, strict=True)):
            wave = np.cos(1.7 * step + 0.9 * np.arange(math.prod(shape)) + i)
            p.grad = torch.tensor((1 + i) * wave.reshape(shape))
        if beyond and step == 6:
            with pytest.warns(UserWarning, match="longer than t_total=6"):
                optimizer.step()
        else:
            optimizer.step()
        rates.append(optimizer.get_lr())
        got = [x for p in params for x in p.detach().ravel().tolist()]
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-13)
    assert len(rates) == len(case["rates"]) == 11
    for got, expected in zip(rates, case["rates"], strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-16)


def test_adamw_with_the_missing_correction_in_its_rate_makes_the_same_updates():
    """With epsilon far below the gradients and no decay, only the rate differs: AdamW's times the factor."""
    ours, theirs = parameter(4, 3), parameter(4, 3)
    bert = BertAdam([ours], lr=0.01, weight_decay=0.0, max_grad_norm=-1, e=1e-12)
    adamw = torch.optim.AdamW([theirs], lr=0.01, weight_decay=0.0, eps=1e-12)
    factors = missing_correction(np.arange(40))
    for step, [gradient] in enumerate(gradients([(4, 3)], 40)):
        give([ours], [gradient])
        give([theirs], [gradient])
        adamw.param_groups[0]["lr"] = 0.01 * factors[step]
        bert.step()
        adamw.step()
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-9)


def test_the_missing_correction_is_known_at_its_corners():
    """0.1 / sqrt(0.001) at first, and 1 in the long run; by hand at the tenth and the hundredth update."""
    factors = missing_correction(np.array([0, 9, 99, 100_000]))
    by_formula = [(1 - 0.9**t) / math.sqrt(1 - 0.999**t) for t in (10, 100)]
    assert factors == pytest.approx([0.1 / math.sqrt(0.001), *by_formula, 1.0])
    assert missing_correction(np.array([0]), b1=0.0, b2=0.0) == pytest.approx([1.0])
    for name, value in (("b1", 1.0), ("b2", -0.1)):
        with pytest.raises(RecipeError, match=f"^{name}: "):
            missing_correction(np.array([0]), **{name: value})


class Counter(TorchDispatchMode):
    """The operations called, and the most elements updated at a time."""

    def __init__(self):
        super().__init__()
        self.names, self.most = [], 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(str(func))
        result = func(*args, **(kwargs or {}))
        if "_foreach_sqrt" in str(func):
            self.most = max(self.most, sum(tensor.numel() for tensor in result))
        return result


def test_each_gradient_is_clipped_by_its_own_norm_in_place():
    params, same = ([parameter(3, 3), parameter(2), parameter(1)] for _ in range(2))
    given = [np.full((3, 3), 5.0), np.array([0.3, 0.4]), np.array([0.0])]
    give(params, given)
    give(same, given)
    BertAdam(params, lr=0.1).step()
    for p, other in zip(params, same, strict=True):
        clip_grad_norm_([other], 1.0)
        torch.testing.assert_close(p.grad, other.grad, rtol=1e-12, atol=0)
    assert params[1].grad.tolist() == [0.3, 0.4]


def test_pieces_that_fit_a_cache_change_no_bit(monkeypatch):
    """Large, small, empty and scalar parameters, one whose gradient lies in memory the other way round."""

    def trained(piece):
        monkeypatch.setattr(bertadam, "_PIECE", piece)
        generator = torch.Generator().manual_seed(0)
        shapes = [(100, 101), (7,), (), (0, 3), (65, 64), (30,), (4096,), (8193,)]
        params = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
        optimizer = BertAdam(params, lr=0.01, weight_decay=0.1)
        most = 0
        for _ in range(3):
            for p in params:
                p.grad = torch.randn(p.shape, generator=generator)
            params[4].grad = params[4].grad.t().contiguous().t()
            with Counter() as counter:
                optimizer.step()
            most = max(most, counter.most)
        return params, most

    (whole, most), (cut, most_cut) = trained(10**9), trained(4096)
    for p, other in zip(whole, cut, strict=True):
        torch.testing.assert_close(p, other, rtol=0, atol=0)
    assert most == sum(p.numel() for p in whole)
    assert most_cut < 2 * 4096


def test_a_step_takes_as_many_operations_for_fifty_parameters_as_for_one():
    """Foreach: what a step costs in calls does not grow with the number of parameters."""

    counted = []
    for count in (1, 50):
        params = [parameter(2, 2, seed=i) for i in range(count)]
        optimizer = BertAdam(params, lr=0.1, warmup=0.1, t_total=10)
        for _ in range(2):
            give(params, [np.ones((2, 2))] * count)
            with Counter() as counter:
                optimizer.step()
        counted.append([name for name in counter.names if "unbind" not in name])
    assert counted[0] == counted[1] and any("_foreach_lerp_" in name for name in counted[0])


@pytest.mark.parametrize("lr", [1e-6, 3.5e-6, 2e-4])
def test_the_decay_is_kept_in_32_bits_as_by_the_published_arithmetic(lr):
    """The article's rates: 1 - lr * 0.01 is 1 or next to 1 in 32 bits, so that a factor like that decays nothing, or
    twice as much. 20,000 weights of 0.02 to 2 take 400 steps with random gradients; their decay is the difference to
    the same steps without any, against what 64 bits say."""
    generator = torch.Generator().manual_seed(0)
    start = torch.exp(torch.linspace(math.log(0.02), math.log(2), 20_000))
    given = torch.randn(400, len(start), generator=generator)

    def train(make, dtype, weight_decay):
        p = torch.nn.Parameter(start.to(dtype, copy=True))
        optimizer = make([p], lr=lr, weight_decay=weight_decay)
        for gradient in given:
            p.grad = gradient.to(dtype, copy=True)
            optimizer.step()
        return p.detach().double()

    def kept(make):
        """The mean decay in 32 bits as a share of that in 64 bits."""
        single, double = (train(make, t, 0.01) - train(make, t, 0.0) for t in (torch.float32, torch.float64))
        return float(single.sum() / double.sum())

    assert kept(lambda p, **o: BertAdam(p, max_grad_norm=-1, **o)) == pytest.approx(1, abs=0.02)
    if lr == 1e-6:
        assert kept(torch.optim.AdamW) == pytest.approx(0, abs=0.02), "why fit warns there"


def test_a_recipe_whose_decay_is_lost_is_told_so_once():
    """The article's rates under AdamW; not under BertAdam or SGD, which keep it, nor where there is none."""
    recipe = ft.PAPER["llrd"].but(model="minilm")
    model = tiny_model(recipe)
    with pytest.warns(UserWarning, match="weight_decay: ") as caught:
        make_optimizer(recipe, model)
    [message] = [str(w.message) for w in caught]
    lowest = 3.5e-6 * 0.9**6 * 0.01
    assert f"8 of 8 groups, down to {lowest:.1e} in 'embeddings, decay'" in message
    with pytest.warns(UserWarning, match="4 of 8 groups, down to 2.9e-09 in 'embeddings, decay'"):
        make_optimizer(Recipe(lr=1e-5, layer_decay=0.378, head_lr=1e-5, weight_decay=0.1), model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for changes in ({"optimizer": "bertadam"}, {"optimizer": "sgd"}, {"weight_decay": 0.0}, {"lr": 1e-4}):
            make_optimizer(recipe.but(**{"layer_decay": 1.0, "head_lr": None, **changes}), model)
        make_optimizer(Recipe(layer_decay=0.0), model)  # a frozen layer has no decay to lose


def test_parameters_of_different_types_share_a_group():
    params = [torch.nn.Parameter(torch.ones(2, dtype=dtype)) for dtype in (torch.float32, torch.float64)]
    give(params, [np.full(2, 3.0)] * 2)
    BertAdam(params, lr=0.1).step()
    assert params[0].dtype == torch.float32 and params[1].dtype == torch.float64
    torch.testing.assert_close(params[0].double(), params[1], rtol=1e-6, atol=0)


# ---------------------------------------------------------------------------------------- the schedules

TOTAL = 20


def factor(name, step, total, w, rate=0.1, steps=None, degree=2.0, warm_degree=1.5):
    """The published schedules in plain Python; w is the share of the warm-up, or -1, and published as such too."""
    x = step / total
    power = {"warmup_exp_decay_exp": degree, "warmup_exp_decay_poly": warm_degree}.get(name, 1.0)
    if w == 0 and name in ("warmup_linear", "warmup_linear_decay_exp", "warmup_exp_decay_exp"):
        return 1.0
    if x < w:
        return (x / w) ** power
    start = w * total  # -1 too: the fall began a whole run before the first update
    if name == "warmup_cosine":
        return (1 + math.cos(math.pi * x)) / 2
    if name == "warmup_constant":
        return 1.0
    if name == "warmup_linear":
        return 1 - x
    if name == "warmup_exp_decay_poly":
        return (1 - x) ** degree
    return rate ** ((step - start) / (total - start if steps is None else steps))


OWN = {
    "warmup_cosine": [{}],
    "warmup_constant": [{}],
    "warmup_linear": [{}],
    "warmup_linear_decay_exp": [{}, {"decay_rate": 0.5, "decay_steps": 7}, {"decay_steps": 2.5}],
    "warmup_exp_decay_exp": [{}, {"decay_rate": 0.9, "decay_steps": 1, "degree": 3.0}, {"degree": 1}],
    "warmup_exp_decay_poly": [{}, {"degree": 1.0, "warm_degree": 0.5}, {"warm_degree": 4}],
}
EACH = [(name, own) for name, owns in OWN.items() for own in owns]


def test_all_six_are_covered():
    assert list(OWN) == list(BERT_SCHEDULES) and not set(SCHEDULES) & set(BERT_SCHEDULES)
    assert set(ALL_SCHEDULES) == set(SCHEDULES) | set(BERT_SCHEDULES)


def test_the_version_that_is_followed():
    """pytorch-pretrained-bert 0.6 falls from the end of the warm-up, as `linear` does: 35 % higher there than here."""
    ours, later = (ALL_SCHEDULES[name](np.array([35]), 100, 35)[0] for name in ("warmup_linear", "linear"))
    assert (ours, later) == (0.65, 1.0)
    assert "DeepSpeedExamples" in BertAdam.__doc__ and "DeepSpeedExamples" in bert_schedules.__doc__


@pytest.mark.parametrize("warmup", [-1, 0, 0.05, 0.1, 0.33, 0.9])
@pytest.mark.parametrize(("name", "own"), EACH, ids=str)
def test_every_schedule_by_name_through_the_optimizer(name, own, warmup):
    """The rate that get_lr announces is the one that moves the weight, and both are the published formula's."""
    p = parameter(1)
    optimizer = BertAdam([p], lr=0.5, warmup=warmup, t_total=TOTAL, schedule=name, b1=0.0, b2=0.0, e=0.0,
                         weight_decay=0.0, **own)  # fmt: skip
    short = {"decay_rate": "rate", "decay_steps": "steps"}
    arguments = {short.get(key, key): value for key, value in own.items()}
    for step in range(TOTAL):
        expected = 0.5 * factor(name, step, TOTAL, warmup, **arguments)
        if step:
            assert optimizer.get_lr() == pytest.approx([expected], rel=1e-12, abs=1e-15)
        before = p.item()
        give([p], [[0.7]])
        optimizer.step()  # without averages the update is the gradient's sign
        assert before - p.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("total", "warmup"), [(100, 0.07), (10, 0.3), (30, 0.1), (1000, 0.029), (3, 1 / 3)])
def test_rounding_does_not_stretch_the_warm_up(total, warmup):
    """0.07 * 100 is 7.000000000000001 in floating point, yet step 7 has left the warm-up: 7 / 100 < 0.07 is false."""
    steps = np.arange(total)
    p = parameter(1)
    optimizer = BertAdam([p], lr=1.0, warmup=warmup, t_total=total)
    rates = []
    for _ in steps:
        give([p], [[1.0]])
        optimizer.step()
        rates += optimizer.get_lr()
    expected = [factor("warmup_linear", step, total, warmup) for step in range(1, total + 1)]
    assert rates == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(("name", "own"), EACH, ids=str)
def test_a_recipe_previews_what_the_optimizer_does_by_itself(name, own):
    recipe = Recipe(schedule=name, schedule_args=own, warmup=4, lr=0.3, epochs=2)
    assert Recipe.from_json(recipe.to_json()) == recipe
    planned = preview(recipe, steps_per_epoch=10).lr[:, -1]
    p = parameter(1)
    optimizer = BertAdam([p], lr=0.3, warmup=0.2, t_total=20, schedule=name, **own)
    rates = [0.0]
    for _ in range(19):
        give([p], [[1.0]])
        optimizer.step()
        rates += optimizer.get_lr()
    assert planned.tolist() == rates


def test_a_recipe_trains_with_such_a_schedule_bit_for_bit(monkeypatch):
    monkeypatch.setenv("FTLAB_PRESET", "tiny")
    recipe = Recipe(optimizer="bertadam", schedule="warmup_exp_decay_poly", warmup=0.25, epochs=1, batch_size=8,
                    layer_decay=0.9, schedule_args={"degree": 1.5})  # fmt: skip
    run = ft.fit(recipe, ft.load_data("passages"), live=False)
    planned = preview(run.recipe, 6).lr
    assert len(planned) == 6 and 0 < planned[1, -1] < planned[2, -1] > planned[5, -1] > 0
    assert np.array_equal(np.array(run.history.lr), planned)


@pytest.mark.parametrize(
    ("schedule", "args", "message"),
    [
        ("warmup_linear", {"degree": 2}, "takes none"),
        ("warmup_linear_decay_exp", {"decay_rate": 1.5}, r"schedule_args\['decay_rate'\]"),
        ("warmup_linear_decay_exp", {"decay_steps": 0}, r"schedule_args\['decay_steps'\]"),
        ("warmup_exp_decay_exp", {"degree": -1}, r"schedule_args\['degree'\]"),
        ("warmup_exp_decay_poly", {"warm_degree": "2"}, r"schedule_args\['warm_degree'\]"),
    ],
)
def test_a_recipe_refuses_arguments_that_do_not_fit(schedule, args, message):
    with pytest.raises(RecipeError, match=message):
        Recipe(schedule=schedule, schedule_args=args)


@pytest.mark.parametrize("name", BERT_SCHEDULES)
def test_beyond_the_planned_updates(name, recwarn):
    """Cosine, line and polynomial stay at 0 and say so once; the others go on by their formulas."""
    p = parameter(1)
    optimizer = BertAdam([p], lr=1.0, warmup=0.2, t_total=10, schedule=name)
    rates = []
    for _ in range(25):
        give([p], [[1.0]])
        optimizer.step()
        rates += optimizer.get_lr()
    beyond, messages = rates[9:], [str(w.message) for w in recwarn]
    if name in ("warmup_cosine", "warmup_linear", "warmup_exp_decay_poly"):
        assert beyond == [0.0] * 16 and len(messages) == 1
        assert all(part in messages[0] for part in ("t_total=10", repr(name), "no longer change"))
    else:
        assert beyond == pytest.approx([factor(name, step, 10, 0.2) for step in range(10, 26)]) and not messages


def test_get_lr_names_the_next_rate_of_every_parameter():
    p, q = parameter(1), parameter(1)
    optimizer = BertAdam([{"params": [p]}, {"params": [q], "lr": 0.1}], lr=1.0, t_total=10)
    assert optimizer.get_lr() == [0]
    for first, second in (([1.0], None), ([1.0], [1.0])):
        give([p, q], [first, second])
        optimizer.step()
        if second is None:
            assert optimizer.get_lr() == [0] and q not in optimizer.state  # q has made no step yet: as published
    assert optimizer.get_lr() == pytest.approx([0.8, 0.09])
    assert [group["lr"] for group in optimizer.param_groups] == [1.0, 0.1]
    first_without = BertAdam([parameter(1), p], lr=1.0)
    first_without.step()
    assert first_without.get_lr() == [0] and p in first_without.state
    constant = BertAdam([p], lr=0.5, warmup=0.3, schedule="warmup_cosine")  # t_total is -1
    constant.step()
    assert constant.get_lr() == [0.5]


# ------------------------------------------------------------------------ what an optimizer has to get along with


def test_groups_have_options_of_their_own():
    params, alone = [parameter(3, seed=i) for i in range(3)], [parameter(3, seed=i) for i in range(3)]
    options = [
        {"lr": 0.1, "schedule": "warmup_exp_decay_poly", "degree": 3.0, "warmup": 0.2},
        {"weight_decay": 0.5, "max_grad_norm": 0.1, "t_total": -1},
        {"b1": 0.5, "b2": 0.9, "e": 1e-3, "schedule": "warmup_cosine"},
    ]
    together = BertAdam([{"params": [p], **o} for p, o in zip(params, options, strict=True)], lr=0.3, t_total=8)
    apart = [BertAdam([p], **{"lr": 0.3, "t_total": 8, **o}) for p, o in zip(alone, options, strict=True)]
    for given in gradients([(3,)] * 3, 8):
        give(params, given)
        give(alone, given)
        together.step()
        for optimizer in apart:
            optimizer.step()
    for p, q in zip(params, alone, strict=True):
        assert torch.equal(p, q)


def test_the_rate_may_stand_in_the_groups_alone():
    p, q = parameter(1), parameter(1)
    optimizer = BertAdam([{"params": [p], "lr": 0.5}, {"params": [q], "lr": 0.1}], t_total=-1)
    give([p, q], [[1.0], [1.0]])
    optimizer.step()
    assert optimizer.get_lr() == [0.5, 0.1]
    for groups in ([p], [{"params": [p], "lr": 0.5}, {"params": [q]}]):
        with pytest.raises(RecipeError, match="Invalid learning rate: .*required"):
            BertAdam(groups)


def test_a_groups_schedule_takes_over_only_the_arguments_it_has():
    p, q = parameter(1), parameter(1)
    groups = [{"params": [p]}, {"params": [q], "schedule": "warmup_linear"}]
    optimizer = BertAdam(groups, lr=1.0, t_total=10, schedule="warmup_exp_decay_poly", degree=3.0)
    give([p, q], [[1.0], [1.0]])
    optimizer.step()
    assert optimizer.get_lr() == pytest.approx([0.9**3, 0.9])


def test_a_parameter_without_a_gradient_stays_and_counts_by_itself():
    p, q = parameter(2), parameter(2)
    start = q.detach().clone()
    optimizer = BertAdam([p, q], lr=0.1, t_total=10)
    for _ in range(3):
        give([p, q], [[1.0, 1.0], None])
        optimizer.step()
    assert torch.equal(q, start) and q not in optimizer.state
    give([p, q], [[1.0, 1.0]] * 2)
    optimizer.step()
    fresh = torch.nn.Parameter(start.clone())
    alone = BertAdam([fresh], lr=0.1, t_total=10)
    give([fresh], [[1.0, 1.0]])
    alone.step()
    assert torch.equal(q, fresh) and optimizer.get_lr() == pytest.approx([0.06, 0.09])
    optimizer.zero_grad()
    before = p.detach().clone()
    optimizer.step()  # no gradient at all
    assert torch.equal(p, before)


def test_a_closure_is_called_with_gradients_on_and_its_loss_returned():
    p = parameter(3)
    optimizer = BertAdam([p], lr=0.01)

    def closure():
        optimizer.zero_grad()
        loss = (p**2).sum()
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(5)]
    assert all(after < before for before, after in zip(losses, losses[1:], strict=False))


@pytest.mark.parametrize("way", ["memory", "file", "copy"])
def test_a_resumed_run_equals_an_uninterrupted_one(way, tmp_path):
    given = gradients([(3, 2), (4,)], 12)
    options = {"lr": 0.05, "warmup": 0.25, "t_total": 12, "schedule": "warmup_exp_decay_exp", "degree": 3.0}

    def steps(params, optimizer, some):
        for step in some:
            give(params, step)
            optimizer.step()

    whole = [parameter(3, 2), parameter(4)]
    steps(whole, BertAdam(whole, **options), given)

    first = [parameter(3, 2), parameter(4)]
    optimizer = BertAdam(first, **options)
    steps(first, optimizer, given[:5])
    if way == "copy":
        second, again = copy.deepcopy((first, optimizer))
    else:
        state = optimizer.state_dict()
        if way == "file":
            torch.save(state, tmp_path / "state.pt")
            state = torch.load(tmp_path / "state.pt")
        second = [torch.nn.Parameter(p.detach().clone()) for p in first]
        again = BertAdam(second, lr=1.0)
        again.load_state_dict(state)
    assert again.get_lr() == optimizer.get_lr()
    steps(second, again, given[5:])
    for p, q in zip(whole, second, strict=True):
        assert torch.equal(p, q)


def test_a_published_state_can_be_continued():
    """Its groups have no arguments of schedules; the constructor's fill in."""
    p = parameter(2)
    optimizer = BertAdam([p], lr=0.1, t_total=10)
    give([p], [[1.0, 2.0]])
    optimizer.step()
    state = copy.deepcopy(optimizer.state_dict())
    for name in ("decay_rate", "decay_steps", "degree", "warm_degree"):
        del state["param_groups"][0][name]
    again = BertAdam([p], lr=0.5, schedule="warmup_exp_decay_poly", degree=3.0)
    again.load_state_dict(state)
    assert again.param_groups[0]["degree"] == 3.0 and again.get_lr() == pytest.approx([0.09])


# ---------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1.0}, r"Invalid learning rate: -1.0 - should be >= 0.0"),
        ({"lr": float("nan")}, "Invalid learning rate: nan"),
        ({"lr": "2e-5"}, "Invalid learning rate: 2e-5"),
        ({"lr": None}, "Invalid learning rate: None"),
        ({"schedule": "linear"}, "Invalid schedule parameter: linear - should be one of warmup_cosine, "),
        ({"schedule": None}, "Invalid schedule parameter: None"),
        ({"warmup": 1.0}, r"Invalid warmup: 1.0 - should be in \[0.0, 1.0\[ or -1"),
        ({"warmup": -0.5}, "Invalid warmup: -0.5"),
        ({"warmup": 100}, "Invalid warmup: 100 .* share of t_total"),
        ({"b1": 1.0}, r"Invalid b1 parameter: 1.0 - should be in \[0.0, 1.0\["),
        ({"b2": -0.1}, r"Invalid b2 parameter: -0.1 - should be in \[0.0, 1.0\["),
        ({"e": -1e-6}, "Invalid epsilon value: -1e-06 - should be >= 0.0"),
        ({"t_total": 0}, "Invalid t_total: 0 - should be a whole number >= 1, or -1"),
        ({"t_total": 2.5}, "Invalid t_total: 2.5"),
        ({"t_total": math.inf}, "Invalid t_total: inf"),
        ({"t_total": True}, "Invalid t_total: True"),
        ({"weight_decay": -0.1}, "Invalid weight_decay: -0.1"),
        ({"max_grad_norm": float("nan")}, "Invalid max_grad_norm: nan"),
        ({"max_grad_norm": None}, "Invalid max_grad_norm: None - should be a number; -1 is no clipping"),
        ({"schedule": "warmup_linear_decay_exp", "decay_rate": 0.0}, "Invalid decay_rate: 0.0"),
        ({"schedule": "warmup_linear_decay_exp", "decay_rate": 1.1}, "Invalid decay_rate: 1.1"),
        ({"schedule": "warmup_linear_decay_exp", "decay_steps": 0}, "Invalid decay_steps: 0"),
        ({"schedule": "warmup_exp_decay_exp", "degree": -2}, "Invalid degree: -2"),
        ({"schedule": "warmup_exp_decay_poly", "warm_degree": "x"}, "Invalid warm_degree: x"),
        ({"degree": 2.0}, "degree: the schedule 'warmup_linear' has no such argument; it takes none"),
        ({"schedule": "warmup_exp_decay_poly", "decay_rate": 0.5}, "it takes warm_degree and degree"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=f"^{message}" if message.startswith("Invalid") else message) as error:
        BertAdam([parameter(1)], **{"lr": 0.1, **options})
    assert isinstance(error.value, RecipeError)
    with pytest.raises(RecipeError):  # and so in a group
        BertAdam([{"params": [parameter(1)], **options}], lr=0.1)


def test_a_bad_group_is_not_added():
    optimizer = BertAdam([parameter(1)], lr=0.1)
    with pytest.raises(RecipeError, match="Invalid warmup: 3"):
        optimizer.add_param_group({"params": [parameter(1)], "warmup": 3})
    assert len(optimizer.param_groups) == 1


def test_no_clipping_by_any_number_that_means_so():
    for limit in (0, -1, math.inf):
        p = parameter(2)
        give([p], [[30.0, 40.0]])
        BertAdam([p], lr=0.1, max_grad_norm=limit).step()
        assert p.grad.tolist() == [30.0, 40.0]


def test_sparse_gradients_are_refused_before_anything_moves():
    embedding = torch.nn.Embedding(4, 2, sparse=True)
    p = parameter(1)
    start = p.item()
    embedding(torch.tensor([1])).sum().backward()
    give([p], [[1.0]])
    optimizer = BertAdam([{"params": [p]}, {"params": embedding.parameters()}], lr=0.1)
    with pytest.raises(RuntimeError, match="sparse gradients, please consider SparseAdam") as error:
        optimizer.step()
    assert isinstance(error.value, SparseGradientError) and isinstance(error.value, FtlabError)
    assert p.item() == start and optimizer.get_lr() == [0]
