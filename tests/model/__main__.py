"""Explore every configuration: ``python -m tests.model --faults 4``."""

from __future__ import annotations

import argparse
import sys

from .broken import VARIANTS
from .checker import Result, explore
from .configurations import CONFIGURATIONS
from .rules import Config, Rules


def print_traces(result: Result) -> None:
    """Each violation with the shortest way to it, one step a line."""
    for wrong, trace in result.found.items():
        print(f"  {wrong}")
        for step in trace:
            print(f"    {step}")


def check_rules(configurations: list[Config], faults: int) -> bool:
    """Explore the package's own rules; whether all hold."""
    states, seconds, holds = 0, 0.0, True
    for config in configurations:
        result = explore(Rules(), config, faults if config.relents else 1)
        states, seconds = states + result.states, seconds + result.seconds
        holds = holds and not result.found
        verdict = "VIOLATED" if result.found else "holds"
        print(
            f"{verdict:8} {result.states:>10,} states {result.seconds:6.1f} s  {config}", flush=True
        )
        print_traces(result)
    print(f"up to {faults} faults: {states:,} states, {seconds:.1f} s:", end=" ")
    print("all hold" if holds else "VIOLATED")
    return holds


def check_variants(*, traces: bool) -> bool:
    """Break each rule once; whether the checker finds all of them."""
    complete = True
    for variant in VARIANTS:
        result = explore(variant(), variant.config, variant.faults, stop_at=variant.shows)
        found = any(wrong.startswith(variant.shows) for wrong in result.found)
        complete = complete and found
        print(f"{'found' if found else 'MISSED':8} {variant.rule:12} {variant.__doc__}")
        if traces:
            print_traces(result)
    return complete


def main() -> int:
    """Explore as the command line says.

    Returns:
        The exit code: 0 if all rules hold and all broken ones were found.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--faults", type=int, default=2, help="how many faults may happen")
    parser.add_argument("--only", help="the configurations whose name contains this")
    parser.add_argument("--traces", action="store_true", help="print how each variant is found")
    options = parser.parse_args()
    chosen = [config for config in CONFIGURATIONS if (options.only or "") in str(config)]
    complete = check_variants(traces=options.traces)
    return 0 if check_rules(chosen, options.faults) and complete else 1


if __name__ == "__main__":
    sys.exit(main())
