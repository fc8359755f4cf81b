"""iso4217 reads its table of currencies from a file beside its code."""

from PyInstaller.utils.hooks import collect_data_files  # pyright: ignore[reportMissingModuleSource]

datas = collect_data_files("iso4217")
