package dev.lockstep.transport.aeron;

import dev.lockstep.failure.ConfigurationException;
import io.aeron.logbuffer.FrameDescriptor;
import java.io.IOException;
import java.net.InetAddress;
import java.net.NetworkInterface;
import org.jspecify.annotations.Nullable;

/// How large Aeron's packets may be, so that none is cut into fragments on its way: then one lost
/// fragment would lose them all.
final class Mtu {
  /// Names the largest packet that every hop between a job's hosts takes, headers included.
  static final String VARIABLE = "LOCKSTEP_AERON_MTU";

  /// Ethernet: what any way between hosts takes. Interfaces may say more than the way does, and a
  /// packet that is too long for it would be lost without a word.
  private static final int ETHERNET_BYTES = 1_500;

  /// The shortest that IPv6 allows.
  private static final int LEAST_BYTES = 1_280;

  /// The interface that ranks of one host reach each other by, whatever address they use.
  private static final int LOOPBACK_BYTES = 65_536;

  /// Headers of IP and UDP, and room for a tunnel's: of Ethernet's 1,500 bytes 1,408 remain, as
  /// Aeron's own default has it.
  private static final int HEADERS_BYTES = 92;

  /// What Linux adds to a packet in the memory that it takes for it: headers, and 320 bytes about
  /// its parts. It takes powers of two, so that a packet of one takes twice as much.
  private static final int KERNEL_BYTES = 512;

  /// A window of fewer frames would make the ends wait for each other: how many on this host, where
  /// each end answers at once, and how many between hosts.
  private static final int FRAMES_PER_NEAR_WINDOW = 4;

  private static final int FRAMES_PER_WINDOW = 8;

  private Mtu() {}

  /// Returns the largest packet between ranks of one host.
  ///
  /// @param windowBytes a power of two
  static int onLoopback(int windowBytes) {
    return Math.min(LOOPBACK_BYTES, windowBytes / FRAMES_PER_NEAR_WINDOW) - KERNEL_BYTES;
  }

  /// Returns the largest packet to other hosts.
  ///
  /// @param address of this host's interface
  static int toNetwork(String address, int windowBytes) {
    int path = pathBytes(System.getenv(VARIABLE));
    return toNetwork(Math.min(path, interfaceBytes(address)), windowBytes);
  }

  static int toNetwork(int pathBytes, int windowBytes) {
    return Math.min(packetBytes(pathBytes), packetBytes(windowBytes / FRAMES_PER_WINDOW));
  }

  /// Returns what the way between hosts takes.
  ///
  /// @param told by whoever knows it
  static int pathBytes(@Nullable String told) {
    if (told == null || told.isEmpty()) {
      return ETHERNET_BYTES;
    }
    try {
      int bytes = Integer.parseInt(told);
      if (bytes >= LEAST_BYTES && bytes <= LOOPBACK_BYTES) {
        return bytes;
      }
    } catch (NumberFormatException _) {
      // said below
    }
    throw new ConfigurationException(
        VARIABLE,
        told,
        "size of packets is impossible: %s=%s (use %d to %d bytes, as `ip link` shows them on every hop)"
            .formatted(VARIABLE, told, LEAST_BYTES, LOOPBACK_BYTES));
  }

  /// Returns what the interface with an address takes.
  static int interfaceBytes(String address) {
    try {
      NetworkInterface found = NetworkInterface.getByInetAddress(InetAddress.getByName(address));
      return found == null ? ETHERNET_BYTES : found.getMTU();
    } catch (IOException unknown) {
      return ETHERNET_BYTES;
    }
  }

  static int packetBytes(int interfaceBytes) {
    int alignment = FrameDescriptor.FRAME_ALIGNMENT;
    return (interfaceBytes - HEADERS_BYTES) / alignment * alignment;
  }
}
