# SPDX-License-Identifier: GPL-2.0-only
"""What a VM of the lab does."""

import pytest

from lab import CommandFailed


def test_commands_have_status_and_output(module_vms):
    vm = module_vms()
    result = vm.run("echo out; echo err >&2; exit 7", check=False)
    assert (result.returncode, result.stdout, result.stderr) == (7, "out\n", "err\n")
    with pytest.raises(CommandFailed, match="exit status 7"):
        vm.run("exit 7")
