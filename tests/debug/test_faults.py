# SPDX-License-Identifier: GPL-2.0-only
"""Each step that can fail does so once, of all that our modules do, and nothing is lost.

What a guest is made to do, and what is demanded of it, is in courses.py and sweep.py; the
module that lets steps fail is in faults. At the end of each guest the modules are unloaded
and kmemleak looks for what they have left.
"""

import json
import os

import pytest

from lab import ivshmem_doorbell
from lab.paths import MODULES, ROOT
from lab.testing import count

from .courses import COURSES, VECTORS

LINK = {"size": "64M", "vectors": VECTORS, "peers": 4,
        "layout": "net=lan:24M:vector=1,,blk=disk0:24M:vector=1,,raw=lab:4M"}
BOUND = 600

# Steps that are no allocation: of which course it is known that they fail in it
CERTAIN = {
    "calls": ["should_fail_usercopy", "__get_user_4", "simple_pin_fs", "alloc_anon_inode",
              "eventfd_ctx_fdget", "vmf_insert_pfn", "dma_buf_export", "dma_buf_fd",
              "dma_buf_dynamic_attach", "dma_buf_map_attachment", "dma_map_resource",
              "sg_alloc_table"],
    "net": ["alloc_etherdev_mqs", "register_netdev", "__alloc_percpu_gfp",
            "__xdp_rxq_info_reg", "page_pool_create", "xdp_rxq_info_reg_mem_model",
            "__napi_alloc_skb", "page_pool_alloc_pages"],
}


@pytest.fixture(scope="module")
def vm(module_vms, module_servers, faults):
    """A guest with the devices that courses.py names."""
    server = module_servers(**LINK)
    peers = [ivshmem_doorbell(server, VECTORS, id=f"peer{number}", addr=f"0x1{number}")
             for number in (0, 1)]
    vm = module_vms("faults", [*peers, f"-device edu,addr=0x15,dma_mask={2 ** 64 - 1}"])
    vm.run(f"insmod {faults}", BOUND)
    return vm


# Linux makes an interrupt without its file in /proc, and warns when it removes that
@pytest.mark.console_expects("WARNING: .* remove_proc_entry")
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
