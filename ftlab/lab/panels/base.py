"""What every panel is made of: controls with checked values, a picture that follows them, a recipe.

A panel is a plain class with its controls as attributes: `panel.lr.value = 3e-5` moves the slider and the
picture, and `panel.recipe` is what the controls say. A subclass makes its controls, hands them to
`Panel.__init__` and writes `picture`, which describes what to draw: it moves as SVG and is stored as a PNG:

    class DropoutPanel(Panel):
        title = "Dropout"

        def __init__(self, recipe=None):
            recipe = recipe or Recipe()
            self.dropout = Number("dropout", "dropout", recipe.dropout, 0, 0.9, help="share switched off")
            super().__init__(recipe, [self.dropout])

        def picture(self, recipe):
            return Chart("Dropout", bars=[Bar(0, recipe.dropout)], y=Axis(names=["dropout"]))

Only ipywidgets' own controls are used, and a slider, which screen readers cannot name, always has a labelled
number box beside it. Events may arrive in another thread than the cell's, and errors in them are invisible in
JupyterLab: hence the lock, and the line for messages under the picture.
"""

from __future__ import annotations

import difflib
import math
import numbers
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

from ftlab.errors import FtlabError, RecipeError
from ftlab.lab import still, svg
from ftlab.lab.chart import Chart, Sheet
from ftlab.recipe import Recipe

if TYPE_CHECKING:
    from ftlab.lab.figure import Picture

try:
    import ipywidgets
except ImportError as error:
    raise ImportError("panels need ipywidgets; install it with: pip install 'ipywidgets>=8.1,<9'") from error

_ROW = {"width": "100%", "min_height": "32px", "align_items": "center"}
_LABEL = {"description_width": "128px"}


class Control(ABC):
    """A setting with a checked value and the widgets that show it; `name` is the recipe's field, if any.

    Setting `value` checks it, raises RecipeError if it is not allowed, moves the widgets and tells the panel.
    Moving the widgets does the same.
    """

    def __init__(self, name: str, label: str, value: Any, help: str) -> None:
        self.name, self.label, self.help = name, label, help
        self.default = self._value = value
        self.changed: Callable[[], None] = lambda: None
        self.refused: Callable[[RecipeError], None] = lambda error: None
        self.lock = threading.RLock()  # the panel's own, once the control is part of one
        self._moving = False

    @property
    def value(self) -> Any:
        """The present setting."""
        return self._value

    @value.setter
    def value(self, value: Any) -> None:
        self.put(self.check(value))

    @property
    @abstractmethod
    def allowed(self) -> str:
        """Say which values are allowed."""

    @property
    @abstractmethod
    def widget(self) -> ipywidgets.Widget:
        """The control's row in the panel."""

    @abstractmethod
    def check(self, value: Any) -> Any:
        """Return the value in its proper type. Raises RecipeError saying what is allowed."""

    @abstractmethod
    def show(self) -> None:
        """Make the widgets show the present value."""

    def refuse(self, value: Any) -> RecipeError:
        """Make the error for a value that is not allowed."""
        return RecipeError(f"{self.name}: {value!r} is not allowed here; allowed: {self.allowed}")

    def put(self, value: Any) -> None:
        """Take a value that is known to be allowed."""
        with self.lock:
            before, self._value = self._value, value
            self._moving = True
            try:
                self.show()
            finally:
                self._moving = False
            if value != before:
                self.changed()

    def _follow(self, widget: ipywidgets.Widget, read: Callable[[Any], Any]) -> None:
        """Take over what the reader does with a widget; `read` turns its value into the control's.

        What is not allowed is put back, and the panel says what is. A widget that reports nothing new gets no answer:
        while the kernel is busy the answer would come after the reader's next move, and undo it.
        """

        def moved(change: Mapping[str, Any]) -> None:
            with self.lock:
                if self._moving:
                    return
                try:
                    value = read(change["new"])
                except RecipeError as error:
                    self.put(self._value)
                    self.refused(error)
                    return
                if value != self._value:
                    self.put(value)

        widget.observe(moved, "value")


class Number(Control):
    """A number: a slider, a labelled box to type in, and a tick box to switch an optional number on.

    value: the first setting; low, high: ends of the range, widened if the first setting lies outside. log:
    the slider moves in equal ratios; `low` must be above 0. integer: whole numbers only. optional: text of a
    tick box that switches the number on and off (None); `start` is where the slider stands while it is off.
    """

    def __init__(
        self,
        name: str,
        label: str,
        value: float | None,
        low: float,
        high: float,
        *,
        help: str,
        log: bool = False,
        integer: bool = False,
        optional: str = "",
        start: float | None = None,
        step: float | None = None,
    ) -> None:
        super().__init__(name, label, value, help)
        at = value if value is not None else start if start is not None else low
        # A rate of 0 has no place on a logarithmic slider; the box still takes it.
        low, high = min(low, at) if at > 0 or not log else low, max(high, at)
        self.log, self.integer, self.optional = log, integer, bool(optional)
        self.low, self.high, self.zero = low, high, log and at == 0
        step = step or (1 if integer else (high - low) / 100)
        # Not one of the bounded boxes: these change a number that is too large, or has a point, without a word.
        self.box = ipywidgets.FloatText(
            value=at,
            step=1 if integer else None,
            description=label,
            tooltip=help,
            style=_LABEL,
            layout={"width": "226px", "flex": "0 0 auto"},
        )
        quiet = {
            "readout": False,
            "tooltip": help,
            "layout": {"flex": "1 1 90px", "min_width": "60px", "width": "auto"},
        }
        if log:
            self.slider = ipywidgets.FloatLogSlider(
                value=max(at, low), base=10, min=math.log10(low), max=math.log10(high), step=0.05, **quiet
            )
        elif integer:
            self.slider = ipywidgets.IntSlider(value=at, min=low, max=high, step=step, **quiet)
        else:
            self.slider = ipywidgets.FloatSlider(value=at, min=low, max=high, step=step, **quiet)
        parts = [self.box, self.slider]
        self._enabled = True
        self.on = None
        if optional:
            self.on = ipywidgets.Checkbox(
                value=value is not None,
                description=optional,
                tooltip=help,
                indent=False,
                layout={"width": "auto", "margin": "0 0 0 4px"},
            )
            self._follow(self.on, lambda on: self._read_box() if on else None)
            parts.append(self.on)
        self._row = ipywidgets.HBox(parts, layout=_ROW)
        self._follow(self.slider, self._read_slider)
        self._follow(self.box, self.check)
        self.put(value)

    @property
    def widget(self) -> ipywidgets.Widget:
        """The control's row in the panel."""
        return self._row

    @property
    def allowed(self) -> str:
        """Say which values are allowed."""
        text = f"{'whole numbers ' if self.integer else ''}{self.low:g} to {self.high:g}"
        return text + (", or 0" if self.zero else "") + (", or None" if self.optional else "")

    def check(self, value: Any) -> float | int | None:
        """Return the number in its proper type. Raises RecipeError if it is out of range or no number."""
        if value is None and self.optional:
            return None
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise self.refuse(value)
        if not self.low <= value <= self.high and not (self.zero and value == 0):
            raise self.refuse(value)
        if self.integer and value != int(value):
            raise self.refuse(value)
        return self._typed(value)

    def set_range(self, low: float, high: float) -> None:
        """Change the ends of the range; a value outside moves to the nearest end."""
        with self.lock:
            self.low, self.high = low, high
            at = min(max(self._read_box(), low), high)
            self._moving = True
            try:
                self.box.value = at
                if (self.slider.min, self.slider.max) != self._slider_ends():
                    # Without the hold the new low would be compared with the old high, and refused.
                    with self.slider.hold_trait_notifications():
                        self.slider.min, self.slider.max = self._slider_ends()
                        self.slider.value = at
            finally:
                self._moving = False
            self.put(None if self._value is None else min(max(self._value, low), high))

    def enable(self, enabled: bool) -> None:
        """Let the reader move this control, or not while another one makes it meaningless."""
        self._enabled = enabled
        self.box.disabled = self.slider.disabled = not enabled or self._value is None
        if self.on is not None:
            self.on.disabled = not enabled

    def show(self) -> None:
        """Make the widgets show the present value."""
        if self._value is not None:
            self.box.value = self._value
            self.slider.value = max(self._value, self.low) if self.log else self._value
        if self.on is not None:
            self.on.value = self._value is not None
            self.enable(self._enabled)

    def _slider_ends(self) -> tuple[float, float]:
        return (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)

    def _read_slider(self, moved: float) -> float | int | None:
        """Round what the slider says; unless it only reports the nearest place it has for a value."""
        place = math.log10 if self.log else float
        if abs(place(moved) - place(max(self.box.value, self.low))) < 0.51 * self.slider.step:
            return self._value
        value, now = float(f"{moved:.3g}"), self._value
        if not self.integer:
            return value
        whole = round(value)
        if whole == now and self.low <= (further := whole + (1 if value > now else -1)) <= self.high:
            return further  # a step of the slider is less than one: no key would move it
        return whole

    def _read_box(self) -> float | int:
        return self._typed(self.box.value)

    def _typed(self, value: float) -> float | int:
        return int(value) if self.integer else float(value)


class Choice(Control):
    """One of several: a drop-down list, or a row of buttons. options: the values, or {shown text: value}."""

    def __init__(
        self,
        name: str,
        label: str,
        value: Any,
        options: Iterable[Any] | Mapping[str, Any],
        *,
        help: str,
        buttons: bool = False,
    ) -> None:
        super().__init__(name, label, value, help)
        self.options = dict(options) if isinstance(options, Mapping) else {str(o): o for o in options}
        texts = list(self.options)  # not the values: to ipywidgets the value None means that nothing is chosen
        common = {"options": texts, "value": self._text(value), "description": label}
        if buttons:
            self.list = ipywidgets.ToggleButtons(
                **common, tooltips=[help] * len(texts), style={"description_width": "auto", "button_width": "auto"}
            )
        else:
            self.list = ipywidgets.Dropdown(
                **common, tooltip=help, style=_LABEL, layout={"width": "auto", "flex": "1 1 226px"}
            )
        self._row = ipywidgets.HBox([self.list], layout=_ROW)
        self._follow(self.list, lambda text: self.options[text])

    @property
    def widget(self) -> ipywidgets.Widget:
        """The control's row in the panel."""
        return self._row

    @property
    def allowed(self) -> str:
        """Say which values are allowed."""
        return ", ".join(repr(option) for option in self.options.values())

    def check(self, value: Any) -> Any:
        """Return the value. Raises RecipeError if it is not one of the options."""
        if self._text(value) is None:
            raise self.refuse(value)
        return value

    def show(self) -> None:
        """Make the list show the present value."""
        self.list.value = self._text(self._value)

    def _text(self, value: Any) -> str | None:
        """Find the text that stands for a value in the list."""
        return next((text for text, option in self.options.items() if value is option or value == option), None)


class Switch(Control):
    """Yes or no: a tick box."""

    def __init__(self, name: str, label: str, value: bool, *, help: str) -> None:
        super().__init__(name, label, bool(value), help)
        self.box = ipywidgets.Checkbox(
            value=bool(value), description=label, tooltip=help, indent=False, layout={"width": "auto"}
        )
        self._row = ipywidgets.HBox([self.box], layout=_ROW)
        self._follow(self.box, bool)

    @property
    def widget(self) -> ipywidgets.Widget:
        """The control's row in the panel."""
        return self._row

    @property
    def allowed(self) -> str:
        """Say which values are allowed."""
        return "True or False"

    def check(self, value: Any) -> bool:
        """Return the value. Raises RecipeError if it is neither True nor False."""
        if not isinstance(value, bool):
            raise self.refuse(value)
        return value

    def show(self) -> None:
        """Make the tick box show the present value."""
        self.box.value = self._value


# ---------------------------------------------------------------------------------------- the panel


class Panel(ABC):
    """Controls beside a picture that follows them; see the module's text for how to make one.

    controls: in the order in which they stand; the range of one may depend on those above it. Those whose
    name is a field of Recipe change `recipe`; override `changes` for anything else. `message` is the text of
    the last problem, empty when all is well. Raises RecipeError if the first recipe cannot be drawn.
    """

    title = "Panel"
    width = 580  # of the moving picture, in CSS pixels

    def __init__(self, recipe: Recipe, controls: Sequence[Control]) -> None:
        self.base = recipe
        self.controls = {control.name: control for control in controls}
        self.lock = threading.RLock()
        self.message = ""
        self._held = 0
        self._first: dict[str, Any] | None = None  # what the controls said when the reader first saw them
        self._picture = ipywidgets.HTML(layout={"flex": "1 1 440px", "min_width": "260px", "max_width": "640px"})
        self._message = ipywidgets.HTML()
        self._code = ipywidgets.HTML()
        self.reset_button = ipywidgets.Button(
            description="Reset",
            tooltip="Put every control back to where it stood first",
            layout={"width": "100px"},
        )
        self.reset_button.on_click(self.guarded(self.reset))
        self.view = self.arrange(list(controls))
        for control in controls:
            control.lock, control.refused = self.lock, self.show_problem
        self.adapt()
        self._draw_now()
        for control in controls:
            control.changed = self.redraw

    def arrange(self, controls: list[Control]) -> ipywidgets.Widget:
        """Put the panel's parts together: controls beside the picture where there is room."""
        side = ipywidgets.VBox(
            [*(control.widget for control in controls), self.reset_button],
            layout={"flex": "1 1 420px", "min_width": "300px", "max_width": "500px"},
        )
        helps = "".join(f"<li><b>{escape(c.label)}</b>: {escape(c.help)}</li>" for c in controls)
        return ipywidgets.VBox(
            [
                ipywidgets.HBox([side, self._picture], layout={"flex_flow": "row wrap", "align_items": "flex-start"}),
                self._message,
                self._code,
                ipywidgets.HTML(f"<details><summary>What each control does</summary><ul>{helps}</ul></details>"),
            ]
        )

    # ----------------------------------------------------------------------- what a subclass writes

    @abstractmethod
    def picture(self, recipe: Recipe) -> Chart | Sheet:
        """Describe the picture."""

    def page(self, recipe: Recipe, picture: str) -> str:
        """Put HTML around the moving picture, which is SVG text."""
        return picture

    def adapt(self) -> None:
        """Bring the ranges of controls into line with each other; called before every drawing."""
        return None

    def changes(self) -> dict[str, Any]:
        """Return the recipe's fields that the controls decide."""
        fields = self.base.to_dict()
        return {name: control.value for name, control in self.controls.items() if name in fields}

    # ------------------------------------------------------------------------------- for the reader

    @property
    def recipe(self) -> Recipe:
        """The recipe that the controls describe. Raises RecipeError if they contradict each other."""
        changes = {name: value for name, value in self.changes().items() if value != getattr(self.base, name)}
        return self.base.but(**changes)

    @property
    def code(self) -> str:
        """The line of Python that makes the same recipe from the panel's first one, called `base`."""
        changed = self.recipe.diff(self.base)
        arguments = ", ".join(f"{name}={_source(new)}" for name, (_, new) in changed.items())
        return f"recipe = base.but({arguments})" if changed else "recipe = base"

    def set(self, **values: Any) -> None:
        """Set several controls at once and draw once: `panel.set(lr=3e-5, layer_decay=0.9)`.

        Raises RecipeError, and changes nothing, if a name is unknown or a value is not allowed.
        """
        for name in values:
            if name not in self.controls:
                near = difflib.get_close_matches(name, self.controls, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise RecipeError(f"{name}: this panel has no such control{hint}. Controls: {', '.join(self.controls)}")
        before = {name: control.value for name, control in self.controls.items()}
        with self._together():
            try:
                for name, control in self.controls.items():
                    if name in values:
                        control.value = values[name]
                        self.adapt()
            except RecipeError:
                self._put_all(before)
                raise

    def reset(self) -> None:
        """Put every control back to where it stood when the panel was first shown."""
        with self._together():
            self._put_all(self._first or {name: control.default for name, control in self.controls.items()})

    def redraw(self) -> None:
        """Bring picture and code up to date; show a problem and keep the last good picture."""
        with self.lock:
            if self._held:
                return
            try:
                with self._still():
                    self.adapt()
                self._draw_now()
                self.show_problem("")
            except Exception as error:
                self.show_problem(error, " (The picture shows the last settings that fitted together.)")

    def show_problem(self, problem: Exception | str, more: str = "") -> None:
        """Show what went wrong in a line of the panel; an empty text takes the line away."""
        named = isinstance(problem, (FtlabError, str))
        self.message = str(problem) if named else f"{type(problem).__name__}: {problem}"
        self._message.value = (
            '<div role="alert" style="padding:2px;border-left:4px solid var(--jp-error-color1,#d32f2f)">'
            f"{escape(self.message + more)}</div>"
            if self.message
            else ""
        )

    def guarded(self, action: Callable[[], Any]) -> Callable[[Any], None]:
        """Make a callback of an action; its errors, which JupyterLab shows nowhere, are shown in the panel."""

        def called(_: Any) -> None:
            try:
                action()
            except Exception as error:
                self.show_problem(error)

        return called

    def draw(self, recipe: Recipe) -> str:
        """Return the moving picture as SVG text."""
        return self.page(recipe, svg.draw(self.picture(recipe), self.width))

    def figure(self, recipe: Recipe) -> Picture:
        """Return the same picture as a matplotlib figure, for the stored notebook."""
        return still.draw(self.picture(recipe))

    def _draw_now(self) -> None:
        recipe = self.recipe
        sheet = self.picture(recipe)
        self._picture.value = self.page(recipe, svg.draw(sheet, self.width))
        self._sheet = sheet
        self._code.value = f"The same in code:<pre style='white-space:pre-wrap;margin:0'>{escape(self.code)}</pre>"

    def _put_all(self, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            self.controls[name].put(value)
        self.adapt()

    @property
    def svg(self) -> str:
        """The picture shown now, as SVG text."""
        return self._picture.value

    def __repr__(self) -> str:
        """Name the panel in a sentence that does not change with its controls."""
        return f"Panel: {self.title}. Run the cell to move its {len(self.controls)} controls."

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """Show the widgets where they can live, and elsewhere a PNG of the present state with its alternative text."""
        self.note_shown()
        picture, metadata = still.draw(self._sheet)._repr_mimebundle_()
        return {**self.view._repr_mimebundle_(), **picture, "text/plain": repr(self)}, metadata

    def note_shown(self) -> None:
        """Note where the controls stand when the panel is shown for the first time: `reset` leads back there."""
        if self._first is None:
            self._first = {name: control.value for name, control in self.controls.items()}

    @contextmanager
    def _still(self) -> Iterator[None]:
        """Hold the picture still inside the block."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Hold the picture still inside the block and draw once at its end."""
        with self.lock:
            try:
                with self._still():
                    yield
            finally:
                self.redraw()


def _source(value: Any) -> str:
    """Write a value as one would type it."""
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return repr(dict(value)) if isinstance(value, Mapping) else repr(value)
