"""ftlab: learn, teach and use advanced fine-tuning of Transformers.

    import ftlab as ft
    data = ft.load_data("passages")
    run = ft.fit(ft.Recipe(), data)

Public names are loaded when first used, so that `import ftlab` costs nothing and needs no torch.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["bertadam", "exercises", "llrd", "models", "panels", "plots", "reinit", "schedules", "swa"],
    submod_attrs={
        "data": ["Data", "load_data"],
        "environment": ["check"],
        "errors": [
            "CheckpointError",
            "DataError",
            "ExerciseError",
            "FtlabError",
            "ModelError",
            "RecipeError",
        ],
        "history": ["Callback", "History"],
        "models": ["layer_map", "load_model", "load_tokenizer"],
        "recipe": ["PAPER", "Recipe"],
        "run": ["Run"],
        "schedules": ["LRSchedule", "preview"],
        "trainer": ["fit"],
    },
)
