package dev.lockstep.transport.aeron;

import io.aeron.logbuffer.FrameDescriptor;
import java.io.IOException;
import java.net.InetAddress;
import java.net.NetworkInterface;

/// How large Aeron's packets may be, so that none is cut into fragments on its way: then one lost
/// fragment would lose them all.
final class Mtu {
  /// Ethernet, where nothing else is known.
  private static final int ETHERNET_BYTES = 1_500;

  /// The interface that ranks of one host reach each other by, whatever address they use.
  private static final int LOOPBACK_BYTES = 65_536;

  /// Headers of IP and UDP, and room for a tunnel's: of Ethernet's 1,500 bytes 1,408 remain, as
  /// Aeron's own default has it.
  private static final int HEADERS_BYTES = 92;

  /// A window of fewer frames would make the ends wait for each other.
  private static final int FRAMES_PER_WINDOW = 8;

  private Mtu() {}

  /// Returns the largest packet between ranks of one host.
  static int onLoopback(int windowBytes) {
    return Math.min(packetBytes(LOOPBACK_BYTES), windowBytes / FRAMES_PER_WINDOW);
  }

  /// Returns the largest packet that the interface with an address takes.
  static int ofInterface(String address) {
    try {
      NetworkInterface found = NetworkInterface.getByInetAddress(InetAddress.getByName(address));
      return packetBytes(found == null ? ETHERNET_BYTES : found.getMTU());
    } catch (IOException unknown) {
      return packetBytes(ETHERNET_BYTES);
    }
  }

  static int packetBytes(int interfaceBytes) {
    int alignment = FrameDescriptor.FRAME_ALIGNMENT;
    return (interfaceBytes - HEADERS_BYTES) / alignment * alignment;
  }
}
