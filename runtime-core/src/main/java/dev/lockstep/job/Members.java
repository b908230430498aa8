package dev.lockstep.job;

import io.netty.buffer.ByteBuf;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/// The ranks as the store sees them: who has come, who is silent, who has left. Confined to the
/// server's event loop, but for [#everyoneGone].
final class Members {
  private final StoreOptions options;
  private final FailureCell failures;
  private final Pulse pulse;
  private final Map<Integer, Member> byRank = new TreeMap<>();
  private final CountDownLatch present;
  private final Runnable everyoneGoneListener;
  private String jobName;

  /// @param everyoneGoneListener called once every rank has left or is lost
  Members(StoreOptions options, FailureCell failures, Runnable everyoneGoneListener) {
    this.everyoneGoneListener = everyoneGoneListener;
    this.options = options;
    this.failures = failures;
    this.pulse = new Pulse(options.liveness());
    this.present = new CountDownLatch(options.worldSize());
    this.jobName = options.jobName();
  }

  /// One rank that has joined.
  static final class Member {
    private final int rank;
    private final Message.Seat seat;
    private final ServerConnection connection;
    private long lastHeard;
    private String activity = "";
    private boolean gone;
    private boolean countedOut;

    private Member(int rank, Message.Seat seat, ServerConnection connection, long now) {
      this.rank = rank;
      this.seat = seat;
      this.connection = connection;
      this.lastHeard = now;
    }

    int rank() {
      return rank;
    }

    void activity(String what) {
      activity = what;
    }
  }

  Pulse pulse() {
    return pulse;
  }

  /// Returns why the rank may not join, or null if it may.
  Message.@Nullable Refused refusal(Message.Join join) {
    if (join.worldSize() != options.worldSize()) {
      return new Message.Refused(
          "WORLD_SIZE",
          Integer.toString(join.worldSize()),
          "world size differs from the job's: rank=%d, worldSize=%d, jobWorldSize=%d"
              .formatted(join.rank(), join.worldSize(), options.worldSize()));
    }
    if (!jobName.isEmpty() && !join.jobName().isEmpty() && !jobName.equals(join.jobName())) {
      return new Message.Refused(
          "TORCHELASTIC_RUN_ID",
          join.jobName(),
          "store belongs to another job: rank=%d, job=%s, storeOfJob=%s (give each job its own %s)"
              .formatted(join.rank(), join.jobName(), jobName, JobVariables.STORE_PORT));
    }
    if (join.rank() < 0 || join.rank() >= options.worldSize()) {
      return new Message.Refused(
          "RANK",
          Integer.toString(join.rank()),
          "rank lies outside the job: rank=%d, worldSize=%d"
              .formatted(join.rank(), options.worldSize()));
    }
    Member other = byRank.get(join.rank());
    if (other != null && other.gone) {
      return new Message.Refused(
          "RANK",
          Integer.toString(join.rank()),
          "rank has left this job already: rank=%d, host=%s (a store serves one job; in one job a rank may do several things)"
              .formatted(join.rank(), join.seat().host()));
    }
    if (other != null) {
      return new Message.Refused(
          "RANK",
          Integer.toString(join.rank()),
          "rank is taken: rank=%d, host=%s, takenByHost=%s (two processes have the same rank)"
              .formatted(join.rank(), join.seat().host(), other.seat.host()));
    }
    return null;
  }

  /// Returns whether the rank was of the job and is no more.
  boolean hasLeft(int rank) {
    Member member = byRank.get(rank);
    return member != null && member.gone;
  }

  /// Seats a rank for which there is no [#refusal].
  Member join(Message.Join join, ServerConnection connection) {
    if (jobName.isEmpty()) {
      jobName = join.jobName();
    }
    Member member = new Member(join.rank(), join.seat(), connection, pulse.now());
    byRank.put(join.rank(), member);
    return member;
  }

  /// Sends everyone the roster if the last rank has come.
  void announceIfComplete() {
    if (byRank.size() == options.worldSize()) {
      List<Message.Seat> seats = byRank.values().stream().map(member -> member.seat).toList();
      ByteBuf roster = MessageCodec.frame(new Message.Roster(seats)); // once, and not for each rank
      try {
        here().forEach(member -> member.connection.sendFrame(roster.retainedDuplicate()));
      } finally {
        roster.release();
      }
    }
  }

  List<Integer> joinedRanks() {
    return List.copyOf(byRank.keySet());
  }

  void heard(Member member) {
    member.lastHeard = pulse.now();
  }

  /// The rank has said goodbye.
  void left(Member member) {
    depart(member);
  }

  private void depart(Member member) {
    member.gone = true;
    countOut(member);
  }

  private void countOut(Member member) {
    if (!member.countedOut) {
      member.countedOut = true;
      present.countDown();
      if (present.getCount() == 0) {
        everyoneGoneListener.run();
      }
    }
  }

  /// The store itself closes the rank's connection. The rank's process may live on: it has not
  /// ended as far as the job can know.
  void cutOff(Member member, Throwable reason) {
    if (!member.gone) {
      depart(member);
      lost(
          List.of(member),
          reason.getClass().getSimpleName(),
          "rank was cut off by the store: rank=%d, host=%s, reason=%s"
              .formatted(member.rank, member.seat.host(), reason.getMessage()));
    }
  }

  /// The rank's connection is closed, and not by the store.
  ///
  /// @param linkError what broke the connection, or null if the rank's host closed it
  void disconnected(Member member, @Nullable Throwable linkError) {
    if (member.gone) {
      return;
    }
    if (linkError == null) {
      depart(member);
      String message =
          "rank is gone, its connection closed without a goodbye: rank=%d, host=%s"
              .formatted(member.rank, member.seat.host());
      lost(List.of(member), FailureRecords.PROCESS_EXIT, message);
      return;
    }
    List<Member> behindLink =
        here().stream().filter(other -> other.seat.equals(member.seat)).toList();
    depart(member);
    lost(behindLink, FailureRecords.HEARTBEAT_LOST, "link is broken: " + linkError.getMessage());
  }

  /// Sends a beat to everyone and looks for ranks that are silent.
  void tick() {
    pulse.tick();
    long now = pulse.now();
    boolean oneIsLost = false;
    for (Member member : here()) {
      member.lastHeard = Math.min(member.lastHeard, now);
      oneIsLost |= now - member.lastHeard >= pulse.limitNanos();
      member.connection.send(new Message.Beat(""));
    }
    if (oneIsLost && failures.first().isEmpty()) {
      List<Member> silent =
          here().stream().filter(m -> now - m.lastHeard >= pulse.companionNanos()).toList();
      long longest = silent.stream().mapToLong(m -> now - m.lastHeard).max().orElse(0);
      lost(
          silent,
          FailureRecords.HEARTBEAT_LOST,
          "process is stuck or its link is down: silentMillis=%d, livenessMillis=%d"
              .formatted(TimeUnit.NANOSECONDS.toMillis(longest), options.liveness().toMillis()));
    }
  }

  private void lost(List<Member> members, String kind, String message) {
    members.forEach(this::countOut);
    Member first = members.getFirst();
    String who =
        ", lostRanks=%s, hosts=%s"
            .formatted(
                members.stream().map(member -> member.rank).toList(),
                members.stream().map(member -> member.seat.host()).distinct().toList());
    failures.record(
        FailureRecords.lost(first.rank, first.seat.host(), kind, message + who, first.activity));
  }

  private List<Member> here() {
    return byRank.values().stream().filter(member -> !member.gone).toList();
  }

  void broadcast(Message message) {
    here().forEach(member -> member.connection.send(message));
  }

  List<ServerConnection> connections() {
    List<ServerConnection> connections = new ArrayList<>();
    byRank.values().forEach(member -> connections.add(member.connection));
    return connections;
  }

  /// Open once every rank has left or is lost. Thread-safe.
  CountDownLatch everyoneGone() {
    return present;
  }
}
