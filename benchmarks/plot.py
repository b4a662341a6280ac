"""Draws what bench.json and peers.json hold, and makes tables of it: `uv run --with matplotlib python benchmarks/plot.py FOLDER`.

Bars are medians over the rounds, lines the least and the most.
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from flowtrail.bench import report
from flowtrail.bench.figures import Area, Measured, Round

OURS, OTHERS = "#2f6fb0", "#b8bec6"


def read(path: Path) -> list[Area]:
    """Return what was measured."""
    return [_area(**area) for area in json.loads(path.read_text())["areas"]]


def _area(measured: list[dict[str, Any]], **fields: Any) -> Area:
    return Area(**fields, measured=[Measured(**{**one, "rounds": [Round(**each) for each in one["rounds"]]}) for one in measured])


def figures(one: Measured, of: str) -> list[float]:
    """Return one figure of every round: `cpu_ms` or `rate`."""
    return [getattr(each, of) for each in one.rounds]


def bars(axes: Any, measured: list[Measured], of: str, title: str) -> None:
    """Draw one bar for each subject, the best on top."""
    measured = sorted(measured, key=lambda one: statistics.median(figures(one, of)), reverse=of == "cpu_ms")
    for number, one in enumerate(measured):
        found = figures(one, of)
        median = statistics.median(found)
        reach = [[median - min(found)], [max(found) - median]]
        colour = OURS if one.subject.startswith("flowtrail") else OTHERS
        axes.barh(number, median, color=colour, xerr=reach, error_kw={"ecolor": "#444", "lw": 1, "capsize": 2})
        axes.text(max(found), number, f"  {median:,.0f}" if median >= 100 else f"  {median:.3g}", va="center", fontsize=8)
    axes.set_yticks(range(len(measured)), [one.subject for one in measured], fontsize=8)
    axes.set_title(title, fontsize=9, loc="left")
    axes.margins(x=0.15)
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def panels(area: Area, of: str, unit: str, path: Path) -> None:
    """Draw a panel for each kind of work and concurrency of an area, and save them."""
    keys = list(dict.fromkeys((one.kind, one.concurrency) for one in area.measured))
    shown = {key: [one for one in area.measured if (one.kind, one.concurrency) == key] for key in keys}
    rows = (len(keys) + 1) // 2
    height = 0.28 * max(map(len, shown.values())) + 0.75
    figure, grid = plt.subplots(rows, 2, figsize=(9, rows * height), squeeze=False, layout="constrained")
    for axes, ((kind, concurrency), measured) in zip(grid.flat, shown.items(), strict=False):
        bars(axes, measured, of, f"{kind}, {concurrency} at a time: {unit}")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main(folder: Path) -> None:
    """Draw all plots, and write bench.md, into the folder that the figures are in."""
    plt.rcParams.update({"svg.hashsalt": "flowtrail", "svg.fonttype": "none"})
    (peers,) = read(folder / "peers.json")
    panels(peers, "cpu_ms", "server CPU ms a request", folder / "peers-cpu.svg")
    areas = read(folder / "bench.json")
    (recording,) = [area for area in areas if area.counted == "executions"]
    panels(recording, "rate", "executions a second", folder / "recording.svg")
    (folder / "bench.md").write_text(report.markdown(areas))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
