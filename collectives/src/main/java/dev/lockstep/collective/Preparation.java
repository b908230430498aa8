package dev.lockstep.collective;

import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.execute.Bindings;
import dev.lockstep.collective.execute.CallSite;
import dev.lockstep.collective.execute.Disagreement;
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
import dev.lockstep.failure.LockstepException;
import dev.lockstep.failure.RankLostException;
import dev.lockstep.job.FailureRecord;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobFailedException;
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
import org.jspecify.annotations.Nullable;

/// Makes prepared collectives: every rank chooses the schedule, tells the others what it prepares
/// and where its memory is, checks that all prepare the same, and binds its steps.
final class Preparation {
  private static final Duration PATIENCE = Duration.ofMillis(500);

  private final Job job;
  private final Endpoint endpoint;
  private final Progress progress;
  private final Agreement agreement;
  private final Planner planner;
  private final Duration timeout;
  private long preparations;

  Preparation(
      Job job,
      Endpoint endpoint,
      Progress progress,
      Agreement agreement,
      Planner planner,
      Duration timeout) {
    this.job = job;
    this.endpoint = endpoint;
    this.progress = progress;
    this.agreement = agreement;
    this.planner = planner;
    this.timeout = timeout;
  }

  /// Prepares a collective together with the other ranks; blocks until all do.
  ///
  /// @param deadline of each run
  /// @throws CollectiveMismatchException if another rank prepares another collective
  Prepared prepare(
      CollectiveRequest request, List<Tensor> inputs, @Nullable Tensor output, Duration deadline) {
    TensorChecks.check(request, endpoint.rank(), progress.nextSequence(), inputs, output);
    Candidate choice = planner.choose(request);
    progress.announcePast();
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
      try {
        progress.announce(mine.fingerprint(), mine.words(), callSite);
      } catch (JobFailedException failed) {
        throw ended(schedule, mine, failed);
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
    progress.announcePast();
    return prepare(choice, inputs, output, deadline);
  }

  private Prepared prepare(
      Candidate choice, List<Tensor> inputs, @Nullable Tensor output, Duration deadline) {
    Schedule schedule = Objects.requireNonNull(choice.schedule(), "refused");
    return prepare(schedule, choice.nanos(), inputs, output, deadline);
  }

  /// As [#prepare(CollectiveRequest, List, Tensor, Duration)], by a schedule that is known to be
  /// right, on tensors that fit it.
  Prepared prepare(
      Schedule schedule,
      OptionalDouble predicted,
      List<Tensor> inputs,
      @Nullable Tensor output,
      Duration deadline) {
    String callSite = CallSite.here();
    Optional<PeerAccess> access =
        touchesPeers(schedule.steps(endpoint.rank())) ? endpoint.access() : Optional.empty();
    Memory memory = Memory.of(job, endpoint.rank(), schedule, inputs, output, access);
    List<Prepared.Mapped> mapped = new ArrayList<>();
    try {
      List<Offer> offers = exchange(schedule, callSite, memory);
      Map<Integer, Map<Space, MemorySegment>> opened = new HashMap<>();
      boolean writes = schedule.steps(endpoint.rank()).stream().anyMatch(Step::writesPeers);
      Bindings bindings =
          Bindings.of(
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
      Program program = ProgramCompiler.compile(schedule, bindings, endpoint, timeout);
      return new Prepared(
          progress, schedule, predicted, program, memory, mapped, callSite, deadline.toNanos());
    } catch (RuntimeException | Error failure) {
      mapped.forEach(Prepared.Mapped::forget);
      memory.close();
      throw failure;
    }
  }

  private List<Offer> exchange(Schedule schedule, String callSite, Memory memory) {
    Offer mine = new Offer(schedule, endpoint.communicator(), callSite, memory.descriptors());
    if (endpoint.ranks() == 1) {
      return List.of(mine);
    }
    List<Offer> offers = exchange(mine, schedule).stream().map(Offer::decode).toList();
    for (int peer = 0; peer < offers.size(); peer++) {
      if (offers.get(peer).fingerprint() != mine.fingerprint()) {
        CollectiveMismatchException mismatch =
            mismatch(
                schedule,
                new Disagreement(
                    job.rank(),
                    mine.description(),
                    endpoint.members().jobRank(peer),
                    offers.get(peer).description()));
        letOthersSee();
        progress.abort(mismatch, mine.description());
        throw mismatch;
      }
    }
    return offers;
  }

  /// Waits until every rank has all offers, so that each sees for itself with whom it disagrees: a
  /// job that has failed answers no more questions.
  private void letOthersSee() {
    try {
      agreement.exchange("disagree/" + preparations, new byte[0], PATIENCE);
    } catch (LockstepException _) {
      // Who does not come learns it from the job's failure.
    }
  }

  private List<byte[]> exchange(Offer mine, Schedule schedule) {
    try {
      return agreement.exchange("prepare/" + preparations++, mine.encode(), timeout);
    } catch (JobFailedException failed) {
      throw ended(schedule, mine, failed);
    }
  }

  /// Returns what the job's failure means for who prepares.
  private CollectiveException ended(Schedule schedule, Offer mine, JobFailedException failed) {
    FailureRecord record = failed.failure();
    Optional<Disagreement> mismatch = progress.disagreement(record, mine.description());
    if (mismatch.isPresent()) {
      return mismatch(schedule, mismatch.get());
    }
    if (record.rank() == job.rank()) {
      progress.checkUsable(schedule.request().kind().label());
    }
    return new RankLostException(
        schedule.request().kind().label(),
        job.rank(),
        progress.nextSequence(),
        record.rank(),
        "rank was lost: lostRank=%d, op=%s, rank=%d, how=%s, %s"
            .formatted(record.rank(), mine.words(), job.rank(), record.kind(), record.message()),
        failed);
  }

  private CollectiveMismatchException mismatch(Schedule schedule, Disagreement between) {
    return between.failure(
        "prepare", schedule.request().kind().label(), job.rank(), progress.nextSequence(), null);
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
