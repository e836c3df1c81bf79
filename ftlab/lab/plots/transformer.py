"""The drawing of a Transformer for the whole series: which part of model or training step each notebook is about."""

from __future__ import annotations

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle

from ftlab.errors import RecipeError
from ftlab.lab.chart import BLUE, GREY, INK, ORANGE, depth_colours
from ftlab.lab.figure import POINT, Picture
from ftlab.lab.layout import SIZES

WIDTH, HEIGHT = 848, 556
SUBJECTS = {
    "01": "the head, and the step that repeats",
    "02": "every layer's learning rate",
    "03": "the schedule of the rates",
    "04": "the top layers' weights",
    "05": "the mean of the weights over steps",
    "06": "when the model is scored",
    "08": "batch, dropout, weight decay",
    "09": "the optimizer's update",
    "10": "what the history tells",
}
"""{notebook: what it changes or reads in the drawing}; 07 compares whole runs, 11 takes all of it to another task."""
DECAY = 0.75  # of the sketched rates, from layer to layer


def plot_transformer(point_at: str | None = None) -> Picture:
    """Draw model, one layer and one training step, with the number of each notebook at the part that it is about.

    point_at: a notebook, such as "02": its parts are outlined and the other numbers step back. Raises RecipeError for a
    notebook that is not in the drawing.
    """
    if point_at is not None and point_at not in SUBJECTS:
        raise RecipeError(f"point_at: {point_at!r} is not in the drawing; there are {', '.join(SUBJECTS)}")
    about = "" if point_at is None else f" Outlined is what notebook {point_at} is about: {SUBJECTS[point_at]}."
    sentence = (
        "A Transformer in three parts. The model, from the bottom: a text is cut into tokens, embeddings turn each "
        "into a vector, six layers follow, and the head on top mixes the outputs of all depths into one number. Inside "
        "one layer: attention, in which the tokens read one another, then feed-forward for each token alone; around "
        "each of the two a residual connection adds the input again, and LayerNorm follows. One training step: batch, "
        "loss, gradient, optimizer, and now and then a validation score. Numbers name the notebooks: "
        + "; ".join(f"{number} {subject}" for number, subject in SUBJECTS.items())
        + f".{about}"
    )
    drawing = _Drawing(point_at, Picture(WIDTH, HEIGHT, name="a Transformer and its training step", sentence=sentence))
    drawing.model()
    drawing.layer()
    drawing.step()
    return drawing.figure


class _Drawing:
    """Boxes, arrows and texts in pixels from the top left corner."""

    def __init__(self, point_at: str | None, figure: Picture) -> None:
        self.point_at, self.figure = point_at, figure
        self.axes = figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, WIDTH), ylim=(HEIGHT, 0))
        self.axes.set_axis_off()

    # ------------------------------------------------------------------------------------------------ the three parts

    def model(self) -> None:
        """Draw the tower from the text to the number."""
        left, right, bus = 112, 262, 84
        self.title(20, "The model", "head on top")
        colours = [colour for colour, _ in depth_colours(7)]
        tops = [118 + 44 * i for i in range(7)]  # layer.5 down to the embeddings
        self.arrow((187, 66), (187, 54))
        self.text(187, 48, "ease of reading: +1.9", "middle")
        self.box(left, 66, right, 100, ORANGE[0], "head", "mixes all depths", filled=True, parts=("01",))
        for i, top in enumerate(tops):
            name = "embeddings" if i == 6 else f"layer.{5 - i}"
            parts = () if i == 6 else ("04",) if i < 2 else ()
            self.box(left, top, right, top + 30, colours[6 - i], name, filled=True, parts=parts)
            self.arrow((187, top), (187, top - (18 if i == 0 else 14)))
            self.line([(187, top - 7), (bus, top - 7)], GREY[0], 0.9, dash=(2, 2))
        self.line([(bus, tops[-1] - 7), (bus, 83)], GREY[0], 0.9, dash=(2, 2))
        self.arrow((bus, 83), (left - 1, 83), GREY[0])
        self.text(bus - 9, 244, "every depth's output", "middle", GREY[0], rotation=90)
        words = ["[CLS]", "the", "hen", "has", "an", "egg", ".", "[SEP]"]
        widths, x = [38, 26, 28, 26, 22, 28, 16, 38], 68.0
        for word, width in zip(words, widths, strict=True):
            self.axes.add_patch(Rectangle((x, 434), width, 20, facecolor="#F0F0F0", edgecolor=GREY[0], linewidth=0.6))
            self.text(x + width / 2, 448, word, "middle", size=10)
            x += width + 3
        self.arrow((187, 432), (187, tops[-1] + 31))
        self.arrow((187, 472), (187, 456))
        self.text(187, 486, "“The hen has an egg.”", "middle")
        self.text(270, 68, "rate", colour=GREY[0])
        for i, rate in enumerate([1.0, *(DECAY**k for k in range(7))]):
            y = 83 if i == 0 else tops[i - 1] + 15
            colour = ORANGE[0] if i == 0 else colours[7 - i]
            outlined = self.point_at == "02"
            self.axes.add_patch(Rectangle((270, y - 4), 46 * rate, 8, facecolor=colour, linewidth=2 * outlined,
                                          edgecolor=ORANGE[0] if outlined else "none"))  # fmt: skip
        self.badge(308, 64, "02")
        self.badge(left - 2, tops[0] + 1, "04")
        self.badge(left - 2, tops[1] + 1, "04")
        self.badge(left - 2, 64, "01")

    def layer(self) -> None:
        """Draw the inside of a layer, with its residual connections."""
        left, right, middle, side = 396, 540, 468, 376
        self.title(352, "Inside one layer", "of six")
        zoom = [(262, 206), (352, 40), (352, 474), (262, 236)]
        self.axes.add_patch(Polygon(zoom, facecolor=BLUE[0], alpha=0.10, linewidth=0, zorder=0))
        frame = FancyBboxPatch((352, 40), 212, 434, boxstyle="round,pad=0,rounding_size=8", facecolor="none",
                               edgecolor=GREY[0], linewidth=0.8)  # fmt: skip
        self.axes.add_patch(frame)
        halves = [(84, "feed-forward", "each token by itself"), (284, "attention", "tokens read one another")]
        for top, name, note in halves:
            self.box(left, top, right, top + 24, GREY[0], "LayerNorm")
            self.arrow((middle, top + 44), (middle, top + 25))
            self.axes.add_patch(Circle((middle, top + 52), 9, facecolor="white", edgecolor=INK[0], linewidth=1))
            self.text(middle, top + 57, "+", "middle", size=15)
            self.arrow((middle, top + 78), (middle, top + 62))
            self.box(left, top + 78, right, top + 120, BLUE[0], name, note, parts=("08",))
            self.arrow((middle, top + (190 if top == 284 else 200)), (middle, top + 121))
            y = top + 150
            self.line([(middle, y), (side, y), (side, top + 52), (middle - 10, top + 52)], INK[0], 1.3)
            self.arrow((middle - 16, top + 52), (middle - 10, top + 52))
            self.text(side - 6, top + 100, "residual", "middle", rotation=90)
        self.arrow((middle, 84), (middle, 52))
        self.text(middle, 492, "weight decay: matrices only", "middle", GREY[0])
        self.text(middle, 507, "dropout: after each of the two", "middle", GREY[0])
        self.badge(right, 162, "08")
        self.badge(right, 362, "08")

    def step(self) -> None:
        """Draw what a training step does."""
        left, right, middle = 604, 796, 700
        self.title(594, "One training step", "27 an epoch")
        boxes = [
            (52, "batch", "16 texts with their targets", ("01", "08")),
            (116, "loss", "how far off the head is", ("01",)),
            (180, "gradient", "of every weight, clipped", ("01",)),
            (244, "optimizer", "direction × learning rate", ("01", "09")),
            (308, "weights", "of this step", ("01",)),
        ]
        for top, name, note, parts in boxes:
            self.box(left, top, right, top + 42, BLUE[0], name, note, parts=parts)
        for top in (94, 158, 222, 286):
            self.arrow((middle, top), (middle, top + 21))
        again = [(right, 329), (826, 329), (826, 73), (right + 2, 73)]
        self.line(again, INK[0], 1.3)
        self.arrow((right + 12, 73), (right + 1, 73))
        self.text(836, 202, "next step", "middle", rotation=270)
        self.line([(652, 350), (652, 380)], GREY[0], 1.0, dash=(2, 2))
        self.line([(748, 350), (748, 380)], GREY[0], 1.0, dash=(2, 2))
        self.box(left, 380, 694, 422, GREY[0], "average", "of the weights", parts=("05",))
        self.box(706, 380, right, 422, GREY[0], "score", "on validation", parts=("06",))
        self.box(left, 440, right, 474, GREY[0], "history", "loss, norm, rates, scores", parts=("10",))
        # the schedule that the optimizer reads
        x, top = 572, 300
        self.line([(x, 265), (x + 31, 265)], INK[0], 1.3)
        self.arrow((x + 22, 265), (x + 31, 265))
        self.line([(x, 265), (x, top - 4)], INK[0], 1.3)
        rectangle = (x - 2, top - 4)
        edge, width = (ORANGE[0], 2.6) if self.point_at == "03" else (GREY[0], 0.8)
        self.axes.add_patch(Rectangle(rectangle, 30, 30, facecolor="white", edgecolor=edge, linewidth=width, zorder=3))
        self.line([(x + 1, top + 22), (x + 6, top + 2), (x + 25, top + 22)], ORANGE[0], 1.8, zorder=4)
        for badge in ((right, 52, "08"), (right, 244, "09"), (x + 28, top + 26, "03"), (left, 380, "05"),
                      (right, 380, "06"), (right, 440, "10")):  # fmt: skip
            self.badge(*badge)
        caption = (
            "01 trains all of this for real, 07 compares whole runs, 11 takes it to your own texts; every other number "
            "is the notebook about that part."
            if self.point_at is None
            else f"Outlined is what this notebook is about: {SUBJECTS[self.point_at]}."
        )
        self.text(20, 530, caption, colour=GREY[0])

    # ---------------------------------------------------------------------------------------------------- primitives

    def title(self, x: float, title: str, note: str) -> None:
        """Write a heading with a quiet remark behind it."""
        written = self.axes.text(x, 20, title, fontsize=POINT * SIZES["title"], fontweight="bold", va="baseline")
        self.axes.annotate(note, (1, 0), xycoords=written, xytext=(4, 0), textcoords="offset points",
                           fontsize=POINT * SIZES["label"], color=GREY[0], va="bottom")  # fmt: skip

    def text(
        self, x: float, y: float, text: str, anchor: str = "start", colour: str = INK[0], rotation: float = 0, size=None
    ) -> None:
        """Write a line of text, its base line at y, or its middle where it is rotated."""
        ha, va = {"start": "left", "middle": "center"}[anchor], "center" if rotation else "baseline"
        self.axes.text(x, y, text, fontsize=POINT * (size or SIZES["tick"]), color=colour, ha=ha, va=va,
                       rotation=rotation, zorder=5)  # fmt: skip

    def box(
        self, left: float, top: float, right: float, bottom: float, colour: str, name: str, note: str = "",
        *, filled: bool = False, parts: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        """Draw a box with its name; full of its colour, or white with an edge of it. parts: notebooks it belongs to."""
        outlined = self.point_at in parts
        edge = (INK if filled else ORANGE)[0] if outlined else colour
        self.axes.add_patch(
            FancyBboxPatch(
                (left, top), right - left, bottom - top, boxstyle="round,pad=0,rounding_size=5", edgecolor=edge,
                facecolor=colour if filled else "white", linewidth=3 if outlined else 1.2, zorder=2,
            )
        )  # fmt: skip
        ink, middle = _ink_on(colour) if filled else INK[0], (left + right) / 2
        if note:
            self.axes.text(middle, (top + bottom) / 2 - 2, name, ha="center", va="bottom", color=ink, zorder=5,
                           fontsize=POINT * SIZES["label"], fontweight="bold")  # fmt: skip
            self.axes.text(middle, (top + bottom) / 2 + 1, note, ha="center", va="top", color=ink, zorder=5,
                           fontsize=POINT * 10.5)  # fmt: skip
        else:
            self.axes.text(middle, (top + bottom) / 2, name, ha="center", va="center", color=ink, zorder=5,
                           fontsize=POINT * SIZES["label"])  # fmt: skip

    def line(self, points: list[tuple[float, float]], colour: str, width: float, dash=None, zorder: float = 1) -> None:
        """Draw a line through the points."""
        x, y = zip(*points, strict=True)
        style = (0, dash) if dash else "-"
        self.axes.add_line(Line2D(x, y, color=colour, linewidth=width, linestyle=style, zorder=zorder))

    def arrow(self, start: tuple[float, float], end: tuple[float, float], colour: str = INK[0]) -> None:
        """Draw an arrow."""
        self.axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=8, color=colour, linewidth=1.3,
                                            shrinkA=0, shrinkB=0, zorder=1))  # fmt: skip

    def badge(self, x: float, y: float, number: str) -> None:
        """Put a notebook's number at a corner of its part."""
        chosen = self.point_at in (None, number)
        colour = ORANGE[0] if chosen else "#D0D0D0"
        self.axes.add_patch(Circle((x, y), 10, facecolor=colour, edgecolor="white", linewidth=1.2, zorder=6))
        self.axes.text(x, y, number, ha="center", va="center_baseline", color="white" if chosen else GREY[0], zorder=7,
                       fontsize=POINT * 10.5, fontweight="bold")  # fmt: skip


def _ink_on(colour: str) -> str:
    """Choose white or black text for a ground, by its relative luminance (WCAG 2.1): 4.5:1 or more."""
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return "white" if 1.05 / (linear @ (0.2126, 0.7152, 0.0722) + 0.05) >= 4.5 else "black"
