package dev.lockstep.train.checkpoint;

import dev.lockstep.failure.CheckpointException;
import dev.lockstep.memory.Scope;
import dev.lockstep.train.checkpoint.Safetensors.TensorData;
import dev.lockstep.train.model.ModelShape;
import dev.lockstep.train.nn.Parameter;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/// The weights of a GPT-2 or Llama folder of Hugging Face, or of a checkpoint of any family, which
/// is such a folder: `config.json`, and `model.safetensors` or files of it that
/// `model.safetensors.index.json` names. bfloat16 and float16 are widened where they are read, a
/// piece at a time.
///
/// Holds the files mapped until it is closed; thread-safe.
public final class HuggingFaceFolder implements AutoCloseable {
  private static final String CONFIG = "config.json";
  private static final String WEIGHTS = "model";
  private static final String GPT2_PREFIX = "transformer.";

  private final Path path;
  private final ModelShape shape;
  private final SafetensorsSet files;
  private final Map<String, TensorData> tensors = new LinkedHashMap<>();

  private HuggingFaceFolder(Path path, ModelShape shape) {
    this.path = path;
    this.shape = shape;
    this.files = SafetensorsSet.open(path, WEIGHTS);
  }

  /// Returns the size of a folder's model; no weights are read.
  ///
  /// @throws dev.lockstep.failure.ConfigurationException as [#open]
  public static ModelShape shape(Path path) {
    return HuggingFaceConfig.read(path.resolve(CONFIG));
  }

  /// Opens a folder; the caller closes it.
  ///
  /// @throws dev.lockstep.failure.ConfigurationException if the model is not one that is computed
  ///   here; the sentence names the key of `config.json` and its value
  /// @throws CheckpointException if a file or a tensor is missing or does not fit the model
  public static HuggingFaceFolder open(Path path) {
    HuggingFaceFolder folder = new HuggingFaceFolder(path, shape(path));
    try {
      folder.read();
      return folder;
    } catch (RuntimeException | Error e) {
      Scope.afterFailure(e, folder::close);
      throw e;
    }
  }

  private void read() {
    // Files on the hub leave out the prefix that the class of the language model adds.
    Map<String, TensorData> byName = new TreeMap<>();
    files
        .tensors()
        .forEach(
            (name, tensor) -> {
              if (byName.put(withoutPrefix(name), tensor) != null) {
                throw damaged(path, "it holds a tensor twice: tensor=" + withoutPrefix(name), null);
              }
            });
    // Before as many are made.
    if (shape.layers() > byName.size()) {
      throw damaged(
          path,
          "layers=%d, tensors=%d (%s is of another model)"
              .formatted(shape.layers(), byName.size(), CONFIG),
          null);
    }
    for (Parameter parameter : shape.model(1).parameters()) {
      TensorData tensor = byName.remove(withoutPrefix(parameter.name()));
      tensors.put(parameter.name(), fitting(parameter, tensor));
    }
    byName.keySet().removeIf(name -> isNoWeight(name) || isTiedHead(name));
    if (!byName.isEmpty()) {
      throw damaged(path, "it holds tensors that the model has not: " + byName.keySet(), null);
    }
  }

  private static String withoutPrefix(String name) {
    return name.startsWith(GPT2_PREFIX) ? name.substring(GPT2_PREFIX.length()) : name;
  }

  /// Masks and angles, which old versions of transformers saved too.
  private static boolean isNoWeight(String name) {
    return name.endsWith(".attn.bias")
        || name.endsWith(".attn.masked_bias")
        || name.endsWith(".rotary_emb.inv_freq");
  }

  private boolean isTiedHead(String name) {
    return shape.tiedHead() && name.equals("lm_head.weight");
  }

  private TensorData fitting(Parameter parameter, @Nullable TensorData data) {
    if (data == null || !data.shape().equals(parameter.shape())) {
      String found = data == null ? "nothing" : data.dtype().toString() + data.shape();
      throw damaged(
          path,
          "tensor=%s, expected=%s, found=%s".formatted(parameter.name(), parameter.shape(), found),
          null);
    }
    return switch (data.dtype()) {
      case F32, BF16, F16 -> data;
      case F64, F8_E4M3FN, F8_E4M3, F8_E5M2, I64, I32, I16, I8, U8, BOOL ->
          throw damaged(
              path,
              "tensor=%s, dtype=%s (F32, BF16 or F16)".formatted(parameter.name(), data.dtype()),
              null);
    };
  }

  private static CheckpointException damaged(Path file, String what, @Nullable Throwable cause) {
    return new CheckpointException(
        file.toString(), "the weights cannot be read: path=" + file + ", " + what, cause);
  }

  /// Returns where the files are.
  public Path path() {
    return path;
  }

  /// Returns the size of the model.
  public ModelShape shape() {
    return shape;
  }

  /// Returns the weights by the names of the model's parameters, F32, BF16 or F16 as the files have
  /// them ([TensorData#copyAsF32] reads each); borrowed until [#close].
  public Map<String, TensorData> tensors() {
    return Map.copyOf(tensors);
  }

  /// Returns the SHA-256 of the weights as F32.
  public String sha256() {
    return Sha256.of(new WidenedTensors(new TreeMap<>(tensors)));
  }

  /// Unmaps the files; idempotent.
  @Override
  public void close() {
    files.close();
  }
}
