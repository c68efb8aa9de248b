# SPDX-License-Identifier: GPL-2.0-only
"""Copies of the headers with one mistake each, which proofs and fuzzers must find."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from lab.paths import ROOT

HEADERS = ROOT / "include/ivshmem"


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
        text = header.read_text()
        if text.count(self.old) != 1:
            raise ValueError(f"mutant {self.name}: {self.header} has "
                             f"{text.count(self.old)} times {self.old!r}; it must "
                             "have it once")
        header.write_text(text.replace(self.old, self.new))
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
    Mutant("reserve-any-length", "if (length > ivring_max_length(p->size))",
           "if (0)", "prove_reserve_commit"),
    Mutant("reserve-without-padding", "return need <= room ? need : room + need;",
           "(void)room;\n\n\treturn need;", "prove_reserve_commit"),
]

_REFRESH = """	__u32 prod = ivshmem_load_acquire32(&c->peer->prod);

	c->fault = ivring_session(c->session, c->epoch, &c->own->cons, c->cons);
"""

# The end of a session that goes unnoticed, or is told as something else.
UNNOTICED = [
    Mutant("session-unchecked", "if (session && ivshmem_load32(session) != epoch)",
           "if (0)", "prove_want_data"),
    Mutant("session-before-index", _REFRESH, """	__u32 prod;

	c->fault = ivring_session(c->session, c->epoch, &c->own->cons, c->cons);
	prod = ivshmem_load_acquire32(&c->peer->prod);
""", "prove_want_data"),
    Mutant("own-index-unchecked", "if (ivshmem_load32(own) != published)", "if (0)",
           "prove_want_space"),
    Mutant("stale-as-broken", "return fault == IVRING_STALE ? -EPIPE : -EPROTO;",
           "return -EPROTO;"),
    Mutant("broken-as-stale", "return fault == IVRING_STALE ? -EPIPE : -EPROTO;",
           "return fault != IVRING_STALE ? -EPIPE : -EPROTO;", "prove_reserve_commit"),
    Mutant("tampered-as-stale", "return IVRING_TAMPERED;\n\treturn IVRING_OK;",
           "return IVRING_STALE;\n\treturn IVRING_OK;", "prove_want_data"),
]

# Takes minutes to be found by CBMC; the fuzzer finds it in seconds.
FUZZED_ONLY = {"kind-read-twice"}
# What CBMC must find.
CHECKED = [mutant for mutant in UNCHECKED + UNNOTICED if mutant.name not in FUZZED_ONLY]

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
          ("release", "Index before event; pairs with ivring_want_space()"),
          ("want-space", "Event before index; pairs with ivring_release()"))),
]
