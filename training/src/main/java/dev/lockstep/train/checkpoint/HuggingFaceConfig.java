package dev.lockstep.train.checkpoint;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.LlamaShape;
import dev.lockstep.train.model.MlpShape;
import dev.lockstep.train.model.ModelShape;
import dev.lockstep.train.model.MoeShape;
import dev.lockstep.train.options.FileTrouble;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// The `config.json` of Hugging Face's folders. What changes a model's numbers and is not computed
/// here is refused by key and value; what does not is passed over.
public final class HuggingFaceConfig {
  private static final ObjectMapper JSON =
      JsonMapper.builder().enable(SerializationFeature.INDENT_OUTPUT).build();
  private static final String GPT2 = "gpt2";
  private static final String LLAMA = "llama";
  // Our own, which transformers has not.
  private static final String MLP = "lockstep-mlp";
  private static final String MOE = "lockstep-moe";

  private final Path file;
  private final JsonNode config;

  private HuggingFaceConfig(Path file, JsonNode config) {
    this.file = file;
    this.config = config;
  }

  /// Returns the text of the file for a model. An MLP and a GPT with experts, which transformers
  /// has not, are of types of their own.
  public static String of(ModelShape shape) {
    ObjectNode config =
        switch (shape) {
          case GptShape gpt -> gpt2(gpt);
          case LlamaShape llama -> llama(llama);
          case MlpShape mlp -> mlp(mlp);
          case MoeShape moe -> moe(moe);
        };
    return config.toPrettyString() + "\n";
  }

  private static ObjectNode gpt2(GptShape shape) {
    return model("GPT2LMHeadModel", GPT2, shape)
        .put("n_positions", shape.context())
        .put("n_embd", shape.width())
        .put("n_layer", shape.layers())
        .put("n_head", shape.heads())
        .put("n_inner", GptShape.MLP_FACTOR * shape.width())
        .put("activation_function", "gelu_new")
        .put("layer_norm_epsilon", decimal(GptShape.EPSILON))
        .put("initializer_range", 0.02)
        .put("resid_pdrop", 0.0)
        .put("embd_pdrop", 0.0)
        .put("attn_pdrop", 0.0)
        .put("scale_attn_weights", true);
  }

  private static ObjectNode llama(LlamaShape shape) {
    ObjectNode config =
        model("LlamaForCausalLM", LLAMA, shape)
            .put("max_position_embeddings", shape.context())
            .put("hidden_size", shape.width())
            .put("intermediate_size", shape.hidden())
            .put("num_hidden_layers", shape.layers())
            .put("num_attention_heads", shape.heads())
            .put("num_key_value_heads", shape.keyValueHeads())
            .put("head_dim", shape.headSize())
            .put("hidden_act", "silu")
            .put("rms_norm_eps", decimal(shape.epsilon()))
            .put("initializer_range", 0.02)
            .put("attention_bias", false)
            .put("attention_dropout", 0.0)
            .put("mlp_bias", false)
            // Before version 5 transformers read this one, since then the next.
            .put("rope_theta", decimal(shape.rotaryBase()));
    config
        .putObject("rope_parameters")
        .put("rope_theta", decimal(shape.rotaryBase()))
        .put("rope_type", "default");
    return config;
  }

  private static ObjectNode mlp(MlpShape shape) {
    return model("LockstepMlp", MLP, shape)
        .put("max_position_embeddings", shape.context())
        .put("hidden_size", shape.width())
        .put("intermediate_size", shape.hidden())
        .put("num_hidden_layers", shape.layers())
        .put("window", shape.window());
  }

  private static ObjectNode moe(MoeShape shape) {
    return model("LockstepMoe", MOE, shape)
        .put("max_position_embeddings", shape.context())
        .put("hidden_size", shape.width())
        .put("intermediate_size", shape.hidden())
        .put("num_hidden_layers", shape.layers())
        .put("num_attention_heads", shape.heads())
        .put("num_experts", shape.experts())
        .put("num_experts_per_tok", shape.expertsPerToken())
        .put("capacity_percent", shape.capacityPercent())
        .put("balance_permille", shape.balancePermille());
  }

  private static ObjectNode model(String architecture, String type, ModelShape shape) {
    ObjectNode config = JSON.createObjectNode();
    config.putArray("architectures").add(architecture);
    return config
        .put("model_type", type)
        .put("vocab_size", shape.vocabulary())
        .put("use_cache", true)
        .put("tie_word_embeddings", shape.tiedHead())
        .putNull("bos_token_id")
        .putNull("eos_token_id")
        .put("dtype", "float32");
  }

  /// The shortest decimal of a float, not that of its binary64.
  private static double decimal(float value) {
    return Double.parseDouble(Float.toString(value));
  }

  /// Returns the shape that a file describes.
  ///
  /// @throws ConfigurationException if it cannot be read, or asks for what is not computed here;
  ///   the sentence names the key and its value
  public static ModelShape read(Path file) {
    try {
      JsonNode config = JSON.readTree(Files.readString(file));
      HuggingFaceConfig read = new HuggingFaceConfig(file, config);
      return switch (config.path("model_type").asText()) {
        case GPT2 -> read.gpt2();
        case LLAMA -> read.llama();
        case MLP -> read.mlp();
        case MOE -> read.moe();
        default -> throw read.unsupported("model_type", List.of(GPT2, LLAMA, MLP, MOE));
      };
    } catch (ConfigurationException refused) {
      throw refused.value().equals(file.toString())
          ? refused
          : refusal(file, refused.key(), String.valueOf(refused.getMessage()), refused);
    } catch (JsonProcessingException broken) {
      throw refusal(file, "", "it is no JSON: " + broken.getOriginalMessage(), broken);
    } catch (IOException e) {
      throw refusal(file, "", FileTrouble.words(e), e);
    }
  }

  private GptShape gpt2() {
    // transformers' own name for the same function is the second.
    require("activation_function", "gelu_new", "gelu_pytorch_tanh");
    require("layer_norm_epsilon", decimal(GptShape.EPSILON));
    require("scale_attn_weights", true);
    require("scale_attn_by_inverse_layer_idx", false);
    require("add_cross_attention", false);
    int width = number("n_embd");
    require("n_inner", (long) GptShape.MLP_FACTOR * width);
    return new GptShape(
        number("n_layer"),
        number("n_head"),
        width,
        number("n_positions"),
        number("vocab_size"),
        flag("tie_word_embeddings", true));
  }

  private LlamaShape llama() {
    require("hidden_act", "silu");
    require("attention_bias", false);
    require("mlp_bias", false);
    require("pretraining_tp", 1);
    if (given("rope_scaling")) {
      // Older folders say type for rope_type.
      boolean isNamed = given("rope_scaling.rope_type") || given("rope_scaling.type");
      require("rope_scaling.rope_type", "default");
      require("rope_scaling.type", "default");
      if (!isNamed) {
        throw unsupported("rope_scaling", List.of("null"));
      }
    }
    require("rope_parameters.rope_type", "default");
    require("rope_parameters.partial_rotary_factor", 1.0);
    int width = number("hidden_size");
    int heads = number("num_attention_heads");
    require("head_dim", width / Math.max(1, heads));
    String base = given("rope_parameters.rope_theta") ? "rope_parameters.rope_theta" : "rope_theta";
    return new LlamaShape(
        number("num_hidden_layers"),
        heads,
        given("num_key_value_heads") ? number("num_key_value_heads") : heads,
        width,
        number("intermediate_size"),
        number("max_position_embeddings"),
        number("vocab_size"),
        flag("tie_word_embeddings", false),
        fraction(base, LlamaShape.ROTARY_BASE),
        fraction("rms_norm_eps", 1e-6f));
  }

  private MlpShape mlp() {
    return new MlpShape(
        number("num_hidden_layers"),
        number("hidden_size"),
        number("intermediate_size"),
        number("window"),
        number("max_position_embeddings"),
        number("vocab_size"),
        flag("tie_word_embeddings", true));
  }

  private MoeShape moe() {
    return new MoeShape(
        number("num_hidden_layers"),
        number("num_attention_heads"),
        number("hidden_size"),
        number("intermediate_size"),
        number("num_experts"),
        number("num_experts_per_tok"),
        number("capacity_percent"),
        number("balance_permille"),
        number("max_position_embeddings"),
        number("vocab_size"),
        flag("tie_word_embeddings", true));
  }

  private JsonNode node(String key) {
    JsonNode node = config;
    for (String part : key.split("\\.", -1)) {
      node = node.path(part);
    }
    return node;
  }

  private boolean given(String key) {
    return !node(key).isMissingNode() && !node(key).isNull();
  }

  /// What is absent or null has the value that is computed here.
  private void require(String key, Object... supported) {
    if (!given(key)) {
      return;
    }
    JsonNode found = node(key);
    for (Object value : supported) {
      boolean same =
          switch (value) {
            case Number number -> found.isNumber() && found.asDouble() == number.doubleValue();
            default -> found.asText().equals(value.toString());
          };
      if (same) {
        return;
      }
    }
    throw unsupported(key, List.of(supported));
  }

  private int number(String key) {
    if (!node(key).isInt()) {
      throw unsupported(key, List.of("a whole number"));
    }
    return node(key).asInt();
  }

  private float fraction(String key, float otherwise) {
    if (!given(key)) {
      return otherwise;
    }
    if (!node(key).isNumber()) {
      throw unsupported(key, List.of("a number"));
    }
    return node(key).floatValue();
  }

  private boolean flag(String key, boolean otherwise) {
    if (!given(key)) {
      return otherwise;
    }
    if (!node(key).isBoolean()) {
      throw unsupported(key, List.of(true, false));
    }
    return node(key).asBoolean();
  }

  private ConfigurationException unsupported(String key, List<?> supported) {
    JsonNode found = node(key);
    String value = found.isMissingNode() ? "nothing" : found.toString();
    return refusal(
        file, key, "%s=%s (supported: %s)".formatted(key, value, words(supported)), null);
  }

  private static String words(List<?> values) {
    return String.join(", ", values.stream().map(String::valueOf).toList());
  }

  private static ConfigurationException refusal(
      Path file, String key, String what, @Nullable Throwable cause) {
    return new ConfigurationException(
        key,
        file.toString(),
        "the model cannot be opened: file=%s, cause=%s".formatted(file, what),
        cause);
  }
}
