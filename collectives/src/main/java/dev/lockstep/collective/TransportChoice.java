package dev.lockstep.collective;

import dev.lockstep.failure.Availability;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.failure.TransportException;
import dev.lockstep.job.Job;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportProvider;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.ServiceLoader;
import java.util.Set;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Chooses the transport of a communicator, the same on every rank.
///
/// A named transport is used or refused. Else the first of in-process, shm, efa, aeron-ipc,
/// aeron-udp, then any other by name, that every rank can use and open; what is passed over is
/// logged.
final class TransportChoice {
  private static final Logger LOG = LoggerFactory.getLogger(TransportChoice.class);
  private static final List<String> PREFERENCE =
      List.of("in-process", "shm", "efa", "aeron-ipc", "aeron-udp");
  private static final String OPTION = "--transport";
  private static final String USABLE = "";

  private final Job job;
  private final Agreement agreement;
  private final String named;
  private final Duration timeout;
  private final Map<String, TransportProvider> providers;

  TransportChoice(Job job, Agreement agreement, String named, Duration timeout) {
    this.job = job;
    this.agreement = agreement;
    this.named = named;
    this.timeout = timeout;
    this.providers = installed();
  }

  private static Map<String, TransportProvider> installed() {
    Map<String, TransportProvider> found = new TreeMap<>(byPreference());
    for (TransportProvider provider : ServiceLoader.load(TransportProvider.class)) {
      found.putIfAbsent(provider.name(), provider);
    }
    return found;
  }

  /// Throws if a transport is named that is not installed.
  static void requireInstalled(String named) {
    Set<String> names = installed().keySet();
    if (!named.isEmpty() && !names.contains(named)) {
      throw refused(
          named, "there is no such transport (use one of " + String.join(", ", names) + ")");
    }
  }

  private static Comparator<String> byPreference() {
    return Comparator.comparingInt(
            (String name) -> {
              int place = PREFERENCE.indexOf(name);
              return place < 0 ? PREFERENCE.size() : place;
            })
        .thenComparing(Comparator.naturalOrder());
  }

  /// Returns the opened transport; blocks until all ranks have chosen.
  ///
  /// @throws ConfigurationException if no transport can be used, or not the named one
  Transport open() {
    List<String> names = agreement.exchange("transport", named, timeout);
    for (int rank = 0; rank < names.size(); rank++) {
      if (!names.get(rank).equals(named)) {
        throw new ConfigurationException(
            OPTION,
            named,
            "ranks ask for different transports: rank %d %s=%s, rank %d %s=%s"
                .formatted(job.rank(), OPTION, shown(named), rank, OPTION, shown(names.get(rank))));
      }
    }
    requireInstalled(named);
    List<String> reasons = new ArrayList<>();
    for (TransportProvider provider : providers.values()) {
      if (named.isEmpty() || provider.name().equals(named)) {
        Transport opened = open(provider, reasons);
        if (opened != null) {
          return opened;
        }
      }
    }
    throw refused(named, String.join("; ", reasons));
  }

  private static String shown(String name) {
    return name.isEmpty() ? "(automatic)" : name;
  }

  private static ConfigurationException refused(String named, String reason) {
    return new ConfigurationException(
        OPTION,
        named,
        named.isEmpty()
            ? "no transport joins all ranks: %s=(automatic), reason=%s".formatted(OPTION, reason)
            : "transport cannot be used: %s=%s, reason=%s".formatted(OPTION, named, reason));
  }

  /// Returns the transport if every rank could open it; else adds the reason.
  private @Nullable Transport open(TransportProvider provider, List<String> reasons) {
    String name = provider.name();
    String obstacle = obstacle(provider);
    if (!allAgree(name + "/usable", obstacle, name, reasons)) {
      return null;
    }
    Transport opened = null;
    String failure = USABLE;
    try {
      opened = provider.open(context());
    } catch (TransportException cannot) {
      failure = String.valueOf(cannot.getMessage());
    }
    if (allAgree(name + "/opened", failure, name, reasons)) {
      return opened;
    }
    if (opened != null) {
      opened.close();
    }
    return null;
  }

  private TransportContext context() {
    return job.transportContext();
  }

  private String obstacle(TransportProvider provider) {
    if (provider.probe() instanceof Availability.Unavailable(String reason)) {
      return reason;
    }
    return provider.reaches(context()) instanceof Availability.Unavailable(String reason)
        ? reason
        : USABLE;
  }

  private boolean allAgree(String what, String obstacle, String name, List<String> reasons) {
    List<String> obstacles = agreement.exchange("transport/" + what, obstacle, timeout);
    for (int rank = 0; rank < obstacles.size(); rank++) {
      if (!obstacles.get(rank).equals(USABLE)) {
        String reason = "%s on rank %d: %s".formatted(name, rank, obstacles.get(rank));
        reasons.add(reason);
        LOG.info("transport is passed over: {}", reason);
        return false;
      }
    }
    return true;
  }
}
