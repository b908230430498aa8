package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.optim.AdamWOptions;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Our checkpoints opened by Hugging Face's transformers, and trained on by PyTorch.
class PyTorchJudgeTest {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final int STEPS = 10;

  @TempDir Path directory;

  @Test
  @Timeout(300)
  void opensTheCheckpointAndFollowsTenSteps() throws Exception {
    opensTheCheckpointAndFollowsTenSteps(true);
  }

  @Test
  @Tag("long")
  @Timeout(300)
  void opensTheCheckpointOfAnUntiedHead() throws Exception {
    opensTheCheckpointAndFollowsTenSteps(false);
  }

  private void opensTheCheckpointAndFollowsTenSteps(boolean tied) throws Exception {
    Recipe recipe =
        Recipe.defaults()
            .withModel(new GptShape(2, 2, 32, 16, 256, tied))
            .withBatch(BatchShape.of(2, 3))
            .withSteps(STEPS);
    PythonJudge python = PythonJudge.find(directory);
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

  private JsonNode judge(PythonJudge python, Path checkpoint, ObjectNode work) throws Exception {
    Path file = directory.resolve("work.json");
    JSON.writeValue(file.toFile(), work);
    return python.run("gpt2_judge.py", checkpoint.toString(), file.toString());
  }
}
