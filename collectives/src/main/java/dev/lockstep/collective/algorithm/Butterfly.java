package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.JoinTree;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Space;

/// All-reduce within a group by exchanges between members whose numbers differ in one bit (Thakur,
/// Rabenseifner and Gropp, 2005; any number of members by Rabenseifner's and Träff's binary blocks,
/// 2004): each block of `2^k` members reduces by itself, then blocks are joined from the smallest
/// to the largest, and the result goes back the same way.
///
/// Halving, members exchange halves of what they hold and keep the other half joined, and gather
/// the results afterwards in reverse order; else they exchange all they hold. With the nearest
/// partner first a group of subtrees in order is joined by T: a block of `2^k` members is T's
/// largest left branch, and T joins the blocks in this order.
///
/// @param request what is reduced
/// @param group members, each with the same range of elements
/// @param cut the range in as many parts as the first block has members; one part if not halving
/// @param halving whether halves are exchanged
/// @param nearestFirst whether partners are taken by ascending distance
record Butterfly(
    CollectiveRequest request, Group group, Cut cut, boolean halving, boolean nearestFirst) {
  /// A stretch of parts.
  private record Held(int first, int parts) {
    Held half(boolean low) {
      return new Held(low ? first : first + parts / 2, parts / 2);
    }
  }

  /// Returns how many elements arrive at once at most.
  static long scratchElements(Cut cut, int parts) {
    long all = cut.start(parts - 1) + cut.length(parts - 1) - cut.start(0);
    if (parts == 1) {
      return all;
    }
    long low = cut.start(parts / 2) - cut.start(0);
    return Math.max(low, all - low);
  }

  private int parts() {
    return halving ? 1 << new Blocks(group.size()).first().log() : 1;
  }

  /// Adds the steps after which the range is reduced in the output of every member.
  ///
  /// @param source the space where this rank's contribution is: an input, or its output
  void allReduce(Steps steps, Space source) {
    Blocks blocks = new Blocks(group.size());
    Blocks.Block block = blocks.of(group.me());
    int member = group.me() - block.start();
    Held mine = held(block, member);
    Space space = reduceWithin(steps, block, member, source);
    if (!blocks.isLast(block)) {
      Blocks.Block next = blocks.after(block);
      int peer = group.rank(next.start() + partnerAfter(block, next, member));
      steps.receive(peer, arrival(mine));
      join(steps, space, mine);
      space = new Space.Output();
    }
    if (block.start() > 0) {
      passOn(steps, blocks.before(block), block, member, space);
    } else {
      if (group.size() == 1 && !isInOutput(space)) {
        steps.copy(range(space, mine), output(mine));
      }
      steps.finish(request, output(mine));
    }
    if (!blocks.isLast(block)) {
      sendResult(steps, block, blocks.after(block), member);
    }
    if (halving) {
      gatherWithin(steps, block, member);
    }
  }

  private boolean isInOutput(Space space) {
    boolean inPlace = request.inPlace() && space.equals(new Space.Input(0));
    return inPlace || space instanceof Space.Output;
  }

  private Space reduceWithin(Steps steps, Blocks.Block block, int member, Space source) {
    Space space = source;
    Held held = new Held(0, parts());
    for (int stage = 0; stage < block.log(); stage++) {
      int bit = bit(block, stage);
      int peer = group.rank(block.start() + (member ^ bit));
      Held kept = halving ? held.half((member & bit) == 0) : held;
      Held given = halving ? held.half((member & bit) != 0) : held;
      steps.receive(peer, arrival(kept));
      steps.send(peer, range(space, given));
      join(steps, space, kept);
      space = new Space.Output();
      held = kept;
    }
    return space;
  }

  /// Sends what the block has to the block before it, and gets the result back.
  private void passOn(
      Steps steps, Blocks.Block before, Blocks.Block block, int member, Space space) {
    int partners = 1 << (before.log() - block.log());
    for (int i = 0; i < partners; i++) {
      int partner = partnerBefore(before, block, member, i);
      steps.send(group.rank(before.start() + partner), range(space, held(before, partner)));
    }
    for (int i = 0; i < (halving ? partners : 1); i++) {
      int partner = partnerBefore(before, block, member, i);
      steps.receive(group.rank(before.start() + partner), output(held(before, partner)));
    }
  }

  private void sendResult(Steps steps, Blocks.Block block, Blocks.Block next, int member) {
    int partner = partnerAfter(block, next, member);
    if (halving || partnerBefore(block, next, partner, 0) == member) {
      steps.send(group.rank(next.start() + partner), output(held(block, member)));
    }
  }

  private void gatherWithin(Steps steps, Blocks.Block block, int member) {
    for (int stage = block.log() - 1; stage >= 0; stage--) {
      int peer = group.rank(block.start() + (member ^ bit(block, stage)));
      steps.send(peer, output(held(block, member, stage + 1)));
      steps.receive(peer, output(held(block, member ^ bit(block, stage), stage + 1)));
    }
  }

  private void join(Steps steps, Space space, Held what) {
    steps.reduce(
        output(what),
        new JoinTree.Node(new JoinTree.Leaf(range(space, what)), new JoinTree.Leaf(arrival(what))));
  }

  /// Returns the bit in which partners of a stage differ.
  private int bit(Blocks.Block block, int stage) {
    return 1 << (nearestFirst ? stage : block.log() - 1 - stage);
  }

  /// Returns what a member of a block holds when the block is reduced.
  private Held held(Blocks.Block block, int member) {
    return held(block, member, block.log());
  }

  private Held held(Blocks.Block block, int member, int stages) {
    Held held = new Held(0, parts());
    for (int stage = 0; halving && stage < stages; stage++) {
      held = held.half((member & bit(block, stage)) == 0);
    }
    return held;
  }

  /// Returns the member of the next block that holds at least what a member of this one holds.
  private int partnerAfter(Blocks.Block block, Blocks.Block next, int member) {
    return nearestFirst ? member & ((1 << next.log()) - 1) : member >> (block.log() - next.log());
  }

  /// Returns the `i`-th member of the block before whose partner a member of this one is.
  private int partnerBefore(Blocks.Block before, Blocks.Block block, int member, int i) {
    return nearestFirst
        ? member + (i << block.log())
        : (member << (before.log() - block.log())) + i;
  }

  private Range output(Held what) {
    return range(new Space.Output(), what);
  }

  private Range range(Space space, Held what) {
    return new Range(group.rank(), space, cut.start(what.first()), length(what));
  }

  private Range arrival(Held what) {
    return Parts.scratch(group.rank(), 0, length(what));
  }

  private long length(Held what) {
    int last = what.first() + what.parts() - 1;
    return cut.start(last) + cut.length(last) - cut.start(what.first());
  }
}
