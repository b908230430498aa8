package dev.lockstep.device;

/// What decides the bits that a device computes, besides the graph.
///
/// @param kind two devices that state the same kind compute the same bits from the same graph
/// @param isExact whether every sum keeps the order that the graph states, whatever its extents
///   are: then parts of a sum that ranks share out have the bits of the whole
public record Numerics(String kind, boolean isExact) {}
