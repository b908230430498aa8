package dev.lockstep.bench;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.lockstep.collective.simulate.Compute;
import dev.lockstep.collective.simulate.Fabric;
import dev.lockstep.collective.simulate.Fabrics;
import dev.lockstep.collective.simulate.Level;
import dev.lockstep.failure.ConfigurationException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/// Fabrics as users name them after `--fabric`: one that is known, or a JSON file.
///
/// ```json
/// {
///   "name": "two-racks", "step_ns": 100, "memory_gb_per_s": 4900,
///   "levels": [
///     {"name": "nvlink", "ranks": 8, "latency_us": 0.6, "gb_per_s": 450},
///     {"name": "net", "latency_us": 18, "gb_per_s": 50, "uplink_gb_per_s": 400}
///   ]
/// }
/// ```
///
/// Levels stand innermost first; the last one joins all ranks and has no `ranks`. Gigabytes are 10⁹
/// bytes, each direction.
final class FabricFile {
  private static final Set<String> FIELDS = Set.of("name", "step_ns", "memory_gb_per_s", "levels");
  private static final Set<String> LEVEL_FIELDS =
      Set.of("name", "ranks", "latency_us", "gb_per_s", "uplink_gb_per_s");

  private static final ObjectMapper JSON =
      JsonMapper.builder()
          .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .build();

  private final String file;

  private FabricFile(String file) {
    this.file = file;
  }

  /// Returns the fabric.
  ///
  /// @throws ConfigurationException if there is none of that name and no such file, or the file is
  ///   wrong
  static Fabric load(String nameOrFile) {
    Optional<Fabric> known = Fabrics.named(nameOrFile);
    return known.isPresent() ? known.get() : new FabricFile(nameOrFile).read();
  }

  private Fabric read() {
    Path path = Path.of(file);
    if (!Files.isRegularFile(path)) {
      throw new ConfigurationException(
          "--fabric",
          file,
          "no such fabric: --fabric=%s (use one of %s, or a JSON file)"
              .formatted(
                  file,
                  Fabrics.all().stream().map(Fabric::name).collect(Collectors.joining(", "))));
    }
    try {
      return fabric(JSON.readTree(Files.readAllBytes(path)));
    } catch (JsonProcessingException e) {
      throw wrong(
          "not JSON at line %d, column %d: %s"
              .formatted(
                  e.getLocation().getLineNr(),
                  e.getLocation().getColumnNr(),
                  e.getOriginalMessage().replaceAll(" \\(start marker.*", "")),
          e);
    } catch (IOException e) {
      throw wrong(String.valueOf(e.getMessage()).lines().findFirst().orElse("not JSON"), e);
    } catch (IllegalArgumentException e) {
      throw wrong(String.valueOf(e.getMessage()), e);
    }
  }

  private Fabric fabric(JsonNode root) {
    if (!root.isObject()) {
      throw wrong("it is no object with the fields name, step_ns, memory_gb_per_s and levels");
    }
    refuseOthers(root, FIELDS);
    List<Level> levels = new ArrayList<>();
    JsonNode listed = root.path("levels");
    if (!listed.isMissingNode() && !listed.isArray()) {
      throw wrong("field=levels must be a list of levels, is " + listed);
    }
    for (int i = 0; i < listed.size(); i++) {
      levels.add(level(listed.get(i), i == listed.size() - 1));
    }
    String name = text(root);
    double step = number(root, "step_ns", 1);
    double memory = number(root, "memory_gb_per_s", 1e9);
    return new Fabric(name, Compute.device(step, memory), levels);
  }

  private Level level(JsonNode node, boolean last) {
    if (!node.isObject()) {
      throw wrong("a level must be an object, is " + node);
    }
    refuseOthers(node, LEVEL_FIELDS);
    if (last == node.has("ranks")) {
      throw wrong(
          last ? "the last level joins all ranks, leave out its ranks" : "field=ranks is missing");
    }
    double uplink = node.has("uplink_gb_per_s") ? number(node, "uplink_gb_per_s", 1e9) : 0;
    return Level.shared(
        text(node),
        last ? Level.ALL : ranks(node),
        number(node, "latency_us", 1e3),
        number(node, "gb_per_s", 1e9),
        uplink);
  }

  private void refuseOthers(JsonNode node, Set<String> fields) {
    node.fieldNames()
        .forEachRemaining(
            name -> {
              if (!fields.contains(name)) {
                throw wrong("unknown field=" + name);
              }
            });
  }

  private String text(JsonNode node) {
    JsonNode name = node.path("name");
    if (name.isMissingNode()) {
      throw wrong("field=name is missing");
    }
    if (!name.isTextual() || name.asText().isEmpty()) {
      throw wrong("field=name must be a text, is " + name);
    }
    return name.asText();
  }

  private double number(JsonNode node, String field, double unit) {
    JsonNode value = node.path(field);
    if (value.isMissingNode()) {
      throw wrong("field=" + field + " is missing");
    }
    double number = value.asDouble() * unit;
    if (!value.isNumber() || !(number > 0) || Double.isInfinite(number)) {
      throw wrong("field=%s must be a finite number above 0, is %s".formatted(field, value));
    }
    return number;
  }

  private long ranks(JsonNode node) {
    double ranks = number(node, "ranks", 1);
    if (ranks != Math.rint(ranks)) {
      throw wrong("field=ranks must be a whole number, is " + node.path("ranks"));
    }
    return (long) ranks;
  }

  private ConfigurationException wrong(String what) {
    return new ConfigurationException(
        "--fabric", file, "fabric cannot be read: --fabric=" + file + ", cause=" + what);
  }

  private ConfigurationException wrong(String what, Throwable cause) {
    return new ConfigurationException(
        "--fabric", file, "fabric cannot be read: --fabric=" + file + ", cause=" + what, cause);
  }
}
