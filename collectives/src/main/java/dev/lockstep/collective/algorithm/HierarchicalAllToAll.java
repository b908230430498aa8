package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.got;
import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.scratch;
import static dev.lockstep.collective.algorithm.Parts.sent;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import java.util.Optional;

/// All-to-all over ranks in groups, by messages: what a group has for another goes to one of its
/// ranks, from there in one message to a rank of the other, and from there to whom it is for. The
/// ranks of a group take turns: the `d`-th group after it, and the one as far before it, are the
/// business of its `d`-th rank, counted round.
///
/// Groups are those of the outermost level. Three messages deep; with `n` groups of `g` ranks a
/// rank sends about `2n + g` messages, of which `n/g` beyond its group, instead of `P`. Elements
/// for other groups travel twice within a group and are copied once: for few bytes. Scratch: what a
/// rank passes on, three times; in place what it gets, too.
final class HierarchicalAllToAll extends PlannedAlgorithm {
  /// Makes the algorithm.
  HierarchicalAllToAll() {
    super("hierarchical-all-to-all", CollectiveKind.ALL_TO_ALL);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return Hierarchy.noLevels(request);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    Groups groups = new Groups(request.ranks(), request.topology().levels().getLast());
    boolean turns = request.counts().areEqual() && request.ranks() % groups.size() == 0;
    return Plan.of(rank -> new Building(request, groups, rank).exchanged())
        .withScratch(rank -> new Building(request, groups, rank).scratchElements())
        .withAlike(rank -> turns ? rank % groups.size() : rank);
  }

  /// The outermost groups.
  ///
  /// @param ranks number of ranks
  /// @param size of a full group
  private record Groups(int ranks, int size) {
    int number() {
      return Math.ceilDiv(ranks, size);
    }

    int start(int group) {
      return (int) Math.min(ranks, (long) group * size);
    }

    int end(int group) {
      return start(group + 1);
    }

    /// Returns the group some distance after another; before it if the distance is negative.
    int after(int group, int distance) {
      return Math.floorMod(group + distance, number());
    }

    /// Returns the rank of a group whose business the groups at a distance are.
    int relay(int group, int distance) {
      return start(group) + (distance - 1) % (end(group) - start(group));
    }
  }

  /// One rank's program in the making.
  private static final class Building {
    private final CollectiveRequest request;
    private final Groups groups;
    private final int rank;
    private final int group;
    private final int start;
    private final int end;
    private final Steps steps = new Steps();
    private final Range[] leaving; // to each distance, this rank's business only
    private final Range[] coming;
    private long used;

    Building(CollectiveRequest request, Groups groups, int rank) {
      this.request = request;
      this.groups = groups;
      this.rank = rank;
      this.group = rank / groups.size();
      this.start = groups.start(group);
      this.end = groups.end(group);
      this.leaving = new Range[groups.number()];
      this.coming = new Range[groups.number()];
      this.used = request.inPlace() ? request.outputElements(rank) : 0;
      for (int distance = 1; distance < groups.number(); distance++) {
        if (isMine(distance)) {
          leaving[distance] = place(between(group, groups.after(group, distance)));
          coming[distance] = place(between(groups.after(group, -distance), group));
        }
      }
    }

    long scratchElements() {
      exchanged();
      return used;
    }

    Steps exchanged() {
      exchangeWithin();
      collect();
      cross();
      receiveFromRelays();
      deal();
      if (request.inPlace()) {
        long all = request.outputElements(rank);
        steps.copy(scratch(rank, 0, all), output(rank, 0, all));
      }
      return steps;
    }

    private boolean isMine(int distance) {
      return groups.relay(group, distance) == rank;
    }

    private Range place(long elements) {
      used += elements;
      return scratch(rank, used - elements, elements);
    }

    /// Returns how many elements one group has for another.
    private long between(int from, int to) {
      long elements = 0;
      for (int member = groups.start(from); member < groups.end(from); member++) {
        elements += forGroup(member, to).elements();
      }
      return elements;
    }

    /// Returns what a rank has for a group, in its input.
    private Range forGroup(int from, int to) {
      long first = request.sendStart(from, groups.start(to));
      return input(from, 0, first, request.sendStart(from, groups.end(to)) - first);
    }

    private void exchangeWithin() {
      steps.copy(sent(request, rank, rank), got(request, rank, rank));
      int[] peers = Parts.peers(rank - start, end - start);
      for (int peer : peers) {
        steps.receive(start + peer, got(request, rank, start + peer));
      }
      for (int peer : peers) {
        steps.send(start + peer, sent(request, rank, start + peer));
      }
    }

    /// Puts together on one rank what the group has for each other group: rank by rank, each one's
    /// elements in the order of those they are for.
    private void collect() {
      for (int distance = 1; distance < groups.number(); distance++) {
        int to = groups.after(group, distance);
        if (isMine(distance)) {
          long offset = leaving[distance].offset();
          for (int from = start; from < end; from++) {
            Range own = forGroup(from, to);
            if (from == rank) {
              steps.copy(own, scratch(rank, offset, own.elements()));
            } else {
              steps.receive(from, scratch(rank, offset, own.elements()));
            }
            offset += own.elements();
          }
        }
      }
      for (int distance = 1; distance < groups.number(); distance++) {
        if (!isMine(distance)) {
          steps.send(groups.relay(group, distance), forGroup(rank, groups.after(group, distance)));
        }
      }
    }

    private void cross() {
      for (int distance = 1; distance < groups.number(); distance++) {
        if (isMine(distance)) {
          int from = groups.after(group, -distance);
          steps.receive(groups.relay(from, distance), coming[distance]);
        }
      }
      for (int distance = 1; distance < groups.number(); distance++) {
        if (isMine(distance)) {
          int to = groups.after(group, distance);
          steps.send(groups.relay(to, distance), leaving[distance]);
        }
      }
    }

    private void receiveFromRelays() {
      for (int distance = 1; distance < groups.number(); distance++) {
        if (!isMine(distance)) {
          int from = groups.after(group, -distance);
          Range first = got(request, rank, groups.start(from));
          long elements = 0;
          for (int member = groups.start(from); member < groups.end(from); member++) {
            elements += request.count(member, rank);
          }
          steps.receive(
              groups.relay(group, distance),
              new Range(rank, first.space(), first.offset(), elements));
        }
      }
    }

    /// Deals out what came from other groups, for each rank of this one in the order of those whom
    /// it is from.
    private void deal() {
      for (int distance = 1; distance < groups.number(); distance++) {
        if (isMine(distance)) {
          int from = groups.after(group, -distance);
          for (int to = start; to < end; to++) {
            deal(coming[distance], from, to);
          }
        }
      }
    }

    private void deal(Range arrived, int from, int to) {
      if (to != rank && groups.end(from) - groups.start(from) == 1) {
        Range sent = forGroup(groups.start(from), group);
        long offset = request.sendStart(groups.start(from), to) - sent.offset();
        long elements = request.count(groups.start(from), to);
        steps.send(to, scratch(rank, arrived.offset() + offset, elements));
        return;
      }
      long first = used;
      long row = arrived.offset();
      for (int member = groups.start(from); member < groups.end(from); member++) {
        long elements = request.count(member, to);
        long column = request.sendStart(member, to) - request.sendStart(member, start);
        Range place = to == rank ? got(request, rank, member) : place(elements);
        steps.copy(scratch(rank, row + column, elements), place);
        row += forGroup(member, group).elements();
      }
      if (to != rank) {
        steps.send(to, scratch(rank, first, used - first));
      }
    }
  }
}
