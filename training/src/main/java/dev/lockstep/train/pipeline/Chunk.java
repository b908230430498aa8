package dev.lockstep.train.pipeline;

import dev.lockstep.graph.Graph;
import dev.lockstep.graph.ValueType;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/// The programs of some neighbouring layers of a lane program, and what they tell their neighbours.
///
/// The inputs and outputs of the programs that are neither weights, data nor sums are called by the
/// section that they lie in: `received/%1` came from the chunk before, `sent/%2` goes to the one
/// behind, `kept/%3` waits for the way back, `gradient received/%4` came from the chunk behind and
/// `gradient sent/%5` goes to the one before.
///
/// @param forward what is computed on the way forth; on the last chunk the way back too
/// @param backward what is computed on the way back; empty on the last chunk, and where nothing is
///   differentiated
/// @param received what comes from the chunk before, empty on the first
/// @param sent what goes to the chunk behind, empty on the last
/// @param kept what the way back reads of the way forth, beside what was received and sent
/// @param gradientReceived what comes from the chunk behind
/// @param gradientSent what goes to the chunk before
public record Chunk(
    Graph forward,
    Optional<Graph> backward,
    SlotLayout received,
    SlotLayout sent,
    SlotLayout kept,
    SlotLayout gradientReceived,
    SlotLayout gradientSent) {

  /// Returns the memory that one lane takes between its way forth and its way back: what was
  /// received, then what is sent, then what is kept.
  public long flightBytes() {
    return received.bytes() + sent.bytes() + kept.bytes();
  }

  /// Returns the memory of gradients under way: one that was received, then those that are sent.
  ///
  /// @param messages how many are sent at once
  public long gradientBytes(int messages) {
    return gradientReceived.bytes() + messages * gradientSent.bytes();
  }

  /// Returns the inputs of both programs that are in no section: weights and data.
  public Map<String, ValueType> outside() {
    Map<String, ValueType> found = new LinkedHashMap<>();
    addOutside(forward, found);
    backward.ifPresent(graph -> addOutside(graph, found));
    return found;
  }

  private void addOutside(Graph graph, Map<String, ValueType> found) {
    for (Graph.Named input : graph.inputs()) {
      if (!isInSection(input.name())) {
        found.put(input.name(), input.value().type());
      }
    }
  }

  private boolean isInSection(String name) {
    return received.types().containsKey(name)
        || sent.types().containsKey(name)
        || kept.types().containsKey(name)
        || gradientReceived.types().containsKey(name);
  }
}
