package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.job.Job;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.memory.Scope;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.parallel.Exchange;
import java.util.List;
import java.util.concurrent.CountDownLatch;
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

  /// A rank that fails while a reduction is under way can close all it holds, and the job says why.
  @Test
  void whatIsUnderWayEndsWithTheRanksOwnFailure() throws Exception {
    CountDownLatch bothPrepared = new CountDownLatch(2);
    CountDownLatch over = new CountDownLatch(1);
    List<String> reasons =
        InProcessRanks.run(
            2,
            job -> {
              Scope scope = new Scope();
              try {
                Recipe recipe = Recipe.defaults().withBatch(BatchShape.of(2, 1));
                JobExchange exchange =
                    JobExchange.open(scope, job, recipe, TrainerOptions.defaults());
                Exchange.Prepared sum = prepared(scope, job, exchange);
                bothPrepared.countDown();
                bothPrepared.await();
                if (job.rank() == 0) {
                  sum.start();
                  exchange.abandon(new IllegalStateException("out of ideas"));
                } else {
                  over.await();
                }
              } catch (InterruptedException stopped) {
                throw new IllegalStateException(stopped);
              } finally {
                try {
                  scope.close();
                } finally {
                  over.countDown();
                }
              }
              return job.failure().orElseThrow().message();
            });
    assertThat(reasons).allMatch(reason -> reason.contains("out of ideas"));
  }

  private static Exchange.Prepared prepared(Scope scope, Job job, JobExchange exchange) {
    Buffer buffer =
        scope.own(HostMemory.allocateShared(job.memory(), "gradients", 8192, null), Buffer::close);
    Tensor own = new Tensor(buffer, 0, DType.F32, Shape.of(1024));
    Tensor sum = new Tensor(buffer, 4096, DType.F32, Shape.of(1024));
    return scope.own(
        exchange.prepare(
            new Primitive.AllReduce(Layout.DATA, new ReduceOp.Sum(), LaneSplit.onePerRank(2)),
            List.of(own),
            sum),
        Exchange.Prepared::close);
  }
}
