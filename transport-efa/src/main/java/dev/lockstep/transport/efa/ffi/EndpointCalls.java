package dev.lockstep.transport.efa.ffi;

import java.lang.foreign.MemorySegment;

/// An endpoint and its functions of the data path.
///
/// @param endpoint address of the endpoint
/// @param recv function of `fi_recv`
/// @param send function of `fi_send`
/// @param inject function of `fi_inject`
/// @param injectdata function of `fi_injectdata`
/// @param writedata function of `fi_writedata`
public record EndpointCalls(
    long endpoint,
    MemorySegment recv,
    MemorySegment send,
    MemorySegment inject,
    MemorySegment injectdata,
    MemorySegment writedata) {}
