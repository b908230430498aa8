package dev.lockstep.transport.efa;

import dev.lockstep.transport.efa.ffi.Fi;

/// A provider of libfabric as Lockstep uses it.
///
/// @param name as users write it after `--transport`
/// @param provider libfabric's name
/// @param minor since 1.18 `net` is a part of `tcp`: from this minor version of libfabric on the
///   provider is called `laterProvider`
/// @param laterProvider see there
/// @param oneHost whether it joins ranks of one host only
/// @param bound whether it listens on an address of the host
/// @param frames how long its frames are
/// @param install how to get it where it is missing
record FabricKind(
    String name,
    String provider,
    int minor,
    String laterProvider,
    boolean oneHost,
    boolean bound,
    FrameShape frames,
    String install) {
  private static final String SOFTWARE =
      "install a libfabric that has it: apt-get install libfabric1";

  /// TCP sockets, with reliable datagrams of the provider's own. Not `tcp;ofi_rxm`, which every
  /// libfabric has: it ends the process where a connection ends within a segment (record 157).
  static final FabricKind TCP = tcp("ofi:tcp");

  /// Shared memory and cross-memory attach.
  static final FabricKind SHM = software("ofi:shm", "shm", true, false, FrameShape.COPIED);

  /// UDP, made reliable by `ofi_rxd`: unordered and lossy underneath, as EFA's wire is.
  static final FabricKind UDP = software("ofi:udp", "udp;ofi_rxd", false, true, FrameShape.PACKET);

  /// [#TCP] by libfabric's first name for it.
  static final FabricKind NET = tcp("ofi:net");

  /// Amazon's Elastic Fabric Adapter.
  static final FabricKind EFA =
      new FabricKind(
          "efa",
          "efa",
          Integer.MAX_VALUE,
          "efa",
          false,
          false,
          FrameShape.PACKET,
          "run on an EC2 instance with an EFA interface and install Amazon's EFA installer");

  private static FabricKind tcp(String name) {
    return new FabricKind(name, "net", 18, "tcp", false, true, FrameShape.STREAM, SOFTWARE);
  }

  private static FabricKind software(
      String name, String provider, boolean oneHost, boolean bound, FrameShape frames) {
    return new FabricKind(
        name, provider, Integer.MAX_VALUE, provider, oneHost, bound, frames, SOFTWARE);
  }

  /// Returns libfabric's name of the provider in a version of libfabric.
  ///
  /// @param version as `fi_version` says it
  String providerIn(int version) {
    boolean later = version >>> 16 > 1 || (version & 0xffff) >= minor;
    return later && minor != Integer.MAX_VALUE ? laterProvider : provider;
  }

  /// Returns the interface to ask for: the oldest that is enough. EFA's dma-bufs, and its use of
  /// the device's own writes by default, come with later ones.
  ///
  /// @param version of the library
  int interfaceIn(int version) {
    boolean later = Integer.compareUnsigned(version, Fi.DMABUF_VERSION) >= 0;
    return isEfa() && later ? Fi.DMABUF_VERSION : Fi.API_VERSION;
  }

  /// Returns what to look at where a peer never said anything, in brackets, empty if that is not
  /// known.
  String unheard() {
    return isEfa()
        ? " (the security group of all cards must allow all traffic from and to itself)"
        : "";
  }

  /// Returns whether what is sent arrives in its order, or not at all.
  boolean keepsOrder() {
    return frames.equals(FrameShape.STREAM);
  }

  boolean isEfa() {
    return provider.equals(FabricInfo.EFA);
  }
}
