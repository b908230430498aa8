package dev.lockstep.collective.execute;

import dev.lockstep.job.Job;
import java.util.List;
import java.util.stream.IntStream;

/// Which of a job's ranks form a communicator, and in which order.
///
/// @param rank this rank's number in the communicator
/// @param jobRanks each member's rank in the job, by its number in the communicator
public record Members(int rank, List<Integer> jobRanks) {
  /// Checks that this rank is a member.
  public Members {
    jobRanks = List.copyOf(jobRanks);
    if (rank < 0 || rank >= jobRanks.size()) {
      throw new IllegalArgumentException(
          "rank is no member: rank=" + rank + ", members=" + jobRanks);
    }
  }

  /// Returns all ranks of a job.
  public static Members all(Job job) {
    return new Members(job.rank(), IntStream.range(0, job.worldSize()).boxed().toList());
  }

  /// Returns the number of members.
  public int size() {
    return jobRanks.size();
  }

  /// Returns this rank's number in the job.
  public int jobRank() {
    return jobRanks.get(rank);
  }

  /// Returns a member's rank in the job.
  public int jobRank(int member) {
    return jobRanks.get(member);
  }

  /// Returns a job's rank as a member, or -1.
  public int member(int jobRank) {
    return jobRanks.indexOf(jobRank);
  }

  /// Returns whether all members are on one host.
  ///
  /// @param hosts by rank in the job
  public boolean isOneHost(List<String> hosts) {
    return jobRanks.stream().map(hosts::get).distinct().count() == 1;
  }

  /// Returns those of some ranks of the job that are not this one.
  public List<Integer> others(List<Integer> some) {
    return some.stream().filter(other -> other != jobRank()).toList();
  }

  int[] toArray() {
    return jobRanks.stream().mapToInt(Integer::intValue).toArray();
  }
}
