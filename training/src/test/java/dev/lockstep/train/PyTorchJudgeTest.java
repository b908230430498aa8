package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.optim.AdamWOptions;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Our checkpoints opened by Hugging Face's transformers, and trained on by PyTorch.
class PyTorchJudgeTest {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final int STEPS = 10;

  @TempDir Path directory;

  @ParameterizedTest(name = "tied head={0}")
  @CsvSource({"true", "false"})
  @Timeout(300)
  void opensTheCheckpointAndFollowsTenSteps(boolean tied) throws Exception {
    Recipe recipe =
        Recipe.defaults()
            .withModel(new GptShape(2, 2, 32, 16, 256, tied))
            .withBatch(BatchShape.of(2, 3))
            .withSteps(STEPS);
    String python = python();
    Path checkpoint = directory.resolve("checkpoint");
    try (Corpus corpus = TinyText.open(TinyText.write(directory.resolve("text")))) {
      BatchReader batches = new BatchReader(recipe, corpus);
      Ours ours =
          InProcessRanks.run(
                  1,
                  job -> {
                    TrainerOptions options = TrainerOptions.defaults().withThreads(1);
                    try (Trainer trainer = Trainer.start(job, recipe, corpus, options)) {
                      trainer.save(checkpoint);
                      float validation = trainer.evaluate();
                      List<Float> losses = new ArrayList<>();
                      for (int step = 0; step < STEPS; step++) {
                        trainer.step(false);
                        losses.add(trainer.loss());
                      }
                      return new Ours(validation, losses);
                    }
                  })
              .getFirst();

      JsonNode theirs = judge(python, checkpoint, work(recipe, batches));

      assertThat((double) ours.validation)
          .isCloseTo(theirs.path("validation").asDouble(), within(1e-4));
      for (int step = 0; step < STEPS; step++) {
        assertThat((double) ours.losses.get(step))
            .describedAs("loss of step %d", step)
            .isCloseTo(theirs.path("losses").path(step).asDouble(), within(1e-3));
      }
    }
  }

  private record Ours(float validation, List<Float> losses) {}

  private static String python() throws Exception {
    String named = System.getenv("LOCKSTEP_PYTHON");
    String home = System.getProperty("lockstep.home", "..");
    String python = named == null ? home + "/target/venv/bin/python" : named;
    boolean found = Files.isExecutable(Path.of(python));
    for (String module : List.of("torch", "transformers")) {
      assumeTrue(
          found && canFind(python, module),
          "judge "
              + module
              + ": no Python with "
              + module
              + " (set LOCKSTEP_PYTHON, or run .ci/run once)");
    }
    return python;
  }

  private static boolean canFind(String python, String module) throws Exception {
    String program =
        "import importlib.util, sys; sys.exit(not importlib.util.find_spec(sys.argv[1]))";
    return new ProcessBuilder(python, "-c", program, module).start().waitFor() == 0;
  }

  private static ObjectNode work(Recipe recipe, BatchReader batches) {
    AdamWOptions optimizer = recipe.optimizer();
    ObjectNode work =
        JSON.createObjectNode()
            .put("beta1", optimizer.beta1())
            .put("beta2", optimizer.beta2())
            .put("epsilon", optimizer.epsilon())
            .put("weightDecay", optimizer.weightDecay())
            .put("clip", optimizer.clip());
    work.set("validation", windows(batches.validation()));
    var steps = work.putArray("steps");
    for (int step = 0; step < STEPS; step++) {
      float rate = recipe.learningRate().at(step + 1, STEPS);
      steps.add(windows(batches.step(step)).put("learningRate", rate));
    }
    return work;
  }

  private static ObjectNode windows(BatchReader.Windows windows) {
    ObjectNode node = JSON.createObjectNode();
    node.set("tokens", JSON.valueToTree(windows.tokens()));
    node.set("targets", JSON.valueToTree(windows.targets()));
    return node;
  }

  private JsonNode judge(String python, Path checkpoint, ObjectNode work) throws Exception {
    Path script = directory.resolve("gpt2_judge.py");
    try (InputStream resource = getClass().getResourceAsStream("gpt2_judge.py")) {
      if (resource == null) {
        throw new IOException("gpt2_judge.py is no resource");
      }
      Files.copy(resource, script);
    }
    Path file = directory.resolve("work.json");
    JSON.writeValue(file.toFile(), work);
    Path out = directory.resolve("out.json");
    Path err = directory.resolve("err.txt");
    ProcessBuilder builder =
        new ProcessBuilder(python, script.toString(), checkpoint.toString(), file.toString())
            .redirectOutput(out.toFile())
            .redirectError(err.toFile());
    builder.environment().put("HF_HUB_OFFLINE", "1");
    int code = builder.start().waitFor();
    assertThat(code).describedAs(Files.readString(err)).isZero();
    return JSON.readTree(Files.readString(out));
  }
}
