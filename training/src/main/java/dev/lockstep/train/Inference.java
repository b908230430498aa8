package dev.lockstep.train;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Program;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.memory.Scope;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.checkpoint.HuggingFaceFolder;
import dev.lockstep.train.model.LanguageModel;
import dev.lockstep.train.model.ModelPrograms;
import dev.lockstep.train.model.ModelShape;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.Map;
import java.util.function.Consumer;

/// A model that is only asked: logits of a window of tokens, computed in this process alone. Tokens
/// are those that the weights were trained on; nothing here turns text into them. For a run's own
/// checkpoint they are the text's bytes, for GPT-2's or Llama's they are not.
///
/// ```java
/// try (var model = new Inference(SavedRun.open(Path.of("checkpoint")), TrainerOptions.defaults())) {
///   float[][] logits = model.logits(72, 101, 108, 108, 111);
/// }
/// ```
///
/// A [SavedRun] computes in its recipe's precision what its trainer samples from. A
/// [HuggingFaceFolder] is computed in float32, whatever the run's precision was if it is one's own.
///
/// Confined to the thread that made it. Owns its device and a copy of the weights. It is a job of
/// one rank of its own, whatever job the process is in: it takes nothing of that one's memory
/// budget, and where [TrainerOptions#threads] is 0 all processors that the process may run on, not
/// a rank's share of them.
public final class Inference implements AutoCloseable {
  private static final ValueLayout.OfFloat F32 =
      ValueLayout.JAVA_FLOAT.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfInt I32 =
      ValueLayout.JAVA_INT.withOrder(ByteOrder.LITTLE_ENDIAN);

  private final Scope scope = new Scope();
  private final ModelShape shape;
  private final RankCompute compute;
  private final BoundProgram program;
  private final Tensor tokens;
  private final Tensor logits;
  private final MemorySegment hostTokens;
  private final MemorySegment hostLogits;

  /// Loads the model of a folder of Hugging Face, which may be closed afterwards, without a memory
  /// budget; the caller closes this.
  ///
  /// @param options device, threads, vector width and what is computed again; transport, layout and
  ///   buckets are passed over
  /// @throws ConfigurationException if there is no such device
  public Inference(HuggingFaceFolder folder, TrainerOptions options) {
    this(folder, options, JobConfig.fromEnvironment());
  }

  /// Loads the model of a folder of Hugging Face, which may be closed afterwards; the caller closes
  /// this.
  ///
  /// @param options as [#Inference(HuggingFaceFolder, TrainerOptions)]
  /// @param config memory budget, leak detection, and where the job's folder is
  /// @throws ConfigurationException if there is no such device
  /// @throws dev.lockstep.failure.MemoryBudgetException if the model is beyond the budget
  public Inference(HuggingFaceFolder folder, TrainerOptions options, JobConfig config) {
    this(
        Recipe.defaults().withModel(folder.shape()),
        options,
        config,
        weights -> weights.load(folder));
  }

  /// Loads the model of a checkpoint, without a memory budget; the caller closes this.
  ///
  /// @param options as [#Inference(HuggingFaceFolder, TrainerOptions)]
  /// @throws ConfigurationException if there is no such device
  /// @throws dev.lockstep.failure.CheckpointException if the weights cannot be read, or were
  ///   replaced since the checkpoint was opened
  public Inference(SavedRun saved, TrainerOptions options) {
    this(saved, options, JobConfig.fromEnvironment());
  }

  /// Loads the model of a checkpoint; the caller closes this.
  ///
  /// @param options as [#Inference(HuggingFaceFolder, TrainerOptions)]
  /// @param config memory budget, leak detection, and where the job's folder is
  /// @throws ConfigurationException if there is no such device
  /// @throws dev.lockstep.failure.CheckpointException if the weights cannot be read, or were
  ///   replaced since the checkpoint was opened
  /// @throws dev.lockstep.failure.MemoryBudgetException if the model is beyond the budget
  public Inference(SavedRun saved, TrainerOptions options, JobConfig config) {
    this(
        saved.recipe(),
        options,
        config,
        weights -> {
          weights.load(saved.folder(), SavedRun.WEIGHTS);
          saved.requireUnchanged();
        });
  }

  private Inference(
      Recipe recipe, TrainerOptions options, JobConfig config, Consumer<ModelState> load) {
    shape = recipe.model();
    try {
      Job job = scope.own(Job.inProcess(1, config).getFirst(), Job::close);
      TrainerOptions alone = options.withLayout(Layout.dataParallel()).withTransport("");
      JobExchange exchange = JobExchange.open(scope, job, recipe, alone);
      compute = RankCompute.open(scope, alone, job, exchange.place());
      LanguageModel model = shape.model(recipe.blocks().tensor());
      ModelState weights = ModelState.wholeParameters(compute, model.parameters());
      load.accept(weights);
      ModelPrograms.Traced traced = recipe.programs(model, options.recompute()).logits();
      tokens = tensor("tokens", DType.I32, Shape.of(1, shape.context()));
      logits = tensor("logits", DType.F32, Shape.of(1, shape.context(), shape.vocabulary()));
      hostTokens = compute.arena().allocate(tokens.bytes(), DType.I32.bytes());
      hostLogits = compute.arena().allocate(logits.bytes(), DType.F32.bytes());
      Map<String, Tensor> bindings = weights.bindings(traced.uses());
      bindings.put(ModelPrograms.TOKENS, tokens);
      bindings.put(ModelPrograms.LOGITS, logits);
      program = scope.own(compute.device().compile(traced.graph()), Program::close).bind(bindings);
    } catch (RuntimeException | Error e) {
      Scope.afterFailure(e, scope::close);
      throw e;
    }
  }

  private Tensor tensor(String name, DType dtype, Shape extents) {
    return Tensor.of(compute.allocate(name, extents.elements() * dtype.bytes()), dtype, extents);
  }

  /// Returns the size of the model.
  public ModelShape shape() {
    return shape;
  }

  /// Computes how likely each token is to follow each of the given ones. Each call computes all
  /// `context` positions, however few tokens are given, and keeps nothing for the next; it
  /// allocates the `ids.length * vocabulary` floats that it returns.
  ///
  /// @param ids 1 to `context` tokens
  /// @return logits `[ids.length, vocabulary]`
  /// @throws IllegalArgumentException if there are too few or too many tokens, or the vocabulary
  ///   has no such token
  public float[][] logits(int... ids) {
    if (ids.length < 1 || ids.length > shape.context()) {
      throw new IllegalArgumentException(
          "tokens do not fit the context: tokens=%d, context=%d"
              .formatted(ids.length, shape.context()));
    }
    hostTokens.fill((byte) 0); // what follows the last token is not seen before it
    for (int i = 0; i < ids.length; i++) {
      if (ids[i] < 0 || ids[i] >= shape.vocabulary()) {
        throw new IllegalArgumentException(
            "there is no such token: token=%d, vocabulary=%d"
                .formatted(ids[i], shape.vocabulary()));
      }
      hostTokens.setAtIndex(I32, i, ids[i]);
    }
    compute.stream().copyIn(tokens, hostTokens);
    compute.stream().run(program);
    compute.stream().copyOut(hostLogits, logits);
    float[][] rows = new float[ids.length][];
    long row = (long) shape.vocabulary() * DType.F32.bytes();
    for (int i = 0; i < ids.length; i++) {
      rows[i] = hostLogits.asSlice(i * row, row).toArray(F32);
    }
    return rows;
  }

  /// Frees memory and device; idempotent.
  @Override
  public void close() {
    scope.close();
  }
}
