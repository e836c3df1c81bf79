"""The static site: every page is there, links lead somewhere, nothing needs a network, the explorer is `preview`."""

import ast
import base64
import json
import os
import random
import re
import sys
from pathlib import Path
from urllib.parse import unquote

import nbformat
import numpy as np
import pytest
from bs4 import BeautifulSoup

import ftlab as ft
from ftlab.schedules import ALL_SCHEDULES
from ftlab.study.first_edition import recipe_of
from ftlab.study.train import Cell

pytest.importorskip("latex2mathml", reason="latex2mathml is missing: pip install latex2mathml")
ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "tools" / "site"
sys.path.insert(0, str(SITE))

import build_site  # noqa: E402
from explorer import explorer_page  # noqa: E402

# ------------------------------------------------------------------------------------------------ the explorer


@pytest.fixture(scope="module")
def explorer():
    page = explorer_page()
    return page, json.loads(BeautifulSoup(page, "html.parser").find(id="data").string)


def unpacked(held):
    """Read an array of the page: 32 bits a value in base64, or the corners of straight lines."""
    if isinstance(held, str):
        return np.frombuffer(base64.b64decode(held), "<f4").astype(np.float64)
    return np.interp(np.arange(held[0][-1] + 1), *held)


def test_the_explorer_holds_what_preview_computes(explorer):
    """Peak times factor, as its script multiplies them, for settings drawn from all positions of all controls."""
    data = explorer[1]
    draw = random.Random(0)
    for size in data["sizes"]:
        assert set(size["factors"]) == set(ALL_SCHEDULES) == {name for f in data["families"].values() for name in f}
    for _ in range(500):
        size = draw.choice(data["sizes"])
        schedule, layers = draw.choice(list(ALL_SCHEDULES)), draw.choice(list(data["models"]))
        w, d = draw.randrange(len(data["warmups"])), draw.randrange(len(data["decays"]))
        lr, head = draw.choice(data["rates"]), draw.choice([None, *data["rates"]])
        recipe = ft.Recipe(
            model=data["models"][layers],
            epochs=size["total"] // size["steps_per_epoch"],
            schedule=schedule,
            warmup=float(data["warmups"][w]),
            layer_decay=data["decays"][d],
            lr=lr,
            head_lr=head,
        )
        expected = ft.preview(recipe, size["steps_per_epoch"])
        places = data["lines"][layers]
        peaks = lr * np.array(data["peaks"][d][-len(places) :])
        peaks[-1] = peaks[-1] if head is None else head
        held = np.outer(unpacked(data["arrays"][size["factors"][schedule][w]]), peaks)
        np.testing.assert_allclose(held, expected.lr, rtol=2e-6, atol=1e-25, err_msg=repr(recipe))
        assert size["warmup_steps"][w] == expected.warmup_steps
        assert [look[0] for look in places] == expected.layers


def test_the_explorer_holds_every_committed_run(explorer):
    """Losses, scores and pairs against the lines of the files; each recipe's rates against its preview."""
    data, seen = explorer[1], 0
    records = {"snippets": {}}
    for file in ("techniques", "few_samples", "snippets"):
        for line in (ROOT / "data" / "results" / f"{file}.jsonl").read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            size = f"{record['data']}, {record['n_train'] or 432} to train on"
            place = record["rows"].split("/")[1] if file == "snippets" else record["fold"]
            records.setdefault(size, {})[record["name"], f"{place}/{record['seed']}"] = record
    for size in data["sizes"]:
        mine = records[size["name"]]
        assert {(name, key) for name, runs in size["runs"].items() for key in runs} == set(mine)
        assert [r["name"] for r in size["recipes"]][0] == "baseline"
        assert {r["name"] for r in size["recipes"]} == set(size["runs"])
        for held in size["recipes"]:
            seen += check_recipe(data, size, held, mine)
    assert seen == 105 + 150 + 70


def check_recipe(data, size, held, records):
    recipe = eval(f"ft.{held['python']}", {"ft": ft})
    plan = ft.preview(recipe, size["steps_per_epoch"])
    rates = np.stack([unpacked(data["arrays"][i]) for i in held["rates"]], axis=1)
    np.testing.assert_allclose(rates, plan.lr, rtol=2e-6, atol=1e-25, err_msg=held["python"])
    assert (held["warmup_steps"], held["swa_step"]) == (plan.warmup_steps, plan.swa_step)
    positions = {"warmup": data["warmups"], "decay": data["decays"], "lr": data["rates"]}
    at = {name: values[int(held["at"][name])] for name, values in positions.items()}
    assert at == {"warmup": recipe.warmup, "decay": recipe.layer_decay, "lr": recipe.lr}
    assert (held["at"]["schedule"], held["at"]["head"], held["at"]["layers"]) == ("linear", "", "6")
    free = eval(f"ft.Recipe({', '.join(size['base'])})", {"ft": ft})
    free = free.but(warmup=recipe.warmup, layer_decay=recipe.layer_decay, lr=recipe.lr)
    assert held["plain"] == (free == recipe), "plain: what the controls show is the whole recipe"

    def score(record):
        return record["test"] if recipe.swa_start is None else record["swa_test"]

    apart = []
    for key, (loss, validation, averaged, scores) in size["runs"][held["name"]].items():
        record = records[held["name"], key]
        assert recipe_of(record) == recipe.but(seed=record["seed"])
        np.testing.assert_allclose(loss, record["loss"], rtol=5.1e-3)
        np.testing.assert_allclose(validation, [e["validation"] for e in record["evals"]], rtol=5.1e-6)
        assert held["evals"] == [e["step"] for e in record["evals"]]
        last = record["evals"][-1]["swa_validation"]
        assert (last is None) == (averaged == []) and (last is None or averaged[-1] == pytest.approx(last, rel=5.1e-6))
        selected = record["validation"] if recipe.swa_start is None else last
        assert scores == pytest.approx([selected, score(record), record["seconds"]], abs=0.51)
        assert scores[:2] == pytest.approx([selected, score(record)], abs=5.1e-7)
        apart.append(score(record) - records["baseline", key]["test"])
    assert held["pairs"] == [len(apart), pytest.approx(np.mean(apart), abs=5.1e-7), sum(d < 0 for d in apart)]
    return len(apart)


def test_the_python_of_a_run_loads_the_rows_it_was_trained_on(explorer):
    """The key of a cell holds the fingerprint of its data: what the page's own lines load must give the same key."""
    sizes = {size["name"]: size["python"] for size in explorer[1]["sizes"]}
    for file in ("techniques", "few_samples", *(["snippets"] if "FTLAB_DATA" in os.environ else [])):
        for line in (ROOT / "data" / "results" / f"{file}.jsonl").read_text(encoding="utf-8").splitlines()[7::40]:
            record, names = json.loads(line), {"ft": ft}
            place = record["fold"] if record.get("rows") is None else record["rows"].split("/")[1]
            python = sizes[f"{record['data']}, {record['n_train'] or 432} to train on"]
            exec(python.format(seed=record["seed"], place=place), names)
            cell = Cell(record["name"], recipe_of(record), record["fold"], n_train=record["n_train"])
            assert cell.key(names["data"]) == record["cell"]


def test_the_explorer_needs_nothing_from_elsewhere(explorer):
    page = BeautifulSoup(explorer[0], "html.parser")
    assert not page.select("script[src], link[rel=stylesheet], img, iframe")
    loads = r"@import|url\((?!#)|fetch\(|XMLHttpRequest|https?://(?!www\.w3\.org/2000/svg)"
    assert not re.search(loads, explorer[0])
    assert len(explorer[0]) < 600_000
    for control in page.select("form select, form input"):
        assert page.find("label", attrs={"for": control["id"]}) or control.find_parent("label"), control
        help_ = page.find(id=control["aria-describedby"])
        assert help_.get_text(strip=True) or control["id"] == "size", control  # what is said of the data, by the script


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


def test_every_notebook_of_the_series_has_its_code_on_a_page_and_as_a_file(site):
    folder, pages = site
    for path in build_site.NOTEBOOKS.glob("[0-9]*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        sources = ["".join(cell["source"]).rstrip() for cell in cells if cell["cell_type"] == "code"]
        code = (folder / "code" / f"{path.stem}.py").read_text(encoding="utf-8")
        ast.parse(code)
        parts = [part.partition("\n")[2].rstrip() for part in re.split(r"^# %%", code, flags=re.M)[1:]]
        assert parts == [source for source in sources if source], path.name
        page = pages[f"code/{path.stem}.html"]
        assert page.select_one(".highlight pre").get_text().strip() == code.strip()
        assert page.select_one("button#copy") and page.select_one("a[download]")["href"] == f"{path.stem}.py"
        assert pages[path.stem + ".html"].find("a", href=f"code/{path.stem}.html")


def test_a_notebook_numbered_00_comes_first(tmp_path, monkeypatch):
    """Whatever notebook the folder holds is taken in the order of its number, with links to its neighbours."""
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    (tmp_path / "data" / "results").mkdir(parents=True)
    for file in build_site.DOCUMENTS:
        (notebooks / file).write_text("# A page\n\nText.\n", encoding="utf-8")
    for name, title in (("01_baseline", "01 · The baseline"), ("00_start_here", "00 · Start here")):
        text = f"# {title}\n\n**The question.** What?\n\n**Time.** Five minutes. More.\n"
        cells = [nbformat.v4.new_markdown_cell(text), nbformat.v4.new_code_cell("1 + 1")]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), notebooks / f"{name}.ipynb")
    monkeypatch.setattr(build_site, "NOTEBOOKS", notebooks)
    monkeypatch.setattr(build_site, "explorer_page", lambda: "")
    pages = build_site.build(tmp_path / "site")
    assert pages[:4] == ["00_start_here.html", "code/00_start_here.html", "01_baseline.html", "code/01_baseline.html"]
    home = BeautifulSoup((tmp_path / "site" / "index.html").read_text(encoding="utf-8"), "html.parser")
    assert [link["href"] for link in home.select(".series h2 a")] == ["00_start_here.html", "01_baseline.html"]
    first = BeautifulSoup((tmp_path / "site" / "00_start_here.html").read_text(encoding="utf-8"), "html.parser")
    assert [link["href"] for link in first.select(".around a")] == ["01_baseline.html"]


def test_formulas_are_typeset(site):
    for page, soup in site[1].items():
        for code in soup.select("pre, code, script"):
            code.decompose()
        text = soup.get_text()
        left = re.findall(r".{0,20}(?:\\[a-zA-Z]{2,}|\$\$).{0,20}", text)
        assert not left, f"{page}: {left}"
    assert len(site[1]["05_swa.html"].select("math[display=block]")) >= 2


def test_the_search_index_points_at_sections(site):
    folder, pages = site
    text = (folder / "search_index.js").read_text(encoding="utf-8")
    sections = json.loads(text.removeprefix("const SECTIONS = ").rstrip(";\n"))
    assert len(sections) > 100
    for address, heading, said in sections:
        page, _, anchor = address.partition("#")
        assert anchor and pages[page].find(id=anchor) and heading and said, address
