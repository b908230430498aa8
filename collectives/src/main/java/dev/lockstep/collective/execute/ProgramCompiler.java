package dev.lockstep.collective.execute;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.StableHash;
import dev.lockstep.collective.schedule.JoinTree;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.Step;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.memory.Registration;
import dev.lockstep.tensor.DType;
import dev.lockstep.transport.Envelope;
import dev.lockstep.transport.Sink;
import dev.lockstep.transport.Transfer;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/// Binds one rank's steps of a schedule to memory, links and signals.
public final class ProgramCompiler {
  /// A message that has been compiled, with what it touches.
  private record Posted(Program.Hazard hazard, boolean writes, Registration range) {}

  /// How messages between two ranks travel in one direction.
  ///
  /// @param peer the other rank
  /// @param mail whether through the mailboxes; else over the link
  private record Way(int peer, boolean mail) {}

  private static final MemorySegment[] NOTHING_MORE = {};

  private final Schedule schedule;
  private final CollectiveRequest request;
  private final DType dtype;
  private final Bindings bindings;
  private final Endpoint endpoint;
  private final Duration timeout;
  private final long start = System.nanoTime();
  private final Map<Way, Traffic> sending = new LinkedHashMap<>();
  private final Map<Way, Traffic> receiving = new LinkedHashMap<>();
  private final List<Posted> posted = new ArrayList<>();
  private final List<Action> actions = new ArrayList<>();
  private final List<List<Program.Hazard>> hazards = new ArrayList<>();
  private @Nullable MailJoin onTheWay;

  private ProgramCompiler(
      Schedule schedule, Bindings bindings, Endpoint endpoint, Duration timeout) {
    this.schedule = schedule;
    this.request = schedule.request();
    this.dtype = request.dtype();
    this.bindings = bindings;
    this.endpoint = endpoint;
    this.timeout = timeout;
  }

  /// Returns the program of this rank. Opens the links that it needs, which waits for the peers to
  /// compile theirs. On failure nothing is left but links, which are the endpoint's.
  ///
  /// @param timeout how long to wait for peers, all together
  public static Program compile(
      Schedule schedule, Bindings bindings, Endpoint endpoint, Duration timeout) {
    ProgramCompiler compiler = new ProgramCompiler(schedule, bindings, endpoint, timeout);
    try {
      return compiler.compile();
    } catch (RuntimeException | Error failure) {
      compiler.actions.forEach(Action::close);
      throw failure;
    }
  }

  /// Returns the hash that tells collectives of a communicator apart.
  public static long fingerprint(Schedule schedule, int communicator) {
    return new StableHash()
        .add(communicator)
        .add(schedule.identity())
        .add(schedule.request().hash())
        .value();
  }

  private Program compile() {
    List<Step> steps = schedule.steps(endpoint.rank());
    openLinks(steps);
    onTheWay = MailJoin.find(steps, this::isMail);
    for (Step step : steps) {
      if (onTheWay != null && step.equals(onTheWay.receive())) {
        continue;
      }
      List<Program.Hazard> waits = hazards(step);
      Action action = action(step);
      if (action != null) {
        actions.add(action);
        hazards.add(waits);
      }
    }
    List<Traffic> traffic = new ArrayList<>(receiving.values());
    traffic.addAll(sending.values());
    return new Program(
        actions,
        hazards,
        traffic,
        endpoint.transport(),
        fingerprint(schedule, endpoint.communicator()));
  }

  private boolean isMail(Step.Receive receive) {
    return way(receive.peer(), receive.into()).mail();
  }

  /// Opens receiving ends first: peers wait for them.
  private void openLinks(List<Step> steps) {
    for (Step step : steps) {
      switch (step) {
        case Step.Receive(int peer, Range into) -> openReceiving(way(peer, into));
        case Step.ReceiveReduce(int peer, Range into) -> openReceiving(way(peer, into));
        case Step.Send _,
            Step.Copy _,
            Step.Reduce _,
            Step.Spread _,
            Step.Swap _,
            Step.Scale _,
            Step.Divide _,
            Step.Signal _,
            Step.Await _ -> {}
      }
    }
    for (Step step : steps) {
      if (step instanceof Step.Send(int peer, Range from)) {
        openSending(way(peer, from));
      }
    }
  }

  /// Short messages go through the mailboxes where there are any: both ends see the same length.
  private Way way(int peer, Range range) {
    boolean isShort = range.elements() * dtype.bytes() <= Schedule.SHORT_BYTES;
    return new Way(peer, isShort && endpoint.mail() != null);
  }

  private void openReceiving(Way way) {
    receiving.computeIfAbsent(
        way,
        wanted -> {
          Mailboxes mail = endpoint.mail();
          if (wanted.mail() && mail != null) {
            mail.open(wanted.peer());
            return new MailTraffic(mail, wanted.peer(), false);
          }
          return new LinkTraffic(endpoint.receiving(wanted.peer(), left()), wanted.peer(), false);
        });
  }

  private void openSending(Way way) {
    sending.computeIfAbsent(
        way,
        wanted -> {
          Mailboxes mail = endpoint.mail();
          return wanted.mail() && mail != null
              ? new MailTraffic(mail, wanted.peer(), true)
              : new LinkTraffic(endpoint.sending(wanted.peer(), left()), wanted.peer(), true);
        });
  }

  private Duration left() {
    return Deadlines.left(timeout, start);
  }

  private @Nullable Action action(Step step) {
    return switch (step) {
      case Step.Send(int peer, Range from) ->
          issue(traffic(sending, way(peer, from)), Transfer.send(registration(from)), false, from);
      case Step.Receive(int peer, Range into) ->
          issue(
              traffic(receiving, way(peer, into)),
              Transfer.receive(new Sink.Copy(registration(into))),
              true,
              into);
      case Step.ReceiveReduce(int peer, Range into) ->
          issue(
              traffic(receiving, way(peer, into)),
              Transfer.receive(new Sink.Reduce(registration(into), dtype, reduceOp())),
              true,
              into);
      case Step.Copy(Range from, Range to) -> copy(from, to);
      case Step.Reduce(Range to, JoinTree tree) -> reduce(to, tree);
      case Step.Spread(List<Range> to, JoinTree tree) -> spread(to, tree);
      case Step.Swap(Range own, Range theirs) -> swap(own, theirs);
      case Step.Scale(Range from, Range to) ->
          to.elements() == 0
              ? null
              : new Actions.Scale(dtype, factor(), segment(from), segment(to));
      case Step.Divide(Range target) ->
          target.elements() == 0
              ? null
              : new Actions.Divide(dtype, segment(target), request.lanes().lanes());
      case Step.Signal(int peer, int slot) -> new Actions.Signal(endpoint.signals(), peer, slot);
      case Step.Await(int peer, int slot) ->
          new Actions.AwaitSignal(endpoint.signals(), peer, slot);
    };
  }

  @SuppressWarnings("EnumOrdinal") // as the envelope defines it
  private Action issue(Traffic traffic, Transfer transfer, boolean writes, Range range) {
    int number = traffic.add(transfer);
    Envelope envelope = transfer.envelope();
    envelope.job = endpoint.job();
    envelope.communicator = endpoint.communicator();
    envelope.schedule = schedule.identity();
    envelope.step = number;
    envelope.length = transfer.bytes();
    envelope.kind = request.kind().code();
    envelope.dtype = (byte) dtype.ordinal();
    envelope.reduceOp = request.reduceOpCode();
    envelope.root = (byte) Math.min(255, request.root() + 1);
    envelope.count = request.total();
    posted.add(new Posted(new Program.Hazard(traffic, number), writes, registration(range)));
    return new Actions.Issue(traffic);
  }

  private static Traffic traffic(Map<Way, Traffic> ways, Way way) {
    return Objects.requireNonNull(ways.get(way), "way was not opened");
  }

  private @Nullable Action copy(Range from, Range to) {
    return to.elements() == 0 ? null : new Actions.Copy(peer(from), segment(from), segment(to));
  }

  private @Nullable Action reduce(Range to, JoinTree tree) {
    if (to.elements() == 0) {
      return null;
    }
    int[] peer = {-1};
    tree.forEachSource(source -> peer[0] = Math.max(peer[0], peer(source)));
    return switch (tree) {
      case JoinTree.Leaf(Range range) -> isSame(range, to) ? null : copy(range, to);
      case JoinTree.Node _ when onTheWay != null && tree.equals(onTheWay.tree()) ->
          joinOnTheWay(to);
      case JoinTree.Node(JoinTree.Leaf(Range left), JoinTree.Leaf(Range right)) ->
          new Actions.Join(peer[0], reduceOp(), dtype, segment(to), segment(left), segment(right));
      case JoinTree.Node node ->
          new TreeJoin(
              peer[0],
              Writes.Permission.OWN,
              reduceOp(),
              dtype,
              segment(to),
              NOTHING_MORE,
              node,
              this::segment,
              endpoint.pool());
    };
  }

  private @Nullable Action spread(List<Range> to, JoinTree tree) {
    if (to.getFirst().elements() == 0) {
      return null;
    }
    int[] written = to.stream().mapToInt(this::peer).filter(peer -> peer >= 0).toArray();
    int peer = written.length == 0 ? -1 : written[0];
    Writes.Permission permission = new Writes.Permission(endpoint::hasRevoked, written);
    MemorySegment[] targets = segments(to);
    return switch (tree) {
      case JoinTree.Leaf(Range range) -> copies(peer, permission, range, to);
      case JoinTree.Node(JoinTree.Leaf(Range left), JoinTree.Leaf(Range right)) ->
          new Writes.Join(
              peer, permission, reduceOp(), dtype, targets, segment(left), segment(right));
      case JoinTree.Node node ->
          new TreeJoin(
              peer,
              permission,
              reduceOp(),
              dtype,
              targets[0],
              Arrays.copyOfRange(targets, 1, targets.length),
              node,
              this::segment,
              endpoint.pool());
    };
  }

  /// One contribution is copied to wherever it does not lie.
  private Action copies(int peer, Writes.Permission permission, Range from, List<Range> to) {
    MemorySegment source = segment(from);
    MemorySegment[] targets =
        Stream.of(segments(to))
            .filter(target -> target.address() != source.address())
            .toArray(MemorySegment[]::new);
    return new Writes.Copies(peer, permission, source, targets);
  }

  private MemorySegment[] segments(List<Range> ranges) {
    return ranges.stream().map(this::segment).toArray(MemorySegment[]::new);
  }

  private @Nullable Action swap(Range own, Range theirs) {
    if (own.elements() == 0) {
      return null;
    }
    int peer = theirs.rank();
    return new Writes.Swap(
        peer,
        new Writes.Permission(endpoint::hasRevoked, new int[] {peer}),
        segment(own),
        segment(theirs),
        endpoint.pool());
  }

  private Action joinOnTheWay(Range to) {
    MailJoin join = Objects.requireNonNull(onTheWay);
    return new Actions.AwaitJoin(
        Objects.requireNonNull(endpoint.mail()),
        join.receive().peer(),
        reduceOp(),
        dtype,
        segment(to),
        segment(join.with()),
        join.first());
  }

  private int peer(Range range) {
    return range.rank() == endpoint.rank() ? -1 : range.rank();
  }

  private boolean isSame(Range a, Range b) {
    return peer(a) < 0 && registration(a).equals(registration(b));
  }

  private MemorySegment segment(Range range) {
    return bindings.segment(endpoint.rank(), range, dtype.bytes());
  }

  private Registration registration(Range range) {
    if (range.elements() == 0) {
      return endpoint.empty();
    }
    return bindings
        .own(range.space())
        .slice(range.offset() * dtype.bytes(), range.elements() * dtype.bytes());
  }

  private double factor() {
    if (request.reduceOp() instanceof ReduceOp.PreMulSum(double factor)) {
      return factor;
    }
    throw new IllegalArgumentException("schedule multiplies, its request does not");
  }

  private ReduceOp reduceOp() {
    return Objects.requireNonNull(request.reduceOp(), "schedule reduces, its request does not");
  }

  /// Returns the earlier messages that a step waits for.
  private List<Program.Hazard> hazards(Step step) {
    List<Program.Hazard> waits = new ArrayList<>();
    for (Posted message : posted) {
      boolean onlyOrder = message.writes() && message.range().bytes() == 0;
      if (step instanceof Step.Signal || onlyOrder || conflicts(step, message)) {
        waits.add(message.hazard());
      }
    }
    return waits;
  }

  private boolean conflicts(Step step, Posted message) {
    return switch (step) {
      case Step.Send(_, Range from) -> message.writes() && touches(from, message);
      case Step.Receive(_, Range into) -> touches(into, message);
      case Step.ReceiveReduce(_, Range into) -> touches(into, message);
      case Step.Copy(Range from, Range to) ->
          touches(to, message) || (message.writes() && touches(from, message));
      case Step.Reduce(Range to, JoinTree tree) ->
          touches(to, message) || (message.writes() && touches(tree, message));
      case Step.Spread(List<Range> to, JoinTree tree) ->
          to.stream().anyMatch(range -> touches(range, message))
              || (message.writes() && touches(tree, message));
      case Step.Swap(Range own, _) -> touches(own, message);
      case Step.Scale(Range from, Range to) ->
          touches(to, message) || (message.writes() && touches(from, message));
      case Step.Divide(Range target) -> touches(target, message);
      case Step.Signal _ -> true;
      case Step.Await _ -> false;
    };
  }

  private boolean touches(JoinTree tree, Posted message) {
    boolean[] touched = {false};
    tree.forEachSource(source -> touched[0] |= touches(source, message));
    return touched[0];
  }

  private boolean touches(Range range, Posted message) {
    if (peer(range) >= 0) {
      return false;
    }
    Registration own = registration(range);
    Registration other = message.range();
    return own.region().equals(other.region())
        && own.offset() < other.offset() + other.bytes()
        && other.offset() < own.offset() + own.bytes();
  }
}
