"""Sales from synchronous code: the examples of `docs/threads.md`, as they run."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from payroc_async import InstructionCanceledError, PayrocSession
from payroc_async.simulator import Simulator
from tests.conftest import EAGER, QUICK, SERIAL, UNIT, sale, variables
from tests.harness.programs import ROOT, marked_blocks, run_python

FOLDER = ROOT / "examples" / "from_threads"
DEVICES = [f"18500108{number:02}" for number in range(68, 76)]


def load(name: str) -> ModuleType:
    """A module of the example, which its neighbours import by its plain name."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


blocking_till = load("blocking_till")
flask_till = load("flask_till")


@pytest.fixture
def make_session(served: Simulator) -> Callable[[], PayrocSession]:
    """Builds sessions with the gateway, which has a loop and a thread of its own."""
    return lambda: PayrocSession(
        served.api_key, environment=served.environment, timeouts=QUICK, retries=EAGER
    )


@pytest.fixture
def till(make_session: Callable[[], PayrocSession]) -> Iterator[Any]:
    """An open till; at its end, its thread has ended."""
    with blocking_till.BlockingTill(make_session) as till:
        yield till
    assert "payroc" not in {thread.name for thread in threading.enumerate()}


def key() -> str:
    return str(uuid.uuid4())


def put(app: Any, idempotency_key: str, serial_number: str, amount: object = 4999) -> Any:
    """The status and the JSON of one request, on a client of its own."""
    body = {"serial_number": serial_number, "order_id": "OrderRef6543", "amount": amount}
    answer = app.test_client().put(f"/sales/{idempotency_key}", json=body)
    return answer.status_code, answer.get_json()


def wait_until(condition: Callable[[], object]) -> None:
    """Look again and again, for up to ten seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it has not come about"
        time.sleep(0.01)


# Flask ----------


def test_flask_sells_from_many_threads_at_once(served: Simulator, till: Any) -> None:
    """Each request blocks its own thread alone: the sales of all devices overlap."""
    app = flask_till.create_app(till)
    for number in DEVICES:
        served.device(number).approves(after=0.5)
    with ThreadPoolExecutor(len(DEVICES)) as threads:
        answers = list(threads.map(lambda number: put(app, key(), number), DEVICES))
    assert [code for code, _ in answers] == [200] * len(DEVICES)
    assert all(said["paid"] for _, said in answers)
    assert {said["payment_id"] for _, said in answers} == set(served.payments)
    submitted = served.requests_of("submit")
    first_end = min(one.started for one in served.requests_of("payment"))
    assert all(one.started < first_end for one in submitted), "the sales did not overlap"
    assert len(served.requests_of("authorize")) == 1, "one session is one token"


def test_flask_joins_a_request_that_comes_twice(served: Simulator, till: Any) -> None:
    """Two clicks, and one after the end: one instruction, one payment, one answer."""
    app, once = flask_till.create_app(till), key()
    served.device(SERIAL).approves(after=0.3)
    with ThreadPoolExecutor(2) as threads:
        clicks = list(threads.map(lambda _: put(app, once, SERIAL), range(2)))
    again = put(app, once, SERIAL)
    assert clicks[0] == clicks[1] == again
    assert again[1]["paid"]
    assert len(served.instructions) == len(served.payments) == 1


def test_flask_says_why_there_is_no_payment(served: Simulator, till: Any) -> None:
    """A wrong value is a 400, a busy device a 409, a decline is no error, a failure a 502."""
    app = flask_till.create_app(till)
    assert put(app, "1", SERIAL)[0] == 400
    code, said = put(app, key(), SERIAL, 49.99)
    assert (code, said["paid"]) == (400, False)
    assert "4999" in said["detail"]
    served.device(SERIAL).declines()
    assert put(app, key(), SERIAL)[1]["paid"] is False
    served.device(SERIAL).fails("Out of paper")
    code, said = put(app, key(), SERIAL)
    assert (code, said["paid"]) == (502, False)
    assert "Out of paper" in said["detail"]
    served.device(SERIAL).approves(after=0.5)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(put, app, key(), SERIAL)
        wait_until(lambda: served.in_progress)
        assert put(app, key(), SERIAL)[0] == 409
        assert first.result()[0] == 200


def test_flask_never_says_unpaid_while_that_is_unknown(
    served: Simulator, till: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an unknown outcome ``paid`` is null, and the client is asked to repeat the request."""
    from payroc_async import OutcomeUnknownError

    def unknown(*args: object, **options: object) -> None:
        raise OutcomeUnknownError(serial_number=SERIAL, idempotency_key="k", instruction_id=None)

    monkeypatch.setattr(till, "sell", unknown)
    code, said = put(flask_till.create_app(till), key(), SERIAL)
    assert (code, said["paid"]) == (502, None)
    assert "do not charge anew" in said["detail"]


SERVER = """
import sys, threading
sys.path.insert(0, sys.argv[1])
from flask_till import create_app

app = create_app()
body = {"serial_number": "1850010868", "order_id": "One", "amount": 4999}
sell = lambda: app.test_client().put("/sales/6e8d3ba1-2f23-4a59-8a79-3d1be9e9d3f1", json=body)
threading.Thread(target=sell, daemon=True).start()
print("selling", flush=True)
sys.stdin.read()
"""


def test_flask_closes_its_till_with_the_process(served: Simulator) -> None:
    """At the end of the process the session closes, and cancels the sale that still runs."""
    served.device(SERIAL).never_finishes()
    server = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SERVER, str(FOLDER)],
        env={**os.environ, **variables(served)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: served.in_progress)
        _, errors = server.communicate("", timeout=30)
    finally:
        server.kill()
        server.wait()
    assert server.returncode == 0, errors
    assert [one.status for one in served.instructions.values()] == ["canceled"]


# The till itself ----------


def test_an_interrupted_thread_leaves_no_sale(served: Simulator, till: Any) -> None:
    """What breaks the waiting off, as Celery's soft time limit does, cancels the sale."""
    served.device(SERIAL).never_finishes()

    class SoftTimeLimit(Exception):
        pass

    def strike(number: int, frame: object) -> None:
        raise SoftTimeLimit

    def strike_main_thread() -> None:
        wait_until(lambda: served.in_progress)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)

    before = signal.signal(signal.SIGALRM, strike)
    try:
        threading.Thread(target=strike_main_thread).start()
        with pytest.raises(SoftTimeLimit):
            till.sell(SERIAL, sale())
    finally:
        signal.signal(signal.SIGALRM, before)
    wait_until(lambda: not served.in_progress)
    assert [one.status for one in served.instructions.values()] == ["canceled"]


def test_closing_the_till_cancels_what_other_threads_run(
    served: Simulator, make_session: Callable[[], PayrocSession]
) -> None:
    """The threads that wait are given the end, and none is left waiting."""
    served.device(SERIAL).never_finishes()
    till = blocking_till.BlockingTill(make_session).open()
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(till.sell, SERIAL, sale())
        wait_until(lambda: served.in_progress)
        till.close()
        with pytest.raises(InstructionCanceledError):
            running.result(10)
    with pytest.raises(RuntimeError, match="the till is not open"):
        till.sell(SERIAL, sale())
    till.close()


def test_a_till_that_can_not_be_opened_says_why(tmp_path: Path) -> None:
    """What the session raises reaches the thread that opens, and no thread is left."""
    with pytest.raises(ValueError, match="PAYROC_API_KEY"):
        blocking_till.BlockingTill(lambda: PayrocSession.from_env({})).open()
    wait_until(lambda: "payroc" not in {thread.name for thread in threading.enumerate()})


# Workers that are forked ----------

WORKER = """
import json, sys
sys.path.insert(0, sys.argv[1])
from worker import Job, run_jobs

jobs = [Job(serial_number=one, order_id=f"Order{one}", amount=4999) for one in sys.argv[2:]]
jobs.append(jobs[0])  # as a broker delivers one twice
found = run_jobs(jobs)
print(json.dumps([[one.order_id, one.paid, one.detail] for one in found]))
"""


# That it forks while it has threads is the very thing that is tried.
FORKS = ("-W", "ignore:This process:DeprecationWarning")


def run(program: str, served: Simulator, *arguments: str) -> str:
    """The output of a program of its own: it forks, and this process has threads."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *FORKS, "-c", program, str(FOLDER), *arguments],
        env={**os.environ, **variables(served)},
        capture_output=True,
        text=True,
        timeout=45,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


@forks
def test_forked_workers_sell_what_is_queued(served: Simulator) -> None:
    """Each worker opens its own session after the fork; a job that comes twice is one sale."""
    for number in (DEVICES[0], *DEVICES[2:4]):
        served.device(number).approves(after=5 * UNIT)
    served.device(DEVICES[1]).fails("Out of paper")
    found = json.loads(run(WORKER, served, *DEVICES[:4]))
    outcomes = {order: (paid, detail) for order, paid, detail in found}
    assert len(found) == 5
    assert [outcomes[f"Order{one}"][0] for one in DEVICES[:4]] == [True, False, True, True]
    assert "Out of paper" in outcomes[f"Order{DEVICES[1]}"][1]
    assert len(served.instructions) == 4
    assert len(served.payments) == 3
    assert len(served.requests_of("authorize")) == 2, "one session for each worker"


INHERITED = """
import os, sys
sys.path.insert(0, sys.argv[1])
from blocking_till import BlockingTill, request_of

with BlockingTill() as till:
    child = os.fork()
    if child == 0:
        try:
            till.sell("1850010868", request_of("CHILD", 4999))
        except RuntimeError as error:
            assert f"open in process {os.getppid()}" in str(error), error
            till.close()
            with BlockingTill() as own:
                assert own.sell("1850010868", request_of("CHILD", 4999)).approved
            sys.exit(7)  # and not os._exit: all that the interpreter does at its end is done
        os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    assert till.sell("1850010869", request_of("PARENT", 4999)).approved
"""


@forks
def test_a_till_that_was_inherited_refuses_and_lets_the_child_end(served: Simulator) -> None:
    """In a forked child the parent's till raises at once; one that the child opens sells."""
    assert run(INHERITED, served) == "7\n"
    assert len(served.payments) == 2


# gunicorn ----------


@contextmanager
def gunicorn(served: Simulator, home: Path, *options: str) -> Iterator[tuple[Any, int]]:
    """A server with two workers, both begun, and its port."""
    pytest.importorskip("gunicorn")
    port = free_port()
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "-c", "python:gunicorn_till"),
            *("--workers", "2", "--bind", f"127.0.0.1:{port}", *options),
        ],
        cwd=FOLDER,
        env={
            **os.environ,
            **variables(served),
            "PYTHONPATH": os.pathsep.join(sys.path),
            "HOME": str(home),  # it leaves a socket there
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: len(served.requests_of("authorize")) == 2)
        yield server, port
        _, errors = server.communicate(timeout=20)
    finally:
        server.kill()
        server.wait()
    assert server.returncode == 0, errors
    assert "Traceback" not in errors


@forks
@pytest.mark.parametrize("preload", [[], ["--preload"]], ids=["plain", "preload"])
def test_gunicorn_lets_a_cardholder_finish(
    served: Simulator, tmp_path: Path, preload: list[str]
) -> None:
    """SIGTERM waits for the sale that runs and answers it; all workers and their tills end."""
    served.device(SERIAL).approves(after=1.0)
    with gunicorn(served, tmp_path, *preload) as (server, port), ThreadPoolExecutor(1) as threads:
        selling = threads.submit(put_over_http, port, key())
        wait_until(lambda: served.in_progress)
        server.terminate()
        assert selling.result(20)["paid"] is True
    assert len(served.requests_of("authorize")) == 2, "one session for each worker"
    assert [one.status for one in served.instructions.values()] == ["completed"]


@forks
def test_gunicorn_cancels_the_sale_where_it_ends_at_once(served: Simulator, tmp_path: Path) -> None:
    """As after Ctrl-C: the worker does not wait, and ``worker_exit`` closes the till."""
    served.device(SERIAL).never_finishes()
    with gunicorn(served, tmp_path) as (server, port), ThreadPoolExecutor(1) as threads:
        selling = threads.submit(put_over_http, port, key())
        wait_until(lambda: served.in_progress)
        server.send_signal(signal.SIGINT)
        selling.exception(20)
    assert [one.status for one in served.instructions.values()] == ["canceled"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def put_over_http(port: int, idempotency_key: str) -> Any:
    """The JSON of one request."""
    body = {"serial_number": SERIAL, "order_id": "OrderRef6543", "amount": 4999}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/sales/{idempotency_key}",
        method="PUT",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


# The page ----------

PAGE = (ROOT / "docs" / "threads.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("program", "printed", "tokens"),
    [("program: portal", "APPROVED\n", 1), ("program: each", "APPROVED\nAPPROVED\n", 2)],
)
async def test_the_pages_programs(
    gateway: Simulator, program: str, printed: str, tokens: int
) -> None:
    """They print what the page says; ``asyncio.run`` for each sale takes a token for each."""
    code, output, problems = await run_python(
        "-c", marked_blocks(PAGE)[program], extra=variables(gateway)
    )
    assert (code, output, problems) == (0, printed, "")
    assert len(gateway.requests_of("authorize")) == tokens


def test_the_pages_hooks_call_what_there_is() -> None:
    """What gunicorn and Celery would call compiles, and uses the till as it is."""
    blocks = re.findall(r"^```py\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        compile(block, "threads.md", "exec")
        used = set(re.findall(r"\btill\.(\w+)\(", block))
        assert {"open", "close"} <= used <= set(dir(blocking_till.BlockingTill))
