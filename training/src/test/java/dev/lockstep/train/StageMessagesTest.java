package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.failure.LockstepException;
import dev.lockstep.job.Job;
import dev.lockstep.memory.Scope;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.Recipe.SumBlocks;
import dev.lockstep.train.data.Batches;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.ModelPrograms;
import dev.lockstep.train.model.Recompute;
import dev.lockstep.train.parallel.Exchange;
import dev.lockstep.train.pipeline.PipelineSchedule;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// What is wrong with a plan of stages is refused when it is made; what may go wrong below it, with
/// the messages themselves, ends in other bits or in a failure that says so.
@Tag("long")
@Timeout(240)
class StageMessagesTest {
  // AdamW's first step is as long whatever the gradient: a wrong one shows in the second.
  private static final int STEPS = 2;

  private static final Recipe RECIPE =
      Recipe.defaults()
          .withModel(new GptShape(4, 2, 16, 8, 256, true))
          .withBlocks(new SumBlocks(4, 1))
          .withBatch(new BatchShape(4, 1, 4))
          .withSteps(STEPS);

  /// How long a stage waits for what never comes.
  private static final Duration WAIT = Duration.ofSeconds(1);

  @TempDir Path directory;

  /// What goes wrong with a message.
  private enum Wrong {
    /// Neither end starts it.
    LEFT_OUT,
    /// It is sent twice.
    SENT_TWICE,
    /// The next one of its sender over the same border goes before it.
    OVERTAKEN,
    /// What is sent is another lane's.
    OF_ANOTHER_LANE,
    /// What is received is put in another lane's place.
    FOR_ANOTHER_LANE,
    /// It goes over the border behind.
    OVER_ANOTHER_BORDER
  }

  /// Which message goes wrong.
  ///
  /// @param link which border it goes over, and whither
  /// @param number of those over it, in the order in which they are prepared
  private record Which(String link, int number, Wrong wrong) {}

  /// Lets messages pass but one. Tells which there are, or that the one was overtaken.
  private static final class Astray extends ForwardingExchange {
    private final int stage;
    private final Optional<Which> which;
    private final Consumer<Which> seen;
    private final Map<String, List<Tensor>> prepared = new HashMap<>();
    private final Map<String, Message> held = new HashMap<>(); // until the next one has gone

    Astray(Exchange exchange, int stage, Optional<Which> which, Consumer<Which> seen) {
      super(exchange);
      this.stage = stage;
      this.which = which;
      this.seen = seen;
    }

    @Override
    public Message message(String axis, boolean forth, int from, Tensor memory) {
      String link = (forth ? "forth from " : "back from ") + from;
      List<Tensor> before = prepared.computeIfAbsent(link, _ -> new ArrayList<>());
      int number = before.size();
      boolean sends = from == stage;
      if (which.isEmpty()) {
        offer(link, number, sends, before, memory);
      }
      before.add(memory);
      Wrong wrong =
          which
              .filter(each -> each.link.equals(link) && each.number == number)
              .map(Which::wrong)
              .orElse(null);
      boolean isMoved = wrong == (sends ? Wrong.OF_ANOTHER_LANE : Wrong.FOR_ANOTHER_LANE);
      Message made =
          exchange.message(
              axis,
              forth,
              wrong == Wrong.OVER_ANOTHER_BORDER ? from + 1 : from,
              isMoved ? before.getFirst() : memory);
      return new Passing(link, made, sends, wrong);
    }

    /// Says what can go wrong with a message.
    private void offer(String link, int number, boolean sends, List<Tensor> before, Tensor memory) {
      for (Wrong wrong : Wrong.values()) {
        boolean isEnd =
            switch (wrong) {
              case SENT_TWICE, OVERTAKEN, OVER_ANOTHER_BORDER, LEFT_OUT -> sends;
              case OF_ANOTHER_LANE -> sends && differs(before, memory);
              case FOR_ANOTHER_LANE -> !sends && differs(before, memory);
            };
        if (isEnd) {
          seen.accept(new Which(link, number, wrong));
        }
      }
    }

    private static boolean differs(List<Tensor> before, Tensor memory) {
      return !before.isEmpty() && !before.getFirst().equals(memory);
    }

    /// A message, or what becomes of it.
    private final class Passing implements Message {
      private final String link;
      private final Message message;
      private final boolean sends;
      private final @Nullable Wrong wrong;

      Passing(String link, Message message, boolean sends, @Nullable Wrong wrong) {
        this.link = link;
        this.message = message;
        this.sends = sends;
        this.wrong = wrong;
      }

      @Override
      public void start() {
        if (wrong == Wrong.LEFT_OUT) {
          return;
        }
        if (wrong == Wrong.OVERTAKEN && sends && !held.containsKey(link)) {
          held.put(link, message);
          return;
        }
        message.start();
        if (wrong == Wrong.SENT_TWICE && sends) {
          message.await();
          message.start();
        }
        Message overtaken = held.remove(link);
        if (overtaken != null) {
          overtaken.start();
          seen.accept(which.orElseThrow());
        }
      }

      @Override
      public boolean poll() {
        return message.poll();
      }

      @Override
      public void await() {
        if (held.remove(link, message)) {
          message.start(); // nothing has overtaken it
        }
        message.await();
      }

      @Override
      public void close() {
        message.close();
      }
    }
  }

  /// Trains on this rank as a trainer does; returns losses and norms of all steps and the weights.
  private static List<Object> train(
      Job job, Corpus corpus, TrainerOptions options, Optional<Which> which, Consumer<Which> seen) {
    BatchShape batch = RECIPE.batch();
    ModelPrograms programs =
        RECIPE.programs(RECIPE.model().model(RECIPE.blocks().tensor()), Recompute.NONE);
    Batches batches =
        new Batches(
            corpus, RECIPE.seed(), batch.lanes(), batch.microBatch(), RECIPE.model().context());
    try (Scope scope = new Scope()) {
      JobExchange exchange = JobExchange.open(scope, job, RECIPE, options);
      try {
        Grid grid = Grid.of(options.layout(), job.rank(), job.worldSize());
        Astray astray = new Astray(exchange, grid.pipeline().rank(), which, seen);
        RankCompute compute = RankCompute.open(scope, options, job, exchange.place().with(astray));
        Stages stages = Stages.of(grid, options.layout().chunks(), programs, batch.microBatch());
        ModelState parameters = ModelState.parameters(compute, stages.held());
        ModelState moments = ModelState.moments(compute, stages.held());
        parameters.initialize(RECIPE.seed());
        StagedSteps steps =
            new StagedSteps(
                compute,
                RECIPE,
                stages.plan(options.layout().schedule(), batch.lanes()),
                stages,
                new TrainedState(parameters, moments),
                batches);
        List<Object> results = new ArrayList<>();
        for (int step = 0; step < STEPS; step++) {
          steps.run(step, RECIPE.learningRate().at(step + 1, STEPS), false);
          results.add(steps.scalars().loss());
          results.add(steps.scalars().gradientNorm());
        }
        results.add(parameters.sha256());
        return results;
      } catch (RuntimeException | Error failure) {
        exchange.abandon(failure);
        throw failure;
      }
    }
  }

  /// Each message of each border in each direction goes wrong in each way that it can, or where
  /// there are many one of `stride` does.
  @ParameterizedTest(name = "--mesh pp={0} --schedule {1}, one of {2}")
  @CsvSource({"2, gpipe, 1", "2, interleaved, 4", "3, 1f1b, 2"})
  void aMessageThatGoesAstrayChangesBitsOrIsNamed(int stages, String schedule, int stride)
      throws Exception {
    TrainerOptions usual = TrainerOptions.defaults().withThreads(1);
    TrainerOptions options =
        usual.withLayout(Layout.parse("pp=" + stages).withSchedule(PipelineSchedule.of(schedule)));
    TrainerOptions hurried =
        new TrainerOptions(
            "cpu", 1, 0, "", WAIT, usual.recompute(), options.layout(), usual.bucketBytes());
    Set<Which> all = Collections.synchronizedSet(new LinkedHashSet<>());
    try (Corpus corpus = TinyText.open(TinyText.write(directory.resolve("text")))) {
      List<List<Object>> right =
          InProcessRanks.run(
              stages, job -> train(job, corpus, options, Optional.empty(), all::add));
      TrainedRun whole = TrainedRun.of(RECIPE, corpus, stages, options);
      assertThat(right).allSatisfy(rank -> assertThat(rank).endsWith(whole.weights()));
      Map<Wrong, Integer> caught = new EnumMap<>(Wrong.class);
      int failures = 0;
      List<Which> some = new ArrayList<>(all);
      for (int i = 0; i < some.size(); i += stride) {
        Which which = some.get(i);
        Set<Which> overtaken = Collections.synchronizedSet(new LinkedHashSet<>());
        Optional<List<List<Object>>> wrong =
            outcome(stages, job -> train(job, corpus, hurried, Optional.of(which), overtaken::add));
        if (which.wrong == Wrong.OVERTAKEN && overtaken.isEmpty()) {
          continue; // it was the last
        }
        assertThat(wrong).as("%s", which).isNotEqualTo(Optional.of(right));
        failures += wrong.isEmpty() ? 1 : 0;
        caught.merge(which.wrong, 1, Integer::sum);
      }
      int messages = caught.values().stream().mapToInt(Integer::intValue).sum();
      System.out.printf(
          "pipeline: pp=%d, %s: %d messages gone wrong %s, %d ended in other bits, %d in a"
              + " failure%n",
          stages, schedule, messages, caught, messages - failures, failures);
      assertThat(caught).hasSizeGreaterThan(3);
    }
  }

  private interface Work {
    List<Object> on(Job job);
  }

  /// What ranks end in; empty where they fail with a sentence.
  private static Optional<List<List<Object>>> outcome(int ranks, Work work) throws Exception {
    try {
      return Optional.of(InProcessRanks.run(ranks, work::on));
    } catch (LockstepException | IllegalArgumentException failure) {
      return Optional.empty();
    }
  }
}
