# SPDX-License-Identifier: GPL-2.0-only
"""Whether something grows: a slope that outliers do not move, of the second half."""

import itertools
import statistics
from dataclasses import dataclass
from typing import Any

from .sampling import ERRORS

# More points would tell the same, and pairs are many.
POINTS = 400
# With fewer, a slope says nothing.
FEWEST = 6


@dataclass(frozen=True)
class Bound:
    """What a figure may grow by in the second half of a run; less than nothing: shrink."""

    of: tuple[str, ...]
    name: str
    growth: float
    unit: str

    def exceeded(self, growth: float) -> bool:
        """Whether it has grown too much."""
        return growth < self.growth if self.growth < 0 else growth > self.growth


# The kernel's own caches breathe; what leaks goes one way, and for ever.
GUESTS = ("a", "b")
SERVERS = ("server", "attacked server")
DISKS = ("disk", "attacked disk")
BOUNDS = [
    Bound(GUESTS, "MemAvailable", -24 << 10, "KiB"),
    Bound(GUESTS, "SUnreclaim", 3 << 10, "KiB"),
    Bound(GUESTS, "Slab", 16 << 10, "KiB"),
    Bound(GUESTS, "VmallocUsed", 2 << 10, "KiB"),
    Bound(GUESTS, "Percpu", 1 << 10, "KiB"),
    Bound(SERVERS, "VmRSS", 1 << 10, "KiB"),
    Bound(SERVERS, "descriptors", 3, ""),
    Bound(DISKS, "VmRSS", 4 << 10, "KiB"),
    Bound(DISKS, "descriptors", 3, ""),
]


def series(samples: list[dict[str, Any]], of: str, name: str) -> list[tuple[float, float]]:
    """A figure over time."""
    return [(sample["seconds"], sample[of][name]) for sample in samples
            if name in sample.get(of, {})]


def slope(points: list[tuple[float, float]]) -> float:
    """The median of the slopes of all pairs of points (Theil and Sen)."""
    points = points[::len(points) // POINTS + 1]
    slopes = [(y2 - y1) / (x2 - x1)
              for (x1, y1), (x2, y2) in itertools.combinations(points, 2) if x2 > x1]
    return statistics.median(slopes) if slopes else 0


def second_half(points: list[tuple[float, float]], until: float) -> list[tuple[float, float]]:
    """The first one has warmed everything up."""
    return [point for point in points if point[0] >= until / 2]


def judge(samples: list[dict[str, Any]], until: float) -> list[dict[str, Any]]:
    """What each figure has grown by in the second half, and whether that is too much."""
    verdicts = []
    for bound in BOUNDS:
        for of in bound.of:
            points = second_half(series(samples, of, bound.name), until)
            growth = slope(points) * until / 2
            verdicts.append({"of": of, "name": bound.name, "unit": bound.unit,
                             "points": len(points), "growth": round(growth, 1),
                             "bound": bound.growth,
                             "ok": len(points) >= FEWEST and not bound.exceeded(growth)})
    return verdicts


def errors(samples: list[dict[str, Any]]) -> dict[str, int]:
    """Counters of errors, of each machine the largest that was seen; only those above 0."""
    found: dict[str, int] = {}
    for sample in samples:
        for of, figures in sample.items():
            if isinstance(figures, dict):
                for name in ERRORS:
                    if value := figures.get(name, 0):
                        found[f"{of} {name}"] = max(found.get(f"{of} {name}", 0), value)
    return found
