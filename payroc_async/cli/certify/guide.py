"""The actor at the device: a person who follows instructions, or the simulator's scripts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from attrs import define

from payroc_async.cli.output import note
from payroc_async.simulator import Device, Fault, FaultAction, Simulator

__all__ = ["Guide", "Person", "Scripted", "WaitingForGateway"]

Script = Callable[[Device], object]


class WaitingForGateway(Exception):
    """The gateway must do something first, which this command can't cause."""


class Guide(Protocol):
    """The protocol of actions outside of the API."""

    simulated: bool

    def at_device(self, text: str, script: Script) -> None:
        """Prepare an action at the device during the next instruction.

        Args:
            text: The instructions for a person.
            script: The script for the simulator's device.
        """
        ...

    def settle(self, why: str) -> None:
        """Have the open batch closed.

        Raises:
            WaitingForGateway: It closes later; the scenario goes on in another run.
        """
        ...

    def simulate_fault(self, kind: str, action: FaultAction) -> Fault | None:
        """On the simulator, answer the next request of this kind otherwise."""
        ...


@define
class Person:
    """A person at the device, who reads this command's output."""

    simulated: bool = False

    def at_device(self, text: str, script: Script) -> None:
        """Print what the person is to do now."""
        note(f"         At the device: {text}", fg="yellow", bold=True)

    def settle(self, why: str) -> None:
        """Nothing here closes a batch in time.

        Raises:
            WaitingForGateway: Always.
        """
        raise WaitingForGateway(why)

    def simulate_fault(self, kind: str, action: FaultAction) -> Fault | None:
        """Do nothing: there is no simulator."""
        return None


@define
class Scripted:
    """The simulator's device, which replaces the person."""

    gateway: Simulator
    serial_number: str
    simulated: bool = True

    def at_device(self, text: str, script: Script) -> None:
        """Script the device."""
        note(f"         The simulated device: {text}")
        device = self.gateway.device(self.serial_number)
        while device.unused():  # left by an instruction that the gateway refused
            device.next_behaviour()
        script(device)

    def settle(self, why: str) -> None:
        """Close the simulator's batch."""
        self.gateway.close_batch()

    def simulate_fault(self, kind: str, action: FaultAction) -> Fault | None:
        """Have the simulator answer so, once."""
        return self.gateway.faults.add(kind, action)
