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

/// Prints every test that the reports say was skipped, with its reason, and how many passed and
/// failed.
///
/// Run as `java TestSummary.java ROOT JUDGE...`, on any Java from 17 on; the judges are the outside
/// tools that are installed here. A reason that contains `judge TOOL:` with an installed tool ends
/// in exit code 1: the tool was at hand and the test did not use it.
final class TestSummary {
  private static final Pattern JUDGE = Pattern.compile("judge ([\\w.-]+):");

  private record Skipped(String module, String test, String reason) {}

  private final List<Skipped> skipped = new ArrayList<>();
  private int tests;
  private int failed;

  private TestSummary() {}

  public static void main(String[] args) throws Exception {
    var summary = new TestSummary();
    summary.readAll(Path.of(args[0]));
    var judges = Set.of(List.of(args).subList(1, args.length).toArray(String[]::new));
    System.exit(summary.print(judges) == 0 ? 0 : 1);
  }

  /// Returns how many tests were skipped although their judge is installed.
  private int print(Set<String> judges) {
    var unused = 0;
    System.out.println("skipped tests: " + skipped.size());
    for (Skipped test : skipped) {
      System.out.println("  " + test.module() + " " + test.test() + ": " + test.reason());
      Matcher judge = JUDGE.matcher(test.reason());
      if (judge.find() && judges.contains(judge.group(1))) {
        System.out.println("    but this judge is installed: judge=" + judge.group(1));
        unused++;
      }
    }
    var passed = tests - failed - skipped.size();
    System.out.println(passed + " passed, " + failed + " failed, " + skipped.size() + " skipped");
    return unused;
  }

  private void readAll(Path root) throws Exception {
    for (Path module : list(root, "*")) {
      for (Path reports : list(module.resolve("target"), "surefire-reports*")) {
        for (Path report : list(reports, "TEST-*.xml")) {
          read(module.getFileName().toString(), report);
        }
      }
    }
  }

  private void read(String module, Path report) throws Exception {
    var factory = DocumentBuilderFactory.newInstance();
    factory.setFeature("http://apache.org/xml/features/disallow-doctype-decl", true);
    var suite = factory.newDocumentBuilder().parse(report.toFile()).getDocumentElement();
    tests += suite.getElementsByTagName("testcase").getLength();
    failed +=
        suite.getElementsByTagName("failure").getLength()
            + suite.getElementsByTagName("error").getLength();
    var marks = suite.getElementsByTagName("skipped");
    for (int i = 0; i < marks.getLength(); i++) {
      var mark = (Element) marks.item(i);
      var test = (Element) mark.getParentNode();
      var name = test.getAttribute("classname") + "." + test.getAttribute("name");
      skipped.add(new Skipped(module, name, reason(mark)));
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
