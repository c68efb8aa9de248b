/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints of the core.  Devices are recorded by their number, the N of
 * /dev/ivshmemN.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM ivshmem

#if !defined(_IVSHMEM_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _IVSHMEM_TRACE_H

#include <linux/tracepoint.h>

TRACE_EVENT(ivshmem_probe,
	TP_PROTO(int id, u32 peer_id, u32 vectors, u64 size),
	TP_ARGS(id, peer_id, vectors, size),
	TP_STRUCT__entry(
		__field(int, id)
		__field(u32, peer_id)
		__field(u32, vectors)
		__field(u64, size)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->peer_id = peer_id;
		__entry->vectors = vectors;
		__entry->size = size;
	),
	TP_printk("ivshmem%d peer_id=%u vectors=%u size=%llu",
		  __entry->id, __entry->peer_id, __entry->vectors,
		  __entry->size)
);

TRACE_EVENT(ivshmem_irq,
	TP_PROTO(int id, u32 vector, u64 count),
	TP_ARGS(id, vector, count),
	TP_STRUCT__entry(
		__field(int, id)
		__field(u32, vector)
		__field(u64, count)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->vector = vector;
		__entry->count = count;
	),
	TP_printk("ivshmem%d vector=%u count=%llu",
		  __entry->id, __entry->vector, __entry->count)
);

TRACE_EVENT(ivshmem_ring,
	TP_PROTO(int id, u32 peer, u32 vector),
	TP_ARGS(id, peer, vector),
	TP_STRUCT__entry(
		__field(int, id)
		__field(u32, peer)
		__field(u32, vector)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->peer = peer;
		__entry->vector = vector;
	),
	TP_printk("ivshmem%d peer=%u vector=%u",
		  __entry->id, __entry->peer, __entry->vector)
);

TRACE_EVENT(ivshmem_map,
	TP_PROTO(int id, u64 offset, u64 length, bool write),
	TP_ARGS(id, offset, length, write),
	TP_STRUCT__entry(
		__field(int, id)
		__field(u64, offset)
		__field(u64, length)
		__field(bool, write)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->offset = offset;
		__entry->length = length;
		__entry->write = write;
	),
	TP_printk("ivshmem%d offset=%llu length=%llu write=%d",
		  __entry->id, __entry->offset, __entry->length,
		  __entry->write)
);

/* A blocking read has woken, with the result of the wait */
TRACE_EVENT(ivshmem_wait,
	TP_PROTO(int id, int ret),
	TP_ARGS(id, ret),
	TP_STRUCT__entry(
		__field(int, id)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->ret = ret;
	),
	TP_printk("ivshmem%d ret=%d", __entry->id, __entry->ret)
);

TRACE_EVENT(ivshmem_attach,
	TP_PROTO(int id, u32 instance, u32 slots, u32 sections),
	TP_ARGS(id, instance, slots, sections),
	TP_STRUCT__entry(
		__field(int, id)
		__field(u32, instance)
		__field(u32, slots)
		__field(u32, sections)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->instance = instance;
		__entry->slots = slots;
		__entry->sections = sections;
	),
	TP_printk("ivshmem%d instance=0x%08x slots=%u sections=%u",
		  __entry->id, __entry->instance, __entry->slots,
		  __entry->sections)
);

TRACE_EVENT(ivshmem_detach,
	TP_PROTO(int id, u32 instance),
	TP_ARGS(id, instance),
	TP_STRUCT__entry(
		__field(int, id)
		__field(u32, instance)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->instance = instance;
	),
	TP_printk("ivshmem%d instance=0x%08x", __entry->id, __entry->instance)
);

/* The numbers are those of enum ivpeer_event */
TRACE_EVENT(ivshmem_peer,
	TP_PROTO(int id, u32 slot, u32 event, u32 epoch),
	TP_ARGS(id, slot, event, epoch),
	TP_STRUCT__entry(
		__field(int, id)
		__field(u32, slot)
		__field(u32, event)
		__field(u32, epoch)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->slot = slot;
		__entry->event = event;
		__entry->epoch = epoch;
	),
	TP_printk("ivshmem%d slot=%u %s epoch=0x%08x", __entry->id,
		  __entry->slot,
		  __print_symbolic(__entry->event, { 1, "joined" },
				   { 2, "left" }, { 3, "died" },
				   { 4, "fell silent" }, { 5, "returned" },
				   { 6, "resumed" }),
		  __entry->epoch)
);

#endif /* _IVSHMEM_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
