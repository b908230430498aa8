package dev.lockstep.train;

import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphSplitter;
import dev.lockstep.graph.GraphSplitter.Segments;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Value;
import dev.lockstep.train.parallel.FirstFit;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// When units of sharded parameters are gathered and freed again in a program: it is cut where it
/// reads another unit than before. A unit is gathered while the phase before the first that reads
/// it computes, and its memory is free for others after the last.
///
/// @param segments the program, cut
/// @param phases runs of its parts that read the same units
/// @param gathers what is gathered, in order
/// @param bytes memory of what is gathered
record GatherPlan(Segments segments, List<Phase> phases, List<Gather> gathers, long bytes) {
  /// A run of parts.
  ///
  /// @param first first part
  /// @param end part after the last
  /// @param units units that it reads
  record Phase(int first, int end, Set<Integer> units) {}

  /// One gathering of a unit.
  ///
  /// @param unit the unit
  /// @param first phase that first reads it
  /// @param last phase that reads it last
  /// @param offset first byte of its memory
  record Gather(int unit, int first, int last, long offset) {}

  /// Plans a program.
  ///
  /// @param unitOf unit by the name of an input that is a parameter
  /// @param unitBytes size of each unit
  static GatherPlan of(Graph graph, Map<String, Integer> unitOf, List<Long> unitBytes) {
    Set<Integer> cuts = cuts(graph, unitOf);
    Segments segments = GraphSplitter.split(graph, cuts::contains);
    List<Phase> phases = phases(segments, unitOf);
    List<Gather> gathers = new ArrayList<>();
    Map<Integer, Integer> last = new HashMap<>();
    for (int phase = 0; phase < phases.size(); phase++) {
      for (int unit : phases.get(phase).units) {
        Integer index = last.get(unit);
        if (index != null && gathers.get(index).last == phase - 1) {
          gathers.set(index, new Gather(unit, gathers.get(index).first, phase, 0));
        } else {
          last.put(unit, gathers.size());
          gathers.add(new Gather(unit, phase, phase, 0));
        }
      }
    }
    return placed(segments, phases, gathers, unitBytes);
  }

  private static GatherPlan placed(
      Segments segments, List<Phase> phases, List<Gather> gathers, List<Long> unitBytes) {
    List<FirstFit.Life> lives = new ArrayList<>();
    for (int i = 0; i < gathers.size(); i++) {
      Gather gather = gathers.get(i);
      long bytes = unitBytes.get(gather.unit);
      lives.add(new FirstFit.Life("" + i, bytes, Math.max(0, gather.first - 1), gather.last));
    }
    FirstFit places = FirstFit.of(lives);
    List<Gather> placed = new ArrayList<>();
    for (int i = 0; i < gathers.size(); i++) {
      Gather gather = gathers.get(i);
      long offset = places.offsets().getOrDefault("" + i, 0L);
      placed.add(new Gather(gather.unit, gather.first, gather.last, offset));
    }
    return new GatherPlan(segments, phases, placed, places.bytes());
  }

  private static Set<Integer> cuts(Graph graph, Map<String, Integer> unitOf) {
    Map<Value, Integer> units = new HashMap<>();
    for (Graph.Named input : graph.inputs()) {
      Integer unit = unitOf.get(input.name());
      if (unit != null) {
        units.put(input.value(), unit);
      }
    }
    Set<Integer> cuts = new HashSet<>();
    Set<Integer> current = Set.of();
    for (int i = 0; i < graph.nodes().size(); i++) {
      Node node = graph.nodes().get(i);
      Set<Integer> read = new HashSet<>();
      for (Value value : node.inputs()) {
        Integer unit = units.get(value);
        if (unit != null) {
          read.add(unit);
        }
      }
      if (!current.containsAll(read)) {
        if (!current.isEmpty()) {
          cuts.add(i);
        }
        current = read;
      }
    }
    return cuts;
  }

  private static List<Phase> phases(Segments segments, Map<String, Integer> unitOf) {
    List<Phase> phases = new ArrayList<>();
    Set<Integer> current = Set.of();
    int first = 0;
    for (int part = 0; part < segments.parts().size(); part++) {
      Set<Integer> read = new HashSet<>();
      if (segments.parts().get(part) instanceof GraphSplitter.Compute(Graph segment)) {
        for (Graph.Named input : segment.inputs()) {
          Integer unit = unitOf.get(input.name());
          if (unit != null) {
            read.add(unit);
          }
        }
      }
      if (!current.containsAll(read)) {
        if (!current.isEmpty()) {
          phases.add(new Phase(first, part, current));
          first = part;
        }
        current = read;
      }
    }
    phases.add(new Phase(first, segments.parts().size(), current));
    return List.copyOf(phases);
  }

  /// Returns the phase in which an output or crossing value is made.
  int madeIn(String slot) {
    return phaseOf(segments.partThatMakes(slot));
  }

  /// Returns the phase of a part.
  int phaseOf(int part) {
    int phase = 0;
    while (phases.get(phase).end <= part) {
      phase++;
    }
    return phase;
  }
}
