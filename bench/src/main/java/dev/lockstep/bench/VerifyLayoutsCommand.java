package dev.lockstep.bench;

import dev.lockstep.bench.layouts.LayoutCase;
import dev.lockstep.bench.layouts.LayoutRun;
import dev.lockstep.bench.step.TemporaryFolder;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.launcher.CommandProvider;
import dev.lockstep.train.Recipe;
import java.io.PrintStream;
import java.util.List;
import java.util.Locale;

/// `lockstep verify-layouts`: trains one small recipe under many layouts and compares what they end
/// in, bit for bit.
public final class VerifyLayoutsCommand implements CommandProvider {
  private static final String VERB = "verify-layouts";
  private static final String QUICK = "--quick";
  private static final String DEFAULT_MODEL = "gpt";
  private static final int SHOWN_DIGITS = 16;

  /// Makes the provider, as [java.util.ServiceLoader] asks for.
  public VerifyLayoutsCommand() {}

  @Override
  public String name() {
    return VERB;
  }

  @Override
  public String summary() {
    return "trains one recipe under many layouts and compares the bits";
  }

  @Override
  public int run(List<String> arguments, PrintStream out, PrintStream err) throws Exception {
    if (arguments.contains("--help") || arguments.contains("-h")) {
      out.print(
          """
          Usage: lockstep verify-layouts [MODEL] [--quick]
          Trains one small recipe under many layouts, ranks as threads, and compares losses,
          weights and optimizer state bit for bit. Exit code 1 if one differs.
                MODEL     gpt, llama, mlp or moe (default gpt)
                --quick   a few layouts instead of all
          """);
      return 0;
    }
    List<String> models = arguments.stream().filter(word -> !word.equals(QUICK)).toList();
    if (models.size() > 1 || models.stream().anyMatch(word -> word.startsWith("-"))) {
      throw new ConfigurationException(
          VERB,
          String.join(" ", arguments),
          "verify-layouts takes a model and --quick alone: arguments=" + arguments);
    }
    String model = models.isEmpty() ? DEFAULT_MODEL : models.getFirst();
    List<LayoutCase> known = arguments.contains(QUICK) ? LayoutCase.few() : LayoutCase.all();
    try (TemporaryFolder folder = TemporaryFolder.ofProcess("lockstep-layouts");
        LayoutRun run = new LayoutRun(folder.path(), model)) {
      List<LayoutCase> cases =
          known.stream().filter(each -> each.fits(run.recipe().model())).toList();
      Recipe recipe = run.recipe();
      out.printf(
          Locale.ROOT,
          "%s with %,d parameters, %d lanes, %d steps%n",
          recipe.model().title(),
          recipe.model().parameters(),
          recipe.batch().lanes(),
          recipe.steps());
      return compare(run::train, cases, out);
    }
  }

  /// What trains under a layout.
  interface Training {
    LayoutRun.Result train(LayoutCase layout) throws Exception;
  }

  /// Trains under the first layout and then under each, and prints whose results differ from it.
  ///
  /// @return exit code
  static int compare(Training training, List<LayoutCase> cases, PrintStream out) throws Exception {
    LayoutRun.Result wanted = training.train(cases.getFirst());
    int column = cases.stream().mapToInt(each -> each.words().length()).max().orElse(0);
    int wrong = 0;
    for (LayoutCase each : cases) {
      LayoutRun.Result result = training.train(each);
      String differences = result.differences(wanted);
      wrong += differences.isEmpty() ? 0 : 1;
      out.printf(
          "%s%s  %s  %s%n",
          each.words(),
          " ".repeat(column - each.words().length()),
          result.weights().substring(0, SHOWN_DIGITS),
          differences.isEmpty() ? "same" : differences);
    }
    if (wrong > 0) {
      out.printf(Locale.ROOT, "%d of %d layouts differ%n", wrong, cases.size());
      return 1;
    }
    out.printf(
        Locale.ROOT,
        "%d layouts, one result%noptimizer sha256  %s%nweights sha256    %s%n",
        cases.size(),
        wanted.optimizer(),
        wanted.weights());
    return 0;
  }
}
