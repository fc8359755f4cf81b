"""The report for people: one self-contained HTML page, built from the evidence."""

from __future__ import annotations

from collections import Counter
from html import escape
from pathlib import Path
from typing import Any

import orjson

from payroc_async.cli.phrases import duration_in_words

from .evidence import SIMULATOR, Attempt, Evidence, Exchange
from .scenario_table import Scenario
from .scenarios import ATTESTATIONS, SCENARIOS

__all__ = ["report", "write_report"]

STYLE = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")
NOT_RUN = "not run"
SIMULATED = (
    "<p class='reason'>This was run on the simulator that comes with payroc-async. It shows how "
    "the software behaves, and is no evidence for Payroc: that takes a run against UAT.</p>"
)


def write_report(path: Path, evidence: Evidence) -> None:
    """Writes the report."""
    path.write_text(report(evidence), encoding="utf-8")


def report(evidence: Evidence) -> str:
    """The report, as HTML."""
    shown = [one for one in SCENARIOS.values() if not one.feature or evidence.last(one.id)]
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        f"<title>Payroc certification, {_text(evidence.project)}</title>",
        f"<style>{STYLE}</style></head><body>",
        "<h1>Payroc certification: evidence</h1>",
        _about(evidence),
        SIMULATED if evidence.gateway == SIMULATOR else "",
        _summary(evidence, shown),
        _overview(evidence, shown),
        _attestations(),
        "<h2 id='evidence'>Evidence by scenario</h2>",
        *(_scenario(evidence, one) for one in shown if evidence.last(one.id)),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _about(evidence: Evidence) -> str:
    times = [time for one in evidence.attempts for time in (one.started, one.ended) if time]
    rows = {
        "Gateway": evidence.gateway,
        "Device": evidence.serial_number,
        "Processing terminal": evidence.processing_terminal_id,
        "Test tag": f"{evidence.project}-SCENARIO-ATTEMPT, in order.orderId",
        "Between (UTC)": f"{min(times)} and {max(times)}" if times else "-",
        "Made by": evidence.made_by,
    }
    cells = "".join(f"<tr><th>{_text(k)}</th><td>{_text(v)}</td></tr>" for k, v in rows.items())
    return (
        f"<table class='about'>{cells}</table>"
        "<p>Keys, tokens, card data and customers are left out (<code>***</code>). "
        "The same evidence, for programs, is in <code>certification.json</code>.</p>"
    )


def _summary(evidence: Evidence, shown: list[Scenario]) -> str:
    counted = Counter(_status(evidence, one) for one in shown)
    numbers = ", ".join(f"<b class='{k.replace(' ', '-')}'>{n} {k}</b>" for k, n in counted.items())
    missing = [
        one.id for one in shown if one.tier == "required" and _status(evidence, one) != "passed"
    ]
    rest = (
        "<p class='open'>Required and not passed yet: "
        + ", ".join(f"<a href='#{one}'>{one}</a>" if evidence.last(one) else one for one in missing)
        + ".</p>"
        if missing
        else "<p>Every required scenario has passed. What is left is to attest the statements "
        "below.</p>"
    )
    return f"<h2>Summary</h2><p>{numbers}.</p>{rest}"


def _status(evidence: Evidence, scenario: Scenario) -> str:
    last = evidence.last(scenario.id)
    return last.status if last else NOT_RUN


def _overview(evidence: Evidence, shown: list[Scenario]) -> str:
    rows = []
    for one in shown:
        last = evidence.last(one.id)
        status = _status(evidence, one)
        name = f"<a href='#{one.id}'>{one.id}</a>" if last else one.id
        reason = f"<br><small>{_text(last.reason)}</small>" if last and last.reason else ""
        rows.append(
            f"<tr><td class='id'>{name}</td><td>{_text(one.title)}<br>"
            f"<small>Expected: {_text(one.expected)}</small></td><td>{one.tier}</td>"
            f"<td><b class='{status.replace(' ', '-')}'>{status}</b>{reason}</td></tr>"
        )
    return (
        "<h2>Scenarios</h2><table class='overview'><thead><tr><th>Id</th><th>Scenario</th>"
        f"<th>Tier</th><th>Result</th></tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _attestations() -> str:
    rows = "".join(
        f"<tr><td class='id'>{name}</td><td>{_text(what)}</td><td class='sign'></td></tr>"
        for name, what in ATTESTATIONS.items()
    )
    return (
        "<h2>To attest</h2><p>No program can show these: somebody who knows states them.</p>"
        "<table class='overview'><thead><tr><th>Id</th><th>Statement</th>"
        f"<th>Name, date, signature</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def _scenario(evidence: Evidence, scenario: Scenario) -> str:
    attempts = [one for one in evidence.attempts if one.scenario == scenario.id]
    last, earlier = attempts[-1], attempts[:-1]
    before = ""
    if earlier:
        lines = "".join(
            f"<li>{one.started}: <b class='{one.status}'>{one.status}</b> {_text(one.reason)}</li>"
            for one in earlier
        )
        before = f"<p>Earlier attempts:</p><ul>{lines}</ul>"
    return (
        f"<section id='{scenario.id}'><h3>{scenario.id} · {_text(scenario.title)} "
        f"<b class='{last.status}'>{last.status}</b></h3>{_attempt(last)}{before}</section>"
    )


def _attempt(attempt: Attempt) -> str:
    facts = "".join(
        f"<tr><th>{_text(name)}</th><td>{_value(value)}</td></tr>"
        for name, value in attempt.facts.items()
    )
    reason = f"<p class='reason'>{_text(attempt.reason)}</p>" if attempt.reason else ""
    notes = "".join(f"<p>{_text(one)}</p>" for one in attempt.notes)
    exchanges = "".join(map(_exchange, attempt.exchanges))
    log = f"<pre>{_text(chr(10).join(attempt.log))}</pre>" if attempt.log else ""
    return (
        f"<p><small>Attempt {attempt.number}, {attempt.started} to {attempt.ended or '?'}, "
        f"tag <code>{_text(attempt.tag)}</code></small></p>{reason}{notes}"
        f"<table class='facts'>{facts}</table>{log}{exchanges}"
    )


def _exchange(one: Exchange) -> str:
    status = f"{one.status}" if one.status is not None else "no answer"
    note = f" <i>({_text(one.note)})</i>" if one.note else ""
    request = [f"{one.method} {one.path}", *_headers(one.request_headers), *_body(one.request_body)]
    answer = [status, *_headers(one.answer_headers), *_body(one.answer_body)]
    if one.error:
        answer.append(f"\n{one.error}")
    return (
        f"<details><summary><code>{_text(one.method)} {_text(one.path)}</code> → "
        f"<b>{status}</b>, {duration_in_words(one.seconds)}{note}</summary>"
        f"<small>{one.started}</small><pre>{_text(chr(10).join(request))}</pre>"
        f"<pre>{_text(chr(10).join(answer))}</pre></details>"
    )


def _headers(headers: dict[str, str]) -> list[str]:
    return [f"{name}: {value}" for name, value in headers.items()]


def _body(body: Any) -> list[str]:
    if body is None:
        return []
    if isinstance(body, str):
        return ["", body]
    return ["", orjson.dumps(body, option=orjson.OPT_INDENT_2).decode()]


def _value(value: Any) -> str:
    if isinstance(value, list) and value and not isinstance(value[0], dict):
        return "<br>".join(map(_value, value))
    if isinstance(value, dict | list):
        return f"<pre>{_text(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())}</pre>"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else _text(value)


def _text(value: object) -> str:
    return escape(str(value))
