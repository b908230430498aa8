package dev.lockstep.collective.execute;

import dev.lockstep.failure.CollectiveAbortedException;
import dev.lockstep.failure.CollectiveException;
import dev.lockstep.failure.CollectiveMismatchException;
import dev.lockstep.failure.CollectiveTimeoutException;
import dev.lockstep.failure.LockstepException;
import dev.lockstep.failure.Particulars.Call;
import dev.lockstep.failure.Particulars.Mismatch;
import dev.lockstep.interrupt.Pause;
import dev.lockstep.job.FailureRecord;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobFailedException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/// Sees when a collective cannot go on, and says why in a typed failure.
final class Watch {
  /// How long a broken link waits for the word of who knows better why.
  private static final Duration GRACE = Duration.ofMillis(300);

  /// How long a rank waits to learn the other side of a mismatch.
  private static final Duration EXCHANGE = Duration.ofMillis(500);

  /// From when on, and how often, a waiting rank tells what it waits for and looks for word of a
  /// mismatch.
  private static final long LONG_WAIT_NANOS = TimeUnit.MILLISECONDS.toNanos(100);

  private final Job job;
  private final Endpoint endpoint;
  private final Standing standing;
  private final LongWaits waits;
  private final Rotation rotation = new Rotation();
  private final StoreKeys keys;
  private long announced = -1;
  private long lookedFor = -1;
  private long nextLookNanos;
  private long leavingSinceNanos;
  private String activity = "";

  Watch(Job job, Endpoint endpoint, Standing standing, LongWaits waits) {
    this.waits = waits;
    this.job = job;
    this.endpoint = endpoint;
    this.standing = standing;
    this.keys = new StoreKeys(endpoint.communicator());
  }

  /// Throws if the job has failed or the deadline has passed; asks the store nothing before.
  void glance(Operation operation) {
    Optional<FailureRecord> failed = job.failure();
    if (failed.isPresent()) {
      throw ofRecord(operation, failed.get());
    }
    if (operation.elapsedNanos() > operation.timeoutNanos()) {
      announce(operation);
      throw timedOut(operation, missing(operation), null);
    }
  }

  /// As [#glance], and after a long wait tells the others of it and looks for what they say.
  void check(Operation operation) {
    glance(operation);
    long elapsed = operation.elapsedNanos();
    if (elapsed > LONG_WAIT_NANOS) {
      waitsLong(operation, elapsed);
    }
    if (elapsed > operation.timeoutNanos() / 2) {
      announce(operation);
    }
  }

  private void waitsLong(Operation operation, long elapsed) {
    if (lookedFor != operation.sequence()) {
      lookedFor = operation.sequence();
      nextLookNanos = 0;
      leavingSinceNanos = Long.MAX_VALUE;
      activity = "waiting in " + operation.description();
      waits.begin(job, activity);
      standing.announce(operation);
    }
    if (elapsed > nextLookNanos) {
      nextLookNanos = elapsed + LONG_WAIT_NANOS;
      Optional<byte[]> note = job.store().peek(keys.mismatch(endpoint.jobRank()));
      if (note.isPresent()) {
        throw mismatchedByNote(operation, note.get());
      }
      lookForOthers(operation, elapsed);
    }
  }

  /// A collective is over: this rank does not wait in it any more.
  void over(long sequence) {
    if (lookedFor == sequence && !activity.isEmpty()) {
      waits.end(job, activity);
      activity = "";
    }
  }

  /// Ranks whose collectives have no signal or link in common never hear of each other's hash, one
  /// that still prepares its call says nothing on the wire, and one that was not waited for has
  /// gone on: those that wait for long compare what all are in and have been in.
  private void lookForOthers(Operation operation, long elapsed) {
    Stands mine = standing.in(operation);
    Members members = endpoint.members();
    for (int member :
        rotation.few(operation.program().missing(), endpoint.ranks(), endpoint.rank())) {
      int peer = members.jobRank(member);
      Optional<Stands> theirs = standing.of(peer);
      OptionalLong where = theirs.map(mine::differsFrom).orElse(OptionalLong.empty());
      if (where.isPresent() && !maySayWhy(theirs.orElseThrow(), where.getAsLong(), elapsed)) {
        writeNote(mine, peer);
        throw mismatched(operation, mine, peer, theirs.orElseThrow());
      }
    }
  }

  /// A rank that closes while others are in a collective may be on its way to fail the job with
  /// what its work threw.
  private boolean maySayWhy(Stands theirs, long where, long elapsed) {
    if (!theirs.closesAt(where)) {
      return false;
    }
    leavingSinceNanos = Math.min(leavingSinceNanos, elapsed);
    return elapsed - leavingSinceNanos < job.liveness().toNanos();
  }

  /// Tells the other ranks that this one is here, in case they ask who is missing.
  private void announce(Operation operation) {
    if (announced == operation.sequence()) {
      return;
    }
    announced = operation.sequence();
    byte[] sequence = Long.toString(operation.sequence()).getBytes(StandardCharsets.US_ASCII);
    job.store().set(keys.at(endpoint.jobRank()), sequence);
  }

  /// Returns the ranks that are not known to have come.
  private List<Integer> missing(Operation operation) {
    List<Integer> silent = silent(operation);
    List<Integer> absent =
        endpoint.members().jobRanks().stream()
            .filter(rank -> rank != endpoint.jobRank() && !hasCome(rank, operation.sequence()))
            .toList();
    // Nobody's word is needed of those that were heard of directly; and a rank that speaks too
    // late is not missing.
    List<Integer> both = silent.stream().filter(absent::contains).toList();
    return !both.isEmpty() ? both : absent.isEmpty() ? silent : absent;
  }

  /// Returns the job ranks of the peers that were not heard of directly.
  private List<Integer> silent(Operation operation) {
    return operation.program().missing().stream().map(endpoint.members()::jobRank).toList();
  }

  private boolean hasCome(int rank, long sequence) {
    return job.store()
        .peek(keys.at(rank))
        .map(value -> Long.parseLong(new String(value, StandardCharsets.US_ASCII)))
        .filter(at -> at >= sequence)
        .isPresent();
  }

  /// Returns the typed failure that a collective ends with, whatever keeps this rank from learning
  /// more.
  CollectiveException typed(Operation operation, Throwable cause) {
    try {
      return known(operation, cause);
    } catch (RuntimeException | Error unknown) {
      CollectiveException ended = aborted(operation, cause);
      ended.addSuppressed(unknown);
      return ended;
    }
  }

  private CollectiveException known(Operation operation, Throwable cause) {
    try {
      return switch (cause) {
        case CollectiveException known -> known;
        case PeerFailure peer -> ofPeer(operation, peer);
        case JobFailedException failed -> ofRecord(operation, failed.failure());
        default -> aborted(operation, cause);
      };
    } catch (JobFailedException meanwhile) {
      return ofRecord(operation, meanwhile.failure());
    }
  }

  CollectiveAbortedException aborted(Operation operation, Throwable reason) {
    return ending(operation).aborted(reason);
  }

  private Ending ending(Operation operation) {
    return new Ending(
        operation.kind().label(), operation.name(), endpoint.jobRank(), operation.sequence());
  }

  private CollectiveException ofPeer(Operation operation, PeerFailure failure) {
    if (failure.kind() == PeerFailure.Kind.DISAGREES) {
      return disagreed(operation, failure);
    }
    FailureRecord record = awaitRecord();
    return record != null
        ? ofRecord(operation, record)
        : ending(operation).lost(jobRank(failure), "its link or memory is gone", failure);
  }

  private int jobRank(PeerFailure failure) {
    return endpoint.members().jobRank(failure.peer());
  }

  /// Waits a little for the job's word: a broken link is often the consequence of something else.
  @Nullable FailureRecord awaitRecord() {
    long start = System.nanoTime();
    try (Pause pause = new Pause()) {
      while (job.failure().isEmpty() && System.nanoTime() - start < GRACE.toNanos()) {
        pause.park(1_000_000);
      }
    }
    return job.failure().orElse(null);
  }

  /// Exchanges descriptions with a peer that runs another collective. The peer may not have noticed
  /// yet: it looks for the note while it waits, and answers.
  private CollectiveException disagreed(Operation operation, PeerFailure failure) {
    try {
      writeNote(standing.in(operation), jobRank(failure));
      return mismatchedByNote(
          operation, job.store().get(keys.mismatch(endpoint.jobRank()), EXCHANGE));
    } catch (JobFailedException failed) {
      FailureRecord record = failed.failure();
      // Another rank may have noticed first: what it says of the peer is more than this one knows.
      return record.rank() == jobRank(failure)
              || Disagreement.of(record, endpoint.jobRank()).isPresent()
          ? ofRecord(operation, record)
          : mismatched(operation, call(operation), unknown(failure), failure);
    } catch (LockstepException unanswered) {
      return mismatched(operation, call(operation), unknown(failure), failure);
    }
  }

  private Call call(Operation operation) {
    return new Call(
        endpoint.jobRank(),
        operation.sequence(),
        operation.program().fingerprint(),
        operation.description());
  }

  private Call unknown(PeerFailure failure) {
    return new Call(jobRank(failure), -1, 0, "something else, " + failure.getMessage());
  }

  private void writeNote(Stands mine, int peer) {
    byte[] stands = mine.encode();
    ByteBuffer note = ByteBuffer.allocate(Integer.BYTES + stands.length);
    job.store().set(keys.mismatch(peer), note.putInt(endpoint.jobRank()).put(stands).array());
  }

  private CollectiveMismatchException mismatchedByNote(Operation operation, byte[] note) {
    ByteBuffer fields = ByteBuffer.wrap(note);
    int peer = fields.getInt();
    byte[] theirs = new byte[fields.remaining()];
    fields.get(theirs);
    Stands mine = standing.in(operation);
    writeNote(mine, peer);
    return mismatched(operation, mine, peer, Stands.decode(theirs));
  }

  private CollectiveException ofRecord(Operation operation, FailureRecord record) {
    JobFailedException failed = new JobFailedException(operation.name(), record);
    Optional<Mismatch> heard = standing.disagreement(record, call(operation));
    if (heard.isPresent()) {
      return failure(operation, heard.get(), failed);
    }
    return ending(operation)
        .of(failed, told -> timedOut(operation, missing(operation, told), failed));
  }

  /// Returns whom another rank missed: the peers of this one may only have waited for them. It is
  /// not missing itself; where nobody else is, it says whom it waited for.
  private List<Integer> missing(Operation operation, List<Integer> told) {
    List<Integer> others = endpoint.members().others(told);
    return others.isEmpty() ? silent(operation) : others;
  }

  /// Where what they say does not differ, one of them has yet to say it.
  private CollectiveMismatchException mismatched(
      Operation operation, Stands mine, int peer, Stands theirs) {
    OptionalLong where = mine.differsFrom(theirs);
    return where.isEmpty()
        ? mismatched(operation, mine.last(endpoint.jobRank()), theirs.last(peer), null)
        : mismatched(
            operation,
            mine.at(where.getAsLong(), endpoint.jobRank()).orElseThrow(),
            theirs.at(where.getAsLong(), peer).orElseThrow(),
            null);
  }

  private CollectiveMismatchException mismatched(
      Operation operation, Call mine, Call theirs, @Nullable Throwable cause) {
    return failure(operation, new Mismatch(endpoint.communicator(), mine, theirs), cause);
  }

  private CollectiveMismatchException failure(
      Operation operation, Mismatch between, @Nullable Throwable cause) {
    return Disagreement.failure(
        between, "call", operation.kind().label(), endpoint.jobRank(), operation.sequence(), cause);
  }

  private CollectiveTimeoutException timedOut(
      Operation operation, List<Integer> missing, @Nullable Throwable cause) {
    long elapsed = operation.elapsedNanos();
    return new CollectiveTimeoutException(
        operation.kind().label(),
        endpoint.jobRank(),
        operation.sequence(),
        elapsed,
        operation.timeoutNanos(),
        missing,
        "collective timed out: op=%s, rank=%d, waitedMillis=%d, timeoutMillis=%d, missingRanks=%s"
            .formatted(
                operation.name(),
                endpoint.jobRank(),
                TimeUnit.NANOSECONDS.toMillis(elapsed),
                TimeUnit.NANOSECONDS.toMillis(operation.timeoutNanos()),
                missing),
        cause);
  }

  /// Tells the job what ended a collective here, unless it knows of a failure already.
  void report(Operation operation, Throwable failure) {
    if (job.failure().isEmpty()) {
      job.fail(failure, operation.description());
    }
  }
}
