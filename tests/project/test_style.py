"""The house rules: which module may import what, docstrings, and nothing of one machine in the files."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "ftlab").rglob("*.py"))

# Imports point one way: a module may import what stands in an earlier row, or beside it in its own row. There are no
# exceptions, inside functions and for type checkers neither; `ftlab.hooks` says how the core calls what stands above.
ORDER = [
    {"errors", "checks", "hooks"},
    {"bert_schedules", "history", "known_models"},
    {"schedules"},
    {"recipe", "callbacks"},
    {"data"},
    {"preset", "evaluate", "checkpoint"},
    {"models"},
    {"techniques"},
    {"run"},
    {"trainer"},
    {"study", "tuning", "clinic", "bridges"},
    {"lab"},
    {"__init__", "__main__"},
]
ROW = {module: row for row, modules in enumerate(ORDER) for module in modules}

NUMPY_ONLY = ORDER[0] | ORDER[1] | ORDER[2] | ORDER[3]
READERS = {"lab.plots", "lab.live"}  # they read History, LRSchedule and Run objects and train nothing
TRAINING = {"torch", "transformers", "accelerate", "datasets", "safetensors", "sklearn"}
NOTEBOOK = {"IPython", "ipywidgets"}
OTHER_NAME = {"PIL": "pillow", "sklearn": "scikit-learn"}  # imported under another name than installed


class Import(NamedTuple):
    module: str  # the module of ftlab that imports: "trainer", "data.load"
    target: str  # what it imports: "ftlab.errors.DataError", "numpy"
    lazy: bool  # inside a function
    typing: bool  # for type checkers only
    where: str  # file:line

    @property
    def top(self) -> str:
        return self.target.partition(".")[0]

    @property
    def row(self) -> int:
        return ROW[self.module.partition(".")[0]]

    @property
    def sibling(self) -> str | None:
        """The file of ftlab that is imported ("data.load"; `from ftlab import fit`: "__init__"), else None."""
        if self.top != "ftlab":
            return None
        parts = self.target.split(".")[1:]
        while parts and ".".join(parts) not in FILES:
            parts.pop()
        return ".".join(parts) or "__init__"


def module_of(path: Path) -> str:
    """Name a file as it is imported, without "ftlab.": "trainer", "data.load", "data" for its __init__."""
    parts = path.relative_to(ROOT / "ftlab").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


FILES = {module_of(path): path for path in SOURCES}


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


@lru_cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports_of(path: Path) -> Iterator[Import]:
    """Yield every import of a file."""
    module = module_of(path)

    def visit(node: ast.AST, lazy: bool, typing: bool) -> Iterator[Import]:
        where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, lazy, typing, where)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{where}: a relative import; name the module in full"
            for alias in node.names:
                yield Import(module, f"{node.module}.{alias.name}", lazy, typing, where)
        elif is_type_checking(node):
            for child in node.body:
                yield from visit(child, lazy, True)
            for child in node.orelse:
                yield from visit(child, lazy, typing)
        else:
            inside = lazy or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            for child in ast.iter_child_nodes(node):
                yield from visit(child, inside, typing)

    yield from visit(tree_of(path), False, False)


@lru_cache
def all_imports() -> list[Import]:
    return [found for path in SOURCES for found in imports_of(path)]


def test_every_module_has_its_place_in_the_order() -> None:
    modules = {name.partition(".")[0] for name in FILES}
    assert modules, "no module found"
    assert modules == set(ROW), f"ORDER and the folder differ in {sorted(modules ^ set(ROW))}"


def test_imports_point_one_way() -> None:
    wrong = [
        f"{found.where}: {found.module} imports ftlab.{found.sibling}"
        for found in all_imports()
        if found.sibling and ROW[found.sibling.partition(".")[0]] > found.row
    ]
    assert not wrong, "\n".join(wrong)


def test_no_file_imports_one_that_imports_it() -> None:
    graph: dict[str, set[str]] = {}
    for found in all_imports():
        if found.sibling and found.sibling not in (found.module, "__init__"):
            graph.setdefault(found.module, set()).add(found.sibling)
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_techniques_know_neither_one_another_nor_the_recipe() -> None:
    wrong = [
        f"{found.where}: imports ftlab.{found.sibling}"
        for found in all_imports()
        if found.module.startswith("techniques.")
        and (found.sibling or "") not in ("", found.module)
        and (found.sibling == "recipe" or found.sibling.startswith("techniques"))
    ]
    assert not wrong, "\n".join(wrong)


def test_packages_are_imported_only_where_they_belong() -> None:
    wrong = []
    for found in all_imports():
        if found.sibling or found.typing or found.top in sys.stdlib_module_names:
            continue
        place = found.module.partition(".")[0]
        reads = any(found.module == name or found.module.startswith(name + ".") for name in READERS)
        allowed = (
            not (place in NUMPY_ONLY and not found.lazy and found.top != "numpy")
            and not ((place in NUMPY_ONLY or reads) and found.top in TRAINING)
            and not (found.top in NOTEBOOK | {"matplotlib"} and place != "lab")
        )
        if not allowed:
            wrong.append(f"{found.where}: {found.module} imports {found.target}")
    assert not wrong, "\n".join(wrong)


def test_readers_import_no_module_that_trains() -> None:
    wrong = [
        f"{found.where}: imports ftlab.{found.sibling}"
        for found in all_imports()
        if any(found.module == name or found.module.startswith(name + ".") for name in READERS)
        and not found.typing
        and (found.sibling or "").partition(".")[0] in {"data", "models", "techniques", "run", "trainer", "checkpoint"}
    ]
    assert not wrong, "\n".join(wrong)


def test_the_core_is_read_in_one_sitting() -> None:
    sys.path.insert(0, str(ROOT / "tools"))
    import count_code

    lines = count_code.count()
    assert not count_code.too_long(lines)
    path = ROOT / "ftlab" / "errors.py"
    assert lines["errors.py"] == count_code.code_lines(path) < len(path.read_text(encoding="utf-8").splitlines())


def test_every_imported_package_is_a_declared_dependency() -> None:
    from packaging.utils import canonicalize_name

    from tests.project.test_setup import EXTRAS, PROJECT, Requirement

    declared = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    lab = declared | {canonicalize_name(Requirement(line).name) for line in EXTRAS["lab"]}
    for found in all_imports():
        if found.sibling is None and found.top not in sys.stdlib_module_names:
            package = canonicalize_name(OTHER_NAME.get(found.top, found.top))
            known = lab if found.module.startswith("lab") else declared
            assert package in known, f"{found.where}: {package} is no dependency in pyproject.toml"


def test_nobody_uses_pyplot() -> None:
    for path in SOURCES:
        for node in ast.walk(tree_of(path)):
            used = isinstance(node, ast.Attribute) and node.attr == "pyplot"
            assert not used, f"{path.name}:{node.lineno} uses pyplot"
    assert not [found.where for found in all_imports() if "pyplot" in found.target.split(".")]


HEAVY = {"torch", "transformers", "matplotlib", "pandas", "IPython", "ipywidgets"}
LIGHT = {"": HEAVY}
LIGHT |= {f".{module}": HEAVY for module in sorted(NUMPY_ONLY)} | {".lab": HEAVY, ".lab.svg": HEAVY}
LIGHT |= {".lab.plots": {"torch", "transformers", "IPython", "ipywidgets"}, ".lab.live": {"torch", "transformers"}}


def test_import_stays_light(case) -> None:
    for name, heavy in LIGHT.items():
        with case(f"ftlab{name}"):
            command = [sys.executable, "-c", f"import sys, ftlab{name}; print(*sys.modules)"]
            result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
            assert result.returncode == 0, result.stderr
            loaded = heavy & set(result.stdout.split())
            assert not loaded, f"import ftlab{name} also imports {sorted(loaded)}"


def test_the_modules_of_public_packages_are_reached_by_their_names() -> None:
    """`ft.bridges.hf_trainer` without another import; in a process of its own, where no test has imported it before."""
    program = """
import pkgutil
import ftlab as ft

packages = [getattr(ft, name) for name in ft.__all__ if hasattr(getattr(ft, name), "__path__")]
for package in packages:
    for module in pkgutil.iter_modules(package.__path__ if package.__name__.count(".") == 1 else []):
        getattr(package, module.name)
assert len(packages) >= 8
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]


def test_modules_and_public_names_have_docstrings() -> None:
    bare = []
    for path in SOURCES:
        tree = tree_of(path)
        bare += [] if ast.get_docstring(tree) else [f"{path.relative_to(ROOT)} does not say what it is for"]
        bare += [
            f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
            for node in tree.body
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
            and not node.name.startswith("_")
            and not ast.get_docstring(node)
        ]
    assert not bare, "\n".join(bare)


def project_files() -> list[Path]:
    """Return the files that git would carry; in a copy without git, all but hidden and generated ones."""
    git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(git, cwd=ROOT, capture_output=True, check=True, timeout=60).stdout.decode()
        files = [ROOT / name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        tops = [path for path in ROOT.iterdir() if path.name == ".ci" or path.name[0] != "."]
        files = [path for top in tops for path in ([top] if top.is_file() else top.rglob("*"))]
    return [path for path in files if path.is_file() and path.suffix != ".pyc"]


def test_no_file_names_a_place_on_one_machine() -> None:
    homes = "|".join(("home", "Users", "root", "work"))
    place = re.compile(rf"(?<![\w.:/-])(?:/(?:{homes})/[\w.-]+|{re.escape(str(ROOT))}/)|[A-Z]:\\+Users\\")
    wrong = []
    files = project_files()
    assert ROOT / "pyproject.toml" in files
    for path in files:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        wrong += [f"{path.relative_to(ROOT)}: {match[0]}" for match in place.finditer(text)]
    assert not wrong, "\n".join(wrong)
