"""Models to JSON and back, for tools that keep or replay what crossed the wire."""

from payroc_async.wire.converter import decode, encode, structure, unstructure

__all__ = ["decode", "encode", "structure", "unstructure"]
