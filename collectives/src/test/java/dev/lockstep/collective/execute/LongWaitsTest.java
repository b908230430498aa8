package dev.lockstep.collective.execute;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(20)
class LongWaitsTest {
  private final Job job = Job.inProcess(1, JobConfig.of(Map.of())).getFirst();
  private final LongWaits waits = new LongWaits();

  @BeforeEach
  void trains() {
    job.activity("step 7");
  }

  @AfterEach
  void leaves() {
    job.close();
  }

  @Test
  void whatWasDoneBeforeIsDoneAgainInWhicheverOrderWaitsEnd() {
    waits.begin(job, "waiting in a");
    waits.begin(job, "waiting in b");
    assertThat(job.activity()).isEqualTo("waiting in b");
    waits.end(job, "waiting in a");
    assertThat(job.activity()).isEqualTo("waiting in b");
    waits.end(job, "waiting in b");
    assertThat(job.activity()).isEqualTo("step 7");
  }

  @Test
  void whoStillWaitsIsShownWhenTheLaterOneIsOver() {
    waits.begin(job, "waiting in a");
    waits.begin(job, "waiting in b");
    waits.end(job, "waiting in b");
    assertThat(job.activity()).isEqualTo("waiting in a");
    waits.end(job, "waiting in a");
    assertThat(job.activity()).isEqualTo("step 7");
  }

  @Test
  void whatSomebodyElseHasNotedStays() {
    waits.begin(job, "waiting in a");
    job.activity("saving");
    waits.end(job, "waiting in a");
    assertThat(job.activity()).isEqualTo("saving");
  }
}
