package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.CommunicatorOptions;
import dev.lockstep.collective.Mesh;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.train.Recipe;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.Trainer;
import dev.lockstep.train.TrainerOptions;
import dev.lockstep.train.TrainingRun;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.data.CorpusListener;
import dev.lockstep.train.data.DataOptions;
import dev.lockstep.train.model.GptShape;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Jobs whose ranks are threads of this JVM, over every transport.
@Timeout(120)
class JobsInOneJvmTest {
  private static final Recipe RECIPE =
      Recipe.defaults()
          .withModel(new GptShape(1, 2, 16, 12, 256, true))
          .withBatch(BatchShape.of(5, 2))
          .withSteps(3);

  @TempDir Path folder;

  private static String train(Job job, Recipe recipe, String transport, Corpus corpus) {
    TrainerOptions options = TrainerOptions.defaults().withThreads(1).withTransport(transport);
    try (job) {
      try (Trainer trainer = Trainer.start(job, recipe, corpus, options)) {
        trainer.train(TrainingRun.stepsOnly());
        if (job.worldSize() > 1) {
          var counters = trainer.transportCounters();
          assertThat(trainer.transport()).isEqualTo(transport);
          assertThat(counters.bytesSent() + counters.bytesOpenedInPlace()).isPositive();
        }
        return trainer.weightsSha256();
      } catch (RuntimeException | Error failure) {
        job.fail(failure, "");
        throw failure;
      }
    }
  }

  private static List<Future<String>> start(
      ExecutorService threads, int ranks, Recipe recipe, String transport, Corpus corpus) {
    List<Future<String>> results = new ArrayList<>();
    for (Job job : Job.inProcess(ranks, JobConfig.of(Map.of()))) {
      results.add(threads.submit(() -> train(job, recipe, transport, corpus)));
    }
    return results;
  }

  private Corpus text() throws Exception {
    TinyJob job = new TinyJob(folder);
    return Corpus.open(DataOptions.of(job.text(), job.cache()), CorpusListener.SILENT);
  }

  private static String theOne(List<Future<String>> results) throws Exception {
    List<String> hashes = new ArrayList<>();
    for (Future<String> result : results) {
      hashes.add(result.get());
    }
    assertThat(hashes).containsOnly(hashes.getFirst());
    return hashes.getFirst();
  }

  @ParameterizedTest(name = "{0} ranks over {1}")
  @CsvSource({"4, in-process", "4, shm", "2, aeron-ipc", "3, aeron-udp", "4, aeron-ipc"})
  void ranksAsThreadsEndInTheBitsOfOneRank(int ranks, String transport) throws Exception {
    try (Corpus corpus = text();
        ExecutorService threads = Executors.newCachedThreadPool()) {
      String alone = theOne(start(threads, 1, RECIPE, "", corpus));
      assertThat(theOne(start(threads, ranks, RECIPE, transport, corpus))).isEqualTo(alone);
    }
  }

  @Test
  void twoJobsSideBySideDoNotDisturbEachOther() throws Exception {
    Recipe other = RECIPE.withSeed(77);
    try (Corpus corpus = text();
        ExecutorService threads = Executors.newCachedThreadPool()) {
      List<String> alone = new ArrayList<>();
      for (Recipe recipe : List.of(RECIPE, other)) {
        alone.add(theOne(start(threads, 1, recipe, "", corpus)));
      }
      var first = start(threads, 2, RECIPE, "aeron-ipc", corpus);
      var second = start(threads, 2, other, "shm", corpus);
      var third = start(threads, 2, other, "aeron-ipc", corpus);

      assertThat(Stream.of(theOne(first), theOne(second), theOne(third)))
          .containsExactly(alone.get(0), alone.get(1), alone.get(1));
    }
  }

  /// The exception passes the ends of three communicators, and of a driver, before the job is told.
  @Test
  void whatIsThrownInAMeshIsTheJobsFirstFailureOverLinksToo() throws Exception {
    List<Mesh.Axis> axes = Mesh.Axis.parse("dp=2,tp=1");
    CommunicatorOptions options = CommunicatorOptions.defaults().withTransport("aeron-ipc");
    List<Job> jobs = Job.inProcess(2, JobConfig.of(Map.of()));
    try (ExecutorService threads = Executors.newCachedThreadPool()) {
      for (Job job : jobs) {
        var _ =
            threads.submit(
                () -> {
                  try (job) {
                    try (Mesh mesh = Mesh.of(job, options, axes)) {
                      mesh.world().barrier();
                      if (job.rank() == 1) {
                        throw new ArithmeticException("boom");
                      }
                      mesh.axis("dp").barrier();
                    } catch (RuntimeException | Error failure) {
                      job.fail(failure, "");
                    }
                  }
                });
      }
    }
    assertThat(jobs.getFirst().failure())
        .hasValueSatisfying(
            first -> {
              assertThat(first.kind()).isEqualTo("ArithmeticException");
              assertThat(first.rank()).isEqualTo(1);
            });
  }
}
