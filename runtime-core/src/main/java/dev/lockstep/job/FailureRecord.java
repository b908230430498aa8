package dev.lockstep.job;

/// The first failure of a job, as every survivor learns it.
///
/// @param rank the rank that failed, or -1 if the agent failed
/// @param host its host
/// @param kind simple name of the exception, or `ProcessExit`, `HeartbeatLost`
/// @param message what is wrong
/// @param stack Java stack of the failure, or empty if the process died without a word
/// @param activity what the rank was doing, for example a collective; may be empty
/// @param epochMillis when it was seen
public record FailureRecord(
    int rank,
    String host,
    String kind,
    String message,
    String stack,
    String activity,
    long epochMillis) {}
