package dev.lockstep.train.parallel;

import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphSplitter;
import dev.lockstep.graph.GraphSplitter.Collective;
import dev.lockstep.graph.GraphSplitter.Compute;
import dev.lockstep.graph.GraphSplitter.Part;
import dev.lockstep.graph.GraphSplitter.Segments;
import dev.lockstep.graph.Primitive;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// Where values lie that cross between the parts of a cut program: memory is used again once the
/// last part that reads a value has run.
///
/// @param offsets first byte by slot
/// @param bytes size of the memory
/// @param bucketed slots of neighbouring collectives, whose results lie elsewhere, side by side
public record Crossings(Map<String, Long> offsets, long bytes, Set<String> bucketed) {
  /// Copies the collections.
  public Crossings {
    offsets = Map.copyOf(offsets);
    bucketed = Set.copyOf(bucketed);
  }

  /// Plans the memory of a cut program.
  public static Crossings plan(Segments segments) {
    Set<String> bucketed = bucketed(segments.parts());
    Map<String, Integer> made = new HashMap<>();
    Map<String, Integer> read = new HashMap<>();
    for (int i = 0; i < segments.parts().size(); i++) {
      int at = i;
      switch (segments.parts().get(i)) {
        case Compute(Graph graph) -> {
          graph.inputs().forEach(input -> read.put(input.name(), at));
          graph.outputs().forEach(output -> made.put(output.name(), at));
        }
        case Collective collective -> {
          collective.inputs().forEach(input -> read.put(input, at));
          made.put(collective.output(), at);
        }
      }
    }
    List<FirstFit.Life> lives = new ArrayList<>();
    for (Graph.Named crossing : segments.crossings()) {
      String slot = crossing.name();
      Integer from = made.get(slot);
      if (from != null && !bucketed.contains(slot)) {
        long bytes = FlatLayout.aligned(crossing.value().type().bytes());
        lives.add(
            new FirstFit.Life(slot, bytes, from, Math.max(from, read.getOrDefault(slot, from))));
      }
    }
    FirstFit places = FirstFit.of(lives);
    return new Crossings(places.offsets(), places.bytes(), bucketed);
  }

  /// Results of all-reduces that stand next to one another: they may become one bucket.
  private static Set<String> bucketed(List<Part> parts) {
    Set<String> found = new HashSet<>();
    for (int i = 1; i < parts.size(); i++) {
      if (parts.get(i - 1) instanceof GraphSplitter.Collective before
          && parts.get(i) instanceof GraphSplitter.Collective after
          && before.op() instanceof Primitive.AllReduce
          && before.op().equals(after.op())) {
        found.add(before.output());
        found.add(after.output());
      }
    }
    return found;
  }
}
