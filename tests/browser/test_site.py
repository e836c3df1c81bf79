"""The static site in a real Chromium: the explorer follows every control, by keyboard too, and needs no network."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import ftlab as ft
from ftlab.lab.plots import describe

pytestmark = pytest.mark.browser
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools" / "site"))

from explorer import RATES, WARMUPS, explorer_page  # noqa: E402

RANGES = ("warmup", "decay", "lr", "step")
CHOICES = ("schedule", "head", "layers")


class Watched:
    """A page that writes down what goes wrong: messages of the console, errors, and requests to a network."""

    def __init__(self, page) -> None:
        self.page, self.troubles = page, []
        page.on("console", lambda message: self.troubles.append(message.text))
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("request", self._request)

    def _request(self, request) -> None:
        if not request.url.startswith(("file:", "data:")):
            self.troubles.append(request.url)

    def picture(self) -> str:
        return self.page.locator("#picture").inner_html()

    def said(self) -> str:
        return self.page.locator("#picture").get_attribute("aria-label")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("explorer") / "explorer.html"
    path.write_text(explorer_page(), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(params=[(1280, "light"), (800, "dark")], ids=["1280-light", "800-dark"])
def explorer(chromium, address, request):
    width, theme = request.param
    page = chromium.new_page(viewport={"width": width, "height": 1000}, color_scheme=theme)
    watched = Watched(page)
    page.goto(address)
    yield watched
    page.close()
    assert not watched.troubles


def test_the_page_draws_and_nothing_is_cut(explorer):
    page = explorer.page
    assert page.locator("#picture path.line").count() == 8  # six layers, embeddings, head
    assert page.locator("#rates tr").count() == 8
    assert page.evaluate("document.documentElement.scrollWidth") == page.viewport_size["width"]
    frame = page.locator("#picture").bounding_box()
    for text in page.locator("#picture text").all():
        box = text.bounding_box()
        assert frame["x"] <= box["x"] and box["x"] + box["width"] <= frame["x"] + frame["width"] + 1
        assert frame["y"] <= box["y"] and box["y"] + box["height"] <= frame["y"] + frame["height"] + 1


def test_every_control_is_reached_by_keyboard_and_changes_the_picture(explorer):
    page = explorer.page
    page.locator(".skip").focus()
    reached = []
    for _ in range(20):
        page.keyboard.press("Tab")
        name = page.evaluate("document.activeElement.id")
        if page.evaluate("!document.activeElement.closest('form')"):
            continue
        before = explorer.picture()
        if name == "log":
            page.keyboard.press("Space")
        elif name in CHOICES:
            page.keyboard.press("ArrowDown")
            page.keyboard.press("ArrowDown")
        else:
            assert name in RANGES
            page.keyboard.press("ArrowLeft")
            shown = page.locator(f"#{name}-value").inner_text()
            assert page.locator(f"#{name}").get_attribute("aria-valuetext") == shown != ""
        assert explorer.picture() != before, name
        reached.append(name)
    assert sorted(reached) == sorted([*RANGES, *CHOICES, "log"])


@pytest.mark.parametrize(
    "recipe",
    [
        ft.Recipe(),
        ft.Recipe(warmup=0.1, layer_decay=0.9),
        ft.Recipe(schedule="cosine_with_restarts", warmup=0.25, lr=3.5e-6, head_lr=2e-5, layer_decay=0.65),
        ft.Recipe(schedule="warmup_exp_decay_poly", warmup=0.9, lr=1e-3, layer_decay=0.0),
        ft.Recipe(model="roberta-large", schedule="inverse_sqrt", warmup=0.04, head_lr=1e-3),
    ],
    ids=lambda recipe: repr(recipe),
)
def test_the_picture_says_what_python_says_of_the_same_recipe(explorer, recipe):
    """The alternative text is made in the page, from what it holds; here it is made by the package from `preview`."""
    page = explorer.page
    layers = len(ft.preview(recipe, 27).layers) - 2
    page.select_option("#schedule", recipe.schedule)
    page.select_option("#layers", str(layers))
    page.select_option("#head", "" if recipe.head_lr is None else str(RATES.index(recipe.head_lr)))
    for name, position in (
        ("warmup", WARMUPS.index(recipe.warmup)),
        ("decay", round(100 * recipe.layer_decay)),
        ("lr", RATES.index(recipe.lr)),
    ):
        page.locator(f"#{name}").fill(str(position))
    assert explorer.said() == page.locator("#said").inner_text() == describe(ft.preview(recipe, 27))
    code = page.locator("#recipe").inner_text()
    assert eval(code.removeprefix("recipe = "), {"ft": ft}) == recipe


def test_pointing_at_the_picture_tells_the_rates_there(explorer):
    page = explorer.page
    box = page.locator("#picture").bounding_box()
    before = page.locator("#rates").inner_text()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.5 * box["height"])
    step = int(page.locator("#step-value").inner_text())
    assert 80 < step < 95
    assert page.locator("#at-step").inner_text() == f"at step {step}"
    assert page.locator("#rates").inner_text() != before


def test_the_theme_can_be_changed(explorer):
    page = explorer.page
    ground = "getComputedStyle(document.body).backgroundColor"
    line = "getComputedStyle(document.querySelector('path.line')).stroke"
    before = page.evaluate(ground), page.evaluate(line)
    page.locator("#theme").click()
    after = page.evaluate(ground), page.evaluate(line)
    assert before[0] != after[0] and before[1] != after[1]


def test_the_pages_of_the_site_work_from_a_disk(chromium, tmp_path):
    pytest.importorskip("latex2mathml", reason="latex2mathml is missing: pip install latex2mathml")
    import build_site

    build_site.build(tmp_path)
    page = chromium.new_page(viewport={"width": 800, "height": 1000}, color_scheme="dark")
    watched = Watched(page)
    page.goto((tmp_path / "index.html").as_uri())
    page.get_by_label("Search").fill("warm-up adam")
    page.locator("#hits a").first.wait_for()
    assert "section" in page.locator("#count").inner_text()
    page.locator("#hits a").first.click()
    page.wait_for_url("**/*.html#*")
    for name in ("00_start_here", "01_baseline", "03_warmup", "00_glossary", "data", "solutions/02_llrd"):
        page.goto((tmp_path / f"{name}.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == 800, name
        assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)"), name
    page.close()
    assert not watched.troubles
