package dev.lockstep.train;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.lockstep.failure.CheckpointException;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.train.checkpoint.CheckpointFolder;
import dev.lockstep.train.checkpoint.HuggingFaceConfig;
import dev.lockstep.train.checkpoint.Sha256;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// A checkpoint: a folder in the layout of Hugging Face with the optimizer's state and the run's
/// position beside the weights.
///
/// - `config.json` and `model.safetensors` (large models: several files and their index): what
///   `AutoModelForCausalLM.from_pretrained` opens where the model is a GPT-2 or a Llama
/// - `optimizer.safetensors`: the moments, `m/name` and `v/name`
/// - `trainer_state.json`: recipe, step, the data set's SHA-256, the next window of it, and the
///   position of the random numbers
/// - `SHA256SUMS`: sums of them all
///
/// @param folder where the files are
/// @param recipe the recipe of the run
/// @param step steps done; the next one's data follow from it
/// @param dataSha256 hash of the data set
/// @param sha256 hash of the list of the files' sums, as they were checked: alike where all files
///   are
public record SavedRun(Path folder, Recipe recipe, long step, String dataSha256, String sha256) {
  /// What the names of the weights' files start with.
  static final String WEIGHTS = "model";

  /// What the names of the moments' files start with.
  static final String OPTIMIZER = "optimizer";

  private static final String CONFIG = "config.json";
  private static final String STATE = CheckpointFolder.STATE;
  private static final int FORMAT = 1;
  private static final ObjectMapper JSON =
      JsonMapper.builder().enable(SerializationFeature.INDENT_OUTPUT).build();

  /// Opens a checkpoint and checks every file against its sum.
  ///
  /// @param path the checkpoint, or the output folder of a run that holds it as `checkpoint`
  /// @throws CheckpointException if there is none or a file is missing or damaged; the sentence
  ///   names the file
  public static SavedRun open(Path path) {
    Path inRun = path.resolve("checkpoint");
    CheckpointFolder.Verified verified =
        CheckpointFolder.verify(
            CheckpointFolder.exists(inRun) ? inRun : path, List.of(CONFIG, STATE));
    Path state = verified.folder().resolve(STATE);
    String text = CheckpointFolder.read(state);
    if (!Sha256.of(text).equals(verified.sums().get(STATE))) {
      throw new CheckpointException(path.toString(), replaced(verified.folder()), null);
    }
    try {
      JsonNode tree = JSON.readTree(text);
      if (tree.path("format").asInt() != FORMAT) {
        throw new IllegalArgumentException(
            "format is " + tree.path("format") + ", this version reads " + FORMAT);
      }
      Recipe recipe = Recipe.fromJson(tree.path("recipe").toString());
      SavedRun saved =
          new SavedRun(
              verified.folder(),
              recipe,
              step(tree, recipe),
              tree.path("data").path("sha256").asText(),
              verified.sha256());
      saved.requirePosition(tree);
      return saved;
    } catch (JsonProcessingException | IllegalArgumentException | ConfigurationException e) {
      throw new CheckpointException(
          state.toString(),
          "checkpoint cannot be read: file=" + state + ", cause=" + e.getMessage(),
          e);
    }
  }

  private static String replaced(Path folder) {
    return "the checkpoint was replaced while it was read: path=%s (open it again)"
        .formatted(folder);
  }

  /// Returns why what was read of the files since they were checked may not be theirs; empty if it
  /// is. A writer that replaces the checkpoint gives its folder another list of sums.
  String doubt() {
    try {
      String sums = CheckpointFolder.read(folder.resolve(CheckpointFolder.SUMS));
      return Sha256.of(sums).equals(sha256) ? "" : replaced(folder);
    } catch (CheckpointException moved) {
      return replaced(folder);
    }
  }

  /// Checks that what was read of the files since they were checked is theirs.
  ///
  /// @throws CheckpointException if it may not be
  void requireUnchanged() {
    requireNoDoubt(doubt());
  }

  /// Refuses what was read, where this or another rank has a doubt.
  ///
  /// @param doubt empty if there is none
  /// @throws CheckpointException if there is one
  void requireNoDoubt(String doubt) {
    if (!doubt.isEmpty()) {
      throw new CheckpointException(folder.toString(), doubt, null);
    }
  }

  /// A position that does not follow from the step belongs to another run.
  private void requirePosition(JsonNode tree) {
    JsonNode window = tree.path("data").path("nextWindow");
    JsonNode random = tree.path("random");
    boolean fits =
        is(window, nextWindow(recipe, step))
            && is(random.path("seed"), recipe.seed())
            && is(random.path("step"), step);
    if (!fits) {
      throw new IllegalArgumentException(
          "the position is not that of its step: step=%d, nextWindow=%s, random=%s"
              .formatted(step, window, random));
    }
  }

  /// The steps done; others than the recipe's are of no run.
  private static long step(JsonNode tree, Recipe recipe) {
    JsonNode step = tree.path("step");
    if (!isLong(step) || step.asLong() < 0 || step.asLong() > recipe.steps()) {
      throw new IllegalArgumentException(
          "the step is none of its recipe's: step=%s, steps=%d".formatted(step, recipe.steps()));
    }
    return step.asLong();
  }

  private static boolean is(JsonNode found, long expected) {
    return isLong(found) && found.asLong() == expected;
  }

  private static boolean isLong(JsonNode node) {
    return node.isIntegralNumber() && node.canConvertToLong();
  }

  /// The number of the first window of the step that comes next, counted from the run's first.
  private static long nextWindow(Recipe recipe, long step) {
    return Math.multiplyExact(step, recipe.batch().sequences());
  }

  /// Returns the files of text of a checkpoint, by name.
  static Map<String, String> texts(Recipe recipe, long step, String dataSha256) {
    ObjectNode state = JSON.createObjectNode().put("format", FORMAT).put("step", step);
    state.putObject("data").put("sha256", dataSha256).put("nextWindow", nextWindow(recipe, step));
    // Random numbers are drawn by counter: seed and step are all their position.
    state.putObject("random").put("seed", recipe.seed()).put("step", step);
    state.set("recipe", RecipeJson.tree(recipe));
    Map<String, String> texts = new LinkedHashMap<>();
    texts.put(CONFIG, HuggingFaceConfig.of(recipe.model()));
    texts.put(STATE, state.toPrettyString() + "\n");
    return texts;
  }

  /// Returns the step of the checkpoint in a folder; 0 if there is none that says it.
  public static long stepOf(Path folder) {
    try {
      return JSON.readTree(CheckpointFolder.read(folder.resolve(STATE))).path("step").asLong();
    } catch (JsonProcessingException | CheckpointException unknown) {
      return 0;
    }
  }
}
