/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints of the disk: sessions, and what becomes of requests in their course.
 * The block layer has those of requests.  Disks are recorded by their number, the N
 * of /dev/ivblkN.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM ivshmem_blk

#if !defined(_IVBLK_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _IVBLK_TRACE_H

#include <linux/tracepoint.h>

#include "ivblk.h"

TRACE_EVENT(ivblk_session_begin,
	TP_PROTO(const struct ivblk *ivblk, u32 slot),
	TP_ARGS(ivblk, slot),
	TP_STRUCT__entry(
		__field(unsigned int, id)
		__field(u32, slot)
	),
	TP_fast_assign(
		__entry->id = ivblk->id;
		__entry->slot = slot;
	),
	TP_printk("ivblk%u slot=%u", __entry->id, __entry->slot)
);

/* The numbers are those of enum ivring_fault; 0 is a back end that does not answer */
TRACE_EVENT(ivblk_session_end,
	TP_PROTO(const struct ivblk *ivblk, u32 slot, int reason),
	TP_ARGS(ivblk, slot, reason),
	TP_STRUCT__entry(
		__field(unsigned int, id)
		__field(u32, slot)
		__field(int, reason)
	),
	TP_fast_assign(
		__entry->id = ivblk->id;
		__entry->slot = slot;
		__entry->reason = reason;
	),
	TP_printk("ivblk%u slot=%u reason=%d", __entry->id, __entry->slot,
		  __entry->reason)
);

DECLARE_EVENT_CLASS(ivblk_io,
	TP_PROTO(const struct ivblk_queue *queue, const struct ivblk_io *io),
	TP_ARGS(queue, io),
	TP_STRUCT__entry(
		__field(unsigned int, id)
		__field(unsigned int, queue)
		__field(u32, request)
		__field(u32, operation)
		__field(u32, length)
		__field(u64, sector)
	),
	TP_fast_assign(
		__entry->id = queue->ivblk->id;
		__entry->queue = queue->index;
		__entry->request = io->id;
		__entry->operation = io->operation;
		__entry->length = io->length;
		__entry->sector = io->sector;
	),
	TP_printk("ivblk%u queue=%u request=0x%08x operation=%u sector=%llu length=%u",
		  __entry->id, __entry->queue, __entry->request,
		  __entry->operation, __entry->sector, __entry->length)
);

/* A request was sent again, in another session */
DEFINE_EVENT(ivblk_io, ivblk_replay,
	TP_PROTO(const struct ivblk_queue *queue, const struct ivblk_io *io),
	TP_ARGS(queue, io)
);

/* A request was not answered in time */
DEFINE_EVENT(ivblk_io, ivblk_timeout,
	TP_PROTO(const struct ivblk_queue *queue, const struct ivblk_io *io),
	TP_ARGS(queue, io)
);

/* Requests failed, since no back end returned in time, or the disk goes */
TRACE_EVENT(ivblk_give_up,
	TP_PROTO(const struct ivblk *ivblk, unsigned int requests),
	TP_ARGS(ivblk, requests),
	TP_STRUCT__entry(
		__field(unsigned int, id)
		__field(unsigned int, requests)
	),
	TP_fast_assign(
		__entry->id = ivblk->id;
		__entry->requests = requests;
	),
	TP_printk("ivblk%u requests=%u", __entry->id, __entry->requests)
);

#endif /* _IVBLK_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
