package dev.lockstep.transport.efa;

import dev.lockstep.memory.Scope;
import dev.lockstep.transport.efa.ffi.Libfabric;
import java.util.ArrayList;
import java.util.List;

/// Which cards the rails of an endpoint are on.
final class Rails {
  private Rails() {}

  /// Opens the rails of a rank.
  ///
  /// @param place of the rank among those of its host
  static List<Rail> open(
      Discovery found, Libfabric library, Failures failures, FabricOptions options, int place) {
    List<FabricInfo> domains = found.domains();
    int count = options.copies() ? options.rails() : Math.min(options.rails(), domains.size());
    List<Rail> rails = new ArrayList<>();
    Scope opened = new Scope();
    try {
      for (int i = 0; i < count; i++) {
        FabricInfo info = domains.get(card(place, i, count, domains.size()));
        Rail rail = new Rail(library, failures, info, i, found.kind().isEfa());
        rails.add(opened.own(rail, Rail::close));
      }
    } catch (RuntimeException | Error failure) {
      Scope.afterFailure(failure, opened::close);
      throw failure;
    }
    return List.copyOf(rails);
  }

  /// Returns the card of a rail: ranks of a host start behind each other's.
  static int card(int place, int rail, int rails, int cards) {
    return (int) (((long) place * rails + rail) % cards);
  }

  /// Returns how many lower ranks a rank's host has.
  static int place(List<String> hosts, int rank) {
    String host = hosts.get(rank);
    return (int) hosts.subList(0, rank).stream().filter(host::equals).count();
  }
}
