package dev.lockstep.train;

import dev.lockstep.failure.CollectiveTimeoutException;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.job.Job;
import dev.lockstep.job.Store;
import dev.lockstep.memory.Scope;
import dev.lockstep.train.parallel.Exchange;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/// What ranks must agree on before they go on. All of them call these together, in the same order.
final class RankAgreement {
  private RankAgreement() {}

  /// Checks that all ranks were given the same.
  ///
  /// @throws ConfigurationException on every rank, if they were not
  static void requireAlike(Exchange exchange, String what, String mine) {
    requireAlike(exchange.words(mine), what, mine);
  }

  /// Checks through the job's store that all ranks were given the same: before they have joined
  /// anything, for what they join may depend on it. A rank whose time is over before all have come
  /// may call this again, for the same start.
  ///
  /// @return key of the store to withdraw once all ranks have come on
  /// @throws ConfigurationException on every rank, if they were not
  static String requireAlikeAtStart(Job job, Duration timeout, String what, String mine) {
    Store store = job.store();
    // Ranks start their trainers in the same order.
    String starts = "trainer/starts-of/" + job.rank();
    String start = "trainer/starts/" + store.add(starts, 1);
    String key = start + "/" + job.rank();
    store.set(key, mine.getBytes(StandardCharsets.UTF_8));
    try {
      store.barrier(start, job.worldSize(), timeout);
    } catch (CollectiveTimeoutException late) {
      Scope.afterFailure(late, () -> store.add(starts, -1)); // no rank has begun it
      throw late;
    }
    List<String> all = new ArrayList<>();
    for (int rank = 0; rank < job.worldSize(); rank++) {
      byte[] theirs = store.get(start + "/" + rank, timeout);
      all.add(new String(theirs, StandardCharsets.UTF_8));
    }
    try {
      requireAlike(all, what, mine);
    } catch (ConfigurationException refused) {
      store.meet(start + "/refused", job.worldSize());
      throw refused;
    }
    return key;
  }

  private static void requireAlike(List<String> all, String what, String mine) {
    for (int rank = 1; rank < all.size(); rank++) {
      if (!all.get(rank).equals(all.getFirst())) {
        throw new ConfigurationException(
            what,
            mine,
            "%s differs: rank=0 %s; rank=%d %s (give every rank the same)"
                .formatted(what, all.getFirst(), rank, all.get(rank)));
      }
    }
  }

  /// Returns on every rank what the first one refuses that does; empty if none does.
  ///
  /// @param mine what this rank refuses; empty if nothing
  static String refusal(Exchange exchange, String mine) {
    return exchange.words(mine).stream().filter(words -> !words.isEmpty()).findFirst().orElse("");
  }
}
