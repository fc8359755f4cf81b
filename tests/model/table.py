"""Draws the tables of docs/lifecycle.md from the code: ``python -m tests.model.table``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from enum import IntEnum
from itertools import combinations, product
from pathlib import Path

from .rules import Existence, Outcome, Phase, Seen, State, Wish, lifecycle

__all__ = ["PAGE", "draw", "fill", "reachable"]

PAGE = Path(__file__).parents[2] / "docs" / "lifecycle.md"
_CHANGING = ("wish", "existence", "awaited", "inherited")
_FIELDS = ("existence", "wish", "detachable", "journaled", "awaited", "inherited")
_Rows = tuple[tuple[str, str], ...]  # condition, what follows
_Case = tuple[State, str]


def reachable() -> set[State]:
    """Every state that may come of any start, whatever is seen."""
    flags = (False, True)
    states = {
        lifecycle.begin(journaled=a, detachable=b, key_is_callers=c)
        for a, b, c in product(flags, repeat=3)
    }
    states |= {lifecycle.resume(journaled=a, detachable=b) for a, b in product(flags, repeat=2)}
    for known, cancel, stale, expired in product(flags, repeat=4):
        found = lifecycle.take_over(known=known, cancel=cancel, stale=stale, expired=expired)
        states |= set() if found is None else {found}
    todo = list(states)
    while todo:
        state = todo.pop()
        new = {lifecycle.step(state, seen) for seen in Seen} - states
        states |= new
        todo += new
    return states


# Which facts decide ----------


def _split(cases: list[_Case], fields: tuple[str, ...]) -> _Rows:
    """The fewest rows that say what follows in each case; none if the fields do not decide."""
    if len({follows for _, follows in cases}) == 1:
        return (("", cases[0][1]),)
    best: _Rows = ()
    for field in fields:
        others = tuple(other for other in fields if other != field)
        rows = _split_by(field, cases, others)
        if rows is not None and (not best or len(rows) < len(best)):
            best = rows
    return best


def _deciding(cases: list[_Case], fields: tuple[str, ...]) -> tuple[str, ...]:
    """The fields of which one alone makes a difference somewhere."""

    def decides(field: str) -> bool:
        others = [other for other in fields if other != field]
        follows_by_others: dict[tuple[object, ...], str] = {}
        return any(
            follows_by_others.setdefault(tuple(getattr(state, one) for one in others), follows)
            != follows
            for state, follows in cases
        )

    return tuple(filter(decides, fields))


def _split_by(field: str, cases: list[_Case], others: tuple[str, ...]) -> _Rows | None:
    parts: dict[int, list[_Case]] = {}
    for case in cases:
        parts.setdefault(getattr(case[0], field), []).append(case)
    if len(parts) == 1:
        return None
    alike: dict[_Rows, list[int]] = {}
    for value in sorted(parts):
        alike.setdefault(_split(parts[value], others), []).append(value)
    if len(alike) == 1 or () in alike:
        return None  # the fact makes no difference, or the others do not suffice
    return tuple(
        (", ".join(filter(None, (_words(field, values), condition))), follows)
        for rows, values in alike.items()
        for condition, follows in rows
    )


def _words(field: str, values: list[int]) -> str:
    if isinstance(values[0], IntEnum):
        names = [value.name for value in values if isinstance(value, IntEnum)]
        return f"{field} {' or '.join(names)}"
    return field if values[0] else f"not {field}"


# What follows ----------


def _change(before: State, after: State, always: tuple[str, ...]) -> str:
    """What a step changes, in words; of some facts what holds afterwards, changed or not."""
    words = []
    if after.phase is Phase.ENDED and after.outcome is not before.outcome:
        words.append(f"ended: {after.outcome.name}")
    elif after.phase is not before.phase:
        words.append(f"→ {after.phase.name}")
    for name in _CHANGING:
        if name in always or getattr(after, name) != getattr(before, name):
            words.append(_words(name, [getattr(after, name)]))
    return ", ".join(words) or "no change"


def _rows(phase: Phase, states: list[State], seen: Seen) -> _Rows:
    """What follows in a phase after something was seen, in as few rows as can be."""
    steps = [(state, lifecycle.step(state, seen)) for state in states]
    changing = [
        name
        for name in _CHANGING
        if any(getattr(before, name) != getattr(after, name) for before, after in steps)
    ]
    fields = ("outcome", *_FIELDS) if phase is Phase.ENDED else _FIELDS
    ways: list[_Rows] = []
    for count in range(len(changing) + 1):
        for always in combinations(changing, count):
            cases = [(before, _change(before, after, always)) for before, after in steps]
            ways.append(_split(cases, _deciding(cases, fields)) or _split(cases, fields))
    return min(ways, key=len)


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _draw_phase(phase: Phase, states: list[State]) -> str:
    """What follows in one phase, of everything that may be seen."""
    seen_by_rows: dict[_Rows, list[str]] = {}
    for seen in Seen:
        rows_of_seen = _rows(phase, states, seen)
        seen_by_rows.setdefault(rows_of_seen, []).append(f"`{seen.name}`")
    rows: list[list[str]] = []
    rest: list[str] = []
    for what, names in seen_by_rows.items():
        if what == (("", "no change"),):
            rest = names
            continue
        for number, (condition, follows) in enumerate(what):
            rows.append([", ".join(names) if not number else "", condition, follows])
    if rest:
        rows.append(["anything else", "", "no change"])
    return _table(("seen", "if", "what follows"), rows)


def _draw_ways(states: set[State]) -> str:
    """Which phase may follow which, and on what."""
    ways: dict[tuple[Phase, Phase], list[str]] = {}
    for state in sorted(states):
        for seen in Seen:
            after = lifecycle.step(state, seen)
            names = ways.setdefault((state.phase, after.phase), [])
            if after.phase is not state.phase and seen.name not in names:
                names.append(seen.name)
    return _table(
        ("from", "to", "when one of these is seen"),
        (
            [f"`{before.name}`", f"`{after.name}`", ", ".join(f"`{name}`" for name in names)]
            for (before, after), names in sorted(ways.items())
            if before is not after
        ),
    )


def _draw_durable(states: set[State]) -> str:
    """What the journal has to say."""
    rows: list[list[str]] = []
    for phase in Phase:
        cases = [(one, lifecycle.durable(one).name) for one in sorted(states) if one.phase is phase]
        fields = ("outcome", "existence", "wish", "inherited")
        for number, (condition, need) in enumerate(_split(cases, fields)):
            rows.append([f"`{phase.name}`" if not number else "", condition, f"`{need}`"])
    return _table(("phase", "if", "the journal says"), rows)


def _draw_words(enum: type[IntEnum]) -> str:
    """The values of an enum, with the comments that the code has on them."""
    source = inspect.getsource(enum)
    notes = re.findall(r"^    (\w+) = \d+(?:  # (.*))?$", source, re.MULTILINE)
    return _table((enum.__name__.lower(), "what it says"), ([f"`{a}`", b] for a, b in notes))


def draw() -> dict[str, str]:
    """Each table, by the name that it has on the page."""
    states = reachable()
    tables: dict[str, str] = {}
    enums: tuple[type[IntEnum], ...] = (Phase, Wish, Existence, Outcome, Seen)
    for enum in enums:
        tables[enum.__name__.lower()] = _draw_words(enum)
    tables["ways"] = _draw_ways(states)
    for phase in Phase:
        of_phase = sorted(state for state in states if state.phase is phase)
        tables[phase.name] = _draw_phase(phase, of_phase)
    tables["durable"] = _draw_durable(states)
    return tables


def fill(page: str, tables: dict[str, str]) -> str:
    """The page with each table in its place."""
    for name, table in tables.items():
        begin = f"<!-- {name} -->\n"
        before, rest = page.split(begin)
        page = f"{before}{begin}\n{table}\n\n<!-- end -->{rest.split('<!-- end -->', 1)[1]}"
    return page


if __name__ == "__main__":
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8"), draw()), encoding="utf-8")
