package dev.lockstep.train.pipeline;

import dev.lockstep.graph.Graph;
import dev.lockstep.train.placement.AxisPlace;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/// The chunks of one stage of a pipeline. Chunks of all stages are counted in program order and
/// dealt out in turn.
///
/// @param axis the axis that stages are spread over, and this stage
/// @param chunks the stage's chunks, in program order
/// @param everywhere inputs that a lane's data are brought to
public record StageChunks(AxisPlace axis, List<Chunk> chunks, Set<String> everywhere) {
  /// Copies the lists.
  public StageChunks {
    chunks = List.copyOf(chunks);
    everywhere = Set.copyOf(everywhere);
  }

  /// Returns how many chunks the stage has.
  public int count() {
    return chunks.size();
  }

  /// Returns the number among all chunks of one of the stage's.
  public int number(int own) {
    return own * axis.ranks() + axis.rank();
  }

  /// Returns which of the stage's chunks one of all is.
  public int own(int number) {
    return number / axis.ranks();
  }

  /// Whether the stage has a chunk.
  boolean has(int number) {
    return number % axis.ranks() == axis.rank();
  }

  /// Returns the graphs of the chunks: of each the way forth, then the way back if it has one.
  public List<Graph> graphs() {
    List<Graph> graphs = new ArrayList<>();
    for (Chunk chunk : chunks) {
      graphs.add(chunk.forward());
      chunk.backward().ifPresent(graphs::add);
    }
    return graphs;
  }

  /// Returns what the chunks read that is in none of their sections: weights and data.
  public Set<String> outside() {
    Set<String> names = new LinkedHashSet<>();
    chunks.forEach(chunk -> names.addAll(chunk.outside().keySet()));
    return names;
  }

  /// Whether a program reads a lane's data.
  boolean readsData(Graph graph) {
    return graph.inputs().stream().anyMatch(input -> everywhere.contains(input.name()));
  }
}
