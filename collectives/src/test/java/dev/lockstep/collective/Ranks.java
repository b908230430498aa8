package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.failure.CollectiveMismatchException;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/// A job whose ranks are threads of this JVM, with a communicator each.
final class Ranks {
  /// What a rank does.
  interface Body<T> {
    T run(Rank rank) throws Exception;
  }

  /// One rank's things; closed after its body.
  static final class Rank implements AutoCloseable {
    final Job job;
    final Communicator communicator;
    private final List<Buffer> buffers = new ArrayList<>();

    Rank(Job job, CommunicatorOptions options) {
      this.job = job;
      this.communicator = Communicator.world(job, options);
    }

    int number() {
      return job.rank();
    }

    Tensor sharedTensor(DType dtype, long elements) {
      return tensor(
          HostMemory.allocateShared(
              job.memory(), "tensor", elements * dtype.bytes(), job.directory()),
          dtype,
          elements);
    }

    Tensor privateTensor(DType dtype, long elements) {
      return tensor(
          HostMemory.allocate(job.memory(), "tensor", elements * dtype.bytes()), dtype, elements);
    }

    private Tensor tensor(Buffer buffer, DType dtype, long elements) {
      buffers.add(buffer);
      return Tensor.of(buffer, dtype, Shape.of(elements));
    }

    @Override
    public void close() {
      communicator.close();
      buffers.forEach(Buffer::close);
    }
  }

  private Ranks() {}

  /// Returns options of a communicator that measures nothing, and by its transport sees signals and
  /// messages late and in any order.
  static CommunicatorOptions options() {
    return CommunicatorOptions.defaults()
        .withLinks(LinkSource.typical())
        .withTransport("unsteady-peers");
  }

  /// Prepares the sum of a tensor of each rank, in place, with the same bits on any layout.
  static PreparedCollective prepareSum(Communicator communicator, Tensor tensor) {
    return communicator.prepare(
        CollectiveRequest.allReduce(
            tensor.dtype(),
            new ReduceOp.Sum(),
            tensor.shape().elements(),
            true,
            communicator.topology(),
            LaneSplit.onePerRank(communicator.size()),
            Mode.SAME_BITS),
        List.of(tensor),
        tensor);
  }

  /// As [#prepareSum(Communicator, Tensor)], of a tensor of its own that peers can map.
  static PreparedCollective prepareSum(Rank rank, DType dtype, long elements) {
    return prepareSum(rank.communicator, rank.sharedTensor(dtype, elements));
  }

  /// Prepares the broadcast of a tensor of rank 1, which sends and waits for nobody.
  static PreparedCollective prepareBroadcast(Communicator in, Tensor tensor) {
    CollectiveRequest request =
        CollectiveRequest.broadcast(tensor.dtype(), tensor.shape().elements(), 1, in.topology());
    return in.prepare(request, in.rank() == 1 ? List.of(tensor) : List.of(), tensor);
  }

  /// Runs the body on every rank at once and returns the results by rank. Fails with what a rank
  /// found wrong, if one did, else with the first failure by rank; the others are suppressed in it.
  static <T> List<T> run(int ranks, CommunicatorOptions options, Body<T> body) {
    return run(ranks, Long.MAX_VALUE, options, body);
  }

  /// As [#run(int, CommunicatorOptions, Body)], each rank with so much memory.
  static <T> List<T> run(int ranks, long memory, CommunicatorOptions options, Body<T> body) {
    List<T> results = new ArrayList<>();
    List<AssertionError> failures = new ArrayList<>();
    for (Outcome<T> outcome : outcomes(ranks, memory, options, body)) {
      if (outcome.failure() != null) {
        failures.add(new AssertionError("rank " + results.size() + " failed", outcome.failure()));
      }
      results.add(outcome.result());
    }
    if (failures.isEmpty()) {
      return results;
    }
    AssertionError first =
        failures.stream()
            .filter(failure -> failure.getCause() instanceof AssertionError)
            .findFirst()
            .orElse(failures.getFirst());
    failures.remove(first);
    failures.forEach(first::addSuppressed);
    throw first;
  }

  /// What came of a rank: a result or a failure.
  record Outcome<T>(@Nullable T result, @Nullable Throwable failure) {
    /// Returns the failure, which must be of a type.
    <E extends Throwable> E failure(Class<E> type) {
      assertThat(failure).isInstanceOf(type);
      return Objects.requireNonNull(type.cast(failure));
    }
  }

  /// Runs the body on every rank at once and returns what came of each.
  static <T> List<Outcome<T>> outcomes(int ranks, CommunicatorOptions options, Body<T> body) {
    return outcomes(ranks, Long.MAX_VALUE, options, body);
  }

  /// As [#outcomes(int, CommunicatorOptions, Body)], each rank with so much memory.
  static <T> List<Outcome<T>> outcomes(
      int ranks, long memory, CommunicatorOptions options, Body<T> body) {
    JobConfig config =
        new JobConfig(Map.of(), Duration.ofSeconds(20), Duration.ofSeconds(2), memory);
    List<Job> jobs = Job.inProcess(ranks, config);
    List<Callable<T>> calls = new ArrayList<>();
    for (Job job : jobs) {
      calls.add(
          () -> {
            try (Rank rank = new Rank(job, options)) {
              return told(rank, body);
            }
          });
    }
    List<Outcome<T>> outcomes = new ArrayList<>();
    try (ExecutorService threads = Executors.newCachedThreadPool()) {
      List<Future<T>> futures = new ArrayList<>();
      calls.forEach(call -> futures.add(threads.submit(call)));
      for (Future<T> future : futures) {
        outcomes.add(outcome(future));
      }
    } finally {
      jobs.forEach(Job::close);
    }
    return outcomes;
  }

  /// Returns what came of ranks that disagree, where each has told the other what it is in. Who
  /// says nothing for half a second, because the machine does not let it, is not waited for: then
  /// they try again. Three times in a row is no accident.
  static <T> List<Outcome<T>> answered(Supplier<List<Outcome<T>>> disagreement) {
    List<Outcome<T>> outcomes = disagreement.get();
    for (int again = 0; again < 2 && outcomes.stream().anyMatch(Ranks::wasSilent); again++) {
      outcomes = disagreement.get();
    }
    return outcomes;
  }

  private static boolean wasSilent(Outcome<?> outcome) {
    return outcome.failure() instanceof CollectiveMismatchException mismatch
        && mismatch.theirs().startsWith("something else");
  }

  /// Runs the body; the other ranks of one that finds something wrong end with it.
  private static <T> T told(Rank rank, Body<T> body) throws Exception {
    try {
      return body.run(rank);
    } catch (AssertionError wrong) {
      rank.job.fail(wrong, "testing");
      throw wrong;
    }
  }

  private static <T> Outcome<T> outcome(Future<T> future) {
    try {
      return new Outcome<>(future.get(), null);
    } catch (ExecutionException e) {
      return new Outcome<>(null, e.getCause());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return new Outcome<>(null, e);
    }
  }
}
