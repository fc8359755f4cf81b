"""The pytest plugin, in suites of others' own, and the gateway that it hands out."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Iterator

import aiohttp
import pytest
import pytest_asyncio

from payroc_async import ConfigurationError, PayrocSession, SignatureInstructionRequest
from payroc_async.simulator import Device, delay, drop_after, drop_before, edit
from payroc_async.testing import RETRIES, TIMEOUTS, PayrocGateway
from tests.conftest import SERIAL, UNIT, sale
from tests.harness.programs import ROOT, marked_blocks

# What the modules of the suites below have in common.
PREAMBLE = """
    import asyncio, os, urllib.request
    import pytest
    from payroc_async import Order, PaymentInstructionRequest, PayrocSession, Timeouts
    from payroc_async.simulator import drop_after
    from payroc_async.testing import PayrocGateway

    SALE = PaymentInstructionRequest(
        processing_terminal_id="1234001",
        order=Order(order_id="OrderRef6543", amount=4999, currency="USD"),
    )

"""


@pytest.fixture
def running() -> Iterator[PayrocGateway]:
    """A gateway in a thread of its own, which is content at the end."""
    with PayrocGateway() as gateway:
        yield gateway
        gateway.check()


LOOPS = "asyncio_default_fixture_loop_scope = function\n"


def run_suite(
    pytester: pytest.Pytester, source: str, *options: str, ini: str = LOOPS
) -> pytest.RunResult:
    """How a module of tests ends, with every warning an error."""
    pytester.makepyfile(textwrap.dedent(PREAMBLE) + textwrap.dedent(source))
    return run_pytest(pytester, *options, ini=ini)


def run_pytest(pytester: pytest.Pytester, *options: str, ini: str = LOOPS) -> pytest.RunResult:
    """How the modules that are there end, with every warning an error."""
    pytester.makeini("[pytest]\n" + ini)
    # Hypothesis imports itself whole at the end of each run.
    dull = ("-p", "no:randomly", "-p", "no:hypothesispytest")
    return pytester.runpytest_inprocess("-W", "error", "--strict-markers", *dull, *options)


def sell_test(name: str, *marks: str) -> str:
    """A test that runs a sale on payroc_session."""
    test = f"""
        async def test_{name}(payroc_session, payroc_device, payroc_gateway):
            payroc_device.approves(after=0.02)
            assert (await payroc_session.run_sale("1850010868", SALE)).approved
            assert payroc_gateway.amounts_on("1850010868") == [4999]
    """
    return "\n".join(["", *(" " * 8 + mark for mark in marks)]) + test


def test_session_is_open_in_the_tests_loop(pytester: pytest.Pytester) -> None:
    """A sale runs on payroc_session in any loop of pytest-asyncio and of anyio's plugin."""
    suite = [
        """
        DEBUG = ("asyncio", {"debug": True})
        """,
        sell_test("function", "@pytest.mark.asyncio"),
        sell_test("module", "@pytest.mark.asyncio(loop_scope='module')"),
        sell_test(
            "anyio",
            "@pytest.mark.anyio",
            "@pytest.mark.parametrize('anyio_backend', ['asyncio', DEBUG])",
        ),
    ]
    run_suite(pytester, "".join(suite)).assert_outcomes(passed=4)


def test_session_for_anyio_without_pytest_asyncio(pytester: pytest.Pytester) -> None:
    """The plugin of anyio is enough."""
    mark = "@pytest.mark.parametrize('anyio_backend', ['asyncio'])"
    result = run_suite(
        pytester, sell_test("anyio", "@pytest.mark.anyio", mark), "-p", "no:asyncio", ini=""
    )
    result.assert_outcomes(passed=1)


def test_session_needs_a_loop(pytester: pytest.Pytester) -> None:
    """Where a test has no event loop, or not one of asyncio, payroc_session says what to do."""
    result = run_suite(
        pytester,
        """
        def test_no_loop(payroc_session):
            pass

        @pytest.mark.anyio
        @pytest.mark.parametrize("anyio_backend", ["trio"])
        async def test_trio(payroc_session, anyio_backend):
            pass
        """,
        "-p",
        "no:asyncio",
        ini="",
    )
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*use payroc_gateway or payroc_env, which need no event loop."])
    result.stdout.fnmatch_lines(["*Have a fixture anyio_backend of your own return 'asyncio'."])


def test_a_careless_test_fails_at_its_end(pytester: pytest.Pytester) -> None:
    """What the contract forbids, what is left in progress and an idle fault each fail a test."""
    result = run_suite(
        pytester,
        """
        async def test_left(payroc_session, payroc_device):
            payroc_device.never_finishes()
            await payroc_session.start_sale(payroc_device.serial_number, SALE)

        async def test_left_by_another_session(payroc_env, payroc_device):
            payroc_device.never_finishes()
            async with PayrocSession.from_env() as session:
                device = payroc_device.serial_number
                await session.start_sale(device, SALE, on_cancel="detach")

        async def test_left_on_purpose(payroc_session, payroc_device, payroc_gateway):
            payroc_device.never_finishes()
            await payroc_session.start_sale(payroc_device.serial_number, SALE)
            payroc_gateway.may_stay_in_progress(payroc_device.serial_number)

        def test_forbidden(payroc_gateway):
            request = urllib.request.Request(
                payroc_gateway.url + "/v1/payments/x", headers={"x-api-key": "y"}
            )
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(request)
            caught.value.close()

        def test_idle(payroc_gateway):
            payroc_gateway.faults.add("submit", drop_after())

        def test_idle_and_failed(payroc_gateway):
            payroc_gateway.faults.add("submit", drop_after())
            raise AssertionError("its own reason")

        @pytest.fixture
        def application(payroc_gateway):
            try:
                urllib.request.urlopen(payroc_gateway.url + "/v1/payments/x")
            except urllib.error.HTTPError as error:
                error.close()
                raise

        def test_set_up_in_vain(application):
            pass

        @pytest.mark.xfail
        def test_idle_and_expected_to_fail(payroc_gateway):
            payroc_gateway.faults.add("submit", drop_after())
            raise AssertionError
        """,
        "--asyncio-mode=auto",
    )
    # Left, left by another, forbidden and idle pass, and err at their end.
    result.assert_outcomes(passed=5, errors=4 + 1, failed=1, xfailed=1)
    lines = result.stdout.str()
    told, _, _ = lines.partition("short test summary info")  # which under CI says all of it again
    assert told.count("was left in progress on device 1850010868.") == 2
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_left *",
            "Instruction * was left in progress on device 1850010868. If that is intended, call *",
            "The gateway saw:",
            "  POST /authorize: 200",
            "  POST /v1/devices/1850010868/payment-instructions under *-4*-*: 202",
            "*ERROR at teardown of test_forbidden *",
            "GET /v1/payments/x carries the x-api-key header, *",
            "*ERROR at teardown of test_idle *",
            "The fault drop_after on submit matched no request. If intended, call remove() on it.",
            "*ERROR at setup of test_set_up_in_vain *",
            "*- Seen by payroc_gateway -*",
            "  GET /v1/payments/x: 401",
            "*_ test_idle_and_failed _*",
            "*AssertionError: its own reason",
            "*- Seen by payroc_gateway -*",
            "The gateway saw no request.",
        ]
    )
    assert "simulator-key" not in lines


def test_a_suites_own_fixtures(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A suite's own times and devices go before the plugin's; the variables end with the test."""
    monkeypatch.setenv("PAYROC_ENVIRONMENT", "production")
    monkeypatch.delenv("PAYROC_API_KEY", raising=False)
    result = run_suite(
        pytester,
        """
        PATIENT = Timeouts(hold=7.0)

        @pytest.fixture
        def payroc_timeouts():
            return PATIENT

        @pytest.fixture
        def payroc_device(payroc_gateway):
            return payroc_gateway.device("77").declines()

        async def test_times(payroc_gateway, payroc_session):
            assert payroc_gateway.hold == 7.0
            assert payroc_session._timeouts is PATIENT

        async def test_device(payroc_session, payroc_device):
            assert not (await payroc_session.run_sale("77", SALE)).approved

        def test_sync(payroc_env, payroc_device, payroc_gateway):
            async def main():
                async with PayrocSession.from_env() as session:
                    await session.run_sale("77", SALE)

            asyncio.run(main())
            assert payroc_gateway.amounts_on("77") == [4999]
            assert "PAYROC_ENVIRONMENT" not in os.environ

        def test_variables_are_gone():
            assert os.environ["PAYROC_ENVIRONMENT"] == "production"
            assert "PAYROC_API_KEY" not in os.environ
        """,
        "--asyncio-mode=auto",
        ini=LOOPS + "asyncio_default_test_loop_scope = session\n",
    )
    result.assert_outcomes(passed=4)


def test_programs_of_the_page(pytester: pytest.Pytester) -> None:
    """What docs/testing.md shows passes as it stands, in pytest-asyncio's strict mode."""
    page = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    programs = marked_blocks(page)
    assert len(programs) == page.count("```python")
    for mark, program in programs.items():
        pytester.makepyfile(**{mark.replace("program: ", "test_"): program})
    result = run_pytest(pytester)
    result.assert_outcomes(passed=9)


async def test_the_fixtures_here(
    payroc_session: PayrocSession, payroc_device: Device, payroc_gateway: PayrocGateway
) -> None:
    """They serve this suite too, on each of its workers."""
    assert (await payroc_session.run_sale(payroc_device.serial_number, sale())).approved
    assert payroc_gateway.amounts_on(payroc_device.serial_number) == [4999]


LOADED = """
    import sys

    def pytest_unconfigure(config):
        ours = {name.partition(".")[0] for name in sys.modules} & {"payroc_async", "aiohttp"}
        found = config.pluginmanager.has_plugin("payroc_async")
        print(f"\\nloaded: {sorted(ours)}, plugin: {found}")
"""


@pytest.mark.parametrize(
    ("options", "plugin"), [([], True), (["-p", "no:payroc_async"], False)], ids=["loaded", "off"]
)
def test_a_run_without_the_fixtures_loads_nothing(
    options: list[str], plugin: bool, pytester: pytest.Pytester
) -> None:
    """P10: The plugin is in every run of a user; without its fixtures it imports only itself."""
    pytester.makeconftest(textwrap.dedent(LOADED))
    pytester.makeini("[pytest]\n" + LOOPS)
    pytester.makepyfile("def test_other():\n    pass\n")
    others = ("anyio", "hypothesispytest", "xdist", "timeout", "randomly")
    without = [option for name in others for option in ("-p", f"no:{name}")]
    result = pytester.runpytest_subprocess("-W", "error", "--strict-markers", *without, *options)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([f"loaded: [[]], plugin: {plugin}"])


def test_a_pytest_asyncio_that_is_too_old_breaks_nothing(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its fixtures know of no loop_scope, all that needs none still works."""

    def fixture(**options: object) -> object:
        return pytest.fixture(**options)  # type: ignore[call-overload]

    monkeypatch.setattr(pytest_asyncio, "fixture", fixture)
    result = run_suite(pytester, "def test_other(payroc_env, payroc_device):\n    pass\n")
    result.assert_outcomes(passed=1)


async def sell(gateway: PayrocGateway, serial_number: str = SERIAL) -> bool:
    """Whether a sale with that gateway is approved."""
    async with PayrocSession(
        gateway.api_key,
        environment=gateway.environment,
        timeouts=TIMEOUTS,
        retries=RETRIES,
    ) as session:
        return (await session.run_sale(serial_number, sale())).approved


async def test_what_a_device_was_given(running: PayrocGateway) -> None:
    """A repeated submission is one instruction, with two requests under one key."""
    running.faults.add("submit", drop_after())
    running.faults.add("payment", delay(0), times=None)  # still there at the end, but not idle
    assert await sell(running)
    assert await sell(running, "77")
    (instruction,) = running.instructions_on(SERIAL)
    assert running.amounts_on(SERIAL) == [4999]
    assert running.keys_on(SERIAL) == [instruction.idempotency_key] * 2
    assert running.keys_on("77") == [running.instructions_on("77")[0].idempotency_key]
    assert (running.instructions_on("7"), running.keys_on("7")) == ([], [])
    key = instruction.idempotency_key
    submit = f"  POST /v1/devices/{SERIAL}/payment-instructions under {key}:"
    assert f"{submit} no answer (fault: drop_after)\n{submit} 202\n" in running.report()
    running.clear()
    assert running.instructions_on(SERIAL) == []


async def test_a_signature_has_no_amount(running: PayrocGateway) -> None:
    """Amounts are those of sales and refunds."""
    async with PayrocSession(running.api_key, environment=running.environment) as session:
        await session.capture_signature(
            SERIAL, SignatureInstructionRequest(processing_terminal_id="1234001")
        )
    assert len(running.instructions_on(SERIAL)) == 1
    assert running.amounts_on(SERIAL) == []


async def test_waiting_for_an_instruction(running: PayrocGateway) -> None:
    """One is waited for, with the test's loop running; if none comes, the requests are named."""
    running.device(SERIAL).never_finishes()
    selling = asyncio.create_task(sell(running))
    found = await running.wait_for_instruction(SERIAL)
    assert running.in_progress == [found]
    selling.cancel()
    await asyncio.wait({selling})
    assert found.status == "canceled"
    with pytest.raises(AssertionError, match=r"device 77 for 0\.01 seconds\n.*\n  POST /authorize"):
        await running.wait_for_instruction("77", timeout=UNIT / 2)


async def test_a_gateway_goes_away_and_comes_back(running: PayrocGateway) -> None:
    """From the loop of a test it is stopped, and started where it was."""
    url = running.url
    await running.stop()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    await running.start()
    assert await sell(running)
    assert running.url == url


def test_a_gateway_outside_of_its_with_statement() -> None:
    """It is not to be started otherwise, and what it has seen stays when it has ended."""
    gateway = PayrocGateway()
    with pytest.raises(RuntimeError, match="with statement"):
        asyncio.run(gateway.start())
    with gateway:
        asyncio.run(sell(gateway))
    assert gateway.amounts_on(SERIAL) == [4999]
    assert gateway.in_progress == []
    with pytest.raises(RuntimeError, match="with statement"):
        asyncio.run(gateway.stop())


def test_a_gateway_that_cannot_listen(running: PayrocGateway) -> None:
    """What goes wrong in the thread is raised where the gateway is entered."""
    second = PayrocGateway()
    second._port = running._port
    with pytest.raises(OSError, match="address already in use"), second:
        pass


def test_check_raises_what_is_wrong(running: PayrocGateway) -> None:
    """Without pytest, `check` says it."""
    fault = running.faults.add("status", drop_before())
    with pytest.raises(AssertionError, match="drop_before on status matched no request"):
        running.check()
    fault.remove()


async def test_a_page_hears_of_what_a_test_does(running: PayrocGateway) -> None:
    """While someone looks on at a page, devices and faults may come from the test's thread."""
    assert running._loop is not None
    running._loop.set_debug(True)  # then a call from a wrong thread is an error

    async def until_the_page_waits() -> None:
        (feed,) = running._pages._feeds
        while not feed.wake._waiters:
            await asyncio.sleep(UNIT / 4)

    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(f"{running.url}/gateway/socket", origin=running.url) as page,
    ):
        await page.receive_json()
        await until_the_page_waits()
        running.device("77")
        assert [one["serial"] for one in (await page.receive_json())["devices"]] == ["77"]
        await until_the_page_waits()
        fault = running.faults.add("status", drop_before())
        assert [one["on"] for one in (await page.receive_json())["faults"]] == ["status"]
        fault.remove()
        assert (await page.receive_json())["faults"] == []


async def test_tokens_are_revoked(running: PayrocGateway) -> None:
    """A session that is open gets another."""
    async with PayrocSession(running.api_key, environment=running.environment) as session:
        await session.run_sale(SERIAL, sale())
        running.revoke_tokens()
        await session.run_sale(SERIAL, sale())
    assert [one.status for one in running.requests_of("submit")] == [202, 401, 202]


def test_calls_into_the_gateways_thread(running: PayrocGateway) -> None:
    """What a call raises there is raised here, and a fault's function may call without a hang."""
    with pytest.raises(ConfigurationError):
        running.device([])  # type: ignore[arg-type]
    seen = []

    def look(document: dict[str, object]) -> dict[str, object]:
        seen.append(running.in_progress)
        return document

    running.faults.add("payment", edit(look))
    assert asyncio.run(sell(running))
    assert seen == [[]]
    read = running.add_closed_loop_read({"a": 1})
    assert read in running._state.ledger.resources["closed-loop-reads"]
    running.close_batch()
    (payment,) = running.payments.values()
    assert payment["transactionResult"]["status"] == "complete"


def test_a_script_that_no_charge_has_used(running: PayrocGateway) -> None:
    """A test that scripts a decline and charges nothing shows nothing."""
    running.check()
    running.next_charge("D")
    with pytest.raises(AssertionError, match=r"No charge used next_charge\('D'\)"):
        running.check()
    running._state.office.charges.scripts.clear()
