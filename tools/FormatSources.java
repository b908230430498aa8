import static java.nio.charset.StandardCharsets.UTF_8;

import com.google.googlejavaformat.java.Formatter;
import com.google.googlejavaformat.java.FormatterException;
import com.google.googlejavaformat.java.JavaFormatterOptions;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentSkipListSet;
import java.util.stream.Stream;

/// Checks or applies google-java-format over all Java sources of the build, in one JVM.
///
/// Run by Maven as `java -cp google-java-format.jar FormatSources.java check|apply ROOT STATE`.
/// STATE remembers the hashes of contents once found well formatted, so that only what changed is
/// parsed.
final class FormatSources {
  private final Formatter formatter = new Formatter(JavaFormatterOptions.defaultOptions());
  private final Set<String> wellFormatted = new ConcurrentSkipListSet<>();
  private final List<String> complaints = Collections.synchronizedList(new ArrayList<>());
  private final Set<String> known;
  private final boolean apply;
  private final Path root;

  private FormatSources(Path root, boolean apply, Set<String> known) {
    this.root = root;
    this.apply = apply;
    this.known = known;
  }

  public static void main(String[] args) throws IOException {
    var root = Path.of(args[1]);
    var state = Path.of(args[2]);
    var known = Files.exists(state) ? new TreeSet<>(Files.readAllLines(state)) : Set.<String>of();
    var run = new FormatSources(root, args[0].equals("apply"), known);
    sources(root).parallelStream().forEach(run::visit);
    Files.createDirectories(state.getParent());
    Files.write(state, run.wellFormatted);
    run.report(Path.of(args[3]));
  }

  private void report(Path file) throws IOException {
    complaints.sort(null);
    complaints.forEach(System.err::println);
    if (complaints.isEmpty()) {
      Files.deleteIfExists(file);
    } else {
      Files.write(file, complaints);
    }
  }

  private static List<Path> sources(Path root) throws IOException {
    var found = new ArrayList<Path>();
    try (Stream<Path> modules = Files.list(root)) {
      for (Path module : modules.filter(Files::isDirectory).toList()) {
        var folder = module.endsWith("tools") ? module : module.resolve("src");
        if (Files.isDirectory(folder)) {
          try (Stream<Path> files = Files.walk(folder)) {
            files.filter(file -> file.toString().endsWith(".java")).forEach(found::add);
          }
        }
      }
    }
    return found;
  }

  private void visit(Path file) {
    try {
      var text = Files.readString(file);
      if (known.contains(hash(text))) {
        wellFormatted.add(hash(text));
        return;
      }
      var formatted = formatter.formatSourceAndFixImports(text);
      if (apply && !formatted.equals(text)) {
        Files.writeString(file, formatted);
      } else if (!formatted.equals(text)) {
        complaints.add("source is not formatted: file=%s".formatted(root.relativize(file)));
        return;
      }
      wellFormatted.add(hash(formatted));
    } catch (FormatterException e) {
      complaints.add(
          "source cannot be parsed: file=%s, %s".formatted(root.relativize(file), e.getMessage()));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static String hash(String text) {
    try {
      var digest = MessageDigest.getInstance("SHA-256");
      return HexFormat.of().formatHex(digest.digest(text.getBytes(UTF_8)));
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every JDK has SHA-256", e);
    }
  }
}
