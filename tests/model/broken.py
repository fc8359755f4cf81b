"""All broken sets of rules: the checker finds every one of them, or it is of no use."""

from __future__ import annotations

from . import variants, variants_journal
from .variant import Variant

__all__ = ["VARIANTS", "Variant"]

VARIANTS = [
    value
    for module in (variants, variants_journal)
    for value in vars(module).values()
    if isinstance(value, type) and issubclass(value, Variant) and value is not Variant
]
