package dev.lockstep.device.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.DeviceCollective;
import dev.lockstep.device.DeviceGroup;
import dev.lockstep.device.DeviceProvider;
import dev.lockstep.device.Program;
import dev.lockstep.device.cuda.Ranks.Setting;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Primitive.Add;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.graph.SumTree;
import dev.lockstep.graph.SumTree.Subtree;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.BinaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Collectives on GPUs, by the stand-ins for the driver and NCCL with ranks as threads, and in
/// [GpuCollectivesTest] by NVIDIA's own.
@Timeout(60)
class CudaCollectivesTest {
  /// Returns the provider of the ranks' devices.
  DeviceProvider provider() {
    return StandInDevices.withNccl(nccl -> nccl);
  }

  /// Returns how many ranks can meet.
  int mostRanks() {
    return 4;
  }

  private Setting setting(int ranks) {
    assumeTrue(ranks <= mostRanks(), "judge gpus: fewer GPUs than ranks: ranks=" + ranks);
    return Setting.of(provider(), ranks);
  }

  /// The sum of a lane alone, the same on whichever rank.
  private static float[] lane(int lane, int elements) {
    Random random = new Random(31L * lane + elements);
    float[] values = new float[elements];
    for (int i = 0; i < elements; i++) {
      values[i] = (float) random.nextGaussian() * (1 << random.nextInt(12));
    }
    return values;
  }

  private static float[] joined(Subtree tree, int elements, BinaryOperator<Float> op) {
    if (tree.size() == 1) {
      return lane(tree.first(), elements);
    }
    int left = SumTree.left(tree.size());
    float[] sum = joined(new Subtree(tree.first(), left), elements, op);
    float[] right = joined(new Subtree(tree.first() + left, tree.size() - left), elements, op);
    for (int i = 0; i < elements; i++) {
      sum[i] = op.apply(sum[i], right[i]);
    }
    return sum;
  }

  private static List<Tensor> held(Ranks.Rank rank, LaneSplit lanes, int elements) {
    List<Tensor> held = new ArrayList<>();
    for (Subtree tree : lanes.ranks().get(rank.number())) {
      held.add(rank.tensor(joined(tree, elements, Float::sum)));
    }
    return held;
  }

  private static void run(DeviceGroup.Prepared collective) {
    collective.start();
    collective.await();
  }

  @ParameterizedTest(name = "ranks={0}, lanes={1}, elements={2}")
  @CsvSource({
    "1, 1, 5",
    "1, 7, 5000",
    "2, 2, 1",
    "2, 5, 37",
    "2, 8, 10001",
    "3, 3, 1",
    "3, 7, 4098",
    "3, 13, 8192",
    "4, 4, 16384",
    "4, 6, 5001",
    "4, 13, 40"
  })
  void allReduceJoinsLanesByTheTree(int ranks, int count, int elements) throws Exception {
    LaneSplit lanes = LaneSplit.contiguous(count, ranks);
    DeviceCollective sum =
        new DeviceCollective.AllReduce(DType.F32, new ReduceOp.Sum(), lanes, elements);
    List<float[]> found =
        Ranks.run(
            setting(ranks),
            rank -> {
              Tensor out = rank.room(DType.F32, elements);
              DeviceGroup.Prepared reduce = rank.prepare(sum, held(rank, lanes, elements), out);
              run(reduce);
              run(reduce);
              return rank.values(out);
            });
    float[] expected = joined(new Subtree(0, count), elements, Float::sum);
    assertThat(found).allSatisfy(values -> assertThat(values).isEqualTo(expected));
  }

  @ParameterizedTest(name = "ranks={0}")
  @ValueSource(ints = {1, 2, 3, 4})
  void reduceScatterLeavesEachRankItsPart(int ranks) throws Exception {
    List<Long> counts = List.of(700L, 0L, 33L, 1200L).subList(0, ranks);
    int elements = (int) counts.stream().mapToLong(Long::longValue).sum();
    LaneSplit lanes = LaneSplit.contiguous(2 * ranks + 1, ranks);
    DeviceCollective sum =
        new DeviceCollective.ReduceScatter(DType.F32, new ReduceOp.Sum(), lanes, counts);
    List<float[]> found =
        Ranks.run(
            setting(ranks),
            rank -> {
              Tensor out = rank.room(DType.F32, counts.get(rank.number()));
              run(rank.prepare(sum, held(rank, lanes, elements), out));
              return rank.values(out);
            });
    assertThat(concat(found))
        .isEqualTo(joined(new Subtree(0, 2 * ranks + 1), elements, Float::sum));
  }

  /// As in the last round of lanes, when there are fewer than ranks.
  @Test
  void aRankThatBringsNothingGetsItsPart() throws Exception {
    List<List<Subtree>> held =
        List.of(List.of(new Subtree(0, 1)), List.of(), List.of(new Subtree(1, 1)));
    LaneSplit lanes = new LaneSplit(2, held);
    List<Long> counts = List.of(5L, 6L, 7L);
    DeviceCollective parts =
        new DeviceCollective.ReduceScatter(DType.F32, new ReduceOp.Sum(), lanes, counts);
    DeviceCollective whole =
        new DeviceCollective.AllReduce(DType.F32, new ReduceOp.Sum(), lanes, 18);
    for (Setting setting : List.of(setting(3), setting(3).relaxed())) {
      List<float[]> found =
          Ranks.run(
              setting,
              rank -> {
                List<Tensor> inputs = held(rank, lanes, 18);
                Tensor part = rank.room(DType.F32, counts.get(rank.number()));
                Tensor all = rank.room(DType.F32, 18);
                run(rank.prepare(parts, inputs, part));
                run(rank.prepare(whole, inputs, all));
                assertThat(rank.values(all)).isEqualTo(joined(new Subtree(0, 2), 18, Float::sum));
                return rank.values(part);
              });
      assertThat(concat(found)).isEqualTo(joined(new Subtree(0, 2), 18, Float::sum));
    }
  }

  private static float[] concat(List<float[]> parts) {
    float[] whole = new float[0];
    for (float[] part : parts) {
      int at = whole.length;
      whole = Arrays.copyOf(whole, at + part.length);
      System.arraycopy(part, 0, whole, at, part.length);
    }
    return whole;
  }

  @ParameterizedTest(name = "ranks={0}")
  @ValueSource(ints = {1, 2, 4})
  void extremaAreThoseOfAllRanks(int ranks) throws Exception {
    LaneSplit lanes = LaneSplit.onePerRank(ranks);
    List<float[]> found =
        Ranks.run(
            setting(ranks),
            rank -> {
              Tensor out = rank.room(DType.F32, 70);
              List<Tensor> inputs = held(rank, lanes, 70);
              run(
                  rank.prepare(
                      new DeviceCollective.AllReduce(DType.F32, new ReduceOp.Max(), lanes, 70),
                      inputs,
                      out));
              float[] greatest = rank.values(out);
              run(
                  rank.prepare(
                      new DeviceCollective.AllReduce(DType.F32, new ReduceOp.Min(), lanes, 70),
                      inputs,
                      out));
              return concat(List.of(greatest, rank.values(out)));
            });
    float[] expected =
        concat(
            List.of(
                joined(new Subtree(0, ranks), 70, Math::max),
                joined(new Subtree(0, ranks), 70, Math::min)));
    assertThat(found).allSatisfy(values -> assertThat(values).isEqualTo(expected));
  }

  @ParameterizedTest(name = "ranks={0}, even={1}, inPlace={2}")
  @CsvSource({
    "1, true, false",
    "2, true, true",
    "3, false, false",
    "3, true, false",
    "4, false, true"
  })
  void allGatherBringsAllParts(int ranks, boolean even, boolean inPlace) throws Exception {
    List<Long> counts =
        even
            ? List.of(9L, 9L, 9L, 9L).subList(0, ranks)
            : List.of(300L, 0L, 7L, 41L).subList(0, ranks);
    int elements = (int) counts.stream().mapToLong(Long::longValue).sum();
    byte[] expected = new byte[elements];
    new Random(5).nextBytes(expected);
    List<byte[]> found =
        Ranks.run(
            setting(ranks),
            rank -> {
              int start = 0;
              for (long count : counts.subList(0, rank.number())) {
                start += (int) count;
              }
              int count = (int) (long) counts.get(rank.number());
              Tensor whole = rank.room(DType.U8, elements);
              Tensor part =
                  inPlace
                      ? new Tensor(whole.buffer(), start, DType.U8, Shape.of(count))
                      : rank.room(DType.U8, count);
              rank.stream()
                  .copyIn(
                      part,
                      MemorySegment.ofArray(Arrays.copyOfRange(expected, start, start + count)));
              run(
                  rank.prepare(
                      new DeviceCollective.AllGather(DType.U8, counts), List.of(part), whole));
              return rank.bytes(whole);
            });
    assertThat(found).allSatisfy(bytes -> assertThat(bytes).isEqualTo(expected));
  }

  /// NCCL adds in an order of its own.
  @ParameterizedTest(name = "ranks={0}, lanes={1}")
  @CsvSource({"1, 1", "2, 5", "3, 3", "4, 4"})
  void relaxedSumsAreSums(int ranks, int count) throws Exception {
    int elements = 240;
    LaneSplit lanes = LaneSplit.contiguous(count, ranks);
    List<Long> counts = Collections.nCopies(ranks, (long) elements / ranks);
    List<float[]> found =
        Ranks.run(
            setting(ranks).relaxed(),
            rank -> {
              List<Tensor> inputs = held(rank, lanes, elements);
              Tensor out = rank.room(DType.F32, elements);
              Tensor part = rank.room(DType.F32, elements / ranks);
              run(
                  rank.prepare(
                      new DeviceCollective.AllReduce(
                          DType.F32, new ReduceOp.Sum(), lanes, elements),
                      inputs,
                      out));
              run(
                  rank.prepare(
                      new DeviceCollective.ReduceScatter(
                          DType.F32, new ReduceOp.Sum(), lanes, counts),
                      inputs,
                      part));
              float[] whole = rank.values(out);
              int start = rank.number() * elements / ranks;
              assertThat(rank.values(part))
                  .usingComparatorWithPrecision(1f)
                  .containsExactly(Arrays.copyOfRange(whole, start, start + elements / ranks));
              return whole;
            });
    float[] expected = joined(new Subtree(0, count), elements, Float::sum);
    // The lanes' numbers go up to some ten thousand: a unit in their last place is below a
    // hundredth.
    assertThat(found)
        .allSatisfy(
            values ->
                assertThat(values).usingComparatorWithPrecision(0.05f).containsExactly(expected));
  }

  private static Graph twice(int elements) {
    GraphBuilder builder = new GraphBuilder("twice");
    Value x = builder.input("x", ValueType.f32(elements));
    builder.outputInto("y", builder.one(new Add(), x, x), "x");
    return builder.build();
  }

  /// Collectives wait for the programs before them, and programs behind them for what is awaited:
  /// the host waits for nothing between.
  @ParameterizedTest(name = "ranks={0}")
  @ValueSource(ints = {1, 2, 3})
  void collectivesAreOrderedWithPrograms(int ranks) throws Exception {
    LaneSplit lanes = LaneSplit.onePerRank(ranks);
    DeviceCollective sum = new DeviceCollective.AllReduce(DType.F32, new ReduceOp.Sum(), lanes, 33);
    int rounds = 40; // more events than a stream has slots
    List<float[]> found =
        Ranks.run(
            setting(ranks),
            rank -> {
              Tensor x = held(rank, lanes, 33).getFirst();
              Tensor y = rank.room(DType.F32, 33);
              Tensor z = rank.room(DType.F32, 33);
              DeviceGroup.Prepared first = rank.prepare(sum, List.of(x), y);
              DeviceGroup.Prepared second = rank.prepare(sum, List.of(x), z);
              try (Program program = rank.device().compile(twice(33))) {
                BoundProgram doubled = program.bind(Map.of("x", x));
                BoundProgram after = program.bind(Map.of("x", y));
                for (int round = 0; round < rounds; round++) {
                  rank.stream().run(doubled);
                  first.start();
                  second.start();
                  first.await();
                  rank.stream().run(after);
                  second.await();
                }
                float[] both = concat(List.of(rank.values(y), rank.values(z)));
                rank.stream().synchronize();
                return both;
              }
            });
    float[] sums = joined(new Subtree(0, ranks), 33, Float::sum);
    float factor = (float) Math.pow(2, rounds); // doubling is exact
    for (float[] values : found) {
      for (int i = 0; i < 33; i++) {
        assertThat(values[i]).isEqualTo(2 * factor * sums[i]);
        assertThat(values[33 + i]).isEqualTo(factor * sums[i]);
      }
    }
  }
}
