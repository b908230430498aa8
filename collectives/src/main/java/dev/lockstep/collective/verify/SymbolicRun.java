package dev.lockstep.collective.verify;

import dev.lockstep.collective.request.StableHash;
import dev.lockstep.collective.schedule.JoinTree;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.Step;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.function.IntUnaryOperator;
import java.util.function.ToIntFunction;
import org.jspecify.annotations.Nullable;

/// Runs a schedule over symbolic values, twice in a row, on links that hold nothing: a message is
/// complete when both ends have been issued.
///
/// Ranks meet in fixed order only (FIFO links, counted signals), so whether a schedule ends does
/// not depend on timing, and room in a link can only help: one run decides for all. Races are found
/// by happens-before alone, not by the order in which this run does things: a message orders what
/// its sender did before it before what its receiver does after it, a signal likewise, and a send's
/// completion orders nothing. Where ranks write each other's memory there are signals alone.
final class SymbolicRun {
  /// The second run finds what is left over from the first.
  private static final int RUNS = 2;

  private static final Place[] NONE = {};

  private record Link(int from, int to, int slot) {
    @Override
    public int hashCode() {
      return Long.hashCode(
          StableHash.mix(StableHash.mix(from, to), slot)); // neighbours collide else
    }
  }

  private final Schedule schedule;
  private final Layout[] layouts;
  private final RankState[] ranks;
  private final Outcome outcome;

  /// Whether ranks write each other's memory: then what a rank reads of its own counts too.
  private final boolean writesPeers;

  private final Expressions expressions = new Expressions();
  private final Map<Link, ArrayDeque<Message>> sends = new HashMap<>();
  private final Map<Link, ArrayDeque<Message>> receives = new HashMap<>();
  private final Map<Link, ArrayDeque<int[]>> signals = new HashMap<>();

  SymbolicRun(Schedule schedule, List<List<Step>> programs, Layout[] layouts) {
    this.schedule = schedule;
    this.layouts = layouts;
    this.ranks = new RankState[layouts.length];
    for (int rank = 0; rank < ranks.length; rank++) {
      ranks[rank] = new RankState(rank, ranks.length, programs.get(rank), layouts[rank].memories());
    }
    this.writesPeers = programs.stream().flatMap(List::stream).anyMatch(Step::writesPeers);
    this.outcome = new Outcome(schedule, layouts, expressions, RUNS);
  }

  /// Runs to the end and returns what was computed.
  Outcome run() {
    for (RankState rank : ranks) {
      enter(rank);
    }
    boolean moved = true;
    while (moved) {
      moved = false;
      for (RankState rank : ranks) {
        while (rank.run < RUNS && advance(rank)) {
          moved = true;
        }
      }
    }
    for (RankState rank : ranks) {
      if (rank.run < RUNS) {
        throw stuck(rank);
      }
    }
    return outcome;
  }

  private RefusedException stuck(RankState rank) {
    for (Message message : rank.underWay) {
      if (!message.complete) {
        return new RefusedException(
            rank.rank,
            message.index,
            "waits for ever for its message: " + rank.describe(message.index));
      }
    }
    return new RefusedException(
        rank.rank, rank.next, "waits for ever: " + rank.describe(rank.next));
  }

  /// Lets the rank's owner write inputs and output before a run.
  private void enter(RankState rank) {
    outcome.enter(rank);
    rank.entering = true;
    for (Place place : outcome.ownedMemory(rank.rank)) {
      write(rank, place, List.of());
    }
    for (int input = 0; input < schedule.request().inputs(rank.rank); input++) {
      long elements = schedule.request().inputElements(rank.rank);
      Place place = layouts[rank.rank].place(outcome.wholeInput(rank.rank, input));
      int value = expressions.contribution(rank.rank, input, rank.run);
      write(rank, place, List.of(new Piece(0, elements, value, 0)));
    }
    rank.entering = false;
    rank.clock[rank.rank]++;
  }

  private boolean advance(RankState rank) {
    Step step = rank.next == rank.program.size() ? null : rank.program.get(rank.next);
    if (!absorbWhatIsAwaited(rank, step)) {
      return false;
    }
    if (step == null) {
      outcome.leave(rank, ranks);
      rank.run++;
      rank.next = 0;
      if (rank.run < RUNS) {
        enter(rank);
      }
      return true;
    }
    if (!issue(rank, step)) {
      return false;
    }
    rank.next++;
    return true;
  }

  /// Sees the completion of the messages that a step waits for; of all of them at the end of a
  /// program, where `step` is null.
  ///
  /// @return whether all of them are complete
  private boolean absorbWhatIsAwaited(RankState rank, @Nullable Step step) {
    if (rank.underWay.isEmpty()) {
      return true;
    }
    boolean all = step == null || step instanceof Step.Signal;
    Place[] written = step == null ? NONE : written(step);
    Place[] read = step == null ? NONE : read(step);
    int kept = 0;
    while (kept < rank.underWay.size()) {
      Message message = rank.underWay.get(kept);
      if (!all && !waitsFor(written, read, message)) {
        kept++;
      } else if (message.complete) {
        rank.absorb(message);
      } else {
        return false;
      }
    }
    return true;
  }

  /// Returns whether a step that writes and reads these places waits for a message.
  private static boolean waitsFor(Place[] written, Place[] read, Message message) {
    return (message.writes && (message.place.isEmpty() || overlap(read, message.place)))
        || overlap(written, message.place);
  }

  private static boolean overlap(Place[] places, Place place) {
    for (Place other : places) {
      if (other.overlaps(place)) {
        return true;
      }
    }
    return false;
  }

  /// Returns what a step reads and does not write.
  private Place[] read(Step step) {
    return switch (step) {
      case Step.Send(_, Range from) -> places(from);
      case Step.Copy(Range from, _) -> places(from);
      case Step.Scale(Range from, _) -> places(from);
      case Step.Reduce(_, JoinTree tree) -> places(tree);
      case Step.Spread(_, JoinTree tree) -> places(tree);
      case Step.Swap _,
          Step.Receive _,
          Step.ReceiveReduce _,
          Step.Divide _,
          Step.Signal _,
          Step.Await _ ->
          NONE;
    };
  }

  private Place[] written(Step step) {
    return switch (step) {
      case Step.Receive(_, Range into) -> places(into);
      case Step.ReceiveReduce(_, Range into) -> places(into);
      case Step.Copy(_, Range to) -> places(to);
      case Step.Scale(_, Range to) -> places(to);
      case Step.Reduce(Range to, _) -> places(to);
      case Step.Spread(List<Range> to, _) -> places(to.toArray(Range[]::new));
      case Step.Swap(Range own, Range theirs) -> places(own, theirs);
      case Step.Divide(Range target) -> places(target);
      case Step.Send _, Step.Signal _, Step.Await _ -> NONE;
    };
  }

  private Place[] places(JoinTree tree) {
    List<Range> sources = new ArrayList<>();
    tree.forEachSource(sources::add);
    return places(sources.toArray(Range[]::new));
  }

  private Place[] places(Range... ranges) {
    Place[] places = new Place[ranges.length];
    for (int i = 0; i < places.length; i++) {
      places[i] = place(ranges[i]);
    }
    return places;
  }

  private boolean issue(RankState rank, Step step) {
    switch (step) {
      case Step.Send(int peer, Range from) -> {
        List<Piece> payload = read(rank, place(from));
        rank.clock[rank.rank]++;
        queue(sends, new Link(rank.rank, peer, 0)).add(message(rank, place(from), false, payload));
        deliver(rank.rank, peer);
      }
      case Step.Receive(int peer, Range into) -> receive(rank, peer, into);
      case Step.ReceiveReduce(int peer, Range into) -> receive(rank, peer, into);
      case Step.Copy(Range from, Range to) -> {
        write(rank, place(to), read(rank, place(from)));
        rank.clock[rank.rank]++;
      }
      case Step.Reduce(Range to, JoinTree tree) -> {
        write(rank, place(to), evaluate(rank, tree));
        rank.clock[rank.rank]++;
      }
      case Step.Spread(List<Range> to, JoinTree tree) -> {
        List<Piece> joined = evaluate(rank, tree);
        to.forEach(range -> write(rank, place(range), joined));
        rank.clock[rank.rank]++;
      }
      case Step.Swap(Range own, Range theirs) -> {
        List<Piece> mine = read(rank, place(own));
        write(rank, place(own), read(rank, place(theirs)));
        write(rank, place(theirs), mine);
        rank.clock[rank.rank]++;
      }
      case Step.Scale(Range from, Range to) ->
          map(rank, place(from), place(to), expressions::product);
      case Step.Divide(Range target) ->
          map(rank, place(target), place(target), expressions::quotient);
      case Step.Signal(int peer, int slot) -> {
        rank.clock[rank.rank]++;
        queue(signals, new Link(rank.rank, peer, slot)).add(rank.clock.clone());
      }
      case Step.Await(int peer, int slot) -> {
        int[] signal = queue(signals, new Link(peer, rank.rank, slot)).poll();
        if (signal == null) {
          return false;
        }
        rank.learn(signal);
        rank.clock[rank.rank]++;
      }
    }
    return true;
  }

  private void map(RankState rank, Place from, Place to, IntUnaryOperator function) {
    List<Piece> mapped = new ArrayList<>();
    for (Piece piece : read(rank, from)) {
      int value = function.applyAsInt(piece.expression());
      mapped.add(new Piece(piece.from(), piece.to(), value, piece.shift()));
    }
    write(rank, to, mapped);
    rank.clock[rank.rank]++;
  }

  private void receive(RankState rank, int peer, Range into) {
    Place place = place(into);
    for (SymbolicMemory.Stretch stretch : rank.cut(place).values()) {
      checkOthersAreThrough(rank, place, stretch);
      stretch.written = SymbolicMemory.UNDER_WAY;
      stretch.writer = SymbolicMemory.OWNER;
    }
    rank.clock[rank.rank]++;
    queue(receives, new Link(peer, rank.rank, 0)).add(message(rank, place, true, List.of()));
    deliver(peer, rank.rank);
  }

  private static Message message(RankState rank, Place place, boolean writes, List<Piece> payload) {
    Step step = rank.program.get(rank.next);
    int[] clock = rank.clock.clone();
    Message message = new Message(step, rank.next, rank.run, place, writes, clock, payload);
    rank.underWay.add(message);
    return message;
  }

  private static <T> ArrayDeque<T> queue(Map<Link, ArrayDeque<T>> queues, Link link) {
    return queues.computeIfAbsent(link, _ -> new ArrayDeque<>());
  }

  /// Completes the messages of a link whose two ends have been issued.
  private void deliver(int from, int to) {
    ArrayDeque<Message> sent = queue(sends, new Link(from, to, 0));
    ArrayDeque<Message> awaited = queue(receives, new Link(from, to, 0));
    while (!sent.isEmpty() && !awaited.isEmpty()) {
      Message send = sent.remove();
      Message receive = awaited.remove();
      checkPair(ranks[from], send, ranks[to], receive);
      List<Piece> arrived = send.payload;
      if (receive.step instanceof Step.ReceiveReduce) {
        List<List<Piece>> operands = List.of(values(receive.place, ranks[to]), arrived);
        arrived = joinAll(ranks[to], operands, this::join);
      }
      store(ranks[to], receive.place, arrived);
      for (int i = 0; i < receive.clock.length; i++) {
        receive.clock[i] = Math.max(receive.clock[i], send.clock[i]);
      }
      send.complete = true;
      receive.complete = true;
    }
  }

  private static void checkPair(RankState from, Message send, RankState to, Message receive) {
    long sent = send.place.to() - send.place.from();
    long awaited = receive.place.to() - receive.place.from();
    if (send.run != receive.run || sent != awaited) {
      throw new RefusedException(
          to.rank,
          receive.index,
          "message does not fit its receive: sender %s; receiver %s"
              .formatted(from.describe(send.index), to.describe(receive.index)));
    }
  }

  /// Returns a range's value, seen by `reader` now; refuses what races with who wrote it.
  private List<Piece> read(RankState reader, Place place) {
    RankState owner = ranks[place.rank()];
    for (SymbolicMemory.Stretch stretch : owner.cut(place).values()) {
      if (owner == reader && !writesPeers) {
        continue;
      }
      int writer = writer(stretch, owner);
      if (writer != reader.rank && stretch.written >= reader.clock[writer]) {
        throw new RefusedException(
            reader.rank,
            reader.next,
            "reads what another rank may be writing: %s, writer=%d"
                .formatted(reader.describe(reader.next), writer));
      }
      int[] read = stretch.read == null ? new int[ranks.length] : stretch.read;
      read[reader.rank] = reader.position() + 1;
      stretch.read = read;
    }
    return values(place, reader);
  }

  private static int writer(SymbolicMemory.Stretch stretch, RankState owner) {
    return stretch.writer == SymbolicMemory.OWNER ? owner.rank : stretch.writer;
  }

  private List<Piece> values(Place place, RankState reader) {
    RankState owner = ranks[place.rank()];
    List<Piece> pieces = new ArrayList<>();
    SymbolicMemory memory = owner.memories.get(place.memory());
    List<Long> borders = memory.borders(place.from(), place.to());
    for (int i = 0; i < borders.size(); i++) {
      long from = borders.get(i);
      long to = i + 1 < borders.size() ? borders.get(i + 1) : place.to() - place.from();
      SymbolicMemory.Stretch stretch = memory.at(place.from() + from);
      if (stretch.expression == Expressions.UNDEFINED) {
        throw new RefusedException(
            reader.rank,
            reader.next,
            "reads what nobody has written: %s, memory=%s of rank %d, from=%d"
                .formatted(
                    reader.describe(reader.next), memory.name(), owner.rank, place.from() + from));
      }
      pieces.add(new Piece(from, to, stretch.expression, place.from() + stretch.shift));
    }
    return pieces;
  }

  /// Writes a value; what the pieces leave out becomes undefined. Refuses what races with others.
  private void write(RankState writer, Place place, List<Piece> pieces) {
    RankState owner = ranks[place.rank()];
    for (SymbolicMemory.Stretch stretch : owner.cut(place).values()) {
      checkOthersAreThrough(writer, place, stretch);
      stretch.expression = Expressions.UNDEFINED;
      stretch.written = writer.position();
      stretch.writer = owner == writer ? SymbolicMemory.OWNER : writer.rank;
    }
    store(owner, place, pieces);
  }

  private static void store(RankState owner, Place place, List<Piece> pieces) {
    for (Piece piece : pieces) {
      SymbolicMemory memory = owner.memories.get(place.memory());
      for (SymbolicMemory.Stretch stretch :
          memory.cut(place.from() + piece.from(), place.from() + piece.to()).values()) {
        stretch.expression = piece.expression();
        stretch.shift = piece.shift() - place.from();
      }
    }
  }

  private void checkOthersAreThrough(
      RankState writer, Place place, SymbolicMemory.Stretch stretch) {
    int before = writer(stretch, ranks[place.rank()]);
    if (before != writer.rank && stretch.written >= writer.clock[before]) {
      throw new RefusedException(
          writer.rank,
          writer.next,
          "writes what another rank may be writing: %s, writer=%d, elements=[%d, %d)"
              .formatted(writer.describe(writer.next), before, place.from(), place.to()));
    }
    int[] read = stretch.read;
    for (int reader = 0; read != null && reader < read.length; reader++) {
      if (reader != writer.rank && read[reader] > writer.clock[reader]) {
        throw new RefusedException(
            writer.rank,
            writer.next,
            "writes what a peer may be reading: %s, reader=%d, elements=[%d, %d)"
                .formatted(writer.describe(writer.next), reader, place.from(), place.to()));
      }
    }
    stretch.read = null;
  }

  private List<Piece> evaluate(RankState rank, JoinTree tree) {
    List<List<Piece>> sources = new ArrayList<>();
    tree.forEachSource(source -> sources.add(read(rank, place(source))));
    return joinAll(rank, sources, values -> join(tree, values, new int[1]));
  }

  private int join(JoinTree tree, List<Piece> values, int[] next) {
    return switch (tree) {
      case JoinTree.Leaf _ -> values.get(next[0]++).expression();
      case JoinTree.Node(JoinTree left, JoinTree right) -> {
        int first = join(left, values, next);
        yield expressions.join(first, join(right, values, next));
      }
    };
  }

  private int join(List<Piece> values) {
    return expressions.join(values.get(0).expression(), values.get(1).expression());
  }

  /// Cuts operands of one length at all their borders and joins what lies between.
  private static List<Piece> joinAll(
      RankState rank, List<List<Piece>> operands, ToIntFunction<List<Piece>> joiner) {
    TreeSet<Long> borders = new TreeSet<>();
    operands.forEach(pieces -> pieces.forEach(piece -> borders.add(piece.from())));
    List<Piece> joined = new ArrayList<>();
    for (long from : borders) {
      List<Piece> values = new ArrayList<>();
      long to = Long.MAX_VALUE;
      for (List<Piece> pieces : operands) {
        Piece value = pieces.stream().filter(piece -> piece.to() > from).findFirst().orElseThrow();
        values.add(value);
        to = Math.min(to, value.to());
      }
      long shift = values.getFirst().shift();
      if (values.stream().anyMatch(value -> value.shift() != shift)) {
        throw new RefusedException(
            rank.rank, rank.next, "joins different elements: " + rank.describe(rank.next));
      }
      joined.add(new Piece(from, to, joiner.applyAsInt(values), shift));
    }
    return joined;
  }

  private Place place(Range range) {
    return layouts[range.rank()].place(range);
  }
}
