"""The static site in a real Chromium: the explorer follows every control, shows the runs, and needs no network."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import ftlab as ft
from ftlab.checks import number
from ftlab.lab.chart import smooth, smoothing_window
from ftlab.lab.plots import describe
from ftlab.study.first_edition import recipe_of

pytestmark = pytest.mark.browser
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "site"))

from explorer import RATES, WARMUPS, explorer_page  # noqa: E402

RANGES = ("warmup", "decay", "lr", "step")
CHOICES = ("size", "recipe", "place", "seed", "schedule", "head", "layers")


def committed(file, name, seed, **fields):
    """Find a cell of a file of results."""
    for line in (ROOT / "data" / "results" / f"{file}.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if (record["name"], record["seed"]) == (name, seed) and fields.items() <= record.items():
            return record
    raise LookupError(f"{file}: {name}, seed {seed}, {fields}")


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
        return self.page.locator("#picture").inner_html() + self.page.locator("#loss").inner_html()

    def said(self, picture: str = "picture") -> str:
        return self.page.locator(f"#{picture}").get_attribute("aria-label")

    def choose(self, **values: str) -> None:
        for name, value in values.items():
            self.page.select_option(f"#{name}", value)

    def free(self, recipe) -> None:
        """Set the controls of the rates to a recipe."""
        self.page.evaluate("document.getElementById('more').open = true")
        self.choose(schedule=recipe.schedule, head="" if recipe.head_lr is None else str(RATES.index(recipe.head_lr)))
        self.choose(layers=str(len(ft.preview(recipe, 27).layers) - 2))
        for name, position in (
            ("warmup", WARMUPS.index(recipe.warmup)),
            ("decay", round(100 * recipe.layer_decay)),
            ("lr", RATES.index(recipe.lr)),
        ):
            self.page.locator(f"#{name}").fill(str(position))

    def points(self, path: str) -> np.ndarray:
        """Return (x, y) of a line of the picture of the loss in its own units, by the axes written beside it."""
        texts = self.page.locator("#loss text").evaluate_all(
            "all => all.map(text => [text.textContent, text.getAttribute('text-anchor'), +text.getAttribute('x'), "
            "+text.getAttribute('y')])"
        )
        up = [(float(text), y - 4) for text, anchor, _, y in texts if anchor == "end"]
        across = [(float(text), x) for text, anchor, x, _ in texts if anchor == "middle" and text.isdigit()]
        found = np.array(re.findall(r"([\d.]+),([\d.]+)", self.page.locator(path).get_attribute("d")), dtype=float)
        x = np.polyval(np.polyfit([px for _, px in across], [step for step, _ in across], 1), found[:, 0])
        y = np.polyval(np.polyfit([py for _, py in up], [value for value, _ in up], 1), found[:, 1])
        return np.stack([x, y], axis=1)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("explorer") / "explorer.html"
    path.write_text(explorer_page(), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(params=[(1280, "light"), (800, "dark"), (420, "light")], ids=["1280-light", "800-dark", "420-light"])
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
    assert page.locator("#picture path.line[clip-path]").count() == 8  # six layers, embeddings, head
    assert page.locator("#rates tr").count() == 8
    assert page.evaluate("document.documentElement.scrollWidth") == page.viewport_size["width"]
    for case in ({}, {"recipe": "all"}, {"size": "1", "recipe": "longer"}, {"size": "4", "recipe": "swa"}):
        explorer.choose(**case)
        for picture in ("#picture", "#loss"):
            frame = page.locator(picture).bounding_box()
            for text in page.locator(f"{picture} text").all():
                box = text.bounding_box()
                assert frame["x"] <= box["x"] + 1 and box["x"] + box["width"] <= frame["x"] + frame["width"] + 1
                assert frame["y"] <= box["y"] + 1 and box["y"] + box["height"] <= frame["y"] + frame["height"] + 1


def test_the_picture_comes_first_on_a_phone_and_stands_beside_the_controls_elsewhere(explorer):
    page = explorer.page
    stage, controls = (page.locator(name).bounding_box() for name in ("#stage", ".controls"))
    assert page.evaluate("document.documentElement.scrollWidth") == page.viewport_size["width"]
    if page.viewport_size["width"] > 700:
        assert controls["x"] + controls["width"] <= stage["x"] and abs(controls["y"] - stage["y"]) < 1
        return
    assert stage["y"] + stage["height"] <= controls["y"] and stage["y"] + stage["height"] < page.viewport_size["height"]
    page.locator("#schedule").focus()  # the pictures stay in sight, and do not hide what has the focus
    page.locator("#decay").scroll_into_view_if_needed()
    page.mouse.wheel(0, 300)
    page.wait_for_function("document.getElementById('stage').getBoundingClientRect().top === 0")
    page.locator("#schedule").focus()
    stage, focused = page.locator("#stage").bounding_box(), page.locator("#schedule").bounding_box()
    assert stage["y"] == 0 and focused["y"] >= stage["height"]


def test_every_control_is_reached_by_keyboard_and_changes_the_pictures(explorer):
    page = explorer.page
    page.locator(".skip").focus()
    reached = []
    for _ in range(32):
        page.keyboard.press("Tab")
        name = page.evaluate("document.activeElement.id")
        if name in reached:  # round the page once
            break
        if page.evaluate("document.activeElement.parentElement.id") == "more":
            page.keyboard.press("Enter")
        if page.evaluate("!document.activeElement.closest('form')") or name not in (*RANGES, *CHOICES, "log"):
            continue
        before = explorer.picture()
        if name == "log":
            page.keyboard.press("Space")
        elif name in CHOICES:
            page.keyboard.press("ArrowDown")
            page.keyboard.press("ArrowDown")
        else:
            page.keyboard.press("ArrowLeft" if name != "warmup" else "ArrowRight")
            shown = page.locator(f"#{name}-value").inner_text()
            assert page.locator(f"#{name}").get_attribute("aria-valuetext") == shown != ""
        assert explorer.picture() != before, name
        if name == "size":  # back: there is one fold of few samples
            page.keyboard.press("ArrowUp")
            page.keyboard.press("ArrowUp")
        reached.append(name)
    assert sorted(reached) == sorted([*RANGES, *CHOICES, "log"])


@pytest.mark.parametrize(
    ("size", "file", "name", "place", "seed", "fields"),
    [
        ("0", "techniques", "llrd", "3", 2, {"fold": 3}),
        ("0", "techniques", "all", "1", 0, {"fold": 1}),
        ("1", "few_samples", "longer", "0", 4, {"n_train": 50}),
        ("4", "snippets", "all", "7", 1007, {"rows": "confirm/7"}),
    ],
)
def test_a_chosen_run_shows_its_own_rates_losses_and_scores(explorer, size, file, name, place, seed, fields):
    """Against the committed record and `preview` of its recipe."""
    page, run = explorer.page, committed(file, name, seed, **fields)
    other = committed(file, "baseline", seed, **fields)
    explorer.choose(size=size, recipe=name, place=place, seed=str(seed))
    recipe = recipe_of(run)
    plan = ft.preview(recipe, len(run["loss"]) // recipe.epochs)
    assert explorer.said() == page.locator("#said").inner_text() == describe(plan)

    mean, beside = (
        smooth(np.array([float(f"{loss:.3g}") for loss in r["loss"]]), smoothing_window(len(r["loss"])))
        for r in (run, other)
    )
    for path, expected in (("#smoothed", mean), ("#baseline", beside)):
        found = explorer.points(path)
        np.testing.assert_allclose(found[:, 0], np.arange(len(expected)), atol=0.3)
        np.testing.assert_allclose(found[:, 1], expected, atol=0.01 * mean.max())
    label = explorer.said("loss")
    assert f"training loss {number(mean[0])} at the start, {number(mean[-1])} at the end" in label
    scores = [e["validation"] for e in run["evals"]]
    assert f"validation RMSE {scores[0]:.3f} at first, {scores[-1]:.3f} at the last of {len(scores)}" in label
    assert page.locator("#loss circle.dot").count() == len(scores) + len(other["evals"])
    averaged = [e for e in run["evals"] if e["swa_validation"] is not None]
    assert page.locator("#loss .averaged").count() == len(averaged)

    test = run["test"] if recipe.swa_start is None else run["swa_test"]
    line = page.locator("#scores").inner_text()
    assert f"{test:.3f}, baseline {other['test']:.3f} (" in line
    code = page.locator("#recipe-code").inner_text().splitlines()[0]
    assert eval(code.removeprefix("recipe = "), {"ft": ft}) == recipe


def test_a_setting_without_a_run_shows_its_rates_alone_and_leads_back(explorer):
    page = explorer.page
    explorer.choose(recipe="all")
    assert page.locator("#smoothed").count() == 1 and not page.locator("#back").is_visible()
    page.locator("#decay").fill("85")
    assert "No committed run has this setting" in page.locator("#scores").inner_text()
    assert page.locator("#loss .line").count() == 0 and page.locator("#recipe").input_value() == ""
    free = ft.Recipe(head="auto", layer_decay=0.85, warmup=0.1)
    assert explorer.said() == describe(ft.preview(free, 27)), "what is not a control is off, averaging too"
    page.locator("#decay").fill("90")  # as in `all`, whose other techniques are off here: no such run
    assert page.locator("#recipe").input_value() == ""
    page.get_by_text("Back to all").click()
    assert page.locator("#smoothed").count() == 1 and page.locator("#recipe").input_value() == "all"
    page.locator("#warmup").fill("0")  # rates alone tell this setting from the baseline: the run of `llrd` has it
    assert page.locator("#recipe").input_value() == "llrd" and page.locator("#smoothed").count() == 1
    page.locator("#decay").fill("100")
    assert page.locator("#recipe").input_value() == "baseline" and page.locator("#baseline").count() == 0


def test_a_run_can_be_played(explorer):
    page = explorer.page
    page.locator("#step").fill("80")
    page.locator("#play").click()
    page.wait_for_function("document.getElementById('step').value === '107'")
    assert page.locator("#play").get_attribute("aria-label") == "Play the run"
    page.locator("#play").click()  # from the start again
    page.wait_for_function("Number(document.getElementById('step').value) < 100")
    page.locator("#play").click()
    step = page.locator("#step").input_value()
    page.wait_for_timeout(300)
    assert page.locator("#step").input_value() == step


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
    explorer.free(recipe)
    assert explorer.said() == page.locator("#said").inner_text() == describe(ft.preview(recipe, 27))
    code = page.locator("#recipe-code").inner_text().splitlines()[0]
    assert eval(code.removeprefix("recipe = "), {"ft": ft}) == recipe.but(head="auto")
    explorer.choose(size="4")  # a recipe of that data, whose run is longer
    page.locator("#step").fill("1")
    explorer.free(recipe)
    assert explorer.said() == describe(ft.preview(recipe.but(epochs=8), 27))


def test_pointing_at_the_picture_tells_the_rates_there(explorer):
    page = explorer.page
    page.get_by_text("the rates as a table").click()
    box = page.locator("#picture").bounding_box()
    before = page.locator("#rates").inner_text()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"])
    step = int(page.locator("#step-value").inner_text())
    left, right = (page.locator("#picture-inside rect").get_attribute(name) for name in ("x", "width"))
    assert abs(step - 108 * (0.6 * box["width"] - float(left)) / float(right)) < 1
    assert page.locator("#at-step").inner_text() == f"at step {step}"
    assert page.locator("#rates").inner_text() != before
    heads = [page.locator(f"{picture} path.head").bounding_box()["x"] for picture in ("#picture", "#loss")]
    assert heads[0] == pytest.approx(heads[1], abs=0.1), "one playhead through both pictures"


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
    pages = ("00_start_here", "01_baseline", "03_warmup", "00_glossary", "data", "solutions/02_llrd", "code/02_llrd")
    for name in pages:
        page.goto((tmp_path / f"{name}.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == 800, name
        assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)"), name
    page.locator("#copy").click()  # on the page of code, the last one
    page.wait_for_function("document.getElementById('copy').textContent !== 'Copy'")
    page.close()
    assert not watched.troubles
