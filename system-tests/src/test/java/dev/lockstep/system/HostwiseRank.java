package dev.lockstep.system;

import dev.lockstep.collective.Communicator;
import dev.lockstep.collective.CommunicatorOptions;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.job.Job;
import java.util.Arrays;

/// A rank that says what joins it to the others, then runs every collective by every algorithm on
/// all ranks and prints what it got.
final class HostwiseRank {
  private HostwiseRank() {}

  /// Runs the rank.
  ///
  /// @param arguments the sizes
  public static void main(String[] arguments) {
    long[] sizes = Arrays.stream(arguments).mapToLong(Long::parseLong).toArray();
    try (Job job = Job.join()) {
      try (Communicator world = Communicator.world(job, CommunicatorOptions.defaults());
          Communicator host = world.split(job.nodeRank(), job.rank()).orElseThrow()) {
        System.out.println("transport " + world.transport());
        System.out.println("levels " + world.topology().levels());
        System.out.println("all share memory " + world.topology().peerMemory());
        System.out.println("host shares memory " + host.topology().peerMemory());
        System.out.println("near links are known " + world.links().near().isPresent());
      }
      new EveryAlgorithm(sizes)
          .on(job, "", Mode.SAME_BITS, true)
          .forEach(result -> System.out.println(AlgorithmRank.RESULT + result.toLine()));
    }
  }
}
