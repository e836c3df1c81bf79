"""What the core asks of the laboratory without knowing it: a picture of a run, curves that grow while it trains.

`ftlab.lab` provides functions here by name; the core calls them by name. So nothing in the core imports a plot, and
`import ftlab` loads none: `ftlab/__init__.py` sets `load_lab`, which is called when the first name is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_provided: dict[str, Callable[..., Any]] = {}


def load_lab() -> None:
    """Import `ftlab.lab`, which provides its functions; `ftlab/__init__.py` puts the real function in this place."""


def provide(**functions: Callable[..., Any]) -> None:
    """Make functions known under their names; a later one takes the place of an earlier one."""
    _provided.update(functions)


def call(name: str, *arguments: Any) -> Any:
    """Call the function provided under a name."""
    if name not in _provided:
        load_lab()
    return _provided[name](*arguments)
