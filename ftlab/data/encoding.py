"""Check that a text file is UTF-8, and say what it may be where it is not."""

from __future__ import annotations

import codecs
from pathlib import Path

from ftlab.errors import DataError


def check_utf8(path: Path) -> None:
    """Raise DataError with the first byte that is not UTF-8; reads a line at a time."""
    position = 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):  # noqa: B007 (the error names the line)
            try:
                line.decode()
            except UnicodeDecodeError as error:
                byte = line[error.start]
                position += error.start
                break
            position += len(line)
        else:
            return
    likely, encoding = "it may be Windows-1252, as spreadsheets on Windows write it", "cp1252"
    if position == 0 and line.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        likely, encoding = "it is UTF-32", "utf-32"
    elif position == 0 and line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        likely, encoding = "it is UTF-16", "utf-16"
    raise DataError(
        f"{path.name}: not UTF-8 (byte 0x{byte:02x} at position {position}, line {number}); {likely}. Save "
        "it as UTF-8, for example: "
        f"Path('utf8{path.suffix}').write_text(Path({path.name!r}).read_text({encoding!r}), 'utf-8')"
    )
