"""A signature that a device took. Source: contract section 5."""

from __future__ import annotations

import binascii
import os
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from attrs import field, frozen

from .shared import Model, Raw

__all__ = ["Signature"]


@frozen(kw_only=True, eq=False, repr=False)
class Signature(Model):
    """A cardholder's signature. Source: contract section 5. Its repr does not show it.

    Attributes:
        content_type: What kind of image it is, such as ``image/png``.
        signature: The image in Base64, as it came; ``image`` has it decoded. None if the answer has
            none.
        raw: The whole JSON object.
    """

    signature_id: str | None = None
    processing_terminal_id: str | None = None
    created_on: date | None = None
    content_type: str | None = None
    signature: str | None = field(default=None, repr=False)
    raw: Mapping[str, Any] = field(factory=dict, converter=Raw, repr=False, eq=False)

    @property
    def image(self) -> bytes:
        """The image, decoded.

        Decoded when it is asked for: that a signature was given is not lost because its picture
        cannot be read.

        Raises:
            ValueError: There is no image, or ``signature`` is not Base64. It holds nothing of it.
        """
        if self.signature is None:
            raise ValueError("the signature came without an image")
        # Strict mode lets padding through that nothing asks for.
        if len(self.signature) % 4 == 0 and not self.signature.endswith("==="):
            try:
                return binascii.a2b_base64(self.signature, strict_mode=True)
            except ValueError:
                pass  # raised below, so that no context comes along
        raise ValueError("the signature is not Base64")

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the image to a file, over what may be there.

        This blocks while it writes. On a slow disk, within an event loop:
        ``await asyncio.to_thread(signature.save, path)``.

        Args:
            path: Where to. The suffix is yours to choose: see ``content_type``.

        Returns:
            The path.

        Raises:
            ValueError: There is no image, or ``signature`` is not Base64. Nothing was written.
            OSError: It cannot be written.
        """
        image = self.image
        target = Path(path)
        target.write_bytes(image)
        return target
