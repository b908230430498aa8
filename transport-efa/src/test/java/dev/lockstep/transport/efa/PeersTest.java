package dev.lockstep.transport.efa;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.TransportException;
import org.junit.jupiter.api.Test;

class PeersTest {
  @Test
  void linksThatAreGivenUpTogetherWaitTogetherAndThoseAfterAnAnswerAnew() {
    Peer peer = new Peer(1);
    long patience = Peer.PATIENCE_NANOS;
    assertThat(peer.isWaitedFor(0)).isTrue();
    assertThat(peer.isWaitedFor(patience - 1)).isTrue();
    assertThat(peer.isWaitedFor(patience)).as("it has not answered").isFalse();

    peer.hasAnswered();
    assertThat(peer.isWaitedFor(patience + 1)).as("another link").isTrue();
    assertThat(peer.isWaitedFor(2 * patience)).isTrue();
    assertThat(peer.isWaitedFor(2 * patience + 1)).isFalse();
    assertThat(peer.isWaitedFor(3 * patience + 1)).as("long after").isTrue();
  }

  @Test
  void aPeerThatIsThereKeepsItsEndpoint() {
    Peers peers = new Peers("ofi", "", 2, new Links("ofi"), (_, _) -> true);
    long[] first = {5, 7};
    peers.met(1, first);
    peers.met(1, first.clone());

    assertThatThrownBy(() -> peers.met(1, new long[] {5, 8}))
        .isInstanceOf(TransportException.class)
        .hasMessageContaining("peer names another endpoint than before: transport=ofi, peer=1");
    assertThat(peers.peer(1).addresses()).containsExactly(5, 7);

    peers.told(Wire.BYE, 1);
    peers.met(1, new long[] {5, 8});
    assertThat(peers.peer(1).addresses()).containsExactly(5, 8);
  }
}
