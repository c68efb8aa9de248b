# SPDX-License-Identifier: GPL-2.0-only
"""Copies of the format with one mistake each, which the unit tests must find."""

from functools import partial

from proof.mutants import Mutant

_wire = partial(Mutant, header='wire.h')
_peer = partial(Mutant, header='peer.h')
_slot = partial(Mutant, header='slot.h')
_link = partial(Mutant, header='link.h')
_net = partial(Mutant, header='net.h')

MISTAKES = {
    'superblock': [
        _wire('any-vector', 'if (section->vector >= IVREGION_VECTORS_MAX)', 'if (0)'),
        _wire('any-queues', '!section->queues || ', ''),
        _wire('hidden-name', "return length && name[0] != '.';", 'return length;'),
        _wire('more-behind-name', 'if (i != length || ', 'if ('),
        _wire('any-reserved', 'if (region->minor > IVREGION_MINOR)\n', 'if (1)\n'),
        _wire('pages-too-few', '!section->ring_size && section->usable', '0'),
        _wire('writes-always', 'region->ro_compat & ~IVREGION_RO_KNOWN', 'false'),
        _wire('any-checksum', 'ivshmem_from_le32(copy->checksum) != '
              'ivregion_checksum(copy)', '0'),
        _wire('memory-smaller', 'memory_size != (__u64)1 << size_log2',
              'memory_size > (__u64)1 << size_log2')],
    'layout': [
        _wire('ring-too-large', '<=\n\t\t    size)', '<=\n\t\t    size * 2)'),
        _wire('one-ring-for-all', '__u32 place = to < from ? to : to - 1;',
              '__u32 place = to / 2;'),
        _wire('not-aligned', '(*end + align - 1) & ~(align - 1)', '*end'),
        _wire('rx-at-producer', 'ivregion_tx_offset(region, section, to, from, queue)',
              'ivregion_tx_offset(region, section, from, to, queue)'),
        _wire('directory-stays', 'ivregion_clear(memory, region);', ''),
        _wire('instance-unseen', ' &&\n\t       ivshmem_load32(&superblock->instance) '
              '== region->instance', '')],
    'peer': [
        _peer('silent-too-soon', 'now - peer->beat_at <= IVPEER_SILENT_MS',
              'now - peer->beat_at < IVPEER_SILENT_MS'),
        _peer('clock-wraps', 'now - peer->beat_at <= IVPEER_SILENT_MS',
              'now <= peer->beat_at + IVPEER_SILENT_MS'),
        _peer('server-unheard', 'status == IVREGION_VACANT || epoch == gone_epoch',
              'status == IVREGION_VACANT'),
        _peer('dead-words', '(first && status == IVREGION_CONNECTED)', 'first'),
        _peer('name-endless', 'peer->name[i] = 0;', ''),
        _peer('return-unseen', 'return before == IVPEER_ABSENT ? IVPEER_JOINED : '
              'IVPEER_RETURNED;', 'return IVPEER_JOINED;')],
    'slot': [
        _slot('clock-alone', 'seen->looks >= IVSLOT_LOOKS &&\n\t\t ', ''),
        _slot('looks-alone', ' &&\n\t\t now - seen->changed_at > IVSLOT_SILENT_MS)', ')'),
        _slot('any-look-counts', '&&\n\t\t   now - seen->looked_at >= IVPEER_BEAT_MS / 2',
              ''),
        _slot('served-is-free', '\tif (served)\n\t\treturn;\n', '\t(void)served;\n'),
        _slot('same-again', 'prefer != avoid &&', ''),
        _slot('lost-again', 'if (slot != avoid)\n\t\t\tcount', 'if (1)\n\t\t\tcount'),
        _slot('heartbeat-unseen', ' &&\n\t       ivshmem_load32(&line->heartbeat) == '
              'seen->heartbeat', ''),
        _slot('settled-at-once', 'now - claim->since >= claim->wait', '1'),
        _slot('away-unseen', 'claim->since = now;\n\tclaim->looked_at',
              '(void)0;\n\tclaim->looked_at')],
    'hello': [
        _net('any-length', 'if (length < sizeof(*hello))', 'if (!length)'),
        _net('any-frame', 'limits->max_frame >= IVNET_MAX_FRAME_MIN', '1'),
        _net('any-queues', ' && limits->queues <= queues &&', ' &&'),
        _net('group-address', '!(limits->address[0] & 1) &&', ''),
        _net('segments-without-checksums', 'if (!(limits->features & IVNET_CSUM))',
             'if (0)')],
    'link': [
        # The reason for ivring_session(): an index of 0 near the end of 32 bits.
        Mutant('session-ignored', '\t\treturn IVRING_STALE;', '\t\t(void)epoch;'),
        # What comes back from a snapshot sends or receives across sessions.
        Mutant('restored-sends', 'p->next == p->prod && !ivring_may_send(p)', '0'),
        Mutant('restored-receives', 'c->next == c->cons && !ivring_may_receive(c)', '0'),
        _link('not-gone', 'ivshmem_store32(&link->own->epoch, 0);\t\t/* [A1] */', ''),
        _link('old-epoch', 'ivpeer_fresh_epoch(random, link->last_epoch)',
              'link->last_epoch ? link->last_epoch : random'),
        _link('epoch-known', 'ivpeer_fresh_epoch(random, link->last_epoch)', '7'),
        _link('indices-stay', 'ivlink_reset_rings(link);', ''),
        _link('up-at-once', 'if (ack != link->epoch)', 'if (0)'),
        _link('not-bound', 'ivring_consumer_bind(&link->queues[i].rx, '
              '&link->peer->epoch,\n\t\t\t\t     link->ack);', ''),
        _link('own-unseen', 'return ivshmem_load32(&link->own->epoch) == link->epoch &&\n'
              '\t       ivshmem_load32(&link->own->ack) == link->ack;', 'return link;'),
        _link('orphan-kept', 'return life != link->life;', 'return false;'),
        _link('orphan-hasty', 'link->life && now - link->up_since > IVLINK_SETTLE_MS',
              'link->life'),
        _link('rest-alike', 'rest *= 2;', ''),
        _link('never-good', 'link->faults = 0;\n\t}', '(void)0;\n\t}')]}
