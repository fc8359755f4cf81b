"""The ids of what the API answers with: the fields that hold them, by their names on the wire."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["ID_FIELDS", "id_in"]

ID_FIELDS = (
    "paymentId",
    "refundId",
    "signatureId",
    "closedLoopReadId",
    "paymentInstructionId",
    "refundInstructionId",
    "signatureInstructionId",
    "serialNumber",
)
_plain_id = re.compile(r"[\w-]{1,64}", re.ASCII).fullmatch


def id_in(data: object) -> str:
    """The id by which a log line can name an answer; empty where it has none."""
    if not isinstance(data, Mapping):
        return ""
    return next(
        (id_ for id_ in map(data.get, ID_FIELDS) if type(id_) is str and _plain_id(id_)), ""
    )
