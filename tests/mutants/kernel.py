# SPDX-License-Identifier: GPL-2.0-only
"""Defects of the modules."""

from functools import partial

from .defect import Defect


def _in(folder: str, name: str, file: str, old: str, new: str, breaks: str,
        attack: str, *found_by: str) -> Defect:
    return Defect(f"{folder}-{name}", f"drivers/{folder}/{file}", old, new, breaks, attack,
                  tuple(f"pytest {check}" for check in found_by))


_core = partial(_in, "core")
_net = partial(_in, "net")
_blk = partial(_in, "blk")

_CONTRACT = "tests/vm/test_contract.py -k 'with_doorbells and ({})'"
_ASKED = _CONTRACT.format("ioctl or rights")
_HEARD = _CONTRACT.format("subscribe or limit or readers")
_MAPPED = _CONTRACT.format("map")
# Of the usual kernel, for which modules are built anyway
_FORMAT = "tests/vm/test_format.py -k '({}) and not 6.12'"
_BUFFERS = "tests/vm/test_dmabuf.py -k '(contract or importers or unbound_in_use) and not 6.12'"
_FLOODED = "tests/vm/test_host_peer.py -k '{}'"
_LIVES = "tests/vm/test_peers.py -k 'own_words or unwatched'"

CORE = [
    _core("any-size", "chardev.c", "\tif (*usize > PAGE_SIZE)\n\t\treturn -E2BIG;\n", "",
          "bound", "A40", _ASKED),
    _core("any-vector", "chardev.c",
          "arg.peer >= IVSHMEM_MAX_PEERS || arg.vector >= IVSHMEM_MAX_VECTORS",
          "arg.peer >= IVSHMEM_MAX_PEERS", "bound", "A40", _ASKED),
    _core("reader-rings", "chardev.c",
          "\t\tif (!(filp->f_mode & FMODE_WRITE))\n\t\t\treturn -EBADF;\n"
          "\t\treturn ivshmem_ioctl_ring(", "\t\treturn ivshmem_ioctl_ring(",
          "permission", "A42", _ASKED),
    _core("not-throttled", "chardev.c", "if (!file->privileged) {", "if (0) {",
          "rate limit", "A36", _HEARD),
    _core("old-events", "chardev.c", "\t\t\tWRITE_ONCE(file->vectors[v].seen,\n"
          "\t\t\t\t   atomic64_read(&ivd->vectors[v].count));\n\t\t\tset_bit",
          "\t\t\tset_bit", "zeroing", "A38", _HEARD),
    _core("files-without-number", "chardev.c", "if (ivd->nr_files < IVSHMEM_MAX_FILES) {",
          "if (1) {", "bound", "A40", _HEARD),
    _core("file-not-counted-off", "chardev.c", "\tivd->nr_files--;\n", "", "unwinding",
          "A40", _HEARD),
    _core("private-mapping", "mmap.c", "\tif (!(vma->vm_flags & VM_MAYSHARE))\n"
          "\t\treturn -EINVAL;\n\n\tif (vma->vm_flags & VM_EXEC)",
          "\tif (vma->vm_flags & VM_EXEC)", "check", "A39", _MAPPED),
    _core("executable-later", "mmap.c", "\tvm_flags_clear(vma, VM_MAYEXEC);\n", "",
          "masking", "A39", _MAPPED),
    _core("debugger-writes", "mmap.c",
          "\tif (write && !(vma->vm_flags & VM_WRITE))\n\t\treturn -EACCES;\n", "",
          "permission", "A39", _MAPPED),
    _core("maps-beyond-the-end", "mmap.c", " ||\n\t    count > pages.end - *page)", ")",
          "bound", "A39", _MAPPED),
    _core("debugger-beyond-the-end", "mmap.c",
          "ret = min_t(unsigned long, len, end - addr);", "ret = len;", "bound", "A39",
          _MAPPED),
    _core("old-mapping-stays", "region.c", "\tivshmem_mmap_revoke(ivd);\n"
          "\tivshmem_buffers_revoke(ivd);\n\t/* The section",
          "\tivshmem_buffers_revoke(ivd);\n\t/* The section", "revocation", "A39",
          _FORMAT.format("revoked")),
    _core("sections-overlook-edges", "mmap.c",
          "return page >= pages->first && page < pages->end;\n}\n\n/* Likewise, as",
          "return true;\n}\n\n/* Likewise, as", "bound", "A39",
          _FORMAT.format("can_be_mapped or node_shows")),
    _core("anybody-formats", "format.c", "\tif (!file->privileged)\n\t\treturn -EPERM;\n"
          "\tif (flags", "\tif (flags", "permission", "A42",
          _FORMAT.format("rights or region_in_use")),
    _core("formats-in-use", "format.c", "\t\tif (peer->state != IVPEER_ABSENT)\n"
          "\t\t\treturn IVSHMEM_THERE;\n", "", "check", "A05",
          _FORMAT.format("rights or region_in_use")),
    _core("buffers-not-revoked", "pci.c", "\t\tivshmem_buffers_revoke(ivd);\n"
          "\t\tivshmem_doorbell_hangup", "\t\tivshmem_doorbell_hangup", "revocation", "A41",
          _BUFFERS),
    _core("reader-writes-by-dma", "dmabuf.c",
          "\tif (!buffer->write && dir != DMA_TO_DEVICE)\n\t\treturn ERR_PTR(-EACCES);\n",
          "", "permission", "A42", _BUFFERS),
    _core("buffers-without-number", "dmabuf.c",
          "if (ivd->nr_buffers < IVSHMEM_MAX_BUFFERS) {", "if (1) {", "bound", "A40",
          _BUFFERS),
    _core("readers-not-woken", "doorbell.c", "\twake_up_all(&file->wait);\n", "", "liveness",
          "A41", "tests/vm/test_removal.py -k unbound_in_use"),
    _core("storms-not-bounded", "doorbell.c",
          "if (!rate || ++vec->burst <= rate / (HZ / IVSHMEM_IRQ_WINDOW))", "if (1)",
          "rate limit", "A36", _FLOODED.format("are_bounded")),
    _core("pause-outlives-the-vector", "doorbell.c",
          "\t\tcancel_delayed_work_sync(&vec->unmask);\n", "", "unwinding", "A37",
          _FLOODED.format("while_flooded")),
    _core("attaches-without-limit", "region.c",
          "if (format && !asked && !__ratelimit(&ivd->attach_limit)) {", "if (0) {",
          "rate limit", "A09", _FORMAT.format("held_back")),
    _core("own-words-not-compared", "peer.c",
          "if (self->epoch && !ivshmem_self_intact(ivd)) {",
          "if (self->epoch && !ivshmem_self_intact(ivd) && 0) {", "check", "A07", _LIVES),
    _core("fights-without-rest", "peer.c", "self->rest = clamp(2 * self->rest, "
          "IVSHMEM_REST_MS, IVSHMEM_REST_MAX_MS);", "self->rest = 0;", "rate limit", "A07",
          _LIVES),
    _core("heart-stands-still", "peer.c", "\tself->heartbeat++;\n", "", "liveness", "A10",
          "tests/vm/test_peers.py -k own_place"),
    _core("turn-is-kept", "chardev.c", "\tivshmem_doorbell_forgo(ivd, turn);\n", "",
          "rate limit", "A36", "tests/vm/test_contract.py -k limit"),
    _core("any-slot", "choice.c", "if (slot < region->slots || slot == IVSHMEM_AUTO_SLOT)",
          "if (1)", "bound", "A07", "tests/vm/test_region.py -k slot_of_a_plain"),
    _core("id-beyond-the-slots-for-ever", "choice.c", "\t\tivd->self.given = slot;\n",
          "\t\tif (slot < region->slots)\n\t\t\tivd->self.given = slot;\n", "liveness", "A07",
          "tests/vm/test_hibernation.py -k slot"),
    _core("slot-of-a-server", "choice.c", "\n\t       "
          "!ivslot_is_served(ivshmem_server_line(ivd, self->place)) &&", "", "check", "A07",
          "tests/vm/test_choice.py -k server_that_begins"),
    _core("cards-before-disks", "function.c", "_some(format, true);\n"
          "\tivshmem_functions_remove_some(format, false);", "_some(format, false);\n"
          "\tivshmem_functions_remove_some(format, true);", "liveness", "A31",
          "tests/blk/test_disk_hostile.py -k gone_below"),
    _core("links-in-another-format", "function.c", "if (!ivshmem_function_intact(function) ||\n"
          "\t    !ivregion_intact(there, &function->format->region))", "if (0)", "check",
          "A05", "tests/vm/test_function.py -k 'formatted_while and not 6.12'"),
    _core("epoch-stays", "region.c", "\t\tif (!ivshmem_load32(&there->magic))\n"
          "\t\t\tivshmem_peer_leave(ivd);\n", "", "zeroing", "A06",
          "tests/vm/test_region.py -k leaves_when_erased"),
    _core("attached-but-nobody", "region.c", "intact = format->entered &&\n\t\t ivregion",
          "intact = ivregion", "liveness", "A09",
          "tests/vm/test_region.py -k erased_for_a_moment"),
    _core("believes-a-moment", "region.c", " &&\n\t\t ivshmem_region_is_same(ivd, format);", ";",
          "check", "A06", "tests/vm/test_region.py -k another_superblock"),
]

_BAD = "tests/net/test_hostile_net.py -k '{}'"
_FRAMES = _BAD.format("frames_that_cannot")
_HELLOS = _BAD.format("hellos_that_cannot")
_ADDRESSES = _BAD.format("address_of")

NET = [
    _net("longer-than-accepted", "rx.c", "if (length > ivnet_max_frame(net, prog) ||\n"
         "\t    !ivnet_is_agreed(", "if (!ivnet_is_agreed(", "bound", "A22",
         _BAD.format("longer_than_accepted")),
    _net("not-agreed", "rx.c", "return (features & needed) == needed &&\n\t       ",
         "return ", "check", "A23", _BAD.format("more_than_was_agreed")),
    _net("segments-without-checksums", "rx.c",
         "(!header->gso_type || needed & IVNET_CSUM);", "(features || needed);", "check",
         "A23", _FRAMES),
    _net("segments-of-anything", "rx.c", " ||\n\t    !ivnet_is_protocol(skb, header))", ")",
         "check", "A23", _FRAMES),
    _net("from-itself", "rx.c",
         "\t    ether_addr_equal(eth->h_source, net->dev->dev_addr) ||\n", "", "check", "A24",
         _FRAMES),
    _net("takes-its-word", "rx.c", " &&\n\t    net->dev->features & NETIF_F_RXCSUM)", ")",
         "check", "A25", _BAD.format("called_right")),
    _net("second-hello", "rx.c",
         "if (length < sizeof(hello) || test_bit(slot, net->ready))",
         "if (length < sizeof(hello))", "check", "A11", _HELLOS),
    _net("frame-before-hello", "rx.c", "} else if (!test_bit(slot, net->ready)) {",
         "} else if (0) {", "check", "A11", _HELLOS),
    _net("changed-hello-stands", "tx.c",
         "\tif (!memcmp(&there, &link->hello, sizeof(there)))\n", "", "check", "A20",
         _BAD.format("somebody_else")),
    _net("looks-again", "links.c",
         "\t\tevents = ivlink_end(&link->link, reason, ivnet_now());\n",
         "\t\tif (link->restart)\n"
         "\t\t\tevents = ivlink_end(&link->link, reason, ivnet_now());\n", "liveness", "A11",
         "tests/debug/test_delays.py -k seems_to_be_over"),
    _net("earlier-life-goes-on", "links.c", "if (link->restart || (peer->state == IVPEER_ALIVE &&",
         "if (link->restart || (0 &&", "liveness", "A11", _BAD.format("wants_no_link")),
    _net("stations-stolen", "fdb.c",
         "\t\tif (!(old & FDB_FIXED) || test_bit(old & FDB_SLOT, net->silent))\n"
         "\t\t\tfdb_set", "\t\tfdb_set", "check", "A24", _ADDRESSES),
    _net("stations-of-the-dead", "fdb.c", " || test_bit(old & FDB_SLOT, net->silent)", "",
         "liveness", "A24", _BAD.format("has_died")),
    _net("sent-too-long", "tx.c",
         "\telse if (source->length > net->links[slot].limits.max_frame)\n"
         "\t\tret = -EMSGSIZE;\n", "", "bound", "A22", _BAD.format("unusual")),
    _net("waits-for-ever", "tx.c", "\t\t\tring->stalled = true;\n"
         "\t\t\tivnet_give_up(net, i, slot);\n", "\t\t\tring->stalled = true;\n", "liveness",
         "A15", _BAD.format("does_not_consume")),
    _net("faults-not-ended", "rx.c", "\t\tivnet_link_lost(net, slot);\n\t\treturn done;\n",
         "\t\treturn done;\n", "liveness", "A11", _BAD.format("rings_that_cannot")),
]

_LIED = "tests/blk/test_disk_hostile.py -k 'honest or lies or answers_twice or second_back'"
_RETURN = "tests/blk/test_disk_return.py -k '{}'"
_IO = "tests/blk/test_disk_io.py -k 'copies or verifies or grows'"

BLK = [
    _blk("sessions-without-end", "complete.c",
         "command->tries < tries && !ivblk_is_old(queue, command)", "command->tries < tries",
         "bound", "A31", "tests/blk/test_disk_hostile.py -k never_answers"),
    _blk("any-answer", "complete.c", " || queue->table[tag].id != id)", ")", "check", "A28",
         _LIED),
    _blk("tags-alike", "submit.c", "(u32)queue->seq++ << IVBLK_TAG_BITS | rq->tag;",
         "rq->tag;", "masking", "A28", _LIED),
    _blk("short-answers", "complete.c", "\tif (length < sizeof(response))\n"
         "\t\treturn false;\n", "", "bound", "A28", _LIED),
    _blk("news-of-a-front-end", "complete.c",
         " ||\n\t    news.role != IVBLK_BACK_END)", ")", "check", "A29", _LIED),
    _blk("requests-from-the-back-end", "complete.c", "return kind != IVBLK_KIND_REQUEST;",
         "return true;", "check", "A28", _LIED),
    _blk("second-back-end", "links.c", "\tif (ivblk->active)\n"
         "\t\treturn \"there is another back end: stop one of them\";\n", "", "check", "A28",
         _LIED),
    _blk("kept-without-region", "links.c", "\t\tivblk_lose_region(ivblk);\n", "", "liveness",
         "A06", "tests/blk/test_disk_hostile.py -k below_a_journal"),
    _blk("earlier-life-goes-on", "links.c", "orphan = peer.state == IVPEER_ALIVE &&",
         "orphan = false && peer.state == IVPEER_ALIVE &&", "liveness", "A31",
         "tests/blk/test_disk_hostile.py -k no_back_end"),
    _blk("not-given-up", "complete.c",
         "\t\tWRITE_ONCE(queue->ivblk->restart, true);\n", "", "liveness", "A31",
         "tests/blk/test_disk_hostile.py -k never_answers"),
    _blk("any-serial", "session.c", " &&\n\t       !strcmp(is->serial, was->serial);", ";",
         "check", "A29", _RETURN.format("refuses")),
    _blk("smaller-disk", "session.c", "is->sectors >= was->sectors &&", "1 &&", "bound",
         "A29", _RETURN.format("refuses")),
    _blk("believed-for-ever", "links.c", "if (!lacking || link->link.state",
         "if (1 || !lacking || link->link.state", "liveness", "A20",
         "tests/blk/test_disk_hostile.py -k asks_again"),
    _blk("larger-for-ever", "disk.c", "min(ivblk->info.sectors, sectors);", "sectors;",
         "liveness", "A20", "tests/blk/test_disk_hostile.py -k as_large"),
    _blk("data-not-sent-again", "submit.c",
         "\t\tif (command->io.operation == IVBLK_OP_WRITE)\n"
         "\t\t\tivblk_copy_out(queue, queue->table[i].rq);\n\t\tcond", "\t\tcond", "replay",
         "A34", _RETURN.format("replays or data_survives")),
    _blk("held-for-ever", "session.c", "\t/* What waited to be submitted fails now */\n"
         "\tivblk_disk_release(ivblk);\n", "", "liveness", "A31",
         _RETURN.format("is_given_up")),
    _blk("lost-cache-not-told", "session.c",
         "if (link->disk.cache != ivblk->info.cache)", "if (0)", "check", "A34",
         "tests/blk/test_cache.py"),
    _blk("sent-not-looked-at", "session.c", "\t\tivblk_look_sent(&ivblk->queues[i]);\n", "",
         "check", "A14", "tests/blk/test_disk_hostile.py -k taken_back"),
    _blk("buffers-not-freed", "buffers.c",
         "\tgen_pool_free(command->pool, IVBLK_POOL_BASE + command->io.buffer,\n"
         "\t\t      command->io.length);\n", "", "unwinding", "A33", _IO),
]

DEFECTS = [*CORE, *NET, *BLK]
