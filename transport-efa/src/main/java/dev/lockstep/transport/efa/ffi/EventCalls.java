package dev.lockstep.transport.efa.ffi;

import java.lang.foreign.MemorySegment;

/// The function by which errors are read from an event queue, looked up once.
///
/// @param queue address of its `fid_eq`
/// @param readerr `fi_eq_readerr`
public record EventCalls(long queue, MemorySegment readerr) {}
