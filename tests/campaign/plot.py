# SPDX-License-Identifier: GPL-2.0-only
"""The figures of a long run over time, as a picture."""

from pathlib import Path
from typing import Any

from .sampling import ERRORS
from .trend import DISKS, SERVERS, series

MACHINES = ("a", "b", "c")
DAEMONS = (*SERVERS, *DISKS)
# Title, unit, factor, whose, which; "/s" for how fast it grows.
PANELS: list[tuple[str, str, float, tuple[str, ...], tuple[str, ...]]] = [
    ("memory available in guests", "MiB", 1 / 1024, MACHINES, ("MemAvailable",)),
    ("slabs of guests", "MiB", 1 / 1024, MACHINES, ("Slab", "SUnreclaim")),
    ("vmalloc and per-CPU memory of guests", "MiB", 1 / 1024, MACHINES,
     ("VmallocUsed", "Percpu")),
    ("memory of servers and back ends", "MiB", 1 / 1024, DAEMONS, ("VmRSS",)),
    ("descriptors of servers and back ends", "", 1, DAEMONS, ("descriptors",)),
    ("interrupts", "/s", 1, MACHINES, ("interrupts",)),
    ("doorbells that were rung", "/s", 1, MACHINES, ("rung",)),
    ("counters of errors", "", 1, MACHINES, tuple(ERRORS)),
]


def _rate(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """How fast it grows; a counter that begins anew says nothing then."""
    return [(x2, (y2 - y1) / (x2 - x1))
            for (x1, y1), (x2, y2) in zip(points, points[1:]) if x2 > x1 and y2 >= y1]


def _panel(axes: Any, outcome: dict[str, Any], panel: tuple) -> None:
    title, unit, factor, owners, names = panel
    for of in owners:
        for name in names:
            points = series(outcome["samples"], of, name)
            points = _rate(points) if unit == "/s" else points
            label = f"{of} {name}" if len(names) > 1 else of
            if name not in ERRORS or any(value for _, value in points):
                axes.plot([x / 60 for x, _ in points], [y * factor for _, y in points],
                          label=label, linewidth=1)
    for event in outcome["events"]:
        if event["crash"]:
            axes.axvline(event["seconds"] / 60, color="0.85", linewidth=0.6, zorder=0)
    axes.set_title(f"{title}{', ' + unit if unit else ''}", fontsize=9, loc="left")
    axes.tick_params(labelsize=7)
    axes.set_ylim(0, max(axes.get_ylim()[1] * 1.1, 1))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=6, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)


def draw(outcome: dict[str, Any], path: Path) -> None:
    """Draw it; ImportError without python3-matplotlib."""
    import matplotlib
    matplotlib.use("svg")
    # Words stay words
    matplotlib.rcParams["svg.fonttype"] = "none"
    from matplotlib import pyplot
    figure, rows = pyplot.subplots(len(PANELS), 1, sharex=True, figsize=(9, 2 * len(PANELS)))
    for axes, panel in zip(rows, PANELS):
        _panel(axes, outcome, panel)
    rows[-1].set_xlabel("minutes; grey lines are crashes, pauses, reloads", fontsize=8)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
