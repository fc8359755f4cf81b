"""The functions that callers give: async where async is wanted, plain elsewhere, and harmless."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import logging
import sys
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast
from unittest import mock

import pytest

from payroc_async import (
    ConfigurationError,
    Environment,
    Event,
    PayrocSession,
    ResultReceived,
    Submitted,
)
from payroc_async.callbacks import check_async_callback, check_callback
from payroc_async.journal import SQLiteJournal
from payroc_async.simulator import Simulator
from tests.conftest import EAGER, QUICK, SERIAL, sale

PLAINLY = "must be a plain function, not "


async def coroutine_function(event: object = None) -> str:
    return "key"


async def async_generator(event: object = None) -> AsyncIterator[str]:
    yield "key"


def generator(event: object = None) -> Iterator[str]:
    yield "key"


@types.coroutine
def generator_coroutine(event: object = None) -> Generator[Any, Any, str]:
    yield from asyncio.sleep(0).__await__()
    return "key"


def plain(event: object = None) -> None: ...


class Async:
    async def __call__(self, event: object = None) -> str:
        return "key"

    async def method(self, event: object = None) -> str:
        return "key"

    @classmethod
    async def of_the_class(cls, event: object = None) -> str:
        return "key"

    @staticmethod
    async def static(event: object = None) -> str:
        return "key"


class CallIsPartial:
    __call__ = functools.partial(coroutine_function)


class CallIsObject:
    __call__ = Async()


class AwaitableClass:
    def __init__(self, event: object = None) -> None: ...

    def __await__(self) -> Generator[Any, Any, str]:
        return asyncio.sleep(0, "key").__await__()


class AsyncNew:
    async def __new__(cls, event: object = None) -> str:  # type: ignore[misc]
        return "key"


class AsyncMeta(type):
    async def __call__(cls, event: object = None) -> str:
        return "key"


class MadeAsync(metaclass=AsyncMeta): ...


class PlainClass:
    def __init__(self, event: object = None) -> None: ...

    def __call__(self, event: object = None) -> None: ...

    def method(self, event: object = None) -> None: ...


class HasAsyncMethods(PlainClass):
    """Its call is plain, whatever else it has."""

    async def __aenter__(self) -> None: ...

    async def close(self) -> None: ...


class FailsWhenLookedAt:
    """As a proxy of what is bound to a context, outside of that context."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("outside of its context")

    async def __call__(self, event: object = None) -> str:
        return "key"


class DispatchedMethod:
    @functools.singledispatchmethod
    async def by_type(self, event: object = None) -> str:
        return "key"


@functools.singledispatch
def plain_by_type(event: object = None) -> object: ...


@functools.singledispatch
def async_for_one_type(event: object = None) -> object: ...


@async_for_one_type.register
async def _(event: ResultReceived) -> None: ...


@functools.wraps(coroutine_function)
def plain_around_async(event: object = None) -> None:
    """As those adapters make it that run an async function from synchronous code."""


ASYNC: dict[str, Any] = {
    "async def": coroutine_function,
    "types.coroutine": generator_coroutine,
    "a partial": functools.partial(coroutine_function),
    "a partial of a partial": functools.partial(functools.partial(coroutine_function), None),
    "a partial of a method": functools.partial(Async().method),
    "a partial of an object": functools.partial(Async()),
    "a method": Async().method,
    "a class method": Async.of_the_class,
    "a static method": Async.static,
    "a staticmethod object": Async.__dict__["static"],
    "an object": Async(),
    "an object whose __call__ is a partial": CallIsPartial(),
    "an object whose __call__ is an object": CallIsObject(),
    "a cached function": functools.cache(coroutine_function),
    "a class with an async __new__": AsyncNew,
    "a class of a metaclass with an async __call__": MadeAsync,
    "a method made by hand": types.MethodType(Async(), object()),
    "an AsyncMock": mock.AsyncMock(),
    "by the event's type": functools.singledispatch(coroutine_function),
    "a method by the event's type": DispatchedMethod().by_type,
    "an object that fails when it is looked at": FailsWhenLookedAt(),
}
if sys.version_info >= (3, 12):
    ASYNC["a function that is marked"] = inspect.markcoroutinefunction(lambda event=None: None)
DEFERRED = {
    **dict.fromkeys(ASYNC, "a coroutine function"),
    "an awaitable class": "an awaitable class",
    "an async generator function": "an async generator function",
    "a partial of an async generator function": "an async generator function",
    "a generator function": "a generator function",
    "an async function for one of the types": "a coroutine function",
}
OTHERS: dict[str, Any] = {
    "an awaitable class": AwaitableClass,
    "an async generator function": async_generator,
    "a partial of an async generator function": functools.partial(async_generator),
    "a generator function": generator,
    "an async function for one of the types": async_for_one_type,
}
PLAIN: dict[str, Any] = {
    "def": plain,
    "a lambda": lambda event: None,
    "a builtin": print,
    "a builtin method": [].append,
    "a bound slot": [].__contains__,
    "a method descriptor": str.upper,
    "a slot": object.__init__,
    "a partial": functools.partial(plain),
    "a method": PlainClass().method,
    "an object": PlainClass(),
    "a class": PlainClass,
    "a builtin class": list,
    "an object with async methods": HasAsyncMethods(),
    "a Mock": mock.Mock(),
    "a MagicMock": mock.MagicMock(),
    "a plain function around an async one": plain_around_async,
    "a cached function": functools.cache(plain),
    "by the event's type": plain_by_type,
}


@pytest.mark.parametrize("form", [*ASYNC, *OTHERS])
def test_what_defers_its_work_is_no_plain_function(form: str) -> None:
    """A coroutine or generator function is refused in every form that shows before the call."""
    with pytest.raises(ConfigurationError) as caught:
        check_callback("on_event", {**ASYNC, **OTHERS}[form])
    assert str(caught.value) == (
        f"on_event: {PLAINLY}{DEFERRED[form]}; to await something, start a task in it"
    )


@pytest.mark.parametrize("form", PLAIN)
def test_a_plain_function_is_one_in_every_form(form: str) -> None:
    """What does its work when it is called is accepted, and is not called by the check."""
    check_callback("on_event", PLAIN[form])
    if isinstance(PLAIN[form], mock.Mock):
        assert not PLAIN[form].called


def test_no_callback_is_no_error() -> None:
    """None is the default."""
    check_callback("on_event", None)


@pytest.mark.parametrize(
    ("value", "named"), [(1, "an int"), ("print", "a str"), ([], "a list"), (object(), "an object")]
)
def test_what_can_not_be_called_is_refused(value: object, named: str) -> None:
    """The error names the type, and says that the function itself is wanted."""
    with pytest.raises(ConfigurationError) as caught:
        check_callback("on_event", value)
    said = f"on_event: {PLAINLY}{named}: pass the function, do not call it"
    assert str(caught.value) == said


def test_a_callable_that_leads_to_itself_ends_the_check() -> None:
    """The check does not go round for ever."""

    class Circle: ...

    setattr(Circle, "__call__", Circle())  # noqa: B010 - type checkers know better
    check_callback("on_event", Circle())


@pytest.mark.parametrize("form", [*ASYNC, "an awaitable class"])
def test_every_form_of_an_async_function_is_one(form: str) -> None:
    """What is to be awaited is accepted as an async callback."""
    check_async_callback("api_key", {**ASYNC, **OTHERS}[form])


def test_a_plain_wrapper_of_an_async_function_is_async() -> None:
    """A decorator that passes on the coroutine keeps it async, as ``functools.wraps`` shows."""
    check_async_callback("api_key", plain_around_async)


@pytest.mark.parametrize("form", sorted(set(PLAIN) - {"a plain function around an async one"}))
def test_a_plain_function_is_no_async_one(form: str) -> None:
    """A callback that is awaited must be async: the error says how to make it so."""
    with pytest.raises(ConfigurationError) as caught:
        check_async_callback("api_key", PLAIN[form])
    said = 'api_key: must be an async function, not a plain one; define it with "async def"'
    assert str(caught.value) == said


def test_a_session_refuses_a_plain_function_as_api_key() -> None:
    """It is refused when the session is built, not at the first token; and it is not called."""
    key = mock.Mock(return_value="key")
    with pytest.raises(ConfigurationError, match="api_key: must be an async function"):
        PayrocSession(key, environment=Environment.UAT)
    assert not key.called


def test_an_api_key_function_that_was_called_is_refused() -> None:
    """A coroutine in place of its function is a wrong type."""
    key = coroutine_function()
    with pytest.raises(ConfigurationError, match="api_key: must be a string, or an async function"):
        PayrocSession(cast(Any, key), environment=Environment.UAT)
    key.close()


def calls(session: PayrocSession) -> dict[str, Callable[..., Any]]:
    """Every public call that takes ``on_event``, found by its signature."""
    found = {}
    for name, method in inspect.getmembers(session, callable):
        if not name.startswith("_") and "on_event" in inspect.signature(method).parameters:
            found[name] = method
    return found


async def test_every_call_refuses_an_async_on_event(gateway: Simulator, tmp_path: Any) -> None:
    """Whatever takes ``on_event`` refuses an async one before anything is sent."""
    journal = SQLiteJournal(tmp_path / "journal.db")
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, journal=journal
    ) as session:
        found = calls(session)
        assert len(found) == 10
        requests: dict[str, tuple[object, ...]] = {"recover": ()}
        for name, method in found.items():
            given = requests.get(name, ("e743a9165d134678a9100ebba3b29597",))
            if name.startswith(("run_", "start_", "capture_")):
                kind = "payment" if "sale" in name else name.partition("_")[2]
                given = (SERIAL, {"payment": sale()}.get(kind) or mock_request(kind))
            with pytest.raises(ConfigurationError, match=f"on_event: {PLAINLY}a coroutine"):
                await as_awaitable(method(*given, on_event=coroutine_function))
    assert gateway.instructions == {}


def mock_request(kind: str) -> object:
    from payroc_async import RefundInstructionRequest, RefundOrder, SignatureInstructionRequest

    if kind == "refund":
        order = RefundOrder(order_id="One", amount=1, currency="USD", description="cold")
        return RefundInstructionRequest(processing_terminal_id="1234001", order=order)
    return SignatureInstructionRequest(processing_terminal_id="1234001")


async def as_awaitable(returned: Any) -> None:
    if inspect.isawaitable(returned):
        await returned


# What is seen at the call alone ----------


class Awaitable_:
    """Neither coroutine nor future."""

    def __await__(self) -> Generator[Any, Any, None]:
        return asyncio.sleep(0).__await__()


class Request_(Coroutine[Any, Any, str]):
    """As HTTP clients return it: their coroutine is inside, and warns unless it is closed."""

    def __init__(self) -> None:
        self.inside = coroutine_function()

    def send(self, value: Any) -> Any:
        return self.inside.send(value)

    def throw(self, *error: Any) -> Any:
        return self.inside.throw(*error)

    def close(self) -> None:
        self.inside.close()

    def __await__(self) -> Generator[Any, Any, str]:
        return self.inside.__await__()


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda event: Request_(), "a Request_"),
        (lambda event: (None, coroutine_function()), "a coroutine"),
        (lambda event: [coroutine_function(), coroutine_function()], "a coroutine"),
        (lambda event: anext(async_generator()), "an async_generator_asend"),
        (coroutine_function, "a coroutine"),
        (async_generator, "an async_generator"),
        (generator, "a generator"),
        (generator_coroutine, "a generator"),
        (lambda event: Awaitable_(), "an Awaitable_"),
    ],
    ids=[
        "request",
        "tuple",
        "list",
        "anext",
        "coroutine",
        "async generator",
        "generator",
        "types.coroutine",
        "awaitable",
    ],
)
async def test_an_awaitable_that_comes_back_is_closed_and_logged_once(
    session: PayrocSession,
    caplog: pytest.LogCaptureFixture,
    make: Callable[[Event], object],
    named: str,
) -> None:
    """It is not awaited, leaves no warning, and is logged once for the sale, with its device."""
    heard: list[type[Event]] = []

    def on_event(event: Event) -> Any:
        heard.append(type(event))
        return make(event)

    payment = await session.run_sale(SERIAL, sale(), on_event=on_event)
    gc.collect()  # a coroutine that was not closed would warn, and warnings are errors
    assert payment.approved
    assert heard[0] is Submitted
    assert heard[-1] is ResultReceived
    (record,) = [one for one in caplog.records if one.levelno >= logging.ERROR]
    assert record.name == "payroc_async.callbacks"
    assert record.getMessage().startswith(f"on_event returned {named}, which is never awaited")
    assert vars(record)["serial_number"] == SERIAL


async def test_what_runs_by_itself_may_come_back(
    session: PayrocSession, caplog: pytest.LogCaptureFixture
) -> None:
    """A task, and the future of a thread, are neither canceled nor reported: both end."""
    loop, done = asyncio.get_running_loop(), list[object]()
    tasks: list[asyncio.Task[None]] = []

    async def note(event: Event) -> None:
        await asyncio.sleep(0)
        done.append(event)

    def in_a_task(event: Event) -> asyncio.Task[None]:
        tasks.append(loop.create_task(note(event)))
        return tasks[-1]

    await session.run_sale(SERIAL, sale(), on_event=in_a_task)
    await asyncio.gather(*tasks)
    assert len(done) == len(tasks) >= 3
    with ThreadPoolExecutor(1) as pool:
        await session.run_sale(
            SERIAL, sale(), on_event=lambda event: pool.submit(done.append, event)
        )
    assert len(done) >= len(tasks) + 3
    await session.run_sale(
        SERIAL, sale(), on_event=lambda event: loop.call_soon(done.append, event)
    )
    await session.run_sale(SERIAL, sale(), on_event=mock.MagicMock())
    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(
    "raised",
    [
        SystemExit(2),
        KeyboardInterrupt(),
        GeneratorExit(),
        asyncio.CancelledError(),
        StopIteration(),
        BaseExceptionGroup("two", [SystemExit(1), ValueError()]),
        ValueError("canary"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_nothing_that_a_callback_raises_ends_a_sale(
    gateway: Simulator,
    session: PayrocSession,
    caplog: pytest.LogCaptureFixture,
    raised: BaseException,
) -> None:
    """It is logged with its traceback at each event; the sale and the session go on."""
    events = 0

    def on_event(event: Event) -> None:
        nonlocal events
        events += 1
        raise raised

    assert (await session.run_sale(SERIAL, sale(), on_event=on_event)).approved
    failures = [one for one in caplog.records if one.getMessage() == "on_event failed"]
    assert len(failures) == events >= 3
    assert all(one.exc_info and one.exc_info[1] is raised for one in failures)
    assert (await session.run_sale(SERIAL, sale())).approved


async def test_a_coroutine_that_can_not_be_closed_ends_no_sale(
    session: PayrocSession, caplog: pytest.LogCaptureFixture
) -> None:
    """A coroutine that had begun may refuse to end: that is logged as what a callback raises."""

    async def stubborn() -> None:
        while True:
            try:
                await asyncio.sleep(0)
            except GeneratorExit:
                raise ValueError("no") from None

    def on_event(event: Event) -> Any:
        begun = stubborn()
        begun.send(None)
        return begun

    assert (await session.run_sale(SERIAL, sale(), on_event=on_event)).approved
    assert "on_event failed" in caplog.text


async def test_an_api_key_function_is_used_in_every_async_form(gateway: Simulator) -> None:
    """What the check accepts can be awaited: a sale is paid with each."""

    class Vault:
        async def __call__(self) -> str:
            return gateway.api_key

    for key in (Vault(), functools.partial(Vault()), Vault().__call__):
        async with PayrocSession(
            key, environment=gateway.environment, timeouts=QUICK, retries=EAGER
        ) as session:
            assert (await session.run_sale(SERIAL, sale())).approved
