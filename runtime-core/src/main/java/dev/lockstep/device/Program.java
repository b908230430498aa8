package dev.lockstep.device;

import dev.lockstep.graph.Graph;
import dev.lockstep.tensor.Tensor;
import java.util.List;
import java.util.Map;

/// A compiled graph with its own working memory. One run at a time; confined to the stream that
/// runs it.
public interface Program extends AutoCloseable {
  /// Returns the graph it was compiled from.
  Graph graph();

  /// Returns the bytes of its working memory, charged to the device's pool. Of programs that share
  /// one ([Device#compileTogether]) the first says all of it, the others 0.
  long arenaBytes();

  /// Checks and fixes where inputs and outputs live. An aliased output may be left out; if it is
  /// bound, then to its input's memory. Every other output has its memory to itself; inputs may
  /// share theirs. Binding may allocate; running does not. What it allocates (on a GPU the recorded
  /// launches, on Trainium sets of tensors) lives as long as the program: bind once, run often.
  ///
  /// @param tensors every input and every output by name; borrowed until the last run has ended
  /// @throws IllegalArgumentException if one is missing, unknown, or of another type, or an output
  ///   lies in memory of an input that it does not update or of another output
  BoundProgram bind(Map<String, Tensor> tensors);

  /// Returns the plan as text: ops, kernels, offsets, bytes and FLOPs.
  String explain();

  /// Returns the plan's kernel calls in order, with the time that each has taken over all runs;
  /// empty if the device does not tell. To be called between runs.
  default List<PlannedStep> steps() {
    return List.of();
  }

  /// Frees the working memory; idempotent.
  ///
  /// @throws IllegalStateException if it is running
  @Override
  void close();
}
