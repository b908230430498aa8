package dev.lockstep.transport.efa;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.lockstep.transport.efa.ffi.Fi;
import dev.lockstep.transport.efa.ffi.Layouts;
import dev.lockstep.transport.efa.ffi.Libfabric;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/// A libfabric that lists EFA cards as its versions and the generations of cards do, from what
/// `prov/efa` of 2.6 answers. Other than lists it has nothing of EFA.
final class EfaStandIn extends ForwardingLibfabric {
  /// One entry of a list.
  ///
  /// @param fabric `efa` or `efa-direct`
  record Card(String domain, String fabric, long caps, long mode, long dataBytes) {
    static Card of(String domain, String fabric, long more) {
      return new Card(domain, fabric, Fi.MSG | Fi.RMA | more, 0, fabric.equals("efa") ? 8 : 4);
    }

    Card asking(long modes) {
      return new Card(domain, fabric, caps, modes, dataBytes);
    }
  }

  private final Arena arena;
  private final int version;
  private final List<Card> cards;

  /// The interface versions that were asked for.
  final List<Integer> asked = new ArrayList<>();

  int freed;

  /// Makes a library of `version` with these cards.
  EfaStandIn(Libfabric library, Arena arena, int version, List<Card> cards) {
    super(library);
    this.arena = arena;
    this.version = version;
    this.cards = List.copyOf(cards);
  }

  @Override
  public int version() {
    return version;
  }

  @Override
  public int getinfo(
      int api,
      MemorySegment node,
      MemorySegment service,
      long flags,
      MemorySegment hints,
      MemorySegment info) {
    asked.add(api);
    long caps = FabricInfo.word(hints, Layouts.INFO, "caps");
    long attributes = FabricInfo.word(hints, Layouts.INFO, "fabric_attr");
    MemorySegment fabric = memory(attributes, Layouts.FABRIC_ATTR.byteSize());
    String name = string(FabricInfo.word(fabric, Layouts.FABRIC_ATTR, "name"));
    long next = 0;
    for (Card card : cards.reversed()) {
      boolean named = name.isEmpty() || name.equals(card.fabric());
      if (named && (caps & ~card.caps()) == 0) {
        next = entry(card, api, caps, next);
      }
    }
    info.set(JAVA_LONG, 0, next);
    return next == 0 ? -Fi.ENODATA : 0;
  }

  private long entry(Card card, int api, long caps, long next) {
    MemorySegment ep = Discovery.struct(arena);
    Discovery.set(ep, Layouts.EP_ATTR, "max_msg_size", 1L << 30);
    MemorySegment domain = Discovery.struct(arena);
    Discovery.set(domain, Layouts.DOMAIN_ATTR, "name", arena.allocateFrom(card.domain()).address());
    Discovery.set(
        domain, Layouts.DOMAIN_ATTR, "mr_mode", Fi.MR_VIRT_ADDR | Fi.MR_ALLOCATED | Fi.MR_PROV_KEY);
    Discovery.set(domain, Layouts.DOMAIN_ATTR, "cq_data_size", card.dataBytes());
    MemorySegment fabric = Discovery.struct(arena);
    Discovery.set(fabric, Layouts.FABRIC_ATTR, "name", arena.allocateFrom(card.fabric()).address());
    Discovery.set(fabric, Layouts.FABRIC_ATTR, "prov_name", arena.allocateFrom("efa").address());
    fabric.set(JAVA_INT, Layouts.offset(Layouts.FABRIC_ATTR, "api_version"), api);
    MemorySegment entry = Discovery.struct(arena);
    Discovery.set(entry, Layouts.INFO, "next", next);
    Discovery.set(entry, Layouts.INFO, "caps", card.caps() & (caps | ~Fi.HMEM));
    Discovery.set(entry, Layouts.INFO, "mode", card.mode());
    Discovery.set(entry, Layouts.INFO, "tx_attr", Discovery.struct(arena).address());
    Discovery.set(entry, Layouts.INFO, "rx_attr", Discovery.struct(arena).address());
    Discovery.set(entry, Layouts.INFO, "ep_attr", ep.address());
    Discovery.set(entry, Layouts.INFO, "domain_attr", domain.address());
    Discovery.set(entry, Layouts.INFO, "fabric_attr", fabric.address());
    return entry.address();
  }

  @Override
  public void freeinfo(long info) {
    freed++;
  }
}
