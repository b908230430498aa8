package dev.lockstep.train.pipeline;

import dev.lockstep.device.Program;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.parallel.LaneRunner;
import dev.lockstep.train.pipeline.StageWork.Way;
import java.util.List;
import java.util.Map;

/// The compiled programs of a stage's chunks, of which one runs at a time.
public interface ChunkPrograms {
  /// Returns what computes a way; the same for the same way.
  ///
  /// @param sections where what the chunk is told and tells lies ([Chunk]); borrowed
  /// @param sums where its sums go, by name; borrowed
  LaneRunner.Run bind(Way way, Map<String, Tensor> sections, Map<String, Tensor> sums);

  /// Returns what gives a chunk's parameters to the other pipelines, which compute a way of it.
  LaneRunner.Run lend(int chunk, boolean back);

  /// Returns the programs of ways forth, and of the last chunk's way back.
  List<Program> forwardPrograms();

  /// Returns the programs of ways back; none where the stage has the last chunk alone.
  List<Program> backwardPrograms();
}
