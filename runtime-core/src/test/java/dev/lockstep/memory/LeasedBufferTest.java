package dev.lockstep.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.Test;

class LeasedBufferTest {
  /// Memory that something works on for some attempts to free it.
  private static final class BusyBuffer extends LeasedBuffer {
    private int busyFor;
    private int frees;

    BusyBuffer(int busyFor) {
      super("w", 64);
      this.busyFor = busyFor;
    }

    @Override
    protected void free() {
      if (busyFor-- > 0) {
        throw new IllegalStateException("busy");
      }
      frees++;
    }

    @Override
    public Backing backing() {
      return new Backing.Private();
    }

    @Override
    public MemorySegment segment() {
      requireOpen();
      return MemorySegment.NULL;
    }
  }

  @Test
  void aCloseThatFindsTheMemoryBusyLeavesItOpen() {
    BusyBuffer buffer = new BusyBuffer(1);
    assertThatThrownBy(buffer::close).hasMessage("busy");
    assertThat(buffer.isClosed()).isFalse();
    buffer.acquire();
    buffer.release();
    buffer.close();
    buffer.close();
    assertThat(buffer.frees).isEqualTo(1);
  }

  @Test
  void whatWasClosedInQuarantineStaysClosedAndIsFreedByALaterClose() {
    BusyBuffer buffer = new BusyBuffer(2);
    buffer.quarantine();
    buffer.close();
    assertThatThrownBy(buffer::liftQuarantine).hasMessage("busy");
    assertThat(buffer.isClosed()).isTrue();
    assertThatThrownBy(buffer::acquire).hasMessage("buffer is closed: name=w");
    assertThatThrownBy(buffer::quarantine).hasMessage("buffer is closed: name=w");
    assertThatThrownBy(buffer::close).hasMessage("busy");
    assertThat(buffer.frees).isZero();
    buffer.close();
    buffer.close();
    assertThat(buffer.frees).isEqualTo(1);
  }
}
