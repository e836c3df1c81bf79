"""Build the static site of the series: every notebook with its stored outputs, its code alone, and an explorer.

    python tools/site/build_site.py [folder]        default: _site

Nothing is run, downloaded or left to the reader's network: pictures lie inside the pages, formulas become MathML, and
the search index is a file beside them, so the folder can be opened from a disk as well as served. Made with nbconvert,
which comes with JupyterLab, and latex2mathml.
"""

from __future__ import annotations

import json
import re
import sys
from html import escape
from pathlib import Path
from string import Template

import nbformat
from bs4 import BeautifulSoup
from explorer import explorer_page
from jinja2 import pass_context
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

HERE = Path(__file__).resolve().parent
NOTEBOOKS = HERE.parents[1] / "notebooks"
CODE_STYLES = {"html": "xcode", "html[theme=dark]": "monokai"}  # of pygments; both have a contrast of 4.5:1 or more
DOCUMENTS = {  # from notebooks/: page
    "00_glossary.md": "00_glossary.html",
    "00_teaching.md": "00_teaching.html",
    "../data/README.md": "data.html",
    "../data/results/PLAN.md": "plan.html",
}
NOTE = (
    '<p class="note">A stored notebook: its pictures do not move here. The '
    '<a href="{up}schedule_explorer.html">explorer</a> does, and everything does once you run it yourself.{more}</p>'
)
CODE_NOTE = (
    '<p class="note">The code cells of <a href="../{page}">this notebook</a> in order, without its text and outputs. '
    '<button id="copy" type="button">Copy</button> <a href="{name}.py" download>Download {name}.py</a></p>'
)


class Prose(IPythonRenderer):
    """Markdown of a notebook as HTML, with formulas as MathML and links that stay inside the site."""

    def inline_math(self, body: str) -> str:
        """Render a formula within a line."""
        return formula(body)

    def block_math(self, body: str) -> str:
        """Render a formula on a line of its own."""
        return formula(body, "block")

    def latex_environment(self, name: str, body: str) -> str:
        """Render an environment that stands without dollar signs."""
        return formula(rf"\begin{{{name}}}{body}\end{{{name}}}", "block")

    def link(self, text: str, url: str, title: str | None = None) -> str:
        """Point a link to a notebook or document at its page."""
        return super().link(text, page_of(url), title)


class Exporter(HTMLExporter):
    """nbconvert's exporter to an HTML fragment, with `Prose` in place of its renderer."""

    @pass_context
    def markdown2html(self, context: object, source: str) -> str:
        """Render the text of a markdown cell."""
        return prose(source)


def formula(latex: str, display: str = "inline") -> str:
    """Turn a formula in LaTeX into MathML."""
    mathml = convert(latex.replace(r"\arg", r"\operatorname{arg}"), display=display)
    return re.sub(r"(<m[io]>(?:cos|ln|log|sin)</m[io]>)(?=<m[in])", r'\1<mspace width="0.17em" />', mathml)


def page_of(url: str) -> str:
    """Return the address inside the site for a link that a notebook makes to a file of the project."""
    path, hash_, anchor = url.partition("#")
    if path.startswith("https://") or not path:
        return url
    page = DOCUMENTS.get(path) or path.removeprefix("../notebooks/").replace(".ipynb", ".html")
    return page + hash_ + anchor


def prose(markdown: str) -> str:
    """Render markdown with the renderer of the site."""
    renderer = Prose(escape=False, allow_harmful_protocols=False, exclude_anchor_links=False, anchor_link_text="#")
    return MarkdownWithMath(renderer=renderer).render(markdown)


def body_of(path: Path) -> str:
    """Render a stored notebook as an HTML fragment."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):  # a picture without a description of its own: its plain text
            if "image/png" in output.get("data", {}):
                shown = output.metadata.setdefault("image/png", {})
                shown.setdefault("alt", output.data.get("text/plain", ""))
    exporter = Exporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
    return exporter.from_notebook_node(notebook)[0]


def tidy(html: str) -> str:
    """Finish a fragment: long pictures and tables scroll by themselves, and by keyboard; anchors have a name."""
    soup = BeautifulSoup(html, "html.parser")
    for style in soup.select("style"):  # pandas brings one with every table
        style.decompose()
    for anchor in soup.select("a.anchor-link"):
        anchor["aria-label"] = f"Link to the section {anchor.parent.get_text().rstrip('#')}"
    for table in soup.select("table"):
        for attribute in ("border", "style"):
            del table[attribute]
        scrolls = {"class": "scrolls", "tabindex": "0", "role": "region", "aria-label": "table"}
        table.wrap(soup.new_tag("div", attrs=scrolls))
    for block in soup.select("pre"):
        block["tabindex"] = "0"
    for item in soup.select("li"):  # an entry of the glossary can be linked to, and found
        term = item.find("strong")
        if term and not term.find_previous_sibling() and item.parent.parent is soup:
            item["id"] = re.sub(r"\W+", "-", term.get_text().lower()).strip("-")
    return str(soup)


def sections(html: str, page: str) -> list[tuple[str, str, str]]:
    """Split the prose of a page at its headings: (address, heading, text) for the search."""
    soup = BeautifulSoup(html, "html.parser")
    for other in soup.select(".input, .output_wrapper, pre, math, a.anchor-link, .note"):
        other.decompose()
    found: list[list[str]] = []
    for part in soup.find_all(["h1", "h2", "h3", "p", "li", "td"]):
        text = re.sub(r" (?=[.,;:)])", "", " ".join(part.get_text(" ").split()))
        if part.name in ("h1", "h2", "h3"):
            found.append([f"{page}#{part['id']}", text, ""])
        elif part.get("id"):
            found.append([f"{page}#{part['id']}", f"{found[0][1]}: {part.find('strong').get_text()}", text])
        elif found and not part.find_parent("li"):
            found[-1][2] += text + " "
    return [tuple(section) for section in found if section[2]]


def title_of(markdown: str) -> str:
    """Return the text of the first heading."""
    return re.search(r"^# (.+)$", markdown, re.M)[1]


def code_colours() -> str:
    """Return the style sheet of code for both themes; its ground is the page's."""
    sheets = [HtmlFormatter(style=style).get_style_defs(f"{where} .highlight") for where, style in CODE_STYLES.items()]
    return re.sub(r"(?m)^(html\S* \.highlight \{|pre \{|td\.|span\.).*\n", "", "\n".join(sheets) + "\n")


def code_of(notebook: nbformat.NotebookNode) -> str:
    """Return a notebook's code cells as one Python file, each cell below `# %%` and the heading it stands under."""
    parts, heading = [], ""
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.source.strip():
            parts.append(f"# %% {heading}".rstrip() + f"\n{cell.source.rstrip()}\n")
        else:
            found = re.findall(r"^#+ (.+)$", cell.source, re.M)
            heading = found[-1] if found else heading
    return "\n".join(parts)


def write_code(folder: Path, path: Path, title: str) -> str:
    """Write the code of a notebook as a file and as a page, and return the page's address."""
    code, page = code_of(nbformat.read(path, as_version=4)), f"code/{path.stem}.html"
    note = CODE_NOTE.format(page=f"{path.stem}.html", name=path.stem)
    listing = tidy(highlight(code, PythonLexer(), HtmlFormatter()))
    body = f'<h1>{escape(title)}: the code</h1>{note}{listing}<script src="../copy.js"></script>'
    write(folder, page, f"{title}: the code", body)
    (folder / "code" / f"{path.stem}.py").write_text(code, encoding="utf-8")
    return page


def write(folder: Path, page: str, title: str, body: str, before: str = "", after: str = "") -> None:
    """Write a page with the common frame. before, after: links to the neighbours in the series."""
    html = Template((HERE / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(title), up="../" * page.count("/"), body=body, before=before, after=after
    )
    target = folder / page
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(html, encoding="utf-8")


def build(folder: Path) -> list[str]:
    """Write the whole site into a folder and return the addresses of its pages."""
    series = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))
    index, rows, pages = [], [], []
    texts = {path: nbformat.read(path, as_version=4).cells[0].source for path in series}
    names = [(path.stem + ".html", title_of(text)) for path, text in texts.items()]
    for i, (path, text) in enumerate(texts.items()):
        page, title = names[i]
        html = tidy(body_of(path))
        neighbours = [names[j] if 0 <= j < len(names) else None for j in (i - 1, i + 1)]
        before, after = (f'<a href="{n[0]}">{escape(n[1])}</a>' if n else "" for n in neighbours)
        code = write_code(folder, path, title)
        more = f' <a href="{code}">Only its code</a>.'
        write(folder, page, title, NOTE.format(up="", more=more) + html, before, after)
        index += [(address, f"{title}: {heading}", said) for address, heading, said in sections(html, page)]
        question = prose(re.search(r"\*\*The question\.\*\* (.+?)\n\n", text, re.S)[1])
        minutes = re.search(r"\*\*Time\.\*\* (.+?)\.\s", text, re.S)[1]
        link = f'<h2><a href="{page}">{escape(title)}</a></h2>'
        rows.append(f'<li>{link}{question}<p class="time">{escape(minutes)}.</p></li>')
        pages += [page, code]
    for path in sorted(NOTEBOOKS.glob("solutions/*.ipynb")):
        page = f"solutions/{path.stem}.html"
        title = title_of(nbformat.read(path, as_version=4).cells[0].source)
        write(folder, page, title, NOTE.format(up="../", more="") + tidy(body_of(path)))
        pages.append(page)
    for source, page in DOCUMENTS.items():
        markdown = (NOTEBOOKS / source).read_text(encoding="utf-8")
        html = tidy(prose(markdown))
        write(folder, page, title_of(markdown), html)
        index += sections(html, page)
        pages.append(page)
    home = Template((HERE / "index.html").read_text(encoding="utf-8")).substitute(rows="\n".join(rows))
    write(folder, "index.html", "Fine-tuning, layer by layer", home)
    (folder / "schedule_explorer.html").write_text(explorer_page(), encoding="utf-8")
    found = json.dumps(index, ensure_ascii=False, separators=(",", ":"))
    (folder / "search_index.js").write_text(f"const SECTIONS = {found};\n", encoding="utf-8")
    sheets = [(HERE / name).read_text(encoding="utf-8") for name in ("base.css", "site.css")]
    (folder / "style.css").write_text("\n".join([*sheets, code_colours()]) + "\n", encoding="utf-8")
    for name in ("theme.js", "search.js", "copy.js"):
        (folder / name).write_text((HERE / name).read_text(encoding="utf-8"), encoding="utf-8")
    return [*pages, "index.html", "schedule_explorer.html"]


def main(folder: str = "_site") -> None:
    """Build the site and say where it begins."""
    pages = build(Path(folder))
    print(f"{len(pages)} pages: open {Path(folder) / 'index.html'}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
