package dev.lockstep.transport.efa;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.transport.Envelope;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.util.zip.CRC32C;
import org.junit.jupiter.api.Test;

class WireTest {
  private static final int AT = 8;
  private static final int BODY = FrameShape.STREAM.bytes() - Wire.HEADER_BYTES;
  private static final long LARGE = (1L << 48) - 2;
  private static final long JOB = 0xF123_4567_89AB_CDEFL;

  private final CRC32C crc = new CRC32C();
  private final MemorySegment frame =
      Arena.ofAuto().allocate(AT + (long) FrameShape.STREAM.bytes(), 8);
  private final ByteBuffer bytes = frame.asByteBuffer();

  @Test
  void headersSayWhatTheyWereGiven() {
    Wire.header(frame, AT, Wire.BYE_SEEN, JOB, -5, BODY, LARGE, LARGE - 1);
    assertThat(Wire.kind(frame, AT)).isEqualTo(Wire.BYE_SEEN);
    assertThat(Wire.link(frame, AT)).isEqualTo(-5);
    assertThat(Wire.bytes(frame, AT)).isEqualTo(BODY);
    assertThat(Wire.number(frame, AT)).isEqualTo(LARGE);
    assertThat(Wire.message(frame, AT)).isEqualTo(LARGE - 1);
    assertThat(Wire.isOf(frame, AT, JOB)).isTrue();
    assertThat(Wire.isOf(frame, AT, JOB + 1)).isFalse();
  }

  @Test
  void everyBitOfAHeaderIsChecked() {
    Wire.header(frame, AT, Wire.FIRST, JOB, 3, 64, 7, 6);
    Wire.seal(frame, AT, crc, bytes);
    int whole = Wire.HEADER_BYTES + 64;
    assertThat(Wire.isWhole(frame, AT, whole, crc, bytes)).isTrue();
    assertThat(Wire.isWhole(frame, AT, whole - 1, crc, bytes)).isFalse();
    for (int bit = 0; bit < whole * Byte.SIZE; bit++) {
      flip(bit);
      assertThat(Wire.isWhole(frame, AT, whole, crc, bytes)).as("bit %d", bit).isFalse();
      flip(bit);
    }
  }

  @Test
  void bareFramesSayWhoseTheyAreAndWhichTheyAre() {
    int link = 3 << Wire.LINK_BITS | 77;
    for (long next : new long[] {0, 31, 63, 64, LARGE - 31}) {
      for (long frame = next; frame < next + 2 * FabricLink.WINDOW; frame++) {
        long bare = Wire.bare(link, frame, frame / 3, -2);
        assertThat(Wire.numberOf(bare, next)).isEqualTo(frame);
        assertThat(Wire.placeOf(bare)).isEqualTo(77);
        assertThat(Wire.checksumOf(bare)).isEqualTo(-2);
        assertThat(Wire.isFor(link, bare)).isTrue();
        assertThat(Wire.isFor(77, bare)).isFalse();
        assertThat(Wire.isOfMessage(bare, frame / 3)).isTrue();
        assertThat(Wire.isOfMessage(bare, frame / 3 - 1)).isFalse();
        assertThat(Wire.isOfMessage(bare, frame / 3 + 1)).isFalse();
      }
      long late = Wire.bare(link, next, 0, 0);
      assertThat(Wire.numberOf(late, next + 1)).isGreaterThanOrEqualTo(next + 33);
    }
  }

  private void flip(int bit) {
    int at = AT + bit / Byte.SIZE;
    int mask = 1 << (bit % Byte.SIZE);
    bytes.clear();
    bytes.put(at, (byte) (bytes.get(at) ^ mask));
  }

  @Test
  void messageOf64BytesGoesInTheQueueOfShmItself() {
    int queued = 256 - 64; // SMR_CMD_SIZE less its header
    assertThat(Wire.HEADER_BYTES + Envelope.BYTES + 64).isLessThanOrEqualTo(queued);
  }
}
