"""The panels of notebook 10: say what is wrong with a recorded run; cure a run on the bench, beside `diagnose`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from html import escape
from types import MappingProxyType
from typing import Any

import ipywidgets
import numpy as np

from ftlab.clinic.cases import BASE, CASES, KeptRun
from ftlab.clinic.diagnosis import ILLNESSES, Findings, chance_loss, diagnose
from ftlab.errors import RecipeError
from ftlab.lab.bench import pictures, view
from ftlab.lab.bench.bench import Bench
from ftlab.lab.bench.pace import Pace
from ftlab.lab.bench.rows import Row
from ftlab.lab.chart import BLUE, GREY, INK, Chart, Line, Sheet
from ftlab.lab.panels import fields
from ftlab.lab.panels.base import Choice, Panel, Switch
from ftlab.lab.plots.diagnose import NOTHING_LEARNED, curves_sheet
from ftlab.recipe import Recipe

HEALTHY = "healthy"


def findings_html(found: Findings) -> str:
    """Write a diagnosis as one short paragraph a finding: name, evidence, what to try in order."""
    parts = [
        f"<p><b>{escape(finding.name)}</b>: {escape('; '.join(finding.evidence))}<br/><i>Try, in this order:</i> "
        f"{escape('; '.join(f'{i}. {text}' for i, text in enumerate(finding.remedies, start=1)))}</p>"
        for finding in found
    ]
    parts = parts or [f"<p><b>nothing found</b> in {escape(found.seen)}</p>"]
    parts += [f"<p><small>{escape(note)}</small></p>" for note in found.notes]
    return f'<div class="ftlab-findings" style="line-height:1.35">{"".join(parts)}</div>'


class ClinicPanel(Panel):
    """Choose a run, read its complaint and its curves, name the illness, then ask for the diagnosis.

    runs: records as from `ftlab.clinic.load`, in the order in which they are numbered. Another run hides the diagnosis
    again. The diagnosis appears above the curves, where the eyes are. Once it is shown, `recipe` and `code` are those
    of the run.
    """

    title = "The convergence clinic"

    def __init__(self, runs: Sequence[KeptRun]) -> None:
        self.runs = list(runs)
        if not self.runs:
            raise RecipeError("runs: the list is empty; give at least one record, as from clinic.load")
        numbers = {f"run {i}": i for i in range(1, len(self.runs) + 1)}
        self.run = Choice("run", "run", 1, numbers, help="a recorded run")
        self.guess = Choice(
            "guess",
            "your diagnosis",
            None,
            {"not yet": None, **{name: name for name in (*ILLNESSES, HEALTHY)}},
            help="what the curves tell you",
        )
        self.reveal = Switch("reveal", "show the diagnosis", False, help="what the rules find, and what had been done")
        self._run_shown = 1
        super().__init__(BASE, [self.run, self.guess, self.reveal])

    @property
    def record(self) -> KeptRun:
        """The run shown."""
        return self.runs[self.run.value - 1]

    def adapt(self) -> None:
        """Hide the diagnosis when another run is chosen."""
        if self._run_shown != self.run.value:
            self._run_shown = self.run.value
            self.guess.put(None)
            self.reveal.put(False)

    def changes(self) -> dict[str, Any]:
        """Return what was changed in the run's recipe, once the diagnosis is shown."""
        if not self.reveal.value:
            return {}
        return {name: new for name, (_, new) in self.record.recipe.diff(BASE).items()}

    def verdict(self) -> str:
        """Say what the diagnosis is, beside the reader's."""
        found = diagnose(self.record)
        first = found.names[0] if found else HEALTHY
        agree = "" if self.guess.value is None else f" You said: {self.guess.value}."
        return f"The rules say: {first}.{agree} The case: {self.record.case}."

    @property
    def complaint(self) -> str:
        """What the run's owner says of it."""
        return f"“{self.record.complaint or 'I only want to know whether all is well.'}”"

    def picture(self, recipe: Recipe) -> Sheet:
        """Describe the losses and the gradient's norm, with the complaint below for the stored picture."""
        sheet = curves_sheet(self.record.history, chance_loss(self.record), f"Run {self.run.value}: loss")
        return dataclasses.replace(sheet, caption=self.complaint)

    def page(self, recipe: Recipe, picture: str) -> str:
        """Put what the reader has said, or the diagnosis, above the curves."""
        if self.reveal.value:
            said = f"<p><b>{escape(self.verdict())}</b></p>{findings_html(diagnose(self.record))}"
        elif self.guess.value is not None:
            said = f"<p>You say: {escape(self.guess.value)}. Tick “show the diagnosis” to compare.</p>"
        else:
            said = "<p>What is it? Choose your diagnosis, then tick “show the diagnosis”.</p>"
        return f"{said}{picture}"


class CurePanel(Bench):
    """Choose an illness, train the run that has it, then change settings until `diagnose` finds nothing.

    The first run of a case, which changes nothing, is the sick one: the bench's baseline. `findings` is what `diagnose`
    says of the run in colour; it stands under the pictures and follows a run while it trains. The curves drawn are
    losses, in training and in validation, with the level of knowing nothing. Some illnesses lie in the data, so that
    no setting cures them: `repaired` takes the same data without the fault. case: where to start. seed: of data and
    recipe. The rules are told the validation set's targets and predictions; the test set stays closed.

    Raises RecipeError for an unknown case.
    """

    title = "Cure a run"
    main = ("case", "lr", "warmup", "batch_size", "epochs")
    hints = MappingProxyType(
        {
            "case": "what is wrong with the run",
            "lr": "peak of every layer; logarithmic",
            "warmup": "share of the run in which it rises",
            "batch_size": "examples in one pass",
            "epochs": "passes over the training set",
            "repaired": "the same texts without the fault",
        }
    )
    extra_title = "norm of the gradient over the first steps"

    def __init__(self, case: str = "rate 5e-3", seed: int = 7) -> None:
        if case not in CASES:
            raise RecipeError(f"case: {case!r} is unknown; there are {', '.join(CASES)}")
        self.data_seed, self._shown = seed, case
        self._found: dict[int, Findings] = {}
        self._sets: dict[tuple[str, bool], Any] = {}
        recipe = CASES[case].recipe(seed)
        self.case = Choice("case", "illness", case, tuple(CASES), help="which mistake the run has")
        self.repaired = Switch("repaired", "repair the data", False, help="take the data without the fault, if any")
        self.frozen = Switch("frozen", "train the head alone", recipe.group_lrs is not None, help="layers at rate 0")
        names = ("lr", "warmup", "batch_size", "epochs", "max_grad_norm")
        numbers = {name: fields.number(recipe, name) for name in names if name != "warmup"}
        numbers["warmup"] = fields.number(recipe, "warmup", value=float(recipe.warmup), step=0.01)
        self.optimizer = fields.choice(recipe, "optimizer")
        self.seed = fields.number(recipe, "seed")
        vars(self).update(numbers)
        controls = [self.case, *(numbers[name] for name in names), self.optimizer, self.frozen]
        controls += [self.repaired, self.seed]
        super().__init__(recipe, controls, data=self._case_data(), size=None)
        self.size.list.layout.display = "none"  # all of these few rows, always

    # ------------------------------------------------------------------------------------------------ for the reader

    @property
    def findings(self) -> Findings | None:
        """What `diagnose` says of the run in colour; None before the first one."""
        return None if self.current is None or self.current.history is None else self.findings_of(self.current)

    def findings_of(self, row: Row | str) -> Findings:
        """Return what `diagnose` says of a run of this bench."""
        row = self._row(row)
        found = self._found.get(id(row))
        return diagnose(row.history, row.recipe, chance=self.chance(row)) if found is None else found

    def chance(self, row: Row) -> float:
        """Compute the loss of a model that has learned nothing on a row's validation set."""
        return chance_loss(self._record(row, None))

    def train(self) -> Any:
        """Train what the controls show, in this cell; print how it went and what `diagnose` says."""
        run = super().train()
        print(self.findings)
        return run

    @property
    def code(self) -> str:
        """The Python that trains the same run."""
        changed = self.recipe.diff(self.base)
        changes = ", ".join(f"{name}={new!r}" for name, (_, new) in changed.items())
        data = "repaired" if self.repaired.value else "data"
        return (
            f"case = clinic.find({self.case.value!r})\nrecipe = case.recipe({self.data_seed})"
            + (f".but({changes})" if changes else "")
            + f"\nrun = ft.fit(recipe, case.{data}({self.data_seed}), score_test=False)"
        )

    # ------------------------------------------------------------------------------------------------------ the case

    def _case_data(self) -> Any:
        """Return the case's data, as they are or repaired; kept, so that texts are tokenised once."""
        key = self.case.value, self.repaired.value
        if key not in self._sets:
            case = CASES[self.case.value]
            made = (case.repaired if self.repaired.value else case.data)(self.data_seed)
            self._sets[key] = dataclasses.replace(made, name="a few passages")
        return self._sets[key]

    def _data(self, size: int | None) -> Any:
        return self._case_data()

    def adapt(self) -> None:
        """Take over the recipe and the data of the case chosen."""
        self.data = self._case_data()
        rows = len(self.data.split(self.fold).train)
        if rows != self._train_rows:
            self._train_rows = rows
            measured, self.pace = self.pace.measured, Pace(self.data, self.fold)
            self.pace.measured = measured
        if self._shown == self.case.value:
            return
        self._shown = self.case.value
        self.base = CASES[self.case.value].recipe(self.data_seed)
        for name, control in self.controls.items():
            if name == "frozen":
                control.default = self.base.group_lrs is not None
            elif name == "repaired":
                control.default = False
            elif name not in ("case", "size"):
                control.default = getattr(self.base, name)
            else:
                control.default = control.value
            control.put(control.default)
        for row in self.rows:
            row.drawn = row.settings["case"] == self._shown
        of_case = [row for row in self.rows if row.drawn]
        self.current = of_case[-1] if of_case else None

    def _put_all(self, values: Any) -> None:
        self.case.put(values.get("case", self.case.value))
        self.adapt()  # brings the case's own settings, which the others then replace
        super()._put_all(values)

    def reset(self) -> None:
        """Put every control back to the sick run of the case that is chosen."""
        with self._together():
            self._put_all({name: control.default for name, control in self.controls.items()} | {"case": self._shown})

    def changes(self) -> dict[str, Any]:
        """Return the recipe's fields that the controls decide; a case's rates by groups freeze its layers."""
        own = super().changes()
        if self.frozen.value:
            return {**own, "group_lrs": (0.0,), "head_lr": self.base.head_lr or self.lr.value}
        return {**own, "group_lrs": None, "head_lr": None}

    def _new_row(self) -> Row:
        row = super()._new_row()
        if self.repaired.value:  # no field of the recipe, but no sick run either
            with self.lock:
                row.changed = {**row.changed, "data": "repaired"}
                if row.name.startswith("baseline"):
                    row.name = next(n for n in (f"run {i}" for i in range(len(self.rows), 2000)) if not self._taken(n))
                self._list_rows()
        return row

    def _taken(self, name: str) -> bool:
        return any(row.name == name for row in self.rows)

    @property
    def baseline(self) -> Row | None:
        """The latest run of this case that changed nothing: the sick one."""
        sick = [row for row in self.rows if not row.changed and row.done and row.settings["case"] == self._shown]
        return sick[-1] if sick else None

    # -------------------------------------------------------------------------------------------- what diagnose says

    def _record(self, row: Row, predictions: np.ndarray | None) -> KeptRun:
        """Put together what the rules read of a row; without predictions its targets stand in for them."""
        targets = row.data.targets[row.data.split(self.fold).validation]
        given = targets if predictions is None else predictions
        made = KeptRun(row.settings["case"], row.recipe.seed, row.recipe, row.status, row.history, targets, given)
        return dataclasses.replace(made, scored="validation")

    def _predict(self, row: Row) -> np.ndarray | None:
        """Predict the validation set, classes as their numbers; None where a number is not finite."""
        data = row.data
        answers = row.run.predict([data.texts[i] for i in data.split(self.fold).validation])
        if data.labels is not None:
            return np.array([data.labels.index(answer) for answer in answers])
        return answers if np.isfinite(answers).all() else None

    def _finished(self, row: Row) -> None:
        if row.run is not None and row.done:
            predictions = self._predict(row)
            if predictions is not None:
                self._found[id(row)] = diagnose(self._record(row, predictions))
        super()._finished(row)

    def _refresh(self) -> None:
        super()._refresh()
        found = self.findings
        if found is None:
            text = f"<p><i>“{escape(CASES[self._shown].complaint)}”</i></p>"
        else:
            text = f"<b>diagnose, of {escape(self.current.name)}:</b>{findings_html(found)}"
        self._diagnosis.value = text

    def _say(self, text: str, more: str = "") -> None:
        self._cost.value = f'<div class="ftlab-two">one run <small title="{escape(more)}">{escape(text)}</small></div>'

    def arrange(self, controls: list[Any]) -> ipywidgets.Widget:
        """Put the diagnosis between the pictures and the table."""
        whole = super().arrange(controls)
        self._diagnosis = view.html()
        head, both, *rest = whole.children
        whole.children = (head, both, self._diagnosis, *rest)
        return whole

    # ---------------------------------------------------------------------------------------------------- the picture

    def picture(self, recipe: Recipe) -> Sheet:
        """Describe learning rates over losses: those of validation in place of scores, and the level of chance."""
        sheet = super().picture(recipe)
        losses = sheet.charts[1]
        lines = [line for line in losses.lines if line.marker != "circle"]
        others = [(self.baseline, GREY)] if self.baseline is not self.current else []
        for row, colour in (*others, (self.current, BLUE)):
            if row is not None and row.drawn and row.history is not None and row.history.evals:
                at, found = (np.array([e[key] for e in row.history.evals], float) for key in ("step", "loss"))
                name = f"validation, {row.name}" if row is self.current else ""
                lines.append(Line(name, at, found, colour, "5 3", 1.6, marker="circle"))
        if self.current is not None and self.current.done:
            level, end = self.chance(self.current), float(losses.x.high)
            lines.append(Line(NOTHING_LEARNED, np.array([0.0, end]), np.full(2, level), INK, "2 3", 1.4))
        note = "of each batch, smoothed; circles: validation loss"
        return dataclasses.replace(sheet, charts=[sheet.charts[0], dataclasses.replace(losses, lines=lines, note=note)])

    def stored_picture(self) -> Chart | Sheet:
        """Describe what a saved notebook shows: with what `diagnose` says first of the run in colour."""
        sheet, found = super().stored_picture(), self.findings
        if found is None:
            return sheet
        said = f"diagnose, of {self.current.name}: " + (str(found[0]) if found else "nothing found")
        said += f". Try first: {found[0].remedies[0]}" if found else ""
        return dataclasses.replace(sheet, caption=f"{said}. {sheet.caption}", sentence=f"{sheet.sentence} {said}.")

    def extra(self, recipe: Recipe) -> Chart | Sheet:
        """Describe the norm of the gradient over the first steps."""
        shown = [row for row in self.rows if row.settings["case"] == self._shown]
        return pictures.norms(shown, self.current, self.baseline)
