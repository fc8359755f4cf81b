"""P7's ears: they hear all that the SDK hands out or logs, and know a secret when they hear one."""

from __future__ import annotations

import asyncio
import logging
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import define, field

from payroc_async import Payment, PayrocSession
from payroc_async.simulator import sample_payment
from payroc_async.simulator.tokens import TOKEN_MARK

API_KEY = "simulator-key"
CARD = sample_payment()["card"]
SECRETS = {
    "the API key": re.compile(re.escape(API_KEY)),
    # Every token that the simulator issues begins so.
    "a token": re.compile(re.escape(TOKEN_MARK)),
    "a Bearer header": re.compile(r"Bearer (?!\*\*\*)\S"),
    "the card number": re.compile(re.escape(CARD["cardNumber"])),
    "the card number's digits": re.compile(r"453985\D{0,8}7062"),
    "the cardholder's name": re.compile("Hopper"),
    # Four digits are found by chance in ids and times: only as a value of their own do they count.
    "the expiry date": re.compile(rf"""['"=:]\s*{CARD["expiryDate"]}\b"""),
}
LOGGINGS_OWN = frozenset(("created", "lineno", "msecs", "process", "relativeCreated", "thread"))
"""What logging itself counts in a record: some of these numbers pass for an expiry date."""
ANY_SECRET = re.compile("|".join(f"(?:{secret.pattern})" for secret in SECRETS.values()))


def said_by(error: BaseException) -> Iterator[str]:
    """Everything an error may say of itself, and the errors it came from."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield from (str(one), repr(one), repr(one.args), repr(vars(one)))
        yield "".join(traceback.format_exception(one))
        waiting += [one.__cause__, one.__context__]
        for value in vars(one).values():
            yield from (str(value), repr(value))
            if isinstance(value, dict):
                yield str(dict(value))


@define(eq=False)
class Ears(logging.Handler):
    """Hears every log record at DEBUG and everything that is handed out, and searches it."""

    heard: int = 0
    shown: int = 0
    found: set[str] = field(factory=set)

    def __attrs_pre_init__(self) -> None:
        super().__init__(logging.DEBUG)

    def listen(self, text: str, where: str) -> None:
        self.heard += 1
        if not ANY_SECRET.search(text):
            return
        for name, pattern in SECRETS.items():
            if match := pattern.search(text):
                around = text[max(0, match.start() - 60) : match.end() + 20]
                self.found.add(f"{name} in {where}: …{around!r}…")

    def emit(self, record: logging.LogRecord) -> None:
        where = f"a record of {record.name}"
        self.listen(record.getMessage(), where)
        self.listen(repr(record.args), where)
        fields = {name: value for name, value in vars(record).items() if name not in LOGGINGS_OWN}
        self.listen(repr(fields), where)
        if record.exc_info and record.exc_info[1]:
            for text in said_by(record.exc_info[1]):
                self.listen(text, where)

    def witness(self, thing: object) -> None:
        """Looks at what a run hands out: events, payments, errors, sessions, handles."""
        where = f"a {type(thing).__name__}"
        self.listen(str(thing), where)
        self.listen(repr(thing), where)
        self.listen(f"{thing!a}", where)
        if isinstance(thing, BaseException):
            for text in said_by(thing):
                self.listen(text, where)
        error = getattr(thing, "error", None)
        if isinstance(error, BaseException):
            for text in said_by(error):
                self.listen(text, where)
        if isinstance(thing, Payment):
            # Its card is there for who asks; neither it nor what it is part of shows itself.
            for part in (thing.card, thing.raw, thing.order, thing.transaction_result):
                self.listen(f"{part} {part!r}", f"a {type(part).__name__}")
        if isinstance(thing, PayrocSession):
            for value in vars(thing).values():
                self.listen(f"{value} {value!r}", f"a session's {type(value).__name__}")
        self.shown += 1
        if self.shown % 8 == 1:  # there are thousands, and as many tasks to look at each time
            self.look_around()

    def look_around(self) -> None:
        """Tasks, and the reprs of what lives inside a session."""
        for task in asyncio.all_tasks():
            # Without the result of what it waits for: aiohttp keeps there what it can't parse.
            self.listen(re.sub(r"(?s) wait_for=.*?(?= cb=\[|$)", "", repr(task)), "a task")


@contextmanager
def everything_heard() -> Iterator[Ears]:
    """All loggers at DEBUG, ours, aiohttp's and asyncio's among them."""
    ears = Ears()
    root = logging.getLogger()
    loggers = [root] + [logging.getLogger(name) for name in ("payroc_async", "aiohttp", "asyncio")]
    levels = [logger.level for logger in loggers]
    root.addHandler(ears)
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    try:
        yield ears
    finally:
        root.removeHandler(ears)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
