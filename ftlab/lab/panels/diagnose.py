"""The panel of notebook 10: read a run's curves, name its illness, see what the rules say."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from ftlab.clinic.cases import BASE, Patient
from ftlab.clinic.diagnosis import ILLNESSES, chance_loss, diagnose
from ftlab.errors import RecipeError
from ftlab.lab.chart import Sheet
from ftlab.lab.panels.base import Choice, Panel, Switch
from ftlab.lab.plots.diagnose import vitals_sheet
from ftlab.recipe import Recipe

HEALTHY = "healthy"


class ClinicPanel(Panel):
    """Choose a patient, read the complaint and the curves, name the illness, then ask for the diagnosis.

    patients: records as from `ftlab.clinic.load`, in the order in which they are numbered. Another patient hides the
    diagnosis again. Once it is shown, `recipe` and `code` are those of the patient.
    """

    title = "The convergence clinic"

    def __init__(self, patients: Sequence[Patient]) -> None:
        self.patients = list(patients)
        if not self.patients:
            raise RecipeError("patients: the list is empty; give at least one record, as from clinic.load")
        numbers = {f"patient {i}": i for i in range(1, len(self.patients) + 1)}
        self.patient = Choice("patient", "patient", 1, numbers, help="a recorded run")
        self.guess = Choice(
            "guess",
            "your diagnosis",
            None,
            {"not yet": None, **{name: name for name in (*ILLNESSES, HEALTHY)}},
            help="what the curves tell you",
        )
        self.reveal = Switch("reveal", "show the diagnosis", False, help="what the rules find, and what had been done")
        self._patient_shown = 1
        super().__init__(BASE, [self.patient, self.guess, self.reveal])

    @property
    def record(self) -> Patient:
        """The patient shown."""
        return self.patients[self.patient.value - 1]

    def adapt(self) -> None:
        """Hide the diagnosis when another patient comes in."""
        if self._patient_shown != self.patient.value:
            self._patient_shown = self.patient.value
            self.guess.put(None)
            self.reveal.put(False)

    def changes(self) -> dict[str, Any]:
        """Return what was changed in the patient's recipe, once the diagnosis is shown."""
        if not self.reveal.value:
            return {}
        return {name: new for name, (_, new) in self.record.recipe.diff(BASE).items()}

    def verdict(self) -> str:
        """Say what the diagnosis is, beside the reader's."""
        found = diagnose(self.record)
        first = found.names[0] if found else HEALTHY
        agree = "" if self.guess.value is None else f" You said: {self.guess.value}."
        return f"The rules say: {first}.{agree} The case: {self.record.case}."

    def picture(self, recipe: Recipe) -> Sheet:
        """Describe the losses and the gradient's norm."""
        title = f"Patient {self.patient.value}: loss"
        return vitals_sheet(self.record.history, chance_loss(self.record), title)

    def page(self, recipe: Recipe, picture: str) -> str:
        """Put the complaint above the curves and below them, once asked for, the diagnosis."""
        complaint = self.record.complaint or "I only came for a check-up."
        parts = [f"<p><i>“{escape(complaint)}”</i></p>", picture]
        if self.reveal.value:
            table = escape(repr(diagnose(self.record)))
            parts.append(f"<p><b>{escape(self.verdict())}</b></p>")
            parts.append(f'<pre style="overflow-x:auto;font-size:11px;line-height:1.3">{table}</pre>')
        elif self.guess.value is not None:
            parts.append(f"<p>You say: {escape(self.guess.value)}. Tick “show the diagnosis” to compare.</p>")
        return "".join(parts)
