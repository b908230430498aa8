package dev.lockstep.train.parallel;

import dev.lockstep.device.Stream;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Primitive;
import dev.lockstep.tensor.Tensor;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// How the ranks of a mesh run the collectives of a program.
public interface Exchange {
  /// Returns whether collectives and messages wait for what their stream was given before, and what
  /// it is given behind them for their results. Where they do not, whoever runs one waits for the
  /// stream first.
  default boolean followsStream() {
    return false;
  }

  /// Waits for a stream, unless collectives and messages do so themselves.
  default void settle(Stream stream) {
    if (!followsStream()) {
      stream.synchronize();
    }
  }

  /// Prepares a collective; every rank of the axis that the op names prepares the same ones in the
  /// same order.
  ///
  /// @param op an all-reduce or a reduce-scatter, whose inputs are this rank's subtrees in the
  ///   order of the op's lane split, or an all-gather of one input; along dimension 0, or one
  ///   before which all are 1
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

  /// Prepares the gathering of parts, in place where they share a buffer with the whole.
  ///
  /// @param axis the axis
  /// @param counts elements of each rank's part; may be 0
  /// @param part this rank's part, at its place within `whole` or in another buffer; borrowed
  /// @param whole the parts of all; borrowed
  Prepared allGather(String axis, List<Long> counts, Tensor part, Tensor whole);

  /// Prepares the gathering of parts on rank 0 of the job; every rank of the job prepares it.
  ///
  /// @param counts elements of each rank's part, by its rank in the job; may be 0
  /// @param part this rank's part; borrowed
  /// @param whole the parts of all, in rank order; null but on rank 0; borrowed
  Prepared gather(List<Long> counts, Tensor part, @Nullable Tensor whole);

  /// Runs collectives one after another, in the same order on every rank. Where they follow the
  /// stream all are started first: what one copies is copied while others are on their way.
  ///
  /// @param collectives of which none reads what another one writes
  default void runAll(Prepared[] collectives) {
    if (followsStream()) {
      for (Prepared collective : collectives) {
        collective.start();
      }
      for (Prepared collective : collectives) {
        collective.await();
      }
    } else {
      for (Prepared collective : collectives) {
        collective.run();
      }
    }
  }

  /// Returns what every rank of the job says, in rank order; all call this together.
  ///
  /// @param mine of any length
  List<String> words(String mine);

  /// Prepares a message from a rank of an axis to the next one, the first behind the last, or to
  /// the one before. Both prepare the same ones in the same order; messages of one sender in one
  /// direction arrive in the order in which they are started.
  ///
  /// @param axis the axis
  /// @param forth whether it goes to the next rank
  /// @param from place of the sender
  /// @param memory what this rank sends, or where it receives; bytes, as many on both; borrowed
  Message message(String axis, boolean forth, int from, Tensor memory);

  /// A prepared message.
  interface Message extends AutoCloseable {
    /// Starts it and returns; what is sent must stay as it is until [#await] has returned.
    /// Allocates nothing.
    void start();

    /// Moves what was started without waiting, and returns whether [#await] need not wait.
    /// Allocates nothing.
    boolean poll();

    /// Waits until it is sent, or received; returns at once if it was not started.
    void await();

    @Override
    void close();
  }

  /// A prepared collective.
  interface Prepared extends AutoCloseable {
    /// Runs it and waits for it; allocates nothing.
    void run();

    /// Starts it, in the same order on every rank: what it reads and writes is left alone until
    /// [#await]. An exchange that cannot run it meanwhile runs it at once.
    default void start() {
      run();
    }

    /// Moves what was started without waiting, and returns whether [#await] need not wait.
    /// Allocates nothing.
    default boolean poll() {
      return true;
    }

    /// Waits for what was started; allocates nothing.
    default void await() {}

    @Override
    void close();
  }
}
