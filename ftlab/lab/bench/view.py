"""The widgets of a bench and how they look: ipywidgets' own, arranged by a style sheet that travels with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import ipywidgets

from ftlab.lab.bench.pictures import GHOST, changes_text
from ftlab.lab.bench.rows import Row
from ftlab.lab.chart import GREY, ORANGE
from ftlab.lab.panels.base import Control, Number

SIDE = 250  # width of the column of controls, in CSS pixels
PICTURE = 572  # of the pictures; beside each other they need 840
STYLE = f"""<style>
.ftlab-bench{{--run:{ORANGE[0]};--base:{GREY[0]};--ghost:{GHOST[0]};--quiet:var(--jp-ui-font-color2,#555);
--edge:var(--jp-border-color2,#ddd);--accent:var(--jp-brand-color1,#1f6feb);max-width:1180px;overflow:hidden;
font:13px/1.4 var(--jp-ui-font-family,system-ui,sans-serif);color:var(--jp-ui-font-color1,inherit)}}
[data-jp-theme-light=false] .ftlab-bench,.vscode-dark .ftlab-bench{{--run:{ORANGE[1]};--base:{GREY[1]};
--ghost:{GHOST[1]}}}
.ftlab-bench .widget-html,.ftlab-bench .jupyter-widgets{{margin-top:0;margin-bottom:0}}
.ftlab-bench .widget-html-content{{line-height:1.4;font-size:13px;color:var(--jp-ui-font-color1,inherit)}}
.ftlab-bench small,.ftlab-bench .quiet{{color:var(--quiet);font-size:12px}}
.ftlab-bench .name{{font-size:15px;font-weight:600}} .ftlab-bench .name span{{font-weight:400;color:var(--quiet)}}
.ftlab-side .widget-label{{text-align:left;line-height:24px;height:24px}}
.ftlab-side .widget-text,.ftlab-side .widget-dropdown,.ftlab-side .widget-checkbox{{margin:0;height:24px;
line-height:24px}}
.ftlab-side .widget-text input[type]{{text-align:right;padding:0 5px;height:22px;line-height:20px;
box-sizing:border-box;font-variant-numeric:tabular-nums}}
.ftlab-side>.widget-box,.ftlab-side>.widget-toggle-buttons{{padding:0 2px}}
.ftlab-side .widget-html{{margin-left:0;margin-right:0}}
.ftlab-side .widget-dropdown>select{{height:24px;line-height:22px;padding:0 18px 0 4px}}
.ftlab-side .widget-slider{{height:18px;line-height:18px;margin:0}}
.ftlab-side .widget-slider .slider-container{{height:10px;margin:0 9px;padding-top:8px}}
.ftlab-side .widget-html-content{{height:auto;min-height:0}} .ftlab-side small{{display:block;line-height:16px}}
.ftlab-side .widget-toggle-buttons,.ftlab-side .widget-toggle-buttons>div{{width:100%;margin:0;display:flex;
flex-flow:row}} .ftlab-side .widget-toggle-buttons>label{{display:none}}
.ftlab-side .widget-toggle-buttons button{{flex:1 1 auto;margin:0 0 0 -1px;padding:0 3px;min-width:0;
width:auto!important;height:24px;line-height:22px;border-radius:0;border:1px solid var(--edge);background:none;
box-shadow:none}}
.ftlab-side .widget-toggle-buttons button.mod-active{{background:var(--accent);color:#fff;border-color:var(--accent)}}
.ftlab-two{{display:flex;justify-content:space-between;gap:8px}} .ftlab-two small{{text-align:right}}
.ftlab-bench .ftlab-more{{background:none;border:0;box-shadow:none;padding:0;text-align:left;color:var(--quiet);
width:100%;font-size:12px}}
.ftlab-bench pre{{font:11px/1.4 var(--jp-code-font-family,monospace);white-space:pre-wrap;margin:0;padding:4px 6px;
border-radius:4px;background:var(--jp-layout-color2,#f2f3f5);color:inherit}}
.ftlab-bench button{{border-radius:4px}} .ftlab-go{{font-weight:600}}
.ftlab-go:not(:disabled),.ftlab-stop:not(:disabled){{background:var(--run);color:#fff}}
[data-jp-theme-light=false] .ftlab-bench button:is(.ftlab-go,.ftlab-stop):not(:disabled){{color:#111}}
.ftlab-picture svg.ftlab{{width:100%;max-width:760px;height:auto;display:block}}
.ftlab-note{{border-left:4px solid var(--accent);padding:2px 6px}}
.ftlab-extra svg.ftlab{{max-width:600px}}
.ftlab-table{{max-height:158px;overflow:auto}}
.ftlab-row{{display:grid!important;grid-template-columns:44px 96px minmax(120px,1fr) 118px 78px 112px 54px 116px;
gap:0 6px;align-items:center;border-top:1px solid var(--edge);min-height:28px;overflow:hidden;width:100%;
min-width:680px}}
.ftlab-row .widget-html-content{{white-space:nowrap;overflow:hidden;text-overflow:ellipsis;font-size:12px}}
.ftlab-row.ftlab-head{{border:0;min-height:20px}}
.ftlab-row .right{{text-align:right;font-variant-numeric:tabular-nums}}
.ftlab-row>*{{min-width:0;margin:0!important;width:auto!important}}
.ftlab-row button{{background:none;border:0;box-shadow:none;color:var(--accent);padding:0 3px;line-height:22px;
height:22px;font-size:12px;overflow:hidden}}
.ftlab-row button:disabled{{color:var(--quiet)}}
.ftlab-row input[type=text]{{background:none;border-color:transparent;padding:0 3px;font-size:12px}}
.ftlab-row input[type=text]:hover,.ftlab-row input[type=text]:focus{{border-color:var(--edge)}}
.ftlab-now input[type=text]{{color:var(--run);font-weight:600}}
.widget-text.ftlab-hidden-label>label,.widget-dropdown.ftlab-hidden-label>label,
.widget-checkbox.ftlab-hidden-label label>span{{position:absolute;width:1px;height:1px;overflow:hidden;
clip-path:inset(50%);margin:0;padding:0;min-width:0}}
.jp-OutputArea-child:has(.ftlab-bench)+.jp-OutputArea-child:has(img){{display:none}}
</style>"""


def html(value: str = "", **layout: Any) -> ipywidgets.HTML:
    """Make a piece of text."""
    return ipywidgets.HTML(value, layout=layout)


def button(text: str, tooltip: str, action: Callable[[Any], None], *classes: str, **layout: Any) -> ipywidgets.Button:
    """Make a button; `action` is its callback."""
    made = ipywidgets.Button(description=text, tooltip=tooltip, layout={"width": "auto", **layout})
    made.on_click(action)
    for name in classes:
        made.add_class(name)
    # ipykernel 7.4 answers a widget in the thread that made it, which may be busy training in a cell: its own hook for
    # choosing the thread is asked to leave the choice to the front end, as 7.2 and 7.3 do.
    if hasattr(made.comm, "_reply_subshell_for"):
        made.comm._reply_subshell_for = lambda data, default: default
    return made


def fold(text: str, hidden: ipywidgets.Widget, unfolded: Callable[[Any], None] | None = None) -> ipywidgets.Button:
    """Make the line that unfolds a hidden widget, calls `unfolded`, and folds the widget away again."""

    def toggle(made: ipywidgets.Button) -> None:
        shown = hidden.layout.display == "none"
        hidden.layout.display = "flex" if shown else "none"
        made.description = f"{'▾' if shown else '▸'} {text}"
        if shown and unfolded is not None:
            unfolded(made)

    return button(f"▸ {text}", "Show or hide", toggle, "ftlab-more")


def narrow(control: Control, hint: str = "") -> ipywidgets.Widget:
    """Arrange a control for the side column: name and number in a line, the slider below, then a hint of its help."""
    row = control.widget
    row.layout.min_height = "0"
    if isinstance(control, Number):
        row.layout.flex_flow = "row wrap"
        control.box.layout.width = "100%"
        control.box.layout.flex = "1 1 100%"
        control.box.style.description_width = "calc(100% - 92px)"
    elif hasattr(control, "list"):
        control.list.layout.width = "100%"
        control.list.style.description_width = "96px"
    hint = hint or re.sub(r" \(.*?\)", "", control.help.partition("; ")[0])
    text = html(f'<small title="{escape(control.help)}">{escape(hint)}</small>')
    both = ipywidgets.VBox([row, text], layout={"margin": "0 0 3px 0"})
    row.layout.observe(lambda change: both.layout.set_trait("display", change["new"]), "display")
    return both


def swatch(row: Row, current: Row | None, baseline: Row | None) -> str:
    """Draw a piece of the line that a run has in the picture."""
    colour, dash, width = "var(--ghost)", "", 2
    if row is baseline:
        colour, dash = "var(--base)", ' stroke-dasharray="5 4"'
    if row is current:
        colour, dash, width = "var(--run)", "", 3
    return (
        '<svg width="22" height="10" aria-hidden="true"><line x1="1" x2="21" y1="5" y2="5" '
        f'style="stroke:{colour}" stroke-width="{width}"{dash}/></svg>'
    )


HEAD = ("", "run", "changed", "status", "validation", "test", "time", "")
RIGHT = {"validation", "test", "time"}


def head() -> ipywidgets.HBox:
    """Make the names of the table's columns."""
    cells = [html(f'<div class="{"right" if name in RIGHT else ""} quiet">{name}</div>') for name in HEAD]
    box = ipywidgets.HBox(cells)
    box.add_class("ftlab-row")
    box.add_class("ftlab-head")
    return box


class RowView:
    """A row of the table: the widgets for one run, and what they call.

    act(what, row) is called with "draw", "rename", "restore", "remove" or "test".
    """

    def __init__(self, row: Row, act: Callable[[str, Row], None]) -> None:
        self.row = row
        self.draw = ipywidgets.Checkbox(row.drawn, description=f"draw {row.name}", indent=False)
        self.name = ipywidgets.Text(row.name, description=f"name of {row.name}", continuous_update=False)
        for named in (self.draw, self.name):
            named.add_class("ftlab-hidden-label")
        self.swatch, self.changed, self.status, self.validation, self.seconds = (html() for _ in range(5))
        self.test = button("closed · open", "", lambda _: act("test", row))
        self.restore = button(
            "restore", f"Put the controls where they stood for {row.name}", lambda _: act("restore", row)
        )
        self.remove = button("remove", f"Forget {row.name} and its weights", lambda _: act("remove", row))
        self.draw.observe(lambda change: act("draw", row), "value")
        self.name.observe(lambda change: act("rename", row), "value")
        first = ipywidgets.HBox([self.draw, self.swatch])
        last = ipywidgets.HBox([self.restore, self.remove], layout={"justify_content": "flex-end"})
        cells = [first, self.name, self.changed, self.status, self.validation, self.test, self.seconds, last]
        self.box = ipywidgets.HBox(cells)
        self.box.add_class("ftlab-row")

    def update(self, current: Row | None, baseline: Row | None) -> None:
        """Show the row as it stands."""
        row = self.row
        self.swatch.value = swatch(row, current, baseline)
        (self.box.add_class if row is current else self.box.remove_class)("ftlab-now")
        changed = changes_text(row) or "nothing: the first recipe"
        sample = "all" if row.size is None else str(row.size)
        self.changed.value = f'<span title="{escape(changed)}">{escape(changed)} <small>· {sample}</small></span>'
        status = f"training, {row.done} of {row.total}" if row.status == "training" and row.total else row.status
        if row.status == "interrupted":
            status += f" at {row.done} of {row.total}"
        self.status.value = f'<span title="{escape(row.problem)}">{escape(status)}</span>'
        self.validation.value = f'<div class="right">{"" if row.best is None else f"{row.best:.3f}"}</div>'
        open_ = row.test is not None
        self.test.description = f"{row.test:.3f}" if open_ else "closed · open"
        self.test.tooltip = "Test score of this run" if open_ else f"Open the test set of {row.name}, once"
        self.test.disabled = open_ or row.best is None or row.run is None
        seconds = f"{row.seconds:.0f} s" if row.status != "training" else ""
        if row.status == "training" and (left := row.left) is not None:
            seconds = f"{left:.0f} s left"
        self.seconds.value = f'<div class="right">{seconds}</div>'
        self.remove.disabled = self.restore.disabled = row.status == "training"
        if self.name.value != row.name:
            self.name.value = row.name

    def close(self) -> None:
        """Close every widget of the row: ipywidgets keeps each for ever that is not closed by itself."""
        close(self.box)


def close(widget: ipywidgets.Widget) -> None:
    """Close a widget with all its parts."""
    for part in (*getattr(widget, "children", ()), widget.layout, getattr(widget, "style", None)):
        if part is not None:
            close(part) if isinstance(part, ipywidgets.DOMWidget) else part.close()
    widget.close()


def names(rows: Sequence[Row]) -> list[str]:
    """Return the rows' names, as the lists to choose from show them."""
    return [row.name for row in rows]
