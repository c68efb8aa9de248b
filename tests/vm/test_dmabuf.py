# SPDX-License-Identifier: GPL-2.0-only
"""Parts of the memory as dma-bufs: what they show, who imports them, their end."""

import pytest

from lab import ivshmem_plain
from lab.paths import MODULES
from lab.testing import build_modules
from tests.region_image import PAGE, RAW, Image, Memory, Section

from .guest import DRIVER, Running, check, judge, node, nodes
from .region import ask, wait_state

SIZE = 4 << 20
ADDRESS = "00:10.0"
BDF = f"0000:{ADDRESS}"
IMPORTER = ["-device", f"edu,addr=0x15,dma_mask={2 ** 64 - 1}"]
PARAMETER = "/sys/module/ivshmem/parameters/kvmfr"
# A block device of memory, for direct I/O
DIRECT = "/dev/ram0"
ERASE = 2


@pytest.fixture(scope="module")
def memory(tmp_path_factory):
    """The file that is the memory."""
    return tmp_path_factory.mktemp("memory") / "shared"


@pytest.fixture(scope="module", params=["6.1", "6.12"])
def vm(request, module_vms, memory):
    """A guest with a device, an importer and a DRM device without hardware."""
    memory.unlink(missing_ok=True)
    vm = module_vms(f"dmabuf-{request.param}", kernel=build_modules(request.param),
                    devices=[ivshmem_plain(memory, SIZE, addr="0x10"), IMPORTER])
    vm.load_driver()
    vm.run(f"""
        modprobe vgem && modprobe brd rd_nr=1 rd_size=1024 || exit
        insmod {MODULES / vm.kernel.release}/drivers/test/ivshmem_import.ko || exit
        chmod 0666 /dev/ivshmem*""")
    return vm


def use(vm, device, end):
    """Use buffers of a device in every way until they are revoked."""
    return Running(vm, "revoked", device, end)


def test_contract(vm):
    check(vm, "dmabuf", node(vm, ADDRESS), DIRECT=DIRECT)


def test_importers(vm):
    check(vm, "import", node(vm, ADDRESS))


def test_looking_glass(vm):
    vm.run(f"echo 1 > {PARAMETER}")
    check(vm, "kvmfr", node(vm, ADDRESS))
    vm.run(f"echo 0 > {PARAMETER}")


def test_module_in_use_stays(vm):
    """rmmod is refused while there is a buffer, though nobody has the device open."""
    hold = ("import fcntl, os, struct, sys; f = os.open(sys.argv[1], os.O_RDWR)\n"
            "b = fcntl.ioctl(f, 0xd608, struct.pack('<IIIIQQ', 32, 0, 2, 0, 0, 4096))\n"
            "os.close(f); open('/run/held', 'w').close(); open('/run/release').read()")
    vm.run("rm -f /run/held /run/release; mkfifo /run/release")
    holder = vm.spawn(["/usr/bin/python3", "-c", hold, node(vm, ADDRESS)])
    vm.wait_for("test -e /run/held")
    refused = vm.run("rmmod ivshmem", check=False)
    assert refused.returncode != 0 and "in use" in refused.stderr
    vm.run("echo > /run/release")
    assert holder.wait().returncode == 0, holder.stderr
    vm.run("rmmod ivshmem")
    vm.load_driver()
    vm.run("chmod 0666 /dev/ivshmem*")


def test_unbound_in_use(vm):
    user = use(vm, node(vm, ADDRESS), "gone")
    vm.run(f"echo {BDF} > {DRIVER}/unbind")
    judge(user.wait())
    vm.run(f"echo {BDF} > {DRIVER}/bind")
    check(vm, "import", node(vm, ADDRESS))


def test_unbinding_waits_for_announced_work(vm):
    """What a device still does ends before the memory is given back."""
    user = Running(vm, "fenced", node(vm, ADDRESS))
    unbind = vm.spawn(f"echo {BDF} > {DRIVER}/unbind")
    vm.wait_for(f"grep -q ivshmem_buffers_drain /proc/{unbind.pid}/stack")
    assert unbind.poll() is None
    vm.run(f"kill -USR1 {user.process.pid}")
    assert unbind.wait().returncode == 0, unbind.stderr
    judge(user.wait())
    vm.run(f"echo {BDF} > {DRIVER}/bind")


def test_formatted_in_use(vm, memory):
    """Buffers of the unformatted region end, also where programs may map again."""
    device = node(vm, ADDRESS)
    user = use(vm, device, "stays")
    with Memory(memory) as region:
        region.write(Image(SIZE, [Section(RAW, "lab", 1 << 20)]))
        judge(user.wait())
        wait_state(vm, "^attached")
        region.erase()
        wait_state(vm, "^unformatted")
    check(vm, "import", device)


def exports(vm, device, *ranges):
    """What tests/vm/inside.py says of each OFFSET:LENGTH[:ro]."""
    return ask(vm, "exports", device, *ranges)


def test_formatted_region(vm, memory):
    """Of a formatted region what can be mapped can be exported, and nothing else."""
    device = node(vm, ADDRESS)
    image = Image(SIZE, [Section(RAW, "lab", 4 * PAGE), Section(RAW, "big", 1 << 20)])
    lab, big = image.offsets()
    with Memory(memory) as region:
        region.write(image)
        wait_state(vm, "^attached")
        assert exports(vm, device, f"{lab}:4096", f"{lab}:16384", f"{big}:{1 << 20}") == [""] * 3
        assert exports(vm, device, f"0:{SIZE}", "0:4096", f"{lab - PAGE}:8192",
                       f"{lab}:{5 * PAGE}", f"{big + (1 << 20)}:4096") == ["EINVAL"] * 5
        assert exports(vm, f"{device}.lab", "0:16384", "4096:4096", "4096:16384",
                       "16384:4096") == ["", "", "EINVAL", "EINVAL"]
        region.write(Image(SIZE, [Section(RAW, "lab", 4 * PAGE)], ro_compat=4))
        wait_state(vm, "read-only$")
        assert exports(vm, f"{device}.lab", "0:4096", "0:4096:ro") == ["EROFS", ""]
        region.write(Image(SIZE, [Section(RAW, "lab", 4 * PAGE)], incompat=1))
        wait_state(vm, "^refused")
        assert exports(vm, device, "0:4096:ro") == ["EINVAL"]
        region.erase()
        wait_state(vm, "^unformatted")


def test_reset_and_unplugged_in_use(vm, tmp_path):
    """A reset ends them, since devices do not wait as processes do; so does the end."""
    before = set(nodes(vm))
    vm.add_device(ivshmem_plain(tmp_path / "plugged", SIZE, id="plugged"))
    name = vm.wait_for(f"cd /sys/class/ivshmem; ls | grep -vx -e {' -e '.join(before)}"
                       ).stdout.strip()
    vm.wait_for(f"test -e /dev/{name}")
    user = use(vm, f"/dev/{name}", "stays")
    vm.run(f"echo 1 > /sys/class/ivshmem/{name}/device/reset")
    judge(user.wait())
    user = use(vm, f"/dev/{name}", "gone")
    vm.remove_device("plugged")
    judge(user.wait())
    assert set(nodes(vm)) == before
