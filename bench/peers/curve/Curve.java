import dev.lockstep.job.Job;
import dev.lockstep.train.Recipe;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.Trainer;
import dev.lockstep.train.TrainerOptions;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.data.CorpusListener;
import dev.lockstep.train.data.DataOptions;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.optim.LearningRate;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;

/// The learning curve of step A (6 layers x 384, context 256, batch 8, by bytes) on the `.java` files of
/// `java.base`, sorted by path and joined, the first nine tenths to train, beside the one that PyTorch took
/// with the same hyper-parameters. See `bench/peers/curve/run`.
///
///     Curve FOLDER STEPS EVERY THREADS SEED
class Curve {
  /// Validation loss in nats per byte after 0, 100, … 1,000 steps.
  private static final double[] PYTORCH = {
    5.472, 2.614, 2.511, 2.459, 2.325, 2.233, 2.101, 1.984, 1.876, 1.810, 1.761
  };

  private static final float RATE = 1e-3f;

  public static void main(String[] args) throws IOException {
    Path folder = Path.of(args[0]);
    int steps = Integer.parseInt(args[1]);
    int every = Integer.parseInt(args[2]);
    int threads = Integer.parseInt(args[3]);
    long seed = Long.parseLong(args[4]);
    Path text = folder.resolve("java.base.txt");
    if (!Files.exists(text)) {
      write(text);
    }
    Recipe defaults = Recipe.defaults();
    Recipe recipe =
        defaults
            .withModel(new GptShape(6, 6, 384, 256, 256, true))
            .withBatch(BatchShape.of(1, 8))
            .withLearningRate(new LearningRate(RATE, RATE, 0))
            .withSeed(seed)
            .withSteps(steps);
    TrainerOptions options = TrainerOptions.defaults().withThreads(threads);
    try (Job job = Job.join();
        Corpus corpus =
            Corpus.open(DataOptions.of(text, folder.resolve("cache")), CorpusListener.SILENT);
        Trainer trainer = Trainer.start(job, recipe, corpus, options)) {
      System.out.printf(
          Locale.ROOT,
          "# %s; %,d training and %,d held-out bytes, sha256 %s%n",
          trainer.device(),
          corpus.trainTokens(),
          corpus.validationTokens(),
          corpus.sha256());
      System.out.println("step   train    held out  PyTorch   ratio   seconds");
      long start = System.nanoTime();
      line(trainer, 0, start);
      for (int step = 1; step <= steps; step++) {
        trainer.step(false);
        if (step % every == 0 || step == steps) {
          line(trainer, step, start);
        }
      }
      System.out.println("weights sha256 " + trainer.weightsSha256());
    }
  }

  private static void line(Trainer trainer, int step, long start) {
    float found = trainer.evaluate();
    boolean known = step % 100 == 0 && step / 100 < PYTORCH.length;
    String beside =
        known
            ? String.format(
                Locale.ROOT, "%.3f     %.3f", PYTORCH[step / 100], found / PYTORCH[step / 100])
            : "-         -    ";
    System.out.printf(
        Locale.ROOT,
        "%4d   %-8s %.3f     %s   %.0f%n",
        step,
        step == 0 ? "-" : String.format(Locale.ROOT, "%.3f", trainer.loss()),
        found,
        beside,
        (System.nanoTime() - start) / 1e9);
  }

  /// Joins the sources of `java.base` in the order of their paths.
  private static void write(Path text) throws IOException {
    Path sources = Path.of(System.getProperty("java.home"), "lib", "src.zip");
    Files.createDirectories(text.toAbsolutePath().getParent());
    Path part = text.resolveSibling(text.getFileName() + ".part");
    try (ZipFile zip = new ZipFile(sources.toFile());
        OutputStream out = new BufferedOutputStream(Files.newOutputStream(part))) {
      List<? extends ZipEntry> entries =
          zip.stream()
              .filter(entry -> entry.getName().startsWith("java.base/"))
              .filter(entry -> entry.getName().endsWith(".java"))
              .sorted(Comparator.comparing(ZipEntry::getName))
              .toList();
      for (ZipEntry entry : entries) {
        zip.getInputStream(entry).transferTo(out);
      }
    }
    Files.move(part, text);
  }
}
