"""Colours stand out against the page and from one another, for readers with and without a colour vision deficiency.

Contrast: WCAG 2.1, success criteria 1.4.3 (text, 4.5:1) and 1.4.11 (lines, 3:1). Deficiencies are simulated with the
matrices of Machado, Oliveira and Fernandes (2009), "A physiologically-based model for simulation of color vision
deficiency", table for severity 1, applied to linear RGB. Differences are measured in CIELAB (CIE 1976, D65).
"""

import re
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest

from ftlab.lab import chart

LIGHT, DARK = 0, 1
# White, as stored pictures and light pages have it; JupyterLab's dark theme (layout-color0 and 1), VS Code's, GitHub's.
GROUNDS = {LIGHT: ("#ffffff",), DARK: ("#111111", "#212121", "#1e1e1e", "#0d1117")}
NAMED = {"blue": chart.BLUE, "orange": chart.ORANGE, "grey": chart.GREY, "ink": chart.INK}
SIGHT = {
    "full": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
PLAIN = 20  # a difference in CIELAB that is seen at a glance; about 2.3 can just be noticed


def linear_rgb(colour):
    """Turn "#rrggbb" into linear RGB in [0, 1] (IEC 61966-2-1)."""
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    """Return the ratio of WCAG 2.1: (L1 + 0.05) / (L2 + 0.05), the lighter first."""
    low, high = sorted(float(linear_rgb(colour) @ (0.2126, 0.7152, 0.0722)) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def lab(colour, sight="full"):
    """Return CIELAB coordinates of a colour as seen with a deficiency."""
    seen = np.clip(np.asarray(SIGHT[sight]) @ linear_rgb(colour), 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen
    share = xyz / (0.9505, 1.0, 1.089)
    f = np.where(share > 0.008856, np.cbrt(share), 7.787 * share + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def difference(one, other, sight):
    return float(np.linalg.norm(lab(one, sight) - lab(other, sight)))


def mixed(colour, opacity, ground):
    """Return the colour that a half-transparent one gives on a ground, as browsers mix them."""
    parts = [(int(colour[i : i + 2], 16), int(ground[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(over * opacity + under * (1 - opacity)):02x}" for over, under in parts)


def test_the_formulas_give_what_their_sources_print():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # WCAG's own example of just too little
    np.testing.assert_allclose(lab("#ffffff"), (100, 0, 0), atol=0.1)
    np.testing.assert_allclose(lab("#ff0000"), (53.24, 80.09, 67.20), atol=0.1)
    for sight, matrix in SIGHT.items():  # greys stay what they are
        np.testing.assert_allclose(np.sum(matrix, axis=1), 1, atol=2e-6, err_msg=sight)
    red_green = [difference("#c00000", "#6a6a00", sight) for sight in ("full", "deuteranopia")]
    assert red_green[1] < red_green[0] / 2


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("name", NAMED)
def test_lines_stand_out_against_the_page(name, theme):
    for ground in GROUNDS[theme]:
        assert contrast(NAMED[name][theme], ground) >= 3, (name, ground)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("layers", [2, 6, 12, 24])
def test_layers_stand_out_against_the_page(layers, theme):
    for colour in chart.depth_colours(layers + 1):
        for ground in GROUNDS[theme]:
            assert contrast(colour[theme], ground) >= 3, (colour[theme], ground)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_can_be_read(theme):
    """Text in charts has the page's own colour, which is JupyterLab's font colour: black or white at 87 %."""
    for ground in GROUNDS[theme]:
        ink = mixed(chart.INK[theme], 0.87, ground)
        assert contrast(ink, ground) >= 4.5, ground


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("sight", SIGHT)
def test_named_colours_differ_for_everyone(sight, theme):
    for one, other in combinations(NAMED, 2):
        seen = difference(NAMED[one][theme], NAMED[other][theme], sight)
        assert seen >= PLAIN, f"{one} and {other}: {seen:.1f}"


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("layers", [6, 12, 24])
def test_depth_is_an_order_for_everyone(layers, sight, theme):
    """From the embeddings up every layer is lighter than the one below: the order can be read without any hue."""
    colours = [colour[theme] for colour in chart.depth_colours(layers + 1)]
    lightness = [lab(colour, sight)[0] for colour in colours]
    assert all(below < above for below, above in pairwise(lightness)), np.round(lightness, 1)
    assert difference(colours[0], colours[-1], sight) >= 2 * PLAIN
    head = min(difference(chart.ORANGE[theme], colour, sight) for colour in colours)
    assert head >= 5, f"head: {head:.1f}"  # its dash tells it apart as well


def test_pages_of_the_site_can_be_read():
    """Text and links on both grounds of a page at 4.5:1; what outlines a control and the focus at 3:1."""
    css = (Path(__file__).resolve().parents[2] / "tools" / "site" / "base.css").read_text(encoding="utf-8")
    themes = re.findall(r"(?::root|html\[theme=dark\]) \{([^}]*)\}", css)
    assert len(themes) == 2
    for theme in themes:
        colour = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", theme))
        for ground in (colour["ground"], colour["raised"]):
            for name in ("ink", "quiet", "link"):
                assert contrast(colour[name], ground) >= 4.5, (name, ground)
            for name in ("rule", "focus"):
                assert contrast(colour[name], ground) >= 3, (name, ground)
