package dev.lockstep.collective.schedule;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.transport.PeerAccess;
import java.util.List;
import java.util.function.IntFunction;
import java.util.function.IntUnaryOperator;

/// The program of a collective: what each rank does, step by step. Immutable data; made by an
/// algorithm and run by the executor. The verifier proves those of Lockstep's algorithms in the
/// tests, and a caller's own when it is prepared.
///
/// **Order.** A rank issues its steps in the order listed. Copies, reductions, divisions, signals
/// and awaits are done when they are issued. A message (send, receive, receive-reduce) is issued
/// and goes on by itself; messages from one rank to another arrive in the order issued. Before a
/// step is issued,
/// - every earlier message is complete whose elements the step writes, or that writes elements
///   which the step touches,
/// - every earlier receive of no elements is complete: it carries nothing but order,
/// - if the step is a signal, every earlier message is complete.
///
/// A rank is through when all its messages are complete. Between two runs its owner may read and
/// write inputs and output at will.
///
/// **Signals** are counted: the n-th await of a peer's slot is for the n-th signal on it. In each
/// run as many signals are sent on a slot as are awaited.
public interface Schedule {
  /// Number of signal slots from one rank to another that schedules may use, 0 and up. The executor
  /// keeps the others for what it has to tell a peer itself.
  int SIGNAL_SLOTS = PeerAccess.SLOTS - 4;

  /// Longest message that travels beside its signal where ranks share memory. Beyond about this
  /// length to write a message once more costs more than the signals that reading in place needs.
  int SHORT_BYTES = 1024;

  /// Returns the name of the algorithm that made it.
  String algorithm();

  /// Returns what it does.
  CollectiveRequest request();

  /// Returns it in words, for messages: what it does, and by which algorithm.
  default String words() {
    return request().words() + " by " + algorithm();
  }

  /// Returns a rank's steps; made when asked for.
  List<Step> steps(int rank);

  /// Returns the scratch memory that a rank needs.
  List<ScratchSpace> scratch(int rank);

  /// Returns the lowest rank that is like this one: some renaming of the ranks turns the one into
  /// the other and the whole schedule into itself, up to the order in which sources are joined.
  /// Returns `rank` if none is known.
  int alike(int rank);

  /// Returns a 64-bit hash of the content, the same on every JVM: ranks that follow schedules of
  /// one identity agree about every step.
  long identity();

  /// Returns the number of ranks.
  default int ranks() {
    return request().ranks();
  }

  /// Returns a schedule whose steps are computed on demand.
  ///
  /// @param algorithm name
  /// @param request what it does
  /// @param steps pure function from rank to its steps
  /// @param scratch pure function from rank to its scratch
  /// @param alike as [#alike]
  static Schedule of(
      String algorithm,
      CollectiveRequest request,
      IntFunction<List<Step>> steps,
      IntFunction<List<ScratchSpace>> scratch,
      IntUnaryOperator alike) {
    return new LazySchedule(algorithm, request, steps, scratch, alike);
  }
}
