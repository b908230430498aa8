import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.xml.parsers.DocumentBuilderFactory;
import org.w3c.dom.Element;

/// Prints every test that the reports say was skipped, with its reason.
///
/// Run as `java SkippedTests.java ROOT JUDGE...`, on any Java from 17 on; the judges are the
/// outside tools that are installed here. A reason that contains `judge TOOL:` with an installed
/// tool ends in exit code 1: the tool was at hand and the test did not use it.
final class SkippedTests {
  private static final Pattern JUDGE = Pattern.compile("judge ([\\w.-]+):");

  private record Skipped(String module, String test, String reason) {}

  private SkippedTests() {}

  public static void main(String[] args) throws Exception {
    var root = Path.of(args[0]);
    var judges = Set.of(List.of(args).subList(1, args.length).toArray(String[]::new));
    var unused = 0;
    var skipped = skipped(root);
    System.out.println("skipped tests: " + skipped.size());
    for (Skipped test : skipped) {
      System.out.println("  " + test.module() + " " + test.test() + ": " + test.reason());
      Matcher judge = JUDGE.matcher(test.reason());
      if (judge.find() && judges.contains(judge.group(1))) {
        System.out.println("    but this judge is installed: judge=" + judge.group(1));
        unused++;
      }
    }
    System.exit(unused == 0 ? 0 : 1);
  }

  private static List<Skipped> skipped(Path root) throws Exception {
    var found = new ArrayList<Skipped>();
    for (Path module : list(root, "*")) {
      for (Path reports : list(module.resolve("target"), "surefire-reports*")) {
        for (Path report : list(reports, "TEST-*.xml")) {
          read(module.getFileName().toString(), report, found);
        }
      }
    }
    return found;
  }

  private static void read(String module, Path report, List<Skipped> into) throws Exception {
    var factory = DocumentBuilderFactory.newInstance();
    factory.setFeature("http://apache.org/xml/features/disallow-doctype-decl", true);
    var marks = factory.newDocumentBuilder().parse(report.toFile()).getElementsByTagName("skipped");
    for (int i = 0; i < marks.getLength(); i++) {
      var mark = (Element) marks.item(i);
      var test = (Element) mark.getParentNode();
      var name = test.getAttribute("classname") + "." + test.getAttribute("name");
      into.add(new Skipped(module, name, reason(mark)));
    }
  }

  /// The reason of a disabled test is an attribute; that of an aborted one heads its stack trace.
  private static String reason(Element mark) {
    var message = mark.getAttribute("message");
    if (message.isBlank()) {
      message = mark.getTextContent().strip().lines().findFirst().orElse("no reason given");
    }
    return message
        .replaceFirst("^org\\.opentest4j\\.TestAbortedException: ", "")
        .replaceFirst("^Assumption failed: ", "");
  }

  private static List<Path> list(Path folder, String glob) throws IOException {
    var found = new ArrayList<Path>();
    if (Files.isDirectory(folder)) {
      try (DirectoryStream<Path> entries = Files.newDirectoryStream(folder, glob)) {
        entries.forEach(found::add);
      }
    }
    found.sort(null);
    return found;
  }
}
