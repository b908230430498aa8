import dev.lockstep.job.Job;
import dev.lockstep.train.Recipe;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.Trainer;
import dev.lockstep.train.TrainerOptions;
import dev.lockstep.train.data.Batches;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.data.CorpusListener;
import dev.lockstep.train.data.CorpusReader;
import dev.lockstep.train.data.DataOptions;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.optim.AdamWOptions;
import dev.lockstep.train.optim.LearningRate;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.foreign.MemorySegment;
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
///     Curve FOLDER STEPS EVERY THREADS SEED [EXPORT]
///
/// With EXPORT, a folder, it writes there what `torch_curve.py` needs to begin with the same weights and to see the
/// same windows.
class Curve {
  /// Validation loss in nats per byte after 0, 100, … 1,000 steps.
  private static final double[] PYTORCH = {
    5.472, 2.614, 2.511, 2.459, 2.325, 2.233, 2.101, 1.984, 1.876, 1.810, 1.761
  };

  private static final float RATE = 1e-3f;
  private static final int WARM_UP = 100;

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
            .withSteps(steps)
            .withLearningRate(new LearningRate(RATE, RATE, WARM_UP))
            .withSeed(seed);
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
      if (args.length > 5) {
        export(Path.of(args[5]), trainer, recipe, corpus, every);
      }
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

  /// Writes the first weights, all windows that an evaluation and the steps see, and the hyper-parameters.
  private static void export(
      Path folder, Trainer trainer, Recipe recipe, Corpus corpus, int every) throws IOException {
    Files.createDirectories(folder);
    trainer.save(folder.resolve("checkpoint"));
    BatchShape batch = recipe.batch();
    AdamWOptions optimizer = recipe.optimizer();
    int context = recipe.model().context();
    int heldOut = batch.validationBatches() * batch.microBatch();
    try (OutputStream out =
        new BufferedOutputStream(Files.newOutputStream(folder.resolve("windows")))) {
      CorpusReader reader = corpus.newReader();
      long starts = corpus.validationTokens() - context;
      int[] window = new int[context + 1];
      for (int i = 0; i < heldOut; i++) {
        reader.read(
            corpus.trainTokens() + i * starts / heldOut,
            window.length,
            MemorySegment.ofArray(window),
            0);
        bytes(window, 0, window.length, out);
      }
      Batches batches = new Batches(corpus, recipe.seed(), 1, batch.microBatch(), context);
      int[] tokens = new int[batch.microBatch() * context];
      int[] targets = new int[tokens.length];
      for (int step = 0; step < recipe.steps(); step++) {
        batches.fill(step, 0, MemorySegment.ofArray(tokens), MemorySegment.ofArray(targets));
        for (int from = 0; from < tokens.length; from += context) {
          bytes(tokens, from, context, out);
          bytes(targets, from + context - 1, 1, out);
        }
      }
    }
    Files.writeString(
        folder.resolve("curve.json"),
        String.format(
            Locale.ROOT,
            """
            {"layers": 6, "heads": 6, "width": 384, "context": %d, "vocabulary": 256, "micro_batch": %d,
             "held_out": %d, "every": %d, "rate": %s, "warm_up": %d, "beta1": %s, "beta2": %s, "epsilon": %s,
             "weight_decay": %s, "clip": %s}
            """,
            context,
            batch.microBatch(),
            heldOut,
            every,
            RATE,
            WARM_UP,
            optimizer.beta1(),
            optimizer.beta2(),
            optimizer.epsilon(),
            optimizer.weightDecay(),
            optimizer.clip()));
  }

  private static void bytes(int[] tokens, int from, int count, OutputStream out)
      throws IOException {
    for (int i = 0; i < count; i++) {
      out.write(tokens[from + i]);
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
