package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.ValueLayout;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Ranks laid out along named axes.
@Timeout(60)
final class MeshTest {
  @Test
  void everyAxisHasACommunicatorOfTheRanksAlongIt() {
    Ranks.run(
        6,
        SameBitsTest.over("shm"),
        rank -> {
          List<Mesh.Axis> axes = Mesh.Axis.parse("dp=2,tp=3");
          try (Mesh mesh = Mesh.of(rank.job, SameBitsTest.over("shm"), axes)) {
            assertThat(mesh.axes()).isEqualTo(axes);
            assertThat(mesh.coordinate("dp")).isEqualTo(rank.number() / 3);
            assertThat(mesh.coordinate("tp")).isEqualTo(rank.number() % 3);
            assertThat(mesh.size("tp")).isEqualTo(3);
            assertThat(mesh.axis("dp").rank()).isEqualTo(mesh.coordinate("dp"));
            assertThat(mesh.axis("tp").rank()).isEqualTo(mesh.coordinate("tp"));
            assertThat(sumOfRanks(rank, mesh.axis("dp"))).isEqualTo(2 * (rank.number() % 3) + 3);
            assertThat(sumOfRanks(rank, mesh.axis("tp"))).isEqualTo(rank.number() < 3 ? 3 : 12);
            try (Communicator turned = mesh.communicator(List.of("tp", "dp"))) {
              assertThat(turned.jobRanks()).containsExactly(0, 3, 1, 4, 2, 5);
            }
            assertThatThrownBy(() -> mesh.axis("pp")).isInstanceOf(IllegalArgumentException.class);
          }
          return true;
        });
  }

  @Test
  void partsOfPartsAreApartFromAllOthers() {
    Ranks.run(
        8,
        SameBitsTest.over("shm"),
        rank -> {
          List<Mesh.Axis> axes = Mesh.Axis.parse("dp=2,tp=2,pp=2");
          try (Mesh mesh = Mesh.of(rank.job, SameBitsTest.over("shm"), axes);
              Communicator line = mesh.axis("pp").split(0, mesh.coordinate("pp")).orElseThrow()) {
            int pair = rank.number() / 2 * 4 + 1;
            assertThat(sumOfRanks(rank, line)).isEqualTo(pair);
            assertThat(sumOfRanks(rank, mesh.axis("pp"))).isEqualTo(pair);
          }
          return true;
        });
  }

  /// Also where one rank's would not hold the job's ranks.
  @ParameterizedTest
  @ValueSource(strings = {"dp=4", "dp=3"})
  void unlikeAxesAreSaidOnEveryRank(String other) {
    Ranks.run(
        4,
        SameBitsTest.over("in-process"),
        rank -> {
          List<Mesh.Axis> axes = Mesh.Axis.parse(rank.number() < 3 ? "dp=2,tp=2" : other);
          assertThatThrownBy(() -> Mesh.of(rank.job, SameBitsTest.over("in-process"), axes))
              .isInstanceOf(ConfigurationException.class)
              .hasMessage(
                  "ranks were given unlike options: rank=0 --mesh dp=2,tp=2, rank=3 --mesh %s"
                      + " (give every rank the same)",
                  other);
          return true;
        });
  }

  private static int sumOfRanks(Ranks.Rank rank, Communicator communicator) {
    Tensor tensor = rank.privateTensor(DType.I32, 1);
    tensor.segment().set(ValueLayout.JAVA_INT, 0, rank.number());
    communicator.allReduce(tensor, tensor, new ReduceOp.Sum());
    return tensor.segment().get(ValueLayout.JAVA_INT, 0);
  }

  @ParameterizedTest
  @ValueSource(strings = {"dp", "dp=", "dp=0", "=2", "dp=2,", "dp=two", "dp=1=2"})
  void axesThatCannotBeReadAreOneSentence(String text) {
    assertThatThrownBy(() -> Mesh.Axis.parse(text))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageNotContaining("\n");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"dp=2", "dp=1,dp=1", "dp=3,tp=2", "dp=2147483647,tp=2147483647,pp=2147483647"})
  void axesHoldExactlyTheRanks(String text) {
    Ranks.run(
        1,
        SameBitsTest.over("in-process"),
        rank -> {
          assertThatThrownBy(
                  () -> Mesh.of(rank.job, SameBitsTest.over("in-process"), Mesh.Axis.parse(text)))
              .isInstanceOf(ConfigurationException.class)
              .hasMessageContaining("worldSize=1");
          return true;
        });
  }
}
