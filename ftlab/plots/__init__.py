"""Every picture that is stored or printed: schedules, runs, parameters, predictions and data as matplotlib
figures.

A plot takes data and returns a Figure; it never trains, never shows and never touches pyplot, whose hidden
state is lost or garbled when widgets move while a cell runs. A figure shows itself as a PNG wherever it is
the last value of a cell or handed to `display`. `describe` says in one sentence what a picture shows.
"""

from ftlab.plots.base import METRIC_NAMES, Picture
from ftlab.plots.baseline import plot_lengths, plot_parameters, plot_predictions, plot_targets
from ftlab.plots.compare import plot_by_layer, plot_by_step, plot_spread, plot_sweep
from ftlab.plots.frequent_eval import plot_choices, plot_look_example, plot_looks, plot_luck
from ftlab.plots.llrd import describe_layer_rates, plot_layer_rates
from ftlab.plots.reinit import plot_before_after, plot_weights
from ftlab.plots.runs import (
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
from ftlab.plots.swa import (
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
from ftlab.plots.warmup import gallery_lines, plot_first_steps, plot_gallery, plot_warmup, warmup_lines

__all__ = [
    "METRIC_NAMES",
    "PHASE_COLOURS",
    "Picture",
    "averaged_share",
    "averaging_lines",
    "averaging_phases",
    "describe",
    "describe_averaging",
    "describe_layer_rates",
    "gallery_lines",
    "loss_lines",
    "plot_averaging",
    "plot_averaging_plan",
    "plot_before_after",
    "plot_by_layer",
    "plot_by_step",
    "plot_choices",
    "plot_first_steps",
    "plot_gallery",
    "plot_history",
    "plot_layer_rates",
    "plot_lengths",
    "plot_look_example",
    "plot_looks",
    "plot_luck",
    "plot_parameters",
    "plot_predictions",
    "plot_run",
    "plot_schedule",
    "plot_schedules_beside",
    "plot_spread",
    "plot_sweep",
    "plot_targets",
    "plot_toy_averages",
    "plot_valley",
    "plot_warmup",
    "plot_weights",
    "rate_lines",
    "schedule_marks",
    "score_lines",
    "warmup_lines",
]
