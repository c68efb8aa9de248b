# SPDX-License-Identifier: GPL-2.0-only
"""make soak: everything at once for a long time, and whether anything grows.

Three machines under the loads of 'make crash', and at random: programs that come and go,
a peer that comes and dies, drivers that are reloaded, crashes, and a hostile peer, which
attacks a second region of two of them. Memory, descriptors,
interrupts and counters of errors are looked at every few seconds. What has grown in the
second half by more than a stated bound fails, as does an error. Server and back end are
killed in the first half only, machines a and b never: what they keep can be seen so.

Exit status: 0 nothing has grown, and all was survived; 1 something; 130 interrupted.
"""

import argparse
import json
import os
import time
from pathlib import Path
from random import Random, SystemRandom
from typing import Any, Callable

from bench.report import guests, say
from lab.paths import BUILD
from lab.record import keep
from tests.net.card import SUBNET
from tests.net.peer import NetPeer

from . import trend
from .crash import ERRORS
from .crashes import KINDS, Crash, plan, strike
from .machine import BOUND, DISK, NODE, SHARE, VECTORS, Failed, Machine
from .rig import MACHINES, Rig
from .sampling import Sampler

# What is written unless told otherwise, and then kept as the last whole run
OUTPUT = BUILD / "soak/soak.json"
# A sample may be so late, in seconds.
LATE = 60
# One crash in so many events.
CRASHES = 5
# Server and disk, in the first half only.
HOSTS = ("server-killed", "disk-killed", "disk-and-machine", "server-and-machine")
# Not of a machine whose memory is judged.
DEATHS = ("machine-killed", "machine-reset", "machine-panic", "disk-and-machine",
          "server-and-machine")
LAST = MACHINES - 1


def _programs(chance: Random, machine: Machine) -> list[str]:
    """Commands that come and go."""
    other = chance.choice([n for n in range(1, MACHINES + 1) if n != machine.number])
    # Behind what the loads use of the machine's part
    offset = (machine.number - 1) * SHARE + SHARE // 2
    return [
        f"ping -n -q -c {chance.randint(1, 40)} -i 0.02 {SUBNET}.{other}",
        f"ping -n -q -c 20 -i 0.02 -s 40000 {SUBNET}.{other}",
        f"ivshmem peers {NODE}",
        f"ivshmem info {NODE}",
        f"fio --name=job --filename={DISK} --offset={offset} --size=1M --direct=1 "
        "--rw=randwrite --bsrange=4k-64k --ioengine=libaio --iodepth=8 --verify=crc32c "
        "--verify_fatal=1 --verify_dump=0 --thread",
        f"dd if={DISK} of=/dev/null bs=64k count={chance.randint(1, 64)} iflag=direct "
        "status=none",
        # Killed in the middle
        f"timeout -s KILL 0.3 busybox cat {DISK} > /dev/null; true",
        f"timeout -s KILL 0.3 busybox cat {NODE} > /dev/null; true",
    ]


class Soak:
    """A long run."""

    def __init__(self, seconds: float, seed: int, interval: float, rig: Rig) -> None:
        self.seconds = seconds
        self.seed = seed
        self.chance = Random(seed)
        self.rig = rig
        self.sampler = Sampler(self.rig, interval)
        self.events: list[dict[str, Any]] = []
        self.failures: list[str] = []

    # What happens

    def program(self) -> str:
        """A program comes to a machine, and goes."""
        machine = self.chance.choice(self.rig.machines)
        command = self.chance.choice(_programs(self.chance, machine))
        machine.vm.run(command, BOUND)
        return f"program {machine.name}: {command.split()[0]}"

    def peer(self) -> str:
        """A peer of the network comes, is reached by all, and dies or leaves."""
        dies = self.chance.random() < 0.5
        slots = [int(machine.vm.run("cat /sys/class/ivshmem/ivshmem0/peer_id").stdout)
                 for machine in self.rig.machines]
        peer = NetPeer(self.rig.link.socket, VECTORS, f"{SUBNET}.{MACHINES + 1}").start()
        try:
            peer.wait_ready(*slots, timeout=BOUND)
            peer.ping(f"{SUBNET}.{self.chance.randint(1, MACHINES)}", BOUND)
        finally:
            if dies:
                peer.crash()
            else:
                peer.__exit__()
        return f"a peer {'dies' if dies else 'leaves'}"

    def crash(self) -> str:
        """One of the crashes of a campaign."""
        first_half = self.sampler.now() < self.seconds / 2
        kinds = [kind for kind in KINDS
                 if kind != "server-lost" and (first_half or kind not in HOSTS)]
        crash = plan(self.chance.random(), 1, MACHINES, kinds,
                     min(60, max(2, int(self.seconds / 20))))[0]
        if crash.kind in DEATHS:
            crash = Crash(**{**vars(crash), "victim": LAST})
        with crash.machine(self.rig).lock:
            took = strike(self.rig, crash)
        return f"{crash.words()}: all run again after {took:.1f} s"

    def attack(self) -> str:
        """The hostile peer attacks its region: all else goes on meanwhile."""
        assert self.rig.attacked
        with self.rig.attacked.attack(self.chance) as attack:
            self.rig.wait_running()
            return self.rig.attacked.recover(attack)

    def event(self) -> None:
        """One of them."""
        number = len(self.events)
        is_crash = number % CRASHES == CRASHES - 1
        do: Callable[[], str] = self.crash if is_crash else self.chance.choice(
            [self.program, self.program, self.peer, self.attack])
        at = self.sampler.now()
        what = do()
        self.rig.judge()
        self.events.append({"seconds": at, "crash": is_crash, "what": what})
        left = max(self.seconds - self.sampler.now(), 0)
        say(f"{time.strftime('%H:%M:%S', time.gmtime(left))} left: {what}")

    def run(self) -> None:
        """All of it; the first failure is the last event."""
        self.sampler.started = time.monotonic()
        with self.sampler:
            while self.sampler.now() < self.seconds:
                try:
                    self.event()
                except ERRORS as error:
                    self.failures.append(f"{error}\n{self.rig.host_evidence()}")
                    return
            try:
                self.rig.wait_running()
                self.rig.judge()
            except Failed as error:
                self.failures.append(str(error))
        until = max((sample["seconds"] for sample in self.sampler.samples), default=0)
        if not self.failures and until < self.seconds - LATE:
            self.failures.append(f"no figures after {until:.0f} s")

    # What became of it

    def outcome(self) -> dict[str, Any]:
        """What is written and printed."""
        samples = list(self.sampler.samples)
        until = samples[-1]["seconds"] if samples else 0
        try:
            verified = dict(self.rig.totals())
        except Failed:
            verified = {}
        attacked = self.rig.attacked
        return {"seed": self.seed, "seconds": until, "wanted": self.seconds,
                "failures": self.failures, "errors": trend.errors(samples),
                "growth": trend.judge(samples, until), "verified": verified,
                "attacks": attacked.attacks if attacked else 0,
                "hostile_words": attacked.words if attacked else 0,
                "events": self.events, "samples": samples}


def survived(outcome: dict[str, Any]) -> bool:
    """Whether nothing failed, erred or grew."""
    return not outcome["failures"] and not outcome["errors"] \
        and all(one["ok"] for one in outcome["growth"])


def table(outcome: dict[str, Any]) -> str:
    """For people."""
    lines = [f"{'in the second half':<28}{'has grown by':>14}{'bound':>10}"]
    for one in outcome["growth"]:
        verdict = "" if one["ok"] else "   FAILED" if one["points"] >= trend.FEWEST else \
            "   FAILED: too few samples"
        lines.append(f"{one['of'] + ' ' + one['name']:<28}{one['growth']:>14,.0f}"
                     f"{one['bound']:>10,.0f} {one['unit']}{verdict}")
    for name, value in outcome["errors"].items():
        lines.append(f"FAILED: {name} {value}")
    crashes = sum(event["crash"] for event in outcome["events"])
    lines.append(f"{outcome['attacks']} attacks with {outcome['hostile_words']:,} words")
    lines.append(f"{len(outcome['events'])} events, {crashes} of them crashes; verified: "
                 + ", ".join(f"{value:,} {name}" for name, value in
                             sorted(outcome["verified"].items())))
    return "\n".join(lines + [f"FAILED: {failure}" for failure in outcome["failures"]])


def finish(soak: Soak, path: Path, draw: bool) -> int:
    """Write, draw and print what there is; the exit status."""
    outcome = soak.outcome()
    outcome["machine"] = guests()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(outcome, indent=1) + "\n")
    if path == OUTPUT:
        keep("soak", f"make soak HOURS={soak.seconds / 3600:g} SEED={soak.seed}",
             outcome["seconds"], outcome)
    print(f"\n{table(outcome)}\nseed {soak.seed}, {outcome['seconds'] / 60:.1f} minutes; "
          f"details: {os.path.relpath(path)}", flush=True)
    if draw:
        from . import plot
        plot.draw(outcome, path.with_suffix(".svg"))
        print(f"plot: {os.path.relpath(path.with_suffix('.svg'))}", flush=True)
    return 0 if survived(outcome) else 1


def main(words: list[str]) -> int:
    """The command line; an exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.campaign soak",
                                     description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=1, help="fractions, too (1)")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(1 << 32),
                        help="order of what happens (random)")
    parser.add_argument("--interval", type=float, default=5,
                        help="seconds from one look to the next (5)")
    parser.add_argument("--no-plot", action="store_true",
                        help="do not draw, for which python3-matplotlib is needed")
    parser.add_argument("--output", type=Path, default=OUTPUT,
                        help="file that is written (build/soak/soak.json)")
    args = parser.parse_args(words)
    if args.hours <= 0 or args.interval <= 0:
        parser.error("--hours and --interval are more than 0")
    say(f"{args.hours:g} hours, seed {args.seed}")
    interrupted = 0
    with Rig(args.output.with_suffix(""), attacked=True) as rig:
        soak = Soak(args.hours * 3600, args.seed, args.interval, rig)
        try:
            rig.start()
            soak.run()
        except KeyboardInterrupt:
            say("interrupted; everything is ended")
            interrupted = 130
        except ERRORS as error:
            soak.failures.append(f"{type(error).__name__}: {error}")
        status = finish(soak, args.output, not args.no_plot)
        return interrupted or status
