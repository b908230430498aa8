package dev.lockstep.collective;

import dev.lockstep.collective.agreement.Agreement;
import dev.lockstep.collective.execute.Members;
import dev.lockstep.collective.plan.LinkCache;
import dev.lockstep.collective.plan.LinkDoubts;
import dev.lockstep.collective.plan.LinkFit;
import dev.lockstep.collective.plan.LinkTable;
import dev.lockstep.collective.request.StableHash;
import dev.lockstep.collective.simulate.Fabric;
import dev.lockstep.collective.transport.HostwiseTransport;
import dev.lockstep.job.Job;
import dev.lockstep.transport.Transport;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Settles by which constants a communicator of a whole job chooses: the first rank's, on every
/// rank.
final class LinkChoice {
  private static final Logger LOG = LoggerFactory.getLogger(LinkChoice.class);

  /// What the first rank says where it knows nothing: for how long all warm up.
  private static final String FIT = "fit ";

  private final Job job;
  private final Agreement agreement;
  private final CommunicatorOptions options;
  private final String transport;
  private final boolean peerMemory;
  private final boolean hostwise;
  private String first = "";

  /// Makes the choice for a communicator.
  ///
  /// @param transport of its ranks
  LinkChoice(Job job, Agreement agreement, CommunicatorOptions options, Transport transport) {
    this.job = job;
    this.agreement = agreement;
    this.options = options;
    this.transport = transport.name();
    this.peerMemory = transport.peerAccess(Members.all(job).jobRanks()).isPresent();
    this.hostwise = transport instanceof HostwiseTransport;
  }

  /// Returns constants of typical links of this transport.
  LinkTable typical() {
    LinkTable table = peerMemory ? typicalMemory() : LinkTable.typical(transport, false);
    return hostwise ? table.withNear(typicalMemory().fabric()) : table;
  }

  private LinkTable typicalMemory() {
    return job.mayHaveProcessor(job.localWorldSize())
        ? LinkTable.typical(transport, true)
        : LinkTable.typicalOfSharedCores(transport);
  }

  /// Returns what the first rank states or has kept; empty if the ranks must measure. A rank alone
  /// has no links.
  Optional<LinkTable> known() {
    if (job.worldSize() == 1) {
      return Optional.of(typical());
    }
    first = agreement.first("links", job.rank() == 0 ? mine() : "", options.timeout());
    return first.startsWith(FIT) ? Optional.empty() : Optional.of(LinkTable.decode(first));
  }

  private String mine() {
    return switch (options.links()) {
      case LinkSource.Stated(Optional<LinkTable> table) -> table.orElseGet(this::typical).encode();
      case LinkSource.Fitted fitted ->
          kept(fitted).map(LinkTable::encode).orElseGet(() -> FIT + fitted.warmUp());
    };
  }

  /// Returns what is known without measuring: where a fit was doubted a moment ago another one
  /// takes as long, and would be too.
  private Optional<LinkTable> kept(LinkSource.Fitted fitted) {
    if (fitted.anew() || fitted.cache().isEmpty()) {
      return Optional.empty();
    }
    LinkCache cache = new LinkCache(fitted.cache().get());
    Instant now = Instant.now();
    return cache
        .find(key(), now)
        .filter(table -> doubt(table).isEmpty())
        .or(() -> cache.isDoubted(key(), now) ? Optional.of(typical()) : Optional.empty());
  }

  private String key() {
    return key(transport, job.hosts());
  }

  /// Returns what a fit holds for. Links between hosts are those of these hosts, in whichever order
  /// the others stand.
  ///
  /// @param hosts each rank's
  static String key(String transport, List<String> hosts) {
    boolean shares = HostwiseTransport.isOfUse(hosts);
    String layout = shares ? transport + "/" + ranksOfHosts(hosts) : transport;
    List<String> each = hosts.stream().distinct().sorted().toList();
    String key = LinkTable.key(layout, hosts.size(), each.size(), hosts.getFirst());
    if (each.size() == 1) {
      return key;
    }
    StableHash names = new StableHash();
    each.forEach(names::add);
    return "%s names=%016x".formatted(key, names.value());
  }

  /// Returns how many ranks run on each host, in the order of their first ranks.
  private static String ranksOfHosts(List<String> hosts) {
    Map<String, Integer> ranks = new LinkedHashMap<>();
    hosts.forEach(host -> ranks.merge(host, 1, Integer::sum));
    return ranks.values().stream().map(String::valueOf).collect(Collectors.joining(","));
  }

  /// Measures, on all ranks, after [#known] has returned nothing.
  ///
  /// @param probe a communicator of these ranks for this alone; borrowed
  LinkTable fit(Core probe) {
    long start = System.nanoTime();
    Fabric fabric = measure(probe);
    Optional<Fabric> near = hostwise ? fitNear(probe) : Optional.empty();
    // All ranks have measured the same numbers; only the first one's processors and clock differ.
    LinkTable mine = job.rank() == 0 ? judge(fabric, near, start) : typical();
    // The first rank may have measured on while this one, alone on its host, had nothing to.
    Duration patience = LinkProbe.timeout(options);
    String agreed = agreement.first("links/fitted", mine.encode(), patience);
    return LinkTable.decode(agreed);
  }

  private Fabric measure(Core probe) {
    Duration warmUp = Duration.parse(first.substring(FIT.length()));
    try (LinkProbe meter = LinkProbe.of(probe, warmUp)) {
      return LinkFit.fit(transport, probe.topology(), meter.mostBytes(), meter);
    }
  }

  /// Measures within each host, all at once; a rank alone on its host has nothing to measure.
  private Optional<Fabric> fitNear(Core probe) {
    List<String> hosts = job.hosts();
    int host = hosts.indexOf(hosts.get(job.rank()));
    try (Core within = probe.split(host, job.rank(), options.timeout()).orElseThrow()) {
      return within.topology().ranks() == 1 ? Optional.empty() : Optional.of(measure(within));
    }
  }

  private Optional<String> doubt(LinkTable table) {
    int local = job.localWorldSize();
    return LinkDoubts.of(table, job.worldSize(), local, job.mayHaveProcessor(local));
  }

  /// Keeps what was fitted, if it can be true.
  private LinkTable judge(Fabric fabric, Optional<Fabric> near, long start) {
    LinkTable table = new LinkTable(key(), Instant.now(), fabric);
    if (hostwise) {
      table = table.withNear(near.orElseGet(() -> typicalMemory().fabric()));
    }
    Optional<String> doubt = doubt(table);
    LOG.debug(
        "links are fitted: transport={}, ranks={}, millis={}, doubt={}",
        transport,
        job.worldSize(),
        TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - start),
        doubt.orElse("none"));
    boolean complete = !hostwise || near.isPresent();
    if (options.links() instanceof LinkSource.Fitted(Optional<Path> folder, _, _)
        && folder.isPresent()) {
      LinkCache cache = new LinkCache(folder.get());
      if (doubt.isPresent()) {
        cache.doubt(key(), Instant.now());
      } else if (complete) {
        cache.keep(table);
      }
    }
    return doubt.isPresent() ? typical() : table;
  }
}
