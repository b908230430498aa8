package dev.lockstep.collective.plan;

import dev.lockstep.collective.request.Topology;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.simulate.Compute;
import dev.lockstep.collective.simulate.Fabric;
import dev.lockstep.collective.simulate.Level;
import dev.lockstep.collective.simulate.PeerRates;
import dev.lockstep.collective.simulate.Rates;
import dev.lockstep.collective.simulate.Simulator;
import java.util.ArrayList;
import java.util.Collection;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.function.BooleanSupplier;
import java.util.function.DoubleConsumer;
import java.util.function.Function;

/// Finds the constants of links by measuring a few schedules: each constant is set so that the
/// simulator takes as long for a schedule as it took. One after another: what steps and signals
/// cost, what messages cost, and, size by size, how fast ranks copy, join and send, and how fast
/// each use of a peer's memory is. Where ranks share cores all of them are at work, so that sharing
/// is in the constants. How fast a rank sends is measured with one sender per host; where hosts run
/// several ranks, what these carry together is measured too.
///
/// All ranks measure the same numbers, so all find the same constants.
public final class LinkFit {
  /// Bytes of a rank's buffers at which rates are measured: this, and each the next times
  /// [#FACTOR].
  static final long LEAST_BYTES = 4 << 10;

  static final int FACTOR = 4;

  /// Up to this size schedules are run again and again before any is measured: their loops are
  /// those of larger ones.
  private static final long WARM_BYTES = 64 << 10;

  /// Up to this size schedules are measured until they become no faster.
  private static final long BRIEF_BYTES = 256 << 10;

  private static final int SHORT_BYTES = Schedule.SHORT_BYTES;
  private static final int MANY = 64;
  private static final int FEW = 8;
  private static final double LEAST_NANOS = 0.1;
  private static final double LEAST_NANOS_PER_BYTE = 1e-4;
  private static final double GUESS = 0.1;
  private static final int TRIALS = 5;
  private static final int ROUNDS = 4;

  /// A batch has become faster if anything in it takes less than this part of its least time.
  private static final double FELL = 0.9;

  /// Turns in which a batch must not have become faster.
  private static final int QUIET = 2;

  private static final int MOST_TURNS = 10;

  /// Turns of everything, at most, after which what is doubted still may be.
  private static final int DOUBTED_TURNS = 3;

  /// Place among the sizes of the one at which all ranks of a host send at once: 1 MiB, which take
  /// far longer than a message's latency, and on a slow wire not too long.
  private static final int SHARED_SIZE = 4;

  /// Ranks of a host whose messages take this much longer together than alone share a cable.
  private static final double LONGER = 1.1;

  /// What takes a time per byte, in the order in which it is found: of what is measured for each,
  /// it alone has not been found before.
  private enum Sort {
    COPY,
    WIRE,
    JOIN,
    READ,
    PEER_JOIN,
    SPREAD,
    WRITE,
    FETCH,
    SWAP
  }

  private final String name;
  private final Topology topology;
  private final FitSchedules schedules;
  private final LinkMeter meter;
  private final List<Measured> calls = new ArrayList<>();
  private final Measured many;
  private final Measured few;
  private final Measured touch;
  private final Measured near;
  private final Measured far;
  private final Measured brief;
  private final Map<Sort, Double> perByte = new EnumMap<>(Sort.class);
  private double start;
  private double step = 10;
  private double message = 1_000;
  private double shortMessage = 200;
  private double signal = 100;

  /// Nanoseconds per byte of all ranks of a host together, 0 if they share nothing.
  private double uplink;

  private LinkFit(String name, Topology topology, LinkMeter meter) {
    this.name = name;
    this.topology = topology;
    this.schedules = new FitSchedules(topology);
    this.meter = meter;
    this.many = call(schedules.localSteps(MANY));
    this.few = call(schedules.localSteps(FEW));
    this.near = call(schedules.messages(2 * SHORT_BYTES));
    this.far = call(schedules.messages(16 * SHORT_BYTES));
    this.brief = call(schedules.messages(SHORT_BYTES / 4));
    this.touch =
        call(topology.peerMemory() ? schedules.touches() : schedules.messages(SHORT_BYTES));
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

  /// Returns what is measured at one size.
  ///
  /// @param bytes of a rank's buffers: of messages, and where a schedule is in place; half as many
  ///   each where an input and an output are apart
  private static Map<Sort, Schedule> schedules(FitSchedules schedules, long bytes) {
    Map<Sort, Schedule> all = new EnumMap<>(Sort.class);
    all.put(Sort.WIRE, schedules.messages(bytes));
    all.put(Sort.JOIN, schedules.joins(bytes));
    if (schedules.topology().peerMemory()) {
      all.put(Sort.READ, schedules.reads(bytes));
      all.put(Sort.PEER_JOIN, schedules.peerJoins(bytes));
      all.put(Sort.SPREAD, schedules.spreads(bytes, true));
      all.put(Sort.WRITE, schedules.spreads(bytes / 2, false));
      all.put(Sort.FETCH, schedules.fetches(bytes));
      all.put(Sort.SWAP, schedules.swaps(bytes));
    }
    return all;
  }

  private Fabric fit(long mostBytes) {
    List<Size> sizes = new ArrayList<>();
    for (long bytes = LEAST_BYTES; bytes <= mostBytes; bytes *= FACTOR) {
      sizes.add(new Size(bytes));
    }
    Size shared = sizes.get(Math.min(SHARED_SIZE, sizes.size() - 1));
    Measured together = new Measured(schedules.fromHostToHost(shared.bytes, schedules.sharers()));
    measure(sizes, together);
    Fabric fitted = solve(sizes, shared, together);
    if (isDoubted(fitted) && meter.hasTime()) {
      measure(sizes, together);
      fitted = solve(sizes, shared, together);
    }
    for (int turn = 0; turn < DOUBTED_TURNS && isDoubted(fitted) && meter.hasPatience(); turn++) {
      turn(sizes, together);
      fitted = solve(sizes, shared, together);
    }
    return isDoubted(fitted) ? LinkDoubts.withoutDips(fitted) : fitted;
  }

  private boolean isDoubted(Fabric fitted) {
    return LinkDoubts.of(fitted, topology.ranks(), meter.eachHasACore()).isPresent();
  }

  /// Measures what is short until it has settled, then what is long, whose loops are the same, and
  /// then everything once more, at least what is short and what ranks of a host carry together, one
  /// schedule: what counts is the least time of each, so that nothing rests on one moment, and what
  /// settled before its code was compiled is measured by that too.
  private void measure(List<Size> sizes, Measured together) {
    warmUp(sizes);
    List<Size> shorter = new ArrayList<>();
    List<Size> longer = new ArrayList<>();
    List<BooleanSupplier> brief = new ArrayList<>();
    for (Size size : sizes) {
      if (size.bytes <= BRIEF_BYTES) {
        shorter.add(size);
        brief.add(size::again);
      } else {
        longer.add(size);
      }
    }
    brief.add(() -> again(calls));
    settle(brief);
    measureEach(longer, together);
    meter.exercise(calls.stream().map(it -> it.schedule).toList());
    turn(meter.hasPatience() ? sizes : shorter, together);
  }

  private void turn(List<Size> sizes, Measured together) {
    var _ = again(calls);
    measureEach(sizes, together);
  }

  private void measureEach(List<Size> sizes, Measured together) {
    for (Size size : sizes) {
      var _ = size.again();
    }
    if (schedules.sharers() > 1) {
      var _ = again(List.of(together));
    }
  }

  private void warmUp(List<Size> sizes) {
    List<Schedule> brief = new ArrayList<>();
    calls.forEach(it -> brief.add(it.schedule));
    for (Size size : sizes) {
      if (size.bytes <= WARM_BYTES) {
        size.measured.values().forEach(it -> brief.add(it.schedule));
      }
    }
    meter.warmUp(brief);
  }

  /// Measures batches in turn, each until it has become no faster in [#QUIET] turns: what code has
  /// been warmed up may still be compiled, and something else may have slowed it down.
  ///
  /// @param batches each measures, and returns whether it has become faster
  private void settle(List<BooleanSupplier> batches) {
    int[] quiet = new int[batches.size()];
    boolean settled = false;
    for (int turn = 0; !settled && turn < MOST_TURNS && (turn == 0 || meter.hasTime()); turn++) {
      settled = true;
      for (int i = 0; i < quiet.length; i++) {
        if (quiet[i] < QUIET) {
          quiet[i] = batches.get(i).getAsBoolean() ? 0 : quiet[i] + 1;
          settled &= quiet[i] == QUIET;
        }
      }
    }
  }

  private Fabric solve(List<Size> sizes, Size shared, Measured together) {
    uplink = 0;
    latencies();
    int ranks = schedules.hostRanks() > 1 ? schedules.hostRanks() : topology.ranks();
    double sharedNanos = 0;
    Map<Sort, List<Rates.Point>> points = new EnumMap<>(Sort.class);
    for (Size size : sizes) {
      size.solve();
      if (size == shared && schedules.hostRanks() > 1) {
        sharedNanos = sharing(together);
      }
      for (Sort sort : perByte.keySet()) {
        points
            .computeIfAbsent(sort, _ -> new ArrayList<>())
            .add(new Rates.Point(size.bytes * ranks, 1e9 / perByte(sort)));
      }
    }
    uplink = sharedNanos;
    return fabric(sort -> new Rates(points.getOrDefault(sort, List.of())));
  }

  private boolean again(Collection<Measured> all) {
    double[] nanos = meter.nanos(all.stream().map(it -> it.schedule).toList());
    boolean fell = false;
    int at = 0;
    for (Measured each : all) {
      fell |= nanos[at] < FELL * each.nanos;
      each.nanos = Math.min(each.nanos, nanos[at++]);
    }
    return fell;
  }

  private double perByte(Sort sort) {
    return perByte.getOrDefault(sort, GUESS);
  }

  /// Returns what a byte takes where all ranks of a host send at once, 0 if no longer than each
  /// rank's takes alone: then they share nothing. A rank alone has sent and received in turn, so an
  /// uplink that carries both ways at once takes at most twice as long for a byte as it did. Where
  /// some had to be left out and the others are no slower together, all are taken to share a cable
  /// that is as fast as one rank.
  private double sharing(Measured together) {
    double alone = 2 * perByte(Sort.WIRE);
    int sharers = schedules.sharers();
    double found = 0;
    if (sharers > 1) {
      double most = (sharers - 1) * alone;
      together.solve(
          0, perByte(Sort.WIRE), more -> uplink = (alone + Math.min(more, most)) / sharers);
      found = uplink;
      uplink = 0;
    }
    if (found * sharers > LONGER * alone) {
      return found;
    }
    return sharers < schedules.hostRanks() ? perByte(Sort.WIRE) : 0;
  }

  /// A schedule and its time.
  private final class Measured {
    private final Schedule schedule;
    private double nanos = Double.POSITIVE_INFINITY;

    Measured(Schedule schedule) {
      this.schedule = schedule;
    }

    /// Sets a time per byte so that the schedule takes as long as measured.
    void solve(Sort sort) {
      solve(LEAST_NANOS_PER_BYTE, perByte(sort), x -> perByte.put(sort, x));
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
    private final Map<Sort, Measured> measured = new EnumMap<>(Sort.class);
    private double copied = Double.POSITIVE_INFINITY;

    Size(long bytes) {
      this.bytes = bytes;
      schedules(schedules, bytes).forEach((sort, it) -> measured.put(sort, new Measured(it)));
    }

    boolean again() {
      copied = Math.min(copied, meter.copyNanos(bytes / 2));
      return LinkFit.this.again(measured.values());
    }

    void solve() {
      perByte.put(Sort.COPY, Math.max(LEAST_NANOS_PER_BYTE, (copied - start) * 2 / bytes));
      measured.forEach((sort, schedule) -> schedule.solve(sort));
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
      far.solve(Sort.WIRE);
      near.solve(LEAST_NANOS, message, x -> message = x);
    }
    shortMessage = message;
    if (topology.peerMemory()) {
      brief.solve(LEAST_NANOS, shortMessage, x -> shortMessage = x);
    }
  }

  private double predicted(Schedule schedule) {
    Fabric links = fabric(sort -> Rates.constant(1e9 / perByte(sort)));
    return Simulator.run(schedule, LinkTable.stated(links).fabric(topology, false)).nanos();
  }

  private Fabric fabric(Function<Sort, Rates> rates) {
    boolean peerMemory = topology.peerMemory();
    Rates wire = rates.apply(Sort.WIRE);
    PeerRates memory =
        peerMemory
            ? new PeerRates(
                rates.apply(Sort.READ),
                rates.apply(Sort.FETCH),
                rates.apply(Sort.PEER_JOIN),
                rates.apply(Sort.SPREAD),
                rates.apply(Sort.WRITE),
                rates.apply(Sort.SWAP))
            : PeerRates.of(wire);
    Level links =
        new Level(
            peerMemory ? "memory" : "network",
            Level.ALL,
            message,
            peerMemory ? SHORT_BYTES : 0,
            shortMessage,
            peerMemory ? signal : message,
            wire,
            memory,
            uplink > 0 ? 1e9 / uplink : 0);
    Compute compute =
        new Compute(start, step, rates.apply(Sort.COPY), rates.apply(Sort.JOIN), true);
    return new Fabric(name, compute, List.of(links));
  }
}
