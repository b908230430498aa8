package dev.lockstep.transport.efa;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.lockstep.transport.efa.ffi.Fi;
import dev.lockstep.transport.efa.ffi.Libfabric;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/// A libfabric that lists EFA cards as its versions do: each entry to those who ask for what it has
/// and take what it wants. What is behind an entry is [EfaDevice]'s.
class EfaStandIn extends ForwardingLibfabric {
  private static final int ENOSYS = 38;

  private final Arena arena;
  private final int version;
  private final List<EfaCard> cards;

  /// The interface versions that were asked for.
  final List<Integer> asked = new ArrayList<>();

  int freed;

  /// Makes a library of `version` with these cards.
  EfaStandIn(Libfabric library, Arena arena, int version, List<EfaCard> cards) {
    super(library);
    this.arena = arena;
    this.version = version;
    this.cards = List.copyOf(cards);
  }

  @Override
  public final int version() {
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
    if (Integer.compareUnsigned(api, version) > 0) {
      return -ENOSYS;
    }
    long next = 0;
    for (EfaCard card : cards.reversed()) {
      // A node would be an address of EFA's: the cards listen on nothing else.
      if (node.address() == 0 && card.isOffered(library, hints)) {
        next = card.answer(arena, library, version, api, hints, next);
      }
    }
    info.set(JAVA_LONG, 0, next);
    return next == 0 ? -Fi.ENODATA : 0;
  }

  @Override
  public void freeinfo(long info) {
    freed++;
  }
}
