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
/// @param caps capabilities
/// @param mrMode what it asks of registrations
/// @param dataBytes bytes of immediate data
/// @param injectBytes most bytes of a message that is copied at once
/// @param maxMessageBytes most bytes of a message; unsigned in libfabric, clamped here
/// @param receives most receives that may be posted
record FabricInfo(
    long address,
    long fabricAttributes,
    String provider,
    String fabric,
    String domain,
    long caps,
    int mrMode,
    long dataBytes,
    long injectBytes,
    long maxMessageBytes,
    long receives) {

  static FabricInfo read(Libfabric library, long address) {
    MemorySegment info = library.memory(address, Layouts.INFO.byteSize());
    MemorySegment tx = part(library, info, "tx_attr", Layouts.TX_ATTR);
    MemorySegment rx = part(library, info, "rx_attr", Layouts.RX_ATTR);
    MemorySegment ep = part(library, info, "ep_attr", Layouts.EP_ATTR);
    MemorySegment domain = part(library, info, "domain_attr", Layouts.DOMAIN_ATTR);
    MemorySegment fabric = part(library, info, "fabric_attr", Layouts.FABRIC_ATTR);
    return new FabricInfo(
        address,
        fabric.address(),
        library.string(word(fabric, Layouts.FABRIC_ATTR, "prov_name")),
        library.string(word(fabric, Layouts.FABRIC_ATTR, "name")),
        library.string(word(domain, Layouts.DOMAIN_ATTR, "name")),
        word(info, Layouts.INFO, "caps"),
        domain.get(JAVA_INT, Layouts.offset(Layouts.DOMAIN_ATTR, "mr_mode")),
        word(domain, Layouts.DOMAIN_ATTR, "cq_data_size"),
        word(tx, Layouts.TX_ATTR, "inject_size"),
        clamped(word(ep, Layouts.EP_ATTR, "max_msg_size")),
        clamped(word(rx, Layouts.RX_ATTR, "size")));
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
