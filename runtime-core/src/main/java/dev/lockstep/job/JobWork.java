package dev.lockstep.job;

/// What a rank does between joining its job and leaving it, see [Job#run(JobConfig, JobWork)].
///
/// @param <E> what it may throw beside unchecked exceptions
@FunctionalInterface
public interface JobWork<E extends Exception> {
  /// Does the work.
  ///
  /// @param job this rank's membership, left by whoever called this
  void run(Job job) throws E;
}
