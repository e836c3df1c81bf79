"""ftlab: learn, teach and use advanced fine-tuning of Transformers.

    import ftlab as ft
    data = ft.load_data("passages")
    run = ft.fit(ft.Recipe(), data)

Public names are loaded when first used, so that `import ftlab` costs nothing and needs no torch.
"""

import importlib
import random

import lazy_loader

from ftlab import hooks

__version__ = "0.2.0"

_load, _names, __all__ = lazy_loader.attach(
    __name__,
    submodules=["bridges", "clinic", "data", "lab", "models", "schedules", "study", "techniques", "tuning"],
    submod_attrs={
        "bridges.model_card": ["model_card"],
        "bridges.tensorboard": ["TensorBoard"],
        "callbacks": ["Callback"],
        "clinic.diagnosis": ["diagnose"],
        "data": ["Data", "load_data"],
        "errors": ["CheckpointError", "DataError", "ExerciseError", "FtlabError", "ModelError", "RecipeError"],
        "history": ["History"],
        "lab": ["exercises", "panels", "plots"],
        "lab.check": ["check"],
        "models.references": ["references"],
        "models": ["layer_map", "load_model", "load_tokenizer"],
        "recipe": ["PAPER", "PAPER_STEPS", "Recipe"],
        "run": ["Run"],
        "schedules": ["LRSchedule", "preview"],
        "study.queue": ["Study"],
        "study.recommended": ["RECOMMENDED"],
        "study.report": ["compare"],
        "study.search": ["find_recipe"],
        "techniques": ["bertadam", "llrd", "reinit", "swa"],
        "trainer": ["fit"],
        "tuning.gradient_noise": ["accumulation_difference", "measure_gradient_noise"],
        "tuning.lr_finder": ["LRFinder", "find_lr"],
        "tuning.memory": ["estimate_memory"],
        "tuning.memory_meter": ["measure_memory"],
    },
)
# Modules that the first edition had under these names.
_FORMER = {
    "gradient_noise": "ftlab.tuning.gradient_noise",
    "hf_bridge": "ftlab.bridges.hf_trainer",
    "memory": "ftlab.tuning.memory",
    "results": "ftlab.study.report",
}


def __getattr__(name):
    state = random.getstate()
    try:
        return importlib.import_module(_FORMER[name]) if name in _FORMER else _load(name)
    finally:
        random.setstate(state)  # rich, which scikit-learn imports, draws a number


def __dir__():
    return sorted([*_names(), *_FORMER])


hooks.load_lab = lambda: importlib.import_module("ftlab.lab")
