"""Convert models to JSON and back, for tools that store or replay requests and answers."""

from payroc_async.wire.converter import decode, encode, structure, unstructure

__all__ = ["decode", "encode", "structure", "unstructure"]
