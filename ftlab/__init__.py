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
    submodules=[
        "bertadam",
        "clinic",
        "exercises",
        "gradient_noise",
        "hf_bridge",
        "llrd",
        "memory",
        "models",
        "panels",
        "plots",
        "reinit",
        "results",
        "schedules",
        "swa",
    ],
    submod_attrs={
        "card": ["model_card"],
        "data": ["Data", "load_data"],
        "diagnose": ["diagnose"],
        "environment": ["check"],
        "errors": [
            "CheckpointError",
            "DataError",
            "ExerciseError",
            "FtlabError",
            "ModelError",
            "RecipeError",
        ],
        "gradient_noise": ["accumulation_difference", "measure_gradient_noise"],
        "history": ["Callback", "History"],
        "lr_finder": ["LRFinder", "find_lr"],
        "memory": ["estimate_memory"],
        "memory_meter": ["measure_memory"],
        "models": ["layer_map", "load_model", "load_tokenizer"],
        "recipe": ["PAPER", "Recipe"],
        "results": ["compare"],
        "run": ["Run"],
        "schedules": ["LRSchedule", "preview"],
        "search": ["find_recipe"],
        "study": ["Study"],
        "tensorboard": ["TensorBoard"],
        "trainer": ["fit"],
    },
)
