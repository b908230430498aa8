package dev.lockstep.transport.efa;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.lockstep.memory.LockedMemory;
import dev.lockstep.transport.efa.ffi.Fi;
import dev.lockstep.transport.efa.ffi.Layouts;
import dev.lockstep.transport.efa.ffi.Libfabric;
import dev.lockstep.transport.efa.ffi.LibfabricLookup;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.StructLayout;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;

/// The domains that a provider offers here, owned until [#close].
final class Discovery implements AutoCloseable {
  /// Environment variable that names the one of EFA's networks to take, `efa` or `efa-direct`.
  static final String VARIABLE = "LOCKSTEP_EFA_FABRIC";

  private final Libfabric library;
  private final FabricKind kind;
  private final long list;
  private final List<FabricInfo> domains;
  private boolean closed;

  private Discovery(Libfabric library, FabricKind kind, long list, List<FabricInfo> domains) {
    this.library = library;
    this.kind = kind;
    this.list = list;
    this.domains = domains;
  }

  /// A provider cannot be used here.
  static final class AbsentException extends Exception {
    private static final long serialVersionUID = 1L;

    AbsentException(String reason) {
      super(reason);
    }
  }

  /// Asks libfabric for a provider's domains.
  ///
  /// @param bindAddress local address of providers that listen on one
  /// @throws AbsentException with one sentence, if the library or the provider is missing
  static Discovery of(FabricKind kind, String bindAddress) throws AbsentException {
    return switch (LibfabricLookup.find()) {
      case LibfabricLookup.Absent(String reason) -> throw new AbsentException(reason);
      case LibfabricLookup.Found(Libfabric library, String file) -> {
        String only = System.getenv(VARIABLE);
        yield ask(library, file, kind, bindAddress, only == null ? "" : only);
      }
    };
  }

  /// What may be asked for, the best first.
  ///
  /// @param fabric name of a network, empty for any
  /// @param caps capabilities beside those that links need
  private record Wish(String fabric, long caps) {}

  /// Memory of accelerators comes first, since a job may have nothing else to send; then EFA's
  /// device without the provider's protocols, which copy and order what links neither want copied
  /// nor ordered. Not every version and device has either.
  ///
  /// @param only the one of EFA's networks that may be taken, empty for either
  private static List<Wish> wishes(FabricKind kind, String only) {
    if (!kind.isEfa()) {
      return List.of(new Wish("", 0));
    }
    return Stream.of(
            new Wish(FabricInfo.EFA_DIRECT, Fi.HMEM),
            new Wish("", Fi.HMEM),
            new Wish(FabricInfo.EFA_DIRECT, 0),
            new Wish("", 0))
        .filter(wish -> !wish.fabric().isEmpty() || !only.equals(FabricInfo.EFA_DIRECT))
        .filter(wish -> wish.fabric().isEmpty() || !only.equals(FabricInfo.EFA))
        .toList();
  }

  /// Asks a library for a provider's domains.
  ///
  /// @param file the library's, for people
  static Discovery ask(Libfabric library, String file, FabricKind kind, String bindAddress)
      throws AbsentException {
    return ask(library, file, kind, bindAddress, "");
  }

  /// Asks a library for a provider's domains.
  ///
  /// @param file the library's, for people
  /// @param only the one of EFA's networks that may be taken, empty for either
  static Discovery ask(
      Libfabric library, String file, FabricKind kind, String bindAddress, String only)
      throws AbsentException {
    if (kind.isEfa() && !List.of("", FabricInfo.EFA, FabricInfo.EFA_DIRECT).contains(only)) {
      throw new AbsentException(
          "EFA has no such network: %s=%s (efa or efa-direct)".formatted(VARIABLE, only));
    }
    String provider = kind.providerIn(library.version());
    int status = -Fi.ENODATA;
    try (Arena arena = Arena.ofConfined()) {
      for (Wish wish : wishes(kind, only)) {
        MemorySegment info = arena.allocate(JAVA_LONG);
        status =
            library.getinfo(
                kind.interfaceIn(library.version()),
                kind.bound() ? arena.allocateFrom(bindAddress) : MemorySegment.NULL,
                kind.bound() ? arena.allocateFrom("0") : MemorySegment.NULL,
                kind.bound() ? Fi.SOURCE : 0,
                hints(arena, provider, wish),
                info);
        if (status == 0) {
          long list = info.get(JAVA_LONG, 0);
          List<FabricInfo> domains = distinct(library, list, only);
          if (!domains.isEmpty()) {
            return new Discovery(library, kind, list, domains);
          }
          library.freeinfo(list);
          status = -Fi.ENODATA;
        }
      }
    }
    requireNoOther(library, file, kind, bindAddress, only);
    throw new AbsentException(
        "libfabric has no such provider here: provider=%s, file=%s, version=%s, fi_getinfo=%d %s (%s)"
            .formatted(
                provider,
                file,
                LibfabricLookup.version(library),
                status,
                library.strerror(-status),
                kind.install()));
  }

  /// Throws if the one network that may be taken is not here and the other is.
  private static void requireNoOther(
      Libfabric library, String file, FabricKind kind, String bindAddress, String only)
      throws AbsentException {
    if (!kind.isEfa() || only.isEmpty()) {
      return;
    }
    String there;
    try (Discovery found = ask(library, file, kind, bindAddress)) {
      there = found.domains.getFirst().fabric();
    } catch (AbsentException none) {
      return;
    }
    throw new AbsentException(
        "EFA's network is not here: %s=%s, found=%s (name what is found, on all hosts, or unset it)"
            .formatted(VARIABLE, only, there));
  }

  /// What is asked for: reliable datagrams, writes with immediate data, and no order of anything.
  private static MemorySegment hints(Arena arena, String provider, Wish wish) {
    MemorySegment tx = struct(arena);
    // Providers allocate and touch buffers for as many operations as they announce.
    set(tx, Layouts.TX_ATTR, "size", (long) Integer.highestOneBit(2 * (Rail.FRAMES + Rail.WRITES)));
    MemorySegment rx = struct(arena);
    MemorySegment ep = struct(arena);
    set(ep, Layouts.EP_ATTR, "type", Fi.EP_RDM);
    MemorySegment domain = struct(arena);
    set(domain, Layouts.DOMAIN_ATTR, "threading", Fi.THREAD_DOMAIN);
    set(domain, Layouts.DOMAIN_ATTR, "control_progress", Fi.PROGRESS_MANUAL);
    set(domain, Layouts.DOMAIN_ATTR, "data_progress", Fi.PROGRESS_MANUAL);
    if (wish.fabric().isEmpty()) {
      set(domain, Layouts.DOMAIN_ATTR, "resource_mgmt", Fi.RM_ENABLED);
    }
    set(domain, Layouts.DOMAIN_ATTR, "av_type", Fi.AV_TABLE);
    int modes = Fi.MR_LOCAL | Fi.MR_VIRT_ADDR | Fi.MR_ALLOCATED | Fi.MR_PROV_KEY | Fi.MR_ENDPOINT;
    set(domain, Layouts.DOMAIN_ATTR, "mr_mode", wish.caps() == 0 ? modes : modes | Fi.MR_HMEM);
    MemorySegment fabric = struct(arena);
    set(fabric, Layouts.FABRIC_ATTR, "prov_name", arena.allocateFrom(provider).address());
    if (!wish.fabric().isEmpty()) {
      set(fabric, Layouts.FABRIC_ATTR, "name", arena.allocateFrom(wish.fabric()).address());
    }
    MemorySegment hints = struct(arena);
    set(hints, Layouts.INFO, "caps", Fi.MSG | Fi.RMA | wish.caps());
    set(hints, Layouts.INFO, "mode", Fi.CONTEXT | Fi.CONTEXT2);
    set(hints, Layouts.INFO, "tx_attr", tx.address());
    set(hints, Layouts.INFO, "rx_attr", rx.address());
    set(hints, Layouts.INFO, "ep_attr", ep.address());
    set(hints, Layouts.INFO, "domain_attr", domain.address());
    set(hints, Layouts.INFO, "fabric_attr", fabric.address());
    return hints;
  }

  /// One usable entry for each domain, the first: a provider lists a card once per address and
  /// mode. All are of one network, whose ends alone understand each other.
  private static List<FabricInfo> distinct(Libfabric library, long list, String only) {
    List<FabricInfo> domains = new ArrayList<>();
    Set<String> seen = new HashSet<>();
    for (long at = list; at != 0; ) {
      MemorySegment info = library.memory(at, Layouts.INFO.byteSize());
      FabricInfo found = FabricInfo.read(library, at);
      boolean ofOne = domains.isEmpty() || domains.getFirst().isDirect() == found.isDirect();
      boolean mayBe = !found.isDirect() || !only.equals(FabricInfo.EFA);
      if (found.isUsable() && mayBe && ofOne && seen.add(found.domain())) {
        domains.add(found);
      }
      at = FabricInfo.word(info, Layouts.INFO, "next");
    }
    return List.copyOf(domains);
  }

  static MemorySegment struct(Arena arena) {
    return arena.allocate(Layouts.OVERSIZE, Long.BYTES);
  }

  static void set(MemorySegment struct, StructLayout layout, String member, long value) {
    struct.set(JAVA_LONG, Layouts.offset(layout, member), value);
  }

  static void set(MemorySegment struct, StructLayout layout, String member, int value) {
    struct.set(JAVA_INT, Layouts.offset(layout, member), value);
  }

  Libfabric library() {
    return library;
  }

  FabricKind kind() {
    return kind;
  }

  /// Returns at least one domain.
  List<FabricInfo> domains() {
    return domains;
  }

  /// Returns one line for people.
  String describe() {
    FabricInfo first = domains.getFirst();
    return "libfabric %s, provider %s, %s%s%s"
        .formatted(
            LibfabricLookup.version(library),
            first.provider(),
            first.isDirect() ? "fabric " + first.fabric() + ", " : "",
            domains.size() == 1 ? "domain " + first.domain() : domains.size() + " domains",
            first.pins() ? ", " + LockedMemory.read().sentence() : "");
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      library.freeinfo(list);
    }
  }
}
