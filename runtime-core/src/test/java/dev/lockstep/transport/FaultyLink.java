package dev.lockstep.transport;

import dev.lockstep.memory.Registration;
import dev.lockstep.tensor.DType;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.Random;
import org.jspecify.annotations.Nullable;

/// A link with faults. Both ends cut messages alike: the cuts are a function of the seed and of the
/// message's place on the link.
final class FaultyLink implements Link {
  private static final int MOST_PIECES = 4;
  private static final int MOST_ACCEPTED = 8;

  /// What happens around a link.
  interface Wire {
    /// Called before the link may read what has arrived.
    void beforeReading();

    /// Called when a transfer is complete.
    void completed();
  }

  private record Accepted(Transfer whole, Queue<Transfer> pieces) {}

  private final Link link;
  private final Faults faults;
  private final Wire wire;
  private final Random cuts;
  private final Random luck;
  private final Queue<Accepted> accepted = new ArrayDeque<>();
  private @Nullable Transfer posted;
  private int standsStill;
  private boolean closed;

  /// @param ends hash of sender, receiver and communicator, the same on both ends
  FaultyLink(Link link, Faults faults, long ends, Wire wire) {
    this.link = link;
    this.faults = faults;
    this.wire = wire;
    this.cuts = new Random(faults.seed() ^ ends);
    this.luck = new Random(faults.seed() + 31 * ends + link.peer());
  }

  @Override
  public int peer() {
    return link.peer();
  }

  @Override
  public int communicator() {
    return link.communicator();
  }

  @Override
  public int post(Transfer transfer) {
    if (closed) {
      transfer.failed(new IllegalStateException("link is closed"));
      return CLOSED;
    }
    if (accepted.size() == MOST_ACCEPTED || luck.nextInt(100) < faults.backPressuredPercent()) {
      return BACK_PRESSURED;
    }
    transfer.posted();
    accepted.add(new Accepted(transfer, pieces(transfer)));
    return ACCEPTED;
  }

  @SuppressWarnings("EnumOrdinal") // as the envelope defines it
  private Queue<Transfer> pieces(Transfer whole) {
    Envelope envelope = whole.envelope();
    long element = DType.values()[envelope.dtype].bytes();
    List<Long> borders = new ArrayList<>(List.of(0L, whole.bytes()));
    int pieces = faults.cutsMessages() ? 1 + cuts.nextInt(MOST_PIECES) : 1;
    for (int i = 1; i < pieces && whole.bytes() > element; i++) {
      borders.add(cuts.nextLong(whole.bytes() / element) * element);
    }
    borders.sort(null);
    Queue<Transfer> made = new ArrayDeque<>();
    for (int i = 1; i < borders.size(); i++) {
      long length = borders.get(i) - borders.get(i - 1);
      if (length > 0 || whole.bytes() == 0) {
        made.add(piece(whole, borders.get(i - 1), length));
      }
    }
    return made;
  }

  private static Transfer piece(Transfer whole, long from, long length) {
    Transfer piece =
        whole.isSend()
            ? Transfer.send(whole.source().slice(from, length))
            : Transfer.receive(sink(whole.sink(), from, length));
    Envelope to = piece.envelope();
    Envelope of = whole.envelope();
    to.job = of.job;
    to.epoch = of.epoch;
    to.communicator = of.communicator;
    to.sequence = of.sequence;
    to.schedule = of.schedule;
    to.step = of.step;
    to.kind = of.kind;
    to.dtype = of.dtype;
    to.reduceOp = of.reduceOp;
    to.root = of.root;
    to.count = of.count;
    to.length = length;
    return piece;
  }

  private static Sink sink(Sink whole, long from, long length) {
    Registration part = whole.target().slice(from, length);
    return switch (whole) {
      case Sink.Copy _ -> new Sink.Copy(part);
      case Sink.Reduce reduce -> new Sink.Reduce(part, reduce.dtype(), reduce.op());
    };
  }

  @Override
  public int poll() {
    if (standsStill > 0) {
      standsStill--;
      return 0;
    }
    Accepted first = accepted.peek();
    if (first == null) {
      return 0;
    }
    wire.beforeReading();
    if (posted == null) {
      Transfer next = first.pieces().peek();
      if (next == null || link.post(next) == BACK_PRESSURED) {
        return 0;
      }
      posted = next;
    }
    int moved = link.poll();
    if (posted.state() == Transfer.State.FAILED) {
      RuntimeException cause = posted.failure();
      first.whole().failed(cause == null ? new IllegalStateException("link failed") : cause);
      return moved + 1;
    }
    if (posted.isDone()) {
      posted = null;
      var _ = first.pieces().remove();
      standsStill = faults.delayedPolls() == 0 ? 0 : luck.nextInt(faults.delayedPolls() + 1);
      if (first.pieces().isEmpty()) {
        var _ = accepted.remove();
        first.whole().done();
        wire.completed();
      }
      return moved + 1;
    }
    return moved;
  }

  @Override
  public void beginAbandon() {
    link.beginAbandon();
    end();
  }

  @Override
  public void abandon() {
    link.abandon();
    end();
  }

  @Override
  public void close() {
    link.close();
    end();
  }

  private void end() {
    closed = true;
    RuntimeException closed = new IllegalStateException("link is closed");
    accepted.forEach(transfer -> transfer.whole().failed(closed));
    accepted.clear();
    posted = null;
  }
}
