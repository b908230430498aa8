package dev.lockstep.transport.efa;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.lockstep.transport.efa.ffi.Fi;
import dev.lockstep.transport.efa.ffi.Layouts;
import dev.lockstep.transport.efa.ffi.Libfabric;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.StructLayout;

/// What a provider says of one domain: a network card, or the whole host.
///
/// @param address of libfabric's own `fi_info`, which lives as long as the discovery it is from
/// @param fabricAttributes address of its `fi_fabric_attr`
/// @param provider libfabric's name of the provider
/// @param fabric name of the network
/// @param domain name of the card
/// @param version of the interface that it keeps to
/// @param caps capabilities
/// @param mode what it asks of whoever calls it
/// @param mrMode what it asks of registrations
/// @param guardsQueues whether it refuses operations that would overrun a completion queue
/// @param dataBytes bytes of immediate data
/// @param injectBytes most bytes of a message that is copied at once and never told as sent, 0
///   where this is not to be used
/// @param maxMessageBytes most bytes of a message; unsigned in libfabric, clamped here
/// @param receives most receives that may be posted
record FabricInfo(
    long address,
    long fabricAttributes,
    String provider,
    String fabric,
    String domain,
    int version,
    long caps,
    long mode,
    int mrMode,
    boolean guardsQueues,
    long dataBytes,
    long injectBytes,
    long maxMessageBytes,
    long receives) {
  /// Name of EFA's provider, and of the network that is spoken by its protocols.
  static final String EFA = "efa";

  /// Name of the network that is EFA's device alone, of libfabric 2.1 and later.
  static final String EFA_DIRECT = "efa-direct";

  static FabricInfo read(Libfabric library, long address) {
    MemorySegment info = library.memory(address, Layouts.INFO.byteSize());
    MemorySegment tx = part(library, info, "tx_attr", Layouts.TX_ATTR);
    MemorySegment rx = part(library, info, "rx_attr", Layouts.RX_ATTR);
    MemorySegment ep = part(library, info, "ep_attr", Layouts.EP_ATTR);
    MemorySegment domain = part(library, info, "domain_attr", Layouts.DOMAIN_ATTR);
    MemorySegment fabric = part(library, info, "fabric_attr", Layouts.FABRIC_ATTR);
    String provider = library.string(word(fabric, Layouts.FABRIC_ATTR, "prov_name"));
    return new FabricInfo(
        address,
        fabric.address(),
        provider,
        library.string(word(fabric, Layouts.FABRIC_ATTR, "name")),
        library.string(word(domain, Layouts.DOMAIN_ATTR, "name")),
        fabric.get(JAVA_INT, Layouts.offset(Layouts.FABRIC_ATTR, "api_version")),
        word(info, Layouts.INFO, "caps"),
        word(info, Layouts.INFO, "mode"),
        domain.get(JAVA_INT, Layouts.offset(Layouts.DOMAIN_ATTR, "mr_mode")),
        domain.get(JAVA_INT, Layouts.offset(Layouts.DOMAIN_ATTR, "resource_mgmt")) == Fi.RM_ENABLED,
        word(domain, Layouts.DOMAIN_ATTR, "cq_data_size"),
        injectBytes(provider, tx),
        clamped(word(ep, Layouts.EP_ATTR, "max_msg_size")),
        clamped(word(rx, Layouts.RX_ATTR, "size")));
  }

  /// The error of a message that was copied at once names no operation and so no peer. EFA tells it
  /// so of each that does not get there; its device copies short messages of their own accord.
  private static long injectBytes(String provider, MemorySegment tx) {
    return provider.equals(EFA) ? 0 : word(tx, Layouts.TX_ATTR, "inject_size");
  }

  private static MemorySegment part(
      Libfabric library, MemorySegment info, String member, StructLayout layout) {
    return library.memory(word(info, Layouts.INFO, member), layout.byteSize());
  }

  static long word(MemorySegment struct, StructLayout layout, String member) {
    return struct.get(JAVA_LONG, Layouts.offset(layout, member));
  }

  private static long clamped(long unsigned) {
    return unsigned < 0 ? Long.MAX_VALUE : unsigned;
  }

  /// Returns whether peers name memory by its address instead of its offset in the registration.
  boolean namesByAddress() {
    return (mrMode & Fi.MR_VIRT_ADDR) != 0;
  }

  /// Returns whether memory that is sent from needs a registration too.
  boolean registersLocal() {
    return (mrMode & Fi.MR_LOCAL) != 0;
  }

  /// Returns whether the provider chooses keys.
  boolean choosesKeys() {
    return (mrMode & Fi.MR_PROV_KEY) != 0;
  }

  /// Returns whether registrations are bound to the endpoint.
  boolean bindsRegistrations() {
    return (mrMode & Fi.MR_ENDPOINT) != 0;
  }

  /// Returns whether registering keeps pages in memory, which the system limits.
  boolean pins() {
    return (mrMode & (Fi.MR_LOCAL | Fi.MR_ALLOCATED)) != 0;
  }

  /// Returns whether a completion queue is never overrun, however many operations are posted and
  /// whatever peers write. EFA says that it guards its queues; its device leaves this one to
  /// whoever posts (`prov/efa/docs/efa_fabric_comparison.md` of libfabric 2.6), and to neither of
  /// its networks a write of a peer is anything that was posted.
  boolean guardsCompletions() {
    return guardsQueues && !provider.equals(EFA);
  }

  /// Returns whether this is EFA's device without the provider's protocols above it.
  boolean isDirect() {
    return fabric.equals(EFA_DIRECT);
  }

  /// Returns what speaks there, as [LinkAddress#fabric].
  String speaks() {
    return isDirect() ? EFA_DIRECT : provider;
  }

  /// Returns whether links can be made of what it does: frames, writes whose immediate data names
  /// their segment, and no demand but memory that is lent to each operation. A card of the first
  /// generations writes by its processor or lets a write consume a receive (`FI_RX_CQ_DATA`).
  boolean isUsable() {
    long needed = Fi.MSG | Fi.RMA;
    return (caps & needed) == needed
        && dataBytes >= Integer.BYTES
        && (mode & ~(Fi.CONTEXT | Fi.CONTEXT2)) == 0;
  }

  /// Returns whether memory of accelerators can be registered by a file descriptor.
  boolean takesDmabufs() {
    return knowsDeviceMemory() && Integer.compareUnsigned(version, Fi.DMABUF_VERSION) >= 0;
  }

  /// Returns whether memory of accelerators can be registered.
  boolean knowsDeviceMemory() {
    return (caps & Fi.HMEM) != 0;
  }

  /// Returns whether immediate data has room for a checksum beside the segment's number. EFA's
  /// device carries 4 bytes, and checks what it carries by itself.
  boolean carriesChecksums() {
    return dataBytes >= Long.BYTES;
  }
}
