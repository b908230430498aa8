package dev.lockstep.device;

import dev.lockstep.graph.Cost;

/// One kernel call of a compiled program: what it is, what it costs, and what it took so far.
///
/// @param kernel the kernel's name, the same for all calls of one kind
/// @param label the kernel with its shapes
/// @param cost arithmetic, and bytes of operands and results
/// @param followingFlops how much of the arithmetic is element-wise work that the kernel does on
///   its result before it stores it
/// @param nanos time over all runs so far, the wait for the last of the device's threads included
/// @param leastNanos time of the fastest run so far; 0 if there was none. On a machine that others
///   use too, the sum over a program's steps is nearest to what it takes alone
public record PlannedStep(
    String kernel, String label, Cost cost, long followingFlops, long nanos, long leastNanos) {}
