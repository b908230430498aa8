package dev.lockstep.transport.efa;

import dev.lockstep.transport.TransportCounters;

/// The messages and bytes that have gone and come on all links of an endpoint. Used under the
/// transport's lock.
final class Traffic {
  private long messagesSent;
  private long bytesSent;
  private long messagesReceived;
  private long bytesReceived;

  /// Counts a message that has gone.
  void sent(long bytes) {
    messagesSent++;
    bytesSent += bytes;
  }

  /// Counts a message that is here.
  void received(long bytes) {
    messagesReceived++;
    bytesReceived += bytes;
  }

  TransportCounters counters() {
    return new TransportCounters(messagesSent, bytesSent, messagesReceived, bytesReceived, 0);
  }
}
