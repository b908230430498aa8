package dev.lockstep.device.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class EmbeddingTest {
  @ParameterizedTest(name = "ids={0}, rows={1}, width={2}, outer={3}, blocks={4}")
  @CsvSource({"1, 1, 1, 1, 1", "24, 5, 19, 3, 4", "60, 7, 33, 2, 5", "9, 30, 16, 1, 1"})
  void addsInIndexOrderInsideBlocks(int ids, int rows, int width, int outer, int blocks) {
    var kernels = new Kernels(ids);
    int[] named = new Random(ids).ints(ids, 0, rows).toArray();
    Embedding call = new Embedding(ids, rows, width, outer, blocks);
    call.idsAt = kernels.ints(named);
    call.updates = kernels.normal(ids * width);
    call.lists = kernels.room(call.listBytes());
    float[] wanted = new float[rows * width];
    for (int e = 0; e < wanted.length; e++) {
      float[] leaves = new float[blocks];
      for (int j = 0; j < blocks; j++) {
        for (int i : Kernels.block(ids, outer, blocks, j)) {
          if (named[i] == e / width) {
            leaves[j] += Memory.f32(call.updates + ((long) i * width + e % width) * 4);
          }
        }
      }
      wanted[e] = Kernels.tree(leaves, 0, blocks);
    }
    call.list();
    Kernels.all()
        .forEach(
            set -> {
              call.table = kernels.of(rows * width, _ -> Double.NaN);
              call.add(set.elements(), 0, rows, kernels.room(call.scratchBytes()));
              assertThat(Kernels.bits(call.table, rows * width)).isEqualTo(Kernels.bits(wanted));
            });
  }

  @Test
  void refusesAnIdOutsideTheTable() {
    var kernels = new Kernels(1);
    Embedding call = new Embedding(3, 4, 2, 1, 1);
    call.idsAt = kernels.ints(0, 4, 1);
    call.table = kernels.normal(8);
    call.updates = kernels.zeros(6);
    call.lists = kernels.room(call.listBytes());
    assertThatThrownBy(() -> call.gather(0, 3, 8))
        .isInstanceOf(IndexOutOfBoundsException.class)
        .hasMessageContaining("id=4, position=1, rows=4");
    assertThatThrownBy(call::list).isInstanceOf(IndexOutOfBoundsException.class);
  }
}
