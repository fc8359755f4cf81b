"""How Sphinx builds the site: ``nox -s docs``."""

from __future__ import annotations

import enum
import importlib
import inspect
import re
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

import payroc_async

DOCS = Path(__file__).parent

# The reference has a page for each of these, with all that its `__all__` has, beside those of
# `payroc_async` itself. To add a module is to add a line.
MODULES = [
    "payroc_async.journal",
    "payroc_async.otel",
    "payroc_async.simulator",
    "payroc_async.testing",
]

project = "payroc-async"
author = "the payroc-async authors"
version = release = payroc_async.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"payroc-async {release}"
html_copy_source = False
html_extra_path = [path.name for path in DOCS.glob("*.png")]  # shown by HTML: light and dark
myst_enable_extensions = ["tasklist"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "inherited-members": "Exception, Enum, str"}
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = ["Cancellation"]

# What signatures name and what has no page: classes of others, and of ours that no one makes.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:\w+", pattern)
    for pattern in (
        r"(_?asyncio|aiohttp|collections|concurrent|datetime|decimal|enum|opentelemetry|os|pathlib|ssl_module|uuid)\..*",
        r"date|datetime|deque|EllipsisType",
        r"(payroc_async\..*\.)?(APIKey|EnvironmentName|InstructionRunner|InstructionT|Kind|ResourceT|SharedJournal|T|Telemetry|Transport)",
        r"(payroc_async\.simulator\..*\.)?(Answer|Behaviour|Copy|Exchange|Lookups|Operator|OperatorInput|Script|State)",
        r"payroc_async\.simulator\.simulated_kinds\.InstructionKind",
    )
]

REFERENCE = DOCS / "reference"  # made at each build, as PROJECT is
PROJECT = DOCS / "project"
OUTSIDE = ("CHANGELOG", "CONTRIBUTING", "SECURITY")  # what lies beside README
SESSION = (
    *("device_instructions", "instructions", "recovery", "session", "supervisor"),
    "version",
)
CALLS = sorted(
    {get_origin(cls) or cls for cls in get_type_hints(payroc_async.PayrocSession).values()},
    key=lambda cls: cls.__name__,
)
NOT_MADE_BY_USERS = {*CALLS, payroc_async.InstructionHandle}


def entry(name: str, value: Any) -> str:
    """What autodoc is asked for, to describe one name."""
    if not inspect.isclass(value):
        function = inspect.isfunction(inspect.unwrap(value))  # be it a fixture
        return f".. auto{'function' if function else 'data'}:: {name}\n"
    all_of_it = "   :undoc-members:\n" if issubclass(value, enum.Enum) else ""
    return f".. autoclass:: {name}\n{all_of_it}"


def alias(name: str) -> tuple[str, list[str]]:
    """Where something is assigned that is no class, and the string below it."""
    for module in [name for name in sys.modules if name.startswith("payroc_async.")]:
        said = ModuleAnalyzer.for_module(module).find_attr_docs()
        if ("", name) in said:
            return module, said["", name]
    return "payroc_async.session", []  # nothing is said of it


def write_page(title: str, module: str, names: Iterable[str]) -> None:
    """A page of the reference, with the names as one imports them from the module."""
    imported = importlib.import_module(module)
    body = "\n".join(entry(name, getattr(imported, name)) for name in names)
    (REFERENCE / f"{title}.rst").write_text(
        f"{title}\n{'=' * len(title)}\n\n.. currentmodule:: {module}\n\n{body}", encoding="utf-8"
    )


def write_reference(app: Sphinx) -> None:
    """Every public name, on a page with what is defined beside it."""
    shutil.rmtree(REFERENCE, ignore_errors=True)
    REFERENCE.mkdir()
    pages = defaultdict(list)
    for name in payroc_async.__all__:
        value = getattr(payroc_async, name)
        made_in = value.__module__ if inspect.isclass(value) else alias(name)[0]
        part = made_in.removeprefix("payroc_async.")
        folder = part.partition(".")[0]
        pages["session" if folder in SESSION else "errors" if folder == "errors" else part].append(
            name
        )
    pages["session"].sort(key=lambda name: name != "PayrocSession")
    for part, names in pages.items():
        write_page(part, "payroc_async", names)
    calls = "\n".join(entry(f"{cls.__module__}.{cls.__name__}", cls) for cls in CALLS)
    (REFERENCE / "calls.rst").write_text(f"calls\n=====\n\n{calls}", encoding="utf-8")
    for module in MODULES:
        write_page(module, module, importlib.import_module(module).__all__)


def write_project(app: Sphinx) -> None:
    """The pages that stand outside of docs in the repository."""
    PROJECT.mkdir(exist_ok=True)
    for name in OUTSIDE:
        text = (DOCS.parent / f"{name}.md").read_text(encoding="utf-8")
        (PROJECT / f"{name}.md").write_text(text.replace("](docs/", "](../"), encoding="utf-8")


def adapt(app: Sphinx, name: str, content: list[str]) -> None:
    """Links out of docs lead to the copies; the index's lists become the table of contents."""
    text = re.sub(rf"\]\(\.\./({'|'.join(OUTSIDE)})\.md", r"](project/\1.md", content[0])
    if name == "index":
        for heading, section in re.findall(r"^## (.*)\n((?:(?!## ).*\n)*)", text, re.MULTILINE):
            pages = re.findall(r"^\* \[.*?\]\((\S+)\.md\)", section, re.MULTILINE)
            text += f"\n```{{toctree}}\n:hidden:\n:caption: {heading}\n\n"
            text += "\n".join(pages) + "\n```\n"
    content[0] = text


def before_napoleon(
    app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]
) -> None:
    """Say of an alias what its module says, and of no attribute that its first words are a type."""
    if what == "data":
        lines[:] = alias(name.rpartition(".")[2])[1]
    if what in {"attribute", "data", "property"}:
        lines[:0] = ["..", ""]  # an empty comment, for the first line is taken apart at its colon


def hide_constructor(
    app: Sphinx, what: str, name: str, value: Any, options: Any, signature: str, returns: str
) -> tuple[str, str] | None:
    """Show no constructor of what only a session makes."""
    return ("", "") if what == "class" and value in NOT_MADE_BY_USERS else None


def setup(app: Sphinx) -> None:
    """Join in where Sphinx lets one."""
    app.connect("builder-inited", write_reference)
    app.connect("builder-inited", write_project)
    app.connect("source-read", adapt)
    app.connect("autodoc-process-docstring", before_napoleon, priority=400)
    app.connect("autodoc-process-signature", hide_constructor)
