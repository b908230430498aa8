package dev.lockstep.train;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.graph.Graph;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.Scope;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.parallel.SplitProgram;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;

/// What programs make of numbers of each rank's own.
final class ProgramBits {
  private ProgramBits() {}

  /// Runs a program that may divide by nothing; without what was gathered it may look for what is
  /// not there, alike on all ranks.
  static String ofWrong(RankCompute compute, int rank, Graph graph) {
    try {
      return of(compute, rank, graph, false);
    } catch (IndexOutOfBoundsException refused) {
      return "refused";
    }
  }

  /// Runs a program on numbers of this rank's own and returns the bits of what it gives, which are
  /// numbers.
  static String of(RankCompute compute, int rank, Graph graph) {
    return of(compute, rank, graph, true);
  }

  private static String of(RankCompute open, int rank, Graph graph, boolean isRight) {
    try (Scope scope = new Scope()) {
      RankCompute compute = open.in(scope);
      Map<String, Tensor> tensors = new HashMap<>();
      for (Graph.Named input : graph.inputs()) {
        tensors.put(input.name(), filled(compute, input, rank));
      }
      SplitProgram program = new SplitProgram(scope, compute.device(), graph, compute.exchange());
      for (Graph.Named output : graph.outputs()) {
        if (!graph.aliases().containsKey(output.name())) {
          tensors.put(output.name(), allocated(compute, output));
        }
      }
      program.bind(tensors).run(compute.stream());
      compute.stream().synchronize();
      StringBuilder bits = new StringBuilder();
      for (Graph.Named output : graph.outputs()) {
        String name = graph.aliases().getOrDefault(output.name(), output.name());
        MemorySegment memory = requireNonNull(tensors.get(name)).segment();
        for (long i = 0; i < memory.byteSize() / Float.BYTES; i++) {
          float number = memory.getAtIndex(ValueLayout.JAVA_FLOAT, i);
          assertThat(isRight && Float.isNaN(number)).as(name).isFalse();
          bits.append(memory.getAtIndex(ValueLayout.JAVA_INT, i)).append(' ');
        }
      }
      return bits.toString();
    }
  }

  private static Tensor allocated(RankCompute compute, Graph.Named named) {
    ValueType type = named.value().type();
    Buffer buffer = compute.allocateShared(named.name(), type.bytes());
    return Tensor.of(buffer, type.dtype(), type.shape());
  }

  /// Numbers by name and rank: alike on no two ranks, so that every collective matters.
  private static Tensor filled(RankCompute compute, Graph.Named input, int rank) {
    Tensor tensor = allocated(compute, input);
    Random random = new Random(31L * input.name().hashCode() + rank);
    MemorySegment memory = tensor.segment();
    for (long i = 0; i < memory.byteSize() / Float.BYTES; i++) {
      if (tensor.dtype() == DType.I32) {
        boolean isOrder = input.name().equals(StepGraph.LEAF_ORDER);
        memory.setAtIndex(ValueLayout.JAVA_INT, i, isOrder ? (int) i : random.nextInt(256));
      } else {
        memory.setAtIndex(ValueLayout.JAVA_FLOAT, i, 0.01f + random.nextFloat() / 2);
      }
    }
    return tensor;
  }
}
