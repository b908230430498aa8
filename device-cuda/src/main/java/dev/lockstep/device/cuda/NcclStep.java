package dev.lockstep.device.cuda;

import dev.lockstep.device.cuda.ffi.Nccl;
import dev.lockstep.device.cuda.ffi.NcclConfig;
import java.lang.foreign.MemorySegment;
import java.util.List;

/// One step of a collective: what is queued on the stream of a device's collectives. Addresses are
/// fixed, so that queueing allocates nothing.
sealed interface NcclStep {
  /// A step of NCCL's.
  sealed interface Call extends NcclStep, NcclGroup.Calls {
    /// Returns the function, for errors.
    String function();
  }

  /// A launch of a kernel of ours.
  ///
  /// @param function the driver's handle
  /// @param config how and where it is launched, a `CUlaunchConfig`
  /// @param parameters addresses of the parameters
  record Launch(long function, MemorySegment config, MemorySegment parameters)
      implements NcclStep {}

  /// A message of floats between two ranks.
  ///
  /// @param address where they are, or go
  /// @param count how many
  /// @param peer the other rank
  record Message(long address, long count, int peer) {}

  /// Messages that pass at once.
  ///
  /// @param sends what this rank sends, in order
  /// @param receives what it gets, in order
  /// @param stream the stream
  record Messages(List<Message> sends, List<Message> receives, long stream) implements Call {
    public Messages {
      sends = List.copyOf(sends);
      receives = List.copyOf(receives);
    }

    @Override
    public String function() {
      return "ncclSend and ncclRecv";
    }

    @Override
    public int on(Nccl nccl, long communicator) {
      int status = nccl.groupStart();
      for (int i = 0; i < sends.size(); i++) { // an iterator is not always compiled away
        Message send = sends.get(i);
        status =
            worse(
                status,
                nccl.send(
                    send.address, send.count, NcclConfig.FLOAT32, send.peer, communicator, stream));
      }
      for (int i = 0; i < receives.size(); i++) {
        Message receive = receives.get(i);
        status =
            worse(
                status,
                nccl.recv(
                    receive.address,
                    receive.count,
                    NcclConfig.FLOAT32,
                    receive.peer,
                    communicator,
                    stream));
      }
      return worse(status, nccl.groupEnd());
    }
  }

  /// A part of a gathered vector.
  ///
  /// @param from where its owner has it; unused elsewhere
  /// @param to its place in the vector
  /// @param bytes its size
  /// @param owner the rank
  record Part(long from, long to, long bytes, int owner) {}

  /// Gathers parts of different sizes.
  ///
  /// @param parts those that are not empty
  /// @param stream the stream
  record Broadcasts(List<Part> parts, long stream) implements Call {
    public Broadcasts {
      parts = List.copyOf(parts);
    }

    @Override
    public String function() {
      return "ncclBroadcast";
    }

    @Override
    public int on(Nccl nccl, long communicator) {
      int status = nccl.groupStart();
      for (int i = 0; i < parts.size(); i++) {
        Part part = parts.get(i);
        status =
            worse(
                status,
                nccl.broadcast(
                    part.from,
                    part.to,
                    part.bytes,
                    NcclConfig.UINT8,
                    part.owner,
                    communicator,
                    stream));
      }
      return worse(status, nccl.groupEnd());
    }
  }

  /// Gathers parts of one size.
  ///
  /// @param from this rank's part
  /// @param to the vector
  /// @param bytes of a part
  /// @param stream the stream
  record Gather(long from, long to, long bytes, long stream) implements Call {
    @Override
    public String function() {
      return "ncclAllGather";
    }

    @Override
    public int on(Nccl nccl, long communicator) {
      return nccl.allGather(from, to, bytes, NcclConfig.UINT8, communicator, stream);
    }
  }

  /// Sums floats in NCCL's own order.
  ///
  /// @param from this rank's vector
  /// @param to the sum; may be the same memory
  /// @param count its length
  /// @param stream the stream
  record Sum(long from, long to, long count, long stream) implements Call {
    @Override
    public String function() {
      return "ncclAllReduce";
    }

    @Override
    public int on(Nccl nccl, long communicator) {
      return nccl.allReduce(
          from, to, count, NcclConfig.FLOAT32, NcclConfig.SUM, communicator, stream);
    }
  }

  /// Sums floats in NCCL's own order and leaves each rank a part.
  ///
  /// @param from this rank's vector
  /// @param to its part of the sum
  /// @param count of a part
  /// @param stream the stream
  record SumParts(long from, long to, long count, long stream) implements Call {
    @Override
    public String function() {
      return "ncclReduceScatter";
    }

    @Override
    public int on(Nccl nccl, long communicator) {
      return nccl.reduceScatter(
          from, to, count, NcclConfig.FLOAT32, NcclConfig.SUM, communicator, stream);
    }
  }

  /// Returns the status that counts of two: an error before what is in progress.
  private static int worse(int a, int b) {
    return a == NcclConfig.SUCCESS || (a == NcclConfig.IN_PROGRESS && b != NcclConfig.SUCCESS)
        ? b
        : a;
  }
}
