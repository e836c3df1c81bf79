"""What a notebook shows: pictures, live curves, panels, exercises.

Imported only when something is to be shown; it then provides the core with what `ftlab.hooks` asks for.
"""

import sys
from typing import Any

import lazy_loader

from ftlab import hooks

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submodules=["bench", "chart", "check", "exercises", "figure", "live", "panels", "plots", "still", "svg"]
)


def _plot(name: str) -> Any:
    """Return a function that draws; matplotlib is loaded when it is called."""
    return lambda *arguments: getattr(sys.modules[__name__].plots, name)(*arguments)


hooks.provide(
    **{name: _plot(name) for name in ("plot_schedule", "plot_run", "plot_lr_finder")},
    live_callback=lambda mode: sys.modules[__name__].live.live_callback(mode),
)
