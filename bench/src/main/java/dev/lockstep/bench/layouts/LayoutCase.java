package dev.lockstep.bench.layouts;

import dev.lockstep.train.Layout;
import dev.lockstep.train.TrainerOptions;
import dev.lockstep.train.model.ModelShape;
import dev.lockstep.train.model.Recompute;
import dev.lockstep.train.pipeline.PipelineSchedule;
import java.util.ArrayList;
import java.util.List;

/// One way to run a recipe.
///
/// @param parts layouts, one after another: where there are two, a run is stopped half way and
///   resumed under the second
/// @param transport what ranks talk over
/// @param threads compute threads of a rank
/// @param recompute what is computed again on the way back
public record LayoutCase(List<Layout> parts, String transport, int threads, Recompute recompute) {
  private static final int MOST_RANKS = 8;
  private static final long SMALL_BUCKET_BYTES = 64 << 10;

  /// Copies the list.
  public LayoutCase {
    parts = List.copyOf(parts);
  }

  private static LayoutCase of(Layout layout, String transport) {
    return new LayoutCase(List.of(layout), transport, 1, Recompute.NONE);
  }

  private static Layout layout(String mesh, int zero) {
    return Layout.parse(mesh).withZero(zero);
  }

  private static LayoutCase resumed(Layout first, Layout second) {
    return new LayoutCase(List.of(first, second), "in-process", 1, Recompute.NONE);
  }

  /// Returns a few that differ in every respect.
  public static List<LayoutCase> few() {
    return List.of(
        of(layout("dp=1", 0), "in-process"),
        of(layout("dp=3", 3), "shm"),
        of(layout("tp=2", 0), "in-process"),
        new LayoutCase(List.of(layout("tp=2,dp=2", 1)), "in-process", 2, Recompute.BLOCK),
        of(layout("pp=2,dp=2", 2), "shm"),
        of(sequence("cp=2,tp=2", 0), "in-process"),
        of(layout("ep=2,dp=2", 1), "shm"),
        resumed(layout("dp=2", 1), layout("tp=4", 0)));
  }

  private static Layout sequence(String mesh, int zero) {
    return layout(mesh, zero).withSequenceParallel(true);
  }

  private static Layout gpipe(String mesh) {
    return layout(mesh, 0).withSchedule(PipelineSchedule.GPIPE);
  }

  private static Layout interleaved(String mesh, int zero) {
    return layout(mesh, zero).withSchedule(PipelineSchedule.INTERLEAVED);
  }

  /// Returns all: every mesh of up to 8 ranks with `dp` up to 4 and `tp` 1, 2 or 4, each stage of
  /// ZeRO, two transports, threads, recomputation, two stages under each schedule, positions spread
  /// over `cp` and over `tp`, experts spread over `ep`, and runs that are resumed under another
  /// layout.
  public static List<LayoutCase> all() {
    List<LayoutCase> cases = new ArrayList<>();
    for (int dp = 1; dp <= 4; dp++) {
      for (int tp : new int[] {1, 2, 4}) {
        for (int zero = 0; zero <= (dp > 1 ? 3 : 0) && dp * tp <= MOST_RANKS; zero++) {
          Layout layout = layout("dp=%d,tp=%d".formatted(dp, tp), zero);
          cases.add(of(layout, "in-process"));
          if (dp * tp > 1) {
            cases.add(of(layout, "shm"));
          }
        }
      }
    }
    for (Recompute recompute : Recompute.values()) {
      for (String mesh : List.of("dp=1", "dp=2", "tp=2", "tp=2,dp=2")) {
        cases.add(new LayoutCase(List.of(layout(mesh, 0)), "in-process", 2, recompute));
      }
    }
    for (String mesh : List.of("pp=2", "dp=2,pp=2", "pp=2,dp=3", "tp=2,pp=2", "dp=2,tp=2,pp=2")) {
      cases.add(of(layout(mesh, 0), "in-process"));
      cases.add(of(gpipe(mesh), "shm"));
    }
    for (int zero = 1; zero <= 3; zero++) {
      cases.add(of(layout("pp=2,dp=2", zero), "in-process"));
      cases.add(of(layout("dp=3,pp=2", zero), "shm"));
      cases.add(of(layout("dp=2,tp=2,pp=2", zero), "in-process"));
    }
    cases.add(of(interleaved("pp=2", 0), "in-process"));
    cases.add(of(interleaved("tp=2,pp=2", 0), "shm"));
    cases.add(of(interleaved("pp=2,cp=2", 0), "in-process"));
    cases.add(of(interleaved("ep=2,pp=2,dp=2", 3), "in-process"));
    for (int zero = 0; zero <= 3; zero++) {
      cases.add(of(interleaved("dp=2,pp=2", zero), zero % 2 == 0 ? "in-process" : "shm"));
    }
    cases.add(new LayoutCase(List.of(layout("pp=2", 0)), "in-process", 2, Recompute.BLOCK));
    cases.add(of(sequence("tp=2", 0), "in-process"));
    cases.add(of(sequence("tp=4", 0), "shm"));
    cases.add(of(sequence("dp=2,tp=2", 1), "in-process"));
    cases.add(of(sequence("tp=2,pp=2", 0), "in-process"));
    cases.add(of(layout("cp=2", 0), "shm"));
    cases.add(of(layout("cp=4", 0), "in-process"));
    cases.add(of(layout("dp=2,cp=2", 3), "in-process"));
    cases.add(of(layout("dp=3,cp=2", 0), "in-process"));
    cases.add(of(layout("pp=2,cp=2", 0), "in-process"));
    for (Recompute recompute : Recompute.values()) {
      Layout both = sequence("cp=2,tp=2", 0);
      cases.add(new LayoutCase(List.of(both), "in-process", 1, recompute));
    }
    cases.addAll(ofExperts());
    cases.add(resumed(layout("cp=2", 0), sequence("tp=2", 0)));
    cases.add(resumed(layout("pp=2", 0), layout("dp=3", 1)));
    cases.add(resumed(layout("tp=2", 0), gpipe("dp=2,pp=2")));
    cases.add(resumed(interleaved("pp=2,dp=2", 3), layout("pp=4", 0)));
    cases.add(resumed(layout("pp=2", 0), interleaved("pp=2", 0)));
    cases.add(resumed(layout("dp=1", 0), layout("dp=2,tp=2", 2)));
    cases.add(resumed(layout("dp=2,tp=2", 1), layout("dp=3", 0)));
    cases.add(resumed(layout("dp=4", 3), layout("tp=4", 0)));
    cases.add(resumed(layout("tp=2", 0), layout("dp=1", 0)));
    return List.copyOf(cases);
  }

  private static List<LayoutCase> ofExperts() {
    List<LayoutCase> cases = new ArrayList<>();
    for (String mesh : List.of("ep=2", "ep=4", "tp=2,ep=2", "ep=2,tp=2", "pp=2,ep=2")) {
      cases.add(of(layout(mesh, 0), "in-process"));
      cases.add(of(layout(mesh, 0), "shm"));
    }
    for (int zero = 0; zero <= 3; zero++) {
      for (String mesh : List.of("dp=2,ep=2", "ep=2,dp=3", "dp=2,tp=2,ep=2")) {
        cases.add(of(layout(mesh, zero), "in-process"));
      }
    }
    for (Recompute recompute : Recompute.values()) {
      cases.add(new LayoutCase(List.of(layout("ep=2", 0)), "in-process", 2, recompute));
    }
    cases.add(of(sequence("ep=2", 0), "shm"));
    cases.add(of(sequence("ep=4", 0), "in-process"));
    cases.add(of(sequence("dp=2,ep=2", 3), "in-process"));
    cases.add(of(sequence("pp=2,ep=2", 0), "in-process"));
    cases.add(of(sequence("ep=2,tp=2", 0), "in-process"));
    cases.add(of(layout("cp=2,ep=2", 0), "in-process"));
    cases.add(resumed(layout("ep=2", 0), layout("dp=3", 2)));
    cases.add(resumed(layout("dp=2", 3), layout("tp=2,ep=2", 0)));
    cases.add(resumed(layout("dp=2,ep=2", 3), layout("ep=4", 0)));
    return cases;
  }

  private static boolean hasBuckets(Layout layout) {
    return layout.size(Layout.DATA, layout.places()) > 1
        && layout.size(Layout.PIPELINE, layout.places()) == 1
        && layout.zero() == 0;
  }

  /// Returns whether a model can be run so.
  public boolean fits(ModelShape model) {
    return parts.stream().allMatch(part -> part.spreads(model));
  }

  /// Returns the options of a part.
  TrainerOptions options(Layout layout) {
    TrainerOptions options =
        TrainerOptions.defaults().withThreads(threads).withRecompute(recompute).withLayout(layout);
    if (layout.places() == 1) {
      return options;
    }
    return options.withTransport(transport).withBucketBytes(bucketBytes(options));
  }

  /// Through shared memory gradients are reduced in many buckets, so that both ways are seen.
  private long bucketBytes(TrainerOptions options) {
    return transport.equals("shm") ? SMALL_BUCKET_BYTES : options.bucketBytes();
  }

  /// Returns the case in words: `dp=2,tp=2 --zero 1, in-process, 1 thread`.
  public String words() {
    List<String> words = new ArrayList<>();
    for (Layout layout : parts) {
      String zero = layout.zero() > 0 ? " --zero " + layout.zero() : "";
      boolean isStaged = layout.size(Layout.PIPELINE, layout.places()) > 1;
      String schedule = isStaged ? " --schedule " + layout.schedule().label() : "";
      schedule += layout.chunks() > 1 ? " --chunks " + layout.chunks() : "";
      String sequence = layout.sequenceParallel() ? " --sequence-parallel" : "";
      words.add(layout.words() + sequence + zero + schedule);
    }
    String text = String.join(" then ", words);
    boolean talks = parts.stream().anyMatch(layout -> layout.places() > 1);
    text += talks ? ", " + transport : "";
    boolean buckets = parts.stream().anyMatch(LayoutCase::hasBuckets);
    text += talks && buckets && transport.equals("shm") ? ", buckets of 64 KiB" : "";
    text += threads > 1 ? ", " + threads + " threads" : "";
    return recompute == Recompute.NONE ? text : text + ", recompute " + recompute.label();
  }
}
