"""Panels: controls that change a recipe and a picture that moves with them, one panel a technique.

Needs ipywidgets (`pip install 'ipywidgets>=8.1,<9'`); everything else in ftlab works without.
"""

from ftlab.panels.base import Choice, Number, Panel, Switch
from ftlab.panels.bertadam import BertAdamPanel
from ftlab.panels.diagnose import ClinicPanel
from ftlab.panels.frequent_eval import FrequentEvalPanel
from ftlab.panels.llrd import LLRDPanel
from ftlab.panels.lr_finder import LRFinderPanel
from ftlab.panels.memory import MemoryPanel
from ftlab.panels.reinit import ReinitPanel
from ftlab.panels.results import ResultsPanel
from ftlab.panels.schedule import SchedulePanel
from ftlab.panels.swa import SWAPanel
from ftlab.panels.warmup import WarmupPanel
from ftlab.panels.your_task import YourTaskPanel

__all__ = [
    "BertAdamPanel",
    "Choice",
    "ClinicPanel",
    "FrequentEvalPanel",
    "LLRDPanel",
    "LRFinderPanel",
    "MemoryPanel",
    "Number",
    "Panel",
    "ReinitPanel",
    "ResultsPanel",
    "SWAPanel",
    "SchedulePanel",
    "Switch",
    "WarmupPanel",
    "YourTaskPanel",
]
