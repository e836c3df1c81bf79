"""Count lines of code, without docstrings, comments and blank lines: is the core still read in one sitting?

    python tools/count_code.py

The core is the files above the folders of `ftlab/`; with the techniques it may have LIMIT lines, a technique TECHNIQUE.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1] / "ftlab"
LIMIT = 2000
TECHNIQUE = {"bertadam": 170}
TECHNIQUE_LIMIT = 120
NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def code_lines(path: Path) -> int:
    """Count the lines of a file that hold code."""
    source = path.read_text(encoding="utf-8")
    strings = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]
    documented = {line for node in strings for line in range(node.lineno, node.end_lineno + 1)}
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NO_CODE:
            code |= set(range(token.start[0], token.end[0] + 1))
    return len(code - documented)


def count() -> dict[str, int]:
    """Count by file of the core and the techniques, and by folder of the rest."""
    core = {path.name: code_lines(path) for path in sorted(ROOT.glob("*.py")) if path.name != "__main__.py"}
    techniques = {f"techniques/{path.name}": code_lines(path) for path in sorted((ROOT / "techniques").glob("*.py"))}
    folders = sorted(path for path in ROOT.iterdir() if path.is_dir() and (path / "__init__.py").exists())
    rest = {
        f"{folder.name}/": sum(map(code_lines, folder.rglob("*.py")))
        for folder in folders
        if folder.name != "techniques"
    }
    return {**core, **techniques, **rest}


def too_long(lines: dict[str, int]) -> list[str]:
    """Say what is longer than it may be."""
    techniques = {name: n for name, n in lines.items() if name.startswith("techniques/")}
    read = sum(n for name, n in lines.items() if not name.endswith("/"))
    found = [f"core and techniques have {read} lines; {LIMIT} are what one sitting bears"] if read > LIMIT else []
    for name, n in techniques.items():
        limit = TECHNIQUE.get(Path(name).stem, TECHNIQUE_LIMIT)
        found += [f"{name} has {n} lines; a technique may have {limit}"] if n > limit else []
    return found


if __name__ == "__main__":
    lines = count()
    for name, n in lines.items():
        print(f"{n:6,}  {name}")
    print(f"{sum(n for name, n in lines.items() if not name.endswith('/')):6,}  core and techniques")
    print(f"{sum(lines.values()) + code_lines(ROOT / '__main__.py'):6,}  all, with __main__.py")
    sys.exit("\n".join(too_long(lines)) or None)
