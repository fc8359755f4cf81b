"""The report of a certification has its style in a file beside the code."""

from PyInstaller.utils.hooks import collect_data_files  # pyright: ignore[reportMissingModuleSource]

datas = collect_data_files("payroc_async.cli.certify")
