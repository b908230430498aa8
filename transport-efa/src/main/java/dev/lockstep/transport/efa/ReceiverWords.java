package dev.lockstep.transport.efa;

import dev.lockstep.transport.MismatchedEnvelopeException;

/// What a receiving end says to its sender: grants and credits, questions and answers, and that it
/// is gone, until it is heard (Note [what is lost]). Used under the transport's lock.
final class ReceiverWords {
  /// Frames taken that the sender hears of.
  private static final int REPORTED = FabricLink.WINDOW / 2;

  /// Frames taken that the sender need not hear of while others come.
  private static final int MOST_UNREPORTED = FabricLink.WINDOW * 3 / 4;

  private final ReceiveLink link;
  private final Engine engine;
  private final IssuedGrants grants;

  /// Number of the sending end, -1 while it has not said who it is.
  private int sender = -1;

  private long reportedFrames;
  private final Shortfall shortfall = new Shortfall();
  private final Shortfall left = new Shortfall();
  private boolean asks;
  private boolean asksWhatWasMeant;

  /// Whether the sender waits to hear how far its frames were taken and what it was granted, and
  /// the number of its question.
  private boolean isAsked;

  private long question;
  private boolean refuses;
  private boolean leaves;

  /// Whether what the sender wrote before it heard that this end is gone is not coming, and when to
  /// say so again.
  private final Shortfall unwritten = new Shortfall();

  private final Repeats farewells = new Repeats();

  ReceiverWords(ReceiveLink link, IssuedGrants grants) {
    this.link = link;
    this.engine = link.engine;
    this.grants = grants;
  }

  /// Returns whether the sender has said who it is.
  boolean isGreeted() {
    return sender >= 0;
  }

  /// Notes who the sender is, to whom all that waits is said.
  void sayTo(int sendingEnd) {
    sender = sendingEnd;
    engine.markDirty(link);
  }

  /// Notes the number of what the sender asks.
  void noteQuestion(long number) {
    question = number;
  }

  /// Answers a sender that asks where this end stands.
  void answer() {
    isAsked = true;
    leaves |= link.failure != null; // or that was lost on its way
    refuse();
    engine.markDirty(link);
  }

  /// Says that this end is gone.
  void leave() {
    leaves = true;
    engine.markDirty(link);
  }

  /// Says so again, if it is time to: why the link has ended is not told without what it was.
  void leaveAgain() {
    if (farewells.isDue()) {
      leave();
      refuse();
    }
  }

  /// Says what does not match instead of a farewell, if that is why the link has ended.
  void refuse() {
    refuses = link.failure instanceof MismatchedEnvelopeException;
    leaves &= !refuses;
  }

  /// Asks what a bare frame is that is not what is expected.
  void askWhatWasMeant() {
    asksWhatWasMeant = true;
    engine.markDirty(link);
  }

  /// Asks how much was sent, if nothing has come since this was called last.
  ///
  /// @param position grows by whatever comes
  void askIfStill(long position) {
    if (shortfall.standsStill(position)) {
      asks = true;
      engine.markDirty(link);
    }
  }

  /// Returns whether nothing has come since this was asked last, of a sender that has closed its
  /// transport and cannot be asked.
  ///
  /// @param position grows by whatever comes
  boolean isLeftAlone(long position) {
    return left.standsStill(position);
  }

  /// Returns whether what was sent is lost, as [Shortfall#isLost].
  boolean isLost(long answered, long position, boolean isShort) {
    return shortfall.isLost(answered, position, isShort, engine.mostShortfalls());
  }

  /// Notes that the farewell was answered, and returns whether what was written is lost.
  boolean isUnwritten(long answered, long segments, boolean isShort) {
    farewells.restart();
    return unwritten.isLost(answered, segments, isShort, engine.mostShortfalls());
  }

  /// Says how far frames were taken, if enough of them were.
  void reportTaken() {
    if (link.takenFrames() - reportedFrames >= REPORTED) {
      engine.markDirty(link);
    }
  }

  /// Says what there is to say, as [FabricLink#saysAll].
  boolean sayAll() {
    if (link.mute || sender < 0) {
      return true; // a greeting brings it back onto the list
    }
    while (link.failure == null && grants.hasUnsaid()) {
      if (!link.sayGrant(sender)) {
        return false;
      }
    }
    if (!sayRefusal() || !sayAnswer() || !sayQuestions() || !sayFarewell()) {
      return false;
    }
    return link.failure != null || link.takenFrames() - reportedFrames < REPORTED || sayCredit();
  }

  private boolean sayRefusal() {
    if (refuses && link.failure instanceof MismatchedEnvelopeException mismatch) {
      refuses = !link.sayBoth(mismatch, Wire.REFUSE, sender, unwritten.ask(), self());
      return !refuses;
    }
    return true;
  }

  private boolean sayAnswer() {
    if (isAsked && link.failure == null) {
      if (!link.say(Wire.TAKEN, sender, link.takenFrames(), grants.firstUnsaid(), question)) {
        return false;
      }
      isAsked = false;
      reportedFrames = link.takenFrames();
    }
    return true;
  }

  private boolean sayQuestions() {
    if (asks && link.failure == null) {
      if (!link.say(Wire.ASK, sender, shortfall.ask(), 0)) {
        return false;
      }
      asks = false;
    }
    if (asksWhatWasMeant && link.failure == null) {
      if (!link.say(Wire.DOUBT, sender, link.takenFrames(), 0)) {
        return false;
      }
      asksWhatWasMeant = false;
    }
    return true;
  }

  private boolean sayFarewell() {
    if (leaves) {
      leaves = !link.say(Wire.GONE, sender, unwritten.ask(), 0, self());
    }
    return !leaves;
  }

  /// Returns who this is, which a sender that has closed may have forgotten.
  private long self() {
    return (long) engine.rank() << Integer.SIZE | link.number();
  }

  /// Tells the sender how far its frames were taken, once there is nothing else to do or its window
  /// is nearly used up.
  private boolean sayCredit() {
    long taken = link.takenFrames();
    boolean waits = taken - reportedFrames < MOST_UNREPORTED && !engine.isQuiet();
    if (waits || !link.say(Wire.CREDIT, sender, taken, 0)) {
      return false;
    }
    reportedFrames = taken;
    return true;
  }
}
