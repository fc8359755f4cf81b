"""P12: a session is used in one event loop of one process; elsewhere, each call is an error."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from payroc_async import (
    AdjustmentStatus,
    BalanceInquiry,
    BinLookup,
    CardBinPayload,
    Payment,
    PayrocSession,
    RefundInstructionRequest,
    RefundOrder,
    SaleHandle,
    SessionClosedError,
    SignatureInstructionRequest,
    SingleUseTokenPayload,
    StatusAdjustment,
    WrongEventLoopError,
)
from payroc_async.api.resources import Endpoint
from payroc_async.journal import SQLiteJournal
from payroc_async.loop_guard import LoopGuard
from payroc_async.simulator import Simulator
from tests.api.test_charges import charge
from tests.conftest import EAGER, QUICK, SERIAL, sale, variables

# The guard alone ----------


def opened() -> LoopGuard:
    """A guard whose loop is closed."""
    guard = LoopGuard()

    async def main() -> None:
        guard.open()
        guard.check()

    asyncio.run(main())
    return guard


async def checked(guard: LoopGuard) -> None:
    guard.check()


async def test_p12_the_guard_accepts_its_own_loop_from_any_task() -> None:
    """What matters is the loop, not the task."""
    guard = LoopGuard()
    guard.open()
    guard.check()
    await asyncio.create_task(checked(guard))


async def test_p12_a_guard_that_was_not_opened_accepts_all() -> None:
    """A session may be built anywhere; until it is open, its state says enough."""
    LoopGuard().check()
    await asyncio.to_thread(LoopGuard().check)


async def test_p12_the_guard_refuses_where_no_loop_runs() -> None:
    """A thread without a loop, while the session's own runs elsewhere."""
    guard = LoopGuard()
    guard.open()
    with pytest.raises(WrongEventLoopError) as caught:
        await asyncio.to_thread(guard.check)
    error = caught.value
    assert error.running_loop is None
    assert error.parent_pid is None
    assert not error.loop_closed
    assert "MainThread" in error.session_loop
    assert f"the session belongs to one event loop ({error.session_loop})" in str(error)
    assert "where no loop runs" in str(error)
    assert "start_blocking_portal" in str(error)
    assert error.__context__ is None


async def test_p12_the_guard_refuses_another_loop() -> None:
    """Both loops are named, so that they can be distinguished in a log."""
    guard = LoopGuard()
    guard.open()
    with pytest.raises(WrongEventLoopError) as caught:
        await asyncio.to_thread(lambda: asyncio.run(checked(guard)))
    error = caught.value
    assert error.running_loop
    assert error.running_loop != error.session_loop
    assert f"from another ({error.running_loop})" in str(error)
    assert "run_coroutine_threadsafe" in str(error)


@pytest.mark.parametrize(
    "use",
    [lambda guard: asyncio.run(checked(guard)), lambda guard: guard.check()],
    ids=["in the next loop", "in no loop"],
)
def test_p12_the_guard_says_that_its_loop_is_closed(use: Callable[[LoopGuard], None]) -> None:
    """As it is after asyncio.run: what helps then is another session, not another thread."""
    guard = opened()
    with pytest.raises(WrongEventLoopError) as caught:
        use(guard)
    assert caught.value.loop_closed
    assert "the session's event loop is closed" in str(caught.value)
    assert "asyncio.run() closes its loop at the end" in str(caught.value)


def in_child(work: Callable[[], object]) -> Any:
    """What ``work`` gives in a forked child, as JSON."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = json.dumps(work())
        except BaseException as error:
            said = json.dumps(repr(error))
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    try:
        with os.fdopen(reading) as pipe:
            return json.loads(pipe.read() or '"the child said nothing"')
    finally:
        os.waitpid(child, 0)


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


@forks
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_p12_the_guard_refuses_a_forked_child_in_the_same_loop() -> None:
    """A server that opens before it forks goes on in a copy of the very loop object."""
    loop = asyncio.new_event_loop()
    guard = LoopGuard()

    async def open_() -> None:
        guard.open()

    def child() -> object:
        try:
            loop.run_until_complete(checked(guard))
        except WrongEventLoopError as error:
            return [error.parent_pid, str(error)]
        return "accepted"

    try:
        loop.run_until_complete(open_())
        parent_pid, text = in_child(child)
        assert parent_pid == os.getpid()
        assert f"opened in process {parent_pid} and used in a process forked from it" in text
        assert "in each process after the fork" in text
        loop.run_until_complete(checked(guard))  # the parent's is what it was
    finally:
        loop.close()


@forks
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_p12_a_child_may_open_its_own() -> None:
    """A guard that is opened after the fork belongs to the child; a grandchild is refused."""

    def child() -> object:
        async def main() -> object:
            guard = LoopGuard()
            guard.open()
            guard.check()
            return "accepted"

        return asyncio.run(main())

    assert in_child(child) == "accepted"
    assert in_child(lambda: in_child(child)) == "accepted"


async def test_p12_the_guard_makes_no_system_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands before every call: the process's id is known, and not asked for each time."""
    guard = LoopGuard()
    guard.open()
    monkeypatch.setattr(os, "getpid", lambda: pytest.fail("asked for the process's id"))
    guard.check()


# A session ----------


ID = "e743a9165d134678a9100ebba3b29597"


class Elsewhere:
    """A session, open in the loop of another thread, with a sale that waits for its cardholder."""

    def __init__(self, portal: BlockingPortal, gateway: Simulator, session: PayrocSession) -> None:
        self.portal, self.gateway, self.session = portal, gateway, session
        self.gateway.device(SERIAL).never_finishes()
        self.handle: SaleHandle = self.call(session.start_sale, SERIAL, sale())

    def call(self, function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        return self.portal.call(function, *args)

    def sent(self) -> list[str]:
        """All that the gateway was asked, the waiting for the sale aside."""
        return [
            one.kind for one in self.gateway.requests if one.kind not in ("status", "authorize")
        ]


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Elsewhere]:
    """A gateway and its session in a thread of their own."""
    with start_blocking_portal() as portal:
        gateway = Simulator(hold=QUICK.hold)
        with portal.wrap_async_context_manager(gateway):
            session = PayrocSession(
                gateway.api_key,
                environment=gateway.environment,
                timeouts=QUICK,
                retries=EAGER,
                journal=SQLiteJournal(tmp_path / "journal.db"),
            )
            with portal.wrap_async_context_manager(session):
                yield Elsewhere(portal, gateway, session)
        assert gateway.violations == []


def refund() -> RefundInstructionRequest:
    order = RefundOrder(order_id="One", amount=1, currency="USD", description="cold")
    return RefundInstructionRequest(processing_terminal_id="1234001", order=order)


def signature() -> SignatureInstructionRequest:
    return SignatureInstructionRequest(processing_terminal_id="1234001")


def arguments(name: str, payment: Payment) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What each public call can be called with."""
    if name == "payments.undo":
        return (payment,), {"description": "cold"}
    if name == "payments.refund":
        return (ID,), {"amount": 1, "description": "cold"}
    if name == "refunds.adjust":
        return (ID, StatusAdjustment(to_status=AdjustmentStatus.PENDING)), {}
    if name.endswith(".adjust"):
        return (ID, StatusAdjustment(to_status="pending")), {}
    if name.endswith(".submit") or name.startswith(("run_", "start_", "capture_")):
        request: object = sale()
        if "refund" in name:
            request = refund()
        elif "signature" in name:
            request = signature()
        return ("1850010869", request), {}
    if name == "payments.create":
        return (charge(),), {}
    if name in ("batches.search", "transactions.search", "authorizations.search"):
        return (), {"date": date(2026, 5, 1)}
    if name.partition(".")[0] in ("batches", "transactions", "authorizations"):
        return (65,), {}
    if name == "cards.look_up":
        return (BinLookup(card=CardBinPayload(bin="453985")),), {}
    if name == "cards.balance":
        card = SingleUseTokenPayload(token="a" * 128)
        asked = BalanceInquiry(processing_terminal_id="1234001", currency="USD", card=card)
        return (asked,), {}
    if name == "terminals.device_configuration":
        return ("1234001", "paxA920Pro"), {}
    if name == "terminals.search":
        return ("38765",), {}
    if name.startswith("secure_tokens."):
        return ("1234001",) if name.endswith(".search") else ("1234001", ID), {}
    if name.endswith(".search") or name in ("recover", "unfinished", "aclose", "open"):
        return (), {}
    return (ID,), {}


def public_calls(session: PayrocSession) -> dict[str, Callable[..., Any]]:
    """Every public method of the session and of its groups of calls, by name."""
    owners: dict[str, Any] = {"": session}
    for name, value in vars(session).items():
        if isinstance(value, Endpoint):
            owners[f"{name}."] = value
    return {
        prefix + name: method
        for prefix, owner in owners.items()
        for name, method in inspect.getmembers(owner, inspect.ismethod)
        if not name.startswith("_") and name != "from_env"
    }


async def made(call: Callable[[], Any]) -> object:
    """Call it and await or iterate what it gives, as a caller would."""
    returned = call()
    if isinstance(returned, AsyncIterator):
        return await anext(returned)
    return await returned if inspect.isawaitable(returned) else returned


def test_p12_every_call_from_another_loop_is_refused(elsewhere: Elsewhere) -> None:
    """Each public coroutine raises at once, sends nothing, and leaves the session as it was."""
    session, handle = elsewhere.session, elsewhere.handle
    elsewhere.gateway.device("1850010869").approves()
    payment = elsewhere.call(session.run_sale, "1850010869", sale())
    calls = public_calls(session)
    assert len(calls) >= 25
    before, refused = elsewhere.sent(), []
    for name, method in [*calls.items(), ("result", handle.result), ("cancel", handle.cancel)]:
        args, keywords = arguments(name, payment) if name in calls else ((), {})
        with pytest.raises(WrongEventLoopError, match=r"\bsession\b"):
            asyncio.run(asyncio.wait_for(made(lambda: method(*args, **keywords)), 5))  # noqa: B023
        refused.append(name)
    assert elsewhere.sent() == before
    assert len(refused) == len(calls) + 2
    assert elsewhere.handle.status == "inProgress"
    assert elsewhere.call(session.run_sale, "1850010869", sale()).approved
    assert elsewhere.call(handle.cancel).status == "canceled"


def test_p12_a_search_that_has_begun_is_refused_elsewhere(elsewhere: Elsewhere) -> None:
    """An iterator and a recovery that were made in the session's loop stay in it."""
    session = elsewhere.session

    async def make() -> tuple[Any, Any]:
        return session.payments.search(processing_terminal_id="1234001"), session.recover()

    for made_there in elsewhere.call(make):
        for use in (
            made_there.__anext__,
            made_there.aclose,
            lambda: made_there.asend(None),  # noqa: B023
            lambda: made_there.athrow(ValueError),  # noqa: B023
        ):
            with pytest.raises(WrongEventLoopError):
                asyncio.run(made(use))


def test_p12_a_search_goes_on_in_its_own_loop_after_it_was_refused_elsewhere(
    elsewhere: Elsewhere,
) -> None:
    """An error within a generator ends it: its loop would take that for the end of the list."""
    session, gateway = elsewhere.session, elsewhere.gateway
    gateway.device("1850010869").approves()
    for _ in range(3):
        elsewhere.call(session.run_sale, "1850010869", sale())

    async def begin() -> tuple[Any, Any]:
        search = session.payments.search(limit=1)
        await anext(search)
        return search, session.recover()

    async def rest(made_there: Any) -> list[Any]:
        return [one async for one in made_there]

    search, recovery = elsewhere.call(begin)
    for made_there in (search, recovery):
        with pytest.raises(WrongEventLoopError):
            asyncio.run(made(made_there.__anext__))
    assert len(elsewhere.call(rest, search)) == 2
    assert elsewhere.call(rest, recovery) == []
    elsewhere.call(search.aclose)


async def test_p12_a_second_open_in_its_own_loop_is_another_mistake(gateway: Simulator) -> None:
    """In the right loop, the state says what is wrong."""
    async with PayrocSession(gateway.api_key, environment=gateway.environment) as session:
        with pytest.raises(SessionClosedError, match="opens only once"):
            await session.open()


def test_p12_a_call_from_no_loop_is_refused(elsewhere: Elsewhere) -> None:
    """What is no coroutine can be called without a loop: it is refused there, too."""
    for method in (
        elsewhere.session.resume_sale,
        elsewhere.session.resume_refund,
        elsewhere.session.resume_signature,
    ):
        with pytest.raises(WrongEventLoopError, match="where no loop runs"):
            method(ID)


TWO_RUNS = """
import asyncio, json

from payroc_async import Order, PaymentInstructionRequest, PayrocSession, WrongEventLoopError

request = PaymentInstructionRequest(
    processing_terminal_id="1234001",
    order=Order(order_id="One", amount=4999, currency="USD"),
)
session = PayrocSession.from_env()


async def first():
    await session.open()
    return (await session.run_sale("1850010868", request)).approved


async def second():
    said = []
    for call in (lambda: session.run_sale("1850010868", request), session.aclose):
        try:
            await asyncio.wait_for(call(), 5)
        except WrongEventLoopError as error:
            said.append(error.loop_closed)
    return said


print(json.dumps([asyncio.run(first()), asyncio.run(second())]))
"""


def run(program: str, served: Simulator) -> Any:
    """What a program prints, as JSON. It leaves a loop or a process with open connections."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env={**os.environ, **variables(served)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_p12_opened_in_one_run_and_used_in_the_next(served: Simulator) -> None:
    """Its loop is gone: nothing is sent, and the error says why."""
    assert run(TWO_RUNS, served) == [True, [True, True]]
    assert len(served.requests_of("submit")) == 1


FORKED = """
import asyncio, json, os, sys

from payroc_async import (
    Environment, Order, PaymentInstructionRequest, PayrocSession, WrongEventLoopError
)

request = PaymentInstructionRequest(
    processing_terminal_id="1234001",
    order=Order(order_id="CHILD", amount=4999, currency="USD"),
)


async def main():
    async with PayrocSession.from_env() as session:
        handle = await session.start_sale("1850010868", request)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            said = {}
            asyncio._set_running_loop(None)
            loop = asyncio.new_event_loop()
            for name, call in {
                "run_sale": lambda: session.run_sale("1850010869", request),
                "aclose": session.aclose,
                "result": handle.result,
                "cancel": handle.cancel,
                "retrieve": lambda: session.payments.retrieve("M2MJOG6O2Y"),
            }.items():
                try:
                    loop.run_until_complete(asyncio.wait_for(call(), 5))
                    said[name] = "accepted"
                except BaseException as error:
                    said[name] = [type(error).__name__, getattr(error, "parent_pid", None)]
            os.write(writing, json.dumps(said).encode())
            os._exit(0)
        os.close(writing)
        said = json.loads(await asyncio.to_thread(os.read, reading, 4096))
        await asyncio.to_thread(os.waitpid, child, 0)
        wrong = {n: s for n, s in said.items() if s != ["WrongEventLoopError", os.getpid()]}
        end = (await handle.cancel()).status
        print(json.dumps({"calls": len(said), "wrong": wrong, "end": end}))


asyncio.run(main())
"""


@forks
def test_p12_a_forked_child_sends_nothing(served: Simulator) -> None:
    """In the child each call is refused, ``aclose`` too; the parent's sale goes on."""
    served.device(SERIAL).never_finishes()
    assert run(FORKED, served) == {"calls": 5, "wrong": {}, "end": "canceled"}
    assert [one.kind for one in served.requests if one.kind != "status"] == [
        "authorize",
        "submit",
        "cancel",
    ]


def test_p12_two_loops_with_a_session_each_do_not_disturb_each_other(served: Simulator) -> None:
    """The rule is one loop a session, not one a process."""
    paid: list[Payment] = []

    async def main(serial_number: str) -> None:
        async with PayrocSession(
            served.api_key, environment=served.environment, timeouts=QUICK, retries=EAGER
        ) as session:
            paid.append(await session.run_sale(serial_number, sale()))

    threads = [
        threading.Thread(target=asyncio.run, args=(main(number),)) for number in (SERIAL, "2")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [payment.approved for payment in paid] == [True, True]
