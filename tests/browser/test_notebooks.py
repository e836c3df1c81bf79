"""Every notebook in a real JupyterLab, on the tiny preset: all cells run, and every control of every panel moves, by
keyboard.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import nbformat
import pytest

pytestmark = pytest.mark.browser

REPOSITORY = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted(path.name for path in (REPOSITORY / "notebooks").glob("[0-9]*.ipynb"))
CONTROLS = ".widget-slider [role=slider], .widget-dropdown select, .widget-checkbox input"
PANEL = ".jp-OutputArea-output:has(.widget-box):has(svg.ftlab):has(button:text-is('Reset'))"
ERROR = "[data-mime-type='application/vnd.jupyter.error'], [data-mime-type='application/vnd.jupyter.stderr']"


@pytest.fixture(scope="module")
def tiny_lab(chromium, make_lab):
    """Start JupyterLab on a copy of the notebooks and their data; what runs there is tiny."""
    lab = make_lab(FTLAB_PRESET="tiny", HF_HUB_OFFLINE="1")
    shutil.copytree(REPOSITORY / "data", lab.folder / "data")
    for name in NOTEBOOKS:
        shutil.copy(REPOSITORY / "notebooks" / name, lab.folder / "notebooks")
    return lab


def stored_panels(path: Path) -> int:
    """Count the panels and benches whose pictures a stored notebook holds."""
    cells = nbformat.read(path, as_version=4).cells
    outputs = [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]
    return sum(output.get("data", {}).get("text/plain", "").startswith(("Bench: ", "Panel: ")) for output in outputs)


def state(panel) -> str:
    """Return all that a panel shows: pictures, code and message."""
    return "\n".join(panel.locator(".widget-html-content").evaluate_all("all => all.map(one => one.innerHTML)"))


def move(page, control) -> None:
    """Change a control by the keyboard alone; at an end of its range it goes the other way."""
    control.focus()
    kind = control.evaluate("node => node.tagName === 'SELECT' ? 'list' : node.type || 'slider'")
    if kind == "checkbox":
        page.keyboard.press("Space")
    elif kind == "list":
        last = control.evaluate("list => list.selectedIndex === list.options.length - 1")
        for key in ("Space", "ArrowUp" if last else "ArrowDown", "Enter"):  # closed, JupyterLab takes the arrows itself
            page.keyboard.press(key)
    else:
        at, end = control.get_attribute("aria-valuenow"), control.get_attribute("aria-valuemax")
        page.keyboard.press("ArrowLeft" if float(at) >= float(end) else "ArrowRight")


def sweep(page, panel) -> list[str]:
    """Move every control once, and return the names of those that changed nothing."""
    idle = []
    controls = panel.locator(CONTROLS)
    for number in range(controls.count()):
        control = controls.nth(number)
        off = control.evaluate("node => node.disabled || !!node.closest('[disabled], .jp-mod-disabled')")
        alone = control.evaluate("node => node.tagName === 'SELECT' && node.options.length < 2")
        if off or alone or not control.is_visible():  # a panel shows only what its picture depends on
            continue
        before = state(panel)
        move(page, control)
        for _ in range(100):
            if state(panel) != before:
                break
            page.wait_for_timeout(50)
        else:
            row = control.locator("xpath=ancestor::*[contains(@class, 'widget-hbox')][1]")
            name = row.inner_text().strip() or f"control {number}"
            # Two runs may differ equally from a third, and in the clinic runs of another case are not drawn.
            if not name.startswith(("compare", "draw")):
                idle.append(name)
        for alert in panel.locator("[role=alert]").all_inner_texts():
            assert not re.match(r"\w+(Error|Exception): ", alert), alert
    return idle


def reset(page, panel) -> str:
    """Press Reset by the keyboard, and return what the panel shows once it has come to rest.

    Of a bench with runs that is what is changed in the recipe: which runs are drawn and compared stays, and in the
    clinic the case.
    """
    panel.get_by_role("button", name="Reset").press("Enter")
    page.wait_for_timeout(500)
    shown = None
    while shown != (shown := state(panel)):
        page.wait_for_timeout(500)
    if panel.locator(".ftlab-row").count():
        return panel.locator("pre").first.inner_text().partition(".but(")[2].partition("\n")[0]
    return shown


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_and_every_control_of_its_panels_moves(tiny_lab, page, name):
    tiny_lab.open(page, name)
    tiny_lab.execute(page, "notebook:run-all-cells")
    tiny_lab.wait_idle(page, timeout=400_000)
    said = page.locator(ERROR).all_inner_texts()
    assert [text for text in said if "LOAD REPORT" not in text] == []  # 11 shows that one, and what it means
    panels = page.locator(PANEL)
    assert panels.count() == stored_panels(tiny_lab.folder / "notebooks" / name)
    for number in range(panels.count()):
        panel = panels.nth(number)
        panel.scroll_into_view_if_needed()
        first = reset(page, panel)
        assert sweep(page, panel) == []
        assert reset(page, panel) == first
        assert all(label for label in panel.locator("svg.ftlab").evaluate_all("all => all.map(s => s.ariaLabel)"))
    assert page.evaluate("() => [...document.images].filter(i => i.complete && !i.naturalWidth).length") == 0
