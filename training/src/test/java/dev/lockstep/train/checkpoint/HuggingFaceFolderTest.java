package dev.lockstep.train.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.CheckpointException;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.failure.LockstepException;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.NarrowFloat;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.checkpoint.Safetensors.TensorData;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.LlamaShape;
import dev.lockstep.train.model.MlpShape;
import dev.lockstep.train.model.ModelShape;
import dev.lockstep.train.model.MoeShape;
import dev.lockstep.train.nn.Parameter;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class HuggingFaceFolderTest {
  private static final GptShape GPT = new GptShape(1, 2, 8, 4, 16, true);
  private static final LlamaShape LLAMA =
      new LlamaShape(1, 4, 2, 16, 24, 6, 32, false, 500_000, 1e-6f);

  @TempDir Path directory;

  private Path config(String text) throws IOException {
    return Files.writeString(directory.resolve("config.json"), text);
  }

  private Map<String, TensorData> weights(ModelShape shape, String droppedPrefix) {
    Map<String, TensorData> tensors = new LinkedHashMap<>();
    for (Parameter parameter : shape.model(1).parameters()) {
      MemorySegment elements =
          Arena.ofAuto().allocate(parameter.shape().elements() * DType.F32.bytes(), 4);
      parameter.initialize(3, elements);
      String name = parameter.name();
      tensors.put(
          name.startsWith(droppedPrefix) ? name.substring(droppedPrefix.length()) : name,
          new TensorData(DType.F32, parameter.shape(), elements));
    }
    return tensors;
  }

  private void write(String file, Map<String, TensorData> tensors) throws IOException {
    Safetensors.write(directory.resolve(file), tensors, Map.of());
  }

  @Test
  void theConfigOfAShapeIsReadAsThatShape() throws IOException {
    assertThat(HuggingFaceConfig.read(config(HuggingFaceConfig.of(GPT)))).isEqualTo(GPT);
    assertThat(HuggingFaceConfig.read(config(HuggingFaceConfig.of(LLAMA)))).isEqualTo(LLAMA);
    MlpShape mlp = new MlpShape(3, 8, 24, 5, 12, 300, false);
    assertThat(HuggingFaceConfig.read(config(HuggingFaceConfig.of(mlp)))).isEqualTo(mlp);
    MoeShape moe = new MoeShape(3, 2, 8, 24, 5, 4, 110, 7, 12, 300, false);
    assertThat(HuggingFaceConfig.read(config(HuggingFaceConfig.of(moe)))).isEqualTo(moe);
  }

  @Test
  void aConfigOfOlderVersionsIsRead() throws IOException {
    String old =
        """
        {"model_type": "llama", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
         "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 6,
         "vocab_size": 32, "rope_theta": 500000.0, "rope_scaling": null, "rms_norm_eps": 1e-06,
         "torch_dtype": "bfloat16", "tie_word_embeddings": false}
        """;

    assertThat(HuggingFaceConfig.read(config(old))).isEqualTo(LLAMA);

    String scaled = old.replace("null", "{\"type\": \"linear\", \"factor\": 2.0}");
    assertThatThrownBy(() -> HuggingFaceConfig.read(config(scaled)))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("rope_scaling.type=\"linear\" (supported: ");
    String unnamed = old.replace("null", "{\"factor\": 2.0}");
    assertThatThrownBy(() -> HuggingFaceConfig.read(config(unnamed)))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("rope_scaling=");
  }

  @ParameterizedTest(name = "{1}={3}")
  @CsvSource(
      delimiter = ';',
      value = {
        "llama; hidden_act; \"silu\"; \"gelu\"",
        "llama; attention_bias; false; true",
        "llama; head_dim; 4; 8",
        "llama; rope_type; \"default\"; \"llama3\"",
        "llama; vocab_size; 32; \"many\"",
        "llama; num_hidden_layers; 1; 1.5",
        "llama; model_type; \"llama\"; \"mixtral\"",
        "gpt; activation_function; \"gelu_new\"; \"relu\"",
        "gpt; n_inner; 32; 31",
        "gpt; scale_attn_weights; true; false",
        "gpt; layer_norm_epsilon; 1.0E-5; 1.0E-6",
        "gpt; tie_word_embeddings; true; \"yes\""
      })
  void whatIsNotComputedHereIsRefusedByKeyAndValue(
      String model, String key, String value, String other) throws IOException {
    String text = HuggingFaceConfig.of(model.equals("llama") ? LLAMA : GPT);
    String entry = "\"%s\" : ".formatted(key);
    assertThat(text).contains(entry + value);
    Path file = config(text.replace(entry + value, entry + other));

    assertThatThrownBy(() -> HuggingFaceConfig.read(file))
        .isInstanceOfSatisfying(
            ConfigurationException.class, refused -> assertThat(refused.key()).endsWith(key))
        .hasMessageContaining(file.toString())
        .hasMessageContaining(key + "=" + other + " (supported: ")
        .extracting(Throwable::getMessage)
        .asString()
        .doesNotContain("\n");
  }

  @Test
  void sizesThatDoNotFitAndAMissingFileAreRefusedWithTheFile() throws IOException {
    String text = HuggingFaceConfig.of(GPT);
    Path file = config(text.replace("\"n_head\" : " + GPT.heads(), "\"n_head\" : 3"));
    Path missing = directory.resolve("none.json");

    assertThatThrownBy(() -> HuggingFaceConfig.read(file))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("the model cannot be opened: file=" + file + ", cause=")
        .hasMessageContaining("--heads");
    assertThatThrownBy(() -> HuggingFaceConfig.read(missing))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("file=" + missing + ", cause=the file is missing");
  }

  @Test
  void aTensorUnderBothOfItsNamesIsRefused() throws IOException {
    config(HuggingFaceConfig.of(GPT));
    Map<String, TensorData> weights = weights(GPT, "nothing");
    weights.put("wte.weight", weights.get("transformer.wte.weight"));
    write("model.safetensors", weights);

    assertThatThrownBy(() -> HuggingFaceFolder.open(directory))
        .hasMessageContaining("it holds a tensor twice: tensor=wte.weight");
  }

  @Test
  void aTensorsNameMovesNoCursorAndFakesNoLine() throws IOException {
    config(HuggingFaceConfig.of(GPT));
    Map<String, TensorData> weights = weights(GPT, "nothing");
    weights.put("x\u001b[2J\nlockstep: all is well", weights.get("transformer.wte.weight"));
    write("model.safetensors", weights);

    assertThatThrownBy(() -> HuggingFaceFolder.open(directory).close())
        .isInstanceOf(CheckpointException.class)
        .hasMessageContaining("x\\u001b[2J\\u000alockstep: all is well");
  }

  @Test
  void namesWithoutThePrefixAndMasksThatAreNoWeightsArePassed() throws IOException {
    config(HuggingFaceConfig.of(GPT));
    Map<String, TensorData> weights = weights(GPT, "transformer.");
    TensorData mask = new TensorData(DType.U8, Shape.of(2), Arena.ofAuto().allocate(2));
    weights.put("h.0.attn.bias", mask);
    write("model.safetensors", weights);

    try (HuggingFaceFolder folder = HuggingFaceFolder.open(directory)) {
      assertThat(folder.tensors()).containsOnlyKeys(weights(GPT, "nothing").keySet());
      assertThat(folder.sha256()).isEqualTo(Sha256.of(weights(GPT, "nothing")));
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"BF16", "F16"})
  void narrowWeightsAreWidenedWhereTheyAreRead(DType narrow) throws IOException {
    config(HuggingFaceConfig.of(LLAMA));
    Map<String, TensorData> narrowed = new LinkedHashMap<>();
    Map<String, TensorData> expected = new LinkedHashMap<>();
    weights(LLAMA, "nothing")
        .forEach(
            (name, tensor) -> {
              long elements = tensor.shape().elements();
              MemorySegment few = Arena.ofAuto().allocate(elements * narrow.bytes(), 2);
              MemorySegment wide = Arena.ofAuto().allocate(elements * DType.F32.bytes(), 4);
              for (long i = 0; i < elements; i++) {
                float element = tensor.data().getAtIndex(ValueLayout.JAVA_FLOAT, i);
                int bits = NarrowFloat.encode(narrow, element);
                few.setAtIndex(ValueLayout.JAVA_SHORT, i, (short) bits);
                wide.setAtIndex(ValueLayout.JAVA_FLOAT, i, NarrowFloat.decode(narrow, bits));
              }
              narrowed.put(name, new TensorData(narrow, tensor.shape(), few));
              expected.put(name, new TensorData(DType.F32, tensor.shape(), wide));
            });
    write("model.safetensors", narrowed);

    try (HuggingFaceFolder folder = HuggingFaceFolder.open(directory)) {
      assertThat(folder.sha256()).isEqualTo(Sha256.of(expected));
      assertThat(folder.tensors().values()).extracting(TensorData::dtype).containsOnly(narrow);
    }
  }

  @ParameterizedTest(name = "{0}={1}")
  @CsvSource(
      delimiter = ';',
      value = {
        "n_layer; 2147483647; layers=2147483647, tensors=16",
        "n_layer; 17; layers=17, tensors=16",
        "n_embd; 1000000000; too large: --width 1000000000 (at most 536870911)"
      })
  void aConfigThatWouldFillTheMemoryIsRefused(String key, String value, String words)
      throws IOException {
    String text = HuggingFaceConfig.of(GPT).replaceAll("\n *\"n_inner\" : \\d+,", "");
    config(text.replaceAll("\"%s\" : \\d+".formatted(key), "\"%s\" : %s".formatted(key, value)));
    write("model.safetensors", weights(GPT, "nothing"));

    assertThatThrownBy(() -> HuggingFaceFolder.open(directory))
        .isInstanceOf(LockstepException.class)
        .hasMessageContaining(words);
  }

  @Test
  void weightsInSeveralFilesAreOneModel() throws IOException {
    config(HuggingFaceConfig.of(LLAMA));
    Map<String, TensorData> all = weights(LLAMA, "nothing");
    StringBuilder map = new StringBuilder();
    int number = 0;
    for (Map.Entry<String, TensorData> entry : all.entrySet()) {
      String file = "part-" + number++ + ".safetensors";
      write(file, Map.of(entry.getKey(), entry.getValue()));
      map.append(map.isEmpty() ? "" : ", ")
          .append("\"%s\": \"%s\"".formatted(entry.getKey(), file));
    }
    Path index = directory.resolve("model.safetensors.index.json");
    Files.writeString(index, "{\"weight_map\": {" + map + "}}");

    try (HuggingFaceFolder folder = HuggingFaceFolder.open(directory)) {
      assertThat(folder.sha256()).isEqualTo(Sha256.of(all));
    }
    Files.writeString(
        index, "{\"weight_map\": {" + map.toString().replace("part-1.", "../1.") + "}}");
    assertThatThrownBy(() -> HuggingFaceFolder.open(directory))
        .isInstanceOf(CheckpointException.class)
        .hasMessageContaining("names a file elsewhere: ../1.safetensors");
    Files.writeString(
        index, "{\"weight_map\": {" + map.toString().replace("part-1.", "part\\u00001.") + "}}");
    assertThatThrownBy(() -> HuggingFaceFolder.open(directory))
        .isInstanceOf(CheckpointException.class)
        .hasMessageContaining("names a file elsewhere");
    Files.writeString(
        index, "{\"weight_map\": {" + map.toString().replace("part-1.", "part-0.") + "}}");
    assertThatThrownBy(() -> HuggingFaceFolder.open(directory))
        .hasMessageContaining("the index names a tensor that it has not");
  }

  @Test
  void weightsThatDoNotFitAreNamed() throws IOException {
    config(HuggingFaceConfig.of(LLAMA));
    Map<String, TensorData> weights = weights(LLAMA, "nothing");
    TensorData norm = weights.remove("model.norm.weight");
    write("model.safetensors", weights);
    assertThatThrownBy(() -> HuggingFaceFolder.open(directory))
        .isInstanceOf(CheckpointException.class)
        .hasMessageContaining("tensor=model.norm.weight, expected=[16], found=nothing");

    weights.put("model.norm.weight", norm);
    weights.put("model.layers.1.mlp.up_proj.weight", norm);
    Files.delete(directory.resolve("model.safetensors"));
    write("model.safetensors", weights);
    assertThatThrownBy(() -> HuggingFaceFolder.open(directory))
        .hasMessageContaining(
            "tensors that the model has not: [model.layers.1.mlp.up_proj.weight]");
  }
}
