"""Runs scenarios one after the other, and stores each result at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click
from attrs import define

from payroc_async import Environment, PayrocError, PayrocSession, RetryPolicy, Timeouts
from payroc_async.cli.output import note, plain

from .bench import Bench, Skipped, Unmet
from .evidence import Attempt, Evidence, Status, now, save_evidence
from .guide import Guide, WaitingForGateway
from .report_page import write_report
from .scenario_table import Scenario
from .wiretap import Wiretap

__all__ = ["Conductor", "Interrupted"]

COLORS: dict[Status, str] = {
    "passed": "green",
    "recorded": "green",
    "failed": "red",
    "skipped": "yellow",
    "waiting": "yellow",
    "interrupted": "yellow",
}


class Interrupted(Exception):
    """Ctrl-C, or the person chose to quit."""


@define(kw_only=True)
class Conductor:
    """Runs scenarios.

    Args:
        folder: The folder for the evidence and the report.
        prompt: Whether to ask before each scenario that needs a person at the device.
    """

    environment: Environment
    api_key: str
    guide: Guide
    evidence: Evidence
    folder: Path
    timeouts: Timeouts
    retries: RetryPolicy
    patience: float
    decline_amount: int
    settled_payment: str
    prompt: bool

    @property
    def file(self) -> Path:
        """The evidence's file."""
        return self.folder / "certification.json"

    def run(self, runner: asyncio.Runner, scenarios: Sequence[Scenario]) -> None:
        """Run the scenarios in turn.

        Raises:
            Interrupted: It was ended before the last.
        """
        for scenario in scenarios:
            note(f"{scenario.id:<8} {scenario.title}", bold=True)
            if self.prompt and scenario.device and not self._is_ready(scenario):
                continue
            attempt = self.evidence.begin(scenario.id)
            self.save()  # save now: after a crash, the attempt's number must not be reused
            try:
                status, reason = runner.run(self._run(scenario, attempt))
            except KeyboardInterrupt:
                self._end(attempt, "interrupted", "interrupted by Ctrl-C")
                raise Interrupted from None
            self._end(attempt, status, reason)

    def _is_ready(self, scenario: Scenario) -> bool:
        """Ask whether to run the scenario now; otherwise it is skipped."""
        try:
            said = click.prompt(
                "         This needs you at the device. Enter to start, s to skip, q to quit",
                default="",
                show_default=False,
                err=True,
            )
        except click.Abort:
            raise Interrupted from None
        if said.strip().lower() == "q":
            raise Interrupted
        if said.strip().lower() == "s":
            self._end(self.evidence.begin(scenario.id), "skipped", "skipped by the person")
            return False
        return True

    async def _run(self, scenario: Scenario, attempt: Attempt) -> tuple[Status, str]:
        wiretap = Wiretap()
        wiretap.exchanges = attempt.exchanges
        async with PayrocSession(
            self.api_key,
            environment=self.environment,
            timeouts=self.timeouts,
            retries=self.retries,
            telemetry=wiretap,
        ) as session:
            # Fetch the session's first token before the scenario, whose exchanges are counted.
            with suppress(TimeoutError):
                await asyncio.wait_for(wiretap.reached.wait(), self.timeouts.token)
            wiretap.exchanges.clear()
            bench = self._bench(session, wiretap, attempt)
            try:
                status, reason = await _result(scenario, bench)
            finally:
                try:
                    await bench.close()
                except (Unmet, PayrocError) as error:
                    attempt.notes.append(f"Something was left on the device: {error}")
            return status, reason

    def _bench(self, session: PayrocSession, wiretap: Wiretap, attempt: Attempt) -> Bench:
        return Bench(
            environment=self.environment,
            api_key=self.api_key,
            guide=self.guide,
            evidence=self.evidence,
            wiretap=wiretap,
            session=session,
            timeouts=self.timeouts,
            attempt=attempt,
            patience=self.patience,
            decline_amount=self.decline_amount,
            settled_payment=self.settled_payment,
        )

    def _end(self, attempt: Attempt, status: Status, reason: str) -> None:
        attempt.status, attempt.reason, attempt.ended = status, plain(reason), now()
        self.save()
        note(f"         {status}", fg=COLORS[status], nl=not reason)
        if reason:
            note(f": {attempt.reason}")

    def save(self) -> None:
        """Write the evidence and the report."""
        save_evidence(self.file, self.evidence)
        write_report(self.folder / "report.html", self.evidence)


async def _result(scenario: Scenario, bench: Bench) -> tuple[Status, str]:
    try:
        await scenario.run(bench)
    except Unmet as unmet:
        return "failed", str(unmet)
    except Skipped as skipped:
        return "skipped", str(skipped)
    except WaitingForGateway as waiting:
        return "waiting", str(waiting)
    except PayrocError as error:
        return "failed", f"{type(error).__name__}: {error}"
    except Exception as error:  # an unexpected answer must not end all scenarios
        return "failed", f"unexpected {type(error).__name__}: {error}"
    return ("recorded" if scenario.tier == "open question" else "passed"), ""
