# SPDX-License-Identifier: GPL-2.0-only
"""make crash: rounds of crashes under load, of which nothing may be seen afterwards.

Three machines send each other verified data over the network card and channels, and
write a disk of the host that is read again. In each round something dies, is reset,
paused or reloaded at a random instant. Then all loads have to run again, nothing of the
data may be wrong, and no kernel may have reported anything.

The seed stands for the whole order: the same one does the same again, though not at the
same instruction. Exit status: 0 all was survived; 1 something was not; 130 interrupted.
"""

import argparse
import json
import os
import statistics
import subprocess
import time
from collections import Counter
from pathlib import Path
from random import SystemRandom
from typing import Any

from bench.report import guests, say
from lab import LabError, VMDied
from lab.paths import BUILD
from lab.record import keep

from .crashes import KINDS, Crash, plan, strike
from .machine import Failed
from .rig import MACHINES, Rig

# What is written unless told otherwise, and then kept as the last whole run
OUTPUT = BUILD / "campaign/crash.json"
# After so many failures the rest would tell nothing new.
FAILURES = 5
# What says that something was not survived
ERRORS = (Failed, LabError, VMDied, TimeoutError, AssertionError, OSError,
          subprocess.SubprocessError)


class Campaign:
    """Rounds, and what became of them."""

    def __init__(self, crashes: list[Crash], seed: int, rig: Rig) -> None:
        self.crashes = crashes
        self.seed = seed
        self.rig = rig
        self.hiccups: list[str] = []
        self.times: Counter[str] = Counter()
        self.recovered: dict[str, list[float]] = {}
        self.failures: list[dict[str, Any]] = []
        self.started = time.monotonic()

    def run(self) -> None:
        """All rounds; what is not survived is noted, and everything begun anew."""
        for number, crash in enumerate(self.crashes, 1):
            if self.round(number, crash):
                continue
            if len(self.failures) == FAILURES:
                break
            self.hiccups += self.rig.hiccups()
            self.rig.start_anew()

    def round(self, number: int, crash: Crash) -> bool:
        """One; whether it was survived."""
        title = f"{number:3}/{len(self.crashes)} {crash.words():<32}"
        try:
            seconds = strike(self.rig, crash)
            self.rig.judge()
        except ERRORS as error:
            self.times[crash.kind] += 1
            self.failures.append({"round": number, "crash": crash.words(),
                                  "what": f"{type(error).__name__}: {error}",
                                  "host": self.rig.host_evidence()})
            say(f"{title} NOT SURVIVED: {error}")
            return False
        self.times[crash.kind] += 1
        self.recovered.setdefault(crash.kind, []).append(seconds)
        say(f"{title} all run again after {seconds:4.1f} s; {self.elapsed()} in all")
        return True

    def elapsed(self) -> str:
        """Since the start, in minutes and seconds."""
        return time.strftime("%H:%M:%S", time.gmtime(time.monotonic() - self.started))

    def outcome(self) -> dict[str, Any]:
        """What is written and printed."""
        kinds = {kind: {"times": self.times[kind],
                        "survived": len(self.recovered.get(kind, [])),
                        "seconds_median": _median(self.recovered.get(kind, [])),
                        "seconds_longest": max(self.recovered.get(kind, []), default=None),
                        "what": " ".join((KINDS[kind].do.__doc__ or "").split())}
                 for kind in KINDS if self.times[kind]}
        try:
            verified = dict(self.rig.totals())
        except Failed:
            verified = dict(self.rig.ended)
        return {"seed": self.seed, "rounds": len(self.crashes), "done": sum(self.times.values()),
                "survived": sum(map(len, self.recovered.values())), "kinds": kinds,
                "verified": verified, "failures": self.failures,
                "seconds": round(time.monotonic() - self.started),
                "before_our_modules": self.hiccups + self.rig.hiccups()}


def _median(figures: list[float]) -> float | None:
    return round(statistics.median(figures), 2) if figures else None


def table(outcome: dict[str, Any]) -> str:
    """For people."""
    lines = [f"{'what happened':<22}{'times':>6}{'survived':>10}{'median s':>10}{'longest s':>11}"]
    for kind, one in outcome["kinds"].items():
        middle, longest = one["seconds_median"] or 0, one["seconds_longest"] or 0
        lines.append(f"{kind:<22}{one['times']:>6}{one['survived']:>10}{middle:>10.1f}"
                     f"{longest:>11.1f}")
    lines.append(f"{'all':<22}{outcome['done']:>6}{outcome['survived']:>10}")
    lines.append("verified: " + ", ".join(f"{value:,} {name}" for name, value in
                                          sorted(outcome["verified"].items())))
    if outcome["before_our_modules"]:
        lines.append(f"{len(outcome['before_our_modules'])} troubles of boots, before any "
                     "module of ours was there")
    return "\n".join(lines)


def finish(campaign: Campaign, path: Path, whole: bool) -> int:
    """Write and print what there is; the exit status.

    @whole: it was of all kinds.
    """
    outcome = campaign.outcome()
    outcome["machine"] = guests()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(outcome, indent=2) + "\n")
    if whole and path == OUTPUT:
        keep("crash", f"make crash ROUNDS={outcome['rounds']} SEED={outcome['seed']}",
             outcome["seconds"], outcome)
    print(f"\n{table(outcome)}\n{outcome['done']} of {outcome['rounds']} rounds, seed "
          f"{outcome['seed']}, in {campaign.elapsed()}; details: {os.path.relpath(path)}",
          flush=True)
    return 1 if outcome["failures"] else 0


def main(words: list[str]) -> int:
    """The command line; an exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.campaign crash",
                                     description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200, help="crashes (200)")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(1 << 32),
                        help="does again what another run did (random)")
    parser.add_argument("--kind", action="append", choices=list(KINDS),
                        help="crashes of this kind only; may be repeated")
    parser.add_argument("--output", type=Path, default=OUTPUT,
                        help="file that is written (build/campaign/crash.json)")
    args = parser.parse_args(words)
    if args.rounds < 1:
        parser.error("--rounds is at least 1")
    say(f"{args.rounds} rounds, seed {args.seed}")
    status = 0
    with Rig(args.output.with_suffix("")) as rig:
        campaign = Campaign(plan(args.seed, args.rounds, MACHINES, args.kind), args.seed, rig)
        try:
            rig.start()
            campaign.run()
        except KeyboardInterrupt:
            say("interrupted; everything is ended")
            status = 130
        except ERRORS as error:
            say(f"crash: {error}")
            status = 1
        return finish(campaign, args.output, not args.kind) or status
