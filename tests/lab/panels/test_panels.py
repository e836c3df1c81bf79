"""Panels: every control over its whole range, errors shown and not lost, recipe, code and picture in
agreement.
"""

from __future__ import annotations

import base64
import io
import math
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree

import ipywidgets
import numpy as np
import pytest
from PIL import Image

import ftlab as ft
from ftlab.errors import RecipeError
from ftlab.lab.chart import ORANGE, Axis, Bar, Chart, rate_lines
from ftlab.lab.layout import place
from ftlab.lab.panels import Choice, FrequentEvalPanel, Number, Panel, SchedulePanel, Switch
from ftlab.recipe import PAPER, Recipe
from ftlab.schedules import SCHEDULES, preview
from tests.lab.pictures import SVG, problems, sheet_of
from tests.lab.pictures import texts_of as labels

VIEW = "application/vnd.jupyter.widget-view+json"
EVERYTHING = Recipe(
    epochs=3, lr=1e-4, layer_decay=0.8, warmup=5, head_lr=2e-4, swa_start=1, swa_lr=2e-5, schedule="polynomial",
    schedule_args={"power": 2.0},
)  # fmt: skip


def places(control, most=None):
    """Every place that a control can be moved to with the mouse or the keyboard, or some `most`: (widget, value)."""
    if isinstance(control, Choice):
        return [(control.list, text) for text in control.options]
    if isinstance(control, Switch):
        return [(control.box, True), (control.box, False)]
    slider = control.slider
    steps = np.arange(slider.min, slider.max + slider.step / 2, slider.step)
    values = np.clip(10.0**steps if control.log else steps, control.low, control.high)
    values = values[:: 1 if most is None else max(1, len(values) // most)].tolist()
    values = [int(v) for v in values] if control.integer else values
    switched = [] if control.on is None else [(control.on, on) for on in (True, False, True)]
    return switched + [(slider, v) for v in values] + [(control.box, v) for v in (control.low, control.high)]


# ---------------------------------------------------------------------------------- the first panel


# What changes nothing in the picture: the share of a warm-up given in steps, the rate of an averaging that is
# off, and the top layer's rate where groups and head have their own.
OVERRIDDEN = {("warmup", "on"), ("warmup", "groups"), ("swa_lr", "off"), ("lr", "groups")}


@pytest.mark.parametrize("state", ["off", "on", "groups"])
@pytest.mark.parametrize("name", list(SchedulePanel().controls))
def test_every_control_moves_over_its_whole_range(name, state):
    recipe = {"off": Recipe(), "on": EVERYTHING, "groups": PAPER["grouped_llrd+warmup+swa"]}[state]
    panel = SchedulePanel(recipe)
    control = panel.controls[name]
    seen = set()
    for widget, value in places(control):
        widget.value = value
        assert not panel.message, (value, panel.message)
        seen.add(panel.svg)
        drawn = preview(panel.recipe, 27, steps=300)
        expected = [line.label for line in rate_lines(drawn.layers, drawn.steps, drawn.lr)]
        assert set(expected) <= set(labels(panel.svg))
        assert eval(panel.code.removeprefix("recipe = "), {"base": recipe}) == panel.recipe
    assert (len(seen) == 1) == ((name, state) in OVERRIDDEN)


@pytest.mark.parametrize("recipe", [Recipe(), EVERYTHING, Recipe(lr=0.0), Recipe(lr=0.5, epochs=50), *PAPER.values()])
def test_a_panel_starts_from_its_recipe(recipe):
    panel = SchedulePanel(recipe)
    assert panel.recipe == recipe and hash(panel.recipe) == hash(recipe) and panel.code == "recipe = base"
    panel.epochs.value = 4
    panel.layer_decay.value = 0.5
    panel.reset()
    assert panel.recipe == recipe and not panel.message


def test_the_picture_is_the_preview():
    panel = SchedulePanel(EVERYTHING, steps_per_epoch=20)
    schedule = ft.preview(EVERYTHING, 20)
    picture = ElementTree.fromstring(panel.svg)
    assert picture.get("aria-label") == ft.plots.describe(schedule)
    style = f"--light:{ORANGE[0]};--dark:{ORANGE[1]}"
    [path] = [
        p for g in picture.findall(f"{SVG}svg/{SVG}g") for p in g.findall(f"{SVG}path") if g.get("style") == style
    ]
    points = np.array([p.split(",") for p in path.get("d")[1:].split()], dtype=float)
    rates = schedule.lr[:, -1]
    assert len(points) == 60 and np.corrcoef(points[:, 1], rates)[0, 1] < -0.99999


@pytest.mark.parametrize("width", [848, 580, 420])
def test_nothing_in_the_picture_lies_over_a_text(width):
    for recipe in (Recipe(), EVERYTHING, PAPER["grouped_llrd+warmup+swa"]):
        panel = SchedulePanel(recipe)
        for panel.log_axis.value in (False, True):
            assert problems(place(panel.picture(panel.recipe), width)) == []


def test_values_set_from_code_move_slider_box_and_picture():
    panel = SchedulePanel()
    before = panel.svg
    panel.lr.value = 3e-5
    assert panel.lr.slider.value == panel.lr.box.value == panel.lr.value == 3e-5 and panel.svg != before
    panel.swa_start.value = 1.5
    assert panel.swa_start.on.value and not panel.swa_start.slider.disabled
    panel.swa_start.value = None
    assert not panel.swa_start.on.value and panel.swa_start.slider.disabled
    assert panel.recipe == Recipe(lr=3e-5)
    assert panel.swa_lr.on.disabled  # without averaging it has no meaning
    panel.warmup_steps.value = 7
    assert panel.recipe.warmup == 7 and panel.warmup.slider.disabled
    assert panel.code == "recipe = base.but(lr=3e-05, warmup=7)"


def test_moving_a_slider_writes_a_short_number_into_the_box():
    panel = SchedulePanel()
    panel.lr.slider.value = 10**-4.35
    assert panel.lr.box.value == panel.lr.value == 4.47e-5
    panel.lr.box.value = 4.4668e-5  # typed: kept as it is
    assert panel.lr.value == 4.4668e-5 and panel.lr.slider.value == pytest.approx(4.4668e-5)


def test_a_slider_that_reports_its_nearest_place_changes_nothing():
    """The page rounds a value to the slider's grid as soon as it shows it, and sends that back."""
    panel = SchedulePanel(Recipe(lr=5e-5))
    panel.lr.slider.value = 10**-4.3
    panel.swa_lr.slider.value = 10**-4.6
    assert panel.lr.value == 5e-5 and panel.swa_lr.value is None and panel.code == "recipe = base"
    assert panel.lr.slider.value == 10**-4.3, "an answer could overtake and undo the reader's next move"


def test_fewer_epochs_bring_warm_up_and_averaging_back_into_the_run():
    panel = SchedulePanel()
    panel.set(epochs=8, swa_start=7, warmup_steps=200)
    assert panel.recipe == Recipe(epochs=8, swa_start=7, warmup=200)
    panel.epochs.slider.value = 2
    assert panel.recipe == Recipe(epochs=2, swa_start=1.5, warmup=54) and not panel.message


def test_another_schedule_drops_the_arguments_of_the_first():
    panel = SchedulePanel(EVERYTHING)
    panel.schedule.value = "cosine"
    assert panel.recipe.schedule_args == {} and "schedule_args={}" in panel.code
    panel.schedule.value = "polynomial"
    assert panel.recipe.schedule_args == {"power": 2.0}


def test_a_logarithmic_axis_shows_small_rates():
    panel = SchedulePanel(Recipe(lr=1e-4, epochs=3, layer_decay=0.1))
    assert "1e-9" not in labels(panel.svg)
    panel.log_axis.value = True
    assert "1e-9" in labels(panel.svg) and panel.recipe == panel.base


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"lr": 1.0}, ["lr", "1.0", "1e-07 to 0.01"]),
        ({"lr": float("nan")}, ["lr", "nan", "1e-07 to 0.01"]),
        ({"lr": "high"}, ["lr", "'high'"]),
        ({"lr": None}, ["lr", "None"]),
        ({"lr": True}, ["lr", "True"]),
        ({"epochs": 2.5}, ["epochs", "2.5", "whole numbers 1 to 20"]),
        ({"epochs": 2, "swa_start": 5}, ["swa_start", "5", "0 to 1.5, or None"]),
        ({"schedule": "linea"}, ["schedule", "'linea'", "'linear'", "'cosine'"]),
        ({"log_axis": 1}, ["log_axis", "True or False"]),
        ({"layer_decoy": 0.9}, ["layer_decoy", "did you mean 'layer_decay'", "epochs, lr"]),
    ],
)
def test_what_is_out_of_range_is_refused_and_nothing_changes(values, parts):
    panel = SchedulePanel(Recipe(epochs=4))
    before = panel.svg
    with pytest.raises(RecipeError) as error:
        panel.set(layer_decay=0.9, **values)
    assert all(part in str(error.value) for part in parts)
    assert panel.recipe == Recipe(epochs=4) and panel.svg == before and not panel.message
    [name] = [n for n in values if n not in ("epochs",) or len(values) == 1]
    if name in panel.controls and len(values) == 1:
        with pytest.raises(RecipeError, match=name):
            panel.controls[name].value = values[name]


def test_a_number_that_is_not_allowed_is_put_back_and_the_panel_says_what_is():
    panel = SchedulePanel()
    for control, typed, allowed in (
        (panel.lr, 5.0, "1e-07 to 0.01"),
        (panel.epochs, -3, "whole numbers 1 to 20"),
        (panel.epochs, 2.5, "whole numbers 1 to 20"),
    ):
        before = control.value
        control.box.value = typed
        assert control.value == control.box.value == before
        assert f"{control.name}: " in panel.message and allowed in panel.message
    panel.epochs.box.value = 7
    assert panel.epochs.value == 7 and isinstance(panel.epochs.value, int) and not panel.message


def test_reset_leads_back_to_what_was_first_shown():
    panel = SchedulePanel()
    panel.layer_decay.value = 0.8
    panel._repr_mimebundle_()
    panel.set(layer_decay=0.5, epochs=9)
    panel.reset_button.click()
    assert panel.recipe == Recipe(layer_decay=0.8)


def test_a_model_of_unknown_depth_is_refused_at_once_or_told():
    with pytest.raises(RecipeError, match="num_layers"):
        SchedulePanel(Recipe(model="nobody/knows-this"))
    panel = SchedulePanel(Recipe(model="nobody/knows-this", layer_decay=0.9), num_layers=3)
    assert "layer.2" in labels(panel.svg)


# ---------------------------------------------------------------------------------------- any panel


class Demo(Panel):
    title = "A demonstration"

    def __init__(self, recipe=None):
        self.dropout = Number("dropout", "dropout", 0.1, 0, 0.9, help="share of units switched off")
        self.head = Choice("head", "head", "auto", {"the hub's": "auto", "mean of all": "mean"}, help="on top")
        self.extra = Switch("extra", "extra", False, help="no field of a recipe")
        self.drawn = []
        recipe = Recipe(head="auto", dropout=0.1) if recipe is None else recipe
        super().__init__(recipe, [self.dropout, self.head, self.extra])

    def picture(self, recipe):
        self.drawn.append(recipe)
        if recipe.dropout == 0.5:
            raise RuntimeError("half <is> bad")
        if recipe.dropout == 0.6:
            raise RecipeError("dropout: 0.6 is not my number")
        return Chart(self.title, bars=[Bar(0, recipe.dropout)], y=Axis(names=["dropout"]), x=Axis("share"))


def test_a_panel_is_recipe_code_and_picture():
    panel = Demo()
    panel.dropout.value = 0.25
    panel.head.list.value = "mean of all"
    panel.extra.box.value = True
    assert panel.recipe == Recipe(dropout=0.25, head="mean")
    assert panel.code == "recipe = base.but(head='mean', dropout=0.25)"
    assert "0.25" in labels(panel.svg)


def test_errors_are_shown_and_the_last_good_picture_stays():
    panel = Demo()
    good = panel.svg
    panel.dropout.slider.value = 0.5
    assert panel.message == "RuntimeError: half <is> bad" and panel.svg == good
    shown = [w.value for w in panel.view.children if isinstance(w, ipywidgets.HTML)]
    assert any('role="alert"' in text and "half &lt;is&gt; bad" in text for text in shown)
    assert panel._repr_mimebundle_()[0]["image/png"]  # still displays
    panel.dropout.value = 0.6
    assert panel.message == "dropout: 0.6 is not my number"
    panel.dropout.value = 0.3
    assert panel.message == "" and panel.svg != good
    assert not any("alert" in w.value for w in panel.view.children if isinstance(w, ipywidgets.HTML))


def test_several_controls_are_set_with_one_drawing():
    panel = Demo()
    panel.drawn.clear()
    panel.set(dropout=0.2, head="mean", extra=True)
    assert panel.drawn == [Recipe(dropout=0.2, head="mean")]
    panel.reset_button.click()
    assert len(panel.drawn) == 2 and panel.recipe == panel.base and panel.extra.value is False


def test_setting_the_same_value_draws_nothing():
    panel = Demo()
    panel.drawn.clear()
    panel.dropout.value = 0.1
    assert panel.drawn == []


def test_a_stored_notebook_gets_a_png_and_a_sentence_that_does_not_change():
    panel = Demo()
    first, metadata = panel._repr_mimebundle_()
    assert set(first) == {VIEW, "image/png", "text/plain"}
    assert Image.open(io.BytesIO(base64.b64decode(first["image/png"]))).width > 800
    assert metadata["image/png"]["alt"] == panel.figure(panel.recipe).sentence
    assert panel.figure(panel.recipe).sheet == sheet_of(panel.picture(panel.recipe)), "the picture that moves, stored"
    panel.dropout.value = 0.3
    second, _ = panel._repr_mimebundle_()
    assert first["text/plain"] == second["text/plain"] == "Panel: A demonstration. Run the cell to move its 3 controls."
    assert first["image/png"] != second["image/png"]


def test_every_control_has_a_name_and_an_explanation():
    for panel in (Demo(), SchedulePanel()):
        texts = " ".join(w.value for w in panel.view.children if isinstance(w, ipywidgets.HTML))
        for control in panel.controls.values():
            named = [control.list] if isinstance(control, Choice) else [control.box]
            assert all(widget.description == control.label for widget in named)
            assert control.label.replace("'", "&#x27;") in texts and control.help.replace("'", "&#x27;") in texts


def test_only_widgets_of_ipywidgets_itself_are_used():
    def walk(widget):
        yield widget
        for child in getattr(widget, "children", ()):
            yield from walk(child)

    for widget in walk(SchedulePanel().view):
        assert type(widget).__module__.startswith("ipywidgets.")
        assert not isinstance(widget, (ipywidgets.Output, ipywidgets.interactive))


def test_changes_from_several_threads_leave_picture_and_recipe_in_agreement():
    panel = SchedulePanel()

    def move(control, values):
        for value in values:
            control.slider.value = value

    sweeps = [
        (panel.lr, np.logspace(-6, -3, 40)),
        (panel.layer_decay, np.arange(0.2, 0.9, 0.02)),
        (panel.epochs, range(1, 20)),
    ]
    threads = [threading.Thread(target=move, args=sweep) for sweep in sweeps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not panel.message
    assert panel.svg == panel.draw(panel.recipe) and panel.epochs.value == 19


def test_all_schedules_are_offered():
    assert list(SchedulePanel().schedule.options.values()) == list(SCHEDULES)


def test_a_list_shows_its_choice_also_where_that_is_none():
    choice = Choice("who", "who", None, {"nobody": None, "one": 1}, help="")
    assert choice.list.value == "nobody" and choice.list.index == 0
    choice.list.value = "one"
    assert choice.value == 1
    choice.value = None
    assert choice.list.index == 0


def test_a_first_picture_does_not_wait_for_torch():
    """Loading it takes seconds; a bench needs it when Train is pressed. Re-initialisation draws a model's own weights.

    Nor for matplotlib, which draws what is stored: a bench shows its widgets first.
    """
    code = """
import sys, ftlab as ft
ft.panels.SchedulePanel().svg
data = ft.load_data("passages")
for name in ("LLRD", "Warmup", "SWA", "FrequentEval", "Hyperparameters", "BertAdam", "YourTask"):
    bench = getattr(ft.panels, name + "Panel")(ft.Recipe(), data=data)
    assert "<svg" in bench.svg, name
    print(name, {"torch", "transformers", "matplotlib"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [line.split()[1] for line in done.stdout.splitlines()] == 7 * ["set()"], done.stdout


@pytest.mark.parametrize("direction", [1, -1])
def test_a_key_moves_a_logarithmic_slider_of_whole_numbers_everywhere(direction):
    """One step of the slider, as an arrow key makes it: from 5 it led back to 5."""
    panel = FrequentEvalPanel(Recipe(), steps_per_epoch=27)
    control = panel.eval_every
    for start in range(2, 60):
        control.value = start
        step = control.slider.step
        place = round(math.log10(control.slider.value) / step) * step  # where the page shows it
        control.slider.value = 10 ** (place + direction * step)
        assert (control.value - start) * direction > 0, f"{start} stays {control.value}"
