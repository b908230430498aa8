package dev.lockstep.device;

import dev.lockstep.graph.Cost;

/// One kernel call of a compiled program: what it is, what it costs, and what it took so far.
///
/// @param kernel the kernel's name, the same for all calls of one kind
/// @param label the kernel with its shapes
/// @param cost arithmetic, and bytes of operands and results
/// @param nanos time over all runs so far, the wait for the last of the device's threads included
public record PlannedStep(String kernel, String label, Cost cost, long nanos) {}
