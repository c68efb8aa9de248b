# SPDX-License-Identifier: GPL-2.0-only
"""Defects of library, server, back end and tools."""

from functools import partial

from .defect import Defect


def _in(folder: str, prefix: str, name: str, file: str, old: str, new: str, breaks: str,
        attack: str, *found_by: str) -> Defect:
    return Defect(f"{prefix}-{name}", f"{folder}/{file}", old, new, breaks, attack, found_by)


_lib = partial(_in, "lib", "lib")
_server = partial(_in, "server", "server")
_back = partial(_in, "blkserver", "blkserver")
_tool = partial(_in, "tools/ivshmem", "tool")

LIB = [
    _lib("descriptors-escape", "stream.c", "\t\t\t\tclose(fd);\n\t\t\t\tsingle = false;",
         "\t\t\t\tsingle = false;", "unwinding", "A46", "unit lib-handshake"),
    _lib("truncation-unseen", "stream.c", "if (msg.msg_flags & MSG_CTRUNC)", "if (0)",
         "check", "A46", "unit lib-handshake"),
    _lib("any-peer", "server.c",
         "if (msg->value < 0 || msg->value >= LIBIVSHMEM_MAX_PEERS) {\n\t\tif",
         "if (msg->value < 0) {\n\t\tif", "bound", "A46", "unit lib-handshake"),
    _lib("any-descriptor", "server.c", "if (!is_eventfd(fd)) {", "if (!is_eventfd(fd) && 0) {",
         "check", "A46",
         "unit lib-handshake"),
    _lib("vectors-without-number", "server.c", "if (vector == LIBIVSHMEM_MAX_VECTORS) {",
         "if (0) {", "bound", "A46", "unit lib-handshake"),
    _lib("empty-memory", "server.c", " || st.st_size <= 0) {", ") {", "check", "A46",
         "unit lib-handshake"),
    _lib("reads-block", "handle.c", "n = preadv2(eventfd, &iov, 1, -1, RWF_NOWAIT);",
         "n = preadv2(eventfd, &iov, 1, -1, 0);", "liveness", "A36", "unit lib-doorbell"),
    _lib("maps-beyond-the-end", "map.c",
         "\tif (*length > ivs->memory_size - offset)\n\t\treturn -EINVAL;\n", "", "bound",
         "A46", "unit lib-mapping"),
    _lib("reader-writes", "map.c", "if ((prot & PROT_WRITE) && (ivs->flags & IVSHMEM_RDONLY))",
         "if (0)", "permission", "A46", "unit lib-doorbell"),
    _lib("own-words-not-compared", "member.c", "if (!host->resting && !is_intact(host))",
         "if (!host->resting && !is_intact(host) && 0)", "check", "A07", "unit lib-peers"),
    _lib("leaves-another-format", "member.c",
         "if (!ivshmem_load32(&superblock->magic) && is_own(host))",
         "if (superblock || is_own(host))", "check", "A05", "unit lib-peers"),
    _lib("epoch-stays", "member.c",
         "if (!ivshmem_load32(&superblock->magic) && is_own(host))",
         "if (superblock && is_own(host) && 0)", "zeroing", "A05", "unit lib-peers"),
    _lib("another-region", "channel.c",
         "region.instance != ch->instance ||\n\t    region.slot", "region.slot", "check",
         "A05", "unit lib-channel_session"),
    _lib("longer-than-reserved", "channel_io.c", " || length > ch->tx.length))", "))",
         "bound", "A12", "unit lib-channel"),
    _lib("longer-than-the-buffer", "channel_io.c", "if (found_length > size) {", "if (0) {",
         "bound", "A12", "unit lib-channel"),
    _lib("death-unseen", "channel_wait.c", "\tret = channel_look(ch);\n\tif (ret)\n"
         "\t\treturn ret;\n\tret = channel_sleep", "\tret = channel_sleep", "liveness",
         "A09", "unit lib-channel_session"),
]

SERVER = [
    _server("own-slot-twice", "protocol.c", "\t\tif (slot >= view->slot)\n\t\t\tslot++;\n",
            "", "check", "A43", "unit ivshmemd protocol"),
    _server("no-pace", "pace.c", "if (user->due + step > present + ahead)", "if (0)",
            "rate limit", "A43", "unit ivshmemd pace"),
    _server("one-pace-for-all", "pace.c", "if (user->due && user->uid == uid)",
            "if (user->due && (uid || user->due))", "check", "A43", "unit ivshmemd pace"),
    _server("sleepers-take-all", "budget.c", "share = clients ? limit / 2 / clients : longest;",
            "share = clients ? limit : longest;", "bound", "A43", "unit ivshmemd budget"),
    _server("doorbells-block", "doorbell.c",
            "\tif (poll(&room, 1, 0) != 1 || !(room.revents & POLLOUT))\n\t\treturn true;\n",
            "\t(void)room;\n", "liveness", "A36", "unit ivshmemd doorbell"),
    _server("memory-shrinks", "memory.c", "(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)",
            "(F_SEAL_GROW | F_SEAL_SEAL)", "sealing", "A44",
            "pytest tests/server/test_handshake.py -k seals"),
    _server("follows-links", "memory.c", "open(config->file, O_RDWR | O_NOFOLLOW | O_NONBLOCK |",
            "open(config->file, O_RDWR | O_NONBLOCK |", "check", "A43",
            "pytest tests/server/test_memory.py -k symbolic"),
    _server("anybody-joins", "client.c",
            "else if (!permission_granted(link->config, client->watch.fd))",
            "else if (0)", "permission", "A43",
            "pytest tests/server/test_hostile.py -k permitted"),
    _server("any-number-waits", "client.c",
            "return link->waiting < BUDGET_WAITING && !has_hung_up(fd);",
            "return link && !has_hung_up(fd);", "bound", "A43",
            "pytest tests/server/test_limits.py -k test_pace"),
    _server("data-is-ignored", "client.c",
            "\telse\n\t\tclient_drop(client, \"was dropped: it sent data, which the \"\n"
            "\t\t\t    \"protocol does not have\");\n", "", "check", "A43",
            "pytest tests/server/test_hostile.py -k garbage"),
    _server("handshake-without-end", "client.c", "\t\tif (now >= client->deadline)\n",
            "\t\tif (0)\n", "liveness", "A43",
            "pytest tests/server/test_hostile.py -k never_reads"),
    _server("old-doorbells", "link.c", "\tdrain_slot(link, slot);\n\tdirectory_join",
            "\t(void)drain_slot;\n\tdirectory_join", "zeroing", "A38",
            "pytest tests/server/test_handshake.py -k before_the_peer"),
    _server("death-not-told", "directory.c", "\tline->gone_epoch = epoch;\n\treturn",
            "\treturn", "liveness", "A09", "pytest tests/server/test_directory.py -k sigkill"),
    _server("touches-unguarded", "directory.c",
            "if (directory->writable && !guard_run(touch_lines, directory))\n\t\tlose",
            "if (directory->writable)\n\t\ttouch_lines(directory);\n\tif (0)\n\t\tlose",
            "check", "A44", "pytest tests/server/test_directory.py -k shrinks"),
    _server("visitors-stay", "control.c", "server->now >= visitor->deadline)", "0)", "liveness",
            "A43", "pytest tests/server/test_control.py -k say_nothing"),
    _server("two-servers", "listener.c", "if (flock(listener->lock, LOCK_EX | LOCK_NB))",
            "if (0)", "lock", "A45", "pytest tests/server/test_socket.py -k second"),
    _server("slot-not-kept", "client.c", "\tstore_keep_clients(link, false);\n\tbound",
            "\tbound", "order", "A45",
            "pytest tests/server/test_store.py -k in_its_handshake"),
    _server("half-a-link-is-kept", "store.c",
            "if (store->used + need_of(link) > store->most) {", "if (0) {", "bound", "A45",
            "pytest tests/server/test_store.py -k more_than"),
]

_ASKED = "pytest tests/blk/test_hostile.py -k '{}'"

BLKSERVER = [
    _back("no-room-for-answers", "front.c", "stuck = !has_room(front, queue);",
          "stuck = front->slot && !has_room(front, queue) && 0;", "bound", "A15",
          _ASKED.format("nobody_takes")),
    _back("hello-before-orphans-end", "front.c", "\tif (front->orphans)\n\t\treturn;\n", "",
          "order", "A34", "pytest tests/blk/test_nbd.py -k session_waits"),
    _back("trusts-the-next-flush", "file_io.c", "\tdisk->unsure = true;\n", "", "check", "A31",
          "pytest tests/blk/test_io.py -k written_back"),
    _back("orphans-overtake", "front.c", "\tif (front->orphans)\n\t\treturn false;\n"
          "\tif (!front->unused)\n\t\treturn false;\n\tfront->queue",
          "\tif (!front->unused)\n\t\treturn false;\n\tfront->queue", "order", "A34",
          "pytest tests/blk/test_nbd.py -k session_waits"),
    _back("short-requests", "front.c", "length >= sizeof(struct ivblk_request) &&\n"
          "\t\t       take_request(", "take_request(", "bound", "A32",
          _ASKED.format("records_that_end or before_the_hello")),
    _back("reader-writes", "front.c", "\tif (!front->writer)\n"
          "\t\toffer.features = IVBLK_READ_ONLY;\n", "", "permission", "A32",
          "pytest tests/blk/test_crash.py -k writer"),
    _back("promise-believed", "front.c", "return front->reader && (",
          "return 0 && front->reader && (", "liveness", "A20", _ASKED.format("would_not_write")),
    _back("requests-without-number", "front.c", "\tif (!front->unused)\n\t\treturn false;\n"
          "\tfront->queue", "\tfront->queue", "bound", "A33",
          "pytest tests/blk/test_nbd.py -k than_are_begun"),
    _back("answers-from-a-front-end", "front.c", "\tcase IVBLK_KIND_HELLO:\n"
          "\tcase IVBLK_KIND_RESPONSE:\n", "\tcase IVBLK_KIND_HELLO:\n", "check", "A32",
          _ASKED.format("records_that_end or before_the_hello")),
    _back("beyond-the-end", "file_io.c",
          "\tif (request->io.length &&\n\t    offset_of(request) + request->io.length > "
          "disk->size)", "\tif (0)", "bound", "A32", "pytest tests/blk/test_io.py -k shrinks"),
    _back("fua-not-written", "file_io.c", "\t\tsqe->rw_flags = RWF_DSYNC;\n",
          "\t\tsqe->rw_flags = 0;\n", "order", "A34", "pytest tests/blk/test_io.py -k fua"),
    _back("exported-twice", "lock.c", "return fcntl(fd, F_OFD_SETLK, &all) ? -errno : 0;",
          "return fd < 0 && all.l_type ? -errno : 0;", "lock", "A34",
          "pytest tests/blk/test_crash.py -k exported_once"),
]

_TAP = "pytest tests/cli/test_tap_hostile.py -k '{}'"
_RECV = "pytest tests/cli/test_transfer.py -k '{}'"

TOOLS = [
    _tool("checksum-beyond-the-end", "frame.c",
          "return start >= IVNET_FRAME_MIN && end <= length;",
          "return start >= IVNET_FRAME_MIN && end && length;", "bound", "A23",
          _TAP.format("bad_frames")),
    _tool("frames-of-any-length", "segment_traffic.c",
          "if (length < FRAME_HEADER + IVNET_FRAME_MIN ||\n"
          "\t    length > FRAME_HEADER + seg->max_frame) {",
          "if (length > FRAME_HEADER + seg->max_frame) {", "bound", "A22",
          _TAP.format("bad_frames")),
    _tool("from-itself", "segment_traffic.c",
          "if (frame_is_group(source) || key == frame_key(seg->tap.address))",
          "if (frame_is_group(source))", "check", "A24",
          _TAP.format("bad_frames or owners or hosts")),
    _tool("hello-any-time", "segment_traffic.c", "if (hello == greeted ||\n\t    (!greeted &&",
          "if ((hello == greeted && !greeted) ||\n\t    (!greeted &&", "check", "A11",
          _TAP.format("fault_costs")),
    _tool("stations-stolen", "station.c",
          "\tif (owner >= 0 && owner != (int)slot)\n\t\treturn false;\n", "\t(void)owner;\n",
          "check", "A24", "unit cli-station"),
    _tool("stations-of-one-peer", "station.c", "unused && share < STATION_WAYS / 2 ? unused",
          "unused && share < 99 ? unused", "bound", "A26", "unit cli-station"),
    _tool("checksum-not-compared", "recv.c",
          " ||\n\t    transfer_long(end.checksum) != XXH64_digest(t->hash)) {", ") {", "check",
          "A20", _RECV.format("on_its_way or announced")),
    _tool("more-than-announced", "recv.c", "\tif (too_much(t, length))\n",
          "\tif (too_much(t, length) && 0)\n", "bound", "A20",
          _RECV.format("on_its_way or announced")),
    _tool("names-that-steer-the-terminal", "clean.c", "from[n] <= '~' ? from[n] : '?'",
          "from[n] <= '~' ? from[n] : from[n]", "check", "A08", "unit cli-top"),
    _tool("rows-without-end", "top_sample.c", "if (device->count == TOP_ROWS_MAX) {",
          "if (device->count > TOP_ROWS_MAX) {", "bound", "A46", "unit cli-top"),
    _tool("fill-beyond-the-ring", "top_links.c", "\t\t\tfill = size;\n", "", "bound", "A11",
          "pytest tests/cli/test_top.py -k impossible"),
    _tool("section-of-another-region", "top_links.c",
          "section->ring_size) <= section->size;", "section->ring_size) > 0;", "bound", "A46",
          "unit cli-top"),
]

DEFECTS = [*LIB, *SERVER, *BLKSERVER, *TOOLS]
