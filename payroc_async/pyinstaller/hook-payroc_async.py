"""anyio loads its backend by name, when the first scope is opened."""

hiddenimports = ["anyio._backends._asyncio", "payroc_async.models"]
