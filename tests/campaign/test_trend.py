# SPDX-License-Identifier: GPL-2.0-only
"""What a long run is judged by."""

import json
import random

import pytest

from . import plot, trend
from .sampling import parse
from .soak import survived, table

SECONDS = 3600
# As a machine of the lab says it
SAID = """
MemAvailable:     200000 kB
Slab:              40000 kB
SUnreclaim:        20000 kB
VmallocUsed:        9000 kB
Percpu:             1000 kB
rung: 12
throttled: 0
storms: 0
queue 0: polled 0 depth 64 busy 0 requests 5 responses 5 kicks 2 looks 9 replays 3 starved 0
faults 0
failures 0
 24:       100          PCI-MSIX-0000:00:10.0   0-edge      ivshmem0-0
 25:        23          PCI-MSIX-0000:00:10.0   1-edge      ivshmem0-1
NIC statistics:
     peer1_faults: 0
     peer1_rx_errors: 0
     peer1_tx_dropped: 4
     peer2_rx_dropped: 1
"""


def samples(**slopes):
    """An hour with noise, and what grows by so much a second: of_name=slope."""
    chance = random.Random(1)
    found = []
    for seconds in range(0, SECONDS + 1, 5):
        sample = {"seconds": seconds}
        for bound in trend.BOUNDS:
            for of in bound.of:
                figures = sample.setdefault(of, {})
                # The first minutes warm everything up.
                warm = 30000 * min(seconds / 600, 1) * (-1 if bound.growth < 0 else 1)
                figures[bound.name] = 100000 + warm + chance.gauss(0, 2000) \
                    + slopes.get(f"{of}_{bound.name}", 0) * seconds
        found.append(sample)
    return found


def failed(found):
    """What is judged to grow."""
    return [f"{one['of']}_{one['name']}" for one in trend.judge(found, SECONDS)
            if not one["ok"]]


def test_noise_and_warming_up_are_no_trend():
    found = samples()
    for sample in found:
        for of in ("server", "disk"):
            sample[of]["descriptors"] = 20
            sample[of]["VmRSS"] = 4000
    assert not failed(found)


@pytest.mark.parametrize("name, slope", [("a_SUnreclaim", 4), ("b_MemAvailable", -20),
                                         ("server_VmRSS", 2), ("disk_descriptors", 0.01)])
def test_what_grows_is_seen(name, slope):
    found = samples(**{name: slope})
    if name == "disk_descriptors":
        for sample in found:
            sample["disk"]["descriptors"] = 20 + int(slope * sample["seconds"])
    assert name in failed(found)


def test_too_few_samples_are_no_pass():
    assert failed(samples()[:3])


def test_errors_are_counted():
    assert parse(SAID) == {
        "MemAvailable": 200000, "Slab": 40000, "SUnreclaim": 20000, "VmallocUsed": 9000,
        "Percpu": 1000, "net faults": 0, "net rx_errors": 0, "blk faults": 0,
        "core storms": 0, "rung": 12, "throttled": 0, "net dropped": 5, "blk failures": 0,
        "blk replays": 3, "interrupts": 123}
    wrong = parse(SAID.replace("peer1_faults: 0", "peer1_faults: 2"))
    assert trend.errors([{"seconds": 1, "a": wrong}]) == {"a net faults": 2}


def test_verdict_and_table():
    good = {"failures": [], "errors": {}, "events": [], "verified": {}, "attacks": 1,
            "hostile_words": 2,
            "growth": [{"of": "a", "name": "Slab", "growth": 1, "bound": 2, "unit": "KiB",
                        "points": 9, "ok": True}]}
    assert survived(good) and "FAILED" not in table(good)
    for key, value in (("failures", ["dead"]), ("errors", {"a net faults": 1}),
                       ("growth", [{**good["growth"][0], "ok": False}])):
        bad = {**good, key: value}
        assert not survived(bad) and "FAILED" in table(bad)


def test_plot(tmp_path):
    """An SVG that has all panels."""
    figures = parse(SAID)
    host = {"VmRSS": 5000, "descriptors": 20}
    outcome = {"events": [{"seconds": 3, "crash": True, "what": ""}], "samples": [
        {"seconds": n, "a": figures, "b": figures, "c": figures, "server": host, "disk": host}
        for n in range(5)]}
    plot.draw(json.loads(json.dumps(outcome)), tmp_path / "soak.svg")
    text = (tmp_path / "soak.svg").read_text()
    assert "<svg" in text and text.count("<g id=\"axes_") == len(plot.PANELS)
