"""Panels: controls that change a recipe and a picture that moves with them, one panel a technique.

Needs ipywidgets (`pip install 'ipywidgets>=8.1,<9'`); everything else in ftlab works without. A panel is loaded when it
is first used: most need no torch, and the first picture need not wait for it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "base": ["Choice", "Number", "Panel", "Switch"],
        "bertadam": ["BertAdamPanel"],
        "diagnose": ["ClinicPanel", "CurePanel"],
        "frequent_eval": ["FrequentEvalPanel"],
        "hyperparameters": ["HyperparametersPanel"],
        "llrd": ["LLRDPanel"],
        "lr_finder": ["LRFinderPanel"],
        "memory": ["MemoryPanel"],
        "reinit": ["ReinitPanel"],
        "results": ["ResultsPanel"],
        "schedule": ["SchedulePanel"],
        "swa": ["SWAPanel"],
        "warmup": ["WarmupPanel"],
        "your_task": ["OwnFilePanel", "YourTaskPanel"],
    },
)
