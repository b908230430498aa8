package dev.lockstep.collective.transport;

import dev.lockstep.collective.agreement.Agreement;
import dev.lockstep.failure.Availability;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.failure.TransportException;
import dev.lockstep.job.Job;
import dev.lockstep.memory.Scope;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportOrder;
import dev.lockstep.transport.TransportProvider;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Chooses the transport of a communicator, the same on every rank.
///
/// A named transport is used or refused, for all links. Else the first by [TransportOrder] that
/// every rank has, can use and open; where that joins several hosts, links within a host go by
/// `shm` if every rank can use that. Both together are named `shm+efa`. What is passed over is
/// logged.
public final class TransportChoice {
  private static final Logger LOG = LoggerFactory.getLogger(TransportChoice.class);
  private static final String OPTION = "--transport";
  private static final String USABLE = "";
  private static final String ABSENT =
      "it is not installed there (give all ranks the same class path)";

  private static final String BOTH = TransportOrder.WITHIN_HOSTS + HostwiseTransport.JOINT;

  private final Job job;
  private final Agreement agreement;
  private final String named;
  private final Duration timeout;
  private final Map<String, TransportProvider> providers;

  /// Makes the choice for a communicator.
  ///
  /// @param named the transport that is asked for; empty to choose one
  /// @param timeout by when all ranks must have chosen
  public TransportChoice(Job job, Agreement agreement, String named, Duration timeout) {
    this.job = job;
    this.agreement = agreement;
    this.named = named;
    this.timeout = timeout;
    this.providers = TransportOrder.installed();
  }

  /// Throws if a transport is named that is not installed.
  public static void requireInstalled(String named) {
    Set<String> names = TransportOrder.installed().keySet();
    if (!isAmong(names, named)) {
      throw unknown(named, names);
    }
  }

  private static boolean isAmong(Set<String> names, String named) {
    return named.isEmpty() || names.contains(far(named));
  }

  private static ConfigurationException unknown(String named, Set<String> names) {
    return refused(
        named, "there is no such transport (use one of " + String.join(", ", names) + ")");
  }

  /// What a rank says first. Ranks may have unlike class paths.
  ///
  /// @param named the transport that it asks for
  /// @param installed the names of those that it has
  private record Wish(String named, Set<String> installed) {
    private static final String SEPARATOR = "\n";

    String encode() {
      return named + SEPARATOR + String.join(SEPARATOR, installed);
    }

    static Wish decode(String encoded) {
      List<String> names = List.of(encoded.split(SEPARATOR, -1));
      return new Wish(names.getFirst(), Set.copyOf(names.subList(1, names.size())));
    }
  }

  /// Returns the opened transport; blocks until all ranks have chosen.
  ///
  /// @throws ConfigurationException if no transport can be used, or not the named one
  public Transport open() {
    Set<String> anywhere = installedAnywhere();
    boolean ofUse = HostwiseTransport.isOfUse(job.hosts());
    String one =
        named.startsWith(BOTH) && context().isOneHost() ? TransportOrder.WITHIN_HOSTS : far(named);
    List<String> reasons = new ArrayList<>();
    for (String name : anywhere) {
      if (one.isEmpty() || name.equals(one)) {
        Transport opened = open(name, false, reasons);
        if (opened != null) {
          return ofUse && (named.isEmpty() || named.startsWith(BOTH)) ? withNear(opened) : opened;
        }
      }
    }
    throw refusedByAll(reasons);
  }

  /// Returns, the same on every rank and in the order in which they are tried, the transports that
  /// any rank has: what one asks about, all do.
  ///
  /// @throws ConfigurationException on every rank if they ask for different ones, or for one that
  ///   none has
  private Set<String> installedAnywhere() {
    Set<String> anywhere = new TreeSet<>(TransportOrder.byPreference());
    Wish mine = new Wish(named, providers.keySet());
    List<String> wishes = agreement.exchange("transport", mine.encode(), timeout);
    for (int rank = 0; rank < wishes.size(); rank++) {
      Wish wish = Wish.decode(wishes.get(rank));
      anywhere.addAll(wish.installed());
      if (!wish.named().equals(named)) {
        agreement.letOthersSee("transport");
        throw new ConfigurationException(
            OPTION,
            named,
            "ranks ask for different transports: rank %d %s=%s, rank %d %s=%s"
                .formatted(job.rank(), OPTION, shown(named), rank, OPTION, shown(wish.named())));
      }
    }
    if (!isAmong(anywhere, named)) {
      agreement.letOthersSee("transport");
      throw unknown(named, anywhere);
    }
    return anywhere;
  }

  /// Returns the transport between hosts of a name.
  private static String far(String named) {
    return named.startsWith(BOTH) ? named.substring(BOTH.length()) : named;
  }

  /// Returns a transport between hosts with another one within them, if every rank could open that.
  ///
  /// @throws ConfigurationException if not, and it is named
  private Transport withNear(Transport far) {
    List<String> reasons = new ArrayList<>();
    Transport near;
    try {
      near = open(TransportOrder.WITHIN_HOSTS, true, reasons);
      if (near == null && !named.isEmpty()) {
        throw refusedByAll(reasons);
      }
    } catch (RuntimeException | Error failure) {
      Scope.afterFailure(failure, far::close);
      throw failure;
    }
    return near == null ? far : new HostwiseTransport(near, far, job.hosts(), job.rank());
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

  private ConfigurationException refusedByAll(List<String> reasons) {
    agreement.letOthersSee("transport/refused");
    return refused(named, String.join("; ", reasons));
  }

  /// Returns the transport if every rank could open it; else adds the reason.
  ///
  /// @param withinHosts whether it is to join ranks of one host only, else all
  private @Nullable Transport open(String name, boolean withinHosts, List<String> reasons) {
    TransportProvider provider = providers.get(name);
    String question = withinHosts ? "within-hosts/" + name : name;
    String obstacle = provider == null ? ABSENT : obstacle(provider, withinHosts);
    if (!allAgree(question + "/usable", obstacle, name, reasons) || provider == null) {
      return null;
    }
    Transport opened;
    try {
      opened = provider.open(context());
    } catch (TransportException cannot) {
      var _ = allAgree(question + "/opened", String.valueOf(cannot.getMessage()), name, reasons);
      return null;
    }
    try {
      if (allAgree(question + "/opened", USABLE, name, reasons)) {
        return opened;
      }
    } catch (RuntimeException | Error failure) {
      Scope.afterFailure(failure, opened::close);
      throw failure;
    }
    opened.close();
    return null;
  }

  private TransportContext context() {
    return job.transportContext();
  }

  private String obstacle(TransportProvider provider, boolean withinHosts) {
    if (provider.probe() instanceof Availability.Unavailable(String reason)) {
      return reason;
    }
    return !withinHosts
            && provider.reaches(context()) instanceof Availability.Unavailable(String reason)
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
