package dev.lockstep.transport.efa;

import dev.lockstep.transport.Envelope;
import dev.lockstep.transport.MismatchedEnvelopeException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;

/// What a sending end says to its receiver beside its stream: who it is, questions and answers, and
/// that it writes no more, until it is heard (Note [what is lost]). Used under the transport's
/// lock.
final class SenderWords {
  private final SendLink link;
  private final Engine engine;
  private final int receiver;
  private final byte[] greeting;

  /// Envelopes of the bare frames that the receiver may not have taken yet; none where none are
  /// sent.
  private final Envelope[] meant;

  private final Shortfall shortfall = new Shortfall();
  private boolean greets = true;

  /// Whether the receiver has said anything, and when to greet again while it has not.
  private boolean isAnswered;

  private final Repeats greetings = new Repeats();

  /// Whether the receiver waits to hear how much was sent, and the number of its question.
  private boolean isAsked;

  private long question;

  /// Whether the receiver has to hear that it waits for another message. It takes this for the word
  /// that nothing is written any more: segments of earlier messages come first.
  private boolean disputes;

  /// Whether the receiver waits to hear what a bare frame is, and the number of that.
  private boolean isDoubted;

  private long doubted;
  private boolean leaves;
  private boolean confirms;

  /// Number of the question that its farewell is.
  private long farewell;

  /// Whether the receiver, which has left, has been told that nothing is written any more.
  private boolean confirmed;

  SenderWords(SendLink link, int receiver, byte[] greeting) {
    this.link = link;
    this.engine = link.engine;
    this.receiver = receiver;
    this.greeting = greeting;
    this.meant = new Envelope[engine.outgoing().sendsBare() ? FabricLink.WINDOW : 0];
    Arrays.setAll(meant, _ -> new Envelope());
  }

  /// Returns whether the greeting has not gone yet, before which nothing does.
  boolean greets() {
    return greets;
  }

  /// Greets again, if the receiver is waited for, or if it is time to and it has said nothing yet.
  ///
  /// @param mayBeUnheard whether there was anything to hear
  void greetAgain(boolean waits, boolean mayBeUnheard) {
    if (waits || (!isAnswered && mayBeUnheard && greetings.isDue())) {
      greets = true;
      engine.markDirty(link);
    }
  }

  /// Returns whether nothing was done and came since this was asked last.
  boolean standsStill(long position) {
    return shortfall.standsStill(position);
  }

  /// Returns whether what the receiver has said is lost, as [Shortfall#isLost].
  boolean isLost(long answered, long position, boolean isShort) {
    return shortfall.isLost(answered, position, isShort, engine.mostShortfalls());
  }

  /// Notes that the receiver has said something.
  void noteAnswer() {
    isAnswered = true;
  }

  /// Answers a receiver that asks how much was sent.
  void answer(long number, boolean peerLeft) {
    isAsked = true;
    question = number;
    if (link.failure != null && !peerLeft) {
      // Whoever asks has not heard of it: the word was lost on its way.
      boolean isMismatch = link.failure instanceof MismatchedEnvelopeException;
      disputes |= isMismatch;
      leaves |= !isMismatch;
    }
    engine.markDirty(link);
  }

  /// Keeps what a bare frame is, in case the receiver asks.
  void noteMeant(long frame, Envelope envelope) {
    meant[(int) frame & (FabricLink.WINDOW - 1)].set(envelope);
  }

  /// Says what a bare frame is that the receiver does not expect.
  void sayMeant(long frame, long sentFrames) {
    doubted = frame;
    isDoubted = frame < sentFrames && sentFrames - frame <= meant.length;
    engine.markDirty(link);
  }

  /// Says that the receiver waits for another message.
  void dispute() {
    disputes = true;
    engine.markDirty(link);
  }

  /// Says that this end is closed.
  void leave() {
    leaves = true;
    engine.markDirty(link);
  }

  /// Notes that the receiver is gone, which need not hear that this end is.
  void noteFarewell(long number) {
    farewell = number;
    leaves = false;
  }

  /// Says that nothing is written any more.
  void confirm() {
    confirms = true;
    engine.markDirty(link);
  }

  /// Says what waited for the last write to be done.
  void nothingIsWritten(boolean peerLeft) {
    if (peerLeft || disputes) {
      confirms |= peerLeft;
      engine.markDirty(link);
    }
  }

  /// Returns whether the receiver, which has left, has been told that nothing is written any more.
  boolean isConfirmed() {
    return confirmed;
  }

  /// Says what there is to say, as [FabricLink#saysAll].
  boolean sayAll() {
    if (link.mute) {
      return true;
    }
    if (greets && !greet()) {
      return false;
    }
    greets = false;
    return sayDispute() && sayFarewell() && sayWhatWasMeant() && sayAnswer() && sayConfirmation();
  }

  /// Tells the receiver who this is and how it is reached.
  private boolean greet() {
    int frame = engine.outgoing().claim();
    if (frame < 0) {
      return false;
    }
    MemorySegment.copy(
        greeting,
        0,
        engine.outgoing().segment(),
        ValueLayout.JAVA_BYTE,
        engine.outgoing().body(frame),
        greeting.length);
    long asked = shortfall.ask();
    return engine.send(frame, link.peer(), Wire.HELLO, receiver, greeting.length, asked, 0);
  }

  private boolean sayDispute() {
    if (disputes
        && !link.touchesMemory()
        && link.failure instanceof MismatchedEnvelopeException mismatch) {
      disputes = !link.sayBoth(mismatch, Wire.DISPUTE, receiver, 0, 0);
      return !disputes;
    }
    return true;
  }

  private boolean sayFarewell() {
    if (leaves) {
      leaves = !link.say(Wire.CLOSE, receiver, link.sentFrames(), link.nextMessage());
    }
    return !leaves;
  }

  private boolean sayWhatWasMeant() {
    if (!isDoubted) {
      return true;
    }
    int frame = engine.outgoing().claim();
    if (frame < 0) {
      return false;
    }
    long body = engine.outgoing().body(frame);
    meant[(int) doubted & (FabricLink.WINDOW - 1)].write(engine.outgoing().segment(), body);
    isDoubted = !engine.send(frame, link.peer(), Wire.MEANT, receiver, Envelope.BYTES, doubted, 0);
    return !isDoubted;
  }

  private boolean sayAnswer() {
    if (isAsked) {
      isAsked = !link.say(Wire.SENT, receiver, link.sentFrames(), link.writtenSegments(), question);
    }
    return !isAsked;
  }

  private boolean sayConfirmation() {
    if (confirms) {
      if (!link.say(Wire.GONE_SEEN, receiver, link.writtenSegments(), farewell)) {
        return false;
      }
      confirms = false;
      confirmed = true;
      link.giveBack();
    }
    return true;
  }
}
