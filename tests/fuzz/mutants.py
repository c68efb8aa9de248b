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

# What a hostile superblock could do.
REGION = [
    _wire('place-on-top', '*end = section->offset + section->size;',
          '*end = section->offset;'),
    _wire('place-in-directory', '__u64 end = ivregion_control_size(region->slots);',
          '__u64 end = IVREGION_PAGE;'),
    _wire('end-unchecked', 'section->size > region->size - section->offset)\n'
          '\t\treturn false;\n\t*end = section->offset + section->size;',
          '0)\n\t\treturn false;\n\t*end = section->offset;'),
    _wire('slots-unchecked', 'region->slots < IVREGION_SLOTS_MIN ||\n\t    '
          'region->slots > IVREGION_SLOTS_MAX', '0'),
    _wire('sections-unchecked',
          'ivshmem_from_le32(copy->sections) > IVREGION_SECTIONS_MAX', '0'),
    _wire('queues-unchecked', '!section->queues || section->queues > '
          'IVREGION_QUEUES_MAX', '0'),
    _wire('vector-unchecked', 'section->vector >= IVREGION_VECTORS_MAX', '0'),
    _wire('name-not-terminated', 'section->name[IVREGION_SECTION_NAME] = 0;', ''),
    _wire('name-unchecked', '!ivregion_name_valid(entry->name)', '0'),
    _wire('same-name', 'return IVREGION_SAME_NAME;', 'continue;'),
    _wire('magic-read-twice', 'copy->magic = ivshmem_to_le32(magic);', '(void)magic;'),
    _wire('intact-by-one', 'return ivshmem_load32(&superblock->magic) == '
          'IVREGION_MAGIC &&\n', 'return 1 &&\n'),
    _wire('clear-too-much', '(size_t)ivregion_blocks_size(region->slots,\n'
          '\t\t\t\t\t\t    section->queues);', '(size_t)section->size;'),
    _wire('features-used', 'section->usable = known && !features;',
          'section->usable = known || !features;'),
]

# What hostile lines of the directory could do.
PEER = [
    _peer('name-not-terminated', 'peer->name[i] = 0;', ''),
    _peer('name-unprintable', 'copy[i] > 0x20 && copy[i] < 0x7f ?', '1 ?'),
    _peer('vectors-unchecked', 'vectors <= IVREGION_VECTORS_MAX ? vectors : 0',
          'vectors'),
    _peer('epoch-read-twice', 'peer->epoch = epoch;',
          'peer->epoch = ivshmem_load32(&line->epoch);'),
    _peer('heartbeat-read-twice', 'peer->heartbeat = heartbeat;',
          'peer->heartbeat = ivshmem_load32(&line->heartbeat);'),
    _peer('server-keeps-alive', '(first && status == IVREGION_CONNECTED)',
          'status == IVREGION_CONNECTED'),
    _peer('garbage-is-connected', 'status == IVREGION_CONNECTED;\n\tbool new_epoch',
          'status != IVREGION_UNTRACKED;\n\tbool new_epoch'),
    _peer('silent-late', 'now - peer->beat_at <= IVPEER_SILENT_MS',
          'now - peer->beat_at <= IVPEER_SILENT_MS + 500'),
    _peer('joins-too-soon', 'ivshmem_store32(&line->epoch, 0);',
          'ivshmem_store32(&line->epoch, epoch);'),
]

# What a peer that crashes, returns or lies could do to the other side.
LINK = [
    _link('not-gone', 'ivshmem_store32(&link->own->epoch, 0);\t\t/* [A1] */', ''),
    _link('indices-before-gone', 'ivlink_withdraw(link);\t\t\t\t/* [A1] */\n'
          '\tivlink_reset_rings(link);\t\t\t/* [A2] */',
          'ivlink_reset_rings(link);\n\tivlink_withdraw(link);'),
    _link('epoch-before-indices', 'ivlink_reset_rings(link);\t\t\t/* [A2] */',
          'ivshmem_store32(&link->own->epoch, random);\n\tivlink_reset_rings(link);'),
    _link('ack-stays', 'ivshmem_store32(&link->own->ack, 0);\t\t/* [A2] */', ''),
    _link('up-without-ack', 'if (ack != link->epoch)', 'if (!ack)'),
    _link('epoch-known', 'ivpeer_fresh_epoch(random, link->last_epoch)',
          '7 + 0 * random'),
    _link('own-unseen', '\t\tif (!ivlink_own_words(link))\t\t\t\t/* [W0] */\n',
          '\t\tif (0)\n'),
    _link('not-bound', 'ivring_consumer_bind(&link->queues[i].rx, '
          '&link->peer->epoch,\n\t\t\t\t     link->ack);', ''),
    _link('ack-read-twice', 'if (ack != link->epoch)',
          'if (ack && ivshmem_load32(&link->peer->ack) != link->epoch)'),
    _link('epoch-read-twice', 'link->ack = epoch;',
          'link->ack = ivshmem_load32(&link->peer->epoch);'),
    Mutant('session-ignored', '\t\treturn IVRING_STALE;', '\t\t(void)epoch;'),
    Mutant('restored-sends', 'p->next == p->prod && !ivring_may_send(p)', '0'),
    Mutant('restored-receives', 'c->next == c->cons && !ivring_may_receive(c)', '0'),
]

ALL = {'ring': RING, 'region': REGION, 'peer': PEER, 'link': LINK}
