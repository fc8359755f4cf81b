"""``python -m payroc_async``: the command line."""

from .cli import main

if __name__ == "__main__":
    main()
