package dev.lockstep.collective.simulate;

import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.Step;
import dev.lockstep.collective.simulate.RankProgram.Op;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.function.IntPredicate;

/// The programs that a simulation runs, with every message and signal matched: those of all ranks,
/// or of one rank of each kind that the schedule declares alike.
///
/// Note [when ranks may be folded]. A renaming of the ranks that turns the schedule into itself
/// keeps the place of each step in its rank's list, but for the order of steps that are issued in
/// one burst, which does not matter: messages that start together share a link and are complete
/// together. So if rank `p` is like `q`, the `i`-th step of `p` happens when the `i`-th of `q`
/// does, provided that the renaming keeps the levels of the fabric too. Folding therefore takes
/// what a representative receives from `p` at `p`'s step `i` for step `i` of `q`. It is refused
/// unless lengths and levels agree; and unless other members of each kind, all of them where that
/// is cheap, have programs that wait, take and match as their representative's do, bursts being one
/// place.
final class Cast {
  /// More steps than this are not simulated: about 150 bytes each.
  static final long MOST_STEPS = 20_000_000;

  /// Steps of ranks that are not simulated, looked through for what they send to those that are.
  private static final long MOST_SEARCHED_STEPS = 400_000_000;

  /// Ranks whose steps say how many all have.
  private static final int FEW = 8;

  /// Steps of other members of a kind that are looked at before it is believed.
  private static final long CHECKED_STEPS = 1_000_000;

  private final Schedule schedule;
  private final Fabric fabric;
  private final Durations durations;
  private final boolean folded;
  private final long mostSteps;
  final List<RankProgram> programs = new ArrayList<>();

  /// How many ranks each program stands for.
  final List<Long> members = new ArrayList<>();

  private final Map<Integer, Integer> numbers = new HashMap<>(); // of programs, by rank
  private int[] kinds = {}; // program of each rank; empty if every rank has its own
  private long[][] senders = {};
  private long[][] receivers = {};

  private Cast(
      Schedule schedule, Fabric fabric, Durations durations, boolean folded, long mostSteps) {
    this.schedule = schedule;
    this.fabric = fabric;
    this.durations = durations;
    this.folded = folded;
    this.mostSteps = mostSteps;
  }

  /// Returns one program per kind, or nothing if alike ranks cannot be folded on this fabric.
  ///
  /// @throws IllegalArgumentException if there are more steps than `mostSteps`
  static Optional<Cast> folded(
      Schedule schedule, Fabric fabric, Durations durations, long mostSteps) {
    Cast cast = new Cast(schedule, fabric, durations, true, mostSteps);
    int ranks = schedule.ranks();
    cast.kinds = new int[ranks];
    long kinds = cast.countKinds();
    if (kinds == ranks) {
      return Optional.empty();
    }
    cast.refuseByFew(kinds);
    long steps = 0;
    for (int rank = 0; rank < ranks; rank++) {
      int like = schedule.alike(rank);
      if (like == rank) {
        steps += cast.add(rank).steps();
        cast.refuseMoreThan(steps);
      }
      int number = Objects.requireNonNull(cast.numbers.get(like), "alike is not the lowest rank");
      cast.kinds[rank] = number;
      cast.members.set(number, cast.members.get(number) + 1);
    }
    cast.refuseLongSearch();
    cast.countUsers();
    return cast.match() && cast.usersAgree() && cast.membersAgree()
        ? Optional.of(cast)
        : Optional.empty();
  }

  /// Returns a program per rank.
  ///
  /// @throws IllegalArgumentException if they have too many steps
  static Cast unfolded(Schedule schedule, Fabric fabric, Durations durations, long mostSteps) {
    Cast cast = new Cast(schedule, fabric, durations, false, mostSteps);
    cast.refuseByFew(schedule.ranks());
    long steps = 0;
    for (int rank = 0; rank < schedule.ranks(); rank++) {
      steps += cast.add(rank).steps();
      cast.members.set(rank, 1L);
      cast.refuseMoreThan(steps);
    }
    cast.countUsers();
    if (!cast.match()) {
      throw new IllegalStateException(
          "messages of a schedule do not match: schedule=" + schedule + " (verify it)");
    }
    return cast;
  }

  /// Returns why a schedule would be refused, as far as the steps of a few ranks tell.
  static Optional<String> refusal(
      Schedule schedule, Fabric fabric, Durations durations, long mostSteps) {
    Cast cast = new Cast(schedule, fabric, durations, true, mostSteps);
    long kinds = cast.countKinds();
    try {
      cast.refuseByFew(kinds);
      if (cast.fewAgree()) {
        cast.refuseSearchByFew(kinds);
      } else {
        cast.refuseByFew(schedule.ranks());
      }
      return Optional.empty();
    } catch (IllegalArgumentException tooMany) {
      return Optional.of(String.valueOf(tooMany.getMessage()));
    }
  }

  private void refuseMoreThan(long steps) {
    if (steps > mostSteps) {
      throw new IllegalArgumentException(
          "too many steps to simulate: algorithm=%s, ranks=%d, stepsAbout=%d, most=%d (choose a hierarchical algorithm, or fewer ranks)"
              .formatted(schedule.algorithm(), schedule.ranks(), steps, mostSteps));
    }
  }

  /// Counts the kinds before their programs are made, which takes memory.
  private long countKinds() {
    long kindsOfRanks = 0;
    for (int rank = 0; rank < schedule.ranks(); rank++) {
      if (schedule.alike(rank) == rank) {
        kindsOfRanks++;
      }
    }
    return kindsOfRanks;
  }

  /// Refuses what is too much if all programs are like those of a few ranks, but for the longest,
  /// which may be the root's.
  private void refuseByFew(long all) {
    if (schedule.steps(0).size() * all <= mostSteps) {
      return;
    }
    long steps = 0;
    long longest = 0;
    for (int i = 0; i < FEW; i++) {
      long some = schedule.steps(some(i)).size();
      steps += some;
      longest = Math.max(longest, some);
    }
    double others = (double) (all - 1) / (FEW - 1) * (steps - longest);
    refuseMoreThan(longest + (long) others);
  }

  /// Returns one of a few ranks, far from each other.
  private int some(long number) {
    int stride = schedule.ranks() / FEW | 1;
    return (int) (number * stride % schedule.ranks());
  }

  /// Returns whether a few ranks do on this fabric what those do that they are declared like.
  private boolean fewAgree() {
    for (int i = 0; i < FEW; i++) {
      RankProgram member = new RankProgram(schedule, durations, some(i));
      RankProgram kind = new RankProgram(schedule, durations, schedule.alike(member.rank));
      boolean like = member.steps() == kind.steps();
      for (int step = 0; like && step < kind.steps(); step++) {
        like = member.isLike(kind, step);
      }
      if (!like) {
        return false;
      }
    }
    return true;
  }

  /// Refuses what takes too long to match if every kind has peers like rank 0's.
  private void refuseSearchByFew(long kinds) {
    RankProgram first = new RankProgram(schedule, durations, 0);
    refuseLongSearch(kinds * search(first, peer -> schedule.alike(peer) != peer));
  }

  private void refuseLongSearch() {
    long searched = 0;
    for (RankProgram program : programs) {
      searched += search(program, peer -> !numbers.containsKey(peer));
    }
    refuseLongSearch(searched);
  }

  /// Returns how many steps of ranks that are not simulated are looked through for one that is.
  private static long search(RankProgram program, IntPredicate isStranger) {
    long strangers =
        Arrays.stream(program.peers)
            .filter(peer -> peer >= 0 && isStranger.test(peer))
            .distinct()
            .count();
    return strangers * program.steps();
  }

  private void refuseLongSearch(long searched) {
    if (searched > MOST_SEARCHED_STEPS) {
      throw new IllegalArgumentException(
          "ranks have too many peers to simulate: algorithm=%s, ranks=%d, stepsToSearch=%d, most=%d (choose a hierarchical algorithm, or fewer ranks)"
              .formatted(schedule.algorithm(), schedule.ranks(), searched, MOST_SEARCHED_STEPS));
    }
  }

  boolean isFolded() {
    return folded;
  }

  private RankProgram add(int rank) {
    RankProgram program = new RankProgram(schedule, durations, rank);
    numbers.put(rank, programs.size());
    programs.add(program);
    members.add(0L);
    return program;
  }

  /// Returns the program that stands for a rank.
  int number(int rank) {
    return folded ? kinds[rank] : rank;
  }

  /// Returns how many ranks send over the uplink of a rank's group at a level.
  long senders(int rank, int level) {
    return count(senders, rank, level);
  }

  /// Returns how many ranks receive over it.
  long receivers(int rank, int level) {
    return count(receivers, rank, level);
  }

  private long count(long[][] users, int rank, int level) {
    return users[level].length == 0 ? 1 : users[level][group(rank, level)];
  }

  private int group(int rank, int level) {
    return (int) (rank / fabric.levels().get(level - 1).ranks());
  }

  private boolean hasUplink(int level) {
    return level > 0 && fabric.levels().get(level).uplinkBytesPerSecond() > 0;
  }

  private void countUsers() {
    senders = count(EnumSet.of(Op.SEND));
    receivers = count(EnumSet.of(Op.RECEIVE, Op.RECEIVE_REDUCE));
  }

  private long[][] count(Set<Op> ops) {
    long[][] users = new long[fabric.levels().size()][0];
    for (int level = 0; level < users.length; level++) {
      if (!hasUplink(level)) {
        continue;
      }
      boolean[] uses = new boolean[programs.size()];
      for (int i = 0; i < uses.length; i++) {
        uses[i] = uses(programs.get(i), ops, level);
      }
      users[level] = new long[group(schedule.ranks() - 1, level) + 1];
      for (int rank = 0; rank < schedule.ranks(); rank++) {
        if (uses[number(rank)]) {
          users[level][group(rank, level)]++;
        }
      }
    }
    return users;
  }

  private static boolean uses(RankProgram program, Set<Op> ops, int level) {
    for (int step = 0; step < program.steps(); step++) {
      if (program.levels[step] == level && ops.contains(program.op(step))) {
        return true;
      }
    }
    return false;
  }

  /// Returns whether every rank shares its uplinks with as many as its representative does.
  private boolean usersAgree() {
    for (int level = 0; level < senders.length; level++) {
      for (int rank = 0; senders[level].length > 0 && rank < schedule.ranks(); rank++) {
        int like = programs.get(kinds[rank]).rank;
        if (senders(rank, level) != senders(like, level)
            || receivers(rank, level) != receivers(like, level)) {
          return false;
        }
      }
    }
    return true;
  }

  private boolean match() {
    for (int number = 0; number < programs.size(); number++) {
      RankProgram program = programs.get(number);
      int[] sources = sources(program);
      for (int step = 0; step < program.steps(); step++) {
        if (sources[step] != NOT_INCOMING && !match(number, step, sources[step])) {
          return false;
        }
      }
    }
    for (RankProgram program : programs) {
      for (int step = 0; step < program.steps(); step++) {
        if (program.isOutgoing(step)) {
          program.matchProgram[step] = number(program.peers[step]);
          if (!folded && program.listeners[step].length == 0) {
            return false;
          }
        }
      }
    }
    return true;
  }

  private boolean match(int number, int step, int sourceStep) {
    RankProgram program = programs.get(number);
    int source = number(program.peers[step]);
    RankProgram from = programs.get(source);
    if (sourceStep < 0
        || sourceStep >= from.steps()
        || from.op(sourceStep) != (program.op(step) == Op.AWAIT ? Op.SIGNAL : Op.SEND)
        || from.bytes[sourceStep] != program.bytes[step]
        || from.levels[sourceStep] != program.levels[step]
        || number(from.peers[sourceStep]) != number) {
      return false;
    }
    program.matchProgram[step] = source;
    program.matchStep[step] = sourceStep;
    from.addListener(sourceStep, number, step);
    return true;
  }

  private static final int NOT_INCOMING = -2;

  /// Returns for each receive and await the place of its counterpart in its peer's list, -1 if it
  /// has none.
  private int[] sources(RankProgram program) {
    int[] sources = new int[program.steps()];
    Map<Long, Integer> seen = new HashMap<>();
    Map<Long, int[]> outgoing = new HashMap<>();
    for (int step = 0; step < sources.length; step++) {
      Op op = program.op(step);
      if (op != Op.RECEIVE && op != Op.RECEIVE_REDUCE && op != Op.AWAIT) {
        sources[step] = NOT_INCOMING;
        continue;
      }
      int peer = program.peers[step];
      int slot = program.slots[step];
      int n = seen.merge((long) peer << 32 | (slot + 1), 1, Integer::sum) - 1;
      Integer own = numbers.get(peer);
      if (own != null) {
        sources[step] = programs.get(own).outgoing(program.rank, slot, n);
      } else {
        int[] found =
            outgoing.computeIfAbsent(
                (long) peer << 32 | (slot + 1), _ -> outgoing(peer, program.rank, slot));
        sources[step] = n < found.length ? found[n] : -1;
      }
    }
    return sources;
  }

  private int[] outgoing(int from, int to, int slot) {
    int[] found = new int[4];
    int count = 0;
    int at = 0;
    for (Step step : schedule.steps(from)) {
      boolean matches =
          switch (step) {
            case Step.Send(int peer, _) -> slot < 0 && peer == to;
            case Step.Signal(int peer, int number) -> slot == number && peer == to;
            case Step.Receive _,
                Step.ReceiveReduce _,
                Step.Copy _,
                Step.Reduce _,
                Step.Spread _,
                Step.Swap _,
                Step.Scale _,
                Step.Divide _,
                Step.Await _ ->
                false;
          };
      if (matches) {
        found = count == found.length ? Arrays.copyOf(found, 2 * count) : found;
        found[count++] = at;
      }
      at++;
    }
    return Arrays.copyOf(found, count);
  }

  /// Compares members with their representatives: first those that stand next to the borders of
  /// groups, then the others in strides, until enough steps were looked at.
  private boolean membersAgree() {
    long left = CHECKED_STEPS;
    int ranks = schedule.ranks();
    List<Integer> borders = new ArrayList<>(List.of(ranks - 1));
    for (Level level : fabric.levels()) {
      if (level.ranks() < ranks) {
        borders.add((int) level.ranks() - 1);
        borders.add((int) level.ranks());
        borders.add((int) ((ranks - 1) / level.ranks() * level.ranks()));
      }
    }
    for (int rank : borders) {
      long looked = compare(rank);
      if (looked < 0) {
        return false;
      }
      left -= looked;
    }
    // A stride that has no factor in common with sizes of groups; all ranks where they are few.
    int stride = ranks <= 256 ? 1 : 7919;
    for (long i = 0; i < ranks && left > 0; i++) {
      long looked = compare((int) (i * stride % ranks));
      if (looked < 0) {
        return false;
      }
      left -= looked;
    }
    return true;
  }

  /// Returns whether a step of the rank that a representative's step hears from is of the burst
  /// that the representative hears.
  private boolean isSamePlace(RankProgram kind, int step, int source) {
    RankProgram from = programs.get(kind.matchProgram[step]);
    return source >= 0
        && source < from.steps()
        && from.burst(source) == from.burst(kind.matchStep[step]);
  }

  /// Returns how many steps were looked at, or -1 if the rank is not like its representative.
  private long compare(int rank) {
    RankProgram kind = programs.get(kinds[rank]);
    if (kind.rank == rank) {
      return 0;
    }
    RankProgram member = new RankProgram(schedule, durations, rank);
    if (member.steps() != kind.steps()) {
      return -1;
    }
    int[] sources = sources(member);
    long looked = 0;
    for (int step = 0; step < member.steps(); step++) {
      boolean like =
          member.isLike(kind, step)
              && (member.peers[step] < 0 || kinds[member.peers[step]] == kind.matchProgram[step])
              && (sources[step] == NOT_INCOMING || isSamePlace(kind, step, sources[step]));
      if (!like) {
        return -1;
      }
      looked += sources[step] == NOT_INCOMING ? 1 : member.steps();
    }
    return looked;
  }
}
