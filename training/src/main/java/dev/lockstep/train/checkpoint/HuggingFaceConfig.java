package dev.lockstep.train.checkpoint;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.ModelShape;

/// The `config.json` of Hugging Face's folders.
public final class HuggingFaceConfig {
  private static final ObjectMapper JSON =
      JsonMapper.builder().enable(SerializationFeature.INDENT_OUTPUT).build();

  private HuggingFaceConfig() {}

  /// Returns the file of a model.
  public static String of(ModelShape shape) {
    ObjectNode config =
        switch (shape) {
          case GptShape gpt -> gpt2(gpt);
        };
    return config.toPrettyString() + "\n";
  }

  /// The fields of GPT2Config.
  private static ObjectNode gpt2(GptShape shape) {
    return model("GPT2LMHeadModel", "gpt2", shape)
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
}
