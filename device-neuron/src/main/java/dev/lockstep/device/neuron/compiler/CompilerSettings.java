package dev.lockstep.device.neuron.compiler;

import dev.lockstep.cache.Digests;
import dev.lockstep.cache.UserCache;
import dev.lockstep.failure.ConfigurationException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/// What modules are compiled with.
///
/// @param compiler the compiler
/// @param target generation of the chip
/// @param logicalCoreSize physical cores that a logical one has (`--lnc`)
/// @param flags more of the compiler's flags; they win
/// @param cache folder of compiled modules
/// @param timeout for one module
public record CompilerSettings(
    CompilerLookup.Found compiler,
    Target target,
    int logicalCoreSize,
    List<String> flags,
    Path cache,
    Duration timeout) {
  /// Environment variable with more flags, split as a shell does; Neuron's own name.
  public static final String FLAGS = "NEURON_CC_FLAGS";

  /// Environment variable with the folder of compiled modules.
  public static final String CACHE = "LOCKSTEP_NEURON_CACHE";

  /// Environment variable with the physical cores of a logical one; Neuron's own name.
  public static final String LOGICAL_CORE = "NEURON_LOGICAL_NC_CONFIG";

  private static final Duration TIMEOUT = Duration.ofHours(2);

  /// Copies the list.
  public CompilerSettings {
    flags = List.copyOf(flags);
  }

  /// Reads the settings that users give in the environment.
  ///
  /// @param says gets a line if flags are left out
  /// @throws ConfigurationException if a number is none, a quote is not closed, or the user has no
  ///   folder for caches
  public static CompilerSettings of(
      CompilerLookup.Found compiler,
      Target target,
      Map<String, String> environment,
      Consumer<String> says) {
    return new CompilerSettings(
        compiler,
        target,
        logicalCoreSize(target, environment),
        flags(environment.getOrDefault(FLAGS, ""), says),
        cache(environment),
        TIMEOUT);
  }

  /// What PyTorch's and JAX's plug-ins take from the same variable for themselves `neuronx-cc`
  /// refuses.
  private static List<String> flags(String line, Consumer<String> says) {
    List<String> kept = new ArrayList<>();
    List<String> left = new ArrayList<>();
    Iterator<String> words = words(line).iterator();
    while (words.hasNext()) {
      String word = words.next();
      boolean isCache = word.equals("--cache_dir") || word.startsWith("--cache_dir=");
      (isCache || word.equals("--retry_failed_compilation") ? left : kept).add(word);
      if (word.equals("--cache_dir") && words.hasNext()) {
        left.add(words.next());
      }
    }
    if (!left.isEmpty()) {
      says.accept(
          "flags are not the compiler's and left out: %s=%s (the cache is %s)"
              .formatted(FLAGS, String.join(" ", left), CACHE));
    }
    return kept;
  }

  private static List<String> words(String line) {
    try {
      return ShellWords.split(line);
    } catch (IllegalArgumentException wrong) {
      throw new ConfigurationException(
          FLAGS,
          line,
          "flags of the compiler cannot be read, %s, %s=%s (close the quote, or put a backslash before it)"
              .formatted(wrong.getMessage(), FLAGS, line),
          wrong);
    }
  }

  /// From Trn2 on two physical cores are one logical core unless the user says otherwise.
  private static int logicalCoreSize(Target target, Map<String, String> environment) {
    String given = environment.getOrDefault(LOGICAL_CORE, "");
    if (given.isEmpty()) {
      return target == Target.TRN1 ? 1 : 2;
    }
    if (!given.equals("1") && !given.equals("2")) {
      throw new ConfigurationException(
          LOGICAL_CORE,
          given,
          "size of a logical core must be 1 or 2: %s=%s (set it to one of these, or not at all)"
              .formatted(LOGICAL_CORE, given));
    }
    return Integer.parseInt(given);
  }

  private static Path cache(Map<String, String> environment) {
    String given = environment.getOrDefault(CACHE, "");
    if (!given.isEmpty()) {
      return Path.of(given);
    }
    return UserCache.folder(environment).resolve("neuron");
  }

  /// Returns the command that compiles a module.
  ///
  /// Auto-cast is off: what is float32 stays it. Modules hold no 64-bit integers, so the compiler's
  /// changing defaults for those do not matter.
  List<String> command(Path module, Path neff) {
    List<String> command = new ArrayList<>();
    command.add(compiler.executable().toString());
    command.addAll(
        List.of("compile", "--framework", "XLA", module.toString(), "--output", neff.toString()));
    command.addAll(options());
    return command;
  }

  /// Returns what decides the bits of compiled programs, in words: the compiler's version and its
  /// options, the target among them.
  public String words() {
    return "neuronx-cc " + compiler.version() + " " + String.join(" ", options());
  }

  private List<String> options() {
    List<String> options = new ArrayList<>();
    options.addAll(List.of("--target", target.label(), "--lnc", "" + logicalCoreSize));
    options.addAll(List.of("--model-type", "transformer", "--auto-cast", "none"));
    options.addAll(flags);
    return options;
  }

  /// Returns what a compiled module is known by: a hash of its bytes, the options and the compiler.
  String key(byte[] proto) {
    MessageDigest digest = Digests.sha256();
    add(digest, proto);
    options().forEach(option -> add(digest, option.getBytes(StandardCharsets.UTF_8)));
    add(digest, compiler.version().getBytes(StandardCharsets.UTF_8));
    return HexFormat.of().formatHex(digest.digest());
  }

  /// Adds bytes behind their number, so that where one ends and the next begins is hashed too.
  private static void add(MessageDigest digest, byte[] bytes) {
    digest.update(ByteBuffer.allocate(Integer.BYTES).putInt(0, bytes.length));
    digest.update(bytes);
  }
}
