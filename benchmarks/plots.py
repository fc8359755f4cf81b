"""The results as SVG: transparent, in tones that can be read on light and on dark."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from .loops import has

__all__ = ["draw"]

INK = "#808080"
COLORS = {
    "payroc_async": "#2f81f7",
    "aiohttp": "#e0823d",
    "floor": "#3fa35b",
    "httpx": "#b56be0",
    "payroc": "#d4557c",
}
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "payroc_async",  # the same results make the same file
    "figure.figsize": (6.4, 3.6),
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "savefig.transparent": True,
}


def draw(results: dict[str, Any], folder: Path) -> None:
    """Every plot that there are results for, into the folder."""
    if not has("matplotlib"):
        print("matplotlib is not installed: no plots")
        return
    plot = importlib.import_module("matplotlib.pyplot")
    plot.rcParams.update(STYLE)

    def curves(name: str, rows: list[dict[str, Any]], key: str, x: str, y: str, log: bool) -> None:
        figure, axes = plot.subplots(layout="constrained")
        for contender, color in COLORS.items():
            points = [(row[key], row[contender]) for row in rows if contender in row]
            if not points:
                continue
            xs = [point[0] for point in points]
            ys = [point[1] for point in points]
            if isinstance(ys[0], dict):
                low = [one["median"] - one["least"] for one in ys]
                high = [one["most"] - one["median"] for one in ys]
                ys = [one["median"] for one in ys]
                axes.errorbar(
                    xs, ys, (low, high), color=color, label=contender, marker="o", capsize=3
                )
            else:
                axes.plot(xs, ys, color=color, label=contender, marker="o")
        if log:
            axes.set(xscale="log", yscale="log")
            ticks = [row[key] for row in rows]
            axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
            axes.minorticks_off()
        else:
            axes.set_ylim(bottom=0)
        axes.set(xlabel=x, ylabel=y)
        axes.legend()
        save(figure, name)

    def save(figure: Any, name: str) -> None:
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})
        plot.close(figure)

    cost = [row for row in results.get("cost", []) if row["loop"] == "asyncio"]
    if cost:
        curves("cost", cost, "devices", "devices at once", "processor time a sale, ms", True)
    fast = [row for row in results.get("cost", []) if row["loop"] == "uvloop"]
    if fast:
        curves("cost-uvloop", fast, "devices", "devices at once", "processor time a sale, ms", True)
    for what, label in (("looks", "status requests without a change"), ("refusals", "retries")):
        rows = [row for row in results.get("growth", []) if row["what"] == what]
        if rows:
            curves(f"growth-{what}", rows, "number", label, "processor time a sale, ms", False)
    if latency := results.get("latency"):
        shown = [{**row, "percentile": f"p{row['percentile']:g}"} for row in latency]
        curves("latency", shown, "percentile", "", "added latency, ms", False)
    if course := results.get("soak"):
        figure, axes = plot.subplots(layout="constrained")
        axes.plot(
            [row["sales"] for row in course], [row["memory"] for row in course], color="#2f81f7"
        )
        axes.set(xlabel="sales", ylabel="memory of the process, MB")
        axes.set_ylim(bottom=0)
        save(figure, "soak")
