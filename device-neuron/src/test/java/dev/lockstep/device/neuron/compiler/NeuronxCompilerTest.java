package dev.lockstep.device.neuron.compiler;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;

import dev.lockstep.deadline.Deadline;
import dev.lockstep.device.RankGrid;
import dev.lockstep.device.neuron.hlo.HloEmitter;
import dev.lockstep.device.neuron.hlo.HloModule;
import dev.lockstep.device.neuron.hlo.SumOrder;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.failure.DeviceException;
import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Primitive.MatMul;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// The compiler as a process, by stand-ins of it: slow, failing, printing, killed.
@Timeout(60)
final class NeuronxCompilerTest {
  private static final Duration MINUTE = Duration.ofMinutes(1);
  private static final String COMPILED = "program product was compiled for trn2: \\d+ s";

  @TempDir private Path folder;

  private final List<String> said = Collections.synchronizedList(new ArrayList<>());

  /// A compiler that counts its runs and then does what `body` says; `$out` is the NEFF's path.
  private CompilerLookup.Found compiler(String body) throws IOException {
    Path neff = folder.resolve("made.neff");
    ByteBuffer bytes = ByteBuffer.allocate(Neff.HEADER_BYTES + 4).order(ByteOrder.LITTLE_ENDIAN);
    bytes.putLong(8, Neff.HEADER_BYTES).putLong(16, 4).putLong(24, 2).putInt(552, 2);
    Files.write(neff, bytes.array());
    Path script = folder.resolve("neuronx-cc");
    Files.writeString(
        script,
        """
        #!/bin/sh
        if [ "$1" = --version ]; then echo 'NeuronX Compiler version 2.27.5334.0+abc'; exit 0; fi
        echo "$@" >>"%1$s/runs"
        while [ $# -gt 0 ]; do
          case $1 in --output) out=$2 ;; esac
          shift
        done
        made="%1$s/made.neff"
        %2$s
        """
            .formatted(folder, body));
    assertThat(script.toFile().setExecutable(true)).isTrue();
    CompilerLookup found = CompilerLookup.find(Map.of("PATH", "/nowhere:" + folder));
    assertThat(found).isEqualTo(new CompilerLookup.Found(script, "2.27.5334.0+abc"));
    return (CompilerLookup.Found) found;
  }

  private NeuronxCompiler newCompiler(String body, Duration timeout) throws IOException {
    CompilerSettings settings =
        new CompilerSettings(
            compiler(body), Target.TRN2, 2, List.of("-O1"), folder.resolve("cache"), timeout);
    return new NeuronxCompiler(settings, said::add);
  }

  private NeuronxCompiler newCompiler(String body) throws IOException {
    return newCompiler(body, MINUTE);
  }

  private static HloModule module(int size) {
    GraphBuilder builder = new GraphBuilder("product");
    Value x = builder.input("x", ValueType.f32(size, size));
    builder.output("y", builder.one(new MatMul(false, false, Blocks.WHOLE), x, x));
    return HloEmitter.emit(builder.build(), RankGrid.ALONE, SumOrder.LANE_TREE);
  }

  private List<String> runs() throws IOException {
    Path runs = folder.resolve("runs");
    return Files.exists(runs) ? Files.readAllLines(runs) : List.of();
  }

  private List<Path> cached() throws IOException {
    try (Stream<Path> files = Files.list(folder.resolve("cache"))) {
      return files.filter(file -> !file.toString().endsWith(".lock")).sorted().toList();
    }
  }

  @Test
  void compilesOnceAndKeepsTheFile() throws IOException {
    NeuronxCompiler compiler = newCompiler("echo 'WARNING: an odd shape'; cp \"$made\" \"$out\"");
    Neff neff = compiler.compile(module(4));
    assertThat(neff.logicalCoreSize()).isEqualTo(2);
    assertThat(compiler.compile(module(4)).bytes()).isEqualTo(neff.bytes());
    assertThat(runs()).hasSize(1);
    assertThat(runs().getFirst())
        .matches(
            "compile --framework XLA \\S+\\.hlo\\.pb --output \\S+\\.neff --target trn2 --lnc 2"
                + " --model-type transformer --auto-cast none -O1");
    assertThat(cached())
        .hasSize(2)
        .allMatch(file -> file.toString().matches(".*\\.neff(\\.sha256)?"));
    assertThat(said).hasSize(1).first().asString().matches(COMPILED);
  }

  @Test
  void compilesAnotherModuleAndADamagedFileAnew() throws IOException {
    NeuronxCompiler compiler = newCompiler("cp \"$made\" \"$out\"");
    compiler.compile(module(4));
    compiler.compile(module(5));
    assertThat(runs()).hasSize(2);
    for (Path file : cached()) {
      Files.write(file, new byte[100]);
    }
    compiler.compile(module(4));
    assertThat(runs()).hasSize(3);
    for (Path file : cached().stream().filter(file -> file.toString().endsWith("f")).toList()) {
      byte[] bytes = Files.readAllBytes(file);
      bytes[bytes.length - 1] ^= 1; // a NEFF by its header still
      Files.write(file, bytes);
    }
    compiler.compile(module(4));
    assertThat(runs()).hasSize(4);
  }

  /// Each alone makes another file of the same module.
  @ParameterizedTest
  @CsvSource({
    "2.27.5334.0+abc, TRN1, 2, -O1",
    "2.27.5334.0+abc, TRN2, 1, -O1",
    "2.27.5334.0+abc, TRN2, 2, -O2",
    "2.28.0, TRN2, 2, -O1"
  })
  void compilesAnewForAnother(String version, Target target, int logicalCoreSize, String flag)
      throws IOException {
    CompilerLookup.Found compiler = compiler("cp \"$made\" \"$out\"");
    CompilerSettings first =
        new CompilerSettings(
            compiler, Target.TRN2, 2, List.of("-O1"), folder.resolve("cache"), MINUTE);
    CompilerSettings other =
        new CompilerSettings(
            new CompilerLookup.Found(compiler.executable(), version),
            target,
            logicalCoreSize,
            List.of(flag),
            folder.resolve("cache"),
            MINUTE);
    new NeuronxCompiler(first, said::add).compile(module(4));
    new NeuronxCompiler(other, said::add).compile(module(4));
    assertThat(runs()).hasSize(2);
    new NeuronxCompiler(first, said::add).compile(module(4));
    new NeuronxCompiler(other, said::add).compile(module(4));
    assertThat(runs()).hasSize(2);
  }

  @Test
  void namesCodeOpAndLogOfAFailure() throws IOException {
    NeuronxCompiler compiler =
        newCompiler(
            """
            echo 'WARNING: n9_Exp.77 may be slow'
            echo '[ERROR] [NCC_EVRF051] unsupported element type in %n0_MatMul.4 = f8e4m3fn[4,4]'
            exit 70
            """);
    assertThatThrownBy(() -> compiler.compile(module(4)))
        .isInstanceOfSatisfying(
            DeviceException.class,
            failure -> {
              assertThat(failure.function()).isEqualTo("neuronx-cc");
              assertThat(failure.status()).isEqualTo(70);
            })
        .hasMessageStartingWith(
            "neuronx-cc refused a program: program=product, exitCode=70, code=NCC_EVRF051,"
                + " op=0:MatMul, said=[ERROR] [NCC_EVRF051] unsupported element type in"
                + " %n0_MatMul.4 = f8e4m3fn[4,4], log="
                + folder.resolve("cache"));
    assertThat(cached()).hasSize(1).allMatch(file -> file.toString().endsWith(".log"));
    assertThat(Files.readString(cached().getFirst())).contains("may be slow");
  }

  @Test
  void saysThatTheCompilerWasKilled() throws IOException {
    NeuronxCompiler compiler = newCompiler("echo 'Running pass 12'; kill -9 $$");
    assertThatThrownBy(() -> compiler.compile(module(4)))
        .isInstanceOf(DeviceException.class)
        .hasMessageStartingWith(
            "neuronx-cc was killed: program=product, signal=9, said=Running pass 12, log=");
  }

  @Test
  void namesAFailureWhoseLogEndsWithinACharacter() throws IOException {
    NeuronxCompiler compiler =
        newCompiler("printf '[ERROR] [NCC_EVRF051] wrong\\n\\303'; kill -9 $$");
    assertThatThrownBy(() -> compiler.compile(module(4)))
        .isInstanceOf(DeviceException.class)
        .hasMessageStartingWith(
            "neuronx-cc was killed: program=product, signal=9, code=NCC_EVRF051,");
  }

  @Test
  void saysThatTheCompilerIsThereNoMore() throws IOException {
    NeuronxCompiler compiler = newCompiler("exit 0");
    Files.delete(folder.resolve("neuronx-cc"));
    assertThatThrownBy(() -> compiler.compile(module(4)))
        .isInstanceOf(DeviceException.class)
        .hasMessageStartingWith("neuronx-cc does not start: file=" + folder.resolve("neuronx-cc"));
  }

  /// One compiles and another waits for it: both are interrupted.
  @Test
  void saysThatACompilationWasInterrupted() throws Exception {
    NeuronxCompiler compiler = newCompiler("touch \"%s/begun\"; sleep 600".formatted(folder));
    List<Throwable> thrown = Collections.synchronizedList(new ArrayList<>());
    List<Boolean> stillInterrupted = Collections.synchronizedList(new ArrayList<>());
    List<Thread> ranks = new ArrayList<>();
    for (int rank = 0; rank < 2; rank++) {
      ranks.add(
          Thread.ofPlatform()
              .start(
                  () -> {
                    thrown.add(catchThrowable(() -> compiler.compile(module(4))));
                    stillInterrupted.add(Thread.interrupted());
                  }));
    }
    Deadline.until(() -> Files.exists(folder.resolve("begun")));
    ranks.forEach(Thread::interrupt);
    for (Thread rank : ranks) {
      rank.join();
    }
    assertThat(stillInterrupted).containsExactly(true, true);
    assertThat(thrown)
        .hasSize(2)
        .allSatisfy(
            each ->
                assertThat(each)
                    .isInstanceOf(DeviceException.class)
                    .hasMessage("compilation was interrupted: program=product"));
  }

  @Test
  void endsACompilerThatTakesTooLong() throws IOException {
    NeuronxCompiler compiler = newCompiler("sleep 600", Duration.ofMillis(300));
    assertThatThrownBy(() -> compiler.compile(module(4)))
        .isInstanceOf(DeviceException.class)
        .hasMessageStartingWith("neuronx-cc takes too long: program=product, timeoutSeconds=0");
    assertThat(cached()).isEmpty();
    assertThat(ProcessHandle.current().descendants()).noneMatch(ProcessHandle::isAlive);
  }

  @Test
  void aFolderThatCannotBeRemovedDoesNotHideWhatFailed() throws IOException {
    NeuronxCompiler compiler = newCompiler("rm -r $PWD; sleep 600", Duration.ofSeconds(1));
    assertThatThrownBy(() -> compiler.compile(module(4)))
        .isInstanceOf(DeviceException.class)
        .hasMessageStartingWith("neuronx-cc takes too long: program=product, timeoutSeconds=1");
    assertThat(said).anyMatch(line -> line.startsWith("folder cannot be removed: folder="));
  }

  @Test
  void saysThatNoFileWasMade() throws IOException {
    assertThatThrownBy(() -> newCompiler("echo done").compile(module(4)))
        .isInstanceOf(DeviceException.class)
        .hasMessageContaining("made no NEFF: program=product, cause=no file was written, log=");
    assertThatThrownBy(() -> newCompiler("echo x >\"$out\"").compile(module(4)))
        .isInstanceOf(DeviceException.class)
        .hasMessageContaining("cause=file is no NEFF: bytes=2, headerBytes=1024");
  }

  /// Ranks of a host, as threads, want the same program: one compiles, the others wait.
  @Test
  void ranksCompileAProgramOnceAndAreToldThatItTakesLong() throws Exception {
    CompilerSettings settings =
        new CompilerSettings(
            compiler("sleep 1; cp \"$made\" \"$out\""),
            Target.TRN2,
            2,
            List.of(),
            folder.resolve("cache"),
            MINUTE);
    NeuronxCompiler compiler = new NeuronxCompiler(settings, said::add, Duration.ofMillis(100));
    try (ExecutorService ranks = Executors.newFixedThreadPool(4)) {
      List<Future<Neff>> all = new ArrayList<>();
      for (int rank = 0; rank < 4; rank++) {
        all.add(ranks.submit(() -> compiler.compile(module(4))));
      }
      for (Future<Neff> each : all) {
        assertThat(each.get().bytes()).hasSize(Neff.HEADER_BYTES + 4);
      }
    }
    assertThat(runs()).hasSize(1);
    assertThat(said)
        .anyMatch(line -> line.matches("program product is being compiled: \\d+ s"))
        .last()
        .asString()
        .matches(COMPILED);
  }

  @Test
  void saysThatACompilerDoesNotWork() throws IOException {
    Path script = folder.resolve("broken");
    Files.writeString(script, "#!/bin/sh\necho 'No module named neuronxcc'\nexit 1\n");
    assertThat(script.toFile().setExecutable(true)).isTrue();
    assertThat(CompilerLookup.find(Map.of(CompilerLookup.VARIABLE, script.toString())))
        .isEqualTo(
            new CompilerLookup.Absent(
                "neuronx-cc does not say its version: file=%s, said=No module named neuronxcc (reinstall neuronx-cc)"
                    .formatted(script)));
    assertThat(CompilerLookup.find(Map.of(CompilerLookup.VARIABLE, "/no/such/file")))
        .isEqualTo(
            new CompilerLookup.Absent(
                "neuronx-cc is no file that can be run: LOCKSTEP_NEURONX_CC=/no/such/file"));
  }

  @Test
  void tellsTheVersionFromWhatElseIsPrinted() throws IOException {
    assertThat(version("echo 'Python 3.8 is old' >&2; echo 'NeuronX Compiler version 2.27.1+a'"))
        .isEqualTo("2.27.1+a");
    assertThat(version("echo 'numpy 1.26 is old'; echo 'NeuronX Compiler version 2.27.1+a' >&2"))
        .isEqualTo("2.27.1+a");
    assertThat(version("echo 'Python 3.8 is old' >&2; echo 2.28.0")).isEqualTo("2.28.0");
    // More than a pipe holds.
    assertThat(version("head -c 200000 /dev/zero >&2; echo 2.28.0")).isEqualTo("2.28.0");
  }

  private String version(String body) throws IOException {
    Path script = folder.resolve("says");
    Files.writeString(script, "#!/bin/sh\n" + body + "\n");
    assertThat(script.toFile().setExecutable(true)).isTrue();
    CompilerLookup found = CompilerLookup.find(Map.of(CompilerLookup.VARIABLE, script.toString()));
    assertThat(found).isInstanceOf(CompilerLookup.Found.class);
    return ((CompilerLookup.Found) found).version();
  }

  @Test
  void readsFlagsAsAShellDoes() {
    assertThat(flags("-O1 --tensorizer-options='--a=1 --b=\"2\"' \"x y\" a\\ b ''"))
        .containsExactly("-O1", "--tensorizer-options=--a=1 --b=\"2\"", "x y", "a b", "");
    assertThatThrownBy(() -> flags("-O1 'x"))
        .isInstanceOf(ConfigurationException.class)
        .hasMessage(
            "flags of the compiler cannot be read, a quote is not closed: quote=',"
                + " NEURON_CC_FLAGS=-O1 'x (close the quote, or put a backslash before it)");
    assertThat(said).isEmpty();
  }

  @Test
  void leavesOutFlagsThatAreNotTheCompilers() {
    assertThat(flags("--cache_dir /x -O1 --retry_failed_compilation --cache_dir=/y -O2"))
        .containsExactly("-O1", "-O2");
    assertThat(said)
        .containsExactly(
            "flags are not the compiler's and left out: NEURON_CC_FLAGS=--cache_dir /x"
                + " --retry_failed_compilation --cache_dir=/y (the cache is"
                + " LOCKSTEP_NEURON_CACHE)");
  }

  private List<String> flags(String line) {
    CompilerLookup.Found compiler = new CompilerLookup.Found(Path.of("cc"), "2");
    Map<String, String> environment = Map.of("NEURON_CC_FLAGS", line);
    return CompilerSettings.of(compiler, Target.TRN2, environment, said::add).flags();
  }

  @Test
  void readsSettingsFromTheEnvironment() {
    CompilerLookup.Found compiler = new CompilerLookup.Found(Path.of("cc"), "2");
    CompilerSettings settings =
        CompilerSettings.of(
            compiler,
            Target.TRN3,
            Map.of(
                "NEURON_CC_FLAGS", " -O3  --verbose 1 ",
                "NEURON_LOGICAL_NC_CONFIG", "1",
                "LOCKSTEP_NEURON_CACHE", "/cache"),
            said::add);
    assertThat(settings.flags()).containsExactly("-O3", "--verbose", "1");
    assertThat(said).isEmpty();
    assertThat(settings.logicalCoreSize()).isEqualTo(1);
    assertThat(settings.cache()).isEqualTo(Path.of("/cache"));
    assertThat(CompilerSettings.of(compiler, Target.TRN1, Map.of(), said::add).logicalCoreSize())
        .isOne();
    Map<String, String> caches = Map.of("XDG_CACHE_HOME", "/x");
    assertThat(CompilerSettings.of(compiler, Target.TRN2, caches, said::add).cache())
        .isEqualTo(Path.of("/x/lockstep/neuron"));
    Map<String, String> three = Map.of("NEURON_LOGICAL_NC_CONFIG", "3");
    assertThatThrownBy(() -> CompilerSettings.of(compiler, Target.TRN2, three, said::add))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageStartingWith(
            "size of a logical core must be 1 or 2: NEURON_LOGICAL_NC_CONFIG=3 (");
  }
}
