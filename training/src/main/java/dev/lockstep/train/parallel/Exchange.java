package dev.lockstep.train.parallel;

import dev.lockstep.graph.Primitive;
import dev.lockstep.tensor.Tensor;
import java.util.List;

/// How the ranks of a mesh axis run the collectives of a program.
public interface Exchange {
  /// Prepares an all-reduce; every rank of the axis prepares the same ones in the same order.
  ///
  /// @param inputs this rank's subtrees, in the order of the op's lane split; borrowed
  /// @param output receives the sum over all lanes; borrowed
  Prepared prepare(Primitive.AllReduce op, List<Tensor> inputs, Tensor output);

  /// A prepared collective.
  interface Prepared extends AutoCloseable {
    /// Runs it and waits for it; allocates nothing.
    void run();

    @Override
    void close();
  }
}
