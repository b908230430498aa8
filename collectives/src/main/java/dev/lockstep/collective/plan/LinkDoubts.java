package dev.lockstep.collective.plan;

import dev.lockstep.collective.simulate.Compute;
import dev.lockstep.collective.simulate.Fabric;
import dev.lockstep.collective.simulate.Level;
import dev.lockstep.collective.simulate.PeerRates;
import dev.lockstep.collective.simulate.Rates;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// What constants cannot be those of links but of a machine that was busy with something else, or
/// of code that no compiler had seen. They are not kept.
public final class LinkDoubts {
  /// Between the two threads of one core a line takes some 20 ns.
  private static final double LEAST_LINE_NANOS = 5;

  private static final double MOST_SIGNAL_NANOS = 2_000;
  private static final double MOST_MESSAGE_NANOS = 50_000;

  /// Ranks that share a core hand it over in one to four microseconds, and a signal waits for a few
  /// turns of all of them. Where others compute on the core too each turn takes a slice of the
  /// scheduler's, milliseconds.
  private static final double MOST_TURN_NANOS = 25_000;

  /// As [#MOST_TURN_NANOS], of a longer message.
  private static final double MOST_MESSAGE_TURN_NANOS = 100_000;

  /// Joins move three bytes where a copy moves two, and compute next to nothing. Before they are
  /// compiled they take ten times as long and more.
  private static final double SLOWER = 3;

  /// What is left of a short size's time beside calls and signals is small, and its rate anything
  /// above the true one; not a tenth of what longer ones reach.
  private static final double RISES = 10;

  /// Buffers of all ranks from which a rate is compared with those of longer ones.
  private static final long BRIEF_BYTES = 32 << 10;

  /// Buffers of all ranks from which rates are compared: of shorter ones a call takes most of the
  /// time.
  private static final long RATED_BYTES = 256 << 10;

  /// Buffers of all ranks that no core has in a cache of its own.
  private static final long FAR_BYTES = 32 << 20;

  /// What a core does with lines that it has; where ranks share cores a rate of a peer's memory may
  /// be hidden behind turns, and is found to be anything above.
  private static final double HIDDEN_BYTES_PER_SECOND = 100e9;

  private LinkDoubts() {}

  /// Returns why constants cannot be believed, or nothing if they can: where every rank has a core
  /// to itself a signal, and a message beside one, take far less than a scheduler, where ranks
  /// share cores no longer than their turns, and nothing takes less than a line from cache to
  /// cache. What has hidden it was the time of a call, or a rate. Nor are joins slower than copies
  /// by far, or no faster in a core's cache than beyond, nor is a peer's memory slower by far where
  /// there is less of it.
  ///
  /// @param ranks of a host
  /// @param eachHasACore whether there is a core for each of them
  public static Optional<String> of(Fabric fabric, int ranks, boolean eachHasACore) {
    Level links = fabric.levels().getFirst();
    Optional<String> late =
        eachHasACore
            ? ofLatencies(links, MOST_SIGNAL_NANOS, MOST_MESSAGE_NANOS)
            : ofLatencies(links, ranks * MOST_TURN_NANOS, ranks * MOST_MESSAGE_TURN_NANOS);
    return late.or(() -> ofRates(fabric));
  }

  /// As [#of(Fabric, int, boolean)], of a table on the host that it holds for: what was measured,
  /// or was kept.
  ///
  /// @param ranks of the job
  /// @param localRanks of them on this host
  /// @param eachHasACore whether there is a core for each of those on this host
  public static Optional<String> of(
      LinkTable table, int ranks, int localRanks, boolean eachHasACore) {
    Fabric all = table.fabric();
    return of(all, ranks, eachHasACore && ranks == localRanks)
        .or(
            () ->
                table
                    .near()
                    .map(level -> new Fabric(all.name(), all.compute(), List.of(level)))
                    .flatMap(near -> of(near, localRanks, eachHasACore)));
  }

  /// Over a wire latencies may be whatever they like.
  private static Optional<String> ofLatencies(Level links, double mostSignal, double mostMessage) {
    boolean timely =
        links.shortBytes() == 0
            || (isBetween(links.signalNanos(), mostSignal)
                && isBetween(links.shortNanos(), mostSignal)
                && isBetween(links.messageNanos(), mostMessage));
    return timely
        ? Optional.empty()
        : Optional.of(
            "machine was busy, or ranks shared a core: signalNanos=%.1f, shortNanos=%.1f, messageNanos=%.1f, mostSignalNanos=%.0f, mostMessageNanos=%.0f"
                .formatted(
                    links.signalNanos(),
                    links.shortNanos(),
                    links.messageNanos(),
                    mostSignal,
                    mostMessage));
  }

  private static boolean isBetween(double nanos, double most) {
    return nanos > LEAST_LINE_NANOS && nanos < most;
  }

  private static Optional<String> ofRates(Fabric fabric) {
    Compute compute = fabric.compute();
    Level links = fabric.levels().getFirst();
    return slower("join", compute.join(), "copy", compute.copy())
        .or(() -> slower("joinPeer", links.memory().join(), "read", seen(links.memory().read())))
        .or(() -> flat("join", compute.join()))
        .or(() -> dip("copy", compute.copy()))
        .or(() -> dip("join", compute.join()))
        .or(() -> disturbed("read", links.memory().read(), links))
        .or(() -> disturbed("fetch", links.memory().fetch(), links))
        .or(() -> disturbed("joinPeer", links.memory().join(), links))
        .or(() -> disturbed("spread", links.memory().spread(), links))
        .or(() -> disturbed("write", links.memory().write(), links))
        .or(() -> disturbed("swap", links.memory().swap(), links));
  }

  /// Over a wire short messages may be as much slower as they like.
  private static Optional<String> disturbed(String name, Rates rates, Level links) {
    Rates capped = capped(rates);
    Optional<String> dip = dip(name, capped);
    return links.shortBytes() == 0 ? dip : dip.or(() -> rise(name, capped));
  }

  private static Rates capped(Rates rates) {
    return new Rates(
        rates.points().stream()
            .map(
                point ->
                    new Rates.Point(
                        point.workingSetBytes(),
                        Math.min(point.bytesPerSecond(), HIDDEN_BYTES_PER_SECOND)))
            .toList());
  }

  /// Returns the rates that turns on a core do not hide: of what is hidden nothing is known.
  private static Rates seen(Rates rates) {
    List<Rates.Point> seen =
        rates.points().stream()
            .filter(point -> point.bytesPerSecond() < HIDDEN_BYTES_PER_SECOND)
            .toList();
    return seen.isEmpty() ? Rates.constant(HIDDEN_BYTES_PER_SECOND) : new Rates(seen);
  }

  private static Optional<String> slower(String name, Rates rates, String than, Rates others) {
    for (long bytes : rated(others)) {
      double nanos = rates.nanosPerByte(bytes);
      double least = others.nanosPerByte(bytes);
      if (nanos > SLOWER * least) {
        return Optional.of(
            "code was not compiled: workingSetBytes=%d, %s=%.2f GB/s, %s=%.2f GB/s"
                .formatted(bytes, name, 1 / nanos, than, 1 / least));
      }
    }
    return Optional.empty();
  }

  private static Optional<String> flat(String name, Rates rates) {
    List<Long> sizes = rated(rates);
    if (sizes.isEmpty() || sizes.getLast() < FAR_BYTES) {
      return Optional.empty();
    }
    double far = rates.nanosPerByte(sizes.getLast());
    double least = sizes.stream().mapToDouble(rates::nanosPerByte).min().orElse(0);
    return least < far
        ? Optional.empty()
        : Optional.of(
            "code was not compiled: %s is fastest beyond the caches, at %.2f GB/s, workingSetBytes=%d"
                .formatted(name, 1 / far, sizes.getLast()));
  }

  /// No cache is slower by far than the one below it and the one above.
  private static Optional<String> dip(String name, Rates rates) {
    List<Long> sizes = rated(rates);
    for (int i = 1; i < sizes.size() - 1; i++) {
      if (isDip(rates, sizes, i)) {
        return Optional.of(
            "one size was disturbed: workingSetBytes=%d, %s=%.2f GB/s, shorter=%.2f GB/s, longer=%.2f GB/s"
                .formatted(
                    sizes.get(i),
                    name,
                    1 / rates.nanosPerByte(sizes.get(i)),
                    1 / rates.nanosPerByte(sizes.get(i - 1)),
                    1 / rates.nanosPerByte(sizes.get(i + 1))));
      }
    }
    return Optional.empty();
  }

  private static boolean isDip(Rates rates, List<Long> sizes, int place) {
    double shorter = rates.nanosPerByte(sizes.get(place - 1));
    double longer = rates.nanosPerByte(sizes.get(place + 1));
    return rates.nanosPerByte(sizes.get(place)) > SLOWER * Math.max(shorter, longer);
  }

  /// Returns constants without the rates of single sizes that were disturbed: between its
  /// neighbors, which are faster by far, a rate is nearer to the true one than what was measured.
  static Fabric withoutDips(Fabric fabric) {
    Compute compute = fabric.compute();
    Level links = fabric.levels().getFirst();
    PeerRates memory = links.memory();
    List<Level> levels = new ArrayList<>(fabric.levels());
    PeerRates mendedMemory =
        new PeerRates(
            withoutLinkDips(memory.read()),
            withoutLinkDips(memory.fetch()),
            withoutLinkDips(memory.join()),
            withoutLinkDips(memory.spread()),
            withoutLinkDips(memory.write()),
            withoutLinkDips(memory.swap()));
    levels.set(0, links.withRates(withoutLinkDips(links.bandwidth()), mendedMemory));
    Compute mended =
        compute.withRates(
            withoutDips(compute.copy(), compute.copy()),
            withoutDips(compute.join(), compute.join()));
    return new Fabric(fabric.name(), mended, levels);
  }

  /// As the rates of links are doubted: turns on a core may hide any.
  private static Rates withoutLinkDips(Rates rates) {
    return withoutDips(rates, capped(rates));
  }

  private static Rates withoutDips(Rates rates, Rates judged) {
    List<Long> sizes = rated(judged);
    List<Rates.Point> points = new ArrayList<>(rates.points());
    for (int i = 1; i < sizes.size() - 1; i++) {
      if (isDip(judged, sizes, i)) {
        long disturbed = sizes.get(i);
        points.removeIf(point -> point.workingSetBytes() == disturbed);
      }
    }
    return new Rates(points);
  }

  /// No size is a tenth as fast as a longer one.
  private static Optional<String> rise(String name, Rates rates) {
    List<Long> sizes = from(BRIEF_BYTES, rates);
    double fastest = Double.POSITIVE_INFINITY; // of those that are longer
    for (long bytes : sizes.reversed()) {
      double nanos = rates.nanosPerByte(bytes);
      if (nanos > RISES * fastest) {
        return Optional.of(
            "short sizes were disturbed: workingSetBytes=%d, %s=%.2f GB/s, longer=%.2f GB/s"
                .formatted(bytes, name, 1 / nanos, 1 / fastest));
      }
      fastest = Math.min(fastest, nanos);
    }
    return Optional.empty();
  }

  private static List<Long> rated(Rates rates) {
    return from(RATED_BYTES, rates);
  }

  private static List<Long> from(long least, Rates rates) {
    return rates.points().stream()
        .map(Rates.Point::workingSetBytes)
        .filter(bytes -> bytes >= least)
        .toList();
  }
}
