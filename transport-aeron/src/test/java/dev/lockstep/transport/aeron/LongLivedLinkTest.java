package dev.lockstep.transport.aeron;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.deadline.Deadline;
import dev.lockstep.memory.Registration;
import dev.lockstep.transport.Transfer;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportHarness;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// A link goes on where Aeron's positions end.
@Timeout(60)
class LongLivedLinkTest {
  private static final int COMMUNICATOR = 1;
  private static final int MESSAGES = 6;

  @TempDir private Path directory;

  private static Transport open(TransportContext context, String name, long terms) {
    boolean isUdp = name.equals("aeron-udp");
    return AeronTransport.open(
        context, isUdp ? Medium.udp(context.bindAddress()) : Medium.ipc(), terms);
  }

  @ParameterizedTest
  @ValueSource(strings = {"aeron-ipc", "aeron-udp"})
  void messagesGoOnInAnotherLogInOrderAndWhole(String name) {
    int bytes = 3 << 20; // cut by the end of the log: a term has 4 MiB over IPC, 512 KiB over UDP
    List<TransportContext> contexts = TransportHarness.contexts(2, directory);
    List<Transport> transports = new ArrayList<>();
    contexts.forEach(context -> transports.add(open(context, name, 2)));
    try (TransportHarness ranks = new TransportHarness(transports)) {
      TransportHarness.Pair link = ranks.link(0, 1, COMMUNICATOR);
      List<Transfer> transfers = new ArrayList<>();
      List<Registration> sources = new ArrayList<>();
      List<Registration> targets = new ArrayList<>();
      for (int message = 0; message < MESSAGES; message++) {
        Registration source = ranks.random(0, bytes, message);
        Registration target = ranks.zeros(0, bytes);
        Transfer sending = TransportHarness.send(source, COMMUNICATOR, message);
        Transfer receiving = TransportHarness.receive(target, COMMUNICATOR, message);
        ranks.post(link.sender(), sending);
        ranks.post(link.receiver(), receiving);
        transfers.addAll(List.of(sending, receiving));
        sources.add(source);
        targets.add(target);
      }
      ranks.await(transfers.toArray(Transfer[]::new));
      for (int message = 0; message < MESSAGES; message++) {
        assertThat(targets.get(message).segment().mismatch(sources.get(message).segment()))
            .isEqualTo(-1);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"aeron-ipc", "aeron-udp"})
  void aReceiverThatLeavesBetweenTwoLogsIsMissed(String name) {
    int bytes = 3 << 20;
    List<TransportContext> contexts = TransportHarness.contexts(2, directory);
    List<Transport> transports = new ArrayList<>();
    contexts.forEach(context -> transports.add(open(context, name, 2)));
    try (TransportHarness ranks = new TransportHarness(transports)) {
      TransportHarness.Pair link = ranks.link(0, 1, COMMUNICATOR);
      AeronSendLink sender = (AeronSendLink) link.sender();
      Transfer last = TransportHarness.send(ranks.random(0, 100, 0), COMMUNICATOR, MESSAGES);
      for (int message = 0; message < MESSAGES; message++) {
        Transfer sending = TransportHarness.send(ranks.random(0, bytes, 1), COMMUNICATOR, message);
        Transfer taking = TransportHarness.receive(ranks.zeros(0, bytes), COMMUNICATOR, message);
        ranks.post(link.sender(), sending);
        ranks.post(link.receiver(), taking);
      }
      ranks.post(link.sender(), last);
      Deadline.until(
          () -> {
            int _ = link.receiver().poll();
            int _ = sender.poll();
            return sender.isBetweenLogs();
          });
      link.receiver().close();
      assertThat(ranks.failure(last)).hasMessageContaining("peer has left the link");
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"aeron-ipc", "aeron-udp"})
  void aPeerThatLeavesInTheSecondLogIsMissed(String name) {
    int bytes = 9 << 20;
    List<TransportContext> contexts = TransportHarness.contexts(2, directory);
    List<Transport> transports = new ArrayList<>();
    contexts.forEach(context -> transports.add(open(context, name, 2)));
    try (TransportHarness ranks = new TransportHarness(transports)) {
      TransportHarness.Pair link = ranks.link(0, 1, COMMUNICATOR);
      ranks.deliver(link, COMMUNICATOR, 0, bytes);
      link.sender().close();
      Transfer receiving = TransportHarness.receive(ranks.zeros(0, 100), COMMUNICATOR, 1);
      ranks.post(link.receiver(), receiving);
      assertThat(ranks.failure(receiving)).hasMessageContaining("peer has left the link");
    }
  }
}
