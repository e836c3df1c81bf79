"""In a real JupyterLab: the panel follows the keyboard, curves grow while a cell runs, Stop stops, the
picture stays.
"""

from __future__ import annotations

import re
from importlib.util import find_spec

import nbformat
import pytest

pytestmark = pytest.mark.browser

LOOP = "from tests.fake_run import train"  # tests/fake_run.py
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
    assert page.get_by_label("learning rate", exact=True).count() == 1  # the number box has a name
    assert picture.get_attribute("aria-label").startswith("Learning rate over 108 steps")


def test_a_panel_shows_what_does_not_fit_and_keeps_the_picture(lab, page):
    wrong = "panel.picture = lambda recipe: 1 / 0\npanel.lr.value = 2e-5"
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
    assert page.locator("svg.ftlab").count() == 1
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


# A real run whose updates take a fifth of a second each, so that there is time to press something in between.
SLOW_RUN = """
import time
import ftlab as ft

class Slow(ft.Callback):
    def on_step(self, history):
        time.sleep(0.2)

recipe = ft.Recipe(max_length=16, epochs=3, batch_size=48, lr=1e-4, eval_every=5)
run = ft.fit(recipe, ft.load_data("passages"), callbacks=[Slow()]{more})
print(run.status, len(run.history), run.test_score)
"""


def texts(outputs):
    """Join the printed text of a cell's outputs."""
    return "".join(o.text for o in outputs if "text" in o)


def test_stop_ends_a_run_within_two_steps(lab, page):
    path = lab.write("two_steps.ipynb", SLOW_RUN.format(more=""))
    lab.open(page, path.name)
    lab.execute(page, "notebook:run-all-cells")
    page.wait_for_function(f"{STEP} >= 3", timeout=120_000)
    page.get_by_role("button", name="Stop training").click()
    seen = page.evaluate(STEP)
    lab.wait_idle(page)
    made = int(re.search(r"interrupted: (\d+) of", texts(saved_outputs(lab, page, path, 0))).group(1))
    assert made <= seen + 1 + 2  # the page is at most one drawing, and so one such step, behind the run


def test_a_run_goes_on_after_the_kernel_was_restarted_in_the_middle(lab, page):
    more = ", checkpoint_dir='saved', resume={resume}"
    path = lab.write("restart.ipynb", SLOW_RUN.format(more=more.format(resume=False)))
    lab.open(page, path.name)
    lab.execute(page, "notebook:run-all-cells")
    page.wait_for_function(f"{STEP} >= 8", timeout=120_000)
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    path = lab.write("restart_again.ipynb", SLOW_RUN.format(more=more.format(resume=True)))
    lab.open(page, path.name)
    lab.execute(page, "notebook:run-all-cells")
    page.wait_for_function(f"{STEP} >= 5", timeout=120_000)
    assert page.evaluate(STEP) >= 5
    lab.wait_idle(page)
    resumed = texts(saved_outputs(lab, page, path, 0))
    path = lab.write("undisturbed.ipynb", SLOW_RUN.format(more=""))
    lab.open(page, path.name)
    lab.execute(page, "notebook:run-all-cells")
    lab.wait_idle(page)
    undisturbed = texts(saved_outputs(lab, page, path, 0))
    assert "completed 27 " in undisturbed
    assert resumed.splitlines()[-1] == undisturbed.splitlines()[-1]


def test_a_page_closed_and_opened_again_shows_the_last_state(lab, page):
    cells = "import ftlab as ft\npanel = ft.panels.SchedulePanel()\npanel", "from tests.fake_run import train\ntrain()"
    path = lab.write("reopen.ipynb", *cells)
    lab.open(page, path.name)
    lab.execute(page, "notebook:run-all-cells")
    lab.wait_idle(page)
    page.locator(".jp-OutputArea img").wait_for()
    before = page.locator("svg.ftlab").inner_html()
    page.locator(".widget-slider [role=slider]").nth(1).press("ArrowRight")
    page.wait_for_function("before => document.querySelector('svg.ftlab').innerHTML !== before", arg=before)
    moved = page.locator("svg.ftlab").inner_html()
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.goto("about:blank")
    lab.open(page, path.name)
    page.locator("svg.ftlab").wait_for(timeout=60_000)
    assert page.locator("svg.ftlab").inner_html() == moved
    assert page.locator(".jp-OutputArea img").count() == 1


def test_a_control_moved_while_a_cell_runs_is_not_lost(lab, page):
    cells = "import ftlab as ft\npanel = ft.panels.SchedulePanel()\npanel", LOOP, "train(steps_per_epoch=150)"
    path = lab.write("meanwhile.ipynb", *cells)
    lab.open(page, path.name)
    lab.execute(page, "notebook:run-all-cells")
    page.wait_for_function(f"{STEP} >= 20", timeout=60_000)
    before = page.locator("svg.ftlab").first.inner_html()
    page.locator(".widget-slider [role=slider]").nth(1).press("ArrowRight")
    lab.wait_idle(page)  # at the latest now
    page.wait_for_function("before => document.querySelector('svg.ftlab').innerHTML !== before", arg=before)


def test_two_notebooks_run_at_once(lab, page, chromium):
    other = chromium.new_page()
    try:
        for tab, name in ((page, "one.ipynb"), (other, "two.ipynb")):
            path = lab.write(name, LOOP, "train(steps_per_epoch=5000)")
            lab.open(tab, path.name)
            lab.execute(tab, "notebook:run-all-cells")
        for tab in (page, other):
            tab.wait_for_function(f"{STEP} >= 20", timeout=60_000)
        assert page.locator("svg.ftlab").count() == other.locator("svg.ftlab").count() == 1
        for tab in (page, other):
            tab.get_by_role("button", name="Stop training").click()
            lab.wait_idle(tab)
            tab.locator(".jp-OutputArea img").wait_for()
            assert tab.locator(".jp-OutputArea img").count() == 1
    finally:
        other.close()


@pytest.mark.skipif(find_spec("notebook") is None, reason="Notebook 7 is missing: pip install 'notebook>=7'")
def test_notebook_7_shows_panels_and_live_curves_too(lab, page):
    cells = "import ftlab as ft\npanel = ft.panels.SchedulePanel()\npanel", LOOP, "train(steps_per_epoch=150)"
    path = lab.write("classic.ipynb", *cells)
    lab.open(page, path.name, at="notebooks")
    lab.execute(page, "notebook:run-all-cells")
    page.wait_for_function(f"{STEP} >= 20", timeout=60_000)
    lab.wait_idle(page)
    page.locator(".jp-OutputArea img").wait_for()
    assert page.locator(".jp-OutputArea img").count() == 1
    changed = "before => document.querySelector('svg.ftlab').innerHTML !== before"
    before = page.locator("svg.ftlab").inner_html()
    box = page.get_by_label("learning rate", exact=True)  # the arrow keys are Notebook 7's own: from heading to heading
    box.fill("3e-5")
    box.press("Enter")
    page.wait_for_function(changed, arg=before)
    before = page.locator("svg.ftlab").inner_html()
    page.locator(".widget-slider [role=slider]").nth(1).hover()
    at = page.locator(".widget-slider [role=slider]").nth(1).bounding_box()
    page.mouse.down()
    page.mouse.move(at["x"] + 80, at["y"] + 5, steps=4)
    page.mouse.up()
    page.wait_for_function(changed, arg=before)
