package dev.lockstep.collective.execute;

import dev.lockstep.transport.Sink;
import dev.lockstep.transport.Transfer;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/// Small messages through the mailboxes.
final class MailTraffic extends Traffic {
  private final Mailboxes mail;
  private MemorySegment[] memory = {};
  private Sink.@Nullable Reduce[] joins = {};
  private long operation;

  MailTraffic(Mailboxes mail, int peer, boolean sends) {
    super(peer, sends);
    this.mail = mail;
  }

  @Override
  void begin(long sequence, long newOperation) {
    operation = newOperation;
    issued = 0;
    completed = 0;
    if (memory.length != transfers.length) {
      bind();
    }
  }

  private void bind() {
    memory = new MemorySegment[transfers.length];
    joins = new Sink.@Nullable Reduce[transfers.length];
    for (int i = 0; i < memory.length; i++) {
      Transfer transfer = transfers[i];
      memory[i] = (sends() ? transfer.source() : transfer.sink().target()).segment();
      joins[i] = !sends() && transfer.sink() instanceof Sink.Reduce join ? join : null;
    }
  }

  /// Sends at once: a peer in step is looking for the message already, and to look for its own
  /// first would keep it waiting.
  @Override
  void issue() {
    issued++;
    if (sends()) {
      var _ = poll();
    }
  }

  @Override
  boolean poll() {
    int before = completed;
    while (completed < issued && move(completed)) {
      completed++;
    }
    return completed != before;
  }

  private boolean move(int number) {
    return sends()
        ? mail.send(peer(), memory[number], operation)
        : mail.receive(peer(), memory[number], joins[number], operation);
  }
}
