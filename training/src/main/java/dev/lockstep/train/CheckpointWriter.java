package dev.lockstep.train;

import dev.lockstep.failure.CheckpointException;
import dev.lockstep.interrupt.Uninterrupted;
import dev.lockstep.job.Job;
import dev.lockstep.memory.MemoryPool.Charge;
import dev.lockstep.memory.Scope;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.checkpoint.CheckpointFiles;
import dev.lockstep.train.checkpoint.CheckpointFolder;
import dev.lockstep.train.checkpoint.CheckpointFolder.Succession;
import dev.lockstep.train.checkpoint.SafetensorsPlan;
import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.options.FileTrouble;
import dev.lockstep.train.parallel.Exchange;
import dev.lockstep.train.placement.AxisPlace;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.FutureTask;
import java.util.function.Function;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/// Writes checkpoints while training goes on: each rank copies what it writes (Note [who writes
/// what of a checkpoint]) and a thread of its own brings the copy to its places in the files. Rank
/// 0 writes what no tensor is, waits for the others, sums the files up and puts the folder in its
/// place. One checkpoint is written at a time, so that a rank holds one copy.
///
/// Confined to the trainer's thread.
final class CheckpointWriter implements AutoCloseable {
  /// Longest file that most file systems and tools like; larger models get several.
  static final long FILE_BYTES = 4L << 30;

  private final Job job;
  private final RankCompute compute;
  private final List<ModelState> states;
  private final List<SafetensorsPlan> files;
  private final CheckpointFiles disk;
  private final List<String> hosts;
  private final String keys;
  private final String id;
  private @Nullable Share share;
  private @Nullable Running running;
  private long saves;
  private @Nullable Owed owed;

  /// Plans the files.
  ///
  /// @param model all parameters of the model
  CheckpointWriter(
      Job job, RankCompute compute, TrainedState state, List<Parameter> model, Output output) {
    this.job = job;
    this.compute = compute;
    this.states = List.of(state.parameters(), state.moments());
    this.disk = output.disk;
    this.hosts = output.hosts.apply(job);
    // Ranks make their writers in the same order.
    long made = job.worldSize() == 1 ? 1 : job.store().add("checkpoint/writers", 1);
    this.keys = "checkpoint/" + (made - 1) / job.worldSize() + "/";
    // No other job's: numbers of ranks, writers and writings are the same in all of them.
    this.id =
        "host=%s, pid=%d, job=%s, writing="
            .formatted(job.host(), ProcessHandle.current().pid(), UUID.randomUUID());
    Map<String, Shape> weights = new LinkedHashMap<>();
    Map<String, Shape> moments = new LinkedHashMap<>();
    for (String prefix : List.of(StepGraph.FIRST_MOMENT, StepGraph.SECOND_MOMENT)) {
      model.forEach(p -> moments.put(prefix + p.name(), p.shape()));
    }
    model.forEach(p -> weights.put(p.name(), p.shape()));
    // The key that transformers asks for before it loads a file.
    Map<String, String> metadata = Map.of("format", "pt");
    this.files =
        List.of(
            SafetensorsPlan.of(SavedRun.WEIGHTS, weights, output.fileBytes, metadata),
            SafetensorsPlan.of(SavedRun.OPTIMIZER, moments, output.fileBytes, Map.of()));
  }

  /// Where and in what pieces files go.
  ///
  /// @param disk how they are written
  /// @param fileBytes most bytes of tensors in one
  /// @param hosts for each rank of a job the name of its host: those of one see the same disk
  record Output(CheckpointFiles disk, long fileBytes, Function<Job, List<String>> hosts) {
    Output(CheckpointFiles disk, long fileBytes) {
      this(disk, fileBytes, Job::hosts);
    }

    static Output standard() {
      return new Output(CheckpointFiles.disk(), FILE_BYTES);
    }
  }

  /// A checkpoint of which not all ranks have heard how it went.
  ///
  /// @param overheard what the writers say to each other, on a rank that does not write
  private record Owed(Path folder, @Nullable WritersTalk overheard) {}

  /// What is written beside the tensors.
  ///
  /// @param folder the checkpoint's folder
  /// @param texts files of text by name
  /// @param keepOld how many old checkpoints stay, or [CheckpointFolder#AS_BEFORE]
  /// @param step steps done
  record Target(Path folder, Map<String, String> texts, int keepOld, long step) {}

  /// What this rank writes.
  ///
  /// @param writers the ranks that write together
  /// @param runs by state
  /// @param copies the elements, by state
  /// @param memory of the copies
  private record Share(
      List<Integer> writers, List<StateRuns> runs, List<MemorySegment> copies, Scope memory) {}

  private record Running(Path folder, FutureTask<Optional<CheckpointException>> task) {}

  /// The ranks that write together: all where they hold parts, else those that see rank 0's disk,
  /// being on its host.
  private List<Integer> writers() {
    boolean isSplit = compute.grid().holdsParts();
    return IntStream.range(0, job.worldSize())
        .filter(rank -> isSplit || hosts.get(rank).equals(hosts.getFirst()))
        .boxed()
        .toList();
  }

  /// Starts to write a checkpoint by [#writers], of which all ranks hear in [#awaitTogether], where
  /// they have been for the one before it. When this returns the state may change.
  void beginTogether(Target target) {
    begin(target, this::copied);
  }

  /// Writes a checkpoint as [#beginTogether] and waits for it as [#awaitTogether]. Where the host
  /// addresses the device's memory nothing is copied.
  ///
  /// @throws CheckpointException on every rank, if it could not be written
  void writeTogether(Target target, Exchange exchange) {
    try {
      begin(target, compute.device().info().hostAddressable() ? this::held : this::copied);
    } catch (RuntimeException | Error e) {
      Scope.afterFailure(e, () -> awaitTogether(exchange));
      throw e;
    }
    var _ = awaitTogether(exchange);
  }

  /// Starts to write a checkpoint, with the one before it done.
  ///
  /// @param shares makes of the writers what this rank writes, if it is one
  private void begin(Target target, Function<List<Integer>, Share> shares) {
    List<Integer> writers = writers();
    boolean writes = writers.contains(job.rank());
    WritersTalk talk = job.worldSize() == 1 ? WritersTalk.withNobody(job) : nextTalk(writers);
    if (writers.size() < job.worldSize()) {
      owed = new Owed(target.folder, writes ? null : talk);
    }
    if (writes) {
      start(target, made(target, writers, talk, shares), talk);
    }
  }

  /// Makes what this rank writes; where it cannot, the other writers hear of it before this throws.
  private Share made(
      Target target,
      List<Integer> writers,
      WritersTalk talk,
      Function<List<Integer>, Share> shares) {
    try {
      return shares.apply(writers);
    } catch (RuntimeException | Error e) {
      if (job.rank() == writers.getFirst()) {
        talk.sayLast(WritersTalk.OPEN, "", e);
        Scope.afterFailure(e, () -> hearOthers(target, writers, talk));
      }
      sayFailed(target, writers, talk, e);
      throw e;
    }
  }

  /// A copy: the state may change afterwards.
  private Share copied(List<Integer> writers) {
    Share mine = share(writers);
    for (int i = 0; i < states.size(); i++) {
      mine.runs.get(i).copy(compute, mine.copies.get(i));
    }
    return mine;
  }

  /// The state itself, which may not change until it is written.
  private Share held(List<Integer> writers) {
    List<StateRuns> runs = runs(writers);
    List<MemorySegment> held = runs.stream().map(StateRuns::held).toList();
    compute.stream().synchronize();
    return new Share(List.copyOf(writers), runs, held, new Scope());
  }

  private void start(Target target, Share mine, WritersTalk talk) {
    FutureTask<Optional<CheckpointException>> task =
        new FutureTask<>(() -> write(target, mine, talk));
    Thread.ofPlatform().daemon().name("checkpoint-" + job.rank()).start(task);
    running = new Running(target.folder, task);
  }

  /// Of a checkpoint that several ranks count: its writers and those that wait for them. The one
  /// before it is done, so that all have heard of the one before that.
  private WritersTalk nextTalk(List<Integer> writers) {
    long number = saves++;
    if (number >= 2 && job.rank() == 0) {
      talk(number - 2).forget(writers);
    }
    return talk(number);
  }

  private WritersTalk talk(long number) {
    return new WritersTalk(job, keys + number + "/", true);
  }

  /// Among replicas along the axes of data and positions each has its part; alone, all of it.
  private List<StateRuns> runs(List<Integer> writers) {
    boolean together = writers.size() > 1;
    boolean isSplit = compute.grid().holdsParts();
    AxisPlace context = compute.grid().context();
    int replicas = compute.ranks() * context.ranks();
    int replica = compute.rank() * context.ranks() + context.rank();
    int count = !together ? 1 : isSplit ? replicas : writers.size();
    int index = !together ? 0 : isSplit ? replica : writers.indexOf(job.rank());
    return states.stream()
        .map(state -> new StateRuns(state, compute.grid(), index, count))
        .toList();
  }

  @SuppressWarnings("MustBeClosed") // the share's memory owns arena and charge
  private Share share(List<Integer> writers) {
    Share old = share;
    if (old != null && old.writers.equals(writers)) {
      return old;
    }
    close();
    List<StateRuns> runs = runs(writers);
    long bytes = runs.stream().mapToLong(StateRuns::bytes).sum();
    Scope memory = new Scope();
    try {
      var _ = memory.own(job.memory().charge("copy for a checkpoint", bytes), Charge::close);
      Arena arena = memory.own(Arena.ofShared(), Arena::close);
      List<MemorySegment> copies =
          runs.stream().map(run -> arena.allocate(Math.max(1, run.bytes()), 64)).toList();
      Share made = new Share(List.copyOf(writers), runs, copies, memory);
      share = made;
      return made;
    } catch (RuntimeException | Error e) {
      Scope.afterFailure(e, memory::close);
      throw e;
    }
  }

  /// Returns the folder of the checkpoint that was written, if one was since the last call; does
  /// not wait.
  ///
  /// A failure is kept for [#await], to which all writers come after the same step: here each would
  /// hear of it after another.
  Optional<Path> poll() {
    Running mine = running;
    if (mine == null || !mine.task.isDone() || mine.task.state() != Future.State.SUCCESS) {
      return Optional.empty();
    }
    return mine.task.resultNow().isPresent() ? Optional.empty() : await();
  }

  /// Waits for the checkpoint that is being written, whoever interrupts that: until the end it
  /// reads memory that the caller may change or free afterwards.
  ///
  /// @return its folder; empty if none was
  /// @throws CheckpointException on every writer, if it could not be written: the old one is still
  ///   there then
  Optional<Path> await() {
    Running mine = running;
    if (mine == null) {
      return Optional.empty();
    }
    try {
      Optional<CheckpointException> failure = Uninterrupted.call(mine.task::get);
      running = null;
      if (failure.isPresent()) {
        throw new CheckpointException(mine.folder.toString(), words(failure.get()), failure.get());
      }
      return Optional.of(mine.folder);
    } catch (ExecutionException e) {
      running = null;
      if (e.getCause() instanceof Error failure) {
        throw failure;
      }
      throw e.getCause() instanceof RuntimeException failure
          ? failure
          : new IllegalStateException(e);
    }
  }

  /// Waits as [#await]; ranks that do not write wait with those that do, in the store, as these do:
  /// a disk may take longer than ranks wait in a collective. All ranks call this, between the same
  /// steps.
  ///
  /// @return the checkpoint's folder on the writers; empty if none was written, and on the others
  /// @throws CheckpointException on every rank, if it could not be written
  Optional<Path> awaitTogether(Exchange exchange) {
    Optional<Path> saved;
    try {
      saved = await();
    } catch (RuntimeException | Error mine) {
      Scope.afterFailure(mine, () -> hearTogether(exchange));
      throw mine;
    }
    Optional<CheckpointException> failure = hearTogether(exchange);
    if (failure.isPresent()) {
      throw failure.get();
    }
    return saved;
  }

  /// Where ranks did not write, all hear in a collective what these have heard of those that did.
  private Optional<CheckpointException> hearTogether(Exchange exchange) {
    Owed told = owed;
    if (told == null) {
      return Optional.empty();
    }
    String heard = told.overheard == null ? "" : told.overheard.hear(WritersTalk.END);
    owed = null;
    String refusal = RankAgreement.refusal(exchange, heard);
    return refusal.isEmpty()
        ? Optional.empty()
        : Optional.of(new CheckpointException(told.folder.toString(), refusal, null));
  }

  /// Whatever fails, the other writers hear of it: none waits for words that do not come.
  private Optional<CheckpointException> write(Target target, Share mine, WritersTalk talk) {
    boolean leads = job.rank() == mine.writers.getFirst();
    try {
      if (!leads) {
        return follow(target, mine, talk);
      }
      Optional<CheckpointException> failure = lead(target, mine, talk);
      failure.ifPresentOrElse(
          known -> talk.sayLast(WritersTalk.END, words(known), known),
          () -> talk.say(WritersTalk.END, ""));
      return failure;
    } catch (RuntimeException | Error e) {
      sayFailed(target, mine.writers, talk, e);
      throw e;
    }
  }

  private void sayFailed(
      Target target, List<Integer> writers, WritersTalk talk, Throwable failure) {
    String words = "rank " + job.rank() + " failed: " + failure;
    if (job.rank() == writers.getFirst()) {
      talk.sayLast(WritersTalk.END, words(unwritten(target, words, failure)), failure);
    } else {
      talk.sayLast("" + job.rank(), words, failure);
    }
  }

  private static CheckpointException unwritten(Target target, String words, Throwable cause) {
    return CheckpointFolder.unwritten(target.folder, new IOException(words, cause));
  }

  private static String words(CheckpointException failure) {
    return String.valueOf(failure.getMessage());
  }

  /// What the first writer does. Whatever fails, it waits until no other writes any more.
  private Optional<CheckpointException> lead(Target target, Share mine, WritersTalk talk) {
    Optional<CheckpointException> failure = Optional.empty();
    List<String> names = new ArrayList<>();
    try {
      open(target, mine, talk, names);
      writeTensors(CheckpointFolder.partial(target.folder), mine, true);
    } catch (IOException e) {
      failure = Optional.of(CheckpointFolder.unwritten(target.folder, e));
    } catch (UncheckedIOException e) {
      failure = Optional.of(CheckpointFolder.unwritten(target.folder, new IOException(e)));
    } catch (CheckpointException e) {
      failure = Optional.of(e);
    } catch (RuntimeException | Error e) {
      Scope.afterFailure(e, () -> hearOthers(target, mine.writers, talk));
      throw e;
    }
    if (failure.isPresent()) {
      Scope.afterFailure(failure.get(), () -> hearOthers(target, mine.writers, talk));
      return failure;
    }
    failure = hearOthers(target, mine.writers, talk);
    if (failure.isPresent()) {
      return failure;
    }
    try {
      Succession succession =
          new Succession(target.keepOld, SavedRun.stepOf(target.folder), target.step);
      CheckpointFolder.commit(disk, target.folder, id + talk.prefix(), names, succession);
      return Optional.empty();
    } catch (UncheckedIOException e) {
      return Optional.of(CheckpointFolder.unwritten(target.folder, new IOException(e)));
    } catch (CheckpointException e) {
      return Optional.of(e);
    }
  }

  /// Waits until no other writes any more; returns what the first of those that failed says.
  private Optional<CheckpointException> hearOthers(
      Target target, List<Integer> writers, WritersTalk talk) {
    Optional<CheckpointException> failure = Optional.empty();
    for (int rank : writers.subList(1, writers.size())) {
      String words = talk.hear("" + rank);
      if (!words.isEmpty() && failure.isEmpty()) {
        IOException cause = new IOException("rank " + rank + " says: " + words);
        failure = Optional.of(CheckpointFolder.unwritten(target.folder, cause));
      }
    }
    return failure;
  }

  /// Makes the folder, lets the others in, and writes what no tensor is.
  private void open(Target target, Share mine, WritersTalk talk, List<String> names)
      throws IOException {
    boolean together = mine.writers.size() > 1;
    String open;
    try {
      String writer = id + talk.prefix();
      open = writer + "\n" + CheckpointFolder.begin(disk, target.folder, writer);
    } catch (RuntimeException | Error e) {
      if (together) {
        talk.sayLast(WritersTalk.OPEN, "", e);
      }
      throw e;
    }
    if (together) {
      talk.say(WritersTalk.OPEN, open);
    }
    Map<String, String> texts = new LinkedHashMap<>(target.texts);
    for (SafetensorsPlan plan : files) {
      if (!plan.index().isEmpty()) {
        texts.put(plan.indexName(), plan.index());
      }
      plan.files().forEach(file -> names.add(file.name()));
    }
    Path partial = CheckpointFolder.partial(target.folder);
    for (Map.Entry<String, String> text : texts.entrySet()) {
      CheckpointFolder.write(disk, partial.resolve(text.getKey()), text.getValue());
      names.add(text.getKey());
    }
  }

  /// What another writer does.
  private Optional<CheckpointException> follow(Target target, Share mine, WritersTalk talk) {
    String words = followed(mine, talk);
    try {
      talk.say("" + job.rank(), words);
      String end = talk.hear(WritersTalk.END);
      return end.isEmpty()
          ? Optional.empty()
          : Optional.of(new CheckpointException(target.folder.toString(), end, null));
    } catch (RuntimeException unheard) {
      if (!words.isEmpty()) {
        unheard.addSuppressed(new IOException(words));
      }
      throw unheard;
    }
  }

  /// Writes this rank's elements to the folder that rank 0 names, whatever this rank calls it;
  /// returns why it could not.
  private String followed(Share mine, WritersTalk talk) {
    String open = talk.hear(WritersTalk.OPEN);
    if (open.isEmpty()) {
      return "rank 0 could not make the folder";
    }
    int line = open.indexOf('\n');
    Path partial = Path.of(open.substring(line + 1));
    try {
      if (!CheckpointFolder.isWrittenBy(partial, open.substring(0, line))) {
        return "it does not see the folder that rank 0 writes to: folder=%s (give one that all hosts share)"
            .formatted(partial);
      }
      writeTensors(partial, mine, false);
      return "";
    } catch (UncheckedIOException e) {
      return FileTrouble.words(e);
    } catch (IOException e) {
      return FileTrouble.words(e);
    }
  }

  /// Writes this rank's elements, and as the first writer headers.
  private void writeTensors(Path partial, Share mine, boolean isFirst) throws IOException {
    for (int i = 0; i < files.size(); i++) {
      TensorFilesWriter writer = new TensorFilesWriter(disk, files.get(i), partial);
      writer.write(mine.runs.get(i), mine.copies.get(i), isFirst);
    }
  }

  /// Waits for the checkpoint that is being written and frees the copy; idempotent.
  @Override
  public void close() {
    Scope memory = share == null ? new Scope() : share.memory;
    share = null;
    try (memory) {
      await();
    }
  }
}
