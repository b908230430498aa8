package dev.lockstep.transport.efa;

import dev.lockstep.failure.TransportException;
import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/// What a receiving end publishes: how its rank is reached and what it takes.
///
/// @param link the end's number there
/// @param eagerBytes longest message that comes in frames
/// @param direct whether it is on EFA's device alone, which does not speak the provider's protocols
/// @param names of the rank's endpoint, one for each rail
record LinkAddress(int link, long eagerBytes, boolean direct, List<byte[]> names) {
  private static final byte VERSION = 5;
  private static final int LONGEST_NAME = 256;

  byte[] encoded() {
    ByteBuffer bytes = ByteBuffer.allocate(17 + namesBytes(names));
    bytes.put(VERSION).putInt(link).putLong(eagerBytes).put((byte) (direct ? 1 : 0));
    putNames(bytes, names);
    return written(bytes);
  }

  /// Reads what [#encoded] wrote.
  ///
  /// @throws TransportException if it is something else
  static LinkAddress decode(byte[] encoded, String endpoint) {
    ByteBuffer bytes = ByteBuffer.wrap(encoded);
    try {
      if (bytes.get() == VERSION) {
        return new LinkAddress(
            bytes.getInt(), bytes.getLong(), bytes.get() != 0, getNames(bytes, endpoint));
      }
    } catch (BufferUnderflowException cut) {
      throw unknown(endpoint, encoded.length);
    }
    throw unknown(endpoint, encoded.length);
  }

  /// Checks that both ends are on one network.
  ///
  /// @param mine whether this rank is on EFA's device alone
  /// @param endpoint whose address this is
  /// @throws TransportException if the other end is not as this one
  void requireFabric(boolean mine, String endpoint) {
    if (direct != mine) {
      throw new TransportException(
          endpoint,
          "ranks use EFA in two ways that do not understand each other: this rank %s, %s %s (run one version of libfabric and one kind of EFA device on all hosts; where some have accelerators and others none, set %s=efa on all)"
              .formatted(fabric(mine), endpoint, fabric(direct), Discovery.VARIABLE),
          null);
    }
  }

  private static String fabric(boolean direct) {
    return direct ? FabricInfo.EFA_DIRECT : FabricInfo.EFA;
  }

  private static TransportException unknown(String endpoint, int bytes) {
    return new TransportException(
        endpoint,
        "peer's address is unknown: endpoint=%s, bytes=%d (run one version of Lockstep on all ranks)"
            .formatted(endpoint, bytes),
        null);
  }

  /// Returns the greeting by which a sending end tells the same of itself.
  static byte[] greeting(int rank, int link, List<byte[]> names) {
    ByteBuffer bytes = ByteBuffer.allocate(16 + namesBytes(names));
    bytes.putInt(rank).putInt(link);
    putNames(bytes, names);
    return written(bytes);
  }

  /// A greeting that arrived.
  ///
  /// @param rank of the sender
  /// @param link number of the sending end there
  /// @param names of the sender's endpoint
  record Greeting(int rank, int link, List<byte[]> names) {
    /// Reads what [LinkAddress#greeting] wrote.
    ///
    /// @throws TransportException if it is something else
    static Greeting decode(byte[] encoded) {
      ByteBuffer bytes = ByteBuffer.wrap(encoded);
      try {
        return new Greeting(bytes.getInt(), bytes.getInt(), getNames(bytes, "greeting"));
      } catch (BufferUnderflowException cut) {
        throw unknown("greeting", encoded.length);
      }
    }
  }

  private static int namesBytes(List<byte[]> names) {
    int bytes = 1;
    for (byte[] name : names) {
      bytes += 2 + name.length;
    }
    return bytes;
  }

  private static void putNames(ByteBuffer bytes, List<byte[]> names) {
    bytes.put((byte) names.size());
    for (byte[] name : names) {
      bytes.putShort((short) name.length).put(name);
    }
  }

  private static List<byte[]> getNames(ByteBuffer bytes, String endpoint) {
    int count = bytes.get();
    if (count < 1 || count > FabricOptions.MOST_RAILS) {
      throw unknown(endpoint, bytes.capacity());
    }
    List<byte[]> names = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      int length = bytes.getShort();
      if (length < 0 || length > LONGEST_NAME) {
        throw unknown(endpoint, bytes.capacity());
      }
      byte[] name = new byte[length];
      bytes.get(name);
      names.add(name);
    }
    return names;
  }

  private static byte[] written(ByteBuffer bytes) {
    byte[] all = new byte[bytes.position()];
    bytes.flip().get(all);
    return all;
  }
}
