package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.algorithm.Requests;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.graph.SumTree;
import dev.lockstep.graph.SumTree.Subtree;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Sums over lanes have the bits of the sequential tree, on any ranks and over any transport.
@Timeout(60)
final class SameBitsTest {
  private static final ValueLayout.OfFloat F32 =
      ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  static CommunicatorOptions over(String transport) {
    return Ranks.options().withTransport(transport).withTimeout(Duration.ofSeconds(30));
  }

  @ParameterizedTest(name = "{0}, P={1}")
  @CsvSource({
    "in-process, 1",
    "in-process, 2",
    "in-process, 3",
    "in-process, 4",
    "shm, 1",
    "shm, 2",
    "shm, 3",
    "shm, 4",
    "unsteady-peers, 3",
    "messages-only, 2",
    "messages-only, 3",
    "messages-only, 4"
  })
  void sumsOfLanesFollowTheTree(String transport, int ranks) {
    List<LaneSplit> splits = new ArrayList<>();
    for (int lanes = ranks; lanes <= 7; lanes++) {
      splits.add(LaneSplit.contiguous(lanes, ranks));
    }
    splits.add(Requests.interleaved(7, ranks));
    splits.add(Requests.scattered(5, ranks, 3));
    Ranks.run(
        ranks,
        over(transport),
        rank -> {
          for (LaneSplit split : splits) {
            for (int elements : new int[] {0, 1, 17, 4099}) {
              checkSum(rank, split, elements, true);
              checkSum(rank, split, elements, false);
            }
          }
          return true;
        });
  }

  @ParameterizedTest(name = "{0}")
  @ValueSource(strings = {"in-process", "shm", "messages-only"})
  void aMillionElementsHaveTheSameBits(String transport) {
    Ranks.run(
        3,
        over(transport),
        rank -> {
          checkSum(rank, LaneSplit.contiguous(5, 3), 1_000_003, false);
          return rank.communicator.counters();
        });
  }

  /// A rank's gradients of its lanes, joined to its subtrees, are summed with the other ranks'.
  private static void checkSum(
      Ranks.Rank rank, LaneSplit split, int elements, boolean privateMemory) {
    List<Tensor> inputs = new ArrayList<>();
    for (Subtree subtree : split.ranks().get(rank.number())) {
      Tensor input =
          privateMemory
              ? rank.privateTensor(DType.F32, elements)
              : rank.sharedTensor(DType.F32, elements);
      fill(input.segment(), split, subtree);
      inputs.add(input);
    }
    boolean inPlace = !inputs.isEmpty() && elements % 2 == 1 && !privateMemory;
    boolean all = split.ranks().stream().noneMatch(List::isEmpty);
    Tensor output = inPlace && all ? inputs.getFirst() : rank.sharedTensor(DType.F32, elements);
    CollectiveRequest request =
        CollectiveRequest.allReduce(
            DType.F32,
            new ReduceOp.Sum(),
            elements,
            elements % 2 == 1 && !privateMemory && all,
            rank.communicator.topology(),
            split,
            Mode.SAME_BITS);
    try (PreparedCollective sum = rank.communicator.prepare(request, inputs, output)) {
      sum.run();
      checkBits(output.segment(), split, elements);
      sum.schedule();
    }
  }

  private static void fill(MemorySegment segment, LaneSplit split, Subtree subtree) {
    float[] values = sequential(split.lanes(), subtree, (int) (segment.byteSize() / Float.BYTES));
    for (int i = 0; i < values.length; i++) {
      segment.set(F32, (long) i * Float.BYTES, values[i]);
    }
  }

  private static void checkBits(MemorySegment result, LaneSplit split, int elements) {
    float[] expected = sequential(split.lanes(), new Subtree(0, split.lanes()), elements);
    for (int i = 0; i < elements; i++) {
      float value = result.get(F32, (long) i * Float.BYTES);
      if (Float.floatToRawIntBits(value) != Float.floatToRawIntBits(expected[i])) {
        throw new AssertionError(
            "element %d of %d is %s, expected %s, lanes=%s"
                .formatted(i, elements, value, expected[i], split));
      }
    }
  }

  /// The reference: lanes joined one pair after another as the tree says.
  private static float[] sequential(int lanes, Subtree at, int elements) {
    if (at.size() == 1) {
      Random random = new Random(at.first());
      float[] leaf = new float[elements];
      for (int i = 0; i < elements; i++) {
        leaf[i] = (random.nextFloat() - 0.5f) * (1 << random.nextInt(20));
      }
      return leaf;
    }
    int left = SumTree.left(at.size());
    float[] sum = sequential(lanes, new Subtree(at.first(), left), elements);
    float[] right = sequential(lanes, new Subtree(at.first() + left, at.size() - left), elements);
    for (int i = 0; i < elements; i++) {
      sum[i] += right[i];
    }
    return sum;
  }

  @Test
  void oneShotsWorkOnAnyTensors() {
    for (String transport : List.of("in-process", "shm", "messages-only")) {
      Ranks.run(
          3,
          over(transport),
          rank -> {
            for (int round = 0; round < 20; round++) {
              Tensor in = rank.privateTensor(DType.I64, 100 + round);
              for (int i = 0; i < 100 + round; i++) {
                in.segment().setAtIndex(ValueLayout.JAVA_LONG, i, rank.number() + i);
              }
              Tensor out = round % 2 == 0 ? in : rank.sharedTensor(DType.I64, 100 + round);
              rank.communicator.allReduce(in, out, new ReduceOp.Max());
              assertThat(out.segment().getAtIndex(ValueLayout.JAVA_LONG, 7)).isEqualTo(9);
              rank.communicator.broadcast(in, round % 3);
              assertThat(in.segment().getAtIndex(ValueLayout.JAVA_LONG, 5))
                  .isEqualTo(round % 2 == 0 ? 7 : round % 3 + 5);
              rank.communicator.barrier();
            }
            return true;
          });
    }
  }

  /// Of lanes 1, 2, 3, 4 and 5, each rank bringing the sum of its own.
  @ParameterizedTest(name = "{0}, P={1}")
  @CsvSource({"shm, 1", "shm, 2", "shm, 3", "messages-only, 3"})
  void averagesOfLanesAreTheSameOnAnyNumberOfRanks(String transport, int ranks) {
    LaneSplit split = LaneSplit.contiguous(5, ranks);
    Ranks.run(
        ranks,
        over(transport),
        rank -> {
          List<Tensor> inputs = new ArrayList<>();
          for (Subtree held : split.ranks().get(rank.number())) {
            Tensor input = rank.sharedTensor(DType.F32, 1);
            float sum = held.size() * (held.first() + 1 + held.end()) / 2f;
            input.segment().set(F32, 0, sum);
            inputs.add(input);
          }
          Tensor output = rank.sharedTensor(DType.F32, 1);
          CollectiveRequest request =
              CollectiveRequest.allReduce(
                  DType.F32,
                  new ReduceOp.Avg(),
                  1,
                  false,
                  rank.communicator.topology(),
                  split,
                  Mode.SAME_BITS);
          try (PreparedCollective mean = rank.communicator.prepare(request, inputs, output)) {
            mean.run();
          }
          assertThat(output.segment().get(F32, 0)).isEqualTo(3);
          return true;
        });
  }

  @Test
  void averagesDivideTheSum() {
    Ranks.run(
        3,
        over("shm"),
        rank -> {
          for (DType dtype : List.of(DType.F32, DType.F64, DType.BF16, DType.F16)) {
            Tensor tensor = rank.sharedTensor(dtype, 8);
            tensor.segment().fill((byte) 0);
            rank.communicator.allReduce(tensor, tensor, new ReduceOp.Avg());
          }
          Tensor tensor = rank.sharedTensor(DType.F32, 4);
          tensor.segment().set(F32, 4, rank.number() * 1.5f);
          rank.communicator.allReduce(tensor, tensor, new ReduceOp.Avg());
          assertThat(tensor.segment().get(F32, 4)).isEqualTo(1.5f);
          return true;
        });
  }
}
