"""``python -m tests.simulation --sales 1000000 --seed 1``: on every processor."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from .runs import Report, simulate

PORTION = 2_000


def _portion(given: tuple[str, int, int]) -> Report:
    logging.disable(logging.CRITICAL)
    return simulate(*given)


def main() -> int:
    """The exit code: 1 if a sale went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sales", type=int, default=1_000_000)
    parser.add_argument("--seed", default="1")
    arguments = parser.parse_args()
    portions = [
        (arguments.seed, first, min(PORTION, arguments.sales - first))
        for first in range(0, arguments.sales, PORTION)
    ]
    total, began = Report(), time.perf_counter()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for report in pool.map(_portion, portions):
            total.ends += report.ends
            total.wrong += report.wrong
            for line in report.wrong:
                print(line, flush=True)
    seconds = time.perf_counter() - began
    for how, count in total.ends.most_common():
        print(f"{count:>9}  {how}")
    sales = sum(total.ends.values())
    speed = f"{sales} sales in {seconds:.0f} s, {sales / seconds:.0f} a second"
    print(f"{speed}: {total.ends['WRONG']} wrong")
    return int(bool(total.wrong))


if __name__ == "__main__":
    sys.exit(main())
