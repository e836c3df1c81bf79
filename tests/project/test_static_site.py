"""The static site: every page is there, links lead somewhere, nothing needs a network, the explorer is `preview`."""

import json
import random
import re
import sys
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from bs4 import BeautifulSoup

import ftlab as ft
from ftlab.schedules import ALL_SCHEDULES

pytest.importorskip("latex2mathml", reason="latex2mathml is missing: pip install latex2mathml")
ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "tools" / "site"
sys.path.insert(0, str(SITE))

import build_site  # noqa: E402
from explorer import STEPS_PER_EPOCH, explorer_page  # noqa: E402

# ------------------------------------------------------------------------------------------------ the explorer


@pytest.fixture(scope="module")
def explorer():
    page = explorer_page()
    return page, json.loads(BeautifulSoup(page, "html.parser").find(id="data").string)


def test_the_explorer_holds_what_preview_computes(explorer):
    """Peak times factor, as its script multiplies them, for settings drawn from all positions of all controls."""
    data = explorer[1]
    draw = random.Random(0)
    assert set(data["factors"]) == set(ALL_SCHEDULES) == {name for f in data["families"].values() for name in f}
    for _ in range(300):
        schedule, layers = draw.choice(list(data["factors"])), draw.choice(list(data["peaks"]))
        w, d = draw.randrange(len(data["warmups"])), draw.randrange(len(data["decays"]))
        lr, head = draw.choice(data["rates"]), draw.choice([None, *data["rates"]])
        recipe = ft.Recipe(
            model=data["models"][layers],
            schedule=schedule,
            warmup=float(data["warmups"][w]),
            layer_decay=data["decays"][d],
            lr=lr,
            head_lr=head,
        )
        wanted = ft.preview(recipe, data["steps_per_epoch"])
        peaks = lr * np.array(data["peaks"][layers][d])
        peaks[-1] = peaks[-1] if head is None else head
        held = np.outer(data["factors"][schedule][w], peaks)
        np.testing.assert_allclose(held, wanted.lr, rtol=2e-6, atol=1e-25, err_msg=repr(recipe))
        assert data["warmup_steps"][w] == wanted.warmup_steps
        assert [look[0] for look in data["lines"][layers]] == wanted.layers


def test_the_explorer_needs_nothing_from_elsewhere(explorer):
    page = BeautifulSoup(explorer[0], "html.parser")
    assert not page.select("script[src], link[rel=stylesheet], img, iframe")
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|https?://(?!www\.w3\.org/2000/svg)", explorer[0])
    assert len(explorer[0]) < 500_000
    assert explorer[1]["steps_per_epoch"] == STEPS_PER_EPOCH
    for control in page.select("form select, form input"):
        assert page.find("label", attrs={"for": control["id"]}) or control.find_parent("label"), control
        assert page.find(id=control["aria-describedby"]).get_text(strip=True), control


# ---------------------------------------------------------------------------------------------------- the pages


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    pages = build_site.build(folder)
    return folder, {page: BeautifulSoup((folder / page).read_text(encoding="utf-8"), "html.parser") for page in pages}


def test_every_notebook_and_document_has_a_page(site):
    notebooks = {path.relative_to(build_site.NOTEBOOKS) for path in build_site.NOTEBOOKS.rglob("[0-9]*.ipynb")}
    assert {str(path.with_suffix(".html").as_posix()) for path in notebooks} < set(site[1])
    assert {"00_glossary.html", "data.html", "index.html", "schedule_explorer.html"} < set(site[1])


def test_links_lead_to_pages_and_places_that_are_there(site):
    folder, pages = site
    places = {
        page: {tag["id"] for tag in soup.select("[id]")} | {unquote(i) for i in (t["id"] for t in soup.select("[id]"))}
        for page, soup in pages.items()
    }
    wrong = []
    for page, soup in pages.items():
        for tag in soup.select("[href], [src]"):
            target = tag.get("href") or tag.get("src")
            if target.startswith(("https://", "data:")):
                continue
            path, _, anchor = target.partition("#")
            file = (folder / page).parent / path if path else folder / page
            inside = file.resolve().relative_to(folder.resolve()).as_posix()
            if not file.is_file() or (anchor and unquote(anchor) not in places[inside]):
                wrong.append(f"{page}: {target}")
    assert not wrong, "\n".join(wrong)


def test_a_page_can_be_read_without_a_network_and_without_seeing_its_pictures(site):
    for page, soup in site[1].items():
        for tag in soup.select("script[src], link[rel=stylesheet], img[src], iframe"):
            assert not re.match("(https?:)?//", tag.get("src") or tag.get("href")), page
        for image in soup.select("img"):
            assert len(image["alt"]) > 10 and "No description" not in image["alt"], page
        assert soup.html["lang"] == "en" and len(soup.select("h1")) == 1 and soup.title.string, page


def test_stored_outputs_are_shown(site):
    for path in sorted(build_site.NOTEBOOKS.glob("[0-9]*.ipynb")):
        soup = site[1][path.stem + ".html"]
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        outputs = [output for cell in cells for output in cell.get("outputs", [])]
        pictures = sum("image/png" in output.get("data", {}) for output in outputs)
        assert len(soup.select(".output_png img")) == pictures, path.name
        for output in outputs:
            if output["output_type"] == "stream":
                first = "".join(output["text"]).strip().splitlines()[0]
                assert first in soup.get_text(), path.name


def test_formulas_are_typeset(site):
    for page, soup in site[1].items():
        for code in soup.select("pre, code, script"):
            code.decompose()
        text = soup.get_text()
        left = re.findall(r".{0,20}(?:\\[a-zA-Z]{2,}|\$\$).{0,20}", text)
        assert not left, f"{page}: {left}"
    assert len(site[1]["05_swa.html"].select("math[display=block]")) >= 3


def test_the_search_index_points_at_sections(site):
    folder, pages = site
    text = (folder / "search_index.js").read_text(encoding="utf-8")
    sections = json.loads(text.removeprefix("const SECTIONS = ").rstrip(";\n"))
    assert len(sections) > 100
    for address, heading, said in sections:
        page, _, anchor = address.partition("#")
        assert anchor and pages[page].find(id=anchor) and heading and said, address
