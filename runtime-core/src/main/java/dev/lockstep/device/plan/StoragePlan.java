package dev.lockstep.device.plan;

import dev.lockstep.graph.Graph;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.Tensor;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.ToLongFunction;
import org.jspecify.annotations.Nullable;

/// Where each value of a graph lies: in an input's memory, in an output's, or at an offset of the
/// arena that no other value needs at the same time.
///
/// Values that share memory (a reshape and what it shows, an element-wise result and an operand
/// that ends there) are one **storage**, named by one of its values. Made once, then read only.
public final class StoragePlan {
  /// What places within the arena are aligned to, in bytes.
  public static final long ALIGNMENT = 64;

  /// A storage's place.
  public sealed interface Place {
    /// The memory that is bound to an input.
    ///
    /// @param index position among the graph's inputs
    record Input(int index) implements Place {}

    /// The memory that is bound to an output.
    ///
    /// @param index position among the graph's outputs
    record Output(int index) implements Place {}

    /// A range of the arena.
    ///
    /// @param offset first byte, aligned to [#ALIGNMENT]
    record Arena(long offset) implements Place {}
  }

  /// A value that is copied to an output once all else is done.
  ///
  /// @param value the value
  /// @param output position among the graph's outputs
  public record Copy(int value, int output) {}

  /// An input's value that is put aside at the start since its memory will be overwritten.
  ///
  /// @param input position among the graph's inputs
  /// @param value number of the saved value, beyond those of the graph
  public record Save(int input, int value) {}

  private final Graph graph;
  private final List<? extends PlannedUnit> units;
  private final int[] parent;
  private final int[] born;
  private final int[] lastRead;
  private final long[] bytes;
  private final @Nullable Place[] places;
  private final List<Copy> copies = new ArrayList<>();
  private final List<Save> saves = new ArrayList<>();
  private int values;
  private long arenaBytes;

  private StoragePlan(Graph graph, List<? extends PlannedUnit> units) {
    this.graph = graph;
    this.units = units;
    values = graph.valueCount();
    int most = values + graph.outputs().size();
    parent = new int[most];
    born = new int[most];
    lastRead = new int[most];
    bytes = new long[most];
    places = new Place[most];
  }

  /// Plans the memory of a graph.
  ///
  /// @param units what a device makes of the graph's nodes, in the order in which they run; a node
  ///   may be in none (a reshape)
  /// @throws IllegalArgumentException if two outputs take the memory of one input
  /// @throws ArithmeticException if values take more than 2^63 - 1 bytes
  public static StoragePlan of(Graph graph, List<? extends PlannedUnit> units) {
    requireOneOutputPerInput(graph);
    StoragePlan plan = new StoragePlan(graph, units);
    plan.follow();
    plan.placeInputs();
    plan.placeOutputs();
    plan.mergeInPlace();
    plan.placeRest();
    return plan;
  }

  /// Checks that no two outputs take the memory of one input: on no device could both be there.
  ///
  /// @throws IllegalArgumentException if two do
  public static void requireOneOutputPerInput(Graph graph) {
    Set<String> taken = new HashSet<>();
    for (String input : graph.aliases().values()) {
      if (!taken.add(input)) {
        throw new IllegalArgumentException(
            "two outputs take the memory of one input: graph=" + graph.name() + ", input=" + input);
      }
    }
  }

  /// Returns the number of values, saved ones included.
  public int valueCount() {
    return values;
  }

  /// Returns how many bytes the arena needs.
  public long arenaBytes() {
    return arenaBytes;
  }

  /// Returns what is copied at the end.
  public List<Copy> copies() {
    return Collections.unmodifiableList(copies);
  }

  /// Returns what is copied at the start.
  public List<Save> saves() {
    return Collections.unmodifiableList(saves);
  }

  /// Returns where every value lies once tensors and an arena are bound: those of the values by
  /// number, 0 for one that nothing writes, then those of the outputs in order.
  ///
  /// @param arena address of at least [#arenaBytes]
  /// @param address of a tensor's first element
  public long[] addresses(Binding binding, long arena, ToLongFunction<Tensor> address) {
    long[] addresses = new long[values + graph.outputs().size()];
    for (int value = 0; value < values; value++) {
      Place place = place(value);
      if (place != null) {
        addresses[value] =
            switch (place) {
              case Place.Input(int index) -> address.applyAsLong(binding.inputs().get(index));
              case Place.Output(int index) -> address.applyAsLong(binding.outputs().get(index));
              case Place.Arena(long offset) -> arena + offset;
            };
      }
    }
    for (int i = 0; i < binding.outputs().size(); i++) {
      addresses[values + i] = address.applyAsLong(binding.outputs().get(i));
    }
    return addresses;
  }

  /// Returns where a value lies; null if nothing writes it.
  public @Nullable Place place(int value) {
    return places[root(value)];
  }

  private int root(int value) {
    int root = value;
    while (parent[root] != root) {
      root = parent[root];
    }
    return root;
  }

  /// Finds sizes, views, and when each storage is first written and last read.
  private void follow() {
    for (int i = 0; i < parent.length; i++) {
      parent[i] = i;
      born[i] = -1;
      lastRead[i] = -1;
    }
    graph.inputs().forEach(input -> size(input.value()));
    for (Node node : graph.nodes()) {
      node.outputs().forEach(this::size);
      if (node.op() instanceof Primitive.Reshape) {
        parent[node.outputs().getFirst().id()] = root(node.inputs().getFirst().id());
      }
    }
    for (int i = 0; i < units.size(); i++) {
      for (Value value : units.get(i).reads()) {
        lastRead[root(value.id())] = i;
      }
      for (Value value : units.get(i).writes()) {
        int root = root(value.id());
        born[root] = i;
        lastRead[root] = Math.max(lastRead[root], i);
      }
    }
  }

  private void size(Value value) {
    bytes[value.id()] = value.type().bytes();
  }

  private void placeInputs() {
    for (int i = 0; i < graph.inputs().size(); i++) {
      places[graph.inputs().get(i).value().id()] = new Place.Input(i);
    }
  }

  private void placeOutputs() {
    for (int i = 0; i < graph.outputs().size(); i++) {
      int root = root(graph.outputs().get(i).value().id());
      int target = aliasedInput(i);
      if (places[root] instanceof Place.Input(int source)) {
        if (source != target) {
          copyInput(source, root, i);
        }
      } else if (places[root] == null && target < 0) {
        places[root] = new Place.Output(i);
      } else if (places[root] == null && mayOverwrite(target, root)) {
        places[root] = new Place.Input(target);
      } else {
        copies.add(new Copy(root, i));
        lastRead[root] = units.size();
      }
    }
  }

  /// The input whose memory output `output` takes, or -1.
  private int aliasedInput(int output) {
    String name = graph.aliases().get(graph.outputs().get(output).name());
    for (int i = 0; i < graph.inputs().size(); i++) {
      if (graph.inputs().get(i).name().equals(name)) {
        return i;
      }
    }
    return -1;
  }

  /// An output that is an input: copied at the end, from where it was put aside if another output
  /// is written into that input.
  private void copyInput(int input, int root, int output) {
    boolean overwritten = false;
    for (int i = 0; i < graph.outputs().size(); i++) {
      overwritten |= aliasedInput(i) == input && root(graph.outputs().get(i).value().id()) != root;
    }
    int from = root;
    if (overwritten) {
      from = values++;
      bytes[from] = bytes[root];
      lastRead[from] = units.size();
      saves.add(new Save(input, from));
    }
    copies.add(new Copy(from, output));
  }

  /// Whether the storage `root` may lie in an input's memory from its first write on: the input is
  /// read no more, but for the operand whose place it takes.
  private boolean mayOverwrite(int input, int root) {
    int old = root(graph.inputs().get(input).value().id());
    if (lastRead[old] > born[root] || (lastRead[old] == units.size())) {
      return false;
    }
    return lastRead[old] < born[root] || takes(units.get(born[root]), old, root);
  }

  /// Whether a result of `unit` in storage `result` may take the place of storage `operand`, which
  /// the unit reads.
  private boolean takes(PlannedUnit unit, int operand, int result) {
    boolean allowed = false;
    for (PlannedUnit.InPlace pair : unit.inPlace()) {
      allowed |=
          root(unit.reads().get(pair.operand()).id()) == operand
              && root(unit.writes().get(pair.result()).id()) == result;
    }
    long reads = unit.reads().stream().filter(value -> root(value.id()) == operand).count();
    return allowed && bytes[operand] == bytes[result] && (reads == 1 || unit.isElementWise());
  }

  private void mergeInPlace() {
    for (int i = 0; i < units.size(); i++) {
      PlannedUnit unit = units.get(i);
      Set<Integer> taken = new HashSet<>(); // by a result that nothing reads, it may seem free
      for (PlannedUnit.InPlace pair : unit.inPlace()) {
        int operand = root(unit.reads().get(pair.operand()).id());
        int result = root(unit.writes().get(pair.result()).id());
        if (operand != result
            && places[operand] == null
            && places[result] == null
            && born[result] == i
            && lastRead[operand] == i
            && takes(unit, operand, result)
            && taken.add(operand)) {
          parent[result] = operand;
          lastRead[operand] = lastRead[result];
        }
      }
    }
  }

  /// Gives every other storage an offset: greatest first, each as low as it fits.
  private void placeRest() {
    List<Integer> roots = new ArrayList<>();
    for (int value = 0; value < values; value++) {
      boolean exists = born[value] >= 0 || value >= graph.valueCount();
      if (exists && root(value) == value && places[value] == null) {
        roots.add(value);
      }
    }
    roots.sort(
        Comparator.comparingLong((Integer root) -> -bytes[root]).thenComparingInt(r -> born[r]));
    List<Integer> placed = new ArrayList<>();
    for (int root : roots) {
      long offset = lowest(root, placed);
      places[root] = new Place.Arena(offset);
      placed.add(root);
      placed.sort(Comparator.comparingLong(this::offset));
      arenaBytes = Math.max(arenaBytes, Math.addExact(offset, room(root)));
    }
  }

  private long lowest(int root, List<Integer> placed) {
    long offset = 0;
    for (int other : placed) {
      boolean together = born[other] <= lastRead[root] && born[root] <= lastRead[other];
      if (together
          && offset(other) < Math.addExact(offset, room(root))
          && offset < offset(other) + room(other)) {
        offset = offset(other) + room(other);
      }
    }
    return offset;
  }

  private long offset(int root) {
    return places[root] instanceof Place.Arena(long offset) ? offset : -1;
  }

  private long room(int root) {
    return Math.max(ALIGNMENT, Math.addExact(bytes[root], ALIGNMENT - 1) & -ALIGNMENT);
  }
}
