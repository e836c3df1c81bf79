"""In a real JupyterLab: the panel follows the keyboard, curves grow while a cell runs, Stop stops, the
picture stays.
"""

from __future__ import annotations

import nbformat
import pytest

pytestmark = pytest.mark.browser

LOOP = "from fake_run import train"  # tests/fake_run.py
STEP = "([...document.querySelectorAll('progress')].map(p => p.value)[0] ?? -1)"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def saved_outputs(lab, page, path, cell):
    """Save the notebook and return a cell's outputs as stored in the file."""
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    return nbformat.read(path, as_version=4).cells[cell].outputs


def test_a_panel_follows_the_keyboard(lab, page):
    path = lab.write("panel.ipynb", "import ftlab as ft\npanel = ft.panels.SchedulePanel()\npanel")
    lab.open(page, path.name)
    lab.execute(page, "notebook:run-all-cells")
    picture = page.locator(".jp-OutputArea svg.ftlab")
    picture.wait_for(timeout=60_000)
    before = picture.inner_html()
    handle = page.locator(".widget-slider [role=slider]").nth(1)  # the rate
    handle.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("before => document.querySelector('svg.ftlab').innerHTML !== before", arg=before)
    assert "base.but(lr=" in page.locator(".jp-OutputArea pre", has_text="recipe =").inner_text()
    assert page.get_by_label("rate (lr)", exact=True).count() == 1  # the number box has a name
    assert picture.get_attribute("aria-label").startswith("Learning rate over 81 steps")


def test_a_panel_shows_what_does_not_fit_and_keeps_the_picture(lab, page):
    wrong = "panel.draw = lambda recipe: 1 / 0\npanel.lr.value = 2e-5"
    path = lab.write("wrong.ipynb", "import ftlab as ft\npanel = ft.panels.SchedulePanel()\npanel", wrong)
    lab.open(page, path.name)
    lab.execute(page, "notebook:run-all-cells")
    page.locator("[role=alert]", has_text="ZeroDivisionError").wait_for(timeout=60_000)
    assert page.locator(".jp-OutputArea svg.ftlab").count() == 1


@pytest.mark.parametrize("mode", ["svg", "widget"])
def test_curves_grow_while_the_cell_runs_and_a_png_stays(lab, page, mode):
    path = lab.write(f"grow_{mode}.ipynb", LOOP, f"train(mode={mode!r}, steps_per_epoch=150)")
    lab.open(page, path.name)
    lab.execute(page, "notebook:run-all-cells")
    page.wait_for_function(f"{STEP} >= 20", timeout=60_000)
    early = page.evaluate(STEP)
    assert page.locator("svg.ftlab").count() == 3
    page.wait_for_function(f"{STEP} > {early + 100}")
    lab.wait_idle(page)
    page.locator(".jp-OutputArea img").wait_for()
    assert page.locator("svg.ftlab").count() == page.locator(".jp-OutputArea button").count() == 0
    outputs = saved_outputs(lab, page, path, 1)
    pictures = [sorted(o.data) for o in outputs if "image/png" in o.get("data", {})]
    assert pictures == [["image/png", "text/plain"]]
    assert not any(WIDGET_VIEW in o.get("data", {}) for o in outputs)
    assert "completed: 450 of 450 steps" in outputs[-1].text

    lab.execute(page, "notebook:run-all-cells")  # once more: one picture, not two
    page.wait_for_function(f"{STEP} >= 20", timeout=60_000)
    assert page.locator(".jp-OutputArea img").count() == 0
    lab.wait_idle(page)
    page.locator(".jp-OutputArea img").wait_for()
    assert page.locator(".jp-OutputArea img").count() == 1


def test_the_stop_button_ends_a_run_that_keeps_the_kernel_busy(lab, page):
    path = lab.write("stop.ipynb", LOOP, "train(steps_per_epoch=2000)")
    lab.open(page, path.name)
    lab.execute(page, "notebook:run-all-cells")
    page.wait_for_function(f"{STEP} >= 20", timeout=60_000)
    page.get_by_role("button", name="Stop training").click()
    lab.wait_idle(page, timeout=20_000)  # to its end the run would take a minute
    page.locator(".jp-OutputArea img").wait_for()
    assert "interrupted:" in saved_outputs(lab, page, path, 1)[-1].text


def test_interrupting_the_kernel_ends_a_run_and_keeps_the_picture(lab, page):
    path = lab.write("interrupt.ipynb", LOOP, "train(steps_per_epoch=2000)")
    lab.open(page, path.name)
    lab.execute(page, "notebook:run-all-cells")
    page.wait_for_function(f"{STEP} >= 20", timeout=60_000)
    lab.execute(page, "notebook:interrupt-kernel")
    lab.wait_idle(page, timeout=20_000)
    page.locator(".jp-OutputArea img").wait_for()
    assert "interrupted:" in saved_outputs(lab, page, path, 1)[-1].text


def test_a_real_run_is_drawn_and_stopped(lab, page):
    train = (
        "import ftlab as ft\n"
        "data = ft.load_data('passages')\n"
        "run = ft.fit(ft.Recipe(max_length=32, epochs=200), data)\n"
        "print(run.status, run.test_score)"
    )
    path = lab.write("fit.ipynb", train)
    lab.open(page, path.name)
    lab.execute(page, "notebook:run-all-cells")
    page.wait_for_function(f"{STEP} >= 5", timeout=120_000)
    page.get_by_role("button", name="Stop training").click()
    lab.wait_idle(page)
    text = "".join(o.text for o in saved_outputs(lab, page, path, 0) if "text" in o)
    assert "interrupted" in text and "of 5400 steps" in text


def test_a_figure_shows_itself_without_pyplot(lab, page):
    path = lab.write("figure.ipynb", "import ftlab as ft\nft.preview(ft.Recipe(layer_decay=0.8)).plot()")
    lab.open(page, path.name)
    lab.execute(page, "notebook:run-all-cells")
    page.locator(".jp-OutputArea img").wait_for(timeout=60_000)
    output = saved_outputs(lab, page, path, 0)[0]
    assert output.data["text/plain"] == "<Picture: learning rate of every layer by step>"
    assert output.metadata["image/png"]["width"] == 840
