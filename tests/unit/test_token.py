"""P6, the token: its task, with a scripted authorize in place of HTTP and small constants."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest

from payroc_async import errors as e
from payroc_async.config import RetryPolicy, Timeouts
from payroc_async.http import token as token_module
from payroc_async.http.token import TokenManager, check_api_key
from payroc_async.logs import report
from payroc_async.secret import chain_of
from payroc_async.wire.protocol import Token
from tests.conftest import UNIT

KEY = "canary-key"
PATIENCE = 0.5
"""Seconds that a caller waits for a token."""

Step = float | Exception | None | Callable[[], Awaitable[Token]]


class Identity:
    """Answers authorize by a script of lifetimes and errors; the last one stays."""

    def __init__(self) -> None:
        self.script: list[Any] = [3600.0]
        self.keys: list[str] = []
        self.times: list[float] = []
        self.at_once = 0
        self.most_at_once = 0
        self.issued = 0
        self.takes = 0.0

    @property
    def fetches(self) -> int:
        return len(self.times)

    @property
    def gaps(self) -> list[float]:
        return [later - earlier for earlier, later in pairwise(self.times)]

    async def authorize(self, api_key: str) -> Token:
        self.keys.append(api_key)
        self.times.append(asyncio.get_running_loop().time())
        step: Step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.takes)
            if callable(step):
                return await step()
            if isinstance(step, BaseException):
                raise step
        finally:
            self.at_once -= 1
        self.issued += 1
        return Token(f"token-{self.issued}", step)


@pytest.fixture
def identity() -> Identity:
    return Identity()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of a second stands for what is a second or more."""
    monkeypatch.setattr(token_module, "SHORTEST_LIFE", 2 * UNIT)
    monkeypatch.setattr(token_module, "LEAST_INTERVAL", 2 * UNIT)


KeeperMaker = Callable[..., TokenManager]


@pytest.fixture
async def keeper_of(identity: Identity) -> AsyncIterator[KeeperMaker]:
    """Makes started keepers; all are stopped at the end, and never fetched two at once."""
    made: list[TokenManager] = []

    def make(api_key: Any = KEY, *, patience: float = PATIENCE, **policy: Any) -> TokenManager:
        retries = RetryPolicy(**{"initial": UNIT / 2, "maximum": UNIT, **policy})
        timeouts = Timeouts(token=patience)
        keeper = TokenManager(identity.authorize, api_key, timeouts=timeouts, retries=retries)
        keeper.start()
        made.append(keeper)
        return keeper

    yield make
    for keeper in made:
        await keeper.stop()
    assert identity.most_at_once <= 1


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(UNIT / 4)


def token_task(name: str = "payroc token") -> asyncio.Task[Any]:
    (task,) = [task for task in asyncio.all_tasks() if task.get_name() == name]
    return task


def refused() -> e.AuthenticationError:
    return e.AuthenticationError(401, e.Problem(title="not authorized"))


def down() -> e.TransportError:
    return e.TransportError("the identity service is down", request_sent=False)


# One fetch ----------


async def test_p6_a_hundred_callers_wait_for_one_fetch(
    identity: Identity, keeper_of: KeeperMaker
) -> None:
    """A hundred tasks that want the first token cause one request, and all get it."""
    identity.takes = 2 * UNIT
    keeper = keeper_of()
    got = await asyncio.gather(*(keeper.get() for _ in range(100)))
    assert set(got) == {"token-1"}
    assert identity.fetches == 1
    assert identity.keys == [KEY]


async def test_p6_a_valid_token_is_given_at_once(
    identity: Identity, keeper_of: KeeperMaker
) -> None:
    """With a valid token `get` does not yield to the loop."""
    keeper = keeper_of()
    await keeper.get()
    coroutine = keeper.get()
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    assert ended.value.value == "token-1"


async def test_p6_a_hundred_refusals_cause_one_fetch(
    identity: Identity, keeper_of: KeeperMaker
) -> None:
    """However many requests the API refuses together, the token is fetched once."""
    keeper = keeper_of()

    held = await asyncio.gather(*(keeper.get() for _ in range(100)))

    async def refused_request(token: str) -> str:
        keeper.reject(token)
        return await keeper.get()

    got = await asyncio.gather(*(refused_request(token) for token in held))
    assert set(got) == {"token-2"}
    assert identity.fetches == 2


async def test_p6_an_old_tokens_refusal_does_not_drop_the_new(
    identity: Identity, keeper_of: KeeperMaker
) -> None:
    """A late 401 for a token that has been replaced means nothing."""
    keeper = keeper_of()
    old = await keeper.get()
    keeper.reject(old)
    new = await keeper.get()
    keeper.reject(old)
    keeper.reject("never-issued")
    assert await keeper.get() == new
    await asyncio.sleep(UNIT)
    assert identity.fetches == 2


async def test_p6_the_first_refusal_is_answered_without_delay(
    identity: Identity, keeper_of: KeeperMaker
) -> None:
    """A revoked token costs one fetch, not a pause of `LEAST_INTERVAL`."""
    keeper = keeper_of()
    keeper.reject(await keeper.get())
    async with asyncio.timeout(token_module.LEAST_INTERVAL / 2):
        assert await keeper.get() == "token-2"


async def test_p6_a_refusal_long_after_the_last_is_answered_without_delay_too(
    identity: Identity, keeper_of: KeeperMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The least interval counts from the last refusal, not from a renewal since."""
    monkeypatch.setattr(token_module, "SHORTEST_LIFE", UNIT)
    monkeypatch.setattr(token_module, "LEAST_INTERVAL", 40 * UNIT)
    identity.script = [3600.0, UNIT, 3600.0]
    keeper = keeper_of(patience=5.0)
    keeper.reject(await keeper.get())
    await until(lambda: identity.issued == 3)
    keeper.reject(await keeper.get())
    async with asyncio.timeout(20 * UNIT):
        assert await keeper.get() == "token-4"


async def test_p6_a_gateway_that_refuses_every_token_is_not_hammered(
    identity: Identity, keeper_of: KeeperMaker, small: None
) -> None:
    """From the second refusal on there is a least interval between the fetches."""
    keeper = keeper_of()
    loop = asyncio.get_running_loop()
    end = loop.time() + 10 * UNIT
    while loop.time() < end:
        keeper.reject(await keeper.get())
    assert 3 <= identity.fetches <= 10 / 2 + 3


# Renewal ----------


@pytest.mark.parametrize("takes", [0.0, UNIT])
async def test_p6_the_next_token_is_fetched_before_the_old_expires(
    identity: Identity, keeper_of: KeeperMaker, small: None, takes: float
) -> None:
    """A caller with a token never waits for the next: it comes after 80 % of the life."""
    life = 50 * UNIT
    identity.script, identity.takes = [life], takes
    keeper = keeper_of()
    await keeper.get()
    while identity.issued < 3:
        coroutine = keeper.get()
        with pytest.raises(StopIteration):
            coroutine.send(None)
        await asyncio.sleep(UNIT / 4)
    gaps = [
        later - earlier for earlier, later in zip(identity.times, identity.times[1:], strict=False)
    ]
    for gap in gaps:
        assert 0.8 * life - UNIT / 10 <= gap < life


@pytest.mark.parametrize(
    ("life", "earliest", "latest"),
    [
        (100.0, 80.0, 85.0),
        (600.0, 480.0, 510.0),
        (3600.0, 3480.0, 3510.0),
        (10**9, 86_280.0, 86_310.0),
        (None, 240.0, 255.0),
        (2.0, 1.6, 1.7),
        (1.0, 1.0, 1.0),
        (0.0, 1.0, 1.0),
        (-5.0, 1.0, 1.0),
    ],
)
async def test_p6_when_the_next_token_is_fetched(
    identity: Identity,
    keeper_of: KeeperMaker,
    monkeypatch: pytest.MonkeyPatch,
    life: float | None,
    earliest: float,
    latest: float,
) -> None:
    """At 80 % of its life, at most 120 s before its end, with jitter; never within a second."""
    pauses: list[float] = []
    fetched = asyncio.Event()

    async def note(keeper: TokenManager, when: float) -> None:
        pauses.append(when - identity.times[-1])
        if len(pauses) == 50:
            fetched.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(TokenManager, "_pause_after_success", note)
    identity.script = [life]
    keeper_of()
    async with asyncio.timeout(5.0):
        await fetched.wait()
    assert all(earliest - UNIT <= pause <= latest + UNIT for pause in pauses)
    if latest - earliest > 1.0:
        assert max(pauses) - min(pauses) > (latest - earliest) / 4


@pytest.mark.parametrize("life", [0.0, -3600.0, 0.001])
async def test_p6_a_token_with_no_life_is_used_and_not_hammered_for(
    identity: Identity, keeper_of: KeeperMaker, small: None, life: float
) -> None:
    """`expires_in` of zero, below, or close to: one fetch for each least interval."""
    identity.script = [life]
    keeper = keeper_of()
    end = asyncio.get_running_loop().time() + 10 * UNIT
    while asyncio.get_running_loop().time() < end:
        await keeper.get()
        await asyncio.sleep(UNIT / 8)
    assert 2 <= identity.fetches <= 10 / 2 + 2


async def test_p6_a_token_without_a_life_is_used(
    identity: Identity, keeper_of: KeeperMaker
) -> None:
    """Without `expires_in` a token is taken to live for a while."""
    identity.script = [None]
    keeper = keeper_of()
    assert await keeper.get() == "token-1"
    await asyncio.sleep(2 * UNIT)
    assert await keeper.get() == "token-1"
    assert identity.fetches == 1


async def test_p6_a_short_token_from_a_slow_identity_service_is_used(
    identity: Identity, keeper_of: KeeperMaker, small: None
) -> None:
    """A token that is older than its life when it arrives is used: a 401 says if it is stale."""
    identity.script, identity.takes = [0.0], 3 * UNIT
    keeper = keeper_of()
    async with asyncio.timeout(2 * PATIENCE):
        assert await keeper.get() == "token-1"


async def test_p6_wall_clock_jumps_do_not_matter(
    identity: Identity, keeper_of: KeeperMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock set a year ahead or back neither ends a token's life nor extends it."""
    keeper = keeper_of()
    token = await keeper.get()
    real = time.time
    for years in (1, -1):
        monkeypatch.setattr(time, "time", lambda years=years: real() + years * 31_536_000)
        assert await keeper.get() == token
        await asyncio.sleep(UNIT)
    assert identity.fetches == 1


async def test_p6_a_short_life_ends_whatever_the_wall_clock_says(
    identity: Identity,
    keeper_of: KeeperMaker,
    small: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the wall clock standing still the next token is fetched all the same."""
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    identity.script = [5 * UNIT]
    keeper_of()
    await until(lambda: identity.issued >= 2)


# Trouble ----------


async def test_p6_failing_renewals_disturb_nobody_while_the_token_is_valid(
    identity: Identity, keeper_of: KeeperMaker, small: None
) -> None:
    """From the first failing renewal to the end of the token's life, callers get it at once."""
    identity.script = [50 * UNIT, down(), refused(), down(), refused(), 3600.0]
    keeper = keeper_of(initial=UNIT / 4, maximum=UNIT / 4)
    await keeper.get()
    while identity.issued < 2:
        coroutine = keeper.get()
        with pytest.raises(StopIteration):
            coroutine.send(None)
        await asyncio.sleep(UNIT / 8)
    assert identity.fetches == 6
    assert await keeper.get() == "token-2"


async def test_p6_without_a_token_callers_wait_for_the_service_to_come_back(
    identity: Identity, keeper_of: KeeperMaker
) -> None:
    """A service that is down for a moment is waited for."""
    identity.script = [down(), e.ServerError(503, e.Problem()), e.ResponseFormatError("x"), 3600.0]
    keeper = keeper_of()
    assert await keeper.get() == "token-1"
    assert identity.fetches == 4


@pytest.mark.parametrize("failure", [down(), e.ServerError(503, e.Problem(title="busy"))])
async def test_p6_without_a_token_callers_wait_bounded_and_get_the_reason(
    identity: Identity, keeper_of: KeeperMaker, failure: e.PayrocError
) -> None:
    """After `Timeouts.token` the error says what the identity service did."""
    identity.script = [failure]
    keeper = keeper_of(patience=5 * UNIT)
    loop = asyncio.get_running_loop()
    started = loop.time()
    results = await asyncio.gather(*(keeper.get() for _ in range(20)), return_exceptions=True)
    assert 5 * UNIT - UNIT / 10 <= loop.time() - started < 5 * UNIT + 1.0
    for error in results:
        assert isinstance(error, e.RequestTimeoutError)
        assert not error.request_sent
        assert error.__cause__ is failure
        assert str(failure) in str(error)


async def test_p6_an_identity_service_that_never_answers_is_told(
    identity: Identity, keeper_of: KeeperMaker
) -> None:
    """Without any failure yet, the error says that there was no answer."""
    identity.takes = 30.0
    keeper = keeper_of(patience=2 * UNIT)
    with pytest.raises(e.RequestTimeoutError, match="no answer yet") as caught:
        await keeper.get()
    assert caught.value.__cause__ is None
    assert identity.fetches == 1


async def test_p6_a_wrong_key_fails_fast_for_all(
    identity: Identity, keeper_of: KeeperMaker
) -> None:
    """All who wait, and all who come shortly after, learn it at once, by errors of their own."""
    identity.script, identity.takes = [refused()], UNIT
    keeper = keeper_of(patience=30.0, initial=5.0, maximum=10.0)
    async with asyncio.timeout(1.0):
        first = await asyncio.gather(*(keeper.get() for _ in range(50)), return_exceptions=True)
        later = await asyncio.gather(*(keeper.get() for _ in range(50)), return_exceptions=True)
    assert all(type(error) is e.AuthenticationError for error in first + later)
    assert len({id(error) for error in first + later}) == 100
    assert identity.fetches == 1


async def test_p6_a_wrong_key_is_not_tried_in_a_loop_of_its_own(
    identity: Identity, keeper_of: KeeperMaker
) -> None:
    """While no one asks, a refused key is not sent again."""
    identity.script = [refused()]
    keeper = keeper_of()
    with pytest.raises(e.AuthenticationError):
        await keeper.get()
    await asyncio.sleep(2 * UNIT)
    before = identity.fetches
    for _ in range(5):
        await asyncio.sleep(2 * UNIT)
    assert identity.fetches == before <= 2


async def test_p6_a_key_that_was_withdrawn_fails_fast_when_the_token_has_expired(
    identity: Identity, keeper_of: KeeperMaker, small: None
) -> None:
    """As long as the token is good no one is reported; from then on everybody is, at once."""
    identity.script = [6 * UNIT, refused()]
    keeper = keeper_of(patience=30.0)

    async def use_up() -> None:
        async with asyncio.timeout(5.0):
            while True:
                await keeper.get()
                await asyncio.sleep(UNIT / 2)

    with pytest.raises(e.AuthenticationError):
        await use_up()
    assert identity.issued == 1


@pytest.mark.parametrize("pause", [0.0, UNIT / 2])
async def test_p6_a_key_put_right_is_tried_again(
    identity: Identity, keeper_of: KeeperMaker, pause: float
) -> None:
    """When the key works again, anyone who asks gets a token, at whatever moment he asks."""
    identity.script = [refused(), refused(), refused(), 3600.0]
    keeper = keeper_of()
    got = None
    async with asyncio.timeout(5.0):
        while got is None:
            with suppress(e.AuthenticationError):
                got = await keeper.get()
            await asyncio.sleep(pause)
    assert got == "token-1"
    assert identity.fetches == 4


@pytest.mark.parametrize(
    "failure",
    [refused(), down(), e.RateLimitedError(429, e.Problem()), e.ResponseFormatError("x")],
    ids=repr,
)
@pytest.mark.parametrize("valid", [True, False])
async def test_p6_there_is_no_hot_loop_in_any_trouble(
    identity: Identity, keeper_of: KeeperMaker, small: None, failure: Exception, valid: bool
) -> None:
    """Fifty callers that never give up cause a few fetches, not thousands."""
    identity.script = [4 * UNIT, failure] if valid else [failure]
    keeper = keeper_of(patience=UNIT)
    loop = asyncio.get_running_loop()
    started = loop.time()

    async def insist() -> None:
        while loop.time() < started + 15 * UNIT or identity.fetches < 3:
            with suppress(e.PayrocError):
                await keeper.get()
            await asyncio.sleep(UNIT / 4)

    async with asyncio.timeout(10.0):
        await asyncio.gather(*(insist() for _ in range(50)))
    # The least delay is half of `initial`, which is UNIT / 4 here; a timer may be a tick early.
    assert min(identity.gaps) >= UNIT / 4 - UNIT / 20


async def test_p6_a_cancelled_caller_disturbs_neither_the_fetch_nor_others(
    identity: Identity, keeper_of: KeeperMaker
) -> None:
    """One that is canceled while it waits leaves the fetch and the other waiters alone."""
    identity.takes = 2 * UNIT
    keeper = keeper_of()
    leaving, staying = (asyncio.create_task(keeper.get()) for _ in range(2))
    await asyncio.sleep(UNIT / 2)
    leaving.cancel()
    assert await staying == "token-1"
    assert leaving.cancelled()
    assert identity.fetches == 1


# The callable key ----------


async def test_p6_a_callable_key_is_asked_at_each_fetch(
    identity: Identity, keeper_of: KeeperMaker
) -> None:
    """A key that is rotated in the vault is used from the next fetch on."""
    keys = iter(["key-1", "key-2"])

    async def vault() -> str:
        return next(keys)

    keeper = keeper_of(vault)
    keeper.reject(await keeper.get())
    await keeper.get()
    assert identity.keys == ["key-1", "key-2"]


async def test_p7_a_vaults_failure_is_not_shown(
    identity: Identity, keeper_of: KeeperMaker, caplog: pytest.LogCaptureFixture
) -> None:
    """The error names the type of what the callable raised, and not its text; it is retried."""
    tries = 0

    async def vault() -> str:
        nonlocal tries
        tries += 1
        if tries <= 2:
            raise RuntimeError("canary: vault password")
        return "key"

    keeper = keeper_of(vault)
    assert await keeper.get() == "token-1"
    assert "failed with RuntimeError" in caplog.text
    assert "canary" not in caplog.text


async def test_p7_a_vault_that_stays_broken_is_told_without_its_text(
    identity: Identity, keeper_of: KeeperMaker
) -> None:
    """Callers get the reason, bounded, and no text of the vault's in it."""

    async def vault() -> str:
        raise RuntimeError("canary: vault password")

    keeper = keeper_of(vault, patience=3 * UNIT)
    with pytest.raises(e.RequestTimeoutError, match="RuntimeError") as caught:
        await keeper.get()
    assert "canary" not in str(caught.value) + repr(caught.value)
    assert isinstance(caught.value.__cause__, e.TransportError)
    assert not caught.value.__cause__.request_sent
    assert identity.fetches == 0


@pytest.mark.parametrize(
    "key", ["", " canary", "canary\n", "can\nary", "canary-\u00e9", None, 1, b"canary"]
)
async def test_p7_a_callable_that_gives_no_key_is_told_at_once(
    identity: Identity, keeper_of: KeeperMaker, caplog: pytest.LogCaptureFixture, key: Any
) -> None:
    """What can't be a key is a ConfigurationError that does not show it, and nothing is sent."""

    async def vault() -> Any:
        return key

    keeper = keeper_of(vault, patience=30.0)
    async with asyncio.timeout(1.0):
        with pytest.raises(e.ConfigurationError) as caught:
            await keeper.get()
    assert caught.value.field == "api_key"
    assert "canary" not in repr(caught.value) + caplog.text
    assert identity.fetches == 0


@pytest.mark.parametrize("slip", ["", "key\n", None, 1, b"key"])
async def test_p6_a_wrong_value_of_a_vaults_passes_where_the_key_has_worked(
    identity: Identity, keeper_of: KeeperMaker, slip: Any
) -> None:
    """Once in place of the key: callers wait for the next answer, as in any failure in passing."""
    keys = iter(["key", slip, slip, "key"])

    async def vault() -> Any:
        return next(keys)

    keeper = keeper_of(vault)
    keeper.reject(await keeper.get())
    assert keeper.has_worked
    assert await keeper.get() == "token-2"
    assert identity.fetches == 2


async def test_p7_nothing_of_a_vaults_failure_is_chained(
    identity: Identity, keeper_of: KeeperMaker
) -> None:
    """Neither as a cause nor as a context that is only not shown."""

    async def vault() -> str:
        raise RuntimeError("canary: vault password") from ValueError("canary")

    keeper = keeper_of(vault, patience=3 * UNIT)
    with pytest.raises(e.RequestTimeoutError) as caught:
        await keeper.get()
    links = list(chain_of(caught.value))
    assert {type(link) for link in links} == {e.RequestTimeoutError, e.TransportError}
    assert "canary" not in "".join(f"{link!r} {vars(link)}" for link in links)


async def test_a_callable_that_is_not_async_is_told(
    identity: Identity, keeper_of: KeeperMaker
) -> None:
    """A plain function in place of an async one is an error, not the end of the task."""
    keeper = keeper_of(lambda: "key", patience=3 * UNIT)
    with pytest.raises(e.PayrocError, match="TypeError"):
        await keeper.get()
    assert not token_task().done()


@pytest.mark.parametrize("key", ["k", "a-B_0.9~!", "an api key", "x" * 4096])
def test_a_good_key_is_taken(key: str) -> None:
    """Printable ASCII without spaces around it can stand in a header."""
    assert check_api_key(key) == key
    assert key not in repr(check_api_key(key))


# The end of the task ----------


async def test_p6_the_task_has_a_name_and_ends_with_stop(
    identity: Identity, keeper_of: KeeperMaker
) -> None:
    """There is one task, named, and none after `stop`, which may be called twice."""
    keeper = keeper_of()
    await keeper.get()
    task = token_task()
    await keeper.stop()
    assert task.cancelled()
    await keeper.stop()


async def test_p6_stop_wakes_who_waits(identity: Identity, keeper_of: KeeperMaker) -> None:
    """Waiters get a SessionClosedError at once, and so does who comes later."""
    identity.takes = 30.0
    keeper = keeper_of(patience=30.0)
    waiting = [asyncio.create_task(keeper.get()) for _ in range(10)]
    await asyncio.sleep(UNIT / 2)
    await keeper.stop()
    async with asyncio.timeout(1.0):
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(error) for error in results] == [e.SessionClosedError] * 10
        with pytest.raises(e.SessionClosedError):
            await keeper.get()


async def test_p6_a_task_killed_from_outside_is_an_error_not_a_hang(
    identity: Identity, keeper_of: KeeperMaker
) -> None:
    """Somebody cancels every task of the loop: waiters and later callers are informed."""
    identity.takes = 30.0
    keeper = keeper_of(patience=30.0)
    waiting = asyncio.create_task(keeper.get())
    await asyncio.sleep(UNIT / 2)
    token_task().cancel()
    async with asyncio.timeout(1.0):
        with pytest.raises(e.SessionClosedError):
            await waiting
        with pytest.raises(e.SessionClosedError):
            await keeper.get()


class Foreign(BaseException):
    """As those of libraries that must not be caught by ``except Exception``."""


@pytest.mark.parametrize(
    "raised",
    [
        RuntimeError("can't start new thread"),
        UnicodeError("label empty or too long"),
        OverflowError("date value out of range"),
        KeyError("a bug"),
        MemoryError(),
        RecursionError(),
        AssertionError(),
        ExceptionGroup("several", [ValueError()]),
        Foreign(),
        asyncio.CancelledError(),
    ],
    ids=lambda raised: type(raised).__name__,
)
async def test_p6_the_task_survives_whatever_is_raised(
    identity: Identity,
    keeper_of: KeeperMaker,
    caplog: pytest.LogCaptureFixture,
    raised: BaseException,
) -> None:
    """At the first fetch and at refreshes: each is logged, and the next fetch gives a token."""

    async def fail() -> Token:
        raised.__traceback__ = None
        raise raised

    identity.script = [fail, 3600.0, fail, fail, 3600.0]
    keeper = keeper_of()
    task = token_task()
    before = keeper.has_worked
    first = await keeper.get()
    assert (before, keeper.has_worked) == (False, True)
    keeper.reject(first)
    assert await keeper.get() == "token-2"
    assert token_task() is task
    attempts = [record.getMessage().split(":")[0][-1] for record in caplog.records]
    assert attempts == ["1", "1", "2"]
    assert identity.fetches == 5


async def test_p6_callers_get_the_cause_of_what_is_raised(
    identity: Identity, keeper_of: KeeperMaker
) -> None:
    """Bounded, and without a hot loop meanwhile."""
    identity.script = [KeyError("a bug")]
    keeper = keeper_of(patience=4 * UNIT)
    with pytest.raises(e.RequestTimeoutError, match="failed with KeyError") as caught:
        await keeper.get()
    failure = caught.value.__cause__
    assert isinstance(failure, e.TransportError)
    assert isinstance(failure.__cause__, KeyError)
    assert all(gap >= UNIT / 4 for gap in identity.gaps)


async def test_p6_the_task_survives_a_log_handler_that_raises(
    identity: Identity, keeper_of: KeeperMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A filter of the application's is called within the task, and may fail."""
    monkeypatch.setattr("payroc_async.logs.report", report)

    def fail(record: logging.LogRecord) -> bool:
        raise ValueError("a bug in the application's filter")

    logger = logging.getLogger(token_module.__name__)
    logger.addFilter(fail)
    try:
        identity.script = [down(), down(), 3600.0]
        keeper = keeper_of()
        assert await keeper.get() == "token-1"
    finally:
        logger.removeFilter(fail)
    assert identity.fetches == 3


@pytest.mark.parametrize("raised", [SystemExit, KeyboardInterrupt, GeneratorExit])
async def test_p6_a_vault_that_would_end_the_program_ends_nothing(
    identity: Identity, keeper_of: KeeperMaker, raised: type[BaseException]
) -> None:
    """As with every callback: a ``sys.exit()`` in it is a failed fetch, under sales as well."""
    fetches = 0

    async def vault() -> str:
        nonlocal fetches
        fetches += 1
        if fetches in (1, 3):
            raise raised
        return "key"

    identity.script = [3600.0, 3600.0]
    keeper = keeper_of(vault)
    task = token_task()
    keeper.reject(await keeper.get())
    assert await keeper.get() == "token-2"
    assert token_task() is task
    assert (fetches, identity.fetches) == (4, 2)


async def test_p6_what_waits_for_a_vault_can_be_closed(
    identity: Identity, keeper_of: KeeperMaker
) -> None:
    """What Python throws into a coroutine that it drops is no failure of the vault."""
    waiting = keeper_of(lambda: asyncio.sleep(30.0, "key"))._key()
    waiting.send(None)
    waiting.close()  # raises what comes out in its place


async def test_p6_a_cancellation_of_the_vaults_own_does_not_end_the_task(
    identity: Identity, keeper_of: KeeperMaker
) -> None:
    """The callable awaits a task of its own that somebody cancels."""
    tries = 0

    async def vault() -> str:
        nonlocal tries
        tries += 1
        if tries == 1:
            asking = asyncio.create_task(asyncio.sleep(30.0))
            asyncio.get_running_loop().call_soon(asking.cancel)
            await asking
        return "key"

    keeper = keeper_of(vault)
    assert await keeper.get() == "token-1"


async def test_p9_stop_ends_a_vault_that_swallows_its_cancellation(
    identity: Identity, keeper_of: KeeperMaker
) -> None:
    """A callable that catches what it must not is canceled again; the next fetch never begins."""
    swallowed = 0
    begun = asyncio.Event()

    async def vault() -> str:
        nonlocal swallowed
        begun.set()
        try:
            await asyncio.sleep(30.0)
        except asyncio.CancelledError:
            swallowed += 1
        return "key"

    keeper = keeper_of(vault, patience=30.0)
    task = token_task()
    await begun.wait()
    async with asyncio.timeout(5.0):
        await keeper.stop()
    assert task.done()
    assert swallowed == 1


async def test_p9_stop_is_bounded_whatever_the_vault_does(
    identity: Identity,
    keeper_of: KeeperMaker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A callable that ignores every cancellation is left, and that is logged."""
    monkeypatch.setattr(token_module, "STOP_PATIENCE", UNIT)
    free = begun = False

    async def vault() -> str:
        nonlocal begun
        begun = True
        while not free:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(UNIT)
        return "key"

    keeper = keeper_of(vault, patience=30.0)
    task = token_task()
    await until(lambda: begun)
    async with asyncio.timeout(5.0):
        await keeper.stop()
    assert "the token task is left" in caplog.text
    free = True
    async with asyncio.timeout(5.0):
        await asyncio.wait([task])


async def test_p6_a_dead_task_leaves_a_valid_token_usable(
    identity: Identity, keeper_of: KeeperMaker, small: None
) -> None:
    """The token that is left is given until it expires, then callers get the error."""
    identity.script = [8 * UNIT]
    keeper = keeper_of(patience=30.0)
    await keeper.get()
    token_task().cancel()
    await asyncio.sleep(0)
    assert await keeper.get() == "token-1"

    async def use_up() -> None:
        async with asyncio.timeout(2.0):
            while True:
                await keeper.get()
                await asyncio.sleep(UNIT / 2)

    with pytest.raises(e.SessionClosedError):
        await use_up()


async def test_p7_neither_key_nor_token_is_logged(
    identity: Identity, keeper_of: KeeperMaker, caplog: pytest.LogCaptureFixture
) -> None:
    """At whatever level, through success, refusal and failure."""
    caplog.set_level(logging.DEBUG)
    identity.script = [down(), 3600.0, refused(), 3600.0]
    keeper = keeper_of(initial=5 * UNIT, maximum=5 * UNIT)
    keeper.reject(await keeper.get())
    with pytest.raises(e.AuthenticationError):
        await keeper.get()
    assert caplog.records
    for record in caplog.records:
        assert "canary" not in repr(vars(record))
        assert "token-1" not in repr(vars(record))
