package dev.lockstep.collective;

import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.execute.Bindings;
import dev.lockstep.collective.execute.CallSite;
import dev.lockstep.collective.execute.Deadlines;
import dev.lockstep.collective.execute.Disagreement;
import dev.lockstep.collective.execute.Ending;
import dev.lockstep.collective.execute.Endpoint;
import dev.lockstep.collective.execute.Program;
import dev.lockstep.collective.execute.ProgramCompiler;
import dev.lockstep.collective.execute.Progress;
import dev.lockstep.collective.plan.Candidate;
import dev.lockstep.collective.plan.Planner;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.JoinTree;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.Space;
import dev.lockstep.collective.schedule.Step;
import dev.lockstep.failure.CollectiveException;
import dev.lockstep.failure.CollectiveMismatchException;
import dev.lockstep.failure.CollectiveTimeoutException;
import dev.lockstep.failure.LockstepException;
import dev.lockstep.failure.Particulars.Call;
import dev.lockstep.failure.Particulars.Mismatch;
import dev.lockstep.failure.TransportException;
import dev.lockstep.job.FailureRecord;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobFailedException;
import dev.lockstep.memory.Scope;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.transport.PeerAccess;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/// Makes prepared collectives: every rank chooses the schedule, tells the others what it prepares
/// and where its memory is, checks that all prepare the same, and binds its steps. What goes wrong
/// once the others were told ends the communicator: they go on with what this rank cannot.
final class Preparation {
  /// What this rank prepares.
  ///
  /// @param mine what it tells the others
  /// @param deadline by when all must have come
  /// @param start when its clock started
  private record Attempt(Schedule schedule, Offer mine, Duration deadline, long start) {
    String op() {
      return schedule.request().kind().label();
    }
  }

  private final Job job;
  private final Endpoint endpoint;
  private final Progress progress;
  private final Agreement agreement;
  private final Planner planner;
  private long preparations;

  Preparation(Job job, Endpoint endpoint, Progress progress, Agreement agreement, Planner planner) {
    this.job = job;
    this.endpoint = endpoint;
    this.progress = progress;
    this.agreement = agreement;
    this.planner = planner;
  }

  /// Prepares a collective together with the other ranks; blocks until all do.
  ///
  /// @param deadline by when all ranks must have come, and of each run
  /// @throws CollectiveMismatchException if another rank prepares another collective
  /// @throws CollectiveTimeoutException if a rank has not come
  Prepared prepare(
      CollectiveRequest request, List<Tensor> inputs, @Nullable Tensor output, Duration deadline) {
    TensorChecks.check(request, endpoint.rank(), progress.nextSequence(), inputs, output);
    Candidate choice = planner.choose(request);
    progress.standing().announcePast();
    return prepare(choice, inputs, output, deadline);
  }

  /// As [#prepare(CollectiveRequest, List, Tensor, Duration)], of what this rank calls next. Ranks
  /// that have prepared what they call are inside it already: one that waits there for this one
  /// learns what this one calls.
  Prepared prepareNext(
      CollectiveRequest request, List<Tensor> inputs, @Nullable Tensor output, Duration deadline) {
    TensorChecks.check(request, endpoint.rank(), progress.nextSequence(), inputs, output);
    Candidate choice = planner.choose(request);
    Schedule schedule = Objects.requireNonNull(choice.schedule(), "refused");
    if (endpoint.ranks() > 1) {
      String callSite = CallSite.here();
      Offer mine = new Offer(schedule, endpoint.communicator(), callSite, Map.of());
      Attempt attempt = new Attempt(schedule, mine, deadline, System.nanoTime());
      try {
        progress.standing().announce(mine.fingerprint(), mine.words(), callSite);
      } catch (JobFailedException failed) {
        CollectiveException end = ended(attempt, failed);
        progress.abort(end, mine.description());
        throw end;
      }
    }
    return prepare(choice, inputs, output, deadline);
  }

  /// As [#prepare(CollectiveRequest, List, Tensor, Duration)], by an algorithm of the caller's.
  ///
  /// @throws IllegalArgumentException if it cannot do what is asked
  Prepared prepare(
      CollectiveRequest request,
      Algorithm algorithm,
      List<Tensor> inputs,
      @Nullable Tensor output,
      Duration deadline) {
    TensorChecks.check(request, endpoint.rank(), progress.nextSequence(), inputs, output);
    Candidate choice = planner.by(algorithm, request);
    progress.standing().announcePast();
    return prepare(choice, inputs, output, deadline);
  }

  /// What is prepared together with others.
  ///
  /// @param schedule known to be right
  /// @param inputs tensors that fit it
  record Part(
      Schedule schedule, OptionalDouble predicted, List<Tensor> inputs, @Nullable Tensor output) {}

  /// What becomes of a part on this rank.
  private record Draft(Part part, Attempt attempt, Memory memory, List<Prepared.Mapped> mapped) {}

  private Prepared prepare(
      Candidate choice, List<Tensor> inputs, @Nullable Tensor output, Duration deadline) {
    Schedule schedule = Objects.requireNonNull(choice.schedule(), "refused");
    Part part = new Part(schedule, choice.nanos(), inputs, output);
    return prepare(List.of(part), deadline).getFirst();
  }

  /// As [#prepare(CollectiveRequest, List, Tensor, Duration)], of collectives of which the ranks
  /// tell each other at once; all the same in the same order.
  List<Prepared> prepare(List<Part> parts, Duration deadline) {
    String callSite = CallSite.here();
    List<Draft> drafts = new ArrayList<>();
    Scope made = new Scope(); // closed where it comes to nothing
    try {
      parts.forEach(part -> drafts.add(draft(part, callSite, deadline, made)));
    } catch (RuntimeException | Error failure) {
      Scope.closeAfter(failure, made::close);
      throw failure;
    }
    Draft first = drafts.getFirst();
    try {
      List<Program> programs = agreeAndBind(drafts, made);
      List<Prepared> prepared = new ArrayList<>();
      for (int i = 0; i < drafts.size(); i++) {
        Draft draft = drafts.get(i);
        prepared.add(
            new Prepared(
                progress,
                draft.part().schedule(),
                draft.part().predicted(),
                programs.get(i),
                draft.memory(),
                draft.mapped(),
                callSite,
                deadline.toNanos()));
      }
      return prepared;
    } catch (RuntimeException | Error failure) {
      if (endpoint.ranks() > 1) {
        String doing = first.attempt().mine().description();
        Scope.closeAfter(failure, () -> progress.abort(failure, doing)); // the others hear it first
      }
      Scope.closeAfter(failure, made::close);
      throw failure;
    }
  }

  private Draft draft(Part part, String callSite, Duration deadline, Scope made) {
    Schedule schedule = part.schedule();
    Optional<PeerAccess> access =
        touchesPeers(schedule.steps(endpoint.rank())) ? endpoint.access() : Optional.empty();
    Memory memory =
        made.own(
            Memory.of(job, endpoint.rank(), schedule, part.inputs(), part.output(), access),
            Memory::close);
    List<Prepared.Mapped> mapped = made.own(new ArrayList<>(), Prepared.Mapped::forgetAll);
    Offer mine = new Offer(schedule, endpoint.communicator(), callSite, memory.descriptors());
    Attempt attempt = new Attempt(schedule, mine, deadline, System.nanoTime());
    return new Draft(part, attempt, memory, mapped);
  }

  /// Returns a program for each draft.
  ///
  /// @param made owns them
  private List<Program> agreeAndBind(List<Draft> drafts, Scope made) {
    List<Program> programs = new ArrayList<>();
    Attempt first = drafts.getFirst().attempt();
    try {
      List<List<Offer>> offers = exchange(drafts);
      for (int i = 0; i < drafts.size(); i++) {
        Draft draft = drafts.get(i);
        Attempt attempt = draft.attempt();
        Bindings bindings =
            bindings(attempt.schedule(), draft.memory(), offers.get(i), draft.mapped());
        Duration left = Deadlines.left(attempt.deadline(), attempt.start());
        programs.add(
            made.own(
                ProgramCompiler.compile(attempt.schedule(), bindings, endpoint, left),
                Program::close));
      }
      return programs;
    } catch (JobFailedException failed) {
      throw ended(first, failed);
    } catch (CollectiveTimeoutException late) {
      throw timedOut(first, late.missingRanks(), late);
    } catch (TransportException broken) {
      Optional<FailureRecord> word = progress.awaitWord();
      if (word.isEmpty()) {
        throw broken;
      }
      CollectiveException end = ended(first, new JobFailedException(first.op(), word.get()));
      end.addSuppressed(broken);
      throw end;
    }
  }

  private Bindings bindings(
      Schedule schedule, Memory memory, List<Offer> offers, List<Prepared.Mapped> mapped) {
    Map<Integer, Map<Space, MemorySegment>> opened = new HashMap<>();
    boolean writes = schedule.steps(endpoint.rank()).stream().anyMatch(Step::writesPeers);
    return Bindings.of(
        memory.spaces(),
        (peer, space) ->
            opened
                .computeIfAbsent(peer, _ -> new HashMap<>())
                .computeIfAbsent(
                    space,
                    wanted ->
                        open(
                            peer,
                            wanted,
                            writes && isResult(schedule.request(), wanted),
                            offers.get(peer),
                            mapped)));
  }

  /// Returns every rank's offers, draft by draft.
  private List<List<Offer>> exchange(List<Draft> drafts) {
    List<Offer> mine = drafts.stream().map(draft -> draft.attempt().mine()).toList();
    if (endpoint.ranks() == 1) {
      return mine.stream().map(List::of).toList();
    }
    Duration deadline = drafts.getFirst().attempt().deadline();
    List<List<Offer>> ranks =
        agreement.exchange("prepare/" + preparations++, Offer.encode(mine), deadline).stream()
            .map(Offer::decode)
            .toList();
    List<List<Offer>> offers = new ArrayList<>();
    for (int i = 0; i < drafts.size(); i++) {
      int number = i;
      List<Offer> each =
          ranks.stream().map(theirs -> theirs.get(Math.min(number, theirs.size() - 1))).toList();
      requireSame(drafts.get(i).attempt(), each);
      offers.add(each);
    }
    return offers;
  }

  private void requireSame(Attempt attempt, List<Offer> offers) {
    Offer mine = attempt.mine();
    for (int peer = 0; peer < offers.size(); peer++) {
      if (offers.get(peer).fingerprint() != mine.fingerprint()) {
        agreement.letOthersSee("prepare/" + preparations);
        throw mismatch(
            attempt,
            new Mismatch(
                endpoint.communicator(),
                call(job.rank(), mine),
                call(endpoint.members().jobRank(peer), offers.get(peer))));
      }
    }
  }

  /// Returns what the job's failure means for who prepares.
  private CollectiveException ended(Attempt attempt, JobFailedException failed) {
    FailureRecord record = failed.failure();
    Offer mine = attempt.mine();
    Optional<Mismatch> mismatch =
        progress.standing().disagreement(record, mine.fingerprint(), mine.description());
    if (mismatch.isPresent()) {
      return mismatch(attempt, mismatch.get());
    }
    if (record.rank() == job.rank()) {
      progress.checkUsable(attempt.op());
    }
    return new Ending(attempt.op(), mine.words(), job.rank(), progress.nextSequence())
        .of(failed, missing -> timedOut(attempt, endpoint.members().others(missing), failed));
  }

  private CollectiveTimeoutException timedOut(
      Attempt attempt, List<Integer> missing, LockstepException cause) {
    long elapsed = System.nanoTime() - attempt.start();
    return new CollectiveTimeoutException(
        attempt.op(),
        job.rank(),
        progress.nextSequence(),
        elapsed,
        attempt.deadline().toNanos(),
        missing,
        "collective timed out before all ranks had prepared it: op=%s, rank=%d, waitedMillis=%d, timeoutMillis=%d, missingRanks=%s (call the same in the same order on every rank)"
            .formatted(
                attempt.mine().words(),
                job.rank(),
                TimeUnit.NANOSECONDS.toMillis(elapsed),
                attempt.deadline().toMillis(),
                missing),
        cause);
  }

  private CollectiveMismatchException mismatch(Attempt attempt, Mismatch between) {
    return Disagreement.failure(
        between, "prepare", attempt.op(), job.rank(), progress.nextSequence(), null);
  }

  /// Returns what a rank prepares; it has no place among the collectives yet.
  private static Call call(int rank, Offer offer) {
    return new Call(rank, -1, offer.fingerprint(), offer.description());
  }

  private MemorySegment open(
      int peer, Space space, boolean writes, Offer offer, List<Prepared.Mapped> mapped) {
    byte[] descriptor = offer.memory().get(space);
    PeerAccess access = endpoint.access().orElseThrow();
    if (descriptor == null) {
      throw new IllegalStateException(
          "peer does not offer memory that the schedule touches: peer="
              + peer
              + ", space="
              + space);
    }
    int jobRank = endpoint.members().jobRank(peer);
    MemorySegment segment =
        writes ? access.openToWrite(jobRank, descriptor) : access.open(jobRank, descriptor);
    mapped.add(new Prepared.Mapped(access, jobRank, descriptor));
    return segment;
  }

  /// Returns whether a space is memory of the output: what is written is read by the same mapping.
  private static boolean isResult(CollectiveRequest request, Space space) {
    return switch (space) {
      case Space.Output _ -> true;
      case Space.Input(int index) -> index == 0 && request.inPlace();
      case Space.Scratch _ -> false;
    };
  }

  /// Returns whether a rank's steps have to do with memory that ranks share.
  private boolean touchesPeers(List<Step> steps) {
    return steps.stream()
        .anyMatch(
            step ->
                switch (step) {
                  case Step.Signal _, Step.Await _ -> true;
                  case Step.Copy copy -> copy.from().rank() != endpoint.rank();
                  case Step.Reduce(_, JoinTree tree) -> {
                    boolean[] foreign = {false};
                    tree.forEachSource(source -> foreign[0] |= source.rank() != endpoint.rank());
                    yield foreign[0];
                  }
                  case Step.Spread _, Step.Swap _ -> true;
                  case Step.Send _,
                      Step.Receive _,
                      Step.ReceiveReduce _,
                      Step.Scale _,
                      Step.Divide _ ->
                      false;
                });
  }
}
