"""A bench on own data; the panel of a whole plan: every control over its range, its counts, its code and command."""

from __future__ import annotations

import shlex
import xml.etree.ElementTree as ElementTree

import pytest

import ftlab as ft
from ftlab.__main__ import _parser, _recipe
from ftlab.errors import RecipeError
from ftlab.lab.layout import place
from ftlab.lab.panels import OwnFilePanel, YourTaskPanel
from ftlab.lab.panels.your_task import spans
from ftlab.recipe import PAPER, Recipe
from ftlab.techniques.frequent_eval import is_evaluation_step
from tests.lab.panels.test_panels import places
from tests.lab.pictures import SVG, problems, texts_of

ALL = Recipe(layer_decay=0.9, warmup=0.1, reinit_layers=2, swa_start=3, eval_every=10)
STATES = {
    "plain": Recipe(),
    "all": ALL,
    "the article": PAPER["all"],
    "steps": Recipe(warmup=10, gradient_accumulation_steps=4, epochs=2, swa_start=0.3, eval_every=7),
}
# The range of the warm-up as a share has no effect while it is given in steps.
OVERRIDDEN = {("warmup", "the article"), ("warmup", "steps")}


def pictures(panel):
    """The picture, parsed, and the command."""
    return ElementTree.fromstring(f"<div>{panel.svg}</div>")


def texts(panel):
    return texts_of(panel.svg)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", list(YourTaskPanel().controls))
def test_every_control_moves_over_its_whole_range(name, state):
    base = STATES[state]
    panel = YourTaskPanel(base)
    seen = set()
    for widget, value in places(panel.controls[name], most=20):
        widget.value = value
        assert not panel.message, (value, panel.message)
        seen.add(panel.svg)
        root = pictures(panel)
        assert len(root.findall(f"{SVG}svg")) == 1
        assert eval(panel.code.removeprefix("recipe = "), {"base": base}) == panel.recipe
        assert root.find("div/pre").text == panel.command
    assert (len(seen) == 1) == ((name, state) in OVERRIDDEN)


@pytest.mark.parametrize(
    "changes",
    [{}, {"eval_every": 10}, {"eval_every": 9, "swa_start": 1.5}, {"gradient_accumulation_steps": 2, "eval_every": 4}],
)
def test_the_counts_are_those_of_a_real_run(changes, monkeypatch):
    monkeypatch.setenv("FTLAB_PRESET", "tiny")  # 48 training rows
    recipe = Recipe(epochs=3, batch_size=5, max_length=16, **changes)
    panel = YourTaskPanel(recipe)
    panel.rows.value = 48
    run = ft.fit(
        recipe.but(eval_every=recipe.eval_every and min(recipe.eval_every, 2)), ft.load_data("passages"), live=False
    )
    assert panel.steps_per_epoch == run.history.steps_per_epoch and panel.total_steps == run.history.total_steps
    plan = {"eval_every": recipe.eval_every, "steps_per_epoch": panel.steps_per_epoch, "total_steps": panel.total_steps}
    looks = sum(is_evaluation_step(step, **plan) for step in range(1, panel.total_steps + 1))
    spans = panel.spans(panel.preview(panel.recipe), panel.recipe)
    assert f"({looks} evaluations)" in spans["between evaluations"][1]
    averaged = 0 if run.history.swa_step is None else run.history.total_steps - run.history.swa_step
    assert spans["averaged"][0] == averaged and spans["whole run"][0] == len(run.history)


def test_own_data_bring_their_name_and_rows(tmp_path):
    frame = ft.load_data("passages").frame.head(100)
    frame.to_csv(tmp_path / "mine.csv", index=False)
    data = ft.load_data(tmp_path / "mine.csv", text="excerpt", target="target")
    panel = YourTaskPanel(ALL, data)
    assert panel.rows.value == len(data.split(0).train) == 60 and "--data mine.csv" in panel.command


OTHER = Recipe(seed=3, schedule="polynomial", schedule_args={"power": 2.0})


@pytest.mark.parametrize("recipe", [*STATES.values(), OTHER])
def test_the_command_trains_the_same_recipe(recipe):
    words = shlex.split(YourTaskPanel(recipe).command)
    assert words[:4] == ["python", "-m", "ftlab", "fit"]
    assert _recipe(_parser().parse_args(words[3:])) == recipe


def test_a_model_decides_how_many_layers_there_are():
    panel = YourTaskPanel(ALL)
    assert "The run in steps; 2 of 6 layers re-initialised" in texts(panel)
    panel.model.value = "roberta-large"
    assert "The run in steps; 2 of 24 layers re-initialised" in texts(panel)
    panel.reinit_layers.value = 20
    panel.model.value = "minilm"
    assert panel.reinit_layers.value == 6 and panel.recipe.reinit_layers == 6
    with pytest.raises(RecipeError, match="num_layers"):
        YourTaskPanel(Recipe(model="nobody/knows-this"))
    assert YourTaskPanel(Recipe(model="nobody/knows-this", reinit_layers=3), num_layers=3).svg


@pytest.mark.parametrize("recipe", [Recipe(warmup=109), Recipe(reinit_layers=7)])
def test_a_recipe_that_does_not_fit_is_refused_and_not_changed_in_silence(recipe):
    with pytest.raises(RecipeError, match="^(warmup: 109 steps are longer than the run of 108|reinit_layers: 7)"):
        YourTaskPanel(recipe)


@pytest.mark.parametrize("recipe", [*STATES.values(), Recipe(swa_start=3.9), Recipe(lr=0.0), Recipe(epochs=1)])
def test_a_panel_starts_from_its_recipe(recipe):
    panel = YourTaskPanel(recipe)
    assert panel.recipe == recipe and panel.code == "recipe = base"
    panel.set(rows=5000, model="roberta-base", epochs=2, layer_decay=0.5, swa_start=0)
    panel.reset()
    assert panel.recipe == recipe and not panel.message


@pytest.mark.parametrize("rows, batch", [(20, 256), (40, 20), (60, 20), (100_000, 1)])
def test_averaging_always_has_a_step_left(rows, batch):
    panel = YourTaskPanel(Recipe(epochs=3))
    panel.set(rows=rows, batch_size=batch, swa_start=0)
    panel.swa_start.value = panel.swa_start.high
    assert not panel.message and panel.preview(panel.recipe).swa_step < panel.total_steps


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"rows": 5}, ["rows", "5", "whole numbers 20 to 100000"]),
        ({"model": "bert"}, ["model", "'bert'", "'minilm'"]),
        ({"batch_size": 0}, ["batch_size", "0", "1 to 256"]),
        ({"gradient_accumulation_steps": 1.5}, ["gradient_accumulation_steps", "1.5", "1 to 64"]),
        ({"epochs": 21}, ["epochs", "21", "1 to 20"]),
        ({"lr": -1}, ["lr", "-1", "1e-07 to 0.01"]),
        ({"layer_decay": 1.2}, ["layer_decay", "1.2", "0 to 1"]),
        ({"warmup": 1}, ["warmup", "1", "0 to 0.9"]),
        ({"warmup_steps": 109}, ["warmup_steps", "109", "0 to 108"]),
        ({"reinit_layers": 7}, ["reinit_layers", "7", "0 to 6"]),
        ({"swa_start": 4}, ["swa_start", "4", "0 to 3.5, or None"]),
        ({"eval_every": 0}, ["eval_every", "0", "1 to 1000, or None"]),
        ({"log_axis": 1}, ["log_axis", "True or False"]),
        ({"row": 1}, ["row", "did you mean 'rows'"]),
    ],
)
def test_what_is_out_of_range_is_refused_and_nothing_changes(values, parts):
    panel = YourTaskPanel()
    before = panel.svg
    with pytest.raises(RecipeError) as error:
        panel.set(**values)
    assert all(part in str(error.value) for part in parts), str(error.value)
    assert panel.recipe == Recipe() and panel.svg == before and not panel.message


@pytest.mark.parametrize("state", STATES)
def test_the_stored_picture_says_the_same(state):
    panel = YourTaskPanel(STATES[state])
    figure = panel.figure(panel.recipe)
    assert figure.png().startswith(b"\x89PNG")
    assert figure.sentence == pictures(panel)[0].get("aria-label")
    assert panel._repr_mimebundle_()[0]["image/png"]
    notes = [note for _, note in panel.spans(panel.preview(panel.recipe), panel.recipe).values()]
    drawn = [text.get_text() for text in figure.texts]
    assert set(notes) <= set(drawn) and set(notes) <= set(texts(panel))
    assert problems(place(figure.sheet, 840)) == problems(place(figure.sheet, 580)) == []


# ------------------------------------------------------------------------------------------------ a bench on own data


def test_a_bench_on_an_own_file_trains_every_technique(tmp_path, monkeypatch):
    monkeypatch.setenv("FTLAB_PRESET", "tiny")
    frame = ft.load_data("passages").frame.head(200)
    frame.to_csv(tmp_path / "mine.csv", index=False)
    data = ft.load_data(tmp_path / "mine.csv", text="excerpt", target="target")
    bench = OwnFilePanel(Recipe(max_length=32), data=data)
    assert bench.size.value == 50 and "mine.csv" in bench._head.value
    bench.set(layer_decay=0.8, reinit_layers=1, swa_start=2.5, eval_every=2, epochs=3)
    run = bench.train()
    same = ft.fit(bench.recipe, data.play(50), live=False)
    assert run.history == same.history and run.swa_model is not None and run.test_score is None
    notes = [bar.note for bar in bench.extra(bench.recipe).charts[0].bars]
    plan = bench.preview(bench.recipe)
    assert notes == [note for _, note in spans(plan, bench.recipe).values()] and "12 = 3 x 4" in notes[0]
    bench.epochs.value = 2
    assert bench.swa_start.value == 1.5 and not bench.message, "averaging stays inside the run"


def test_a_decay_drops_rates_by_groups_and_their_neutral_value_brings_them_back():
    bench = OwnFilePanel(Recipe(group_lrs=(1e-5, 1e-4)))
    assert bench.recipe.group_lrs == (1e-5, 1e-4)
    bench.layer_decay.value = 0.9
    assert bench.recipe.group_lrs is None and not bench.message
    bench.layer_decay.value = 1.0
    assert bench.recipe == bench.base
