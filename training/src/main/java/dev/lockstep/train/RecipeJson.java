package dev.lockstep.train;

import com.fasterxml.jackson.annotation.JsonSubTypes;
import com.fasterxml.jackson.annotation.JsonTypeInfo;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.exc.InvalidFormatException;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.LlamaShape;
import dev.lockstep.train.model.MlpShape;
import dev.lockstep.train.model.ModelShape;
import dev.lockstep.train.model.MoeShape;
import dev.lockstep.train.nn.Precision;
import dev.lockstep.train.optim.LearningRate;
import dev.lockstep.train.options.FileTrouble;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// Recipes as JSON, field by field; a model carries its family's name as `family`.
final class RecipeJson {
  private static final String OPTION = "--recipe";
  private static final String FAMILY = "family";
  private static final String MODEL = "model";
  private static final String BATCH = "batch";
  private static final String PRECISION = "precision";
  private static final String STEPS = "steps";
  private static final String LEARNING_RATE = "learningRate";
  private static final ObjectMapper JSON =
      JsonMapper.builder()
          .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
          .enable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
          .enable(DeserializationFeature.FAIL_ON_MISSING_CREATOR_PROPERTIES)
          .enable(DeserializationFeature.FAIL_ON_NULL_CREATOR_PROPERTIES)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .addMixIn(ModelShape.class, Family.class)
          .build();

  private RecipeJson() {}

  /// How the family of a shape is told.
  @JsonTypeInfo(use = JsonTypeInfo.Id.NAME, property = FAMILY)
  @JsonSubTypes({
    @JsonSubTypes.Type(value = GptShape.class, name = "gpt"),
    @JsonSubTypes.Type(value = LlamaShape.class, name = "llama"),
    @JsonSubTypes.Type(value = MlpShape.class, name = "mlp"),
    @JsonSubTypes.Type(value = MoeShape.class, name = "moe")
  })
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
      JsonNode tree = JSON.readTree(json);
      if (tree instanceof ObjectNode fields) {
        addWhatWasNotYet(fields);
      }
      if (!tree.isObject()) {
        throw new IllegalArgumentException("not a recipe: " + json);
      }
      return JSON.treeToValue(tree, Recipe.class);
    } catch (JsonProcessingException broken) {
      if (broken.getCause() instanceof ConfigurationException refused) {
        throw refused;
      }
      throw new IllegalArgumentException("not a recipe: " + broken.getOriginalMessage(), broken);
    }
  }

  private static void addWhatWasNotYet(ObjectNode fields) {
    if (!fields.has(PRECISION)) {
      fields.put(PRECISION, Precision.F32.name());
    }
    if (!fields.has("dropout")) {
      fields.put("dropout", 0f);
    }
    if (!fields.has("initialWeights")) {
      fields.put("initialWeights", "");
    }
    if (fields.get(MODEL) instanceof ObjectNode model && !model.has(FAMILY)) {
      model.put(FAMILY, GptShape.defaults().family());
    }
  }

  /// Reads a file that holds a recipe or a part of one.
  static Recipe read(Path file) {
    try {
      JsonNode given = JSON.readTree(Files.readString(file));
      if (!(given instanceof ObjectNode fields)) {
        throw refusal(file, "it holds no JSON object", null);
      }
      spellPrecision(fields);
      ObjectNode tree = (ObjectNode) tree(defaults(file, fields));
      merge(file, tree, fields, "");
      return JSON.treeToValue(tree, Recipe.class);
    } catch (InvalidFormatException wrong) {
      throw refusal(
          file,
          "wrong value: %s=%s"
              .formatted(wrong.getPath().getLast().getFieldName(), wrong.getValue()),
          wrong);
    } catch (JsonProcessingException broken) {
      Throwable cause = broken.getCause();
      throw refusal(
          file,
          String.valueOf(
              cause instanceof ConfigurationException
                  ? cause.getMessage()
                  : broken.getOriginalMessage()),
          broken);
    } catch (IOException unreadable) {
      throw refusal(file, FileTrouble.words(unreadable), unreadable);
    }
  }

  /// A precision may stand as the option has it, too.
  private static void spellPrecision(ObjectNode given) {
    for (Precision precision : Precision.values()) {
      if (given.path(PRECISION).asText().equals(precision.label())) {
        given.put(PRECISION, precision.name());
      }
    }
  }

  /// What a file's recipe has where the file says nothing.
  private static Recipe defaults(Path file, ObjectNode given) {
    JsonNode family = given.path(MODEL).path(FAMILY);
    Recipe recipe = Recipe.defaults();
    if (!family.isMissingNode()) {
      try {
        recipe = recipe.withModel(ModelShape.defaults(family.asText()));
      } catch (ConfigurationException unknown) {
        throw refusal(file, unknown.getMessage(), unknown);
      }
    }
    recipe = recipe.withBatch(batch(recipe.batch(), given.path(BATCH)));
    int steps = given.path(STEPS).asInt(recipe.steps());
    JsonNode peak = given.path(LEARNING_RATE).path("peak");
    float rate = peak.isNumber() ? peak.floatValue() : recipe.learningRate().peak();
    boolean fits = steps >= 1 && rate > 0 && Float.isFinite(rate);
    return fits ? recipe.withSteps(steps).withLearningRate(LearningRate.of(rate, steps)) : recipe;
  }

  /// The evaluation's batches follow the lanes where a file gives those alone.
  private static BatchShape batch(BatchShape usual, JsonNode given) {
    int lanes = given.path("lanes").asInt(usual.lanes());
    return lanes >= 1 ? usual.with(lanes, usual.microBatch()) : usual;
  }

  /// Puts what was given over the defaults.
  private static void merge(Path file, ObjectNode into, ObjectNode given, String path) {
    for (Map.Entry<String, JsonNode> field : given.properties()) {
      String key = path + field.getKey();
      JsonNode old = into.get(field.getKey());
      JsonNode value = field.getValue();
      if (old == null) {
        List<String> known = new ArrayList<>();
        into.fieldNames().forEachRemaining(known::add);
        throw refusal(
            file, "unknown key: key=%s (known: %s)".formatted(key, String.join(", ", known)), null);
      }
      if (old instanceof ObjectNode part && value instanceof ObjectNode givenPart) {
        merge(file, part, givenPart, key + ".");
      } else if (fits(old, value)) {
        into.set(field.getKey(), value);
      } else {
        String range = old.isInt() ? " of at most " + Integer.MAX_VALUE : "";
        throw refusal(
            file,
            "wrong value: %s=%s (expected %s)".formatted(key, value, kind(old) + range),
            null);
      }
    }
  }

  private static boolean fits(JsonNode old, JsonNode value) {
    return (kind(old).equals(kind(value)) && (!old.isInt() || value.canConvertToInt()))
        || (old.isFloatingPointNumber() && value.isIntegralNumber());
  }

  private static String kind(JsonNode node) {
    return switch (node.getNodeType()) {
      case NUMBER -> node.isIntegralNumber() ? "a whole number" : "a number";
      case BOOLEAN -> "true or false";
      case STRING -> "a text";
      case OBJECT -> "an object";
      case ARRAY, BINARY, MISSING, NULL, POJO -> "something else";
    };
  }

  private static ConfigurationException refusal(
      Path file, @Nullable String what, @Nullable Throwable cause) {
    return new ConfigurationException(
        OPTION,
        file.toString(),
        "the recipe cannot be read: %s %s: %s".formatted(OPTION, file, what),
        cause);
  }
}
