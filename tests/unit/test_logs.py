"""The log records: each line is documented, and each names the instruction it is about."""

from __future__ import annotations

import ast
import asyncio
import logging
import re
import sys
from collections.abc import Iterator

import orjson
import pytest

from payroc_async import (
    InstructionFailedError,
    NotFoundError,
    OutcomeUnknownError,
    PayrocSession,
    Submitted,
)
from payroc_async.logs import FIELDS, get_logger, report
from payroc_async.simulator import Simulator, drop_after, edit, garbage, html, status
from tests.conftest import EAGER, QUICK, SERIAL, UNIT, sale, variables
from tests.harness.programs import ROOT, marked_blocks, run_python

PAGE = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
LEVELS = {"exception": "ERROR"}


def lines_written() -> set[tuple[str, str, str]]:
    """Each call of a logger in the SDK: its module, its level, its text."""
    found = set()
    for path in (ROOT / "payroc_async").rglob("*.py"):
        name = ".".join(path.relative_to(ROOT / "payroc_async").with_suffix("").parts)
        if name.startswith(("simulator", "cli")):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("logger."):
                level = ast.unparse(node.func).removeprefix("logger.")
                if level != "isEnabledFor":
                    text = ast.literal_eval(node.args[0])
                    found.add((name, LEVELS.get(level, level.upper()), text))
    return found


def test_every_line_is_in_the_table() -> None:
    """The table has each line that the SDK can write, by logger and level, and no other."""
    rows = re.findall(r"^\| `([\w.]+)` \| ([A-Z]+) \| `([^`]+)` \| [^|]+ \|$", PAGE, re.MULTILINE)
    assert sorted(rows) == sorted(lines_written())


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def of(self, module: str, start: str = "") -> list[logging.LogRecord]:
        name = f"payroc_async.{module}"
        return [
            one for one in self.records if one.name == name and one.getMessage().startswith(start)
        ]


def about(record: logging.LogRecord) -> tuple[str | None, ...]:
    return tuple(vars(record)[field] for field in FIELDS)


@pytest.fixture
def kept() -> Iterator[Kept]:
    """All that the SDK writes."""
    handler, loggers = Kept(), [logging.getLogger("payroc_async")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    yield handler
    for logger in loggers:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


async def test_each_record_of_a_sale_names_it(
    gateway: Simulator, session: PayrocSession, kept: Kept
) -> None:
    """Key, device and order on each, of two sales at once; the id from its acceptance on."""
    orders = {SERIAL: "One", "1850010869": "Two"}
    gateway.faults.add("submit", status(503), times=2)
    gateway.faults.add("status", edit(lambda data: {**data, "status": {}}))

    def fail(event: object) -> None:
        if isinstance(event, Submitted):
            raise ValueError

    await asyncio.gather(
        *(session.run_sale(one, sale(order_id=orders[one]), on_event=fail) for one in orders)
    )
    names = {one.serial_number: one for one in gateway.instructions.values()}
    for record in kept.records:
        serial_number, key, instruction_id, order_id = about(record)
        if record.getMessage() == "POST /authorize: 200":
            assert about(record) == (None,) * 4
            continue
        assert serial_number is not None, record.getMessage()
        instruction = names[serial_number]
        assert (key, order_id) == (instruction.idempotency_key, orders[serial_number])
        before = record.getMessage().startswith(("attempt 1 failed", "POST "))
        assert instruction_id == (None if before else instruction.id)
    said = {(record.name.rpartition(".")[2], record.levelname) for record in kept.records}
    assert said == {
        ("attempt", "INFO"),
        ("attempt", "WARNING"),  # a status that is none
        ("live", "DEBUG"),
        ("callbacks", "ERROR"),  # on_event failed
        ("report", "INFO"),
        ("transport", "DEBUG"),
        ("converter", "WARNING"),  # which knows nothing of instructions
    }


async def test_a_record_of_another_instruction_is_not_given_this_ones_names(
    gateway: Simulator, session: PayrocSession, kept: Kept
) -> None:
    """A call from within a sale's event says what it is about, and nothing of the sale."""
    calls: list[asyncio.Task[object]] = []

    def ask(event: object) -> None:
        if isinstance(event, Submitted):
            call = session.payments.refund("P1", description="cold", amount=1)
            calls.append(asyncio.create_task(call))

    gateway.faults.add("change", status(503))
    await session.run_sale(SERIAL, sale(), on_event=ask)
    await asyncio.wait(calls)
    assert isinstance(calls[0].exception(), NotFoundError)
    (retried,) = kept.of("http.transport", "POST /payments/P1/refund failed 1 times")
    (key,) = {one.headers["idempotency-key"] for one in gateway.requests_of("change")}
    assert about(retried) == (None, key, None, None)
    answers = kept.of("http.transport", "POST /v1/payments/P1/refund: ")
    assert [about(one) for one in answers] == [(None,) * 4] * 2


async def test_each_retry_is_one_record_of_ours(
    gateway: Simulator, session: PayrocSession, kept: Kept
) -> None:
    """The instruction's attempts and the single call's, each once."""
    gateway.faults.add("submit", garbage(), times=2)
    gateway.faults.add("payment", garbage(), skip=1)
    payment = await session.run_sale(SERIAL, sale())
    await session.payments.retrieve(payment.payment_id)
    assert [one.levelname for one in kept.of("instructions.attempt", "attempt ")] == ["INFO"] * 2
    assert [one.levelname for one in kept.of("http.transport", "GET /payments/")] == ["INFO"]
    assert {one.name.partition(".")[0] for one in kept.records} == {"payroc_async"}


async def test_levels(gateway: Simulator, kept: Kept) -> None:
    """An unknown outcome is an ERROR, an ending without a payment INFO, once each."""
    times = QUICK.__class__(
        request=1.0, hold=0.5, poll_interval=UNIT / 2, unreachable=5 * UNIT, cancel_grace=2.0
    )
    gateway.device(SERIAL).fails("Out of paper").approves()
    gateway.faults.add("payment", status(500), times=None)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=times, retries=EAGER
    ) as session:
        with pytest.raises(InstructionFailedError):
            await session.run_sale(SERIAL, sale())
        with pytest.raises(OutcomeUnknownError) as unknown:
            await session.run_sale(SERIAL, sale())
        gateway.faults.clear()
    (failed,) = kept.of(
        "instructions.report", "ended without a payment: the instruction failed: Out of"
    )
    assert failed.levelname == "INFO"
    lost, heard = (one for one in kept.records if one.levelno >= logging.WARNING)
    assert lost.getMessage() == f"{unknown.value}; it goes on in the background"
    assert "exists although no caller waits for it" in heard.getMessage()
    assert about(lost)[1] == unknown.value.idempotency_key


async def test_the_page_s_five_lines_log_json(gateway: Simulator) -> None:
    """The page's program makes each record one JSON object, with the four fields."""
    gateway.faults.add("submit", status(503))
    program = marked_blocks(PAGE)["program: logging"] + SALE
    code, output, problems = await run_python("-c", program, extra=variables(gateway))
    assert (code, output) == (0, "")
    lines = [orjson.loads(line) for line in problems.splitlines()]
    lines = [line for line in lines if line["name"] != "asyncio"]  # which reports slow steps
    assert [line["message"].partition(" in ")[0] for line in lines][-1] == "ended"
    assert {(line["name"], line["order_id"]) for line in lines} == {
        ("payroc_async.instructions.attempt", "OrderRef6543"),
        ("payroc_async.instructions.report", "OrderRef6543"),
    }
    assert all({*FIELDS} <= {*line} for line in lines)
    page = re.search(r"`(\{.+?\})`", PAGE, re.DOTALL)
    assert page is not None
    shown = orjson.loads(page[1].replace("…", '"…"'))
    assert shown.keys() <= lines[-1].keys()


SALE = """
import asyncio
from payroc_async import Order, PaymentInstructionRequest, PayrocSession

async def main():
    async with PayrocSession.from_env() as session:
        await session.run_sale(
            "1850010868",
            PaymentInstructionRequest(
                processing_terminal_id="1234001",
                order=Order(order_id="OrderRef6543", amount=4999, currency="USD"),
            ),
        )

asyncio.run(main())
"""


def test_what_others_say_forges_no_line(caplog: pytest.LogCaptureFixture) -> None:
    """Texts and errors among a record's arguments are escaped, numbers are left, and the record
    names the line that logs.
    """
    caplog.set_level(logging.DEBUG)
    logger = get_logger("payroc_async.test")
    hostile = "x\nERROR forged \x1b[2J"
    expected = r"x\nERROR forged \x1b[2J"
    for log in (logger.debug, logger.info, logger.warning, logger.error, logger.exception):
        log("%s, %s, %d, %.1f", hostile, ValueError(hostile), 1, 0.5)
    logger.log(logging.INFO, "%r", hostile)
    *records, last = caplog.records
    assert len(records) == 5
    for record in records:
        assert record.getMessage() == f"{expected}, {expected}, 1, 0.5"
        assert record.funcName == test_what_others_say_forges_no_line.__name__
        assert record.filename == "test_logs.py"
    assert "\n" not in last.getMessage()


class Broken(logging.Handler):
    """As one that sends each line to a host which is not there."""

    def emit(self, record: logging.LogRecord) -> None:
        raise ConnectionError("a log host that is not there")


def broken(record: logging.LogRecord) -> bool:
    raise ConnectionError("a log host that is not there")


@pytest.mark.parametrize("where", ["handler", "filter of a handler", "filters of the loggers"])
@pytest.mark.parametrize("stderr", [True, False], ids=["stderr", "no stderr"])
async def test_no_log_handler_ends_a_sale(
    gateway: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    where: str,
    stderr: bool,
) -> None:
    """What one raises at any line is reported, as `logging` does it, and the sale is paid."""
    monkeypatch.setattr("payroc_async.logs.report", report)
    gateway.faults.add("submit", drop_after())
    gateway.faults.add("status", html(503))
    gateway.faults.add("payment", drop_after())
    top = logging.getLogger("payroc_async")
    handler = Broken() if where == "handler" else Kept()
    names = [name for name in logging.root.manager.loggerDict if name.startswith("payroc_async.")]
    loggers = [logging.getLogger(name) for name in names] if "loggers" in where else []
    if where == "filter of a handler":
        handler.addFilter(broken)
    if not stderr:
        monkeypatch.setattr(sys, "stderr", None)
    level = top.level
    top.addHandler(handler)
    top.setLevel(logging.DEBUG)
    for logger in loggers:
        logger.addFilter(broken)
    try:
        async with PayrocSession(
            gateway.api_key, environment=gateway.environment, timeouts=QUICK, retries=EAGER
        ) as session:
            payment = await session.run_sale(SERIAL, sale(), on_event=lambda event: 1 / 0)
    finally:
        top.removeHandler(handler)
        top.setLevel(level)
        for logger in loggers:
            logger.removeFilter(broken)
    assert payment.approved
    assert ("a log host that is not there" in capsys.readouterr().err) is stderr
