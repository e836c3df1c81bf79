"""Every picture that is stored or printed: schedules, runs, parameters, predictions and data as matplotlib figures.

A plot takes data and returns a Figure; it never trains, never shows and never touches pyplot, whose hidden state is
lost or garbled when widgets move while a cell runs. A figure shows itself as a PNG wherever it is the last value of a
cell or handed to `display`. A function named `..._chart` or `..._sheet` describes a picture that panels draw as well.
`describe` says in one sentence what a picture shows.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "baseline": ["plot_lengths", "plot_parameters", "plot_predictions", "plot_targets"],
        "bertadam": ["describe_effective", "effective_sheet", "how_much_farther"],
        "compare": ["plot_by_layer", "plot_by_step", "plot_spread", "plot_sweep"],
        "diagnose": ["curves_sheet", "plot_cases", "plot_curves", "plot_recognised"],
        "frequent_eval": ["plot_choices", "plot_looks", "plot_luck", "plot_optimism"],
        "hyperparameters": ["describe_memory", "memory_lines", "memory_sheet", "plot_gradient_noise", "plot_memory"],
        "llrd": ["describe_layer_rates", "layer_rates_sheet", "plot_moved"],
        "lr_finder": ["describe_lr_finder", "plot_lr_finder", "plot_rate_grid", "range_sheet"],
        "paired": ["plot_paired"],
        "reinit": ["before_after_sheet", "plot_weights"],
        "results": ["by_size_sheet", "plot_blocks", "plot_by_size", "plot_few_samples", "plot_forest"],
        "runs": [
            "METRIC_NAMES",
            "describe",
            "loss_chart",
            "plot_history",
            "plot_run",
            "plot_schedule",
            "plot_schedules_beside",
            "rates_chart",
            "run_sheet",
            "schedule_marks",
            "score_chart",
        ],
        "swa": [
            "averaged_share",
            "averaging_lines",
            "averaging_phases",
            "averaging_sheet",
            "describe_averaging",
            "plot_averaging",
            "plot_drift",
            "plot_line",
            "plot_toy_averages",
            "plot_valley",
        ],
        "transformer": ["plot_transformer"],
        "warmup": ["gallery_sheet", "plot_first_steps", "plot_gallery", "plot_warmup", "warmup_sheet"],
        "your_task": ["describe_plan", "plan_sheet", "plot_depth_shares", "spans_chart"],
    },
)
