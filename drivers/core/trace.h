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

#endif /* _IVSHMEM_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
