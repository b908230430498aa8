package dev.lockstep.device.cuda;

import dev.lockstep.graph.Cost;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.DType;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/// Roundings of many small inputs to bfloat16, by one launch for every 60: a model's weights, each
/// of which takes longer to launch than to move.
///
/// @param nodes the roundings
record CastUnit(List<Node> nodes) implements ProgramUnit {
  /// Elements up to which a tensor is small: what a GPU moves in some microseconds. What is greater
  /// is rounded where it is used, so that it takes memory later.
  private static final long MOST_ELEMENTS = 1 << 22;

  private static final int CASTS_OF_A_LAUNCH = 60;
  private static final int THREADS = 256;
  private static final int TILE = 2048;

  CastUnit {
    nodes = List.copyOf(nodes);
  }

  /// Returns units with the roundings of small inputs together, where the first of them stood.
  static List<ProgramUnit> gathered(Graph graph, List<ProgramUnit> units) {
    Set<Integer> inputs = new HashSet<>();
    graph.inputs().forEach(input -> inputs.add(input.value().id()));
    List<Node> nodes = new ArrayList<>();
    List<ProgramUnit> others = new ArrayList<>();
    int place = 0;
    for (ProgramUnit unit : units) {
      if (unit instanceof CudaUnit single && isSmall(single, inputs)) {
        place = nodes.isEmpty() ? others.size() : place;
        nodes.add(single.node());
      } else {
        others.add(unit);
      }
    }
    if (nodes.size() < 2) {
      return units;
    }
    others.add(place, new CastUnit(nodes));
    return others;
  }

  private static boolean isSmall(CudaUnit unit, Set<Integer> inputs) {
    Value from = unit.reads().isEmpty() ? null : unit.reads().getFirst();
    return from != null
        && unit.node().op() instanceof Primitive.Convert(DType to)
        && to == DType.BF16
        && from.type().dtype() == DType.F32
        && inputs.contains(from.id())
        && from.type().shape().elements() <= MOST_ELEMENTS;
  }

  @Override
  public List<Value> reads() {
    return nodes.stream().map(node -> node.inputs().getFirst()).toList();
  }

  @Override
  public List<Value> writes() {
    return nodes.stream().map(node -> node.outputs().getFirst()).toList();
  }

  @Override
  public List<InPlace> inPlace() {
    return List.of();
  }

  @Override
  public boolean isElementWise() {
    return false;
  }

  @Override
  public Cost cost() {
    return nodes.stream().map(Cost::of).reduce(Cost.ZERO, Cost::plus);
  }

  @Override
  public String line() {
    return "%d roundings: %s … = Convert(%%%d …) {to=BF16}"
        .formatted(nodes.size(), writes().getFirst(), reads().getFirst().id());
  }

  /// Appends the launches.
  void lower(Emission emit) {
    List<Node> full =
        nodes.stream().filter(node -> node.inputs().getFirst().type().bytes() > 0).toList();
    for (int first = 0; first < full.size(); first += CASTS_OF_A_LAUNCH) {
      emit.add(launch(full.subList(first, Math.min(full.size(), first + CASTS_OF_A_LAUNCH))));
    }
  }

  private static Action launch(List<Node> some) {
    StructBuilder struct = new StructBuilder().words(some.size(), 0);
    long tiles = 0;
    for (Node node : some) {
      Value from = node.inputs().getFirst();
      long elements = from.type().shape().elements();
      struct.at(Emission.at(from)).at(Emission.at(node.outputs().getFirst())).wide(elements, tiles);
      tiles += Math.ceilDiv(elements, TILE);
    }
    struct.wide(new long[(CASTS_OF_A_LAUNCH - some.size()) * 4]);
    return LaunchBuilder.of("casts.cu", "casts_f32_bf16")
        .struct(struct)
        .grid(Sizes.of(tiles), THREADS);
  }
}
