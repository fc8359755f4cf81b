"""The SDK taken apart: the same sale with one layer after the other put on the bare loop.

Each contender here runs the same three requests, on more of ``payroc_async`` than the one before;
the last is ``run_sale`` itself. What a layer costs is the difference to the one below it.
"""

from __future__ import annotations

from uuid import uuid4

from payroc_async.kinds import PAYMENT
from payroc_async.models import InstructionStatus
from payroc_async.wire.converter import decode, encode
from payroc_async.wire.protocol import (
    Answer,
    decipher_instruction,
    decipher_resource,
    decipher_success,
    follow_link,
    resource_request,
    status_request,
    submit_request,
)

from .contenders import Sdk, changed_at, sale

__all__ = ["LAYERS"]


def plain(answer: Answer) -> object:
    """The JSON of an answer."""
    return decode(decipher_success(answer).body)


class OnTransport(Sdk):
    """Requests through ``transport.py``: their token, timeouts, bounds, errors; plain dicts."""

    async def sell(self, n: int) -> float:
        call = self.session._channel().call
        request = submit_request(PAYMENT, f"device{n}", sale(n), str(uuid4()))
        instruction = await call(request, plain)
        assert isinstance(instruction, dict)
        instruction_id = instruction["paymentInstructionId"]
        while instruction["status"] == "inProgress":
            instruction = await call(status_request(PAYMENT, instruction_id), plain, held=True)
            assert isinstance(instruction, dict)
        payment_id = instruction["link"]["href"].rpartition("/")[2]
        return changed_at(await call(resource_request(PAYMENT, payment_id), plain))


class OnModels(Sdk):
    """And what is sent is checked, what comes is read into models and checked."""

    async def sell(self, n: int) -> float:
        call = self.session._channel().call
        body = encode(self.request(n))
        request = submit_request(PAYMENT, f"device{n}", body, str(uuid4()))
        instruction = await call(request, lambda answer: decipher_instruction(PAYMENT, answer))
        instruction_id = instruction.instruction_id
        while instruction.status == InstructionStatus.IN_PROGRESS:
            instruction = await call(
                status_request(PAYMENT, instruction_id),
                lambda answer: decipher_instruction(PAYMENT, answer, instruction_id),
                held=True,
            )
        link = follow_link(PAYMENT, instruction.link)
        payment = await call(link, lambda answer: decipher_resource(PAYMENT, answer, link))
        assert payment.approved
        moment: float = payment.raw["changedAt"]
        return moment


LAYERS: dict[str, type[Sdk]] = {"transport": OnTransport, "models": OnModels}
"""By name, from the bottom."""
