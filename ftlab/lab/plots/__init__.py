"""Every picture that is stored or printed: schedules, runs, parameters, predictions and data as matplotlib figures.

A plot takes data and returns a Figure; it never trains, never shows and never touches pyplot, whose hidden state is
lost or garbled when widgets move while a cell runs. A figure shows itself as a PNG wherever it is the last value of a
cell or handed to `display`. A function named `..._chart` or `..._sheet` describes a picture that panels draw as well.
`describe` says in one sentence what a picture shows.
"""

from ftlab.lab.figure import Picture
from ftlab.lab.plots.baseline import plot_lengths, plot_parameters, plot_predictions, plot_targets
from ftlab.lab.plots.bertadam import describe_effective, effective_sheet, how_much_farther
from ftlab.lab.plots.compare import plot_by_layer, plot_by_step, plot_spread, plot_sweep
from ftlab.lab.plots.diagnose import plot_confusion, plot_vitals, plot_ward, vitals_sheet
from ftlab.lab.plots.frequent_eval import plot_choices, plot_looks, plot_luck
from ftlab.lab.plots.hyperparameters import (
    describe_memory,
    memory_lines,
    memory_sheet,
    plot_gradient_noise,
    plot_memory,
)
from ftlab.lab.plots.llrd import describe_layer_rates, layer_rates_sheet
from ftlab.lab.plots.lr_finder import describe_lr_finder, plot_lr_finder, plot_rate_grid, range_sheet
from ftlab.lab.plots.reinit import before_after_sheet, plot_weights
from ftlab.lab.plots.results import plot_few_samples, plot_forest
from ftlab.lab.plots.runs import (
    METRIC_NAMES,
    describe,
    loss_chart,
    plot_history,
    plot_run,
    plot_schedule,
    plot_schedules_beside,
    rates_chart,
    run_sheet,
    schedule_marks,
    score_chart,
)
from ftlab.lab.plots.swa import (
    averaged_share,
    averaging_lines,
    averaging_phases,
    averaging_sheet,
    describe_averaging,
    plot_averaging,
    plot_toy_averages,
    plot_valley,
)
from ftlab.lab.plots.warmup import gallery_sheet, plot_first_steps, plot_gallery, plot_warmup, warmup_sheet
from ftlab.lab.plots.your_task import describe_plan, plan_sheet

__all__ = [
    "METRIC_NAMES",
    "Picture",
    "averaged_share",
    "averaging_lines",
    "averaging_phases",
    "averaging_sheet",
    "before_after_sheet",
    "describe",
    "describe_averaging",
    "describe_effective",
    "describe_layer_rates",
    "describe_lr_finder",
    "describe_memory",
    "describe_plan",
    "effective_sheet",
    "gallery_sheet",
    "how_much_farther",
    "layer_rates_sheet",
    "loss_chart",
    "memory_lines",
    "memory_sheet",
    "plan_sheet",
    "plot_averaging",
    "plot_by_layer",
    "plot_by_step",
    "plot_choices",
    "plot_confusion",
    "plot_few_samples",
    "plot_first_steps",
    "plot_forest",
    "plot_gallery",
    "plot_gradient_noise",
    "plot_history",
    "plot_lengths",
    "plot_looks",
    "plot_lr_finder",
    "plot_luck",
    "plot_memory",
    "plot_parameters",
    "plot_predictions",
    "plot_rate_grid",
    "plot_run",
    "plot_schedule",
    "plot_schedules_beside",
    "plot_spread",
    "plot_sweep",
    "plot_targets",
    "plot_toy_averages",
    "plot_valley",
    "plot_vitals",
    "plot_ward",
    "plot_warmup",
    "plot_weights",
    "range_sheet",
    "rates_chart",
    "run_sheet",
    "schedule_marks",
    "score_chart",
    "vitals_sheet",
    "warmup_sheet",
]
