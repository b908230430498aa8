package dev.lockstep.examples.language;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.ConfigurationException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@Timeout(60)
class CompileCommandTest {
  @TempDir Path directory;

  private final ByteArrayOutputStream out = new ByteArrayOutputStream();

  private int compile(String... arguments) {
    PrintStream print = new PrintStream(out, true, StandardCharsets.UTF_8);
    return new CompileCommand().run(List.of(arguments), print, print);
  }

  private String[] small(String... more) {
    List<String> all = new ArrayList<>(List.of("gpt", "--device", "neuron", "--emit", "hlo"));
    all.addAll(List.of("--layers", "1", "--heads", "2", "--width", "16", "--context", "8"));
    all.addAll(Arrays.asList(more));
    return all.toArray(String[]::new);
  }

  private List<String> written() throws IOException {
    try (Stream<Path> files = Files.list(directory)) {
      return files.map(file -> file.getFileName().toString()).sorted().toList();
    }
  }

  @Test
  void writesTheProgramsOfARun() throws IOException {
    assertThat(compile(small("--out", directory.toString()))).isZero();
    assertThat(written())
        .containsExactly(
            "evaluation.hlo.pb",
            "evaluation.json",
            "join-losses.hlo.pb",
            "join-losses.json",
            "join.hlo.pb",
            "join.json",
            "lane.hlo.pb",
            "lane.json",
            "logits.hlo.pb",
            "logits.json",
            "mean-loss.hlo.pb",
            "mean-loss.json",
            "step.hlo.pb",
            "step.json");
    assertThat(out.toString(StandardCharsets.UTF_8)).contains("lane.hlo.pb: ");
  }

  @Test
  void writesTheProgramsOfSeveralRanks() throws IOException {
    assertThat(compile(small("--nproc-per-node", "4", "--out", directory.toString()))).isZero();
    assertThat(written()).contains("join.json", "step.json");
    assertThat(Files.readString(directory.resolve("step.json"))).contains("\"replicas\": 4");
  }

  @ParameterizedTest(name = "{0}")
  @CsvSource({
    "--lanes 9 --nproc-per-node 2, compile,  'lanes=9, ranks=2'",
    "--nproc-per-node 0,  --nproc-per-node,  at least 1",
    "--nproc-per-node 8,  --lanes,           ranks 8",
    "--emit ptx,          --emit,            'known: neff, hlo'",
    "--target h100,       --target,          'known: trn2, trn1, trn3'",
    "--device cpu,        --device,          known: neuron",
    "--mesh tp=2 --nproc-per-node 2, --mesh, every rank of this layout",
    "--nonsense,          compile,           --nonsense"
  })
  void refusesInOneSentence(String line, String key, String words) throws IOException {
    List<String> all = new ArrayList<>(List.of("gpt", "--out", directory.toString()));
    if (!line.contains("--device")) {
      all.addAll(List.of("--device", "neuron"));
    }
    if (!line.contains("--emit")) {
      all.addAll(List.of("--emit", "hlo"));
    }
    all.addAll(List.of(line.split(" ")));
    assertThatThrownBy(() -> compile(all.toArray(String[]::new)))
        .isInstanceOfSatisfying(
            ConfigurationException.class, refused -> assertThat(refused.key()).isEqualTo(key))
        .hasMessageContaining(words)
        .extracting(Throwable::getMessage)
        .asString()
        .doesNotContain("\n");
  }

  @Test
  void needsAModelAndAFolder() {
    assertThat(compile()).isEqualTo(2);
    assertThat(out.toString(StandardCharsets.UTF_8)).contains("--emit", "--nproc-per-node");
    assertThat(compile("--help")).isZero();
    assertThatThrownBy(() -> compile("bert", "--device", "neuron"))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("there is no such model");
    assertThatThrownBy(() -> compile(small()))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("--out");
  }
}
