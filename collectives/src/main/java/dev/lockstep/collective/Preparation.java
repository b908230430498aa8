package dev.lockstep.collective;

import dev.lockstep.collective.agreement.Agreement;
import dev.lockstep.collective.agreement.Offer;
import dev.lockstep.collective.agreement.PreparationEnding;
import dev.lockstep.collective.agreement.PreparationEnding.Attempt;
import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.execute.Bindings;
import dev.lockstep.collective.execute.CallSite;
import dev.lockstep.collective.execute.Deadlines;
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
import dev.lockstep.failure.TransportException;
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
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/// Makes prepared collectives: every rank chooses the schedule, tells the others what it prepares
/// and where its memory is, checks that all prepare the same, and binds its steps. What goes wrong
/// once the others were told ends the communicator: they go on with what this rank cannot.
final class Preparation {
  /// Who asks for something.
  ///
  /// @param site where in its code
  /// @param deadline by when all must have come, and of each run
  /// @param start when its clock started
  private record Caller(String site, Duration deadline, long start) {
    static Caller here(Duration deadline) {
      return new Caller(CallSite.here(), deadline, System.nanoTime());
    }
  }

  private final Job job;
  private final Endpoint endpoint;
  private final Progress progress;
  private final Agreement agreement;
  private final Planner planner;
  private final PreparationEnding ending;
  private long preparations;

  Preparation(Job job, Endpoint endpoint, Progress progress, Agreement agreement, Planner planner) {
    this.job = job;
    this.endpoint = endpoint;
    this.progress = progress;
    this.agreement = agreement;
    this.planner = planner;
    this.ending = new PreparationEnding(endpoint, progress);
  }

  /// Prepares a collective together with the other ranks; blocks until all do.
  ///
  /// @param deadline by when all ranks must have come, and of each run
  /// @throws CollectiveMismatchException if another rank prepares another collective
  /// @throws CollectiveTimeoutException if a rank has not come
  Prepared prepare(
      CollectiveRequest request, List<Tensor> inputs, @Nullable Tensor output, Duration deadline) {
    Caller caller = Caller.here(deadline);
    Part part = part(request, planner::choose, inputs, output);
    progress.standing().announcePast();
    return prepare(List.of(part), caller).getFirst();
  }

  /// As [#prepare(CollectiveRequest, List, Tensor, Duration)], of what this rank calls next. Ranks
  /// that have prepared what they call are inside it already: one that waits there for this one
  /// learns what this one calls.
  Prepared prepareNext(
      CollectiveRequest request, List<Tensor> inputs, @Nullable Tensor output, Duration deadline) {
    Caller caller = Caller.here(deadline);
    Part part = part(request, planner::choose, inputs, output);
    if (endpoint.ranks() > 1) {
      announce(part, caller);
    }
    return prepare(List.of(part), caller).getFirst();
  }

  private void announce(Part part, Caller caller) {
    Offer mine = offer(part, caller, Map.of());
    try {
      progress.standing().announce(mine.fingerprint(), mine.words(), caller.site());
    } catch (JobFailedException failed) {
      CollectiveException end = ending.ofFailure(attempt(part, caller, mine), failed);
      progress.abort(end, mine.description());
      throw end;
    }
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
    Caller caller = Caller.here(deadline);
    Part part = part(request, asks -> planner.by(algorithm, asks), inputs, output);
    progress.standing().announcePast();
    return prepare(List.of(part), caller).getFirst();
  }

  /// What is prepared together with others.
  ///
  /// @param schedule known to be right
  /// @param inputs tensors that fit it
  record Part(
      Schedule schedule, OptionalDouble predicted, List<Tensor> inputs, @Nullable Tensor output) {}

  /// What becomes of a part on this rank.
  private record Draft(Part part, Attempt attempt, Memory memory, List<Prepared.Mapped> mapped) {}

  private Part part(
      CollectiveRequest request,
      Function<CollectiveRequest, Candidate> choosing,
      List<Tensor> inputs,
      @Nullable Tensor output) {
    TensorChecks.check(request, endpoint.rank(), progress.nextSequence(), inputs, output);
    Candidate choice = choosing.apply(request);
    Schedule schedule = Objects.requireNonNull(choice.schedule(), "refused");
    return new Part(schedule, choice.nanos(), inputs, output);
  }

  private Offer offer(Part part, Caller caller, Map<Space, byte[]> memory) {
    return new Offer(part.schedule(), endpoint.communicator(), caller.site(), memory);
  }

  private static Attempt attempt(Part part, Caller caller, Offer mine) {
    String op = part.schedule().request().kind().label();
    return new Attempt(op, mine, caller.deadline(), caller.start());
  }

  /// As [#prepare(CollectiveRequest, List, Tensor, Duration)], of collectives of which the ranks
  /// tell each other at once; all the same in the same order.
  List<Prepared> prepare(List<Part> parts, Duration deadline) {
    return prepare(parts, Caller.here(deadline));
  }

  private List<Prepared> prepare(List<Part> parts, Caller caller) {
    List<Draft> drafts = new ArrayList<>();
    Scope made = new Scope(); // closed where it comes to nothing
    try {
      parts.forEach(part -> drafts.add(draft(part, caller, made)));
    } catch (RuntimeException | Error failure) {
      Scope.afterFailure(failure, made::close);
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
                caller.site(),
                caller.deadline().toNanos()));
      }
      return prepared;
    } catch (RuntimeException | Error failure) {
      if (endpoint.ranks() > 1) {
        String doing = first.attempt().mine().description();
        Scope.afterFailure(
            failure, () -> progress.abort(failure, doing)); // the others hear it first
      }
      Scope.afterFailure(failure, made::close);
      throw failure;
    }
  }

  private Draft draft(Part part, Caller caller, Scope made) {
    Schedule schedule = part.schedule();
    Optional<PeerAccess> access =
        touchesPeers(schedule.steps(endpoint.rank())) ? endpoint.access() : Optional.empty();
    Memory memory =
        made.own(
            Memory.of(job, endpoint.rank(), schedule, part.inputs(), part.output(), access),
            Memory::close);
    List<Prepared.Mapped> mapped = made.own(new ArrayList<>(), Prepared.Mapped::forgetAll);
    Offer mine = offer(part, caller, memory.descriptors());
    return new Draft(part, attempt(part, caller, mine), memory, mapped);
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
        Schedule schedule = draft.part().schedule();
        Bindings bindings = bindings(schedule, draft.memory(), offers.get(i), draft.mapped());
        programs.add(
            made.own(
                ProgramCompiler.compile(schedule, bindings, endpoint, left(first)),
                Program::close));
      }
      return programs;
    } catch (JobFailedException failed) {
      throw ending.ofFailure(first, failed);
    } catch (CollectiveTimeoutException late) {
      throw ending.late(first, late.missingRanks(), late);
    } catch (TransportException broken) {
      throw ending.ofBroken(first, broken);
    }
  }

  private static Duration left(Attempt attempt) {
    return Deadlines.left(attempt.deadline(), attempt.start());
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
    Duration left = left(drafts.getFirst().attempt());
    List<List<Offer>> ranks =
        agreement.exchange("prepare/" + preparations++, Offer.encode(mine), left).stream()
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
        throw ending.mismatched(attempt, peer, offers.get(peer));
      }
    }
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
