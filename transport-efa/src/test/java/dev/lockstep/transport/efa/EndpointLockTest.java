package dev.lockstep.transport.efa;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.deadline.Promise;
import dev.lockstep.failure.TransportException;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(10)
final class EndpointLockTest {
  private static final Duration MOST = Duration.ofMillis(200);

  private final ThreadMXBean threads = ManagementFactory.getThreadMXBean();

  @Test
  void anInterruptedThreadWaitsForItWithoutItsCore() throws Exception {
    var lock = new EndpointLock("ofi:tcp", MOST);
    assertThat(lock.tryHold()).isTrue();
    Promise.keptWithin(MOST.multipliedBy(3).dividedBy(4), () -> processorTimeOfWaitingFor(lock));
  }

  private Duration processorTimeOfWaitingFor(EndpointLock lock) {
    Thread.currentThread().interrupt();
    long cpu = threads.getCurrentThreadCpuTime();
    assertThatThrownBy(lock::hold)
        .isInstanceOf(TransportException.class)
        .hasMessageContaining("libfabric does not return from a call: transport=ofi:tcp");
    long used = threads.getCurrentThreadCpuTime() - cpu;
    assertThat(Thread.interrupted()).as("it is interrupted afterwards").isTrue();
    return Duration.ofNanos(used);
  }
}
