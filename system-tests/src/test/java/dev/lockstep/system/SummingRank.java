package dev.lockstep.system;

import dev.lockstep.collective.Communicator;
import dev.lockstep.collective.CommunicatorOptions;
import dev.lockstep.failure.CollectiveException;
import dev.lockstep.failure.RankLostException;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.job.Job;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;

/// A rank that sums for ever, until a peer dies; then it says when it learned it and what it could
/// not give back.
final class SummingRank {
  private static final long ELEMENTS = 1 << 20;

  private SummingRank() {}

  /// Runs the rank.
  ///
  /// @param arguments the transport
  public static void main(String[] arguments) {
    CommunicatorOptions options = CommunicatorOptions.defaults().withTransport(arguments[0]);
    try (Job job = Job.join()) {
      long before = job.memory().usedBytes();
      try (Communicator world = Communicator.world(job, options)) {
        Buffer buffer = HostMemory.allocate(job.memory(), "sums", ELEMENTS * Float.BYTES);
        Tensor tensor = Tensor.of(buffer, DType.F32, Shape.of(ELEMENTS));
        sum(world, tensor);
        buffer.close();
      }
      say("left", job.memory().usedBytes() - before);
    }
  }

  private static void sum(Communicator world, Tensor tensor) {
    try {
      for (int i = 0; ; i++) {
        world.allReduce(tensor, tensor, new ReduceOp.Max());
        if (i == 20) {
          say("sums", i);
        }
      }
    } catch (RankLostException lost) {
      say("learned", System.nanoTime());
      say("lost", lost.lostRank());
    } catch (CollectiveException other) {
      say("other", other.getClass().getSimpleName() + " " + other.getMessage());
    }
  }

  private static void say(String what, Object value) {
    System.out.println(what + " " + value);
  }
}
