"""The simulator serves its pages from files beside its code."""

from PyInstaller.utils.hooks import collect_data_files  # pyright: ignore[reportMissingModuleSource]

datas = collect_data_files("payroc_async.simulator")
