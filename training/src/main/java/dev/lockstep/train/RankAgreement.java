package dev.lockstep.train;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.train.parallel.Exchange;
import java.util.List;

/// What ranks must agree on before they go on. All of them call these together, in the same order.
final class RankAgreement {
  private RankAgreement() {}

  /// Checks that all ranks were given the same.
  ///
  /// @throws ConfigurationException on every rank, if they were not
  static void requireAlike(Exchange exchange, String what, String mine) {
    List<String> all = exchange.words(mine);
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
