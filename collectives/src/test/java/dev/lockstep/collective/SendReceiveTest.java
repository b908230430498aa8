package dev.lockstep.collective;

import static dev.lockstep.collective.OperationsTest.empty;
import static dev.lockstep.collective.OperationsTest.filled;
import static dev.lockstep.collective.OperationsTest.over;
import static dev.lockstep.collective.OperationsTest.value;
import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.algorithm.Algorithms;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Partners;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Tensor;
import java.util.List;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// What ranks send to whom they choose arrives there, and nowhere else.
@Timeout(60)
final class SendReceiveTest {
  private static int[] from(int rank, int elements) {
    return IntStream.range(0, elements).map(i -> value(rank, i)).toArray();
  }

  @ParameterizedTest(name = "{0}, part={1}, async={2}")
  @CsvSource({
    "in-process, 300, true",
    "shm, 10, true",
    "shm, 300, false",
    "unsteady-peers, 300, true",
    "messages-only, 10, true",
    "messages-only, 300, false"
  })
  void ranksSendToWhomTheyChoose(String transport, int part, boolean asynchronous) {
    int ranks = 4;
    Ranks.run(
        ranks,
        over(transport),
        rank -> {
          Communicator all = rank.communicator;
          int me = all.rank();
          for (int distance : new int[] {-1, 0, 2, 5}) {
            Tensor mine = filled(rank, part);
            Tensor got = empty(rank, part);
            if (asynchronous) {
              all.sendReceiveAsync(mine, got, distance).await();
            } else {
              all.sendReceive(mine, got, distance);
            }
            assertThat(OperationsTest.of(got))
                .isEqualTo(from(Math.floorMod(me - distance, ranks), part));
          }
          List<Integer> stages = List.of(1, 2, -1, -1);
          Tensor mine = filled(rank, part);
          Tensor got = me == 1 || me == 2 ? empty(rank, part) : null;
          Tensor sent = me == 2 ? null : mine;
          send(all, sent, got, stages, asynchronous);
          if (got != null) {
            assertThat(OperationsTest.of(got)).isEqualTo(from(me - 1, part));
          }
          assertThat(OperationsTest.of(mine))
              .as("of a rank that neither sends nor gets")
              .isEqualTo(from(me, part));
          sent = me == 2 ? rank.privateTensor(DType.F64, 1) : mine; // 2 sends nothing
          send(all, sent, got, stages, asynchronous);
          if (got != null) {
            assertThat(OperationsTest.of(got)).isEqualTo(from(me - 1, part));
          }
          List<Integer> pair = List.of(3, -1, -1, 0);
          all.sendReceive(mine, mine, pair);
          assertThat(OperationsTest.of(mine))
              .isEqualTo(from(me == 0 || me == 3 ? 3 - me : me, part));
          return true;
        });
  }

  private static void send(
      Communicator all,
      @Nullable Tensor in,
      @Nullable Tensor out,
      List<Integer> destinations,
      boolean asynchronous) {
    if (asynchronous) {
      all.sendReceiveAsync(in, out, destinations).await();
    } else {
      all.sendReceive(in, out, destinations);
    }
  }

  @ParameterizedTest(name = "{0}, part={1}")
  @CsvSource({
    "in-process, 300",
    "shm, 10",
    "shm, 3000",
    "unsteady-peers, 3000",
    "messages-only, 300"
  })
  void ranksThatOnlySendOrOnlyGetDoSoInPlace(String transport, int part) {
    Ranks.run(
        3,
        over(transport),
        rank -> {
          int me = rank.communicator.rank();
          Tensor tensor = filled(rank, part);
          try (PreparedCollective stages =
              rank.communicator.prepare(
                  CollectiveRequest.sendReceive(
                      DType.I32,
                      part,
                      Partners.of(List.of(1, 2, -1)),
                      true,
                      rank.communicator.topology()),
                  me == 2 ? List.of() : List.of(tensor),
                  me == 0 ? null : tensor)) {
            stages.run();
            assertThat(OperationsTest.of(tensor)).isEqualTo(from(Math.max(0, me - 1), part));
            stages.run();
            assertThat(OperationsTest.of(tensor)).isEqualTo(from(0, part));
          }
          return true;
        });
  }

  @ParameterizedTest(name = "{0}, shared={1}, {2}")
  @CsvSource({
    "shm, true, swap-send-receive",
    "shm, false, swap-send-receive",
    "shm, true, direct-send-receive",
    "in-process, true, swap-send-receive",
    "unsteady-peers, true, swap-send-receive",
    "unsteady-peers, true, direct-send-receive",
    "messages-only, false, message-send-receive"
  })
  void whatTwoRanksSendEachOtherInPlaceChangesPlaces(
      String transport, boolean shared, String algorithm) {
    int elements = 5003;
    Ranks.run(
        2,
        over(transport),
        rank -> {
          int other = 1 - rank.communicator.rank();
          Tensor mine = filled(rank, elements);
          Tensor tensor = shared ? rank.sharedTensor(DType.I32, elements) : empty(rank, elements);
          try (PreparedCollective swap =
              rank.communicator.prepare(
                  CollectiveRequest.sendReceive(
                      DType.I32, elements, true, rank.communicator.topology()),
                  Algorithms.named(algorithm).orElseThrow(),
                  List.of(tensor),
                  tensor)) {
            for (int round = 0; round < 3; round++) {
              tensor.segment().copyFrom(mine.segment());
              swap.run();
              assertThat(OperationsTest.of(tensor)).isEqualTo(from(other, elements));
            }
          }
          return true;
        });
  }
}
