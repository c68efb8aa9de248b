# SPDX-License-Identifier: GPL-2.0-only
"""What a guest whose kernel checks itself is asked before it ends.

Our modules are unloaded, and nothing may be left of what they allocated: kmemleak looks
for memory that nothing refers to. It is a report like others when a module of ours is in
its backtrace, by name or as an address where no module is any more.
"""

import re
from collections import Counter
from typing import TYPE_CHECKING

from .agent import AgentError
from .log import LabError
from .reports import Report, parse

if TYPE_CHECKING:
    from .vm import VM

BOUND = 120

# First of all the programs that still use our modules end: all but init, the agent, and
# this one. Kernel threads have no program. What bash itself can do takes no new process,
# of which each takes such a guest a second.
UNLOAD = r"""
PATH=/usr/sbin:/usr/bin:/sbin:/bin
ours() {
    found=()
    while read -r name _ users _; do
        [[ $name != ivshmem* ]] || found+=("$name" "$users")
    done </proc/modules
    [ ${#found[@]} != 0 ]
}
read -r tainted </proc/sys/kernel/tainted
((tainted & 4096)) || exit 0
# A report before ours came would have ended the search for wrong locks
[ ! -e /proc/lockdep_stats ] || while read -r name value; do
    [ "$name $value" != "debug_locks: 0" ] || echo "lab: lockdep is off"
done </proc/lockdep_stats
for process in /proc/[0-9]*; do
    number=${process#/proc/}
    [ -e $process/exe ] && read -r name <$process/comm || continue
    [[ $name = qemu-ga || " 1 $$ $PPID " = *" $number "* ]] || kill -9 $number
done 2>/dev/null
for place in /run/netns/*; do
    [ ! -e $place ] || ip netns delete ${place##*/}
done
for tries in {1..10}; do
    ours || break
    while read -r device place _; do
        [[ $device != /dev/iv* ]] || umount $place
    done </proc/mounts
    for ((at = 0; at < ${#found[@]}; at += 2)); do
        rmmod ${found[at]} 2>/dev/null
    done
    ours || break
    sleep 1
done
for ((at = 0; at < ${#found[@]}; at += 2)); do
    echo "lab: ${found[at]} cannot be unloaded, ${found[at + 1]} users"
done
echo lab: unloaded
"""

# What is younger than five seconds is no leak yet, nor what was not found twice.
SCAN = """
sleep 6
echo scan >/sys/kernel/debug/kmemleak && echo scan >/sys/kernel/debug/kmemleak &&
cat /sys/kernel/debug/kmemleak
"""

# An address in a backtrace where the kernel knows nothing: modules were there.
_GONE = re.compile(r"\] 0xffffffff[a-f]\w{7}$", re.M)
# Names that Linux itself forgets where what they were for could not be registered
_NAMES = re.compile(r"\] kobject_set_name_vargs\+(.*\n){1,3}"
                    r".*\] (__class_register|sysfs_slab_add)\+")


def checkup(vm: "VM", tally: Counter[str]) -> str:
    """Ask the guest, if it can still answer; what is wrong, or ""."""
    if not (vm.kernel.checks_itself and vm.answers):
        return ""
    try:
        if vm.kernel.config("CONFIG_KCSAN") == "y":
            tally["KCSAN watchpoints"] += _watchpoints(vm)
        return _leaks(vm, tally) if vm.kernel.finds_leaks else ""
    except (AgentError, LabError, TimeoutError) as error:
        return f"{vm.name}: it could not be looked for leaks: {error}"


def _watchpoints(vm: "VM") -> int:
    said = vm.run("cat /sys/kernel/debug/kcsan", BOUND).stdout
    found = re.search(r"^setup_watchpoints: (\d+)", said, re.M)
    return int(found[1]) if found else 0


def _leaks(vm: "VM", tally: Counter[str]) -> str:
    """Unload our modules and look for what they left."""
    said = vm.run(UNLOAD, BOUND).stdout
    if "lab: unloaded" not in said:
        return ""
    wrong = [line for line in said.splitlines()
             if "cannot be unloaded" in line or "lockdep is off" in line]
    left = vm.run(SCAN, BOUND).stdout
    tally["kmemleak scans"] += 1
    found = [report for report in parse(left.splitlines()) if is_leak(report)]
    tally["kmemleak"] += len(found)
    return "\n".join(wrong + [report.text for report in found])


def is_leak(report: Report) -> bool:
    """Whether it is memory that a module of ours has allocated."""
    return (report.kind == "kmemleak" and not _NAMES.search(report.text)
            and (report.ours or bool(_GONE.search(report.text))))
