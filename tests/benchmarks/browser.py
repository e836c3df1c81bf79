"""From a key on a slider to the picture painted, in a real JupyterLab and a real Chromium."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from .measure import Options, Sides, Skip

PRESSES = 10

PANEL = "import ftlab as ft\npanel = ft.panels.SchedulePanel(ft.Recipe(layer_decay=0.9))\npanel"
# The same picture as people make it: every layer's rate by step, drawn anew by pyplot at each move of a slider.
INTERACT = """%matplotlib inline
import ftlab as ft
import matplotlib.pyplot as plt
from ipywidgets import FloatSlider, interact

def draw(layer_decay):
    schedule = ft.preview(ft.Recipe(layer_decay=layer_decay), steps=300)
    plt.figure(figsize=(5.8, 4.0))
    for name, rates in zip(schedule.layers, schedule.lr.T):
        plt.plot(schedule.steps, rates, label=name)
    plt.title("Learning rate of every layer")
    plt.xlabel("step")
    plt.ylabel("rate")
    plt.legend()
    plt.show()

interact(draw, layer_decay=FloatSlider(0.9, min=0.5, max=1.0, step=0.005))"""

# Waits for a picture of the cell other than the last, decoded and two frames later, and returns ms since the key.
WATCH = """([index, key]) => {
  const cell = document.querySelectorAll('.jp-CodeCell')[index];
  const picture = () => {
    const found = cell.querySelector('.jp-OutputArea svg.ftlab, .jp-OutputArea .jp-RenderedImage img');
    return found && (found.src || found.innerHTML);
  };
  const before = picture();
  window.painted = new Promise(resolve => {
    let began = null;
    document.addEventListener('keydown', () => { began = performance.now(); }, {capture: true, once: true});
    const seen = new MutationObserver(async () => {
      const now = picture();
      if (began === null || !now || now === before) return;
      seen.disconnect();
      const image = cell.querySelector('.jp-OutputArea .jp-RenderedImage img');
      if (image) await image.decode().catch(() => {});
      requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - began)));
    });
    seen.observe(cell, {subtree: true, childList: true, attributes: true, characterData: true});
  });
}"""


def panel_and_interact(options: Options) -> Sides:
    """Open a notebook with a panel and an `interact`; a side presses keys on one and returns the median in seconds."""
    for package in ("playwright", "jupyterlab"):
        if find_spec(package) is None:
            raise Skip(f"{package} is not installed")
    from playwright.sync_api import Error, sync_playwright

    from tests.browser.conftest import FLAGS, Lab  # of the tests in a real browser

    stack = ExitStack()
    try:
        playwright = stack.enter_context(sync_playwright())
        found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        try:
            chromium = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        except Error as error:
            raise Skip(f"Chromium is missing: {str(error).splitlines()[0]}") from None
        stack.callback(chromium.close)
        lab = Lab(Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))))
        stack.callback(lab.close)
        lab.wait()
        page = chromium.new_page(viewport={"width": 1280, "height": 2000})
        lab.write("bench.ipynb", PANEL, INTERACT)
        lab.open(page, "bench.ipynb")
        lab.execute(page, "notebook:run-all-cells")
        lab.wait_idle(page)
        page.locator(".jp-CodeCell").nth(1).locator(".jp-OutputArea .jp-RenderedImage img").wait_for(timeout=60_000)
    except BaseException:
        stack.close()
        raise
    times: dict[int, list[float]] = {0: [], 1: []}

    def presses(index: int, slider: int) -> Callable[[], float]:
        handle = page.locator(".jp-CodeCell").nth(index).locator(".widget-slider [role=slider]").nth(slider)
        count = 2 if options.tiny else PRESSES

        def side() -> float:
            handle.focus()
            for i in range(count):
                page.evaluate(WATCH, [index, i])
                page.keyboard.press("ArrowLeft" if (i + len(times[index]) // count) % 2 else "ArrowRight")
                times[index].append(page.evaluate("() => window.painted") / 1e3)
                page.wait_for_timeout(150)  # a reader's pause: nothing of the last move is left
            return float(np.median(times[index][-count:]))

        return side

    def note() -> str:
        return "p95 " + ", ".join(
            f"{1e3 * np.percentile(times[i], 95):.0f} ms {name} of {len(times[i])} moves"
            for i, name in ((0, "ours"), (1, "theirs"))
        )

    return Sides(presses(0, DECAY_SLIDER), presses(1, 0), note, stack.close)


DECAY_SLIDER = 3  # in the panel: epochs, rate, rate of the head, decay from layer to layer
