"""Supervises a session's instructions: one per device, each until its end at the gateway."""

from __future__ import annotations

from typing import Any, TypeVar
from uuid import UUID

from payroc_async.api.resources import check_request, given_or_new_key
from payroc_async.instructions.handle import InstructionHandle
from payroc_async.instructions.identity import Identity
from payroc_async.instructions.lifecycle import Outcome, State, begin, resume, take_over
from payroc_async.instructions.live import LiveInstruction, Options, Services
from payroc_async.instructions.runner import InstructionRunner
from payroc_async.journal.writer import EntryWriter
from payroc_async.wire.converter import encode
from payroc_async.wire.protocol import check_identifier

from . import models
from .callbacks import OnEvent, check_callback
from .cancellation import wait_all
from .config import check_seconds
from .errors import ConfigurationError, DeviceBusyError, OutcomeUnknownError
from .kinds import KINDS, Kind
from .logs import get_logger
from .telemetry import Telemetry
from .wording import show

__all__ = ["Supervisor"]

logger = get_logger(__name__)

InstructionT = TypeVar("InstructionT", bound="models.Instruction")
ResourceT = TypeVar("ResourceT")


class Supervisor:
    """Owns the runners of a session.

    Args:
        services: The services that all instructions share.
        telemetry: The telemetry, if enabled.
    """

    def __init__(self, services: Services, telemetry: Telemetry | None) -> None:
        self._services = services
        self._telemetry = telemetry
        self._runners: set[InstructionRunner[Any, Any]] = set()
        self._by_device: dict[str, set[InstructionRunner[Any, Any]]] = {}
        self._on_end = self._ended  # one bound method for all runners
        self.unresolved: list[OutcomeUnknownError] = []
        """C7: instructions of unknown outcome without a waiting caller."""

    def __len__(self) -> int:
        return len(self._runners)

    def begin(
        self,
        kind: Kind[InstructionT, ResourceT],
        serial_number: str,
        request: object,
        idempotency_key: str | UUID | None,
        options: Options,
    ) -> InstructionHandle[InstructionT, ResourceT]:
        """Return a handle on an instruction that is about to be submitted.

        If an instruction already runs under the same key, the handle joins it.

        Raises:
            ConfigurationError: An argument is wrong.
            DeviceBusyError: Another instruction runs on that device.
        """
        check_identifier("serial_number", serial_number)
        check_request(kind, request)
        _check_options(options)
        key = given_or_new_key(idempotency_key)
        body = encode(request)
        for runner in self._by_device.get(serial_number, ()):
            if runner.live.identity.idempotency_key == key and runner.live.kind is kind:
                return self._join(runner, body, options)
            raise DeviceBusyError(
                serial_number, idempotency_key=runner.live.identity.idempotency_key
            )
        identity = Identity(kind.noun, serial_number, key, request=request, body=body)
        state = begin(
            journaled=self._services.writer.journaled,
            detachable=options.on_cancel == "detach",
            key_is_callers=idempotency_key is not None,
        )
        return self._start(kind, identity, state, options)

    def resume(
        self, kind: Kind[InstructionT, ResourceT], instruction_id: str, options: Options
    ) -> InstructionHandle[InstructionT, ResourceT]:
        """Return a handle on an instruction with a known id. The handle joins a running one."""
        check_identifier("instruction_id", instruction_id)
        _check_options(options)
        for runner in self._runners:
            # A second runner would send concurrent status requests (P2).
            if runner.live.kind is kind and runner.live.identity.instruction_id == instruction_id:
                return self._join(runner, b"", options)
        state = resume(
            journaled=self._services.writer.journaled, detachable=options.on_cancel == "detach"
        )
        identity = Identity(kind.noun, instruction_id=instruction_id)
        return self._start(kind, identity, state, options)

    def take_over(
        self,
        entry: EntryWriter,
        *,
        cancel: bool,
        timeout: float | None = None,
        on_event: OnEvent | None = None,
    ) -> InstructionHandle[Any, Any]:
        """Return a handle on an orphaned instruction, to finish or cancel it."""
        found = entry.entry
        kind = KINDS[found.kind]
        known = found.instruction_id is not None
        # The recovery that found the instruction decided whether it may be resubmitted (J5).
        state = take_over(known=known, cancel=cancel, stale=False, expired=False)
        assert state is not None
        identity = Identity(
            kind.noun,
            found.serial_number,
            found.idempotency_key,
            found.instruction_id,
            body=found.body or b"",
        )
        options = Options(timeout, "cancel" if cancel else "detach", on_event)
        return self._start(kind, identity, state, options, entry)

    def _start(
        self,
        kind: Kind[InstructionT, ResourceT],
        identity: Identity,
        state: State,
        options: Options,
        entry: EntryWriter | None = None,
    ) -> InstructionHandle[InstructionT, ResourceT]:
        live = LiveInstruction(kind, identity, state, self._services, options)
        runner = InstructionRunner(live, entry)
        runner.on_end = self._on_end
        if identity.serial_number is not None:
            self._by_device.setdefault(identity.serial_number, set()).add(runner)
        self._runners.add(runner)
        if self._telemetry is None:
            runner.start()
        else:
            self._telemetry.start(runner)
        return InstructionHandle(runner)

    def _join(
        self, runner: InstructionRunner[InstructionT, ResourceT], body: bytes, options: Options
    ) -> InstructionHandle[InstructionT, ResourceT]:
        if body and runner.live.identity.body and body != runner.live.identity.body:
            raise ConfigurationError(
                "idempotency_key",
                "is in use for another request: give a new request a new key",
            )
        if options.on_event is not None:
            runner.live.listen(options.on_event)
        runner.join()
        return InstructionHandle(runner)

    def _ended(self, runner: InstructionRunner[Any, Any]) -> None:
        """Free the device, and keep an unknown outcome without a waiting caller."""
        live = runner.live
        self._runners.discard(runner)
        serial_number = live.identity.serial_number
        if serial_number is not None and (others := self._by_device.get(serial_number)):
            others.discard(runner)
            if not others:
                del self._by_device[serial_number]
        if (
            live.state.outcome is Outcome.UNKNOWN
            and runner.waiting <= runner.waiting_canceled
            and isinstance(live.error, OutcomeUnknownError)
        ):
            self.unresolved.append(live.error)

    async def close(self, grace: float) -> None:
        """Cancel or detach every instruction, and wait for their ends within the grace period.

        An instruction that has not ended then ends as unknown, is logged, and is kept in
        ``unresolved``.
        """
        runners = list(self._runners)
        for runner in runners:
            runner.cancel_or_detach("close")
        try:
            # Even if all tasks of the loop are canceled, including this one.
            await wait_all([runner.task for runner in runners], grace)
        finally:
            await self._abort([runner for runner in runners if not runner.task.done()], grace)

    async def _abort(self, late: list[InstructionRunner[Any, Any]], grace: float) -> None:
        for runner in late:
            runner.abort()
        try:
            await wait_all([runner.task for runner in late], grace)
        finally:
            for runner in late:
                if not runner.task.done():
                    runner.kill()
            await wait_all([runner.task for runner in late], grace)


def _check_options(options: Options) -> None:
    if options.timeout is not None:
        check_seconds("timeout", options.timeout)
    if options.on_cancel not in ("cancel", "detach"):
        raise ConfigurationError(
            "on_cancel", f'must be "cancel" or "detach", not {show(options.on_cancel)}'
        )
    check_callback("on_event", options.on_event)
