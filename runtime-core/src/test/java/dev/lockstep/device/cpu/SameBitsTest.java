package dev.lockstep.device.cpu;

import dev.lockstep.device.Accuracy;
import dev.lockstep.device.Device;
import dev.lockstep.graph.CompositeCases;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.OpCase;
import dev.lockstep.graph.PrimitiveCases;
import dev.lockstep.graph.RandomCases;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/// The scalar path, vectors of every width and one to eight threads give the same bits, on random
/// shapes, which are also held against float64; and eight threads on the cases of every device
/// ([CpuDeviceContractTest] has them on every width and up to three).
@Timeout(60)
class SameBitsTest {
  private static final int MOST_THREADS = 8;
  private static final List<Device> DEVICES = new ArrayList<>();

  @BeforeAll
  static void open() {
    DEVICES.add(GraphRun.device(1, KernelSet.SCALAR_BITS));
    for (int bits = 128; bits <= KernelSet.preferredBits(); bits *= 2) {
      DEVICES.add(GraphRun.device(1, bits));
    }
    for (int threads = 2; threads <= MOST_THREADS; threads++) {
      DEVICES.add(GraphRun.device(threads, 0));
    }
    DEVICES.add(GraphRun.device(MOST_THREADS, KernelSet.SCALAR_BITS));
  }

  @AfterAll
  static void close() {
    DEVICES.forEach(Device::close);
  }

  static Stream<OpCase> everything() {
    return Stream.of(PrimitiveCases.all(), CompositeCases.all()).flatMap(List::stream);
  }

  static LongStream seeds() {
    return LongStream.rangeClosed(2, 15);
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("everything")
  void eightThreadsHaveTheSameBits(OpCase op) {
    compare(op, List.of(DEVICES.getLast(), DEVICES.get(DEVICES.size() - 2)), op.toString());
  }

  /// More of them in [#manyRandomShapes].
  @ParameterizedTest(name = "seed={0}")
  @ValueSource(longs = 1)
  void randomShapesAreCloseToFloat64AndThreadsAndWidthsDoNotMatter(long seed) {
    for (OpCase op : RandomCases.of(seed)) {
      String what = "seed=" + seed + ", op=" + op;
      List<double[]> found = compare(op, DEVICES.subList(1, DEVICES.size()), what);
      List<double[]> expected = op.expected();
      for (int i = 0; i < expected.size(); i++) {
        try {
          Accuracy.check(op.op(), found.get(i), expected.get(i));
        } catch (AssertionError wrong) {
          throw new AssertionError("result is wrong: result=%d, %s".formatted(i, what), wrong);
        }
      }
    }
  }

  @Tag("long")
  @ParameterizedTest(name = "seed={0}")
  @MethodSource("seeds")
  void manyRandomShapes(long seed) {
    randomShapesAreCloseToFloat64AndThreadsAndWidthsDoNotMatter(seed);
  }

  /// Compares all devices with the scalar path and returns what that one found.
  private static List<double[]> compare(OpCase op, List<Device> devices, String what) {
    try (GraphRun scalar = new GraphRun(DEVICES.getFirst(), op.graph())) {
      List<double[]> expected = scalar.run(op.inputs());
      for (Device device : devices) {
        try (GraphRun run = new GraphRun(device, op.graph())) {
          run.copyFrom(scalar).run();
          for (Graph.Named output : run.program().graph().outputs()) {
            MemorySegment found = run.output(output.name()).segment();
            long at = found.mismatch(scalar.output(output.name()).segment());
            if (at >= 0) {
              throw new AssertionError(
                  "bits differ from the scalar path's: result=%s, byte=%d, device=%s, %s"
                      .formatted(output.name(), at, device.info(), what));
            }
          }
        }
      }
      return expected;
    }
  }
}
