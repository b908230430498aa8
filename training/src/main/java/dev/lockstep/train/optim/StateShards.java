package dev.lockstep.train.optim;

import dev.lockstep.graph.Composite.Split;
import dev.lockstep.graph.Composite.SquaredNorm;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.nn.Parameter;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;

/// How the optimizer's state is cut over the ranks of the data axis (ZeRO): each rank has a
/// contiguous run of the parameters' elements, in program order, or of those of each unit.
///
/// Cuts lie where leaves of the global norm's tree end, so that every leaf is one rank's: at chunks
/// of a block whose elements lie side by side, else at rows where the chunks of all blocks end,
/// else at whole tensors. Runs are as even as such cuts allow.
public final class StateShards {
  private final List<List<Parameter>> units;
  private final List<Parameter> parameters;
  private final StepPlace place;
  private final List<List<List<Piece>>> byRank = new ArrayList<>(); // then by unit

  /// A run of what a rank holds of one parameter where layers are split.
  ///
  /// @param parameter the parameter
  /// @param start first element
  /// @param elements length
  public record Piece(Parameter parameter, long start, long elements) {
    /// Returns the element after the last.
    public long end() {
      return start + elements;
    }
  }

  private StateShards(List<List<Parameter>> units, StepPlace place) {
    this.units = units.stream().map(List::copyOf).toList();
    this.parameters = units.stream().flatMap(List::stream).toList();
    this.place = place;
  }

  /// Returns one shard that is everything.
  public static StateShards whole(List<Parameter> parameters, StepPlace place) {
    StateShards shards = new StateShards(List.of(parameters), place);
    List<Piece> all = new ArrayList<>();
    parameters.forEach(p -> all.add(new Piece(p, 0, place.localShape(p).elements())));
    shards.byRank.add(List.of(List.copyOf(all)));
    return shards;
  }

  /// Cuts the state unit by unit, so that every unit is spread over the ranks; what a cut within
  /// one unit leaves uneven those of the next make up for.
  ///
  /// @param units runs of the parameters, in program order
  /// @param shared parameters that others cut too: units of them come first, so that all cut them
  ///   alike whatever else they hold
  /// @param ranks ranks of the data axis
  public static StateShards cut(
      List<List<Parameter>> units, Set<Parameter> shared, StepPlace place, int ranks) {
    StateShards shards = new StateShards(units, place);
    for (int rank = 0; rank < ranks; rank++) {
      shards.byRank.add(new ArrayList<>(Collections.nCopies(units.size(), List.of())));
    }
    List<Integer> order = new ArrayList<>();
    IntStream.range(0, units.size()).forEach(order::add);
    order.sort(Comparator.comparing(unit -> !shared.contains(units.get(unit).getFirst())));
    long[] ends = new long[ranks]; // of elements before the unit: those of ranks up to this one
    long total = 0;
    for (int unit : order) {
      List<Piece> steps = new ArrayList<>();
      units.get(unit).forEach(parameter -> shards.addUnits(parameter, steps));
      total += steps.stream().mapToLong(Piece::elements).sum();
      int step = 0;
      long done = 0;
      for (int rank = 0; rank < ranks; rank++) {
        List<Piece> held = new ArrayList<>();
        long target = total * (rank + 1) / ranks - ends[rank];
        while (step < steps.size() && isNearer(done, steps.get(step).elements, target)) {
          done += steps.get(step).elements;
          add(held, steps.get(step++));
        }
        ends[rank] += done;
        shards.byRank.get(rank).set(unit, List.copyOf(held));
      }
    }
    return shards;
  }

  /// Whether a border after the next unit is no farther from `target` than one before it.
  private static boolean isNearer(long done, long elements, long target) {
    return Math.abs(done + elements - target) <= Math.abs(target - done);
  }

  private static void add(List<Piece> held, Piece unit) {
    Piece last = held.isEmpty() ? null : held.getLast();
    if (last != null && last.parameter.equals(unit.parameter)) {
      held.set(
          held.size() - 1, new Piece(last.parameter, last.start, last.elements + unit.elements));
    } else {
      held.add(unit);
    }
  }

  private void addUnits(Parameter parameter, List<Piece> units) {
    long elements = place.localShape(parameter).elements();
    Split split = parameter.split();
    long step;
    long within;
    if (isContiguous(split)) {
      step = SquaredNorm.CHUNK;
      within = elements / place.localBlocks(parameter);
    } else {
      Shape shape = place.localShape(parameter);
      long rows = 1;
      for (int dim = 0; dim < split.dim(); dim++) {
        rows *= shape.dim(dim);
      }
      long row = elements / rows;
      long perBlock = row / place.localBlocks(parameter);
      step = SquaredNorm.CHUNK / gcd(perBlock, SquaredNorm.CHUNK) * row;
      within = elements;
    }
    for (long block = 0; block < elements; block += within) {
      for (long start = 0; start < within; start += step) {
        units.add(new Piece(parameter, block + start, Math.min(step, within - start)));
      }
    }
  }

  private static long gcd(long a, long b) {
    return b == 0 ? a : gcd(b, a % b);
  }

  /// Whether the elements of each block lie side by side.
  static boolean isContiguous(Split split) {
    return split.equals(Split.NONE) || (split.dim() == 0 && split.blocks().outer() == 1);
  }

  /// Returns the parameters, in program order.
  List<Parameter> parameters() {
    return parameters;
  }

  StepPlace place() {
    return place;
  }

  /// Returns the number of shards.
  public int ranks() {
    return byRank.size();
  }

  /// Returns a rank's run, in program order.
  public List<Piece> pieces(int rank) {
    return byRank.get(rank).stream().flatMap(List::stream).toList();
  }

  /// Returns a rank's run of one unit.
  public List<Piece> pieces(int rank, int unit) {
    return byRank.get(rank).get(unit);
  }

  /// Returns the runs of parameters that are cut by themselves; one of all of them unless the state
  /// was cut by units.
  public List<List<Parameter>> units() {
    return units;
  }
}
