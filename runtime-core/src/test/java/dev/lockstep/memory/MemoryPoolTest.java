package dev.lockstep.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(10)
final class MemoryPoolTest {
  private final MemoryPool pool = MemoryPool.root("job", 1 << 20);
  private final MemoryPool child = pool.child("model", 1 << 20);

  @Test
  void isNotClosedWhileAChildHoldsMemory() {
    MemoryPool.Charge own = pool.charge("x", 1);
    MemoryPool.Charge below = child.child("layer", 512).charge("x", 64);
    assertThatThrownBy(pool::close)
        .isInstanceOf(IllegalStateException.class)
        .hasMessageContaining("pool=job, model/layer/x: bytes=64, count=1, x: bytes=1, count=1");
    assertThatThrownBy(child::close)
        .isInstanceOf(IllegalStateException.class)
        .hasMessageContaining("pool=job/model, layer/x: bytes=64, count=1 (");
    below.close();
    child.close();
    own.close();
    pool.close();
  }

  @Test
  void isClosedWhileAnotherChildHoldsMemory() {
    MemoryPool.Charge other = pool.child("other", 512).charge("x", 64);
    child.close();
    other.close();
    assertThat(pool.usedBytes()).isZero();
  }

  @Test
  void chargesNoNegativeBytes() {
    assertThatThrownBy(() -> pool.charge("x", -64))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("tensor=x, bytes=-64");
    assertThat(pool.usedBytes()).isZero();
  }

  @Test
  void chargesNothingUnderAClosedPool() {
    pool.close();
    assertThatThrownBy(() -> child.charge("x", 64))
        .isInstanceOf(IllegalStateException.class)
        .hasMessageContaining("pool=job");
    assertThat(child.usedBytes()).isZero();
  }
}
