# SPDX-License-Identifier: GPL-2.0-only
"""Each step that can fail does so once, of all that our modules do, and nothing is lost.

What a guest is made to do, and what is demanded of it, is in courses and sweep.py; the
module that lets steps fail is in faults. At the end of each guest the modules are unloaded
and kmemleak looks for what they have left.
"""

import json
import os

import pytest

from lab import BlkServer, ivshmem_doorbell, ivshmem_plain
from lab.paths import MODULES, ROOT
from lab.testing import count

from .courses import COURSES
from .courses.devices import PLAIN_SIZE, VECTORS

LINK = {"size": "64M", "vectors": VECTORS, "peers": 4,
        "layout": "net=lan:24M:vector=1,,blk=disk0:24M:vector=1,,raw=lab:4M"}
BOUND = 600

# Steps that are no allocation: of which course it is known that they fail in it
CERTAIN = {
    "load": ["alloc_workqueue", "__class_register", "alloc_chrdev_region",
             "__pci_register_driver", "__auxiliary_driver_register"],
    "probe": ["pci_enable_device_mem", "pci_request_selected_regions_exclusive", "pci_iomap",
              "memremap", "pci_alloc_irq_vectors_affinity", "request_threaded_irq",
              "ida_alloc_range", "dev_set_name", "cdev_device_add", "auxiliary_device_init",
              "__auxiliary_device_add"],
    "calls": ["should_fail_usercopy", "__get_user_4", "simple_pin_fs", "alloc_anon_inode",
              "eventfd_ctx_fdget", "vmf_insert_pfn", "dma_buf_export", "dma_buf_fd",
              "dma_buf_dynamic_attach", "dma_buf_map_attachment", "dma_map_resource",
              "sg_alloc_table"],
    "format": ["memdup_user", "should_fail_usercopy", "cdev_device_add"],
    "notice": ["cdev_device_add"],
    "peers": ["__auxiliary_device_add"],
    "net": ["alloc_etherdev_mqs", "register_netdev", "__alloc_percpu_gfp",
            "__xdp_rxq_info_reg", "page_pool_create", "xdp_rxq_info_reg_mem_model",
            "__napi_alloc_skb", "page_pool_alloc_pages"],
    "blk": ["gen_pool_create", "gen_pool_add_owner", "blk_mq_alloc_tag_set",
            "__blk_mq_alloc_disk", "device_add_disk"],
    "echo": ["should_failslab"],
}


def devices(server, memory):
    """Those that courses/devices.py names."""
    plain = [word for number in (2, 3) for word in
             ivshmem_plain(memory, PLAIN_SIZE, id=f"plain{number}", addr=f"0x1{number}")]
    peers = [word for number in (0, 1) for word in
             ivshmem_doorbell(server, VECTORS, id=f"peer{number}", addr=f"0x1{number}")]
    return [peers, plain, ["-device", f"edu,addr=0x15,dma_mask={2 ** 64 - 1}"]]


@pytest.fixture(scope="module")
def vm(module_vms, module_servers, faults, tmp_path_factory):
    """A guest with all that courses/devices.py names, and the back end of its disk."""
    folder = tmp_path_factory.mktemp("faults")
    server = module_servers(**LINK)
    with open(folder / "disk.img", "wb") as image:
        image.truncate(8 << 20)
    with BlkServer(server, folder / "disk.img"):
        vm = module_vms("faults", devices(server, folder / "memory"))
        vm.run(f"insmod {faults}", BOUND)
        yield vm


# Linux makes an interrupt without its file in /proc, and warns when it removes that; where
# there is no memory for its own it shows from where that was asked, with a line before.
@pytest.mark.console_expects(r"WARNING: .* remove_proc_entry|Call Trace:|kasan_\w+\+0x")
@pytest.mark.kernel("debug")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("course", COURSES)
def test_each_step_fails_once(vm, record_property, course):
    words = f"{course} {MODULES / vm.kernel.release / 'drivers'} /mnt/share/{course}.log"
    said = json.loads(vm.run(f"cd {ROOT} && exec python3 -m tests.debug.courses {words}",
                             BOUND, env={"FAULTS": os.environ.get("FAULTS", "")}).stdout)
    injected = said["injected"]
    total = sum(injected.values())
    record_property("injected failures", total)
    print(f"{course}: {total} injected failures at {said['places']} places: "
          + ", ".join(f"{phase} {number}" for phase, number in injected.items()))
    print("  " + ", ".join(f"{how} {number}" for how, number in said["outcomes"].items()))
    assert all(injected.values())
    assert not set(CERTAIN[course]) - set(said["failed"])
    count("injected failures", total)
