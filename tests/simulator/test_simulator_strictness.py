"""Slips in a test of one's own: each is refused where it is made, or reported by `check`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any

import orjson
import pytest

from payroc_async import (
    ConfigurationError,
    NotFoundError,
    Order,
    PaymentInstructionRequest,
    PayrocSession,
    SignatureInstructionRequest,
    Tip,
)
from payroc_async import simulator as sim
from payroc_async.models import Breakdown
from payroc_async.simulator import Device, Faults, Simulator
from payroc_async.testing import RETRIES, TIMEOUTS, PayrocGateway
from tests.conftest import SERIAL, sale

from .test_testing import run_suite

NAN, INF = float("nan"), float("inf")
SECONDS: list[Any] = [*(-1, NAN, INF, "1", True, None, timedelta(seconds=1), [1], 1e10, 10**400)]
TOO_MUCH = 2**63
"""More than JSON's numbers can be sure to hold."""
TEXTS: list[Any] = ["", "  ", 5, None, b"x", ["x"]]


async def _coroutine(document: Any) -> Any:
    return document


def _generator(document: Any) -> Any:
    yield document


class _AsyncCall:
    async def __call__(self, document: Any) -> Any:
        return document


Slip = tuple[Callable[[Any], object], Any, str]


def of(field: str, make: Callable[[Any], object], values: list[Any]) -> list[Slip]:
    """A slip for each value of an argument."""
    return [(make, value, field) for value in values]


def a_device() -> Device:
    return Simulator().device(SERIAL)


def add(**wrong: Any) -> Callable[[Any], object]:
    """Adds a fault with one wrong argument, whose name stands for the value."""
    (name,) = wrong

    def make(value: Any) -> object:
        arguments: dict[str, Any] = {"on": "submit", "fault": sim.drop_after(), name: value}
        return Simulator().faults.add(**arguments)

    return make


def setting(name: str) -> Callable[[Any], object]:
    return lambda value: setattr(Simulator(), name, value)


def of_device(name: str) -> Callable[[Any], object]:
    return lambda value: setattr(a_device(), name, value)


STATUSES: list[Any] = ["503", 503.0, True, None, 0, 99, 199, 600, -1]
SLIPS: list[Slip] = [
    # The simulator and the gateway
    *of("hold", lambda value: Simulator(hold=value), SECONDS),
    *of("hold", lambda value: PayrocGateway(hold=value), SECONDS),
    *of("token_lifetime", lambda value: Simulator(token_lifetime=value), SECONDS),
    *of("approves_after", lambda value: Simulator(approves_after=value), SECONDS),
    *of("api_key", lambda value: Simulator(api_key=value), [5, None, b"x", "k\r\nx: y", "ä"]),
    *of("host", lambda value: Simulator(host=value), [*TEXTS, "a b", " ::1", "h\n", "h\0"]),
    *of("port", lambda value: Simulator(port=value), ["80", 80.0, -1, 65536, True, None]),
    *of("expires_in", lambda value: Simulator(expires_in=value), [{1}, print, NAN, object()]),
    *of("strict_devices", lambda value: Simulator(strict_devices=value), [1, None, "yes"]),
    *of("strict_devices", lambda value: PayrocGateway(strict_devices=value), [1, None, "yes"]),
    *of("hold", setting("hold"), SECONDS),
    *of("token_lifetime", setting("token_lifetime"), SECONDS),
    *of("list_spelling", setting("list_spelling"), ["has-more", "hasmore", None, 1, ["hasMore"]]),
    *of("strict_devices", setting("strict_devices"), [0, "no", None]),
    *of(
        "serial_number", lambda value: Simulator().device(value), [*TEXTS, 1850010868, " 1", "1\n"]
    ),
    *of("serial_number", lambda value: PayrocGateway().device(value), [*TEXTS, 1850010868]),
    *of(
        "settlement_date",
        lambda value: Simulator().close_batch(value),
        ["2026-05-01", 5, datetime.now(UTC), "", False],
    ),
    *of(
        "data",
        lambda value: Simulator().add_closed_loop_read(value),
        ["x", None, [("a", 1)], {"a": {1}}, {1: 2}],
    ),
    *of(
        "processing_terminal_id",
        lambda value: Simulator().add_closed_loop_read({}, processing_terminal_id=value),
        TEXTS,
    ),
    *of("kind", lambda value: Simulator().requests_of(value), ["sale", "any", "", None, 5]),
    # Devices
    *of("after", lambda value: a_device().approves(value), SECONDS),
    *of("after", lambda value: a_device().declines(value), SECONDS),
    *of("after", lambda value: a_device().approves_partially(1, value), SECONDS),
    *of("after", lambda value: a_device().answers("E", value), SECONDS),
    *of("after", lambda value: a_device().fails("x", value), SECONDS),
    *of("after", lambda value: a_device().cardholder_cancels(value), SECONDS),
    *of("after", lambda value: a_device().shows_status("x", value), SECONDS),
    *of(
        "amount",
        lambda value: a_device().approves_partially(value),
        [0.5, 0, -1, "5", True, None, TOO_MUCH, 10**400],
    ),
    *of("tip", lambda value: a_device().approves(tip=value), [0.5, -1, "5", True, TOO_MUCH]),
    # Charges without a device, and terminals
    *of("response_code", lambda value: Simulator().next_charge(value), [*TEXTS, [], {}, set()]),
    *of(
        "authorized_amount",
        lambda value: Simulator().next_charge("A", authorized_amount=value),
        [0.5, -1, "5", True, TOO_MUCH],
    ),
    *of(
        "changes",
        lambda value: Simulator().set_terminal("1234002", value),
        [[], (), set(), "", "x", 0, False, {"a": {1}}],
    ),
    *of("card", lambda value: a_device().approves(card=value), ["gold", "Visa", "", None, 5]),
    *of("card", lambda value: a_device().declines(card=value), ["gold", None]),
    *of(
        "response_code",
        lambda value: a_device().approves(response_code=value),
        ["D", "P", "R", "C"],
    ),
    *of("response_code", lambda value: a_device().approves(response_code=value), TEXTS),
    *of("response_code", lambda value: a_device().answers(value), TEXTS),
    *of("status", lambda value: a_device().answers("E", status=value), TEXTS),
    *of(
        "response_message", lambda value: a_device().declines(response_message=value), ["", 5, b"x"]
    ),
    *of("message", lambda value: a_device().fails(value), TEXTS),
    *of("word", lambda value: a_device().shows_status(value), TEXTS),
    *of("status", lambda value: a_device().is_offline(value), [500, "409", 409.0, None, True]),
    *of("tender", of_device("tender"), ["cash", None, 5]),
    *of("model", of_device("model"), TEXTS),
    *of("ksi", of_device("ksi"), TEXTS),
    *of("deactivated_date", of_device("deactivated_date"), ["yesterday", 5, datetime.now(UTC), ""]),
    *of("created_date", of_device("created_date"), ["2026-13-01", None]),
    *of("last_transaction", of_device("last_transaction"), ["x", 5, {"a": {1}}]),
    # Faults
    *of(
        "fault",
        add(fault=0),
        [
            sim.drop_after,
            sim.status,
            sim.FaultAction,
            sim.Fault,
            None,
            "drop_after",
            503,
            lambda: 0,
        ],
    ),
    *of("on", add(on=0), ["sumbit", "", None, 5, ["submit"], sim.drop_after]),
    *of("times", add(times=0), [0, -1, 1.5, True, "2"]),
    *of("skip", add(skip=0), [-1, 1.5, True, "2", None]),
    *of("serial_number", add(serial_number=0), [1850010868, "", " "]),
    *of("instruction_id", add(instruction_id=0), ["an id", 5, ""]),
    *of("seconds", sim.delay, SECONDS),
    *of("seconds", sim.hang, [one for one in SECONDS if one is not None]),
    *of("code", sim.status, STATUSES),
    *of("code", sim.html, STATUSES),
    *of("code", sim.empty, STATUSES),
    *of("code", lambda value: sim.problem(value, "api-error"), [*STATUSES, 204]),
    *of("code", lambda value: sim.status(value, body=b"x"), [204, 304]),
    *of("body", lambda value: sim.status(503, body=value), ["x", None, {}, bytearray(b"x")]),
    *of("content_type", lambda value: sim.status(503, content_type=value), [None, "a\r\nb", 5]),
    *of(
        "headers",
        lambda value: sim.status(503, headers=value),
        [{"Retry-After": 30}, {"a b": "c"}, {"": "x"}, {1: "2"}, [("a", "b")], {"a": "b\r\nc"}],
    ),
    *of("headers", lambda value: sim.problem(503, "x", headers=value), [{"Retry-After": 30}, "x"]),
    *of("effect", lambda value: sim.status(503, effect=value), [1, None, "yes"]),
    *of("effect", lambda value: sim.problem(503, "x", effect=value), [1, None, "yes"]),
    *of("fragment", lambda value: sim.problem(503, value), TEXTS),
    *of("detail", lambda value: sim.problem(503, "x", detail=value), ["", 5]),
    *of(
        "errors", lambda value: sim.problem(400, "x", errors=value), ["x", {}, ["x"], [{"a": {1}}]]
    ),
    *of("size", sim.huge, [0, -1, 1.5, "1", None, True]),
    *of("retry_after", sim.rate_limited, [30, 1.5, "1\n", True]),
    *of("location", sim.redirect, [*TEXTS, "/a\r\nb: c"]),
    *of(
        "function",
        sim.edit,
        [
            *(_coroutine, _AsyncCall(), _generator, None, {}, "x"),
            *(partial(_coroutine), partial(partial(_AsyncCall())), cache(_coroutine)),
        ],
    ),
]


@pytest.mark.parametrize(
    ("make", "value", "field"),
    SLIPS,
    ids=[f"{number}-{field}" for number, (_, _, field) in enumerate(SLIPS)],
)
def test_a_slip_is_refused_where_it_is_made(
    make: Callable[[Any], object], value: Any, field: str
) -> None:
    """The error names the argument, and what it has to be."""
    with pytest.raises(ConfigurationError) as caught:
        make(value)
    assert caught.value.field == field
    assert caught.value.reason.startswith(("must ", "can't ", "holds ")) or "header" in str(caught)


@pytest.mark.parametrize("fault", [sim.drop_after, sim.rate_limited, sim.edit])
def test_a_function_that_was_not_called_is_named(fault: Any) -> None:
    """It says what is missing: the parentheses."""
    name = fault.__name__
    with pytest.raises(ConfigurationError, match=rf"the function {name}: call it, {name}\("):
        Simulator().faults.add("submit", fault)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Simulator(hold="60"), "hold: must be a number of seconds, not '60'"),  # type: ignore[arg-type]
        (lambda: Simulator(strict_devices=1), "strict_devices: must be True or False, not 1"),  # type: ignore[arg-type]
        (lambda: a_device().approves(card=[]), "discover, not a list"),  # type: ignore[arg-type]
        (lambda: Simulator(api_key=b"canary"), "api_key: must be a string, not a bytes"),  # type: ignore[arg-type]
        (lambda: a_device().fails(Simulator), "not the class Simulator: call it"),  # type: ignore[arg-type]
        (lambda: sim.huge(0), "size: must be at least 1, is 0"),
        (lambda: sim.huge(2**63), "size: must be at most 9223372036854775807, is 9223372036854"),
    ],
)
def test_a_slip_is_shown(make: Callable[[], object], said: str) -> None:
    """By its value where it is short, or else its type with an article."""
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert said in str(caught.value)


@pytest.mark.parametrize("on", ["authorize", "search", "closed_loop_read", "other"])
def test_a_filter_that_nothing_can_pass(on: str) -> None:
    """A request that is about no device can't be chosen by its device."""
    with pytest.raises(ConfigurationError, match=f"requests of kind {on} have none"):
        Simulator().faults.add(on, sim.garbage(), serial_number=SERIAL)


@pytest.mark.parametrize("gateway", [Simulator, PayrocGateway])
def test_a_misspelled_attribute(gateway: type[Simulator]) -> None:
    """It is an error, on the gateway as on a device; and what is made once can't be replaced."""
    made = gateway()
    for one, name in ((made, "hodl"), (made, "list_speling"), (a_device(), "deactivated")):
        with pytest.raises(AttributeError, match=name):
            setattr(one, name, 1)
    for one, name in ((made, "faults"), (made, "requests"), (a_device(), "serial_number")):
        with pytest.raises(AttributeError):
            setattr(one, name, Faults())


def test_what_makes_sense_is_taken() -> None:
    """The bounds themselves are good, and numbers of either type."""
    gateway = Simulator(hold=0, token_lifetime=1, expires_in=sim.OMIT, port=65535, api_key="")
    gateway.hold, gateway.expires_in = 0.5, "soon"
    assert (gateway.hold, gateway.token_lifetime, gateway.expires_in) == (0.5, 1.0, "soon")
    device = gateway.device("ä-1")
    assert device.approves(0, tip=0, response_code="Z").declines(1).answers("E") is device
    device.deactivated_date = "2026-05-01"
    made = [
        sim.status(599, body=b"x", headers={"X-A": "b\tc"}, content_type="a/b"),
        sim.status(204),
        sim.empty(304),
        sim.problem(400, "x", errors=[{"parameter": "p"}]),
        sim.rate_limited(),
        sim.hang(),
        sim.hang(0),
        sim.edit(dict),
    ]
    for fault in made:
        gateway.faults.add("any", fault, serial_number="ä-1", instruction_id="i", times=None)
    assert len(gateway.faults.waiting) == len(made)


# What shows only when a request comes ----------


@pytest.fixture
def running() -> Iterator[PayrocGateway]:
    with PayrocGateway() as gateway:
        yield gateway


async def pay(gateway: PayrocGateway, serial_number: str = SERIAL, **request: Any) -> Any:
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=TIMEOUTS, retries=RETRIES
    ) as session:
        asked = PaymentInstructionRequest(**request) if request else sale()
        return await session.run_sale(serial_number, asked)


def complaint(gateway: PayrocGateway) -> str:
    """What `check` says first."""
    with pytest.raises(AssertionError) as caught:
        gateway.check()
    return str(caught.value).splitlines()[0]


@pytest.mark.parametrize("part", [4999, 5000])
async def test_a_part_that_is_not_less(running: PayrocGateway, part: int) -> None:
    """A partial approval of the whole shows nothing of partial approvals."""
    running.device(SERIAL).approves_partially(part)
    await pay(running)
    assert f"was to approve a part of {part}, but instruction" in complaint(running)
    running.clear()
    running.check()


async def test_a_part_of_a_signature(running: PayrocGateway) -> None:
    """A script serves signatures, too, which have no sum."""
    running.device(SERIAL).approves_partially(1)
    async with PayrocSession(running.api_key, environment=running.environment) as session:
        await session.capture_signature(
            SERIAL, SignatureInstructionRequest(processing_terminal_id="1234001")
        )
    running.check()


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda document: document.update(operator="x"), "it returned None"),
        (lambda document: document["missing"], "KeyError"),
        (lambda document: {**document, "operator": {1}}, "TypeError"),
    ],
)
async def test_a_function_that_fails(running: PayrocGateway, function: Any, said: str) -> None:
    """The till gets a 500, which it may repair; the test fails all the same."""
    running.faults.add("payment", sim.edit(function))
    assert (await pay(running)).approved
    first = complaint(running)
    assert first.startswith(
        "The test requested something impossible: The function of edit() failed"
    )
    assert said in first


async def test_a_script_that_nothing_used(running: PayrocGateway) -> None:
    """Each call is for one instruction: what is left over is reported, by its names."""
    running.device("1850010869").shows_status("waiting").declines()
    running.device(SERIAL).approves().fails()
    await pay(running)
    with pytest.raises(AssertionError) as caught:
        running.check()
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("No instruction on device 1850010869 used shows_status().declines()")
    assert lines[1].startswith(f"No instruction on device {SERIAL} used fails(). If none need: may")
    running.may_go_unused("1850010869")
    running.may_go_unused(SERIAL)
    running.check()


async def test_a_tip_that_no_request_asked_for(running: PayrocGateway) -> None:
    """The cardholder adds a tip only if asked: a test of tips has to have the device ask."""
    running.device(SERIAL).approves(tip=500)
    await pay(running)
    assert "used the tip of approves()" in complaint(running)
    breakdown = Breakdown(subtotal=4999, tip=Tip(type="fixedAmount", mode="prompted"))
    order = Order(order_id="O2", amount=4999, currency="USD", breakdown=breakdown)
    payment = await pay(running, processing_terminal_id="1234001", order=order)
    assert payment.order.amount == 5499
    running.check()


def test_a_script_waits_while_a_person_drives(running: PayrocGateway) -> None:
    """A device whose page is open leaves its script: that is no slip."""
    device = running.device(SERIAL).declines()
    device.hand = sim.simulated_devices.Operator(pages=1)
    running.check()


@pytest.mark.parametrize("allow", ["may_stay_in_progress", "may_go_unused"])
def test_an_exception_for_a_device_that_is_none(running: PayrocGateway, allow: str) -> None:
    """A wrong serial number there would leave the right one unwatched, or excuse nothing."""
    getattr(running, allow)("1850010869")
    assert f"{allow}('1850010869')" in complaint(running)
    running.device("1850010869")
    running.check()


async def test_strict_devices(running: PayrocGateway) -> None:
    """Only what was registered is known, until that is switched off; then each device is."""
    running.strict_devices = True
    with pytest.raises(NotFoundError, match=r"no device 1850010868\. Registered: none"):
        await pay(running)
    running.device("2")
    running.device("3")
    with pytest.raises(
        NotFoundError, match=r"Registered: 2, 3\. To register it: device\('1850010868"
    ):
        await pay(running)
    for ask in (running.amounts_on, running.keys_on, running.instructions_on):
        with pytest.raises(ConfigurationError, match=r"no device 1850010868\. Registered: 2, 3"):
            ask(SERIAL)
    with pytest.raises(ConfigurationError, match="no device"):
        await running.wait_for_instruction(SERIAL)
    with pytest.raises(ConfigurationError, match="no device"):
        running.may_stay_in_progress(SERIAL)
    assert (await pay(running, "2")).approved
    assert running.amounts_on("2") == [4999]
    running.strict_devices = False
    assert (await pay(running)).approved


async def test_the_answer_for_an_unknown_device(running: PayrocGateway) -> None:
    """It is the gateway's own problem document, and the key is not used up."""
    running.strict_devices = True
    with pytest.raises(NotFoundError):
        await pay(running)
    (request,) = running.requests_of("submit")
    assert request.answer is not None
    document = orjson.loads(request.answer)
    assert (document["status"], document["type"][-9:]) == (404, "not-found")
    assert not running.instructions


@pytest.mark.parametrize("timeout", SECONDS)
async def test_a_wait_that_is_none(running: PayrocGateway, timeout: Any) -> None:
    """The time to wait is checked before it is waited for."""
    with pytest.raises(ConfigurationError, match="timeout"):
        await running.wait_for_instruction(SERIAL, timeout=timeout)


def test_slips_in_the_plugin(pytester: pytest.Pytester) -> None:
    """A test with a slip fails, whichever it is, and says why."""
    result = run_suite(
        pytester,
        """
        pytestmark = pytest.mark.asyncio

        async def test_other_device(payroc_session, payroc_gateway):
            payroc_gateway.device("1850010867").declines()
            await payroc_session.run_sale("1850010869", SALE)

        async def test_used_by_nothing(payroc_session, payroc_gateway, payroc_device):
            payroc_gateway.device("1850010869").declines()
            await payroc_session.run_sale(payroc_device.serial_number, SALE)

        async def test_known_without_its_fixture(payroc_session, payroc_gateway):
            payroc_gateway.faults.add("submit", drop_after())
            assert (await payroc_session.run_sale("1850010868", SALE)).approved

        async def test_question_about_no_device(payroc_gateway):
            assert payroc_gateway.amounts_on("1850010869") == []

        class TestTimes:
            @pytest.fixture
            def payroc_timeouts(self):
                return Timeouts

            async def test_times(self, payroc_session):
                pass
        """,
    )
    result.assert_outcomes(passed=2, failed=2, errors=2)
    result.stdout.fnmatch_lines(
        [
            "*payroc_timeouts must return Timeouts, not a type",
            "*no device 1850010869. Registered: 1850010868, 1850010867.*",
        ]
    )
    result.stdout.fnmatch_lines(["No instruction on device 1850010869 used declines().*"])
