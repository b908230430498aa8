package dev.lockstep.transport.aeron;

/// How frames travel: Aeron's IPC logs or its UDP protocol, and how large they are.
///
/// @param name transport name
/// @param bindAddress local address for UDP, empty for IPC
/// @param toHost how they travel to ranks of this host
/// @param toNetwork how they travel to other hosts
record Medium(String name, String bindAddress, Way toHost, Way toNetwork) {
  /// Sizes on one way.
  ///
  /// @param mtuBytes largest frame
  /// @param termBytes length of a log's terms; half of it is the most that a receiver lets come
  /// @param logs how many logs a link keeps on this host: IPC ranks share one, UDP has one at each
  ///   end
  record Way(int mtuBytes, int termBytes, int logs) {
    /// What a log takes beside its three terms: metadata, rounded up generously.
    private static final long LOG_META_BYTES = 64 << 10;

    /// Returns what a link takes of this host's shared memory.
    long linkBytes() {
      return logs * (3L * termBytes + LOG_META_BYTES);
    }
  }

  /// Where packets take long, much may be on its way. A frame may take an eighth of a term, and a
  /// mesh of 8 ranks stays under 700 MiB of shared memory.
  private static final int LONG_TERM_BYTES = 4 << 20;

  /// Between ranks of a host, logs that stay in the processor's cache: every byte passes through
  /// two, and both are written once more when they are cleaned.
  private static final int SHORT_TERM_BYTES = 512 << 10;

  /// Aeron's largest IPC frame: the fewer frames, the fewer claims per message.
  private static final int IPC_MTU_BYTES = 65_504;

  static Medium ipc() {
    Way way = new Way(IPC_MTU_BYTES, LONG_TERM_BYTES, 1);
    return new Medium("aeron-ipc", "", way, way);
  }

  static Medium udp(String bindAddress) {
    int window = Math.min(SocketLimits.receiveBytes(), SHORT_TERM_BYTES / 2);
    return new Medium(
        "aeron-udp",
        bindAddress,
        new Way(Mtu.onLoopback(window), SHORT_TERM_BYTES, 2),
        new Way(Mtu.toNetwork(bindAddress, SocketLimits.receiveBytes()), LONG_TERM_BYTES, 1));
  }

  boolean isUdp() {
    return !bindAddress.isEmpty();
  }

  /// Channel on which this rank receives one link in one of its sessions; the kernel chooses the
  /// port. Whoever sends there in another session is passed over before any memory is taken for
  /// what it announces.
  ///
  /// @param stream number of the link on this rank: its sessions share a port by it
  String receiveChannel(int stream, int session) {
    return isUdp()
        ? sendChannel(host() + ":0") + "|tags=" + stream + "|session-id=" + session
        : "aeron:ipc";
  }

  /// Channel on which a peer sends to an address and port.
  static String sendChannel(String endpoint) {
    return "aeron:udp?endpoint=" + endpoint;
  }

  /// Returns the most bytes that a receiver lets come on any way.
  int windowBytes() {
    return Math.min(
        SocketLimits.receiveBytes(), Math.max(toHost.termBytes, toNetwork.termBytes) / 2);
  }

  /// Returns the address as channels write it.
  private String host() {
    return bindAddress.contains(":") ? "[" + bindAddress + "]" : bindAddress;
  }
}
