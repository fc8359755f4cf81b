"""Signatures as the gateway shows them (contract section 5), with a sample image."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from datetime import UTC, datetime
from functools import cache
from typing import Any

from .behaviours import Result

__all__ = ["make_signature", "sample_png"]

WIDTH, HEIGHT = 160, 48


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@cache
def sample_png() -> bytes:
    """Return a small PNG of a scribbled signature, black on white."""
    rows = [[255] * WIDTH for _ in range(HEIGHT)]
    for step in range(WIDTH * 8):
        x = step / 8
        swing = math.sin(x / 5) + math.sin(x / 13)
        y = HEIGHT / 2 + swing * (HEIGHT / 2 - 4) / 2 * (1 - x / WIDTH / 2)
        for down in (0, 1):
            rows[int(y) + down][int(x)] = 0
    # 8-bit grayscale; each row begins with its filter type, 0 for none.
    pixels = b"".join(b"\0" + bytes(row) for row in rows)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(pixels, 9))
        + _chunk(b"IEND", b"")
    )


def make_signature(signature_id: str, body: dict[str, Any], result: Result) -> dict[str, Any]:
    """Return the signature of an instruction with this body: as drawn, or the sample."""
    return {
        "signatureId": signature_id,
        "processingTerminalId": body["processingTerminalId"],
        "createdOn": datetime.now(UTC).date().isoformat(),
        "contentType": "image/png",
        "signature": base64.b64encode(result.signature or sample_png()).decode(),
    }
