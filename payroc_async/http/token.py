"""The Bearer token: one task per session fetches it, and the next before it expires.

Source: contract section 1.
"""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

from payroc_async.config import RetryPolicy, Timeouts
from payroc_async.errors import (
    ConfigurationError,
    PayrocError,
    RequestTimeoutError,
    SessionClosedError,
    TransportError,
)
from payroc_async.logs import get_logger
from payroc_async.retry import backoff_delay, worth_retrying
from payroc_async.secret import Secret, concealed, forget_frames
from payroc_async.wire.protocol import Token
from payroc_async.wording import a_type

from .failures import ENDING, failure_of

__all__ = ["APIKey", "TokenManager", "check_api_key"]

logger = get_logger(__name__)

APIKey = str | Callable[[], Awaitable[str]]
"""An API key, or an async callable that returns one, asked at each token fetch."""

SHORTEST_LIFE = 1.0
"""Seconds for which any token is used, whatever its ``expires_in``: a 401 says if it is stale."""
ASSUMED_LIFE = 300.0
"""Seconds that a token is taken to live whose answer does not say."""
LONGEST_LIFE = 86_400.0
EARLIEST_REFRESH = 120.0
"""Seconds before the end of a token's life at which the next is fetched, at the most."""
LEAST_INTERVAL = 1.0
"""Seconds between two fetches that nothing but short lives or refused tokens ask for."""
STOPS = 3
"""How often the task is canceled while it does not end: a vault may swallow a cancellation."""
STOP_PATIENCE = 1.0
"""Seconds between those."""


def check_api_key(value: object) -> Secret:
    """The key, if it can stand in a header; the error never shows it.

    Raises:
        ConfigurationError: It is no string, is empty, or holds what a header can't.
    """
    reason = _fault_of_key(value)
    if reason is None:
        return Secret(value)
    del value  # it may be the key all the same, and this frame is shown
    raise ConfigurationError("api_key", reason)


def _fault_of_key(value: object) -> str | None:
    if not isinstance(value, str):
        return f"must be a string, or an async function that returns one, not {a_type(value)}"
    if not value:
        return "must not be empty"
    if not (value.isascii() and value.isprintable()) or value != value.strip():
        return "must be printable ASCII, without spaces around it"
    return None


class TokenManager:
    """Holds the valid token and owns the task that fetches it.

    Args:
        authorize: Fetches one token for an API key.
        api_key: The key, or an async callable that returns it.
        timeouts: ``timeouts.token`` bounds how long a caller waits.
        retries: The backoff while the identity service fails.
    """

    def __init__(
        self,
        authorize: Callable[[str], Awaitable[Token]],
        api_key: APIKey,
        *,
        timeouts: Timeouts,
        retries: RetryPolicy,
    ) -> None:
        self._authorize = authorize
        self._api_key = Secret(api_key) if isinstance(api_key, str) else api_key
        self._patience = timeouts.token
        self._retries = retries
        self.has_worked = False
        """Whether the identity service has ever given a token. A key that was right once is never a
        final reason for an instruction that may exist (P6)."""
        self._stopped = False
        self._failures = 0  # one after the other
        self._last_rejection = -LEAST_INTERVAL
        self._token: Secret | None = None
        self._expires = 0.0
        self._rejected = False
        self._failure: PayrocError | None = None
        """The last fetch's failure; None after a success."""
        self._refused_until = 0.0
        """After a final refusal no one asks the identity service again before."""

    def start(self) -> None:
        """Start the task, in the running loop."""
        self._loop = asyncio.get_running_loop()
        self._asked = asyncio.Event()
        self._changed: asyncio.Future[None] = self._loop.create_future()
        self._task = self._loop.create_task(self._run(), name="payroc token")
        self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """End the task. Callers that still wait for a token get a SessionClosedError."""
        self._stopped = True
        for _ in range(STOPS):
            self._task.cancel()
            if (await asyncio.wait((self._task,), timeout=STOP_PATIENCE))[0]:
                return
        logger.error("the token task is left: the api_key callable ignores its cancellation")

    def at_hand(self) -> str | None:
        """The valid token, if there is one now."""
        if self._token is None or self._loop.time() >= self._expires:
            return None
        return self._token

    async def get(self) -> str:
        """The valid token; at once when there is one.

        Raises:
            AuthenticationError: The API key is wrong. Another APIError: the identity service
                refused for another reason.
            RequestTimeoutError: None came in ``Timeouts.token`` seconds; its cause says why.
            SessionClosedError: The task has ended.

        Cancellation:
            Other callers and the fetch under way are not disturbed.
        """
        return self.at_hand() or await self._wait()

    def reject(self, token: str) -> None:
        """Drop a token that the API refused, and fetch another; once, however many tell."""
        if token == self._token:
            logger.info("the API refused the token: fetching another")
            self._token = None
            self._rejected = True
            self._asked.set()

    async def _wait(self) -> str:
        deadline = self._loop.time() + self._patience
        while True:
            now = self._loop.time()
            if self._token is not None and now < self._expires:
                return self._token
            if self._task.done():
                raise SessionClosedError("the session's token task has ended")
            if now < self._refused_until:
                assert self._failure is not None
                # A fresh one for each caller: a shared one would gather all their tracebacks.
                raise copy.copy(self._failure)
            if now >= deadline:
                reason = self._failure or "no answer yet from the identity service"
                raise RequestTimeoutError(
                    f"no token within {self._patience:g} s: {reason}", request_sent=False
                ) from self._failure
            self._asked.set()
            await asyncio.wait((self._changed,), timeout=deadline - now)

    def _tell(self) -> None:
        """Wake anyone who waits for a token, to look again."""
        changed, self._changed = self._changed, self._loop.create_future()
        changed.set_result(None)

    async def _run(self) -> None:
        """Renew the token until ``stop``, whatever goes wrong meanwhile."""
        task = asyncio.current_task()
        assert task is not None
        while not self._stopped:
            canceled = task.cancelling()
            try:
                await self._renew()
                continue
            except (KeyboardInterrupt, SystemExit, GeneratorExit):
                raise
            except PayrocError as error:
                failure = error
            except asyncio.CancelledError:
                # One that came up from what is awaited, such as a vault's own task, ends nothing.
                if self._stopped or task.cancelling() > canceled:
                    raise
                failure = TransportError("it was canceled from within", request_sent=False)
            except BaseException as error:  # a handler of the application's log, a bug
                failure = failure_of(error, sent=False, secret="")
            self._failures += 1
            self._failed(failure)
            await self._pause_after_failure(failure)

    async def _renew(self) -> None:
        """Fetch a token, and wait until it is time for the next."""
        started = self._loop.time()
        token = await self._fetch()
        # Its life counts from before it was asked for: so it ends here before it does there.
        await self._pause_after_success(self._accept(token, started))
        if self._rejected:
            # The first refusal is answered at once; a gateway that refuses every token is not.
            soonest = self._last_rejection + LEAST_INTERVAL
            await asyncio.sleep(max(0.0, soonest - self._loop.time()))
            self._last_rejection = self._loop.time()

    async def _fetch(self) -> Token:
        key = await self._key()
        if self._stopped:  # and the callable has swallowed that
            raise asyncio.CancelledError
        try:
            return await self._authorize(key)
        except (*ENDING, PayrocError):
            raise
        except BaseException as error:
            failure = failure_of(error, sent=False, secret=key)
        raise failure

    async def _key(self) -> Secret:
        if isinstance(self._api_key, Secret):
            return self._api_key
        try:
            async with asyncio.timeout(self._patience):
                key = concealed(await self._api_key())
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # a vault's sys.exit() ends no sale
            if asyncio.current_task(self._loop) is not self._task:
                raise  # nothing runs this any more: it is being closed
            failed = type(error).__name__
        else:
            return check_api_key(key)
        # Outside of the handler, and by its class alone: no one knows what a vault's errors hold.
        raise TransportError(f"the api_key callable failed with {failed}", request_sent=False)

    def _accept(self, token: Token, started: float) -> float:
        """Make the token the valid one; returns when to fetch the next."""
        life = ASSUMED_LIFE if token.lifetime is None else token.lifetime
        life = min(max(life, SHORTEST_LIFE), LONGEST_LIFE)
        self._token = Secret(token.value)
        self.has_worked = True
        self._failures = 0
        # But it is used, also where it took longer to come than it lives: a 401 would tell.
        self._expires = max(started + life, self._loop.time() + SHORTEST_LIFE)
        self._failure = None
        self._refused_until = 0.0
        self._rejected = False
        self._asked.clear()  # anyone who asked has it now
        self._tell()
        margin = min(0.2 * life, EARLIEST_REFRESH)
        return max(self._expires - margin * random.uniform(0.75, 1.0), started + LEAST_INTERVAL)

    def _failed(self, error: PayrocError) -> None:
        self._failure = forget_frames(error)
        logger.warning("no token from the identity service, attempt %d: %s", self._failures, error)

    def _valid(self) -> bool:
        return self._token is not None and self._loop.time() < self._expires

    async def _pause_after_success(self, until: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._asked.wait()

    async def _pause_after_failure(self, error: PayrocError) -> None:
        delay = max(backoff_delay(error, self._failures, self._retries), self._retries.initial / 2)
        # What a vault gives once in place of a key that has worked is a failure in passing.
        slip = self.has_worked and isinstance(error, ConfigurationError)
        if worth_retrying(error) or slip or self._valid():
            await asyncio.sleep(delay)
            return
        # A wrong key is reported to all callers. It is tried again when one asks, for it may
        # have been put right, but not in a loop of its own.
        self._refused_until = self._loop.time() + delay
        self._asked.clear()
        self._tell()
        await asyncio.sleep(delay)  # whatever the API says meanwhile of the token before
        await self._asked.wait()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the token task has died", exc_info=error)
        self._tell()
