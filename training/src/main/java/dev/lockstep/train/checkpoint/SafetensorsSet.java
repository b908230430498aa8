package dev.lockstep.train.checkpoint;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.lockstep.failure.CheckpointException;
import dev.lockstep.memory.Scope;
import dev.lockstep.train.checkpoint.Safetensors.TensorData;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/// Tensors in one safetensors file, `STEM.safetensors`, or in several that
/// `STEM.safetensors.index.json` names, as Hugging Face cuts large models. Mapped, immutable and
/// thread-safe.
public final class SafetensorsSet implements AutoCloseable {
  private static final ObjectMapper JSON = new JsonMapper();

  private final Scope files = new Scope();
  private final Map<String, TensorData> tensors = new TreeMap<>();

  private SafetensorsSet() {}

  /// Returns the name of the one file.
  static String file(String stem) {
    return stem + ".safetensors";
  }

  /// Returns the name of the file that names the others.
  static String index(String stem) {
    return file(stem) + ".index.json";
  }

  /// Maps the files and checks their headers; the caller closes them.
  ///
  /// @throws CheckpointException if a file or a tensor that the index names is missing or damaged;
  ///   nothing is left open
  public static SafetensorsSet open(Path folder, String stem) {
    SafetensorsSet set = new SafetensorsSet();
    try {
      if (Files.exists(folder.resolve(index(stem)))) {
        set.readIndexed(folder, stem);
      } else {
        set.tensors.putAll(set.opened(folder.resolve(file(stem))).tensors());
      }
      return set;
    } catch (RuntimeException | Error e) {
      Scope.afterFailure(e, set::close);
      throw e;
    }
  }

  private void readIndexed(Path folder, String stem) {
    Map<String, Safetensors> opened = new HashMap<>();
    Path index = folder.resolve(index(stem));
    for (Map.Entry<String, JsonNode> entry : map(index).properties()) {
      String tensor = entry.getKey();
      String name = entry.getValue().asText();
      if (!isPlain(name)) {
        throw damaged(index, "it names a file elsewhere: " + name, null);
      }
      TensorData data =
          opened.computeIfAbsent(name, file -> opened(folder.resolve(file))).tensors().get(tensor);
      if (data == null) {
        throw damaged(
            folder.resolve(name), "the index names a tensor that it has not: " + tensor, null);
      }
      tensors.put(tensor, data);
    }
  }

  private static boolean isPlain(String name) {
    try {
      return Path.of(name).equals(Path.of(name).getFileName());
    } catch (InvalidPathException none) {
      return false;
    }
  }

  private static JsonNode map(Path index) {
    try {
      return JSON.readTree(CheckpointFolder.read(index)).path("weight_map");
    } catch (JsonProcessingException broken) {
      throw damaged(index, "it is no JSON: " + broken.getOriginalMessage(), broken);
    }
  }

  private Safetensors opened(Path file) {
    return files.own(Safetensors.open(file), Safetensors::close);
  }

  private static CheckpointException damaged(Path file, String what, @Nullable Throwable cause) {
    return new CheckpointException(
        file.toString(), "the tensors cannot be read: path=" + file + ", " + what, cause);
  }

  /// Returns the tensors by name, sorted; their memory is borrowed until [#close].
  public Map<String, TensorData> tensors() {
    return new TreeMap<>(tensors);
  }

  /// Unmaps the files; idempotent.
  @Override
  public void close() {
    files.close();
  }
}
