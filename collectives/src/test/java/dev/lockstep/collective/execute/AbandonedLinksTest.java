package dev.lockstep.collective.execute;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.transport.Link;
import dev.lockstep.transport.Transfer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// Whoever waits for one silent peer waits for all of them meanwhile.
@Timeout(20)
final class AbandonedLinksTest {
  private static final int RANKS = 8;
  private static final JobConfig CONFIG =
      new JobConfig(Map.of(), Duration.ofSeconds(20), Duration.ofSeconds(2), Long.MAX_VALUE);

  private int begun;

  /// How many other links had begun to be given up when each was waited for.
  private final List<Integer> begunBefore = new ArrayList<>();

  /// A link of which nothing is known but when it is given up.
  private final class Noted implements Link {
    private final int peer;
    private final int communicator;

    Noted(int peer, int communicator) {
      this.peer = peer;
      this.communicator = communicator;
    }

    @Override
    public int peer() {
      return peer;
    }

    @Override
    public int communicator() {
      return communicator;
    }

    @Override
    public int post(Transfer transfer) {
      return CLOSED;
    }

    @Override
    public int poll() {
      return 0;
    }

    @Override
    public void beginAbandon() {
      begun++;
    }

    @Override
    public void abandon() {
      begunBefore.add(begun);
    }

    @Override
    public void close() {}
  }

  private final class Notes extends SilentTransport {
    @Override
    public Link openSend(int peer, int communicator, Duration timeout) {
      return new Noted(peer, communicator);
    }

    @Override
    public Link openReceive(int peer, int communicator, Duration timeout) {
      return new Noted(peer, communicator);
    }
  }

  @Test
  void allLinksBeginToBeGivenUpBeforeAnyIsWaitedFor() {
    List<Job> jobs = Job.inProcess(RANKS, CONFIG);
    try {
      Job job = jobs.getFirst();
      var driving = new Driving(new Notes(), 0, false);
      try (Endpoint endpoint =
          new Endpoint(job.id(), 1, Members.all(job), driving, Optional.empty(), job.memory())) {
        for (int peer = 1; peer < RANKS; peer++) {
          var _ = endpoint.sending(peer, Duration.ZERO);
          var _ = endpoint.receiving(peer, Duration.ZERO);
        }
        endpoint.abandonLinks();
      }
    } finally {
      jobs.forEach(Job::close);
    }
    int links = 2 * (RANKS - 1);
    assertThat(begun).isEqualTo(links);
    assertThat(begunBefore).hasSize(links).containsOnly(links);
  }
}
