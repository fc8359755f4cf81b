"""The journal reads its SQL from files beside its code."""

from PyInstaller.utils.hooks import collect_data_files  # pyright: ignore[reportMissingModuleSource]

datas = collect_data_files("payroc_async.journal")
