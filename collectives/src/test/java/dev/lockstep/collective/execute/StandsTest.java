package dev.lockstep.collective.execute;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.failure.Particulars.Call;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(20)
final class StandsTest {
  private static Stands of(long... fingerprints) {
    Stands stands = Stands.none();
    for (int sequence = 0; sequence < fingerprints.length; sequence++) {
      stands = stands.with(sequence, fingerprints[sequence], "collective " + sequence);
    }
    return stands;
  }

  @Test
  void whoIsMerelyLateDoesNotDisagree() {
    assertThat(of(7, 8).differsFrom(of(7, 8, 9))).isEmpty();
    assertThat(of(7, 8, 9).differsFrom(of(7, 8))).isEmpty();
    assertThat(of(7).differsFrom(Stands.none())).isEmpty();
    assertThat(Stands.none().with(3, 5, "").differsFrom(Stands.none().with(4, 6, ""))).isEmpty();
  }

  @Test
  void theFirstDisagreementCounts() {
    assertThat(of(7, 8, 9, 4).differsFrom(of(7, 6, 5, 4, 3))).hasValue(1);
    assertThat(of(7, 6, 5).differsFrom(of(7, 8, 9, 4))).hasValue(1);
  }

  @Test
  void whatIsToldArrives() {
    Stands told =
        Stands.none()
            .with(41, -3, "sendrecv(dtype=f32, elements=6, to=[1, -1]) at sequence 41")
            .with(42, Long.MAX_VALUE, "barrier at sequence 42, called at Überlauf.java:7");
    Stands heard = Stands.decode(told.encode());
    assertThat(heard).isEqualTo(told);
    assertThat(heard.at(41, 5))
        .contains(
            new Call(5, 41, -3, "sendrecv(dtype=f32, elements=6, to=[1, -1]) at sequence 41"));
    assertThat(heard.at(43, 5)).isEmpty();
    assertThat(heard.last(5).description())
        .isEqualTo("barrier at sequence 42, called at Überlauf.java:7");
    assertThat(Stands.decode(Stands.none().encode())).isEqualTo(Stands.none());
  }

  @Test
  void theLastCollectivesAreRemembered() {
    Past past = new Past();
    assertThat(past.stands().collectives()).isEmpty();
    int many = 3 * Past.KEPT + 5;
    for (int sequence = 0; sequence < many; sequence++) {
      past.add(sequence, new Asked("words " + sequence, "", 100 + sequence));
    }
    Stands stands = past.stands();
    assertThat(stands.collectives()).hasSize(Past.KEPT - 1);
    assertThat(stands.collectives().lastKey()).isEqualTo(many - 1);
    assertThat(stands.at(many - 1, 0).orElseThrow().description())
        .isEqualTo("words 52 at sequence 52");
  }

  @Test
  void whoReadsWhileMoreAreAddedTakesNoneForAnother() throws InterruptedException {
    Past past = new Past();
    AtomicBoolean enough = new AtomicBoolean();
    Thread mover =
        new Thread(
            () -> {
              Asked[] all = new Asked[64];
              for (int i = 0; i < all.length; i++) {
                all[i] = new Asked("", "", i);
              }
              for (long sequence = 0; !enough.get(); sequence++) {
                past.add(sequence, all[(int) (sequence % all.length)]);
              }
            });
    mover.start();
    try {
      for (int look = 0; look < 2000; look++) {
        past.stands()
            .collectives()
            .forEach((sequence, stand) -> assertThat(stand.fingerprint()).isEqualTo(sequence % 64));
      }
    } finally {
      enough.set(true);
      mover.join();
    }
  }
}
