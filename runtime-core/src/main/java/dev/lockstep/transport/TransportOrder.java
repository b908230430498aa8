package dev.lockstep.transport;

import dev.lockstep.provider.Providers;
import java.util.Comparator;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;

/// The order in which a job tries transports if it names none: in-process, shm, efa, aeron-ipc,
/// aeron-udp, then any other by name. The first that every rank can use is taken.
public final class TransportOrder {
  private static final List<String> PREFERENCE =
      List.of("in-process", "shm", "efa", "aeron-ipc", "aeron-udp");

  /// Joins ranks of one host where another transport joins hosts.
  public static final String WITHIN_HOSTS = "shm";

  private TransportOrder() {}

  /// Returns the installed transports by name, in this order.
  public static SortedMap<String, TransportProvider> installed() {
    SortedMap<String, TransportProvider> found = new TreeMap<>(byPreference());
    for (TransportProvider provider :
        Providers.find(TransportProvider.class, TransportProvider::name)) {
      found.put(provider.name(), provider);
    }
    return found;
  }

  /// Returns this order of names, those of transports that are not installed here too.
  public static Comparator<String> byPreference() {
    return Comparator.comparingInt(
            (String name) -> {
              int place = PREFERENCE.indexOf(name);
              return place < 0 ? PREFERENCE.size() : place;
            })
        .thenComparing(Comparator.naturalOrder());
  }
}
