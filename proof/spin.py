# SPDX-License-Identifier: GPL-2.0-only
"""Searches the models by Spin: of one link, link.pml, which is held against the code; of
those between three peers, peers.pml; and of peers who choose slots, slots.pml."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab.paths import ROOT

MODEL = ROOT / "proof/link.pml"
PEERS = ROOT / "proof/peers.pml"
SLOTS = ROOT / "proof/slots.pml"
LINK = ROOT / "include/ivshmem/link.h"
BOUND = 900
# Bytes, so that no other machine's search is the end of this one.
MEMORY = 4000
MARK = re.compile(r"\[([AWU]\d)\]")


@dataclass(frozen=True)
class Search:
    """One search: of every state, or also for a run that never comes up (@live), or
    never comes to rest (@rests)."""

    name: str
    options: tuple[str, ...]
    live: bool = False
    rests: bool = False
    model: Path = MODEL


@dataclass(frozen=True)
class Verdict:
    """What Spin says; @complete if it saw all states."""

    holds: bool
    states: int
    output: str


SEARCHES = [
    Search("one crash, 3 records", ("EVENTS=1",)),
    Search("two crashes, 1 record", ("EVENTS=2", "RECORDS=1")),
    Search("one crash, both come up", ("EVENTS=1", "RECORDS=1"), live=True),
    Search("two crashes, both come up", ("EVENTS=2", "RECORDS=0"), live=True),
    Search("one snapshot, 3 records", ("EVENTS=1", "ROLLBACK", "ROLLBACK_ONLY")),
    Search("crash and snapshot, 1 record", ("EVENTS=2", "RECORDS=1", "ROLLBACK")),
    Search("one snapshot, both come up", ("EVENTS=1", "RECORDS=1", "ROLLBACK"), live=True),
    Search("three peers start", ("EVENTS=0", "RECORDS=0"), rests=True, model=PEERS),
    Search("three peers, one crash", ("EVENTS=1", "ALL_UP"), rests=True, model=PEERS),
    Search("three peers, crash or snapshot", ("EVENTS=1", "ALL_UP", "ROLLBACK"),
           rests=True, model=PEERS),
    Search("three peers, one crashes twice",
           ("EVENTS=2", "ALL_UP", "SECOND=0", "RECORDS=0"), rests=True, model=PEERS),
    Search("three peers, two crash", ("EVENTS=2", "ALL_UP", "SECOND=1", "RECORDS=0"),
           model=PEERS),
    Search("two choose slots", ("STOPS=0", "CLAIMANTS=2"), rests=True, model=SLOTS),
    Search("three choose slots", ("STOPS=0",), rests=True, model=SLOTS),
    Search("three choose slots, one stops", ("STOPS=1",), rests=True, model=SLOTS),
    Search("three choose slots, two stops", ("STOPS=2",), rests=True, model=SLOTS),
]

MISTAKES = [
    Search("epoch-before-ack", ("EPOCH_BEFORE_ACK", "EVENTS=2", "RECORDS=0"), live=True),
    Search("same-epoch", ("SAME_EPOCH", "EVENTS=1")),
    Search("no-withdraw", ("NO_WITHDRAW", "EVENTS=1")),
    Search("no-own-index", ("NO_OWN_INDEX", "EVENTS=1", "ROLLBACK", "ROLLBACK_ONLY")),
    Search("no-own-epoch", ("NO_OWN_EPOCH", "EVENTS=2", "RECORDS=1", "ROLLBACK")),
    Search("no-check-before-batch",
           ("NO_CHECK_BEFORE_BATCH", "EVENTS=1", "ROLLBACK", "ROLLBACK_ONLY")),
    Search("fault-before-session", ("FAULT_BEFORE_SESSION", "EVENTS=1")),
    Search("session-before-index", ("SESSION_BEFORE_INDEX", "EVENTS=1")),
    Search("three-same-epoch", ("SAME_EPOCH", "EVENTS=1", "ALL_UP"), model=PEERS),
    Search("epoch-of-another", ("EPOCH_OF_ANOTHER", "EVENTS=1", "ALL_UP"), model=PEERS),
    Search("ack-of-another", ("ACK_OF_ANOTHER", "EVENTS=1", "ALL_UP"), model=PEERS),
    Search("one-link-only", ("ONE_LINK_ONLY", "EVENTS=1", "ALL_UP"), model=PEERS),
    Search("slots-same-epoch", ("SAME_EPOCH", "STOPS=0"), model=SLOTS),
    Search("slots-no-wait", ("NO_WAIT", "STOPS=0"), model=SLOTS),
    Search("slots-no-second-look", ("NO_SECOND_LOOK", "STOPS=0"), model=SLOTS),
    Search("slots-erase", ("ERASE", "STOPS=0"), model=SLOTS),
    Search("slots-settled-for-good", ("SETTLED_FOR_GOOD", "STOPS=1"), rests=True,
           model=SLOTS),
]


def run(search: Search, folder: Path) -> Verdict:
    """Run @search, with its program in @folder."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["spin", *(f"-D{option}" for option in search.options), "-a",
                    search.model], cwd=folder, check=True, stdout=subprocess.PIPE)
    kind = ["-DNFAIR=3"] if search.live else ["-DNP"] if search.rests else [
        "-DSAFETY", "-DNOCLAIM"]
    subprocess.run(["gcc", "-O2", "-w", "-DCOLLAPSE", f"-DMEMLIM={MEMORY}", *kind,
                    "-o", "pan", "pan.c"], cwd=folder, check=True)
    options = ["-a", "-f", "-N", "live"] if search.live else ["-l"] if search.rests else []
    done = subprocess.run(["./pan", "-m2000000", "-n", *options], cwd=folder, check=False,
                          text=True, timeout=BOUND, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    told = re.search(r"errors: (\d+)\s+(\d+) states, stored", done.stdout)
    if not told or (told[1] == "0" and re.search("Search not completed|too small|"
                                                 "out of memory", done.stdout)):
        raise RuntimeError(f"{search.name}: Spin did not get to a result:\n{done.stdout}")
    return Verdict(told[1] == "0", int(told[2]), done.stdout)


def marks(path: Path) -> set[str]:
    """The marks of steps in a file, those in the opening comment left out."""
    _, _, code = path.read_text().partition("*/\n")
    return set(MARK.findall(code.partition("*/\n")[2] if path.suffix == ".h" else code))


def states_of_model() -> set[str]:
    """The states of a link that the model names."""
    return set(re.search(r"mtype = \{([^}]*)\}", MODEL.read_text())[1].replace(
        ",", " ").split())


def states_of_code() -> set[str]:
    """Those of link.h."""
    names = re.search(r"enum ivlink_state \{(.*?)\n\};", LINK.read_text(), re.S)[1]
    return set(re.findall(r"^\tIVLINK_(\w+)", names, re.M))
