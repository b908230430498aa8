package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.parallel.Scope;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class JobExchangeTest {
  private static final int RANKS = 3;

  /// Whoever compares words must see where long ones differ.
  @Test
  void wordsArriveWholeHoweverLong() throws Exception {
    List<String> few = List.of("", "ä\0b", "x".repeat(1020));
    List<String> many = List.of("x".repeat(5000) + "1", "", "x".repeat(5000) + "2");
    List<List<List<String>>> heard =
        InProcessRanks.run(
            RANKS,
            job -> {
              Scope scope = new Scope();
              try {
                Recipe recipe = Recipe.defaults().withBatch(BatchShape.of(RANKS, 1));
                JobExchange exchange =
                    JobExchange.open(scope, job, recipe, TrainerOptions.defaults());
                return List.of(
                    exchange.words(few.get(job.rank())), exchange.words(many.get(job.rank())));
              } finally {
                scope.close();
              }
            });
    assertThat(heard).hasSize(RANKS).containsOnly(List.of(few, many));
  }
}
