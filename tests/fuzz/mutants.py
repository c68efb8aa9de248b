# SPDX-License-Identifier: GPL-2.0-only
"""Copies of the format with one mistake each, which the fuzzers must find."""

from functools import partial

from proof.mutants import Mutant

_wire = partial(Mutant, header='wire.h')
_peer = partial(Mutant, header='peer.h')
_link = partial(Mutant, header='link.h')

RING = [
    Mutant('session-found-and-ignored', '\t\treturn IVRING_STALE;', '\t\t(void)epoch;'),
    Mutant('own-found-and-ignored', '\t\treturn IVRING_TAMPERED;',
           '\t\t(void)published;'),
]
