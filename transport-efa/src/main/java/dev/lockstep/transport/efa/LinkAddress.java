package dev.lockstep.transport.efa;

import dev.lockstep.failure.TransportException;
import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/// What a receiving end publishes: how its rank is reached and what it takes.
///
/// @param link the end's number there
/// @param eagerBytes longest message that comes in frames
/// @param fabric what speaks there: a provider by libfabric's name, of EFA's its network
/// @param names of the rank's endpoint, one for each rail
record LinkAddress(int link, long eagerBytes, String fabric, List<byte[]> names) {
  private static final byte VERSION = 6;
  private static final int LONGEST_NAME = 256;

  private static final String OF_EFA =
      "run one version of libfabric and one kind of EFA device on all hosts; where some have"
          + " accelerators and others none, set "
          + Discovery.VARIABLE
          + "=efa on all";
  private static final String OF_TCP =
      "libfabric's TCP is net before 1.18 and tcp since: run one version on all hosts, which"
          + " LOCKSTEP_LIBFABRIC can name";

  byte[] encoded() {
    byte[] speaks = fabric.getBytes(StandardCharsets.US_ASCII);
    ByteBuffer bytes = ByteBuffer.allocate(18 + speaks.length + namesBytes(names));
    bytes.put(VERSION).putInt(link).putLong(eagerBytes);
    putName(bytes, speaks);
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
            bytes.getInt(),
            bytes.getLong(),
            new String(getName(bytes, endpoint), StandardCharsets.US_ASCII),
            getNames(bytes, endpoint));
      }
    } catch (BufferUnderflowException cut) {
      throw unknown(endpoint, encoded.length);
    }
    throw unknown(endpoint, encoded.length);
  }

  /// Checks that both ends speak alike.
  ///
  /// @param mine what speaks in this rank
  /// @param endpoint whose address this is
  /// @throws TransportException if the other end is not as this one
  void requireFabric(String mine, String endpoint) {
    if (fabric.equals(mine)) {
      return;
    }
    String remedy = mine.startsWith(FabricInfo.EFA) ? OF_EFA : OF_TCP;
    throw new TransportException(
        endpoint,
        "ranks use libfabric in two ways that do not understand each other: this rank %s, %s %s (%s)"
            .formatted(mine, endpoint, fabric, remedy),
        null);
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
      putName(bytes, name);
    }
  }

  private static void putName(ByteBuffer bytes, byte[] name) {
    bytes.putShort((short) name.length).put(name);
  }

  private static List<byte[]> getNames(ByteBuffer bytes, String endpoint) {
    int count = bytes.get();
    if (count < 1 || count > FabricOptions.MOST_RAILS) {
      throw unknown(endpoint, bytes.capacity());
    }
    List<byte[]> names = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      names.add(getName(bytes, endpoint));
    }
    return names;
  }

  private static byte[] getName(ByteBuffer bytes, String endpoint) {
    int length = bytes.getShort();
    if (length < 0 || length > LONGEST_NAME) {
      throw unknown(endpoint, bytes.capacity());
    }
    byte[] name = new byte[length];
    bytes.get(name);
    return name;
  }

  private static byte[] written(ByteBuffer bytes) {
    byte[] all = new byte[bytes.position()];
    bytes.flip().get(all);
    return all;
  }
}
