"""The picture that is stored: a sheet drawn by matplotlib, which is loaded only then.

A panel's first picture, and every one that moves, does without (`ftlab.lab.svg`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ftlab.lab.chart import Chart, Sheet
    from ftlab.lab.figure import Picture


def draw(picture: Chart | Sheet, width: float | None = None) -> Picture:
    """Draw a chart, or a sheet of several, as a matplotlib figure `width` pixels wide (default: the sheet's own)."""
    from ftlab.lab import figure

    return figure.draw(picture, width)
