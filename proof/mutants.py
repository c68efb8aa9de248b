# SPDX-License-Identifier: GPL-2.0-only
"""Copies of the headers with one mistake each, which proofs and fuzzers must find."""

import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lab.paths import ROOT

HEADERS = ROOT / "include/ivshmem"


def replaced(text: str, old: str, new: str, where: str) -> str:
    """@text with @new for @old, which is there once; @where is for who has to mend it."""
    if text.count(old) != 1:
        raise ValueError(f"{where} has {text.count(old)} times {old!r}; it must have it once")
    return text.replace(old, new)


@dataclass(frozen=True)
class Mutant:
    """In @header, @old (which is there once) becomes @new: @found_by must fail."""

    name: str
    old: str
    new: str
    found_by: str = "prove_peek_advance"
    header: str = "ring.h"

    def make(self, folder: Path) -> Path:
        """Write the wrong headers; the folder for the compiler's -I."""
        target = folder / self.name
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(HEADERS, target / "ivshmem")
        header = target / "ivshmem" / self.header
        header.write_text(replaced(header.read_text(), self.old, self.new,
                                   f"mutant {self.name}: {self.header}"))
        return target


# A check that is gone, or memory that is read twice.
UNCHECKED = [
    Mutant("length-any", "length <= ivring_max_length(c->size) &&", "1 &&"),
    Mutant("length-across-end", "ivring_total(length) <= room && ", ""),
    Mutant("length-unpublished", " && ivring_total(length) <= ready)", ")"),
    Mutant("length-read-twice", "*length = found;",
           "*length = ivshmem_load32(&record->length);"),
    Mutant("kind-read-twice", "if (type != IVRING_KIND_PAD) {",
           "if (ivshmem_load32(&record->kind) != IVRING_KIND_PAD) {"),
    Mutant("pad-unpublished", " && room <= ready)", ")"),
    Mutant("prod-jumps", "prod - c->next > c->size - (c->next - c->cons) ||", "",
           "prove_want_data"),
    Mutant("prod-goes-back", "prod - c->next < c->prod - c->next ||", "", "prove_want_data"),
    Mutant("prod-unaligned", " || prod % IVRING_ALIGN) {", ") {", "prove_want_data"),
    Mutant("prod-read-twice", "c->prod = prod;",
           "c->prod = ivshmem_load_acquire32(&c->peer->prod);", "prove_want_data"),
    Mutant("cons-jumps", "cons - p->cons > p->prod - p->cons ||", "", "prove_want_space"),
    Mutant("cons-unaligned", " || cons % IVRING_ALIGN) {", ") {", "prove_want_space"),
    Mutant("cons-read-twice", "p->cons = cons;",
           "p->cons = ivshmem_load_acquire32(&p->peer->cons);", "prove_want_space"),
    Mutant("consumed-less", "p->next - p->cons <= left;", "p->next - p->cons < left;",
           "prove_want_consumed"),
    Mutant("reserve-any-length", "if (length > ivring_max_length(p->size))",
           "if (0)", "prove_reserve_commit"),
    Mutant("reserve-without-padding", "return need <= room ? need : room + need;",
           "(void)room;\n\n\treturn need;", "prove_reserve_commit"),
]

_SESSION = ("\tc->fault = ivring_session(c->session, c->epoch, &c->life,\n"
            "\t\t\t\t  &c->own->cons, c->cons);\n")
_INDEX = "ivshmem_load_acquire32(&c->peer->prod);\n"

# The end of a session that goes unnoticed, or is told as something else.
UNNOTICED = [
    Mutant("session-unchecked", "if (session && ivshmem_load32(session) != epoch)",
           "if (0)", "prove_want_data"),
    Mutant("session-before-index", f"\t__u32 prod = {_INDEX}\n{_SESSION}",
           f"\t__u32 prod;\n\n{_SESSION}\tprod = {_INDEX}", "prove_want_data"),
    Mutant("own-index-unchecked", "ivshmem_load32(own) != published)", "0)",
           "prove_want_space"),
    Mutant("own-epoch-unchecked", "(life->word && ivshmem_load32(life->word) != life->epoch)",
           "0", "prove_want_space"),
    Mutant("batch-sent-unchecked", "p->next == p->prod && !ivring_may_send(p)", "0",
           "prove_reserve_commit"),
    Mutant("batch-received-unchecked", "c->next == c->cons && !ivring_may_receive(c)", "0"),
    Mutant("stale-as-broken", "return fault == IVRING_STALE ? -EPIPE : -EPROTO;",
           "return -EPROTO;"),
    Mutant("broken-as-stale", "return fault == IVRING_STALE ? -EPIPE : -EPROTO;",
           "return fault != IVRING_STALE ? -EPIPE : -EPROTO;", "prove_reserve_commit"),
    Mutant("tampered-as-stale", "return IVRING_TAMPERED;\n\treturn IVRING_OK;",
           "return IVRING_STALE;\n\treturn IVRING_OK;", "prove_want_data"),
]

_wire = partial(Mutant, header="wire.h")
_peer = partial(Mutant, header="peer.h", found_by="prove_look")
_link = partial(Mutant, header="link.h", found_by="prove_link_step")
_net = partial(Mutant, header="net.h", found_by="prove_parse_hello")
_blk = partial(Mutant, header="blk.h", found_by="prove_parse_request")
_order = partial(Mutant, header="link.h", found_by="link_relacy")

_ACK = "\t__u32 ack = ivshmem_load_acquire32(&link->peer->ack);\t\t/* [W1] */\n"
_EPOCH = "\t__u32 epoch = ivshmem_load_acquire32(&link->peer->epoch);\t/* [W2] */\n"
_ACK_AFTER_EPOCH = (_ACK + _EPOCH, _EPOCH + _ACK)

# What the layout of a region, its directory and its links depend on.
UNKEPT = [
    _wire("slots-any", " ||\n\t    region->slots > IVREGION_SLOTS_MAX)", ")", "prove_parse"),
    _wire("sections-any", "if (ivshmem_from_le32(copy->sections) > IVREGION_SECTIONS_MAX)",
          "if (0)", "prove_parse"),
    _wire("queues-any", " || section->queues > IVREGION_QUEUES_MAX)", ")",
          "prove_parse_entry"),
    _wire("name-letters-any", " || !ivregion_name_letter(name[i])", "",
          "prove_parse_entry"),
    _wire("name-goes-on", "i != length || ", "", "prove_parse_entry"),
    _wire("unknown-used", "section->usable = known && !features;",
          "section->usable = known;", "prove_parse_entry"),
    _wire("placed-outside", "section->offset > region->size ||", "", "prove_place"),
    _wire("placed-unaligned", "(*end + align - 1) & ~(align - 1);", "*end;", "prove_place"),
    _wire("rings-for-one-slot", "if (slots * ivregion_outbox_size(slots, queues, ring_size)",
          "if (ivregion_outbox_size(slots, queues, ring_size)", "prove_ring_size"),
    _wire("outbox-overlaps", "section->offset +\n\t       slot * ivregion_outbox",
          "section->offset +\n\t       slot / 2 * ivregion_outbox", "prove_outboxes_apart"),
    _wire("data-at-own-place", "to < from ? to : to - 1;", "to;", "prove_parts_owned"),
    _wire("rx-with-the-producer", "ivregion_tx_offset(region, section, to, from, queue)",
          "ivregion_tx_offset(region, section, from, to, queue)", "prove_parts_owned"),
    _wire("data-unaligned", "(size + IVREGION_PAGE - 1) & ~(__u64)(IVREGION_PAGE - 1);",
          "size;", "prove_parts_owned"),
    _wire("rx-on-tx", "queue) +\n\t       sizeof(struct ivring_tx);", "queue);",
          "prove_parts_apart"),
    _wire("magic-stays", "ivregion_erase(target);\n", "", "prove_write"),
    _wire("magic-read-last", "copy->magic = ivshmem_to_le32(magic);", "(void)magic;",
          "prove_read_intact"),
    _wire("instance-ignored", " &&\n\t       ivshmem_load32(&superblock->instance) == "
          "region->instance", "", "prove_read_intact"),
    _peer("name-unprintable", " && copy[i] < 0x7f ?", " ?"),
    _peer("name-endless", "peer->name[i] = 0;", ""),
    _peer("vectors-any", "vectors <= IVREGION_VECTORS_MAX ? vectors : 0;", "vectors;"),
    _peer("epoch-read-again", "peer->epoch = epoch;",
          "peer->epoch = ivshmem_load32(&line->epoch);"),
    _peer("silence-ignored", "now - peer->beat_at <= IVPEER_SILENT_MS", "1"),
    _peer("joins-while-there", "ivshmem_store32(&line->epoch, 0);",
          "ivshmem_store32(&line->heartbeat, 0);", found_by="prove_join_leave"),
    _peer("epoch-not-fresh", " || random == before)", ")", found_by="prove_fresh_epoch"),
    _link("not-withdrawn", "ivshmem_store32(&link->own->epoch, 0);\t\t/* [A1] */", ""),
    _link("reset-before-withdrawn", "\tivlink_withdraw(link);\t\t\t\t/* [A1] */\n"
          "\tivlink_reset_rings(link);\t\t\t/* [A2] */\n",
          "\tivlink_reset_rings(link);\n\tivlink_withdraw(link);\n\t(void)0;\n",
          found_by="prove_link_step"),
    _link("reset-after-epoch", "\tivlink_reset_rings(link);\t\t\t/* [A2] */\n",
          "\tivshmem_store32(&link->own->epoch, random);\n\tivlink_reset_rings(link);\n"),
    _link("epoch-again", "ivpeer_fresh_epoch(random, link->last_epoch);",
          "ivpeer_fresh_epoch(random, 0);"),
    _link("epoch-before-ack", *_ACK_AFTER_EPOCH),
    _link("up-without-ack", "if (ack != link->epoch)", "if (0)"),
    _link("not-bound", "ivring_producer_bind(&link->queues[i].tx, &link->peer->epoch,\n"
          "\t\t\t\t     link->ack);", ""),
    _link("own-life-not-bound", "ivring_consumer_live(&link->queues[i].rx, "
          "&link->own->epoch,\n\t\t\t\t     link->epoch);", ""),
    _link("peer-unseen", "if (ivshmem_load32(&link->peer->epoch) != link->ack)", "if (0)",
          found_by="prove_link_check"),
    _link("own-unseen", "return ivshmem_load32(&link->own->epoch) == link->epoch &&\n"
          "\t       ivshmem_load32(&link->own->ack) == link->ack;", "return link;",
          found_by="prove_link_check"),
    _link("rests-without-end", "rest < IVLINK_REST_MAX_MS ? rest :\n"
          "\t\t\t\t\t\t\tIVLINK_REST_MAX_MS;", "rest;", found_by="prove_link_end"),
    _link("short-session-free", " && (!(events & IVLINK_WENT_DOWN) ||\n"
          "\t\t\t\t       now - link->up_since >= IVLINK_REST_MS))", ")",
          found_by="prove_link_end"),
    _link("stop-stays-announced", "\tivlink_withdraw(link);\n\tlink->state = IVLINK_DOWN;",
          "\tlink->state = IVLINK_DOWN;", found_by="prove_link_start_stop"),
    _net("hello-any-queues", " && limits->queues <= queues &&", " &&"),
    _blk("disk-any-queues", " || disk->queues > queues)", ")",
         found_by="prove_parse_disk_hello"),
    _blk("disk-of-any-size", "high > IVBLK_SECTORS_HIGH_MAX ||", "",
         found_by="prove_parse_disk_hello"),
    _blk("serial-unprintable", "hello->serial[i] < 0x20 ||", "!hello->serial[i] ||",
         found_by="prove_parse_disk_hello"),
    _blk("read-only-written", "return !(disk->features & IVBLK_READ_ONLY);", "return true;"),
    _blk("request-beyond-the-end", "io->length / IVBLK_SECTOR <= disk->sectors - io->sector;",
         "true;"),
    _blk("request-behind-the-end", "io->sector <= disk->sectors &&\n\t       ", ""),
    _blk("request-beyond-buffers", " &&\n\t\t       io->length <= buffers - io->buffer;", ";"),
    _blk("request-any-length", "io->length <= disk->max_length &&\n\t\t       ", ""),
    _blk("extent-any-length", "return io->length <= disk->max_extent;", "return true;"),
]

# Takes minutes to be found by CBMC; the fuzzer finds it in seconds.
FUZZED_ONLY = {"kind-read-twice"}
# What CBMC must find.
CHECKED = [mutant for mutant in UNCHECKED + UNNOTICED + UNKEPT
          if mutant.name not in FUZZED_ONLY]

# An order that is not asked for: Relacy must find it.
UNORDERED = [
    Mutant("publish-relaxed", "ivshmem_store_release32(&p->own->prod, p->prod);",
           "ivshmem_store32(&p->own->prod, p->prod);", "ring_relacy"),
    Mutant("prod-relaxed", "ivshmem_load_acquire32(&c->peer->prod);",
           "ivshmem_load32(&c->peer->prod);", "ring_relacy"),
    Mutant("release-relaxed", "ivshmem_store_release32(&c->own->cons, c->cons);",
           "ivshmem_store32(&c->own->cons, c->cons);", "ring_relacy"),
    Mutant("cons-relaxed", "ivshmem_load_acquire32(&p->peer->cons);",
           "ivshmem_load32(&p->peer->cons);", "ring_relacy"),
    *(Mutant(f"{name}-without-barrier", f"{comment} */\n\tivshmem_mb();",
             f"{comment} */", "ring_relacy")
      for name, comment in (
          ("publish", "Index before event; pairs with ivring_want_data()"),
          ("want-data", "Event before index; pairs with ivring_publish()"),
          ("release", "Index before event; pairs with ivring_want_consumed()"),
          ("want-space", "Event before index; pairs with ivring_release()"))),
    Mutant("session-prod-relaxed", "ivshmem_load_acquire32(&c->peer->prod);",
           "ivshmem_load32(&c->peer->prod);", "link_relacy"),
    _order("withdraw-without-barrier", "Pairs with ivring_session().\n\t */\n\tivshmem_mb();",
           "Pairs with ivring_session().\n\t */"),
    _order("announce-relaxed", "ivshmem_store_release32(&link->own->epoch, link->epoch);",
           "ivshmem_store32(&link->own->epoch, link->epoch);"),
    _order("ack-after-epoch", *_ACK_AFTER_EPOCH),
    _order("ack-relaxed", "ivshmem_load_acquire32(&link->peer->ack);",
           "ivshmem_load32(&link->peer->ack);"),
    _order("epoch-relaxed", "ivshmem_load_acquire32(&link->peer->epoch);",
           "ivshmem_load32(&link->peer->epoch);"),
]
