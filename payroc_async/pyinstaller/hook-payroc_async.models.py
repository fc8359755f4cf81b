"""The models are loaded by name, when the first of them is asked for."""

from PyInstaller.utils.hooks import collect_submodules  # pyright: ignore[reportMissingModuleSource]

hiddenimports = collect_submodules("payroc_async.models")
