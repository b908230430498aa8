package dev.lockstep.device.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.lockstep.device.DeviceCollective;
import dev.lockstep.device.DeviceGroup;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.cuda.Ranks.Setting;
import dev.lockstep.device.cuda.ffi.NcclConfig;
import dev.lockstep.device.cuda.ffi.StandInCounts;
import dev.lockstep.failure.CollectiveTimeoutException;
import dev.lockstep.failure.DeviceException;
import dev.lockstep.failure.LockstepException;
import dev.lockstep.failure.RankLostException;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Tensor;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// What becomes of NCCL's errors, and of ranks that do not come: nobody waits for ever, and all
/// memory is given back ([Ranks#run]).
@Timeout(60)
class CollectiveFailuresTest {
  private final FaultyNccl faults = new FaultyNccl();

  private Setting setting(int ranks) {
    return Setting.of(StandInDevices.withNccl(faults::over), ranks);
  }

  private static DeviceCollective sum(int ranks, long elements) {
    return new DeviceCollective.AllReduce(
        DType.F32, new ReduceOp.Sum(), LaneSplit.onePerRank(ranks), elements);
  }

  /// Starts a sum over two ranks.
  private static DeviceGroup.Prepared start(Ranks.Rank rank, int elements) {
    Tensor in = rank.tensor(new float[elements]);
    DeviceGroup.Prepared reduce =
        rank.prepare(sum(2, elements), List.of(in), rank.room(DType.F32, elements));
    reduce.start();
    reduce.await();
    return reduce;
  }

  @Test
  void aGroupIsLeftInPeace() throws Exception {
    Ranks.run(
        setting(3),
        rank -> {
          rank.group();
          return rank.number();
        });
    assertThat(faults.calls("commFinalize")).isEqualTo(3);
    assertThat(faults.calls("commDestroy")).isEqualTo(3);
    assertThat(faults.calls("commAbort")).isZero();
  }

  @Test
  void aRefusedGroupSaysWhatNcclSays() {
    faults.fail("commInitRankConfig", NcclConfig.SYSTEM_ERROR);
    DeviceException refused =
        catchThrowableOfType(DeviceException.class, () -> Ranks.run(setting(1), Ranks.Rank::group));
    assertThat(refused.function()).isEqualTo("ncclCommInitRankConfig");
    assertThat(refused.status()).isEqualTo(NcclConfig.SYSTEM_ERROR);
    assertThat(refused)
        .hasMessageContaining("unhandled system error")
        .hasMessageContaining("op=join#0, rank=0, ranks=1")
        .hasMessageContaining("NCCL_DEBUG=INFO");
  }

  /// The stand-in has four devices.
  @Test
  void ranksOfOneGpuAreRefusedByName() {
    assertThatThrownBy(() -> Ranks.run(setting(5), Ranks.Rank::group))
        .isInstanceOf(DeviceException.class)
        .hasMessageContaining("Duplicate GPU detected")
        .hasMessageContaining("LOCKSTEP_LIBNCCL=none");
    assertThat(faults.calls("commAbort")).isEqualTo(5);
  }

  @Test
  void joiningHasADeadline() {
    CollectiveTimeoutException late =
        catchThrowableOfType(
            CollectiveTimeoutException.class,
            () ->
                Ranks.run(
                    setting(2).withTimeout(Duration.ofMillis(300)),
                    rank -> rank.number() == 0 ? rank.group().toString() : ""));
    assertThat(late.op()).isEqualTo("join");
    assertThat(late.timeoutNanos()).isEqualTo(300_000_000);
    assertThat(faults.calls("commAbort")).isEqualTo(1);
  }

  @Test
  void aCollectiveThatARankNeverStartsHasADeadline() {
    CountDownLatch over = new CountDownLatch(1);
    assertThatThrownBy(
            () ->
                Ranks.run(
                    setting(2).withTimeout(Duration.ofMillis(500)),
                    rank -> {
                      rank.group();
                      if (rank.number() == 1) {
                        over.await();
                        return rank.number();
                      }
                      try {
                        start(rank, 9);
                        rank.stream().synchronize();
                        return rank.number();
                      } finally {
                        // Whatever uses the streams from now on hears of it too.
                        assertThatThrownBy(() -> rank.stream().record())
                            .isInstanceOf(CollectiveTimeoutException.class);
                        over.countDown();
                      }
                    }))
        .isInstanceOf(CollectiveTimeoutException.class)
        .hasMessageContaining("op=all_reduce#0, rank=0, ranks=2")
        .hasMessageContaining("timeoutMillis=500");
  }

  @Test
  void anErrorThatNcclReportsLaterEndsWhoWaits() {
    CountDownLatch over = new CountDownLatch(1);
    assertThatThrownBy(
            () ->
                Ranks.run(
                    setting(2),
                    rank -> {
                      rank.group();
                      if (rank.number() == 1) {
                        over.await();
                        return rank.number();
                      }
                      start(rank, 9);
                      faults.report(NcclConfig.REMOTE_ERROR);
                      try {
                        rank.stream().synchronize();
                        return rank.number();
                      } finally {
                        faults.report(NcclConfig.SUCCESS);
                        over.countDown();
                      }
                    }))
        .isInstanceOf(DeviceException.class)
        .hasMessageContaining("remote process exited")
        .hasMessageContaining("op=all_reduce#0, rank=0, ranks=2")
        .hasMessageContaining("another rank has failed");
  }

  @Test
  void aLostRankEndsWhoWaits() {
    CountDownLatch over = new CountDownLatch(1);
    AtomicReference<@Nullable LockstepException> lost = new AtomicReference<>();
    assertThatThrownBy(
            () ->
                Ranks.run(
                    setting(2).interruptedBy((_, _, _) -> lost.get()),
                    rank -> {
                      rank.group();
                      if (rank.number() == 1) {
                        over.await();
                        return rank.number();
                      }
                      start(rank, 5000);
                      lost.set(new RankLostException("all_reduce", 0, 0, 1, "rank was lost", null));
                      try {
                        rank.values(rank.room(DType.F32, 3));
                        return rank.number();
                      } finally {
                        lost.set(null);
                        over.countDown();
                      }
                    }))
        .isInstanceOf(RankLostException.class);
    assertThat(faults.calls("commAbort")).isEqualTo(1);
  }

  @Test
  void ranksThatDisagreeEndWithAnError() {
    assertThatThrownBy(
            () ->
                Ranks.run(
                    setting(2),
                    rank -> {
                      start(rank, 9 + rank.number());
                      rank.stream().synchronize();
                      return rank.number();
                    }))
        .isInstanceOf(DeviceException.class)
        .hasMessageContaining("not as long as what is received");
  }

  /// Lanes are joined by launches that go before what is computed meanwhile.
  @Test
  void aJoinIsUrgentAndOneThatTheDriverRefusesNamesItsCollective() throws Exception {
    FaultyDriver driver = new FaultyDriver();
    Setting alone = Setting.of(StandInDevices.decorated(driver::over), 1);
    long urgent = StandInCounts.urgentLaunches();
    assertThat(Ranks.run(alone, CollectiveFailuresTest::sumOfOne)).containsExactly(3f);
    assertThat(StandInCounts.urgentLaunches()).isEqualTo(urgent + 1);
    driver.fail("launchKernelEx", 701);
    assertThatThrownBy(() -> Ranks.run(alone, CollectiveFailuresTest::sumOfOne))
        .isInstanceOf(DeviceException.class)
        .hasMessageContaining("cuLaunchKernelEx failed: device=cuda:0, status=701")
        .hasMessageContaining("op=all_reduce");
  }

  /// Its calls are queued then, and no event says when they are over.
  @Test
  void aCollectiveWithoutAnEventEndsAllAndIsWaitedFor() {
    FaultyDriver driver = new FaultyDriver();
    assertThatThrownBy(
            () ->
                Ranks.run(
                    Setting.of(StandInDevices.decorated(driver::over), 1),
                    rank -> {
                      Tensor in = rank.tensor(1, 3);
                      DeviceGroup.Prepared reduce =
                          rank.prepare(sum(1, 2), List.of(in), rank.room(DType.F32, 2));
                      driver.failOnce("eventRecord", 3, 1);
                      assertThatThrownBy(reduce::start).isInstanceOf(DeviceException.class);
                      int waits = driver.calls("streamSynchronize");
                      reduce.close();
                      assertThat(driver.calls("streamSynchronize")).isEqualTo(waits + 1);
                      rank.stream().record();
                      return rank.number();
                    }))
        .isInstanceOf(DeviceException.class)
        .hasMessageContaining("cuEventRecord failed: device=cuda:0, status=1");
  }

  private static float sumOfOne(Ranks.Rank rank) {
    Tensor out = rank.room(DType.F32, 2);
    DeviceGroup.Prepared reduce = rank.prepare(sum(1, 2), List.of(rank.tensor(1, 3)), out);
    reduce.start();
    reduce.await();
    return rank.values(out)[1];
  }

  @Test
  void tensorsThatDoNotFitAreRefusedAndNothingStaysLeased() throws Exception {
    Ranks.run(
        setting(1),
        rank -> {
          Tensor five = rank.room(DType.F32, 5);
          Tensor six = rank.room(DType.F32, 6);
          assertThatThrownBy(() -> rank.prepare(sum(1, 5), List.of(five), six))
              .isInstanceOf(IllegalArgumentException.class)
              .hasMessageContaining("elements=6")
              .hasMessageContaining("expectedElements=5");
          assertThatThrownBy(() -> rank.prepare(sum(1, 5), List.of(), five))
              .isInstanceOf(IllegalArgumentException.class)
              .hasMessageContaining("tensors=0, expected=1");
          assertThatThrownBy(
                  () ->
                      rank.prepare(
                          new DeviceCollective.AllReduce(
                              DType.I32, new ReduceOp.Sum(), LaneSplit.onePerRank(1), 5),
                          List.of(five),
                          five))
              .isInstanceOf(IllegalArgumentException.class)
              .hasMessageContaining("I32");
          return rank.number();
        });
  }

  @Test
  void withoutNcclADeviceHasNoCollectives() {
    try (var pool = MemoryPool.root("none", Long.MAX_VALUE);
        var device = StandInDevices.withoutNccl().open(0, new DeviceOptions(pool, 1, 0))) {
      assertThat(device.collectives()).isEmpty();
      assertThat(StandInDevices.withoutNccl().probe().toString()).contains("no NCCL");
      assertThat(StandInDevices.withNccl(faults::over).probe().toString()).contains("NCCL 2.30.7");
    }
  }
}
