"""Panels: controls that change a recipe and a picture that moves with them, one panel a technique.

Needs ipywidgets (`pip install 'ipywidgets>=8.1,<9'`); everything else in ftlab works without.
"""

from ftlab.panels.base import Choice, Number, Panel, Switch
from ftlab.panels.schedule import SchedulePanel

__all__ = ["Choice", "Number", "Panel", "SchedulePanel", "Switch"]
