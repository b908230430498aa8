package dev.lockstep.device.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class TilesTest {
  /// Products of tiles and places that do not fit an `int` among them.
  @ParameterizedTest(name = "extent={0}, each={1}")
  @CsvSource({
    "0, 16",
    "1, 16",
    "16, 16",
    "17, 16",
    "2147480000, 8192",
    "2147483647, 8192",
    "2147483647, 64"
  })
  void coverTheExtentOnce(int extent, int each) {
    Tiles tiles = new Tiles(extent, each);
    int last = Math.max(0, tiles.count() - 1);
    assertThat(tiles.start(0)).isZero();
    assertThat((long) tiles.start(last)).isEqualTo((long) last * each);
    assertThat(tiles.start(tiles.count())).isEqualTo(extent);
    assertThat(extent - tiles.start(last)).isBetween(Math.min(1, extent), each);
  }
}
