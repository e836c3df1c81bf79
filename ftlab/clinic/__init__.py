"""The convergence clinic: what is wrong with a run that does not learn, and runs made ill on purpose."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["cases", "diagnosis", "record"],
    submod_attrs={
        "cases": [
            "BASE",
            "CASES",
            "HEALTHY",
            "Case",
            "KeptRun",
            "find",
            "load",
            "load_study",
            "padded_to_evaluate",
            "passages",
            "rare_class",
            "rare_class_in_file_order",
            "shuffled_targets",
            "start",
            "to_line",
            "two_classes",
            "two_examples",
        ],
        "diagnosis": ["ILLNESSES", "Finding", "Findings", "chance_loss", "diagnose"],
    },
)
