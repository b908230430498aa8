package dev.lockstep.job;

import java.io.IOException;

/// A rank as a process of its own: joins, says so, and lives until its input ends.
final class RankProcess {
  private RankProcess() {}

  public static void main(String[] arguments) throws IOException {
    try (Job job = Job.join()) {
      job.activity("living");
      job.store().set("rank" + job.rank(), new byte[] {1});
      System.out.println("joined");
      var _ = System.in.read();
    }
  }
}
