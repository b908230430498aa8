package dev.lockstep.transport.efa;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

final class RailsTest {
  private static int[] cards(List<String> hosts, int rails, int cards) {
    return IntStream.range(0, hosts.size())
        .flatMap(
            rank ->
                IntStream.range(0, rails)
                    .map(rail -> Rails.card(Rails.place(hosts, rank), rail, rails, cards)))
        .toArray();
  }

  /// Ranks may be dealt to hosts one by one: by their numbers all of a host would share a card.
  @Test
  void ranksOfAHostStartAtDifferentCardsHoweverTheyAreDealt() {
    assertThat(cards(List.of("a", "a", "b", "b"), 1, 2)).containsExactly(0, 1, 0, 1);
    assertThat(cards(List.of("a", "b", "a", "b"), 1, 2)).containsExactly(0, 0, 1, 1);
    assertThat(cards(List.of("a", "b", "a"), 2, 4)).containsExactly(0, 1, 0, 1, 2, 3);
    assertThat(cards(List.of("a", "a", "a"), 1, 2)).containsExactly(0, 1, 0);
  }
}
