package dev.lockstep.bench;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.EvenCollective;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.tensor.Tensor;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

@Timeout(30)
class PerfBuffersTest {
  private static final int RANKS = 3;
  private static final int COUNT = 50;

  @ParameterizedTest
  @EnumSource(names = "BARRIER", mode = EnumSource.Mode.EXCLUDE)
  void anOperationThatMovesNothingIsWrongThoughTheOneBeforeWasRight(CollectiveKind kind) {
    EvenCollective collective =
        PerfOptions.parse(List.of(kind.label(), "-np", "" + RANKS)).plan().collective();
    TestPattern pattern = new TestPattern(collective, RANKS);
    List<Job> jobs = Job.inProcess(RANKS, JobConfig.of(Map.of()));
    try {
      for (boolean inPlace : new boolean[] {false, true}) {
        CollectiveRequest request =
            collective.request(COUNT, inPlace, Topology.oneNode(RANKS, true));
        long wrong = 0;
        for (Job job : jobs) {
          try (PerfBuffers buffers = new PerfBuffers(job, pattern, 4L * COUNT * RANKS)) {
            PerfBuffers.Pair pair = buffers.pair(request);
            if (pair.out() != null) {
              finish(pattern, job.rank(), pair.out());
            }
            assertThat(buffers.wrong(pair, COUNT, 0, Long.MAX_VALUE)).isZero();
            buffers.fillAnew(pair);
            wrong += buffers.wrong(pair, COUNT, 0, Long.MAX_VALUE);
          }
        }
        assertThat(wrong).as("inPlace=%s", inPlace).isPositive();
      }
    } finally {
      jobs.forEach(Job::close);
    }
  }

  /// Leaves what an operation that works leaves.
  private static void finish(TestPattern pattern, int rank, Tensor output) {
    for (long i = 0; i < output.shape().elements(); i++) {
      double expected = pattern.expected(rank, i, COUNT);
      Elements.set(output.dtype(), output.segment(), i, expected);
    }
  }
}
