package dev.lockstep.train;

import dev.lockstep.collective.Mesh;
import dev.lockstep.device.RankGrid;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.train.model.ModelShape;
import dev.lockstep.train.options.OptionCheck;
import dev.lockstep.train.pipeline.PipelineSchedule;
import dev.lockstep.train.placement.AxisPlace;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// How a run is laid out over ranks: the axes of the mesh. Nothing here changes a bit of the
/// result.
///
/// Axes are `dp`, over which lanes are spread, `tp`, over which the model's features, heads and
/// vocabulary are, and experts whole, `ep`, over which experts alone are, `pp`, over which its
/// layers are, and `cp`, over which the positions of each sequence are. Ranks are numbered with the
/// last axis fastest.
///
/// @param axes the axes that were named, in order; empty for all ranks on `dp`
/// @param zero what the ranks of `dp` share out: 0 nothing, 1 the optimizer's state, 2 the sums of
///   gradients too, 3 the parameters too
/// @param schedule in which order the stages of `pp` take their lanes
/// @param chunks how many chunks of layers each stage of `pp` holds
/// @param sequenceParallel whether the ranks of `tp` share out the positions where they do not
///   share out features (norms, residuals, dropout and embeddings), and those of `ep` where they do
///   not share out experts, which is everywhere else
public record Layout(
    List<Mesh.Axis> axes,
    int zero,
    PipelineSchedule schedule,
    int chunks,
    boolean sequenceParallel) {
  /// The axis of data parallelism.
  public static final String DATA = "dp";

  /// The axis of tensor parallelism.
  public static final String TENSOR = "tp";

  /// The axis of expert parallelism.
  public static final String EXPERT = "ep";

  /// The axis of pipeline parallelism.
  public static final String PIPELINE = "pp";

  /// The axis of context parallelism.
  public static final String CONTEXT = "cp";

  private static final List<String> KNOWN = List.of(DATA, TENSOR, PIPELINE, CONTEXT, EXPERT);

  /// Checks the names.
  ///
  /// @throws ConfigurationException if an axis is unknown or there twice
  public Layout {
    axes = List.copyOf(axes);
    OptionCheck.atLeast("--chunks", chunks, 1);
    if (zero < 0 || zero > 3) {
      throw OptionCheck.refusal(
          "--zero", zero, "there is no such stage: --zero %d (0, 1, 2 or 3)".formatted(zero));
    }
    for (Mesh.Axis axis : axes) {
      if (!KNOWN.contains(axis.name())) {
        throw new ConfigurationException(
            "--mesh",
            axis.name(),
            "there is no such axis: --mesh %s=%d (known: %s)"
                .formatted(axis.name(), axis.size(), String.join(", ", KNOWN)));
      }
    }
    if (axes.stream().map(Mesh.Axis::name).distinct().count() != axes.size()) {
      throw new ConfigurationException(
          "--mesh",
          words(axes),
          "an axis is named twice: --mesh " + words(axes) + " (name each once)");
    }
  }

  /// Returns the layout of data parallelism alone, over as many ranks as there are.
  public static Layout dataParallel() {
    return plain(List.of());
  }

  /// Reads a layout as users write it: `dp=2,tp=2`.
  ///
  /// @throws ConfigurationException if that is not what the text is
  public static Layout parse(String mesh) {
    return plain(Mesh.Axis.parse(mesh));
  }

  /// Returns the layout that a command's options say.
  ///
  /// @param mesh as [#parse]; null for data parallelism alone
  /// @param chunks null for as many as are usual for the schedule
  /// @throws ConfigurationException if an option is wrong
  public static Layout of(
      @Nullable String mesh,
      int zero,
      PipelineSchedule schedule,
      @Nullable Integer chunks,
      boolean sequenceParallel) {
    List<Mesh.Axis> axes = mesh == null ? List.of() : Mesh.Axis.parse(mesh);
    int wanted = chunks == null ? schedule.usualChunks() : chunks;
    return new Layout(axes, zero, schedule, wanted, sequenceParallel);
  }

  /// Returns this layout with another stage of ZeRO.
  ///
  /// @throws ConfigurationException if there is no such stage
  public Layout withZero(int other) {
    return new Layout(axes, other, schedule, chunks, sequenceParallel);
  }

  /// Returns this layout with another order of the lanes in a pipeline, and as many chunks per
  /// stage as are usual for it.
  public Layout withSchedule(PipelineSchedule other) {
    return new Layout(axes, zero, other, other.usualChunks(), sequenceParallel);
  }

  /// Returns this layout with another number of chunks of layers per stage.
  ///
  /// @throws ConfigurationException if there is none
  public Layout withChunks(int other) {
    return new Layout(axes, zero, schedule, other, sequenceParallel);
  }

  /// Returns this layout with sequence parallelism or without.
  public Layout withSequenceParallel(boolean other) {
    return new Layout(axes, zero, schedule, chunks, other);
  }

  private static Layout plain(List<Mesh.Axis> axes) {
    return new Layout(axes, 0, PipelineSchedule.ONE_FORWARD_ONE_BACKWARD, 1, false);
  }

  /// Returns the layout as users write it; empty for data parallelism alone.
  public String words() {
    return words(axes);
  }

  private static String words(List<Mesh.Axis> axes) {
    List<String> parts = new ArrayList<>();
    axes.forEach(axis -> parts.add(axis.name() + "=" + axis.size()));
    return String.join(",", parts);
  }

  /// Returns this layout with the number of ranks on every axis.
  Layout over(int worldSize) {
    return axes.isEmpty()
        ? new Layout(
            List.of(new Mesh.Axis(DATA, worldSize)), zero, schedule, chunks, sequenceParallel)
        : this;
  }

  /// Returns how many ranks an axis has; 1 if it was not named.
  int size(String name) {
    return axes.stream()
        .filter(axis -> axis.name().equals(name))
        .mapToInt(Mesh.Axis::size)
        .findFirst()
        .orElse(1);
  }

  /// Returns how many places an axis has over a number of ranks; 1 if it was not named.
  public int size(String name, int worldSize) {
    return over(worldSize).size(name);
  }

  /// Returns the number of ranks that the axes hold; 1 for data parallelism alone. What users write
  /// may be more than any job has ranks: no more than [Integer#MAX_VALUE] is returned.
  public int places() {
    return (int) Math.min(product(), Integer.MAX_VALUE);
  }

  /// A conversion of what a `double` holds ends at the greatest `long`.
  private long product() {
    return (long) axes.stream().mapToDouble(Mesh.Axis::size).reduce(1, (a, b) -> a * b);
  }

  /// Returns whether the experts of a model can be spread so: they go to places of `ep` and `tp`
  /// whole. A model without has no use for `ep`.
  public boolean spreads(ModelShape model) {
    return model.experts() == 0
        ? size(EXPERT) == 1
        : model.experts() % (size(TENSOR) * size(EXPERT)) == 0;
  }

  /// Returns where a rank stands on an axis.
  AxisPlace place(String name, int rank) {
    int stride = 1;
    for (Mesh.Axis axis : axes.reversed()) {
      if (axis.name().equals(name)) {
        return new AxisPlace(name, axis.size(), rank / stride % axis.size());
      }
      stride *= axis.size();
    }
    return new AxisPlace(name, 1, 0);
  }

  /// Returns the ranks of one stage, which run the same programs, over the other axes.
  RankGrid stage() {
    return new RankGrid(
        stageAxes().stream().map(axis -> new RankGrid.Axis(axis.name(), axis.size())).toList());
  }

  /// Returns a rank's number among those of its stage.
  int placeInStage(int rank) {
    int place = 0;
    for (Mesh.Axis axis : stageAxes()) {
      place = place * axis.size() + place(axis.name(), rank).rank();
    }
    return place;
  }

  private List<Mesh.Axis> stageAxes() {
    return axes.stream().filter(axis -> !axis.name().equals(PIPELINE)).toList();
  }

  /// Returns the rank that stands at these places.
  ///
  /// @param wanted place by axis; 0 on axes that are not named
  int rankAt(Map<String, Integer> wanted) {
    int rank = 0;
    for (Mesh.Axis axis : axes) {
      rank = rank * axis.size() + wanted.getOrDefault(axis.name(), 0);
    }
    return rank;
  }

  /// Checks that a recipe can be run so.
  ///
  /// @param worldSize ranks of the job
  /// @throws ConfigurationException if not; the sentence says what does not fit what
  public void check(Recipe recipe, int worldSize) {
    Layout whole = over(worldSize);
    long places = whole.product();
    if (places != worldSize) {
      throw refusal(
          "the mesh does not hold the job's ranks: --mesh %s, places %d, ranks %d (sizes multiply to the number of ranks)"
              .formatted(words(), places, worldSize));
    }
    int lanes = recipe.batch().lanes();
    int dp = whole.size(DATA);
    if (dp > lanes) {
      throw OptionCheck.refusal(
          "--lanes",
          lanes,
          whole.axes.size() == 1
              ? "there are more ranks than lanes: --lanes %d, ranks %d (start at most %d ranks)"
                  .formatted(lanes, dp, lanes)
              : "there are more places on dp than lanes: --lanes %d, --mesh %s (dp at most %d)"
                  .formatted(lanes, words(), lanes));
    }
    if (whole.size(TENSOR) > 1) {
      checkTensor(recipe, whole.size(TENSOR));
    }
    checkExperts(recipe.model());
    checkPipeline(recipe, whole);
    checkTokens(recipe, whole);
    boolean isCut = whole.size(TENSOR) > 1 || whole.size(EXPERT) > 1 || whole.size(PIPELINE) > 1;
    if (isCut || (zero > 0 && dp > 1)) {
      requireBlocks(recipe.model().splitExtents(), recipe.blocks().tensor(), whole.size(TENSOR));
    }
  }

  private void checkTensor(Recipe recipe, int tp) {
    int blocks = recipe.blocks().tensor();
    if (blocks % tp != 0) {
      throw refusal(
          "tp does not divide the tensor blocks: --mesh %s, --tensor-blocks %d (choose a divisor)"
              .formatted(words(), blocks));
    }
    if (!hasSubtrees(blocks, tp)) {
      throw refusal(
          "the tensor blocks of a rank are no subtree of the sum: --mesh %s, --tensor-blocks %d (choose a power of two)"
              .formatted(words(), blocks));
    }
    for (ModelShape.Extent heads : recipe.model().splitHeads()) {
      if (heads.size() % tp != 0) {
        throw refusal(
            "tp does not divide the heads: --mesh %s, %s %d (choose a divisor)"
                .formatted(words(), heads.option(), heads.size()));
      }
    }
  }

  private void checkExperts(ModelShape model) {
    if (spreads(model)) {
      return;
    }
    throw model.experts() == 0
        ? refusal(
            "the model has no experts: --mesh %s, model %s (leave ep out)"
                .formatted(words(), model.family()))
        : refusal(
            "places of ep and tp do not divide the experts, which go to them whole: --mesh %s, --experts %d (choose a divisor)"
                .formatted(words(), model.experts()));
  }

  /// Checks that every rank has whole blocks of positions.
  private void checkTokens(Recipe recipe, Layout whole) {
    int cp = whole.size(CONTEXT);
    int tp = sequenceParallel ? whole.size(TENSOR) : 1;
    int ep = sequenceParallel ? whole.size(EXPERT) : 1;
    if (sequenceParallel && tp == 1 && ep == 1) {
      throw OptionCheck.refusal(
          "--sequence-parallel",
          true,
          "sequence parallelism is part of tensor or expert parallelism: --sequence-parallel, --mesh %s (name tp or ep, or leave it out)"
              .formatted(words()));
    }
    if (ep > 1 && cp > 1) {
      throw OptionCheck.refusal(
          "--sequence-parallel",
          true,
          "ranks of ep share out positions, or those of cp do: --sequence-parallel, --mesh %s (leave one out)"
              .formatted(words()));
    }
    int ranks = cp * ep * tp;
    if (ranks == 1) {
      return;
    }
    int blocks = recipe.blocks().tokens();
    String given = "--mesh " + words() + (sequenceParallel ? " --sequence-parallel" : "");
    if (blocks % ranks != 0) {
      throw refusal(
          "ranks that share the positions do not divide the token blocks: %s, ranks %d, --token-blocks %d (start the run with --token-blocks %d or a multiple: it is part of the recipe, with bits of its own)"
              .formatted(given, ranks, blocks, ranks));
    }
    boolean areSubtrees = hasSubtrees(blocks, cp * ep) && hasSubtrees(blocks / (cp * ep), tp);
    if (!areSubtrees) {
      throw refusal(
          "the token blocks of a rank are no subtree of the sum: %s, --token-blocks %d (choose a power of two)"
              .formatted(given, blocks));
    }
    int context = recipe.model().context();
    if (context % blocks != 0) {
      throw refusal(
          "the layout needs equal token blocks: %s, --context %d, --token-blocks %d (choose a multiple)"
              .formatted(given, context, blocks));
    }
  }

  private static boolean hasSubtrees(int blocks, int ranks) {
    return LaneSplit.contiguous(blocks, ranks).isOneSubtreePerRank();
  }

  private void checkPipeline(Recipe recipe, Layout whole) {
    int pp = whole.size(PIPELINE);
    boolean isInterleaved = schedule == PipelineSchedule.INTERLEAVED;
    if (isInterleaved && pp == 1) {
      throw OptionCheck.refusal(
          "--schedule",
          schedule.label(),
          "one stage has nobody to take turns with: --schedule %s, --mesh %s (name pp, or leave --schedule out)"
              .formatted(schedule.label(), whole.words()));
    }
    if (isInterleaved != chunks > 1) {
      throw OptionCheck.refusal(
          "--chunks",
          chunks,
          isInterleaved
              ? "interleaved stages hold several chunks: --chunks %d (2 or more, or another --schedule)"
                  .formatted(chunks)
              : "stages hold one chunk under this schedule: --schedule %s, --chunks %d (take --schedule interleaved, or leave --chunks out)"
                  .formatted(schedule.label(), chunks));
    }
    int layers = recipe.model().layers();
    if ((long) pp * chunks > layers && pp > 1) {
      throw refusal(
          isInterleaved
              ? "there are more chunks than layers: --mesh %s, --chunks %d, --layers %d (pp times chunks at most %d)"
                  .formatted(words(), chunks, layers, layers)
              : "there are more stages than layers: --mesh %s, --layers %d (pp at most %d)"
                  .formatted(words(), layers, layers));
    }
  }

  /// Names what can be changed: the vocabulary cannot, and with given weights nothing but the
  /// blocks.
  private void requireBlocks(List<ModelShape.Extent> extents, int blocks, int tp) {
    int fitting = blocks;
    for (ModelShape.Extent extent : extents) {
      fitting = gcd(fitting, extent.size());
    }
    for (ModelShape.Extent extent : extents) {
      if (extent.size() % blocks != 0) {
        String given = axes.isEmpty() ? "--zero " + zero : "--mesh " + words();
        String leaveOut = fitting % tp == 0 ? "" : "leave tp out and ";
        throw refusal(
            "the layout needs equal tensor blocks: %s, %s %d, --tensor-blocks %d (%sstart the run with --tensor-blocks %d: it is part of the recipe, with bits of its own%s)"
                .formatted(
                    given,
                    extent.option(),
                    extent.size(),
                    blocks,
                    leaveOut,
                    fitting,
                    extent.option().startsWith("--") ? "; or choose a multiple" : ""));
      }
    }
  }

  private static int gcd(int a, int b) {
    return b == 0 ? a : gcd(b, a % b);
  }

  private ConfigurationException refusal(String sentence) {
    return new ConfigurationException("--mesh", words(), sentence);
  }
}
