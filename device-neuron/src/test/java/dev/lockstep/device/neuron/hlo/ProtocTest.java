package dev.lockstep.device.neuron.hlo;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lockstep.graph.CompositeCases;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.OpCase;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.PrimitiveCases;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.train.Layout;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.nn.Precision;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Modules decoded by `protoc` with XLA's own schema: every field is one that it knows, with the
/// type that it has there.
@Timeout(60)
final class ProtocTest {
  private static final String SCHEMA = "xla/service/hlo.proto";

  /// A field that the schema does not know is printed by its number.
  private static final Pattern UNKNOWN = Pattern.compile("(?m)^ *\\d+[:\\s{].*$");

  /// Where an instruction comes from: graph, number and op.
  private static final Pattern ORIGIN = Pattern.compile("op_name: \"[^\"]*/\\d+:(\\w+)\"");

  /// What the schema imports for fields that modules do not have.
  private static final Map<String, String> STUBS =
      Map.of(
          "google/protobuf/any.proto", "google.protobuf; message Any {}",
          "xla/service/metrics.proto", "xla; message KeyValueMetric {}");

  @TempDir private Path folder;

  private String decoded(byte[] proto) throws IOException, InterruptedException {
    String home = System.getProperty("lockstep.home", "..");
    Path protoc = Path.of(home, "target", "tools", "protoc");
    assumeTrue(
        Files.isExecutable(protoc), "judge protoc: no target/tools/protoc (run .ci/run once)");
    for (String name : List.of("xla/xla_data.proto", SCHEMA)) {
      Path file = folder.resolve(name);
      Files.createDirectories(file.getParent());
      try (InputStream schema =
          Objects.requireNonNull(ProtocTest.class.getResourceAsStream("schema/" + name))) {
        Files.copy(schema, file, StandardCopyOption.REPLACE_EXISTING);
      }
    }
    for (Map.Entry<String, String> stub : STUBS.entrySet()) {
      Path file = folder.resolve(stub.getKey());
      Files.createDirectories(file.getParent());
      Files.writeString(file, "syntax = \"proto3\"; package " + stub.getValue());
    }
    Path module = Files.write(folder.resolve("module.pb"), proto);
    Path text = folder.resolve("module.txt");
    Process process =
        new ProcessBuilder(protoc.toString(), "-I" + folder, "--decode=xla.HloModuleProto", SCHEMA)
            .redirectInput(module.toFile())
            .redirectOutput(text.toFile())
            .redirectError(folder.resolve("said.txt").toFile())
            .start();
    int code = process.waitFor();
    assertThat(code).as(Files.readString(folder.resolve("said.txt"))).isZero();
    return Files.readString(text);
  }

  @Test
  void theSchemaKnowsEveryFieldOfAStepOfTwoRanks() throws Exception {
    WholeStep whole = whole("dp=2");
    Emitted step = Emitted.of(whole.graphs("step"), whole.ranks(), SumOrder.LANE_TREE);
    String text = decoded(step.module().proto());
    assertThat(UNKNOWN.matcher(text).results().map(MatchResult::group).toList()).isEmpty();
    assertThat(text)
        .contains(
            "opcode: \"collective-permute\"",
            "source_target_pairs {",
            "kind: MUST_ALIAS",
            "key: \"neff_input_names\"",
            "entry_computation_name: \"main\"");
  }

  @Test
  void theSchemaKnowsEveryFieldOfALane() throws Exception {
    WholeStep whole = whole("tp=2");
    Emitted lane = Emitted.of(whole.graphs("lane"), whole.ranks(), SumOrder.LANE_TREE);
    String text = decoded(lane.module().proto());
    assertThat(UNKNOWN.matcher(text).results().map(MatchResult::group).toList()).isEmpty();
    assertThat(text)
        .contains(
            "gather_dimension_numbers {",
            "scatter_dimension_numbers {",
            "operand_precision: HIGHEST",
            "comparison_direction: \"LT\"",
            "slice_dimensions {",
            "dynamic_slice_sizes: 1",
            "value: \"lockstep.rank\"");
  }

  /// Instructions say which op of the graph they come from.
  @Test
  void theSchemaKnowsEveryFieldOfEveryOp() throws Exception {
    List<OpCase> cases = new ArrayList<>(PrimitiveCases.all());
    cases.addAll(PrimitiveCases.ofOtherTypes());
    cases.addAll(CompositeCases.all());
    Set<String> decoded = new TreeSet<>();
    StringBuilder texts = new StringBuilder();
    for (Emitted emitted : List.of(Emitted.of(ManyCases.of(cases).graph()), collectives())) {
      String text = decoded(emitted.module().proto());
      assertThat(UNKNOWN.matcher(text).results().map(MatchResult::group).toList()).isEmpty();
      ORIGIN.matcher(text).results().map(match -> match.group(1)).forEach(decoded::add);
      texts.append(text);
    }
    assertThat(decoded)
        .isEqualTo(
            Arrays.stream(Primitive.class.getPermittedSubclasses())
                .map(Class::getSimpleName)
                .collect(Collectors.toCollection(TreeSet::new)));
    assertThat(texts.toString()).contains("replica_groups {");
  }

  private static Emitted collectives() {
    LaneSplit lanes = LaneSplit.onePerRank(2);
    GraphBuilder builder = new GraphBuilder("collectives");
    Value x = builder.input("x", ValueType.f32(4));
    List<Primitive> all =
        List.of(
            new Primitive.AllReduce("dp", new ReduceOp.Sum(), lanes),
            new Primitive.ReduceScatter("dp", new ReduceOp.Sum(), lanes, 0),
            new Primitive.AllGather("dp", 2, 0),
            new Primitive.BroadcastFrom("dp", 1));
    all.forEach(op -> builder.output(op.label(), builder.one(op, x)));
    return Emitted.of(builder.build(), CollectivesTest.line(2), SumOrder.COMPILER);
  }

  private static WholeStep whole(String mesh) {
    return new WholeStep(
        new GptShape(1, 2, 8, 6, 12, true), Precision.BF16, 0.1f, Layout.parse(mesh));
  }
}
