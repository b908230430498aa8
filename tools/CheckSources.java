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
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/// Checks or applies google-java-format over all Java sources of the build, and checks that
/// whatever a module exports has a documentation comment; in one JVM.
///
/// Run by Maven as `java -cp google-java-format.jar CheckSources.java check|apply ROOT STATE`.
/// STATE remembers the hashes of contents once found in order, so that only what changed is parsed.
final class CheckSources {
  private static final Pattern PACKAGE = Pattern.compile("(?m)^package ([\\w.]+);");

  private final Formatter formatter = new Formatter(JavaFormatterOptions.defaultOptions());
  private final Set<String> inOrder = new ConcurrentSkipListSet<>();
  private final List<String> complaints = Collections.synchronizedList(new ArrayList<>());
  private final Set<String> known;
  private final boolean apply;
  private final Path root;

  private CheckSources(Path root, boolean apply, Set<String> known) {
    this.root = root;
    this.apply = apply;
    this.known = known;
  }

  public static void main(String[] args) throws IOException {
    var root = Path.of(args[1]);
    var state = Path.of(args[2]);
    var known = Files.exists(state) ? new TreeSet<>(Files.readAllLines(state)) : Set.<String>of();
    var run = new CheckSources(root, args[0].equals("apply"), known);
    sources(root).parallelStream().forEach(run::visit);
    Files.createDirectories(state.getParent());
    Files.write(state, run.inOrder);
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
      var exported = isExported(file, text);
      if (known.contains(hash(text, exported))) {
        inOrder.add(hash(text, exported));
        return;
      }
      var formatted = formatter.formatSourceAndFixImports(text);
      if (apply && !formatted.equals(text)) {
        Files.writeString(file, formatted);
      }
      var wrong = new ArrayList<String>();
      if (!apply && !formatted.equals(text)) {
        wrong.add("source is not formatted: file=" + root.relativize(file));
      }
      if (exported) {
        for (String declaration : Documentation.undocumented(formatted)) {
          wrong.add(
              "exported declaration has no Javadoc: file=%s, %s"
                  .formatted(root.relativize(file), declaration));
        }
      }
      complaints.addAll(wrong);
      if (wrong.isEmpty()) {
        inOrder.add(hash(formatted, exported));
      }
    } catch (FormatterException e) {
      complaints.add(
          "source cannot be parsed: file=%s, %s".formatted(root.relativize(file), e.getMessage()));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private boolean isExported(Path file, String text) throws IOException {
    var sources = root.resolve(root.relativize(file).getName(0)).resolve("src/main/java");
    var descriptor = sources.resolve("module-info.java");
    Matcher name = PACKAGE.matcher(text);
    if (!file.startsWith(sources) || !Files.exists(descriptor) || !name.find()) {
      return false;
    }
    return Pattern.compile("exports " + Pattern.quote(name.group(1)) + "\\s*;")
        .matcher(Files.readString(descriptor))
        .find();
  }

  private static String hash(String text, boolean exported) {
    try {
      var digest = MessageDigest.getInstance("SHA-256");
      return HexFormat.of().formatHex(digest.digest((exported + text).getBytes(UTF_8)));
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every JDK has SHA-256", e);
    }
  }
}
