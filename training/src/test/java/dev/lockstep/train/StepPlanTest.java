package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;
import static org.assertj.core.api.Assertions.withinPercentage;

import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.MoeShape;
import dev.lockstep.train.parallel.ShardRounds;
import dev.lockstep.train.pipeline.PipelineSchedule;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(60)
class StepPlanTest {
  private static final List<String> OF_COLLECTIVES =
      List.of(
          "collective ", "ring,", "signals,", "mailboxes", "messages of no bytes", "staging of ");

  @TempDir Path folder;

  @ParameterizedTest(name = "layers={0}, width={1}, lanes={2}, threads={3}")
  @CsvSource({"1, 16, 1, 1", "2, 32, 3, 2", "3, 64, 4, 3"})
  void saysTheMemoryThatATrainerTakes(int layers, int width, int lanes, int threads)
      throws Exception {
    Recipe recipe =
        Recipe.defaults()
            .withModel(new GptShape(layers, 2, width, 32, 256, true))
            .withBatch(Recipe.BatchShape.of(lanes, 2));
    TrainerOptions options = TrainerOptions.defaults().withThreads(threads);
    long planned;
    try (MemoryPool pool = MemoryPool.root("plan", 1L << 32);
        StepPlan plan = new StepPlan(pool, recipe, options, 1)) {
      planned = plan.peakBytes();
      assertThat(plan.runs()).containsEntry("lanes", lanes).containsEntry("joins", lanes - 1);
    }
    try (Job job = Job.inProcess(1, JobConfig.of(Map.of())).getFirst();
        Corpus corpus = TinyText.open(TinyText.write(folder.resolve("text")))) {
      long before = job.memory().usedBytes();
      try (Trainer trainer = Trainer.start(job, recipe, corpus, options)) {
        trainer.step(false);
        assertThat(planned).isCloseTo(job.memory().usedBytes() - before, withinPercentage(2));
      }
    }
  }

  /// All that the pools hold beside what transport and collectives take for themselves.
  @ParameterizedTest(name = "--mesh {0} --zero {1}")
  @CsvSource(
      delimiter = ';',
      value = {
        "dp=2; 0",
        "dp=2; 1",
        "dp=2; 2",
        "dp=2; 3",
        "tp=2; 0",
        "tp=2 sp; 0",
        "cp=2; 0",
        "ep=2; 0",
        "ep=2 sp; 0",
        "pp=2; 0"
      })
  void everyFormHoldsWhatThePlanSays(String mesh, int zero) throws Exception {
    formHoldsWhatThePlanSays(mesh, zero);
  }

  @Tag("long")
  @ParameterizedTest(name = "--mesh {0} --zero {1}")
  @CsvSource(
      delimiter = ';',
      value = {
        "dp=2,tp=2; 0",
        "dp=2,tp=2; 3",
        "cp=2,tp=2 sp; 0",
        "dp=2,cp=2; 1",
        "dp=2,ep=2; 2",
        "ep=2,tp=2; 0",
        "cp=2,ep=2; 0",
        "dp=3; 0",
        "dp=3; 2",
        "pp=2,dp=2; 1",
        "pp=2,dp=2; 3",
        "pp=2,tp=2; 0",
        "pp=2,ep=2; 0",
        "pp=2,cp=2; 0"
      })
  void everyMixOfFormsHoldsWhatThePlanSays(String mesh, int zero) throws Exception {
    formHoldsWhatThePlanSays(mesh, zero);
  }

  /// The busiest rank's; where the mesh ends with `sp` positions are shared out too.
  private void formHoldsWhatThePlanSays(String mesh, int zero) throws Exception {
    Recipe recipe =
        Recipe.defaults()
            .withModel(new MoeShape(2, 2, 32, 32, 4, 2, 125, 10, 32, 256, true))
            .withBatch(Recipe.BatchShape.of(4, 1))
            .withBlocks(new Recipe.SumBlocks(4, 4));
    Layout layout =
        Layout.parse(mesh.replace(" sp", ""))
            .withZero(zero)
            .withSequenceParallel(mesh.endsWith(" sp"));
    TrainerOptions options = TrainerOptions.defaults().withThreads(1).withLayout(layout);
    int ranks = layout.places();
    try (Corpus corpus = TinyText.open(TinyText.write(folder.resolve("text")));
        MemoryPool pool = MemoryPool.root("plan", 1L << 32);
        StepPlan plan = new StepPlan(pool, recipe, options, ranks)) {
      long held = measuredByRank(recipe, corpus, options, ranks).get(plan.rank());
      System.out.printf(
          "memory: --mesh %s --zero %d, rank %d: planned %,d bytes, held %,d%n",
          mesh, zero, plan.rank(), plan.peakBytes(), held);
      assertThat(held).isCloseTo(plan.peakBytes(), withinPercentage(1));
    }
  }

  private static long planned(Recipe recipe, TrainerOptions options, int ranks) {
    try (MemoryPool pool = MemoryPool.root("plan", 1L << 32);
        StepPlan plan = new StepPlan(pool, recipe, options, ranks)) {
      return plan.peakBytes();
    }
  }

  private static long measured(Recipe recipe, Corpus corpus, TrainerOptions options, int ranks)
      throws Exception {
    return measuredByRank(recipe, corpus, options, ranks).getFirst();
  }

  /// What a stage saves beside one that shards nothing; memory of the transport and the collectives
  /// is left out.
  @Test
  void stagesOfZeroHoldWhatThePlanSays() throws Exception {
    stagesOfZeroHoldWhatThePlanSays(2);
  }

  @Tag("long")
  @Test
  void stagesOfZeroHoldWhatThePlanSaysForMoreRanks() throws Exception {
    stagesOfZeroHoldWhatThePlanSays(4);
  }

  private void stagesOfZeroHoldWhatThePlanSays(int ranks) throws Exception {
    Recipe recipe =
        Recipe.defaults()
            .withModel(new GptShape(4, 2, 96, 8, 256, true))
            .withBatch(Recipe.BatchShape.of(8, 1));
    TrainerOptions plain = TrainerOptions.defaults().withThreads(1);
    try (Corpus corpus = TinyText.open(TinyText.write(folder.resolve("text")))) {
      long plannedWithout = planned(recipe, plain, ranks);
      long heldWithout = measured(recipe, corpus, plain, ranks);
      for (int zero = 1; zero <= 3; zero++) {
        TrainerOptions sharded = plain.withLayout(Layout.dataParallel().withZero(zero));
        long held = planned(recipe, sharded, ranks);
        long plannedSaving = plannedWithout - held;
        long saved = heldWithout - measured(recipe, corpus, sharded, ranks);
        assertThat(saved).as("--zero %d", zero).isCloseTo(plannedSaving, within(held / 20));
        stageOfZeroHoldsWhatItShares(recipe, sharded, zero, ranks);
        System.out.printf(
            "zero %d, dp=%d: planned %,d bytes, saved %,d planned %,d%n",
            zero, ranks, held, saved, plannedSaving);
      }
    }
  }

  private static void stageOfZeroHoldsWhatItShares(
      Recipe recipe, TrainerOptions sharded, int zero, int ranks) {
    long parameterBytes = recipe.model().parameters() * Float.BYTES;
    long tableBytes = 256 * 96 * Float.BYTES;
    try (MemoryPool pool = MemoryPool.root("plan", 1L << 32);
        StepPlan plan = new StepPlan(pool, recipe, sharded, ranks)) {
      // Stage 1 joins a rank's own lanes, stage 2 the rounds: eight lanes make eight / ranks.
      assertThat(plan.runs())
          .containsEntry("lanes", 8 / ranks)
          .containsEntry("joins", 8 / ranks - 1);
      long share = parameterBytes / ranks;
      long slots = ShardRounds.of(8, ranks, zero == 3).slots();
      assertThat(plan.memory().get("moments")).isCloseTo(2 * share, withinPercentage(5));
      assertThat(plan.memory().get("parameters"))
          .isCloseTo(zero == 3 ? share : parameterBytes, withinPercentage(5));
      // A tied weight has a gradient for each use; rank 0 has all of it in its run, and in
      // stage 3 its share.
      long tied = zero == 3 ? tableBytes / ranks : tableBytes;
      assertThat(plan.memory().get("gradient shards"))
          .isCloseTo((zero == 1 ? 1 : slots) * (share + tied), withinPercentage(5));
      if (zero == 3) {
        long twoLayersAndTable = (parameterBytes - tableBytes) / 2 + tableBytes;
        assertThat(plan.memory().get("gathered parameters"))
            .isLessThan(twoLayersAndTable + twoLayersAndTable / 20);
        assertThat(plan.memory().get("gradients"))
            .isLessThan(twoLayersAndTable + tableBytes + twoLayersAndTable / 20);
      }
    }
  }

  /// Whatever buckets cost beside reducing all at once, the plan says it, and what is hidden.
  @Test
  void bucketsHoldWhatThePlanSays() throws Exception {
    Recipe recipe =
        Recipe.defaults()
            .withModel(new GptShape(4, 2, 96, 8, 256, true))
            .withBatch(Recipe.BatchShape.of(4, 1));
    TrainerOptions together = TrainerOptions.defaults().withThreads(1).withBucketBytes(0);
    TrainerOptions buckets = together.withBucketBytes(200_000);
    try (Corpus corpus = TinyText.open(TinyText.write(folder.resolve("text")))) {
      long planned = planned(recipe, buckets, 2) - planned(recipe, together, 2);
      long taken = measured(recipe, corpus, buckets, 2) - measured(recipe, corpus, together, 2);
      assertThat(taken).isCloseTo(planned, within(planned(recipe, buckets, 2) / 50));
    }
    try (MemoryPool pool = MemoryPool.root("plan", 1L << 32);
        StepPlan plan = new StepPlan(pool, recipe, buckets, 2)) {
      List<PlannedExchange> reductions =
          plan.exchanges().stream().filter(each -> each.what().contains("bucket")).toList();
      assertThat(reductions).hasSizeGreaterThan(4);
      assertThat(reductions.getLast().behind()).isEmpty();
      assertThat(reductions.subList(0, reductions.size() - 1))
          .allSatisfy(each -> assertThat(each.behind()).contains("the last lane"));
      // The table is tied: its two uses are reduced apart.
      assertThat(reductions.stream().mapToLong(PlannedExchange::bytes).sum())
          .isEqualTo((recipe.model().parameters() + 256 * 96) * Float.BYTES);
    }
  }

  /// Of five lanes over three ranks, in rounds, rank 0 brings two and rank 2 one.
  @ParameterizedTest(name = "--zero {0}")
  @ValueSource(ints = {2, 3})
  void aRankSendsTheGradientsOfItsOwnLanesAlone(int zero) {
    Recipe recipe = ofLanes(5);
    TrainerOptions options =
        TrainerOptions.defaults().withThreads(1).withLayout(Layout.parse("dp=3").withZero(zero));
    try (MemoryPool pool = MemoryPool.root("plan", 1L << 32);
        StepPlan most = new StepPlan(pool, recipe, options, 3);
        StepPlan least = StepPlan.ofLeastBusy(pool, recipe, options, 3)) {
      assertThat(least.rank()).isEqualTo(2);
      List<PlannedExchange> reductions = gradients(least);
      long bytes =
          reductions.stream().filter(r -> r.sentBytes() > 0).mapToLong(r -> r.bytes()).sum();
      assertThat(bytes).isGreaterThan(recipe.model().parameters() * Float.BYTES);
      assertThat(sent(reductions)).isCloseTo(bytes * 2 / 3, within(100L));
      assertThat(sent(gradients(most))).isEqualTo(2 * sent(reductions));
      // The rounds complete lanes 0 and 1, lane 2, lane 3, and lane 4 of the tree.
      for (StepPlan plan : List.of(most, least)) {
        assertThat(
                gradients(plan).stream()
                    .filter(each -> each.what().matches(".* group 1(,.*)?"))
                    .mapToInt(PlannedExchange::times)
                    .sum())
            .isEqualTo(4);
      }
    }
  }

  /// Rank 0 has lanes 0 to 2 of five: two subtrees, which a relaxed sum joins before they are sent.
  /// An all-reduce sends its share of the result beside.
  @ParameterizedTest(name = "--zero {0}")
  @CsvSource({"0, 3, 2", "1, 2, 1"})
  void aRelaxedRankSendsTheSumOfItsSubtrees(int zero, int exactly, int relaxedly) {
    TrainerOptions options =
        TrainerOptions.defaults().withThreads(1).withLayout(Layout.parse("dp=2").withZero(zero));
    try (MemoryPool pool = MemoryPool.root("plan", 1L << 32);
        StepPlan exact = new StepPlan(pool, ofLanes(5), options, 2);
        StepPlan relaxed = new StepPlan(pool, ofLanes(5).withSameBits(false), options, 2)) {
      long sent = sent(zero == 0 ? exact.exchanges() : gradients(exact));
      long relaxedSent = sent(zero == 0 ? relaxed.exchanges() : gradients(relaxed));
      assertThat(sent * relaxedly).isEqualTo(relaxedSent * exactly).isPositive();
    }
  }

  private static Recipe ofLanes(int lanes) {
    return Recipe.defaults()
        .withModel(new GptShape(1, 2, 16, 8, 256, true))
        .withBatch(Recipe.BatchShape.of(lanes, 1));
  }

  private static List<PlannedExchange> gradients(StepPlan plan) {
    return plan.exchanges().stream().filter(each -> each.what().contains("gradients of")).toList();
  }

  private static long sent(List<PlannedExchange> exchanges) {
    return exchanges.stream().mapToLong(PlannedExchange::sentBytesPerStep).sum();
  }

  /// What the order of the lanes saves, and what a stage takes beside memory of the transport.
  @Tag("long")
  @Test
  void aStageHoldsWhatThePlanSays() throws Exception {
    Recipe recipe =
        Recipe.defaults()
            .withModel(new GptShape(4, 2, 96, 32, 256, true))
            .withBatch(Recipe.BatchShape.of(8, 2));
    Layout layout = Layout.parse("pp=2");
    TrainerOptions eager =
        TrainerOptions.defaults()
            .withThreads(1)
            .withLayout(layout.withSchedule(PipelineSchedule.GPIPE));
    TrainerOptions thrifty = eager.withLayout(layout);
    TrainerOptions interleaved =
        eager.withLayout(layout.withSchedule(PipelineSchedule.INTERLEAVED));
    try (Corpus corpus = TinyText.open(TinyText.write(folder.resolve("text")))) {
      List<Long> most = measuredByRank(recipe, corpus, eager, 2);
      List<Long> least = measuredByRank(recipe, corpus, thrifty, 2);
      List<Long> inTurns = measuredByRank(recipe, corpus, interleaved, 2);
      for (int stage = 0; stage < 2; stage++) {
        long planned = plannedOfStage(recipe, thrifty, 2, stage);
        long plannedSaving = plannedOfStage(recipe, eager, 2, stage) - planned;
        long plannedInTurns = plannedOfStage(recipe, interleaved, 2, stage);
        long saved = most.get(stage) - least.get(stage);
        System.out.printf(
            "pp=2, stage %d: planned %,d bytes, measured %,d, 1f1b saved %,d planned %,d%n",
            stage, planned, least.get(stage), saved, plannedSaving);
        assertThat(saved).isCloseTo(plannedSaving, within(planned / 50));
        assertThat(least.get(stage)).isCloseTo(planned, withinPercentage(5));
        System.out.printf(
            "pp=2, two chunks, stage %d: planned %,d bytes, measured %,d%n",
            stage, plannedInTurns, inTurns.get(stage));
        assertThat(inTurns.get(stage)).isCloseTo(plannedInTurns, withinPercentage(5));
      }
    }
  }

  /// What it saves that ranks share out positions, and what a rank takes beside memory of the
  /// transport.
  @Test
  void ranksThatShareOutPositionsHoldWhatThePlanSays() throws Exception {
    Recipe recipe =
        Recipe.defaults()
            .withModel(new GptShape(4, 2, 64, 64, 256, true))
            .withBatch(Recipe.BatchShape.of(1, 2))
            .withBlocks(new Recipe.SumBlocks(4, 2));
    TrainerOptions plain =
        TrainerOptions.defaults().withThreads(1).withLayout(Layout.parse("tp=2"));
    TrainerOptions spread = plain.withLayout(plain.layout().withSequenceParallel(true));
    TrainerOptions context = plain.withLayout(Layout.parse("cp=2"));
    TrainerOptions alone = plain.withLayout(Layout.dataParallel());
    try (Corpus corpus = TinyText.open(TinyText.write(folder.resolve("text")))) {
      long sequenceSaves = measured(recipe, corpus, plain, 2) - measured(recipe, corpus, spread, 2);
      long contextSaves = measured(recipe, corpus, alone, 1) - measured(recipe, corpus, context, 2);
      long held = planned(recipe, spread, 2);
      long plannedSequence = planned(recipe, plain, 2) - held;
      long plannedContext = planned(recipe, alone, 1) - planned(recipe, context, 2);
      System.out.printf(
          "tp=2: %,d bytes planned, with positions %,d, saved %,d; cp=2 saved %,d, planned %,d%n",
          planned(recipe, plain, 2), held, sequenceSaves, contextSaves, plannedContext);
      assertThat(plannedSequence).isPositive();
      assertThat(sequenceSaves).isCloseTo(plannedSequence, withinPercentage(5));
      assertThat(contextSaves).isCloseTo(plannedContext, withinPercentage(5));
    }
  }

  /// What it saves that ranks share out experts: half of their weights and moments, and more.
  @Test
  void ranksThatShareOutExpertsHoldWhatThePlanSays() throws Exception {
    MoeShape shape = new MoeShape(2, 2, 48, 96, 4, 2, 125, 10, 32, 256, true);
    Recipe recipe = Recipe.defaults().withModel(shape).withBatch(Recipe.BatchShape.of(1, 2));
    TrainerOptions alone = TrainerOptions.defaults().withThreads(1);
    TrainerOptions spread = alone.withLayout(Layout.parse("ep=2"));
    long experts = 2L * 4 * 2 * 48 * 96 * Float.BYTES;
    long dense = shape.parameters() * Float.BYTES - experts;
    try (Corpus corpus = TinyText.open(TinyText.write(folder.resolve("text")));
        MemoryPool pool = MemoryPool.root("plan", 1L << 32);
        StepPlan plan = new StepPlan(pool, recipe, spread, 2)) {
      long planned = planned(recipe, alone, 1) - plan.peakBytes();
      long saved = measured(recipe, corpus, alone, 1) - measured(recipe, corpus, spread, 2);
      System.out.printf(
          "ep=2: %,d bytes planned, saved %,d, planned %,d%n", plan.peakBytes(), saved, planned);
      assertThat(plan.memory().get("parameters"))
          .isCloseTo(dense + experts / 2, withinPercentage(1));
      assertThat(plan.memory().get("moments")).isCloseTo(2 * dense + experts, withinPercentage(1));
      assertThat(saved).isCloseTo(planned, within(plan.peakBytes() / 20)).isGreaterThan(experts);
      assertThat(plan.exchanges().stream().map(PlannedExchange::axis)).contains("ep");
    }
  }

  /// What stages of pipelines save that share out their state, beside those that do not.
  @Tag("long")
  @ParameterizedTest(name = "--mesh pp=2,dp=2 --zero {0} --schedule {1}")
  @CsvSource({"1, 1f1b", "2, 1f1b", "3, 1f1b", "2, interleaved", "3, interleaved"})
  void aStageOfZeroOfPipelinesHoldsWhatThePlanSays(int zero, String schedule) throws Exception {
    Recipe recipe =
        Recipe.defaults()
            .withModel(new GptShape(4, 2, 96, 8, 256, true))
            .withBatch(Recipe.BatchShape.of(8, 1));
    Layout layout = Layout.parse("pp=2,dp=2").withSchedule(PipelineSchedule.of(schedule));
    TrainerOptions plain = TrainerOptions.defaults().withThreads(1).withLayout(layout);
    TrainerOptions sharded = plain.withLayout(layout.withZero(zero));
    try (Corpus corpus = TinyText.open(TinyText.write(folder.resolve("text")))) {
      List<Long> whole = measuredByRank(recipe, corpus, plain, 4);
      List<Long> parts = measuredByRank(recipe, corpus, sharded, 4);
      for (int stage = 0; stage < 2; stage++) {
        long held = plannedOfStage(recipe, sharded, 4, stage);
        long plannedSaving = plannedOfStage(recipe, plain, 4, stage) - held;
        long saved = whole.get(2 * stage) - parts.get(2 * stage);
        System.out.printf(
            "pp=2,dp=2, zero %d, %s, stage %d: planned %,d bytes, saved %,d planned %,d%n",
            zero, schedule, stage, held, saved, plannedSaving);
        assertThat(plannedSaving).isPositive();
        assertThat(saved).isCloseTo(plannedSaving, within(held / 20));
        try (MemoryPool pool = MemoryPool.root("plan", 1L << 32);
            StepPlan plan = StepPlan.ofStage(pool, recipe, sharded, 4, stage);
            StepPlan other = StepPlan.ofStage(pool, recipe, plain, 4, stage)) {
          Map<String, Long> all = other.memory();
          assertThat(plan.memory().get("moments"))
              .isCloseTo(all.getOrDefault("moments", 0L) / 2, withinPercentage(5));
          long parameters = all.getOrDefault("parameters", 0L);
          assertThat(plan.memory().get("parameters"))
              .isCloseTo(zero == 3 ? parameters / 2 : parameters, withinPercentage(5));
        }
      }
    }
  }

  private static long plannedOfStage(Recipe recipe, TrainerOptions options, int ranks, int stage) {
    try (MemoryPool pool = MemoryPool.root("plan", 1L << 32);
        StepPlan plan = StepPlan.ofStage(pool, recipe, options, ranks, stage)) {
      return plan.peakBytes();
    }
  }

  private static List<Long> measuredByRank(
      Recipe recipe, Corpus corpus, TrainerOptions options, int ranks) throws Exception {
    return InProcessRanks.run(
        ranks,
        job -> {
          long before = withoutCollectives(job.memory());
          try (Trainer trainer = Trainer.start(job, recipe, corpus, options)) {
            trainer.step(false);
            return withoutCollectives(job.memory()) - before;
          }
        });
  }

  /// Which collectives run, and whether they need rings and scratch, depends on what this host's
  /// links were fitted to cost.
  private static long withoutCollectives(MemoryPool pool) {
    long ofCollectives = 0;
    for (Map.Entry<String, Long> held : pool.usedBytesByName().entrySet()) {
      boolean counts = OF_COLLECTIVES.stream().anyMatch(held.getKey()::startsWith);
      ofCollectives += counts ? held.getValue() : 0;
    }
    return pool.usedBytes() - ofCollectives;
  }
}
