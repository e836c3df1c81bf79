"""Every picture that is stored or printed: schedules, runs, parameters, predictions and data as matplotlib
figures.

A plot takes data and returns a Figure; it never trains, never shows and never touches pyplot, whose hidden
state is lost or garbled when widgets move while a cell runs. A figure shows itself as a PNG wherever it is
the last value of a cell or handed to `display`. `describe` says in one sentence what a picture shows.
"""

from ftlab.lab.plots.base import METRIC_NAMES, Picture
from ftlab.lab.plots.baseline import plot_lengths, plot_parameters, plot_predictions, plot_targets
from ftlab.lab.plots.bertadam import describe_effective, effective_lines, how_much_farther, plot_effective
from ftlab.lab.plots.compare import plot_by_layer, plot_by_step, plot_spread, plot_sweep
from ftlab.lab.plots.diagnose import plot_confusion, plot_vitals, plot_ward, vital_lines
from ftlab.lab.plots.frequent_eval import plot_choices, plot_look_example, plot_looks, plot_luck
from ftlab.lab.plots.hyperparameters import (
    describe_memory,
    memory_bars,
    memory_lines,
    plot_gradient_noise,
    plot_memory,
    plot_memory_setting,
)
from ftlab.lab.plots.llrd import describe_layer_rates, plot_layer_rates
from ftlab.lab.plots.lr_finder import describe_lr_finder, plot_lr_finder, plot_rate_grid, range_lines
from ftlab.lab.plots.reinit import plot_before_after, plot_weights
from ftlab.lab.plots.results import plot_few_samples, plot_forest, plot_two_runs
from ftlab.lab.plots.runs import (
    describe,
    loss_lines,
    plot_history,
    plot_run,
    plot_schedule,
    plot_schedules_beside,
    rate_lines,
    schedule_marks,
    score_lines,
)
from ftlab.lab.plots.swa import (
    PHASE_COLOURS,
    averaged_share,
    averaging_lines,
    averaging_phases,
    describe_averaging,
    plot_averaging,
    plot_averaging_plan,
    plot_toy_averages,
    plot_valley,
)
from ftlab.lab.plots.warmup import gallery_lines, plot_first_steps, plot_gallery, plot_warmup, warmup_lines
from ftlab.lab.plots.your_task import describe_plan, plot_plan

__all__ = [
    "METRIC_NAMES",
    "PHASE_COLOURS",
    "Picture",
    "averaged_share",
    "averaging_lines",
    "averaging_phases",
    "describe",
    "describe_averaging",
    "describe_effective",
    "describe_layer_rates",
    "describe_plan",
    "describe_lr_finder",
    "describe_memory",
    "effective_lines",
    "gallery_lines",
    "how_much_farther",
    "loss_lines",
    "memory_bars",
    "memory_lines",
    "plot_averaging",
    "plot_averaging_plan",
    "plot_before_after",
    "plot_by_layer",
    "plot_by_step",
    "plot_choices",
    "plot_confusion",
    "plot_effective",
    "plot_few_samples",
    "plot_first_steps",
    "plot_forest",
    "plot_gallery",
    "plot_gradient_noise",
    "plot_history",
    "plot_layer_rates",
    "plot_lengths",
    "plot_look_example",
    "plot_looks",
    "plot_lr_finder",
    "plot_luck",
    "plot_memory",
    "plot_memory_setting",
    "plot_parameters",
    "plot_plan",
    "plot_predictions",
    "plot_rate_grid",
    "plot_run",
    "plot_schedule",
    "plot_schedules_beside",
    "plot_spread",
    "plot_sweep",
    "plot_targets",
    "plot_toy_averages",
    "plot_two_runs",
    "plot_valley",
    "plot_vitals",
    "plot_ward",
    "plot_warmup",
    "plot_weights",
    "range_lines",
    "rate_lines",
    "schedule_marks",
    "score_lines",
    "vital_lines",
    "warmup_lines",
]
