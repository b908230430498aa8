package dev.lockstep.train.parallel;

import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Primitive;
import dev.lockstep.tensor.Tensor;
import java.util.List;

/// How the ranks of a mesh run the collectives of a program.
public interface Exchange {
  /// Prepares a collective; every rank of the axis that the op names prepares the same ones in the
  /// same order.
  ///
  /// @param op an all-reduce or a reduce-scatter, whose inputs are this rank's subtrees in the
  ///   order of the op's lane split, or an all-gather of one input; along dimension 0
  /// @param inputs what this rank brings; borrowed
  /// @param output what it gets; borrowed
  Prepared prepare(Primitive op, List<Tensor> inputs, Tensor output);

  /// Prepares a sum over lanes of which each rank gets a part.
  ///
  /// @param axis the axis
  /// @param lanes which subtrees each rank brings; a rank may bring none
  /// @param counts elements of each rank's part; may be 0
  /// @param inputs this rank's subtrees; borrowed
  /// @param output this rank's part; borrowed
  Prepared reduceScatter(
      String axis, LaneSplit lanes, List<Long> counts, List<Tensor> inputs, Tensor output);

  /// Prepares the gathering of parts that lie in place.
  ///
  /// @param axis the axis
  /// @param counts elements of each rank's part; may be 0
  /// @param part this rank's part, within `whole`; borrowed
  /// @param whole the parts of all; borrowed
  Prepared allGather(String axis, List<Long> counts, Tensor part, Tensor whole);

  /// A prepared collective.
  interface Prepared extends AutoCloseable {
    /// Runs it and waits for it; allocates nothing.
    void run();

    @Override
    void close();
  }
}
