# SPDX-License-Identifier: GPL-2.0-only
"""Copies of the ring with one mistake each, which proofs and fuzzers must find."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from lab.paths import ROOT

HEADERS = ROOT / "include/ivshmem"


@dataclass(frozen=True)
class Mutant:
    """In ring.h, @old (which is there once) becomes @new."""

    name: str
    old: str
    new: str

    def make(self, folder: Path) -> Path:
        """Write the wrong headers; the folder for the compiler's -I."""
        target = folder / self.name
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(HEADERS, target / "ivshmem")
        ring = target / "ivshmem/ring.h"
        text = ring.read_text()
        if text.count(self.old) != 1:
            raise ValueError(f"mutant {self.name}: ring.h has {text.count(self.old)} "
                             f"times {self.old!r}; it must have it once")
        ring.write_text(text.replace(self.old, self.new))
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
    Mutant("prod-jumps", "prod - c->next > c->size - (c->next - c->cons) ||", ""),
    Mutant("prod-goes-back", "prod - c->next < c->prod - c->next ||", ""),
    Mutant("prod-unaligned", " || prod % IVRING_ALIGN) {", ") {"),
    Mutant("prod-read-twice", "c->prod = prod;",
           "c->prod = ivshmem_load_acquire32(&c->peer->prod);"),
    Mutant("cons-jumps", "cons - p->cons > p->prod - p->cons ||", ""),
    Mutant("cons-unaligned", " || cons % IVRING_ALIGN) {", ") {"),
    Mutant("cons-read-twice", "p->cons = cons;",
           "p->cons = ivshmem_load_acquire32(&p->peer->cons);"),
    Mutant("reserve-any-length", "if (length > ivring_max_length(p->size))",
           "if (0)"),
    Mutant("reserve-without-padding", "return need <= room ? need : room + need;",
           "(void)room;\n\n\treturn need;"),
]

# An order that is not asked for.
UNORDERED = [
    Mutant("publish-relaxed", "ivshmem_store_release32(&p->own->prod, p->prod);",
           "ivshmem_store32(&p->own->prod, p->prod);"),
    Mutant("prod-relaxed", "ivshmem_load_acquire32(&c->peer->prod);",
           "ivshmem_load32(&c->peer->prod);"),
    Mutant("release-relaxed", "ivshmem_store_release32(&c->own->cons, c->cons);",
           "ivshmem_store32(&c->own->cons, c->cons);"),
    Mutant("cons-relaxed", "ivshmem_load_acquire32(&p->peer->cons);",
           "ivshmem_load32(&p->peer->cons);"),
    *(Mutant(f"{name}-without-barrier", f"{comment} */\n\tivshmem_mb();",
             f"{comment} */")
      for name, comment in (
          ("publish", "Index before event; pairs with ivring_want_data()"),
          ("want-data", "Event before index; pairs with ivring_publish()"),
          ("release", "Index before event; pairs with ivring_want_space()"),
          ("want-space", "Event before index; pairs with ivring_release()"))),
]
