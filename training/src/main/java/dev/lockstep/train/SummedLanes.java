package dev.lockstep.train;

import dev.lockstep.device.Program;
import dev.lockstep.device.Stream;
import dev.lockstep.tensor.Tensor;
import java.util.List;
import java.util.Map;
import java.util.function.IntConsumer;

/// The lanes of a rank that holds all of the state, and what they leave for the program that
/// follows them. Confined to the stream's thread; running allocates nothing.
interface SummedLanes {
  /// Runs all lanes; reductions may be under way when it returns.
  ///
  /// @param fill brings a lane's input to where it is bound, before that lane runs
  void run(Stream stream, IntConsumer fill);

  /// Waits for the reductions.
  void await();

  /// Returns what is there after [#await], as inputs of the program that follows.
  Map<String, Tensor> results();

  /// Returns where the rank says whether it wishes to stop.
  Tensor stop();

  /// Returns the programs of a lane, one after another.
  List<Program> lanePrograms();

  /// Returns the programs that join sums.
  List<Program> joinPrograms();
}
