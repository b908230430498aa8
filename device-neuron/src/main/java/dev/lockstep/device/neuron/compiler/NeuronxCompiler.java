package dev.lockstep.device.neuron.compiler;

import dev.lockstep.cache.MakersLock;
import dev.lockstep.device.neuron.hlo.HloModule;
import dev.lockstep.failure.DeviceException;
import dev.lockstep.interrupt.Pause;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.io.UncheckedIOException;
import java.nio.channels.ClosedByInterruptException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.Stream;

/// `neuronx-cc` as a process of its own, before it a cache.
public final class NeuronxCompiler implements NeffCompiler {
  private static final String DEVICE = "neuron";
  private static final String FUNCTION = "neuronx-cc";
  private static final Duration POLL = Duration.ofMillis(200);
  private static final Duration SAYS_SO = Duration.ofSeconds(10);
  private static final Duration POLL_END = Duration.ofMillis(1);

  /// A killed process that has much memory to give back takes a while.
  private static final Duration ENDS_WITHIN = Duration.ofSeconds(2);

  /// From here on an exit code is a signal's number, as shells and Java report it.
  private static final int SIGNALLED = 128;

  private final CompilerSettings settings;
  private final Consumer<String> progress;
  private final Duration saysSo;
  private final NeffCache cache;

  /// Makes a compiler.
  ///
  /// @param progress gets a line when a module is compiled, and one every ten seconds meanwhile
  public NeuronxCompiler(CompilerSettings settings, Consumer<String> progress) {
    this(settings, progress, SAYS_SO);
  }

  /// @param saysSo between two lines about one module
  NeuronxCompiler(CompilerSettings settings, Consumer<String> progress, Duration saysSo) {
    this.settings = settings;
    this.progress = progress;
    this.saysSo = saysSo;
    this.cache = new NeffCache(settings.cache());
  }

  @Override
  public Neff compile(HloModule module) {
    String key = settings.key(module.proto());
    try {
      Optional<Neff> known = cache.find(key);
      if (known.isPresent()) {
        return known.get();
      }
      try (MakersLock _ =
          cache.lock(key, waited -> says(module, "is compiled by another process", waited))) {
        // Another may have made it while this one waited.
        Optional<Neff> made = cache.find(key);
        return made.isPresent() ? made.get() : make(module, key);
      }
    } catch (ClosedByInterruptException | InterruptedIOException e) {
      throw interrupted(module, e);
    } catch (IOException e) {
      throw new UncheckedIOException(
          "compiled programs cannot be kept: cache=%s, cause=%s: %s (set %s to a folder that can be written)"
              .formatted(
                  settings.cache(),
                  e.getClass().getSimpleName(),
                  e.getMessage(),
                  CompilerSettings.CACHE),
          e);
    }
  }

  private static DeviceException interrupted(HloModule module, Exception cause) {
    Thread.currentThread().interrupt();
    return new DeviceException(
        DEVICE, FUNCTION, 0, "compilation was interrupted: program=" + module.name(), cause);
  }

  private void says(HloModule module, String what, Duration waited) {
    progress.accept("program %s %s: %d s".formatted(module.name(), what, waited.toSeconds()));
  }

  private Neff make(HloModule module, String key) throws IOException {
    Path work = cache.newWorkFolder(key);
    try {
      Path proto = work.resolve("module.hlo.pb");
      Path written = work.resolve("module.neff");
      Path log = work.resolve("neuronx-cc.log");
      Files.write(proto, module.proto());
      long start = System.nanoTime();
      int code = run(module, settings.command(proto, written), work, log);
      if (code != 0) {
        throw failed(module, key, code, log);
      }
      Neff neff = read(module, key, written, log);
      cache.keep(key, written);
      says(module, "was compiled for " + settings.target().label(), since(start));
      return neff;
    } finally {
      remove(work);
    }
  }

  private static Duration since(long start) {
    return Duration.ofNanos(System.nanoTime() - start);
  }

  /// Runs the compiler and returns its exit code.
  private int run(HloModule module, List<String> command, Path work, Path log) throws IOException {
    Process process = start(command, work, log);
    process.getOutputStream().close();
    long start = System.nanoTime();
    long said = start;
    try {
      while (!process.waitFor(POLL.toMillis(), TimeUnit.MILLISECONDS)) {
        if (System.nanoTime() - said > saysSo.toNanos()) {
          said = System.nanoTime();
          says(module, "is being compiled", since(start));
        }
        if (System.nanoTime() - start > settings.timeout().toNanos()) {
          throw new DeviceException(
              DEVICE,
              FUNCTION,
              0,
              "neuronx-cc takes too long: program=%s, timeoutSeconds=%d (make the program smaller: fewer layers, or --recompute)"
                  .formatted(module.name(), settings.timeout().toSeconds()),
              null);
        }
      }
      return process.exitValue();
    } catch (InterruptedException e) {
      throw interrupted(module, e);
    } finally {
      end(process);
    }
  }

  /// Ends what runs yet, and waits a while for it, since it writes into the folder that is removed.
  private static void end(Process process) {
    List<ProcessHandle> all =
        Stream.concat(process.descendants(), Stream.of(process.toHandle())).toList();
    all.forEach(ProcessHandle::destroyForcibly);
    long start = System.nanoTime();
    try (Pause pause = new Pause()) { // an interrupted thread gives up, and comes here
      while (all.stream().anyMatch(ProcessHandle::isAlive)
          && System.nanoTime() - start < ENDS_WITHIN.toNanos()) {
        pause.park(POLL_END.toNanos());
      }
    }
  }

  private static Process start(List<String> command, Path work, Path log) {
    try {
      return new ProcessBuilder(command)
          .directory(work.toFile())
          .redirectErrorStream(true)
          .redirectOutput(log.toFile())
          .start();
    } catch (IOException e) {
      throw new DeviceException(
          DEVICE,
          FUNCTION,
          0,
          "neuronx-cc does not start: file=%s, cause=%s (reinstall neuronx-cc)"
              .formatted(command.getFirst(), e.getMessage()),
          e);
    }
  }

  private DeviceException failed(HloModule module, String key, int code, Path log)
      throws IOException {
    // The log of a killed compiler may end within a character.
    String said = new String(Files.readAllBytes(log), StandardCharsets.UTF_8);
    CompilerReport report = CompilerReport.of(said);
    Path kept = keepLog(key, log);
    String message =
        code > SIGNALLED
            ? "neuronx-cc was killed: program=%s, signal=%d, %s, log=%s (it takes much memory: compile on a larger machine by lockstep compile)"
                .formatted(module.name(), code - SIGNALLED, report.words(), kept)
            : "neuronx-cc refused a program: program=%s, exitCode=%d, %s, log=%s (see the log; the code is explained in AWS Neuron's documentation of compiler errors)"
                .formatted(module.name(), code, report.words(), kept);
    return new DeviceException(DEVICE, FUNCTION, code, message, null);
  }

  private Path keepLog(String key, Path log) throws IOException {
    return Files.move(log, cache.log(key), StandardCopyOption.REPLACE_EXISTING);
  }

  private Neff read(HloModule module, String key, Path written, Path log) throws IOException {
    String what;
    try {
      if (Files.exists(written)) {
        return Neff.parse(Files.readAllBytes(written));
      }
      what = "no file was written";
    } catch (IllegalArgumentException wrong) {
      what = wrong.getMessage();
    }
    throw new DeviceException(
        DEVICE,
        FUNCTION,
        0,
        "neuronx-cc ended well but made no NEFF: program=%s, cause=%s, log=%s"
            .formatted(module.name(), what, keepLog(key, log)),
        null);
  }

  /// Removes a folder, as far as that works: what came of the compilation is what is told.
  private void remove(Path folder) {
    try (Stream<Path> files = Files.walk(folder)) {
      for (Path file : files.sorted((a, b) -> b.compareTo(a)).toList()) {
        Files.deleteIfExists(file);
      }
    } catch (IOException | UncheckedIOException e) {
      progress.accept("folder cannot be removed: folder=%s, cause=%s".formatted(folder, e));
    }
  }
}
