package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// A prepared collective of one rank whose tensors lie in shared memory between guards.
final class GuardedCollective {
  /// Bytes before and after a tensor.
  private static final long GUARD = 256;

  final PreparedCollective collective;
  private final List<Tensor> tensors = new ArrayList<>();
  private final List<byte[]> before = new ArrayList<>();

  GuardedCollective(Ranks.Rank rank, CollectiveRequest request) {
    this(rank, request, null);
  }

  /// @param algorithm the caller's choice, or null for the planner's
  GuardedCollective(Ranks.Rank rank, CollectiveRequest request, @Nullable Algorithm algorithm) {
    int me = rank.communicator.rank();
    long outputs = request.outputElements(me);
    Tensor out = outputs == 0 ? null : guarded(rank, request.dtype(), outputs);
    List<Tensor> in = List.of();
    if (request.inputs(me) > 0) {
      in =
          List.of(
              request.inPlace() && out != null
                  ? out
                  : guarded(rank, request.dtype(), request.inputElements(me)));
    }
    Communicator all = rank.communicator;
    this.collective =
        algorithm == null
            ? all.prepare(request, in, out)
            : all.prepare(request, algorithm, in, out);
    if (out != null) {
      tensors.add(out);
    }
    for (Tensor input : in) {
      if (!input.equals(out)) {
        tensors.add(input);
      }
    }
  }

  private static Tensor guarded(Ranks.Rank rank, DType dtype, long elements) {
    Tensor all = rank.sharedTensor(dtype, elements + 2 * GUARD / dtype.bytes());
    for (long i = 0; i < all.bytes(); i++) {
      all.segment().set(ValueLayout.JAVA_BYTE, i, (byte) (i % 51)); // no NaN of any type
    }
    return new Tensor(all.buffer(), GUARD, dtype, Shape.of(elements));
  }

  void remember() {
    for (Tensor tensor : tensors) {
      before.add(tensor.buffer().segment().toArray(ValueLayout.JAVA_BYTE));
    }
  }

  /// Fails if anything has changed since [#remember], save what the rank gets of a collective that
  /// it has run.
  void requireUntouched(boolean hasRun) {
    for (int i = 0; i < tensors.size(); i++) {
      byte[] was = before.get(i);
      byte[] is = tensors.get(i).buffer().segment().toArray(ValueLayout.JAVA_BYTE);
      boolean mayDiffer = hasRun && i == 0;
      int most = mayDiffer ? (int) GUARD : was.length;
      int after = mayDiffer ? Math.toIntExact(GUARD + tensors.get(i).bytes()) : was.length;
      String what = "%s, tensor %d, hasRun=%s".formatted(collective.schedule(), i, hasRun);
      assertThat(Arrays.mismatch(is, 0, most, was, 0, most)).as(what).isEqualTo(-1);
      assertThat(Arrays.mismatch(is, after, is.length, was, after, was.length))
          .as(what)
          .isEqualTo(-1);
    }
  }
}
