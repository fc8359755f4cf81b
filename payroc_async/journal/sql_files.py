"""Reads the SQL of the stores, which lies in ``.sql`` files beside their code.

A name between braces, as in ``{columns}``, stands for a text that several statements share. Lines
that begin with ``--`` are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

__all__ = ["read_migrations", "read_statements"]

SECTION = re.compile(r"^-- (\w+) --$", re.MULTILINE)
COMMENT = re.compile(r"^--.*\n?", re.MULTILINE)


def read_statements(package: str, name: str, shared: Mapping[str, str]) -> dict[str, str]:
    """The statements of a file by their names: each has a section, under a line ``-- name --``.

    Args:
        package: The package that the file belongs to.
        name: The file's name.
        shared: What the names between braces stand for.
    """
    _, *parts = SECTION.split(files(package).joinpath(name).read_text("utf-8"))
    texts = zip(parts[::2], parts[1::2], strict=True)
    return {section: _sql(text, shared) for section, text in texts}


def read_migrations(
    package: str, prefix: str, version: int, shared: Mapping[str, str]
) -> tuple[str, ...]:
    """What leads from each version of the tables to the next: a file for each version.

    Args:
        package: The package that the files belong to.
        prefix: What each file's name has before the number of its version.
        version: The last one's.
        shared: What the names between braces stand for.
    """
    names = [f"{prefix}{number}.sql" for number in range(1, version + 1)]
    texts = [files(package).joinpath(name).read_text("utf-8") for name in names]
    return tuple(_sql(text, shared) for text in texts)


def _sql(text: str, shared: Mapping[str, str]) -> str:
    return COMMENT.sub("", text).strip().format_map(shared) + "\n"
