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
import dev.lockstep.train.checkpoint.CheckpointFolder.Content;
import dev.lockstep.train.checkpoint.HuggingFaceConfig;
import dev.lockstep.train.checkpoint.Safetensors;
import dev.lockstep.train.checkpoint.TensorSource;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// A checkpoint: a folder in the layout of Hugging Face with the optimizer's state and the run's
/// position beside the weights.
///
/// - `config.json` and `model.safetensors`: what `AutoModelForCausalLM.from_pretrained` opens
/// - `optimizer.safetensors`: the moments, `m/name` and `v/name`
/// - `trainer_state.json`: recipe, step and the data set's SHA-256
/// - `SHA256SUMS`: sums of them all
///
/// @param folder where the files are
/// @param recipe the recipe of the run
/// @param step steps done; the next one's data follow from it
/// @param dataSha256 hash of the data set
public record SavedRun(Path folder, Recipe recipe, long step, String dataSha256) {
  private static final String CONFIG = "config.json";
  private static final String WEIGHTS = "model.safetensors";
  private static final String OPTIMIZER = "optimizer.safetensors";
  private static final String STATE = "trainer_state.json";
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
    boolean isRun =
        Files.isDirectory(inRun) || Files.isDirectory(path.resolve("checkpoint.previous"));
    Path folder =
        CheckpointFolder.verify(isRun ? inRun : path, List.of(CONFIG, WEIGHTS, OPTIMIZER, STATE));
    Path state = folder.resolve(STATE);
    try {
      JsonNode tree = JSON.readTree(CheckpointFolder.read(state));
      if (tree.path("format").asInt() != FORMAT) {
        throw new IllegalArgumentException(
            "format is " + tree.path("format") + ", this version reads " + FORMAT);
      }
      return new SavedRun(
          folder,
          Recipe.fromJson(tree.path("recipe").toString()),
          tree.path("step").asLong(),
          tree.path("data").path("sha256").asText());
    } catch (JsonProcessingException | IllegalArgumentException | ConfigurationException e) {
      throw new CheckpointException(
          state.toString(),
          "checkpoint cannot be read: file=" + state + ", cause=" + e.getMessage(),
          e);
    }
  }

  /// Writes a checkpoint in place of the one that is there.
  ///
  /// @param weights read to their end, if all can be written
  /// @param moments read after the weights
  /// @throws CheckpointException if it cannot be written; the old one is still there then
  static void write(
      Path folder,
      Recipe recipe,
      long step,
      String dataSha256,
      TensorSource weights,
      TensorSource moments) {
    ObjectNode state = JSON.createObjectNode().put("format", FORMAT).put("step", step);
    state.putObject("data").put("sha256", dataSha256);
    state.set("recipe", RecipeJson.tree(recipe));
    Map<String, Content> files = new LinkedHashMap<>();
    files.put(CONFIG, CheckpointFolder.text(HuggingFaceConfig.of(recipe.model())));
    // The key that transformers asks for before it loads a file.
    Map<String, String> metadata = Map.of("format", "pt");
    files.put(WEIGHTS, file -> Safetensors.write(file, weights, metadata));
    files.put(OPTIMIZER, file -> Safetensors.write(file, moments, Map.of()));
    files.put(STATE, CheckpointFolder.text(state.toPrettyString() + "\n"));
    CheckpointFolder.write(folder, files);
  }

  /// Returns the file with the weights.
  Path weights() {
    return folder.resolve(WEIGHTS);
  }

  /// Returns the file with the optimizer's moments.
  Path optimizer() {
    return folder.resolve(OPTIMIZER);
  }
}
