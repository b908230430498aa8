package dev.lockstep.train;

import dev.lockstep.collective.Communicator;
import dev.lockstep.collective.CommunicatorOptions;
import dev.lockstep.collective.PreparedCollective;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.graph.Primitive;
import dev.lockstep.job.Job;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.parallel.Exchange;
import dev.lockstep.train.parallel.Scope;
import dev.lockstep.transport.TransportCounters;
import java.util.List;
import java.util.Optional;

/// The exchange among a job's ranks; one rank alone has none.
final class JobExchange implements Exchange {
  private static final TransportCounters NOTHING = new TransportCounters(0, 0, 0, 0, 0);

  private final Job job;
  private final Mode mode;
  private final Optional<Communicator> communicator;

  private JobExchange(Job job, Mode mode, Optional<Communicator> communicator) {
    this.job = job;
    this.mode = mode;
    this.communicator = communicator;
  }

  /// Joins all ranks of the job; blocks until they have met.
  ///
  /// @param scope owns the communicator
  static JobExchange open(Scope scope, Job job, Recipe recipe, TrainerOptions options) {
    Mode mode = recipe.sameBits() ? Mode.SAME_BITS : Mode.RELAXED;
    CommunicatorOptions wanted =
        new CommunicatorOptions(options.transport(), mode, options.timeout());
    if (job.worldSize() == 1) {
      wanted.requireTransport();
      return new JobExchange(job, mode, Optional.empty());
    }
    Communicator world = scope.own(Communicator.world(job, wanted), Communicator::close);
    return new JobExchange(job, mode, Optional.of(world));
  }

  /// Returns which rank this is.
  RankCompute.Place place() {
    return new RankCompute.Place(job.rank(), job.worldSize(), this);
  }

  @Override
  public Prepared prepare(Primitive.AllReduce op, List<Tensor> inputs, Tensor output) {
    Communicator world =
        communicator.orElseThrow(
            () -> new IllegalStateException("one rank has nobody to reduce with: op=" + op));
    CollectiveRequest request =
        CollectiveRequest.allReduce(
            output.dtype(),
            op.reduceOp(),
            output.shape().elements(),
            false,
            world.topology(),
            op.lanes(),
            mode);
    PreparedCollective prepared = world.prepare(request, inputs, output);
    return new Prepared() {
      @Override
      public void run() {
        prepared.run();
      }

      @Override
      public void close() {
        prepared.close();
      }
    };
  }

  /// Returns the transport's name; empty with one rank.
  String transport() {
    return communicator.map(Communicator::transport).orElse("");
  }

  /// Returns what went over the transport; zeros with one rank.
  TransportCounters counters() {
    return communicator.map(Communicator::counters).orElse(NOTHING);
  }
}
