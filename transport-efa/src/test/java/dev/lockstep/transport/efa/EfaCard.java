package dev.lockstep.transport.efa;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import dev.lockstep.transport.efa.ffi.Fi;
import dev.lockstep.transport.efa.ffi.Layouts;
import dev.lockstep.transport.efa.ffi.Libfabric;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// One entry of the list of EFA's cards, and what has to be asked for to get it: the rules of
/// `ofi_check_info` and of `prov/efa/src/efa_user_info.c` of libfabric 2.6 that the hints of this
/// module touch.
///
/// @param domain name of the card
/// @param fabric `efa` or `efa-direct`
/// @param memory whether it reaches memory of accelerators
/// @param consumes whether a write with immediate data consumes a receive of its target
record EfaCard(String domain, String fabric, boolean memory, boolean consumes) {
  /// What a port of EFA carries in one message.
  static final long PACKET_BYTES = 8928;

  /// What a card writes at once.
  static final long WRITE_BYTES = 1L << 30;

  static final long SENDS = 4096;
  static final long RECEIVES = 8192;
  private static final long INLINE_BYTES = 32;
  private static final long INJECT_BYTES = 4096;

  // rdma/fabric.h: FI_REMOTE_READ, FI_LOCAL_COMM, FI_REMOTE_COMM, FI_SOURCE; FI_TAGGED, FI_ATOMIC,
  // FI_MULTI_RECV, FI_DIRECTED_RECV
  private static final long DIRECTIONS =
      Fi.SEND | Fi.RECV | Fi.READ | Fi.WRITE | 1L << 12 | Fi.REMOTE_WRITE;
  private static final long DEVICE = Fi.MSG | Fi.RMA | DIRECTIONS | 1L << 51 | 1L << 52 | Fi.SOURCE;
  private static final long PROTOCOLS = 1L << 3 | 1L << 4 | 1L << 16 | 1L << 59;

  private static final int ADDRESS_EFA = 12;
  private static final int PROGRESS_AUTO = 1;
  private static final int THREADS_SAFE = 1;

  static EfaCard of(String domain, String fabric) {
    return new EfaCard(domain, fabric, false, false);
  }

  EfaCard reachingAccelerators() {
    return new EfaCard(domain, fabric, true, consumes);
  }

  EfaCard consumingReceives() {
    return new EfaCard(domain, fabric, memory, true);
  }

  boolean isDirect() {
    return fabric.equals(FabricInfo.EFA_DIRECT);
  }

  /// Returns the most bytes of a message that is copied at once.
  long injectBytes() {
    return isDirect() ? INLINE_BYTES : INJECT_BYTES;
  }

  /// The parts of an `fi_info`.
  private record Parts(
      MemorySegment info,
      MemorySegment tx,
      MemorySegment rx,
      MemorySegment ep,
      MemorySegment domain,
      MemorySegment fabric) {
    static Parts of(Libfabric library, MemorySegment info) {
      return new Parts(
          info,
          part(library, info, "tx_attr"),
          part(library, info, "rx_attr"),
          part(library, info, "ep_attr"),
          part(library, info, "domain_attr"),
          part(library, info, "fabric_attr"));
    }

    private static MemorySegment part(Libfabric library, MemorySegment info, String member) {
      return library.memory(FabricInfo.word(info, Layouts.INFO, member), Layouts.OVERSIZE);
    }

    long caps() {
      return FabricInfo.word(info, Layouts.INFO, "caps");
    }

    int domain(String member) {
      return domain.get(JAVA_INT, Layouts.offset(Layouts.DOMAIN_ATTR, member));
    }
  }

  /// Returns whether hints ask for nothing that the card has not, and take all that it wants.
  boolean isOffered(Libfabric library, MemorySegment hints) {
    Parts asked = Parts.of(library, hints);
    return isNamed(library, asked)
        && hasCapabilities(asked)
        && isTaken(asked)
        && fitsDomain(asked)
        && fitsQueues(asked);
  }

  private boolean isNamed(Libfabric library, Parts asked) {
    String provider =
        library.string(FabricInfo.word(asked.fabric, Layouts.FABRIC_ATTR, "prov_name"));
    String name = library.string(FabricInfo.word(asked.fabric, Layouts.FABRIC_ATTR, "name"));
    int format = asked.info.get(JAVA_INT, Layouts.offset(Layouts.INFO, "addr_format"));
    int type = asked.ep.get(JAVA_INT, Layouts.offset(Layouts.EP_ATTR, "type"));
    return (provider.isEmpty() || provider.equals("efa"))
        && (name.isEmpty() || name.equals(fabric))
        && (format == 0 || format == ADDRESS_EFA)
        && (type == 0 || type == Fi.EP_RDM);
  }

  private boolean hasCapabilities(Parts asked) {
    long has = DEVICE | (isDirect() ? 0 : PROTOCOLS) | (memory ? Fi.HMEM : 0);
    boolean hostOnly = (asked.caps() & Fi.HMEM) == 0;
    return (asked.caps() & ~has) == 0
        && (hostOnly || (asked.domain("mr_mode") & Fi.MR_HMEM) != 0)
        && !(isDirect() && consumes && (asked.caps() & Fi.RMA) != 0 && !lendsReceives(asked));
  }

  private static boolean lendsReceives(Parts asked) {
    return (FabricInfo.word(asked.info, Layouts.INFO, "mode") & Fi.RX_CQ_DATA) != 0;
  }

  /// Whether the caller bears what the card wants of it: contexts, for the device alone.
  private boolean isTaken(Parts asked) {
    long wanted = isDirect() ? Fi.CONTEXT2 : 0;
    long mode = FabricInfo.word(asked.info, Layouts.INFO, "mode");
    long tx = FabricInfo.word(asked.tx, Layouts.TX_ATTR, "mode");
    long rx = FabricInfo.word(asked.rx, Layouts.RX_ATTR, "mode");
    return (mode & wanted) == wanted
        && ((tx == 0 ? mode : tx) & wanted) == wanted
        && ((rx == 0 ? mode : rx) & wanted) == wanted;
  }

  private boolean fitsDomain(Parts asked) {
    int threading = asked.domain("threading");
    int progress = asked.domain("data_progress");
    int modes = registrationModes(asked.caps()) & (isDirect() ? -1 : ~Fi.MR_LOCAL);
    return (threading == 0 || threading >= THREADS_SAFE)
        && (isDirect() || progress != PROGRESS_AUTO)
        && (asked.domain("mr_mode") & modes) == modes
        && FabricInfo.word(asked.domain, Layouts.DOMAIN_ATTR, "cq_data_size") <= Integer.BYTES;
  }

  private boolean fitsQueues(Parts asked) {
    long orders = isDirect() ? 0 : 1L << 8; // FI_ORDER_SAS
    long longest = isDirect() ? WRITE_BYTES : -1;
    return FabricInfo.word(asked.tx, Layouts.TX_ATTR, "size") <= SENDS
        && FabricInfo.word(asked.rx, Layouts.RX_ATTR, "size") <= RECEIVES
        && FabricInfo.word(asked.tx, Layouts.TX_ATTR, "inject_size") <= injectBytes()
        && (FabricInfo.word(asked.tx, Layouts.TX_ATTR, "msg_order") & ~orders) == 0
        && (FabricInfo.word(asked.rx, Layouts.RX_ATTR, "msg_order") & ~orders) == 0
        && FabricInfo.word(asked.tx, Layouts.TX_ATTR, "comp_order") == 0
        && Long.compareUnsigned(FabricInfo.word(asked.ep, Layouts.EP_ATTR, "max_msg_size"), longest)
            <= 0;
  }

  private int registrationModes(long caps) {
    return Fi.MR_VIRT_ADDR
        | Fi.MR_ALLOCATED
        | Fi.MR_PROV_KEY
        | Fi.MR_LOCAL
        | ((caps & Fi.HMEM) != 0 ? Fi.MR_HMEM : 0);
  }

  /// Writes the entry as it answers hints that [#isOffered].
  ///
  /// @param version of the library
  /// @param api interface that was asked for
  /// @param next address of the entry behind it
  /// @return its address
  long answer(
      Arena arena, Libfabric library, int version, int api, MemorySegment hints, long next) {
    Parts asked = Parts.of(library, hints);
    long caps = asked.caps();
    MemorySegment tx = Discovery.struct(arena);
    long sends = FabricInfo.word(asked.tx, Layouts.TX_ATTR, "size");
    Discovery.set(tx, Layouts.TX_ATTR, "size", sends == 0 ? SENDS : sends);
    Discovery.set(tx, Layouts.TX_ATTR, "inject_size", injectBytes());
    MemorySegment rx = Discovery.struct(arena);
    long receives = FabricInfo.word(asked.rx, Layouts.RX_ATTR, "size");
    Discovery.set(rx, Layouts.RX_ATTR, "size", receives == 0 ? RECEIVES : receives);
    MemorySegment ep = Discovery.struct(arena);
    Discovery.set(ep, Layouts.EP_ATTR, "max_msg_size", isDirect() ? WRITE_BYTES : -1L);
    MemorySegment of = Discovery.struct(arena);
    Discovery.set(of, Layouts.DOMAIN_ATTR, "name", arena.allocateFrom(domain).address());
    Discovery.set(of, Layouts.DOMAIN_ATTR, "mr_mode", registrationModes(caps));
    Discovery.set(of, Layouts.DOMAIN_ATTR, "resource_mgmt", Fi.RM_ENABLED);
    // In version 1 the provider's protocols carried 8 bytes.
    Discovery.set(of, Layouts.DOMAIN_ATTR, "cq_data_size", version >>> 16 > 1 ? 4L : 8L);
    MemorySegment network = Discovery.struct(arena);
    Discovery.set(network, Layouts.FABRIC_ATTR, "name", arena.allocateFrom(fabric).address());
    Discovery.set(network, Layouts.FABRIC_ATTR, "prov_name", arena.allocateFrom("efa").address());
    network.set(JAVA_INT, Layouts.offset(Layouts.FABRIC_ATTR, "api_version"), api);
    MemorySegment entry = Discovery.struct(arena);
    Discovery.set(entry, Layouts.INFO, "next", next);
    Discovery.set(entry, Layouts.INFO, "caps", caps | DIRECTIONS);
    Discovery.set(entry, Layouts.INFO, "mode", isDirect() ? Fi.CONTEXT2 : 0L);
    Discovery.set(entry, Layouts.INFO, "tx_attr", tx.address());
    Discovery.set(entry, Layouts.INFO, "rx_attr", rx.address());
    Discovery.set(entry, Layouts.INFO, "ep_attr", ep.address());
    Discovery.set(entry, Layouts.INFO, "domain_attr", of.address());
    Discovery.set(entry, Layouts.INFO, "fabric_attr", network.address());
    return entry.address();
  }
}
