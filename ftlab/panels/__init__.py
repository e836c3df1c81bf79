"""Panels: controls that change a recipe and a picture that moves with them, one panel a technique.

Needs ipywidgets (`pip install 'ipywidgets>=8.1,<9'`); everything else in ftlab works without.
"""

from ftlab.panels.base import Choice, Number, Panel, Switch
from ftlab.panels.frequent_eval import FrequentEvalPanel
from ftlab.panels.llrd import LLRDPanel
from ftlab.panels.reinit import ReinitPanel
from ftlab.panels.schedule import SchedulePanel
from ftlab.panels.swa import SWAPanel
from ftlab.panels.warmup import WarmupPanel

__all__ = [
    "Choice",
    "FrequentEvalPanel",
    "LLRDPanel",
    "Number",
    "Panel",
    "ReinitPanel",
    "SWAPanel",
    "SchedulePanel",
    "Switch",
    "WarmupPanel",
]
