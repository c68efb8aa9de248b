# SPDX-License-Identifier: GPL-2.0-only
"""The lab's command line: python3 -m lab --help."""

import argparse
import sys

from . import accel, attach, kernel, matrix, shell, toolchain
from .log import LabError, say
from .vm import VM, VMDied


def _kernel(args: argparse.Namespace) -> int:
    found = kernel.get(args.kernel)
    print(found.headers if args.headers else found.release)
    return 0


def _accel(args: argparse.Namespace) -> int:
    mode, why = accel.choose(kernel.get(args.kernel))
    print(f"{mode}: {why}")
    return 0


def _toolchain(args: argparse.Namespace) -> int:
    toolchain.run(args.suite, args.words)
    return 1


def _shell(args: argparse.Namespace) -> int:
    if args.vm:
        attach.attach(args.vm)
        return 0
    return shell.run(use_tmux=not args.no_tmux)


def _run(args: argparse.Namespace) -> int:
    chosen = kernel.get(args.kernel)
    mode, why = accel.choose(chosen)
    say(f"booting {chosen.release} on {mode.upper()} ({why})")
    with VM("lab", args.device, memory=args.memory, smp=args.smp, append=args.append,
            kernel=chosen) as vm:
        if args.driver:
            vm.load_driver()
        result = vm.run(" ".join(args.command), args.timeout, check=False)
    sys.stdout.write(result.stdout)
    sys.stderr.write(result.stderr)
    if args.console:
        sys.stderr.write(vm.console.text())
    return result.returncode if 0 <= result.returncode < 128 else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m lab", description="Boots virtual machines with ivshmem "
        "devices. A guest sees the host's own files; what it writes is in memory.")
    parser.add_argument("--kernel", metavar="WHICH", help="guest kernel: one of "
                        + ", ".join(matrix.KERNELS) + ", or a whole release (default: "
                        "$KERNEL, else the kernel of this Debian)")
    commands = parser.add_subparsers(dest="subcommand", required=True)

    sub = commands.add_parser("kernel", help="fetch the guest kernel, print its release")
    sub.add_argument("--headers", action="store_true",
                     help="print where modules for it are built instead (KDIR)")
    sub.set_defaults(function=_kernel)

    sub = commands.add_parser("accel", help="say whether guests run on KVM or emulated")
    sub.set_defaults(function=_accel)

    sub = commands.add_parser("toolchain", help="run a command with the compilers of a "
                              "Debian release")
    sub.add_argument("suite", help="trixie, for example")
    sub.add_argument("words", metavar="COMMAND", nargs=argparse.REMAINDER)
    sub.set_defaults(function=_toolchain)

    sub = commands.add_parser("shell", help="two VMs to type into")
    sub.add_argument("vm", nargs="?", choices=shell.NAMES,
                     help="connect to this VM of the pair that runs already")
    sub.add_argument("--no-tmux", action="store_true",
                     help="show VM a only, not both side by side")
    sub.set_defaults(function=_shell)

    sub = commands.add_parser("run", help="run a command in a throw-away VM")
    sub.add_argument("command", nargs="+", help="what bash is to run in the guest")
    sub.add_argument("--device", action="append", default=[], metavar="ARGUMENTS",
                     help='QEMU arguments, as in --device="-device edu"')
    sub.add_argument("--driver", action="store_true", help="load ivshmem.ko first")
    sub.add_argument("--memory", default="512M")
    sub.add_argument("--smp", type=int, default=1, metavar="CPUS")
    sub.add_argument("--append", default="", help="more kernel parameters")
    sub.add_argument("--timeout", type=float, default=600, metavar="SECONDS")
    sub.add_argument("--console", action="store_true",
                     help="print the console's log at the end")
    sub.set_defaults(function=_run)
    return parser


def main() -> int:
    """Run one subcommand; exit status 0 is success, 1 failure, 2 usage."""
    args = _parser().parse_args()
    try:
        return args.function(args)
    except (LabError, VMDied, TimeoutError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
