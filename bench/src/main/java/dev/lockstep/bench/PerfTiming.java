package dev.lockstep.bench;

import java.util.OptionalInt;

/// How a run of `lockstep perf` times and checks operations.
///
/// @param iterations timed operations per size
/// @param warmups untimed operations per size; empty, and of 1000 and more also, to warm up until
///   operations stop getting faster
/// @param dirty whether each rank writes its input before every operation and operations are timed
///   one by one
/// @param checks whether results are checked
/// @param wrongElements how many elements of the first checked result are falsified, to see that
///   the check sees it
record PerfTiming(
    int iterations, OptionalInt warmups, boolean dirty, boolean checks, int wrongElements) {}
