package dev.lockstep.transport.efa.ffi;

import java.lang.foreign.MemorySegment;

/// A completion queue and its functions.
///
/// @param queue address of the queue
/// @param read function of `fi_cq_read`
/// @param readerr function of `fi_cq_readerr`
/// @param strerror function of `fi_cq_strerror`
public record QueueCalls(
    long queue, MemorySegment read, MemorySegment readerr, MemorySegment strerror) {}
