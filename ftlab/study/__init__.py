"""Studies: recipes x folds x seeds trained by many workers, and what their results allow to say."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "arms",
        "cells",
        "optimism",
        "plan",
        "plan_report",
        "queue",
        "recommended",
        "report",
        "search",
        "statistics",
        "storage",
        "train",
        "workers",
    ],  # fmt: skip
    submod_attrs={
        "arms": ["FEW_SAMPLES", "PAIRS", "TECHNIQUES"],
        "cells": ["load_cells"],
        "optimism": ["expected_minimum", "kept_looks", "rmse_noise", "simulate_looks"],
        "queue": ["Progress", "Study"],
        "report": [
            "changes_text",
            "command",
            "compare",
            "failed_runs",
            "few_sample_table",
            "main_table",
        ],
        "search": ["Found", "find_recipe"],
        "plan_report": ["confirmation", "confirmation_text"],
        "statistics": [
            "PairedT",
            "bootstrap_interval",
            "holm",
            "paired_differences",
            "paired_t",
            "share_interval",
            "sign_flip_p",
        ],
        "train": ["Cell", "run_cell"],
    },
)
