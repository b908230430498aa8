package dev.lockstep.train;

import com.fasterxml.jackson.annotation.JsonSubTypes;
import com.fasterxml.jackson.annotation.JsonTypeInfo;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.ModelShape;
import dev.lockstep.train.nn.Precision;

/// Recipes as JSON, field by field; a model carries its family's name as `family`.
final class RecipeJson {
  private static final String FAMILY = "family";
  private static final ObjectMapper JSON =
      JsonMapper.builder()
          .enable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
          .enable(DeserializationFeature.FAIL_ON_MISSING_CREATOR_PROPERTIES)
          .enable(DeserializationFeature.FAIL_ON_NULL_CREATOR_PROPERTIES)
          .addMixIn(ModelShape.class, Family.class)
          .build();

  private RecipeJson() {}

  /// How the family of a shape is told.
  @JsonTypeInfo(use = JsonTypeInfo.Id.NAME, property = FAMILY)
  @JsonSubTypes({@JsonSubTypes.Type(value = GptShape.class, name = "gpt")})
  private interface Family {}

  /// Returns a recipe as a JSON object.
  static JsonNode tree(Recipe recipe) {
    return JSON.valueToTree(recipe);
  }

  /// Returns the recipe of a whole JSON object; what versions before this one left out has the
  /// value that it had then.
  ///
  /// @throws IllegalArgumentException if a field is missing, unknown or of another kind
  /// @throws ConfigurationException if a number does not fit
  static Recipe parse(String json) {
    try {
      return recipe(JSON.readTree(json));
    } catch (JsonProcessingException broken) {
      throw refusal(broken);
    }
  }

  private static Recipe recipe(JsonNode tree) throws JsonProcessingException {
    if (tree instanceof ObjectNode fields) {
      if (!fields.has("precision")) {
        fields.put("precision", Precision.F32.name());
      }
      if (fields.get("model") instanceof ObjectNode model && !model.has(FAMILY)) {
        model.put(FAMILY, "gpt");
      }
    }
    return JSON.treeToValue(tree, Recipe.class);
  }

  private static RuntimeException refusal(JsonProcessingException broken) {
    return broken.getCause() instanceof ConfigurationException refused
        ? refused
        : new IllegalArgumentException("not a recipe: " + broken.getOriginalMessage(), broken);
  }
}
