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

/// A model that is only asked: logits of a window of tokens, computed in this process alone. Tokens
/// are those that the weights were trained on; nothing here turns text into them. For a run's own
/// checkpoint they are the text's bytes, for GPT-2's or Llama's they are not.
///
/// ```java
/// try (var folder = HuggingFaceFolder.open(Path.of("gpt2"));
///     var model = new Inference(folder, TrainerOptions.defaults())) {
///   float[][] logits = model.logits(72, 101, 108, 108, 111);
/// }
/// ```
///
/// Confined to the thread that made it. Owns its device and a copy of the weights.
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

  /// Loads a model, whose folder may be closed afterwards; the caller closes this.
  ///
  /// @param options device, threads, vector width and what is computed again; transport, layout and
  ///   buckets are passed over
  /// @throws ConfigurationException if there is no such device
  public Inference(HuggingFaceFolder folder, TrainerOptions options) {
    shape = folder.shape();
    Recipe recipe = Recipe.defaults().withModel(shape);
    try {
      Job job = scope.own(Job.inProcess(1, JobConfig.of(Map.of())).getFirst(), Job::close);
      TrainerOptions alone = options.withLayout(Layout.dataParallel()).withTransport("");
      JobExchange exchange = JobExchange.open(scope, job, recipe, alone);
      compute = RankCompute.open(scope, alone, job, exchange.place());
      LanguageModel model = shape.model(recipe.blocks().tensor());
      ModelState weights = ModelState.wholeParameters(compute, model.parameters());
      weights.load(folder);
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
