"""Schedules equal transformers and torch at every step; the article's rates; preview is fast and torch-free."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim.swa_utils import SWALR
from transformers import get_scheduler

from ftlab.errors import RecipeError
from ftlab.recipe import PAPER, PAPER_STEPS, Recipe
from ftlab.schedules import SCHEDULES, layer_rates, num_layers_of, preview, swa_tail

LR = 3e-4

ORACLES = {  # our name and arguments -> transformers' name and arguments, as a function of the drawn numbers
    "linear": (lambda d: {}, "linear", lambda d: {}),
    "cosine": (lambda d: {"num_cycles": d["cycles"]}, "cosine", lambda d: {"num_cycles": d["cycles"]}),
    "cosine_with_restarts": (
        lambda d: {"num_cycles": d["restarts"]},
        "cosine_with_restarts",
        lambda d: {"num_cycles": d["restarts"]},
    ),
    "constant": (lambda d: {}, "constant_with_warmup", lambda d: {}),
    "polynomial": (
        lambda d: {"power": d["power"], "end_factor": d["end"]},
        "polynomial",
        lambda d: {"power": d["power"], "lr_end": d["end"] * LR},
    ),
    "inverse_sqrt": (
        lambda d: {"timescale": d["timescale"]},
        "inverse_sqrt",
        lambda d: {"timescale": d["timescale"]},
    ),
    "warmup_stable_decay": (
        lambda d: {"decay_steps": d["decay"], "decay_type": d["decay_type"], "end_factor": d["end"]},
        "warmup_stable_decay",
        lambda d: {"num_decay_steps": d["decay"], "decay_type": d["decay_type"], "min_lr_ratio": d["end"]},
    ),
}

numbers = st.fixed_dictionaries(
    {
        "total": st.integers(2, 300),
        "warmup_share": st.floats(0, 0.9),
        "decay_share": st.floats(0, 1),
        "cycles": st.floats(0.1, 4),
        "restarts": st.integers(1, 5),
        "power": st.floats(0.25, 4),
        "end": st.floats(0.001, 0.9),
        "timescale": st.one_of(st.none(), st.integers(1, 500)),
        "decay_type": st.sampled_from(["cosine", "linear", "1-sqrt"]),
    }
)


def stepped(schedule_of_optimizer, total):
    """The rates an optimizer really has at each of `total` updates."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    scheduler = schedule_of_optimizer(optimizer)
    rates = []
    for _ in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return np.array(rates)


def test_every_schedule_has_an_oracle():
    assert set(ORACLES) == set(SCHEDULES)


@pytest.mark.parametrize("name", SCHEDULES)
@settings(max_examples=40, deadline=None)
@given(drawn=numbers)
def test_equals_transformers_at_every_step(name, drawn):
    ours, theirs, their_args = ORACLES[name]
    total = drawn["total"]
    warmup = int(drawn["warmup_share"] * total)
    drawn["decay"] = int(drawn["decay_share"] * (total - warmup))
    expected = stepped(
        lambda o: get_scheduler(theirs, o, warmup, total, scheduler_specific_kwargs=their_args(drawn)), total
    )
    got = LR * SCHEDULES[name](np.arange(total), total, warmup, **ours(drawn))
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12 * LR)


@settings(max_examples=60, deadline=None)
@given(
    anneal=st.integers(0, 60),
    swa_lr=st.floats(1e-6, 1e-2),
    start=st.integers(0, 40),
    total=st.integers(45, 120),
)
def test_swa_tail_equals_torch(anneal, swa_lr, start, total):
    """The article's loop: the schedule is stepped up to the switch, SWALR once a batch after it."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    scheduler = get_scheduler("linear", optimizer, 0, total)
    for _ in range(start):
        optimizer.step()
        scheduler.step()
    at_switch = optimizer.param_groups[0]["lr"]
    swa = SWALR(optimizer, swa_lr=swa_lr, anneal_epochs=anneal)
    expected = []
    for _ in range(start, total):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        swa.step()
    got = swa_tail(np.arange(start, total), start, np.array([at_switch]), swa_lr, anneal)[:, 0]
    np.testing.assert_allclose(got, expected, rtol=1e-12)

    recipe = Recipe(epochs=total, lr=LR, swa_start=start, swa_lr=swa_lr, swa_anneal_steps=anneal)
    whole = preview(recipe, steps_per_epoch=1).lr[start:, 3]
    np.testing.assert_allclose(whole, expected, rtol=1e-12)


def test_swa_keeps_each_layers_rate_when_no_rate_is_given():
    schedule = preview(Recipe(epochs=4, layer_decay=0.5, swa_start=2), steps_per_epoch=10)
    assert schedule.swa_step == 20
    plain = preview(Recipe(epochs=4, layer_decay=0.5), steps_per_epoch=10)
    np.testing.assert_array_equal(schedule.lr[:21], plain.lr[:21])
    np.testing.assert_array_equal(schedule.lr[20:], np.broadcast_to(plain.lr[20], (20, 8)))


def test_a_flat_swa_rate_flattens_the_layers():
    schedule = preview(PAPER["llrd+warmup+swa"], steps_per_epoch=142)
    assert len(set(schedule.lr[425])) > 2
    assert set(schedule.lr[3 * 142 + 10]) == {2e-6}  # "10 epochs" of annealing are ten batches


def test_the_articles_rates():
    """Hand-multiplied: 3.5e-6 at the top, 0.9 a layer, the embeddings once more (the article's own figures)."""
    rates = preview(PAPER["llrd"], steps_per_epoch=142).lr[0]
    assert rates[0] == pytest.approx(9.885033776835e-07, rel=1e-12)
    assert rates[1] == pytest.approx(1.098337086315e-06, rel=1e-12)
    assert rates[12] == 3.5e-6 and rates[13] == 3.6e-6
    grouped = preview(PAPER["grouped_llrd"], steps_per_epoch=142).lr[0]
    assert grouped.tolist() == [1e-6] * 5 + [1.75e-6] * 4 + [3.5e-6] * 4 + [3.6e-6]


def test_the_articles_warm_up_corners():
    schedule = preview(PAPER["llrd+warmup"], steps_per_epoch=142)
    assert schedule.lr.shape == (710, 14)
    assert schedule.lr[0].tolist() == [0.0] * 14
    assert schedule.lr[25, 12] == pytest.approx(1.75e-6)  # half-way up
    assert schedule.lr[50, 12] == 3.5e-6
    assert schedule.lr[380, 12] == pytest.approx(1.75e-6)  # half-way down: (710 - 380) / 660
    assert schedule.lr[709, 12] == pytest.approx(3.5e-6 / 660)


def published(peaks, total, swa_step=None):
    """The article's figure by hand: 50 updates up, a straight line to 0 at the planned end, `SWALR` at 2e-6 instead."""
    s = np.arange(total)[:, None]
    lines = peaks * np.where(s < 50, s / 50, (total - s) / (total - 50))
    if swa_step is not None:
        alpha = (1 - np.cos(np.pi * np.clip((s - swa_step) / 10, 0, 1))) / 2
        lines = np.where(s < swa_step, lines, 2e-6 * alpha + lines[swa_step] * (1 - alpha))
    return lines


def test_the_articles_figures_with_their_planned_ends():
    """Planned were int(rows / 16 * epochs) updates; without steps, preview draws that, from the command line too."""
    decayed = np.array([3.5e-6 * 0.9**k for k in (12, *range(11, -1, -1))] + [3.6e-6])
    grouped = np.array([1e-6] * 5 + [1.75e-6] * 4 + [3.5e-6] * 4 + [3.6e-6])
    totals = {"llrd+warmup": int(2266 / 16 * 5), "llrd+warmup+swa": int(2266 / 16 * 12)}
    totals |= {"grouped_llrd+warmup+swa": int(2267 / 16 * 15)}
    assert list(totals.values()) == [708, 1699, 2125]
    for name, total in totals.items():
        schedule = preview(PAPER[name])
        assert (schedule.total_steps, schedule.steps_per_epoch) == (total, 142), name
        expected = published(grouped if "grouped" in name else decayed, total, 426 if "swa" in name else None)
        np.testing.assert_allclose(schedule.lr, expected, rtol=1e-12, atol=1e-20)
        assert np.array_equal(schedule.lr, preview(PAPER[name], **PAPER_STEPS[name]).lr)
    assert list(PAPER_STEPS) == list(PAPER)
    assert preview(PAPER["llrd"], 142).total_steps == 710, "what fit would run: 5 epochs"
    assert preview(PAPER["llrd"].but(epochs=3)).total_steps == preview(Recipe(epochs=3)).total_steps == 81
    with pytest.raises(RecipeError, match="^total_steps: 0"):
        preview(PAPER["llrd"], total_steps=0)


@pytest.mark.parametrize("layers, groups", list(itertools.product([1, 2, 3, 6, 7, 12, 24], [1, 2, 3, 4, 5])))
def test_groups_are_as_even_as_the_layers_allow(layers, groups):
    lrs = [1e-6 * (g + 1) for g in range(groups)]
    if groups > layers:
        with pytest.raises(RecipeError, match=f"{groups} groups for {layers} layers"):
            layer_rates(layers, lr=1.0, group_lrs=lrs)
        return
    rates = layer_rates(layers, lr=1.0, group_lrs=lrs).tolist()
    sizes = [rates[1:-1].count(rate) for rate in lrs]
    assert max(sizes) - min(sizes) <= 1 and sum(sizes) == layers
    assert rates[0] == lrs[0] and rates[1:-1] == sorted(rates[1:-1])


def test_decay_of_zero_freezes_all_but_top_and_head():
    assert layer_rates(4, lr=1e-3, layer_decay=0.0).tolist() == [0, 0, 0, 0, 1e-3, 1e-3]


def test_preview_is_the_same_whatever_steps_are_asked_for():
    recipe = PAPER["all"].but(warmup=0.06, schedule="cosine")
    whole = preview(recipe, steps_per_epoch=142)
    some = preview(recipe, steps_per_epoch=142, steps=300)
    assert len(some.steps) <= 300
    np.testing.assert_array_equal(some.lr, whole.lr[some.steps])
    for corner in (0, whole.warmup_steps, whole.swa_step, whole.swa_step + 10, whole.total_steps - 1):
        assert corner in some.steps
    three = preview(recipe, steps_per_epoch=142, steps=[5, 500, 2000])
    np.testing.assert_array_equal(three.lr, whole.lr[[5, 500, 2000]])


def test_a_million_steps_without_torch():
    code = """
import sys, numpy as np
from ftlab import Recipe, preview
schedule = preview(Recipe(model="roberta-base", epochs=1000, warmup=0.1, layer_decay=0.9), steps_per_epoch=1000)
assert schedule.lr.shape == (1_000_000, 14) and np.isfinite(schedule.lr).all()
assert not {"torch", "transformers", "matplotlib", "pandas"} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_number_of_layers_from_a_folder(tmp_path):
    (tmp_path / "config.json").write_text('{"n_layer": 5}')
    assert num_layers_of(str(tmp_path)) == 5
    assert len(preview(Recipe(model=str(tmp_path))).layers) == 7
    assert num_layers_of("nobody/has-this") is None
    with pytest.raises(RecipeError, match="num_layers"):
        preview(Recipe(model="nobody/has-this"))


@pytest.mark.parametrize(
    "recipe, arguments, field",
    [
        (Recipe(warmup=109), {}, "warmup"),
        (Recipe(swa_start=3.999), {}, "swa_start"),
        (Recipe(reinit_layers=7), {}, "reinit_layers"),
        (Recipe(group_lrs=[1e-5] * 7), {}, "group_lrs"),
        (Recipe(), {"steps_per_epoch": 0}, "steps_per_epoch"),
        (Recipe(), {"steps_per_epoch": 2.5}, "steps_per_epoch"),
        (Recipe(), {"total_steps": -1}, "total_steps"),
        (Recipe(), {"num_layers": True}, "num_layers"),
        (Recipe(), {"steps": [3, 2]}, "steps"),
        (Recipe(), {"steps": [0.5]}, "steps"),
    ],
)
def test_impossible_previews_name_the_field(recipe, arguments, field):
    with pytest.raises(RecipeError, match=f"^{field}: "):
        preview(recipe, **arguments)
