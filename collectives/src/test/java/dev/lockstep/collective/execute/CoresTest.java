package dev.lockstep.collective.execute;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.request.StableHash;
import dev.lockstep.failure.TransportException;
import dev.lockstep.memory.Registration;
import dev.lockstep.transport.CurrentCore;
import dev.lockstep.transport.PeerAccess;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@Timeout(20)
class CoresTest {
  private static final int RANK = 1;
  private static final List<Integer> RANKS_OF_JOB = List.of(0, 1, 2, 3);
  private static final Members MEMBERS = new Members(RANK, RANKS_OF_JOB);
  private static final long FINGERPRINT = 42;
  private static final int SLOT = 2;
  private static final int HERE = 4;
  private static final int ELSEWHERE = 5;

  private final Words words = new Words();
  private final Cores cores = new Cores(words, 0, MEMBERS);

  @Test
  void aRankMayBeAnywhereUntilItHasSaidWhereItIs() {
    cores.look(HERE);

    assertThat(cores.mayBeHere(0)).isTrue();
  }

  @Test
  void ranksThatSaidTheyRunOnOtherCoresAreNotHere() {
    words.say(0, HERE);
    words.say(2, ELSEWHERE);

    cores.look(HERE);

    assertThat(cores.mayBeHere(0)).isTrue();
    assertThat(cores.mayBeHere(2)).isFalse();
  }

  @Test
  void whereTheSystemTellsNoCoresEverybodyMayBeHere() {
    words.say(2, ELSEWHERE);

    cores.look(CurrentCore.UNKNOWN);

    assertThat(cores.mayBeHere(2)).isTrue();
  }

  @Test
  void everybodyIsToldOnceOnWhichCoreARankRuns() {
    cores.look(HERE);
    cores.look(HERE);

    assertThat(words.told).containsOnlyKeys(0, 2, 3);
    assertThat(words.told.values()).containsOnly(HERE + 1L);
    assertThat(words.tellings).isEqualTo(RANKS_OF_JOB.size() - 1);
  }

  @Test
  void aPeerThatIsGoneKeepsNobodyFromTellingTheOthers() {
    words.gone = 0;

    cores.look(HERE);

    assertThat(words.told).containsOnlyKeys(2, 3);
  }

  @Test
  void aProgramWaitsForItsCoreOnlyAsLongAsARankOfThatCoreIsMissing() {
    words.say(0, ELSEWHERE);
    words.say(2, HERE);
    cores.look(HERE);
    Signals signals = new Signals(words, 0, MEMBERS);
    try (Program program =
        program(
            new Actions.AwaitSignal(signals, 0, SLOT), new Actions.AwaitSignal(signals, 2, SLOT))) {
      assertThat(program.waitsForItsCore(cores)).isTrue();

      signalFrom(2);
      assertThat(program.waitsForItsCore(cores)).isFalse();
    }
  }

  @ParameterizedTest(name = "cores={0}")
  @CsvSource({
    "4 4 5 5, true",
    "5 4 5 4, true",
    "4 4 4 5, false",
    "4 4 4 4, false",
    "4 5 6 7, false",
    "4 4 5 -1, false"
  })
  void ranksAreInPairsWhereEveryCoreHasTwo(String where, boolean inPairs) {
    say(where);

    assertThat(cores.areRanksInPairs()).isEqualTo(inPairs);
  }

  @Test
  void inPairsARankThatPassesOnLooksAgainForWhomAnotherCoreRuns() {
    Patience patience = new Patience(new Idle(false), cores);
    Signals signals = new Signals(words, 0, MEMBERS);
    Action hears = new Actions.AwaitSignal(signals, 2, SLOT);
    Action speaks = new Actions.Signal(signals, 0, SLOT);
    try (Program relay = program(hears, speaks);
        Program barrier = program(speaks, hears)) {
      say("4 4 5 5");
      assertThat(patience.isWorthAnotherLook(1, relay)).isTrue();
      assertThat(patience.isWorthAnotherLook(1, barrier)).isFalse();
      patience.completed(relay);
      assertThat(patience.isWorthAnotherLook(1, barrier)).isTrue();
      patience.completed(barrier);
      assertThat(patience.isWorthAnotherLook(1, barrier)).isFalse();

      say("4 5 5 4");
      assertThat(patience.isWorthAnotherLook(1, relay)).isFalse();
    }
  }

  /// Says of all ranks on which cores they are.
  private void say(String where) {
    List<Integer> numbers = Stream.of(where.split(" ", -1)).map(Integer::valueOf).toList();
    for (int peer : List.of(0, 2, 3)) {
      words.say(peer, numbers.get(peer));
    }
    cores.look(numbers.get(RANK));
  }

  @Test
  void whoSpeaksAfterItHasHeardPassesOn() {
    Signals signals = new Signals(words, 0, MEMBERS);
    Action hears = new Actions.AwaitSignal(signals, 0, SLOT);
    Action speaks = new Actions.Signal(signals, 2, SLOT);
    try (Program barrier = program(speaks, hears);
        Program relay = program(hears, speaks)) {
      assertThat(barrier.passesOn()).isFalse();
      assertThat(relay.passesOn()).isTrue();
    }
  }

  private static Program program(Action... actions) {
    List<Action> steps = List.of(actions);
    Program program =
        new Program(
            steps,
            steps.stream().map(_ -> List.<Program.Hazard>of()).toList(),
            List.of(),
            new SilentTransport(),
            FINGERPRINT);
    program.begin(0);
    return program;
  }

  /// A peer's signal in the first run.
  private void signalFrom(int peer) {
    Signals theirs = new Signals(words.of(peer), 0, new Members(peer, RANKS_OF_JOB));
    theirs.signal(RANK, SLOT, StableHash.mix(FINGERPRINT, 0));
  }

  /// The words between this rank and the others.
  private static class Words implements PeerAccess {
    private final Map<Integer, Long> said = new HashMap<>();
    final Map<Integer, Long> told = new HashMap<>();
    int tellings;
    int gone = -1;

    void say(int peer, int core) {
      said.put(peer * SLOTS + Endpoint.CORE_SLOT, core + 1L);
    }

    /// Returns the access of a peer that signals this rank.
    PeerAccess of(int peer) {
      return new Words() {
        @Override
        public void signal(int to, int communicator, int slot, long value) {
          Words.this.said.put(peer * SLOTS + slot, value);
        }
      };
    }

    @Override
    public void signal(int peer, int communicator, int slot, long value) {
      if (peer == gone) {
        throw new TransportException("rank " + peer, "peer has closed its signals", null);
      }
      tellings++;
      told.put(peer, value);
    }

    @Override
    public long signalled(int peer, int communicator, int slot) {
      return said.getOrDefault(peer * SLOTS + slot, 0L);
    }

    @Override
    public byte[] describe(Registration registration) {
      throw new UnsupportedOperationException();
    }

    @Override
    public MemorySegment open(int peer, byte[] descriptor) {
      throw new UnsupportedOperationException();
    }

    @Override
    public MemorySegment openToWrite(int peer, byte[] descriptor) {
      throw new UnsupportedOperationException();
    }

    @Override
    public void forget(int peer, byte[] descriptor) {}

    @Override
    public void openSignals(int communicator) {}

    @Override
    public void closeSignals(int communicator) {}
  }
}
