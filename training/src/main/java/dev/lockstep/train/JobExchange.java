package dev.lockstep.train;

import dev.lockstep.collective.Communicator;
import dev.lockstep.collective.CommunicatorOptions;
import dev.lockstep.collective.Mesh;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Counts;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.failure.CollectiveException;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobFailedException;
import dev.lockstep.memory.Scope;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.optim.StagePlace;
import dev.lockstep.train.parallel.Exchange;
import dev.lockstep.transport.TransportCounters;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/// The exchange among a job's ranks along the axes of their mesh; one rank alone has none.
final class JobExchange implements Exchange {
  private static final TransportCounters NOTHING = new TransportCounters(0, 0, 0, 0, 0);

  private final Job job;
  private final Layout layout;
  private final Grid grid;
  private final Mode mode;
  private final Optional<Communicator> world;
  private final Map<String, Communicator> axes = new HashMap<>();
  private final RankWords words;
  private final StageLinks links;

  private JobExchange(Job job, Layout layout, Mode mode, Optional<Communicator> world) {
    this.job = job;
    this.layout = layout.over(job.worldSize());
    this.grid = Grid.of(layout, job.rank(), job.worldSize());
    this.mode = mode;
    this.world = world;
    this.words = new RankWords(job.memory());
    this.links = new StageLinks(grid, layout.chunks());
  }

  /// Joins all ranks of the job; blocks until they have met.
  ///
  /// @param scope owns the communicators
  static JobExchange open(Scope scope, Job job, Recipe recipe, TrainerOptions options) {
    Mode mode = recipe.sameBits() ? Mode.SAME_BITS : Mode.RELAXED;
    CommunicatorOptions wanted =
        new CommunicatorOptions(options.transport(), mode, options.timeout());
    Layout layout = options.layout();
    if (job.worldSize() == 1) {
      wanted.requireTransport();
      return new JobExchange(job, layout, mode, Optional.empty());
    }
    List<Mesh.Axis> axes =
        layout.over(job.worldSize()).axes().stream().filter(axis -> axis.size() > 1).toList();
    if (axes.size() == 1) {
      Communicator world = scope.own(Communicator.world(job, wanted), Communicator::close);
      JobExchange exchange = new JobExchange(job, layout, mode, Optional.of(world));
      exchange.axes.put(axes.getFirst().name(), world);
      exchange.link(scope);
      return exchange;
    }
    Mesh mesh = scope.own(Mesh.of(job, wanted, axes), Mesh::close);
    JobExchange exchange = new JobExchange(job, layout, mode, Optional.of(mesh.world()));
    axes.forEach(axis -> exchange.axes.put(axis.name(), mesh.axis(axis.name())));
    exchange.link(scope);
    return exchange;
  }

  private void link(Scope scope) {
    if (grid.isStaged()) {
      Communicator line = axis(Layout.PIPELINE).orElseThrow();
      links.join(scope, line).ifPresent(ends -> axes.put(StagePlace.ENDS, ends));
    }
  }

  @Override
  public Message message(String axis, boolean forth, int from, Tensor memory) {
    Communicator link =
        links
            .of(forth, from)
            .filter(_ -> axis.equals(Layout.PIPELINE))
            .orElseThrow(
                () ->
                    new IllegalArgumentException(
                        "ranks are no neighbours: axis=%s, from=%d, forth=%s"
                            .formatted(axis, from, forth)));
    CollectiveRequest request =
        CollectiveRequest.broadcast(memory.dtype(), memory.shape().elements(), 0, link.topology());
    List<Tensor> inputs = link.rank() == 0 ? List.of(memory) : List.of();
    return new JobCollective(link.prepare(request, inputs, memory), true);
  }

  /// Returns which rank this is.
  RankCompute.Place place() {
    return new RankCompute.Place(grid, layout, job.rank(), mode == Mode.SAME_BITS, this);
  }

  /// Returns the communicator along an axis; empty where the axis has one rank.
  Optional<Communicator> axis(String name) {
    return Optional.ofNullable(axes.get(name));
  }

  private Communicator axis(Primitive op, String name) {
    return axis(name)
        .orElseThrow(
            () -> new IllegalStateException("one rank has nobody to exchange with: op=" + op));
  }

  @Override
  public Prepared prepare(Primitive op, List<Tensor> inputs, Tensor output) {
    return switch (op) {
      case Primitive.AllReduce reduce -> {
        Communicator among = axis(op, reduce.axis());
        yield prepared(
            among,
            CollectiveRequest.allReduce(
                output.dtype(),
                reduce.reduceOp(),
                output.shape().elements(),
                false,
                among.topology(),
                reduce.lanes(),
                mode),
            inputs,
            output);
      }
      case Primitive.ReduceScatter scatter -> {
        Communicator among = axis(op, scatter.axis());
        yield prepared(
            among,
            CollectiveRequest.reduceScatter(
                output.dtype(),
                scatter.reduceOp(),
                Counts.each(among.size(), output.shape().elements()),
                false,
                among.topology(),
                scatter.lanes(),
                mode),
            inputs,
            output);
      }
      case Primitive.AllGather gather -> {
        Communicator among = axis(op, gather.axis());
        Tensor part = inputs.getFirst();
        yield prepared(
            among,
            CollectiveRequest.allGather(
                output.dtype(),
                Counts.each(among.size(), part.shape().elements()),
                false,
                among.topology()),
            inputs,
            output);
      }
      case Primitive other ->
          throw new IllegalArgumentException("no program has such a collective: op=" + other);
    };
  }

  private Communicator among(String axis) {
    return axis(axis)
        .orElseThrow(
            () -> new IllegalStateException("one rank has nobody to exchange with: axis=" + axis));
  }

  @Override
  public Prepared reduceScatter(
      String axis, LaneSplit lanes, List<Long> counts, List<Tensor> inputs, Tensor output) {
    Communicator among = among(axis);
    return prepared(
        among,
        CollectiveRequest.reduceScatter(
            output.dtype(),
            new ReduceOp.Sum(),
            Counts.of(counts),
            false,
            among.topology(),
            lanes,
            mode),
        inputs,
        output);
  }

  @Override
  public Prepared allGather(String axis, List<Long> counts, Tensor part, Tensor whole) {
    boolean isInPlace = part.buffer().equals(whole.buffer());
    Communicator among = among(axis);
    return prepared(
        among,
        CollectiveRequest.allGather(whole.dtype(), Counts.of(counts), isInPlace, among.topology()),
        List.of(part),
        whole);
  }

  @Override
  public Prepared gather(List<Long> counts, Tensor part, @Nullable Tensor whole) {
    Communicator all =
        world.orElseThrow(() -> new IllegalStateException("one rank has nobody to gather from"));
    return prepared(
        all,
        CollectiveRequest.gather(DType.F32, Counts.of(counts), 0, false, all.topology()),
        List.of(part),
        whole);
  }

  /// Returns the names of the axes of more than one rank, in the same order on every rank.
  List<String> axisNames() {
    List<String> names = new ArrayList<>();
    for (Mesh.Axis axis : layout.axes()) {
      if (axis.size() > 1) {
        names.add(axis.name());
      }
    }
    if (grid.isStaged()) {
      names.add(StagePlace.ENDS);
    }
    return names;
  }

  /// Returns the ranks of the job that stand with this one on an axis, in the axis's order; none
  /// where this rank is not on it.
  List<Integer> members(String axis) {
    return axis(axis).map(Communicator::jobRanks).orElse(List.of());
  }

  /// Whether sums follow the lane tree.
  boolean sameBits() {
    return mode == Mode.SAME_BITS;
  }

  /// Returns what every rank of an axis says, in the axis's order; all of them call this together.
  List<String> words(String axis, String mine) {
    return words.ofAll(among(axis), mine);
  }

  @Override
  public List<String> words(String mine) {
    return world.map(all -> words.ofAll(all, mine)).orElse(List.of(mine));
  }

  private static Prepared prepared(
      Communicator among, CollectiveRequest request, List<Tensor> inputs, @Nullable Tensor output) {
    return new JobCollective(among.prepare(request, inputs, output), false);
  }

  /// Waits a moment until every rank has come here and finds for itself what all find: a job that
  /// has failed ends the collectives that another rank may still be in.
  ///
  /// @param what of which all find something
  void letOthersSee(String what) {
    if (world.isPresent()) {
      job.store().meet("trainer/" + what, job.worldSize());
    }
  }

  /// Ends what is under way because this rank cannot go on, so that what it holds can be freed. The
  /// job fails with the reason, unless that is the failure of a collective or of another rank.
  void abandon(Throwable reason) {
    if (world.isEmpty()) {
      return;
    }
    if (!(reason instanceof CollectiveException || reason instanceof JobFailedException)) {
      job.fail(reason, "");
    }
    world.get().abort(reason);
    axes.values().forEach(axis -> axis.abort(reason));
    links.abort(reason);
  }

  /// Returns the transport's name; empty with one rank.
  String transport() {
    return world.map(Communicator::transport).orElse("");
  }

  /// Returns what went over the transport; zeros with one rank.
  TransportCounters counters() {
    return world.map(Communicator::counters).orElse(NOTHING);
  }
}
