package dev.lockstep.bench.step;

import dev.lockstep.memory.MemoryPool;
import dev.lockstep.train.Recipe;
import dev.lockstep.train.StepPlan;
import dev.lockstep.train.TrainerOptions;
import dev.lockstep.train.model.ModelShape;
import dev.lockstep.train.pipeline.PipelinePlan;
import dev.lockstep.train.pipeline.PipelineSchedule;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;

/// What the stages of a pipeline take, and for how long they wait for one another.
///
/// @param plan what each stage does
/// @param costs what each stage takes
record PipelineExplain(PipelinePlan plan, List<StageCost> costs) {
  /// What one stage takes.
  ///
  /// @param forward seconds of a lane's way forth, by the stage's chunks
  /// @param backward seconds of a lane's way back; of the last chunk of both ways
  /// @param update seconds of joins and update in a step
  /// @param memory bytes that the rank holds
  /// @param inFlight bytes of them that lanes keep between their ways forth and back
  /// @param sent bytes to the next stage and to the one before, in a step
  /// @param layers blocks of the model
  private record StageCost(
      List<Double> forward,
      List<Double> backward,
      double update,
      long memory,
      long inFlight,
      List<Long> sent,
      int layers) {
    static StageCost of(StepPlan plan, Rates rates, int stage, int stages, int perStage) {
      List<Double> forth = new ArrayList<>();
      List<Double> back = new ArrayList<>();
      for (int i = 0; i < perStage; i++) {
        int chunk = i * stages + stage;
        boolean isLast = chunk == perStage * stages - 1;
        double way = seconds(plan, rates, StepPlan.part("forward", chunk, perStage));
        forth.add(isLast ? 0 : way);
        back.add(isLast ? way : seconds(plan, rates, StepPlan.part("backward", chunk, perStage)));
      }
      double update = seconds(plan, rates, "update");
      for (String part : plan.programs().keySet()) {
        if (part.startsWith("joins")) {
          update += plan.runs().getOrDefault(part, 0) * seconds(plan, rates, part);
        }
      }
      return new StageCost(
          forth,
          back,
          update,
          plan.peakBytes(),
          plan.memory().getOrDefault("lanes in flight", 0L),
          List.copyOf(plan.sentBytes().values()),
          plan.layers());
    }

    private static double seconds(StepPlan plan, Rates rates, String part) {
      return plan.programs().getOrDefault(part, List.of()).stream()
          .flatMap(program -> program.steps().stream())
          .mapToDouble(rates::seconds)
          .sum();
    }

    /// Seconds of a lane's ways forth and back.
    double lane() {
      return sum(forward) + sum(backward);
    }

    private static double sum(List<Double> chunks) {
      return chunks.stream().mapToDouble(Double::doubleValue).sum();
    }
  }

  private static PipelineExplain of(
      MemoryPool pool, StepOptions options, Recipe recipe, TrainerOptions trainer, Rates rates) {
    List<StageCost> costs = new ArrayList<>();
    PipelinePlan pipeline = null;
    for (int stage = 0; stage < options.stages(); stage++) {
      try (StepPlan plan = StepPlan.ofStage(pool, recipe, trainer, options.ranks(), stage)) {
        int perStage = trainer.layout().chunks();
        costs.add(StageCost.of(plan, rates, stage, options.stages(), perStage));
        pipeline = plan.pipeline().orElseThrow();
      }
    }
    if (pipeline == null) {
      throw new IllegalArgumentException("a pipeline has stages: stages=" + options.stages());
    }
    return new PipelineExplain(pipeline, costs);
  }

  /// Prints each stage, the share of the time in which they wait, where stages hold several chunks
  /// what it would be with one, and where the blocks cannot be dealt out evenly what it would be
  /// with others.
  static void print(MemoryPool pool, StepOptions options, int share, Rates rates, PrintStream out) {
    TrainerOptions trainer = options.trainerOptions(share);
    Recipe recipe = options.recipe();
    PipelineExplain own = of(pool, options, recipe, trainer, rates);
    own.printStages(out);
    if (trainer.layout().chunks() == 1) {
      own.printTimes("%d stages".formatted(options.stages()), out);
    } else {
      printChunks(pool, options, trainer, rates, own, out);
    }
    int layers = recipe.model().layers();
    int chunks = own.plan.chunks();
    if (layers % chunks != 0) {
      ModelShape model = recipe.model();
      int fitting = Math.round(layers / (float) chunks) * chunks;
      Recipe other = recipe.withModel(model.with(Map.of("--layers", fitting), model.tiedHead()));
      own.printUneven(of(pool, options, other, trainer, rates), out);
    }
  }

  private static void printChunks(
      MemoryPool pool,
      StepOptions options,
      TrainerOptions trainer,
      Rates rates,
      PipelineExplain own,
      PrintStream out) {
    int perStage = trainer.layout().chunks();
    own.printTimes("%d stages of %d chunks".formatted(options.stages(), perStage), out);
    PipelineExplain whole =
        of(
            pool,
            options,
            options.recipe(),
            trainer.withLayout(
                trainer.layout().withSchedule(PipelineSchedule.ONE_FORWARD_ONE_BACKWARD)),
            rates);
    whole.printTimes("with one chunk per stage, as --schedule 1f1b has it", out);
    line(
        out,
        "          the stage that holds most takes %,d bytes instead of %,d, and one that sends"
            + " most sends %,d bytes in a step instead of %,d",
        own.most(StageCost::memory),
        whole.most(StageCost::memory),
        own.most(PipelineExplain::sent),
        whole.most(PipelineExplain::sent));
  }

  /// Compares with stages of a model whose blocks they can share out evenly.
  private void printUneven(PipelineExplain fitting, PrintStream out) {
    line(
        out,
        "uneven     stages have %s of %d blocks: the largest takes %.1f %% of a lane's time, an"
            + " even share is %.1f %%",
        layersByStage(),
        layers(),
        largest() * 100,
        100.0 / costs.size());
    line(
        out,
        "fitting    with --layers %d they have %s: the largest takes %.1f %%, and stages wait for"
            + " %.1f %% of the lanes' time instead of %.1f %%;",
        fitting.layers(),
        fitting.layersByStage(),
        fitting.largest() * 100,
        fitting.times().bubble() * 100,
        times().bubble() * 100);
    line(
        out,
        "           a lane takes %.3f ms of the step for a block instead of %.3f",
        fitting.perBlock() * 1e3,
        perBlock() * 1e3);
  }

  private int layers() {
    return costs.stream().mapToInt(StageCost::layers).sum();
  }

  private String layersByStage() {
    return costs.stream().map(cost -> "" + cost.layers).collect(Collectors.joining(", "));
  }

  /// Which share of a lane's time the stage takes that takes most of it.
  private double largest() {
    double all = costs.stream().mapToDouble(StageCost::lane).sum();
    return costs.stream().mapToDouble(StageCost::lane).max().orElse(0) / all;
  }

  /// Seconds of a step, without its update, for a block of a lane.
  private double perBlock() {
    return times().total() / plan.count() / layers();
  }

  private static long sent(StageCost cost) {
    return cost.sent.stream().mapToLong(Long::longValue).sum();
  }

  private long most(Function<StageCost, Long> what) {
    return costs.stream().mapToLong(what::apply).max().orElse(0);
  }

  private void printStages(PrintStream out) {
    line(out, "");
    line(
        out,
        "stage        forth         back       update           memory        in flight"
            + "   sent forth    sent back");
    for (int stage = 0; stage < costs.size(); stage++) {
      StageCost cost = costs.get(stage);
      line(
          out,
          "%5d %,9.3f ms %,9.3f ms %,9.3f ms %,16d %,16d %,12d %,12d",
          stage,
          StageCost.sum(cost.forward) * 1e3,
          StageCost.sum(cost.backward) * 1e3,
          cost.update * 1e3,
          cost.memory,
          cost.inFlight,
          cost.sent.get(0),
          cost.sent.get(1));
    }
  }

  private void printTimes(String what, PrintStream out) {
    PipelinePlan.Times times = times();
    double update = costs.stream().mapToDouble(StageCost::update).max().orElse(0);
    line(
        out,
        "pipeline: %s, lanes of %.3f ms and update of %.3f ms predicted; stages wait for"
            + " %.1f %% of the lanes' time",
        what,
        times.total() * 1e3,
        update * 1e3,
        times.bubble() * 100);
  }

  private PipelinePlan.Times times() {
    return plan.times(byChunk(StageCost::forward), byChunk(StageCost::backward));
  }

  /// Times by chunk, counted over all stages.
  private double[] byChunk(Function<StageCost, List<Double>> way) {
    double[] times = new double[plan.chunks()];
    for (int chunk = 0; chunk < times.length; chunk++) {
      StageCost cost = costs.get(chunk % costs.size());
      times[chunk] = way.apply(cost).get(chunk / costs.size());
    }
    return times;
  }

  private static void line(PrintStream out, String format, Object... values) {
    out.printf(Locale.ROOT, format + "%n", values);
  }
}
