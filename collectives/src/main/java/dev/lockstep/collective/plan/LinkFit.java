package dev.lockstep.collective.plan;

import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.algorithm.DirectAllReduce;
import dev.lockstep.collective.algorithm.DirectSendReceive;
import dev.lockstep.collective.algorithm.MessageSendReceive;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.collective.schedule.JoinTree;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.Space;
import dev.lockstep.collective.schedule.Step;
import dev.lockstep.collective.simulate.Compute;
import dev.lockstep.collective.simulate.Fabric;
import dev.lockstep.collective.simulate.Level;
import dev.lockstep.collective.simulate.Rates;
import dev.lockstep.collective.simulate.Simulator;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.DoubleConsumer;

/// Finds the constants of links by measuring a few schedules: each constant is set so that the
/// simulator takes as long for a schedule as it took. One after another: what steps and signals
/// cost, what messages cost, and, size by size, how fast ranks copy, read their peers, join and
/// send. Where ranks share cores all of them are at work, so that sharing is in the constants. How
/// fast a rank sends is measured with one sender per host; where hosts run several ranks, what
/// these carry together is measured too.
///
/// All ranks measure the same numbers, so all find the same constants.
public final class LinkFit {
  /// Buffers of a rank at which rates are measured: this, and each the next times [#FACTOR].
  static final long LEAST_BYTES = 4 << 10;

  static final int FACTOR = 4;

  private static final int SHORT_BYTES = 1024;
  private static final int MANY = 64;
  private static final int FEW = 8;
  private static final double LEAST_NANOS = 0.1;
  private static final double LEAST_NANOS_PER_BYTE = 1e-4;
  private static final int TRIALS = 5;
  private static final int PASSES = 2;
  private static final int ROUNDS = 4;
  private static final double MOST_APART = 4;

  /// Place among the sizes of the one at which all ranks of a host send at once: 1 MiB, which takes
  /// far longer than a message's latency, and on a slow wire not too long.
  private static final int SHARED_SIZE = 4;

  /// Ranks of a host whose messages take this much longer together than alone share a cable.
  private static final double LONGER = 1.1;

  private static final double LEAST_LINE_NANOS = 20;
  private static final double MOST_SIGNAL_NANOS = 2_000;
  private static final double MOST_MESSAGE_NANOS = 50_000;

  private final String name;
  private final Topology topology;
  private final LinkMeter meter;
  private final List<Measured> calls = new ArrayList<>();
  private final Measured many;
  private final Measured few;
  private final Measured touch;
  private final Measured near;
  private final Measured far;
  private final Measured brief;
  private double start;
  private double step = 10;
  private double message = 1_000;
  private double shortMessage = 200;
  private double signal = 100;
  private double copy = 0.05;
  private double join = 0.02;
  private double wire = 0.2;
  private double read = 0.1;

  /// Nanoseconds per byte of all ranks of a host together, 0 if they share nothing.
  private double uplink;

  private LinkFit(String name, Topology topology, LinkMeter meter) {
    this.name = name;
    this.topology = topology;
    this.meter = meter;
    this.many = call(localSteps(MANY));
    this.few = call(localSteps(FEW));
    this.near = call(messages(2 * SHORT_BYTES));
    this.far = call(messages(16 * SHORT_BYTES));
    this.brief = call(messages(SHORT_BYTES / 4));
    this.touch = call(topology.peerMemory() ? reads(DType.F32.bytes()) : messages(SHORT_BYTES));
  }

  /// Measures, and returns the constants.
  ///
  /// @param name of the transport
  /// @param topology of the ranks; two at least
  /// @param mostBytes largest buffer of a rank
  public static Fabric fit(String name, Topology topology, long mostBytes, LinkMeter meter) {
    return new LinkFit(name, topology, meter).fit(mostBytes);
  }

  private Measured call(Schedule schedule) {
    Measured call = new Measured(schedule);
    calls.add(call);
    return call;
  }

  /// Returns why constants cannot be those of links but of a machine that was busy with something
  /// else, or nothing if they can: where every rank has a core to itself a signal, and a message
  /// beside one, take far less than a scheduler, and nothing takes less than a line from cache to
  /// cache. What has hidden it was the time of a call that no compiler had seen, or a rate.
  ///
  /// @param processors of the host
  public static Optional<String> implausible(Fabric fabric, int ranks, int processors) {
    Level links = fabric.levels().getFirst();
    boolean crowded = ranks > processors || links.shortBytes() == 0;
    return crowded
            || (isBetween(links.signalNanos(), MOST_SIGNAL_NANOS)
                && isBetween(links.shortNanos(), MOST_SIGNAL_NANOS)
                && isBetween(links.messageNanos(), MOST_MESSAGE_NANOS))
        ? Optional.empty()
        : Optional.of(
            "machine was busy: signalNanos=%.1f, shortNanos=%.1f, messageNanos=%.1f, ranks=%d, processors=%d"
                .formatted(
                    links.signalNanos(),
                    links.shortNanos(),
                    links.messageNanos(),
                    ranks,
                    processors));
  }

  private static boolean isBetween(double nanos, double most) {
    return nanos > LEAST_LINE_NANOS && nanos < most;
  }

  /// Returns short schedules of every sort that is measured, for whoever warms up.
  public static List<Schedule> warmUps(Topology topology) {
    LinkFit fit = new LinkFit("", topology, new Nothing());
    List<Schedule> schedules = new ArrayList<>();
    schedules.add(fit.localSteps(MANY));
    for (long bytes : new long[] {SHORT_BYTES / 4, 4 * LEAST_BYTES}) {
      schedules.add(fit.messages(bytes));
      schedules.add(fit.joins(bytes));
      if (topology.peerMemory()) {
        schedules.add(fit.reads(bytes));
        schedules.add(fit.reductions(bytes));
      }
    }
    return schedules;
  }

  private static final class Nothing implements LinkMeter {
    @Override
    public double nanos(Schedule schedule) {
      throw new UnsupportedOperationException("measures nothing");
    }

    @Override
    public double copyNanos(long bytes) {
      throw new UnsupportedOperationException("measures nothing");
    }
  }

  /// Measures everything, and everything once more, lest something else has slowed it down.
  private Fabric fit(long mostBytes) {
    List<Size> sizes = new ArrayList<>();
    for (long bytes = LEAST_BYTES; bytes <= mostBytes; bytes *= FACTOR) {
      sizes.add(new Size(bytes));
    }
    Size shared = sizes.get(Math.min(SHARED_SIZE, sizes.size() - 1));
    Measured together = new Measured(fromHostToHost(shared.bytes, sharers()));
    for (int pass = 0; pass < PASSES; pass++) {
      calls.forEach(Measured::again);
      sizes.forEach(Size::again);
      if (sharers() > 1) {
        together.again();
      }
    }
    latencies();
    double sharedNanos = 0;
    List<Rates.Point> copies = new ArrayList<>();
    List<Rates.Point> joins = new ArrayList<>();
    List<Rates.Point> wires = new ArrayList<>();
    List<Rates.Point> reads = new ArrayList<>();
    for (Size size : sizes) {
      size.solve();
      if (size == shared && hostRanks() > 1) {
        sharedNanos = sharing(together);
      }
      long workingSet = size.bytes * (hostRanks() > 1 ? hostRanks() : topology.ranks());
      copies.add(new Rates.Point(workingSet, 1e9 / copy));
      joins.add(new Rates.Point(workingSet, 1e9 / join));
      wires.add(new Rates.Point(workingSet, 1e9 / wire));
      reads.add(new Rates.Point(workingSet, 1e9 / read));
    }
    uplink = sharedNanos;
    return fabric(new Rates(copies), new Rates(joins), new Rates(wires), new Rates(reads));
  }

  private int hostRanks() {
    return topology.levels().isEmpty() ? 1 : topology.levels().getFirst();
  }

  /// Returns how many ranks of each host can send to another host at once: all of them where two
  /// hosts are full, else as many as the last one has.
  private int sharers() {
    int size = hostRanks();
    return size == 1 || topology.ranks() >= 2 * size ? size : Math.max(1, topology.ranks() - size);
  }

  /// Returns what a byte takes where all ranks of a host send at once, 0 if no longer than each
  /// rank's takes alone: then they share nothing. A rank alone has sent and received in turn, so an
  /// uplink that carries both ways at once takes at most twice as long for a byte as it did. Where
  /// some had to be left out and the others are no slower together, all are taken to share a cable
  /// that is as fast as one rank.
  private double sharing(Measured together) {
    double alone = 2 * wire;
    int sharers = sharers();
    double found = 0;
    if (sharers > 1) {
      double most = (sharers - 1) * alone;
      together.solve(0, wire, more -> uplink = (alone + Math.min(more, most)) / sharers);
      found = uplink;
      uplink = 0;
    }
    if (found * sharers > LONGER * alone) {
      return found;
    }
    return sharers < hostRanks() ? wire : 0;
  }

  /// A schedule and its time.
  private final class Measured {
    private final Schedule schedule;
    private double nanos = Double.POSITIVE_INFINITY;

    Measured(Schedule schedule) {
      this.schedule = schedule;
    }

    void again() {
      nanos = Math.min(nanos, meter.nanos(schedule));
    }

    /// Sets a constant so that the schedule takes as long as measured; to the least if even that is
    /// too long. Times grow with every constant and nearly in proportion, so few trials do.
    void solve(double least, double guess, DoubleConsumer constant) {
      constant.accept(least);
      double base = predicted(schedule);
      double x = guess > least ? guess : least + 1;
      for (int trial = 0; trial < TRIALS && nanos > base; trial++) {
        constant.accept(x);
        double found = predicted(schedule);
        if (found <= base) {
          x *= 10; // hidden behind something else
        } else if (Math.abs(found - nanos) <= 1e-4 * nanos) {
          return;
        } else {
          x = least + (x - least) * (nanos - base) / (found - base);
        }
      }
      constant.accept(nanos > base ? x : least);
    }
  }

  /// What is measured at one size.
  private final class Size {
    private final long bytes;
    private final Measured messages;
    private final Measured reads;
    private final Measured joins;
    private final Measured reductions;
    private double copied = Double.POSITIVE_INFINITY;

    Size(long bytes) {
      this.bytes = bytes;
      this.messages = new Measured(messages(bytes));
      this.joins = new Measured(joins(bytes));
      this.reductions = topology.peerMemory() ? new Measured(reductions(bytes)) : joins;
      this.reads = topology.peerMemory() ? new Measured(reads(bytes)) : messages;
    }

    void again() {
      copied = Math.min(copied, meter.copyNanos(bytes));
      messages.again();
      joins.again();
      if (topology.peerMemory()) {
        reads.again();
        reductions.again();
      }
    }

    void solve() {
      copy = Math.max(LEAST_NANOS_PER_BYTE, (copied - start) / bytes);
      messages.solve(LEAST_NANOS_PER_BYTE, wire, x -> wire = x);
      joins.solve(LEAST_NANOS_PER_BYTE, join, x -> join = x);
      read = wire;
      if (topology.peerMemory()) {
        solveReads();
      }
    }

    /// Copies from peers and reductions with theirs are not equally fast: the middle serves both.
    private void solveReads() {
      reads.solve(LEAST_NANOS_PER_BYTE, read, x -> read = x);
      double copying = read;
      reductions.solve(LEAST_NANOS_PER_BYTE, read, x -> read = x);
      read = Math.sqrt(copying * Math.clamp(read, copying / MOST_APART, copying * MOST_APART));
    }
  }

  /// What does not depend on sizes. A call and a step are told apart by schedules of few steps and
  /// of many, a message's latency from its bytes by two lengths.
  private void latencies() {
    for (int round = 0; round < ROUNDS; round++) {
      many.solve(LEAST_NANOS, step, x -> step = x);
      few.solve(0, start, x -> start = x);
    }
    if (topology.peerMemory()) {
      touch.solve(LEAST_NANOS, signal, x -> signal = x);
    }
    for (int round = 0; round < ROUNDS; round++) {
      far.solve(LEAST_NANOS_PER_BYTE, wire, x -> wire = x);
      near.solve(LEAST_NANOS, message, x -> message = x);
    }
    shortMessage = message;
    if (topology.peerMemory()) {
      brief.solve(LEAST_NANOS, shortMessage, x -> shortMessage = x);
    }
  }

  private double predicted(Schedule schedule) {
    Fabric links = fabric(rate(copy), rate(join), rate(wire), rate(read));
    return Simulator.run(schedule, LinkTable.stated(links).fabric(topology, false)).nanos();
  }

  private static Rates rate(double nanosPerByte) {
    return Rates.constant(1e9 / nanosPerByte);
  }

  private Fabric fabric(Rates copies, Rates joins, Rates wires, Rates reads) {
    Level links =
        new Level(
            topology.peerMemory() ? "memory" : "network",
            Level.ALL,
            message,
            topology.peerMemory() ? SHORT_BYTES : 0,
            shortMessage,
            topology.peerMemory() ? signal : message,
            wires,
            reads,
            uplink > 0 ? 1e9 / uplink : 0);
    return new Fabric(name, new Compute(start, step, copies, joins, true), List.of(links));
  }

  /// Steps of the rank alone, of one element each.
  private Schedule localSteps(int number) {
    CollectiveRequest request = CollectiveRequest.sendReceive(DType.F32, number, false, topology);
    return Schedule.of(
        "local-steps",
        request,
        rank -> {
          List<Step> steps = new ArrayList<>();
          for (int i = 0; i < number; i++) {
            steps.add(
                new Step.Copy(
                    new Range(rank, new Space.Input(0), i, 1),
                    new Range(rank, new Space.Output(), i, 1)));
          }
          return steps;
        },
        _ -> List.of(),
        _ -> 0);
  }

  /// Messages of every rank to the next; where hosts run several ranks of the first one of each,
  /// lest a rank has one slow partner and one fast one.
  private Schedule messages(long bytes) {
    return hostRanks() > 1 ? fromHostToHost(bytes, 1) : exchange(new MessageSendReceive(), bytes);
  }

  private Schedule reads(long bytes) {
    return exchange(new DirectSendReceive(), bytes);
  }

  private Schedule exchange(Algorithm algorithm, long bytes) {
    long elements = bytes / DType.F32.bytes();
    return algorithm.schedule(CollectiveRequest.sendReceive(DType.F32, elements, false, topology));
  }

  /// Messages from host to host, of some ranks each, between hosts that have so many.
  ///
  /// @param senders how many of each host's ranks take part: the first one, or all that can
  private Schedule fromHostToHost(long bytes, int senders) {
    long elements = bytes / DType.F32.bytes();
    CollectiveRequest request = CollectiveRequest.sendReceive(DType.F32, elements, false, topology);
    int size = hostRanks();
    int hosts = (topology.ranks() - senders) / size + 1;
    int idle = senders < size ? senders : hosts * size; // the first one
    return Schedule.of(
        "from-host-to-host",
        request,
        rank -> {
          int place = rank % size;
          int host = rank / size;
          return place >= senders || host >= hosts
              ? List.of()
              : List.of(
                  new Step.Receive(
                      Math.floorMod(host - 1, hosts) * size + place,
                      new Range(rank, new Space.Output(), 0, elements)),
                  new Step.Send(
                      (host + 1) % hosts * size + place,
                      new Range(rank, new Space.Input(0), 0, elements)));
        },
        _ -> List.of(),
        rank -> rank % size < senders && rank / size < hosts ? 0 : idle);
  }

  /// Joins of the rank alone.
  private Schedule joins(long bytes) {
    CollectiveRequest request = allReduce(bytes, false);
    return Schedule.of(
        "local-join",
        request,
        rank -> {
          Range in = new Range(rank, new Space.Input(0), 0, request.total());
          Range out = new Range(rank, new Space.Output(), 0, request.total());
          return List.of(
              new Step.Reduce(
                  out, new JoinTree.Node(new JoinTree.Leaf(in), new JoinTree.Leaf(out))));
        },
        _ -> List.of(),
        _ -> 0);
  }

  private Schedule reductions(long bytes) {
    return new DirectAllReduce().schedule(allReduce(bytes, true));
  }

  private CollectiveRequest allReduce(long bytes, boolean inPlace) {
    return CollectiveRequest.allReduce(
        DType.F32,
        new ReduceOp.Sum(),
        bytes / DType.F32.bytes(),
        inPlace,
        topology,
        LaneSplit.onePerRank(topology.ranks()),
        Mode.SAME_BITS);
  }
}
