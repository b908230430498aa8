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
            "lockstep-compile.txt",
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

  /// Ranks whose programs differ only in numbers have one module, which reads the rank; others one
  /// each.
  @ParameterizedTest(name = "{0}")
  @CsvSource({
    "--mesh tp=2,                      'lane.json step.json'",
    "--mesh tp=2 --sequence-parallel --token-blocks 2, 'lane.json step.json'",
    "--mesh cp=2 --token-blocks 2,     'lane.json step.json'",
    "--lanes 9 --nproc-per-node 2,     'lane.json step-rank-0.json step-rank-1.json'",
    "--zero 1 --nproc-per-node 2,      'lane.json step-rank-0.json step-rank-1.json'",
    "--zero 3 --nproc-per-node 2,      'lane-0.json lane-1.json step-rank-0.json step-rank-1.json'"
  })
  void writesTheProgramsOfEveryLayout(String line, String files) throws IOException {
    List<String> more = new ArrayList<>(List.of(line.split(" ")));
    more.addAll(List.of("--out", directory.toString()));
    assertThat(compile(small(more.toArray(String[]::new)))).isZero();
    assertThat(written()).contains(files.split(" "));
    String lane = written().contains("lane.json") ? "lane" : "lane-0";
    boolean readsRank = line.contains("--mesh");
    assertThat(Files.readString(directory.resolve(lane + ".json")).contains("lockstep.rank"))
        .isEqualTo(readsRank);
  }

  @Test
  void writesTheProgramsOfEachStage() throws IOException {
    String line =
        "gpt --device neuron --emit hlo --layers 2 --heads 2 --width 16 --context 8 --mesh"
            + " dp=2,pp=2";
    List<String> arguments = new ArrayList<>(List.of(line.split(" ")));
    arguments.addAll(List.of("--out", directory.toString()));
    assertThat(compile(arguments.toArray(String[]::new))).isZero();
    assertThat(written()).containsExactly("lockstep-compile.txt", "stage-0", "stage-1");
    assertThat(directory.resolve("stage-0/forward.json")).content().contains("\"replicas\": 2");
    assertThat(directory.resolve("stage-0/backward.hlo.pb")).isNotEmptyFile();
    assertThat(directory.resolve("stage-1/forward.hlo.pb")).isNotEmptyFile();
    assertThat(directory.resolve("stage-1/backward.hlo.pb")).doesNotExist();
  }

  @ParameterizedTest(name = "{0}")
  @CsvSource({
    "'pp=2 --schedule interleaved', 'stage-0/forward-chunk-0 stage-0/backward-chunk-2"
        + " stage-0/join-chunk-2 stage-1/evaluation-chunk-1 stage-1/forward-chunk-3'",
    "'dp=2,pp=2 --zero 1', 'stage-0/forward stage-0/join stage-1/step-0-rank-0'",
    "'dp=2,pp=2 --zero 2', 'stage-0/backward stage-0/join-rank-0 stage-0/join-rank-1'",
    "'dp=2,pp=2 --zero 3', 'stage-0/forward-0 stage-0/forward-1 stage-1/evaluation-1'",
    "'dp=2,pp=2 --zero 3 --schedule interleaved', 'stage-1/forward-chunk-3-0'"
  })
  void writesTheProgramsOfStagesThatShareOrTakeTurns(String mesh, String files) {
    String line =
        "gpt --device neuron --emit hlo --layers 4 --heads 2 --width 16 --context 8 --mesh " + mesh;
    List<String> arguments = new ArrayList<>(List.of(line.split(" ")));
    arguments.addAll(List.of("--out", directory.toString()));
    assertThat(compile(arguments.toArray(String[]::new))).isZero();
    assertThat(List.of(files.split(" ")))
        .allSatisfy(file -> assertThat(directory.resolve(file + ".hlo.pb")).isNotEmptyFile());
  }

  @ParameterizedTest(name = "{0}")
  @CsvSource({
    "--nproc-per-node 0,  --nproc-per-node,  at least 1",
    "--nproc-per-node 8,  --lanes,           ranks 8",
    "--emit ptx,          --emit,            'known: neff, hlo'",
    "--target h100,       --target,          'known: trn2, trn1, trn3'",
    "--device cpu,        --device,          known: neuron",
    "--mesh tp=2 --nproc-per-node 4, --mesh, ranks 4",
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
    assertThatThrownBy(() -> compile("--device", "neuron", "gpt"))
        .isInstanceOf(ConfigurationException.class)
        .hasMessage(
            "the model comes first: lockstep compile --device (known: gpt, llama, mlp, moe)");
    assertThatThrownBy(() -> compile(small()))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("--out");
  }

  @Test
  void whatAnEarlierCompilationWroteGoesAndNothingElse() throws IOException {
    String folder = directory.toString();
    String line =
        "gpt --device neuron --emit hlo --layers 2 --heads 2 --width 16 --context 8 --mesh pp=2";
    assertThat(compile((line + " --out " + folder).split(" "))).isZero();
    Files.writeString(directory.resolve("stage-1/forward.notes"), "mine");
    assertThat(compile(small("--zero", "1", "--nproc-per-node", "2", "--out", folder))).isZero();
    assertThat(written()).contains("step-rank-1.json", "stage-1").doesNotContain("stage-0");
    assertThat(directory.resolve("stage-1").toFile().list()).containsExactly("forward.notes");
    assertThat(compile(small("--out", folder))).isZero();
    assertThat(written()).contains("step.json").doesNotContain("step-rank-1.json");
  }

  /// A refusal comes before anything is removed.
  @Test
  void aCompilationThatIsRefusedLeavesTheEarlierOne() throws IOException {
    String folder = directory.toString();
    assertThat(compile(small("--out", folder))).isZero();
    List<String> before = written();
    assertThatThrownBy(() -> compile(small("--out", folder, "--target", "h100")))
        .isInstanceOf(ConfigurationException.class);
    assertThat(written()).isEqualTo(before);
  }

  @Test
  void aFileOfSomebodyElseIsNotReplaced() throws IOException {
    Path lane = Files.writeString(directory.resolve("lane.json"), "mine");
    assertThatThrownBy(() -> compile(small("--out", directory.toString())))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("cause=FileAlreadyExistsException: " + lane);
    assertThat(lane).hasContent("mine");
    Path list = Files.writeString(directory.resolve("lockstep-compile.txt"), "/etc/hosts\n");
    assertThatThrownBy(() -> compile(small("--out", directory.toString())))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("cause=FileAlreadyExistsException: " + list);
  }

  /// The last of the files is in the way: all that was compiled before it is dropped.
  @Test
  void aCompilationThatFailsLateLeavesTheEarlierOne() throws IOException {
    String folder = directory.toString();
    assertThat(compile(small("--out", folder))).isZero();
    byte[] lane = Files.readAllBytes(directory.resolve("lane.hlo.pb"));
    Path mine = Files.writeString(directory.resolve("step-rank-1.json"), "mine");
    List<String> before = written();
    assertThatThrownBy(
            () -> compile(small("--zero", "1", "--nproc-per-node", "2", "--out", folder)))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("cause=FileAlreadyExistsException: " + mine);
    assertThat(written()).isEqualTo(before);
    assertThat(directory.resolve("lane.hlo.pb")).hasBinaryContent(lane);
    assertThat(mine).hasContent("mine");
  }

  /// Killed while it collected, or between its list and its last file.
  @Test
  void whatAKilledCompilationLeftIsCleared() throws IOException {
    String folder = directory.toString();
    assertThat(compile(small("--zero", "1", "--nproc-per-node", "2", "--out", folder))).isZero();
    Files.delete(directory.resolve("step-rank-1.json"));
    Path collected = Files.createDirectories(directory.resolve(".lockstep-compile/stage-0"));
    Files.writeString(collected.resolve("lane.json"), "half");
    assertThat(compile(small("--out", folder))).isZero();
    assertThat(written())
        .contains("step.json")
        .doesNotContain(".lockstep-compile", "step-rank-0.json");
  }

  /// A run's programs are those of its recipe, not of the family's defaults.
  @Test
  void theRunThatIsNamedIsNotPassedOver() {
    String run = directory.resolve("run").toString();
    assertThatThrownBy(() -> compile(small("--out", directory.toString(), "--resume", run)))
        .isInstanceOfSatisfying(
            ConfigurationException.class,
            refused -> assertThat(refused.key()).isEqualTo("--resume"))
        .hasMessageContaining("the run cannot be resumed: --resume " + run);
  }

  @Test
  void saysThatTheFolderCannotBeWritten() throws IOException {
    Path file = Files.createFile(directory.resolve("file"));
    assertThatThrownBy(() -> compile(small("--out", file.toString())))
        .isInstanceOf(ConfigurationException.class)
        .hasMessage(
            "programs cannot be written: folder=%s, cause=FileAlreadyExistsException: %s (name a folder that can be made and written, without files of these names)"
                .formatted(file, file));
  }
}
