package dev.lockstep.transport.aeron;

import java.net.InetAddress;
import java.net.UnknownHostException;

/// How frames travel: Aeron's IPC logs or its UDP protocol, and how large they are.
///
/// @param name transport name
/// @param bindAddress local address for UDP, empty for IPC
/// @param mtuBytes largest frame
/// @param logsPerLink logs that a link keeps on this host: IPC ranks share one, UDP has one at each
///   end
record Medium(String name, String bindAddress, int mtuBytes, int logsPerLink) {
  /// 4 MiB terms: a frame may take an eighth of one, and a mesh of 8 ranks stays under 700 MiB of
  /// shared memory.
  static final int TERM_BYTES = 4 << 20;

  /// Aeron's largest IPC frame: the fewer frames, the fewer claims per message.
  private static final int IPC_MTU_BYTES = 65_504;

  /// On loopback packets of 8 KiB leave room for 16 in the default window of 128 KiB.
  private static final int LOOPBACK_MTU_BYTES = 8_192;

  /// Between hosts what an Ethernet frame of 1,500 bytes carries, since the path's size is not
  /// known.
  private static final int NETWORK_MTU_BYTES = 1_408;

  static Medium ipc() {
    return new Medium("aeron-ipc", "", IPC_MTU_BYTES, 1);
  }

  static Medium udp(String bindAddress) {
    return new Medium(
        "aeron-udp",
        bindAddress,
        isLoopback(bindAddress) ? LOOPBACK_MTU_BYTES : NETWORK_MTU_BYTES,
        2);
  }

  boolean isUdp() {
    return !bindAddress.isEmpty();
  }

  /// Channel on which this rank receives one link; the kernel chooses the port.
  String receiveChannel() {
    return isUdp() ? "aeron:udp?endpoint=" + bindAddress + ":0" : "aeron:ipc";
  }

  private static boolean isLoopback(String address) {
    try {
      return InetAddress.getByName(address).isLoopbackAddress();
    } catch (UnknownHostException e) {
      return false;
    }
  }
}
