"""In a real JupyterLab: the bench's controls, Train and Stop, its table, its stored picture, its layout."""

from __future__ import annotations

import base64
import io
import re

import nbformat
import pytest
from PIL import Image

pytestmark = pytest.mark.browser

# Updates that take a second, so that there is time to press something in between; a small model, or a page would
# hold a gigabyte.
SLOW = """
import os, time
os.environ["FTLAB_PRESET"] = "tiny"
import ftlab as ft
from ftlab.trainer import Job

work = Job.forward_and_backward

def slow(job, batches):
    time.sleep({seconds})
    return work(job, batches)

Job.forward_and_backward = slow
data = ft.load_data("passages")
"""
BENCH = "bench = ft.panels.LLRDPanel(ft.Recipe(), data=data)\nbench"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
ROWS = ".ftlab-row:not(.ftlab-head)"
DONE = "count => { const rows = [...document.querySelectorAll('.ftlab-row:not(.ftlab-head)')];"
DONE += " return rows.length === count && !document.querySelector('.ftlab-go').disabled }"
STEP = "() => Number((document.querySelector('.ftlab-picture').textContent.match(/step (\\d+) of/) ?? [0, 0])[1])"


@pytest.fixture(scope="module")
def opened(lab, page_of_module):
    """A page with a bench whose updates take a second."""
    path = lab.write("bench.ipynb", SLOW.format(seconds=1.2), BENCH)
    show(lab, page_of_module, path)
    return page_of_module, path


@pytest.fixture(scope="module")
def page_of_module(chromium, lab):
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    yield page
    page.close()
    lab.end_kernels()


def show(lab, page, path, at="lab/tree"):
    lab.open(page, path.name, at=at)
    lab.execute(page, "notebook:run-all-cells")
    page.locator(".ftlab-bench svg.ftlab").first.wait_for(timeout=120_000)
    lab.wait_idle(page)


def put(page, name, value):
    box = page.get_by_label(name, exact=True)
    box.fill(str(value))
    box.press("Enter")


def press(page, name):
    page.locator(".ftlab-bench").get_by_role("button", name=name, exact=True).first.click()


def row(page, i):
    return page.locator(ROWS).nth(i)


def stored(lab, page, path):
    """Save the notebook and return the outputs of the bench's cell."""
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    return nbformat.read(path, as_version=4).cells[1].outputs


def test_a_round_at_the_bench(lab, opened):
    """Move two controls, train, watch, stop; a second run over the first; restore; save; open the page again."""
    page, path = opened
    put(page, "layer decay", 0.8)
    put(page, "learning rate", 0.0003)
    page.locator(".ftlab-bench pre", has_text="base.but(lr=0.0003, layer_decay=0.8)").wait_for()
    press(page, "Train")
    page.wait_for_function(f"() => ({STEP})() >= 2", timeout=120_000)
    seen = page.evaluate(STEP)
    page.wait_for_function(f"seen => ({STEP})() > seen", arg=seen)
    before = page.locator(".ftlab-picture svg").first.inner_html()
    page.locator(".ftlab-side [role=slider]").first.press("ArrowRight")  # controls live on while it trains
    page.wait_for_function("before => document.querySelector('.ftlab-picture svg').innerHTML !== before", arg=before)
    assert "training" in row(page, 0).inner_text()
    done = int(re.search(r"training, (\d+) of", row(page, 0).inner_text()).group(1))
    press(page, "Stop")
    page.wait_for_function(DONE, arg=1, timeout=60_000)
    text = row(page, 0).inner_text()
    assert "interrupted" in text and int(re.search(r"at (\d+) of", text).group(1)) <= done + 1 + 2
    assert "layer_decay 0.8" in text and "lr 3e-4" in text

    press(page, "Reset")
    page.locator(".ftlab-bench pre", has_text="recipe = base\n").wait_for()
    press(page, "Train")
    page.wait_for_function(DONE, arg=2, timeout=120_000)
    assert "completed" in row(page, 0).inner_text()
    picture = page.locator(".ftlab-picture svg").first.text_content()
    assert "baseline" in picture and "run 1" in picture  # drawn over one another
    row(page, 1).get_by_role("button", name="restore").click()
    page.locator(".ftlab-bench pre", has_text="layer_decay=0.8").wait_for()

    png = [o for o in stored(lab, page, path) if "image/png" in o.data]
    assert len(png) == 1 and Image.open(io.BytesIO(base64.b64decode(png[0].data["image/png"]))).width > 800
    assert "baseline: completed" in png[0].metadata["image/png"]["alt"]
    assert page.locator(".jp-OutputArea img").count() == 1 and not page.locator(".jp-OutputArea img").is_visible()
    page.goto("about:blank")
    lab.open(page, path.name, at="lab/tree")
    page.locator(ROWS).nth(1).wait_for(timeout=60_000)
    assert "layer_decay=0.8" in page.locator(".ftlab-bench pre").first.inner_text()
    assert not page.locator(".jp-OutputArea img").is_visible()


def test_it_fits_beside_the_file_browser(opened):
    page, _ = opened
    box = page.locator(".ftlab-bench").bounding_box()
    side, picture = (page.locator(name).first.bounding_box() for name in (".ftlab-side", ".ftlab-picture"))
    assert box["width"] <= 848 and box["height"] <= 700
    assert picture["x"] >= side["x"] + side["width"] and picture["width"] >= 560
    inside = "() => { const b = document.querySelector('.ftlab-bench'); return b.scrollWidth <= b.clientWidth }"
    assert page.evaluate(inside)


def test_below_840_pixels_the_pictures_stand_under_the_controls(opened):
    page, _ = opened
    page.set_viewport_size({"width": 800, "height": 900})
    page.wait_for_function(
        "() => { const [s, p] = ['.ftlab-side', '.ftlab-picture'].map(q => "
        "document.querySelector(q).getBoundingClientRect()); return p.y >= s.y + s.height }"
    )
    page.set_viewport_size({"width": 1280, "height": 900})


def test_a_value_that_is_not_allowed_is_said_and_put_back(opened):
    page, _ = opened
    page.get_by_role("button", name=re.compile("more: ")).first.click()
    put(page, "epochs", 2.5)
    page.locator("[role=alert]", has_text="epochs: 2.5 is not allowed here; allowed: whole numbers 1 to 20").wait_for()
    assert page.get_by_label("epochs", exact=True).input_value() == "4"
    page.get_by_role("button", name=re.compile("more: ")).first.click()


def test_every_control_has_a_name(opened):
    page, _ = opened
    snapshot = page.locator(".ftlab-bench").aria_snapshot()
    unnamed = [
        line for line in snapshot.splitlines() if re.search(r"- (button|textbox|spinbutton|checkbox|combobox)$", line)
    ]
    assert not unnamed, "\n".join(unnamed)


def test_interrupting_the_idle_kernel_reaches_no_run_and_the_bench_says_what_does(lab, opened):
    page, _ = opened
    rows = page.locator(ROWS).count()
    press(page, "Train")
    page.wait_for_function(f"count => document.querySelectorAll({ROWS!r}).length === count", arg=rows + 1)
    page.locator(".ftlab-bench [title*='interrupting the kernel does not']").wait_for()
    lab.execute(page, "notebook:interrupt-kernel")
    page.wait_for_function(DONE, arg=rows + 1, timeout=120_000)
    assert "completed" in row(page, 0).inner_text()


def test_after_a_restart_the_stored_picture_shows_the_finished_runs(lab, opened):
    """The runs' weights go with the kernel; what they showed does not."""
    page, path = opened
    assert any("image/png" in o.data for o in stored(lab, page, path))
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    page.goto("about:blank")
    lab.open(page, path.name, at="lab/tree")
    page.locator(".jp-OutputArea img").wait_for(timeout=60_000)
    assert page.locator(".jp-OutputArea img").is_visible()
    alt = next(o for o in stored(lab, page, path) if "image/png" in o.data).metadata["image/png"]["alt"]
    assert "run 1" in alt and "interrupted" in alt


def test_a_cell_trains_and_shows_the_bench_where_it_has_not_been_shown(lab, page):
    cell = "bench = ft.panels.LLRDPanel(ft.Recipe(layer_decay=0.9), data=data)\nrun = bench.train()"
    path = lab.write("cell.ipynb", SLOW.format(seconds=0.1), cell)
    show(lab, page, path)
    outputs = stored(lab, page, path)
    assert any("image/png" in o.get("data", {}) for o in outputs)
    assert "baseline: completed, 9 of 9 steps; best validation RMSE" in "".join(o.get("text", "") for o in outputs)
    assert "completed" in row(page, 0).inner_text()


def test_the_stop_button_is_heard_while_a_cell_trains(lab, page):
    cell = "bench = ft.panels.LLRDPanel(ft.Recipe(), data=data)\nrun = bench.train()\nprint(run.status)"
    path = lab.write("stop.ipynb", SLOW.format(seconds=0.7), cell)
    lab.open(page, path.name)
    lab.execute(page, "notebook:run-all-cells")
    page.wait_for_function(f"() => document.querySelector('.ftlab-picture') && ({STEP})() >= 1", timeout=120_000)
    press(page, "Stop")
    lab.wait_idle(page)
    assert "interrupted" in "".join(o.get("text", "") for o in stored(lab, page, path))


def test_on_a_dark_page_texts_are_light(lab, page):
    path = lab.write("dark.ipynb", SLOW.format(seconds=0), BENCH)
    lab.open(page, path.name)
    page.evaluate("() => window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    try:
        lab.execute(page, "notebook:run-all-cells")
        page.locator(".ftlab-bench svg.ftlab").first.wait_for(timeout=120_000)
        for name in (".ftlab-bench .name", ".ftlab-side .widget-label", ".ftlab-picture svg text", ".ftlab-bench pre"):
            colour = page.evaluate(
                "name => { const e = document.querySelector(name), s = getComputedStyle(e);"
                " return e instanceof SVGElement ? s.fill : s.color }",
                name,
            )
            numbers = [float(part) for part in re.findall(r"[\d.]+", colour)][:3]
            assert min(numbers) > 128, (name, colour)
    finally:
        page.evaluate("() => window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Light'})")
