package dev.lockstep.collective.plan;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LinkCacheTest {
  private static final Instant NOW = Instant.ofEpochSecond(1_800_000_000);
  private static final String KEY = LinkTable.key("shm", 2, 1, "one.host");

  @TempDir Path folder;

  private static LinkTable table(String key, Instant fitted) {
    return new LinkTable(key, fitted, LinkTable.typical("shm", true).fabric());
  }

  @Test
  void whatIsKeptIsFoundAsItWas() throws IOException {
    LinkCache cache = new LinkCache(folder.resolve("made"));
    cache.keep(table(KEY, NOW));
    assertThat(cache.find(KEY, NOW)).contains(table(KEY, NOW));
    assertThat(cache.find(LinkTable.key("shm", 3, 1, "one.host"), NOW)).isEmpty();
    try (Stream<Path> files = Files.list(folder.resolve("made"))) {
      assertThat(files).containsExactly(cache.file(KEY));
    }
  }

  @Test
  void oneFileIsReplacedAsAWhole() {
    LinkCache cache = new LinkCache(folder);
    cache.keep(table(KEY, NOW));
    cache.keep(table(KEY, NOW.plusSeconds(5)));
    assertThat(cache.find(KEY, NOW.plusSeconds(5))).contains(table(KEY, NOW.plusSeconds(5)));
  }

  @Test
  void aTableThatIsOldOrFromTheFutureIsAbsent() {
    LinkCache cache = new LinkCache(folder);
    cache.keep(table(KEY, NOW));
    assertThat(cache.find(KEY, NOW.plus(Duration.ofDays(29)))).isPresent();
    assertThat(cache.find(KEY, NOW.plus(Duration.ofDays(31)))).isEmpty();
    assertThat(cache.find(KEY, NOW.minus(Duration.ofDays(1)))).isEmpty();
  }

  @Test
  void aTableOfAnotherJavaIsAbsentThoughItsFileIsTheSame() {
    LinkCache cache = new LinkCache(folder);
    String other = KEY.replaceAll("java=.*", "java=24");
    assertThat(cache.file(other)).isEqualTo(cache.file(KEY));
    cache.keep(table(other, NOW));
    assertThat(cache.find(KEY, NOW)).isEmpty();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "lockstep-links 2\n",
        "lockstep-links 1\n",
        "garbage\u0000",
        "lockstep-links 9\ncrc=0\n"
      })
  void aDamagedFileIsAbsentAndReplaced(String text) throws IOException {
    LinkCache cache = new LinkCache(folder);
    Files.writeString(cache.file(KEY), text);
    assertThat(cache.find(KEY, NOW)).isEmpty();
    cache.keep(table(KEY, NOW));
    assertThat(cache.find(KEY, NOW)).isPresent();
  }

  @Test
  void aFileCutOffAtAnyPlaceIsAbsentAndSoIsOneWithAChangedCharacter() throws IOException {
    LinkCache cache = new LinkCache(folder);
    String whole = table(KEY, NOW).encode();
    for (int length = 0; length < whole.length(); length += 7) {
      Files.writeString(cache.file(KEY), whole.substring(0, length));
      assertThat(cache.find(KEY, NOW)).as("length=" + length).isEmpty();
      String changed = whole.substring(0, length) + '~' + whole.substring(length + 1);
      Files.writeString(cache.file(KEY), changed);
      assertThat(cache.find(KEY, NOW)).as("changed=" + length).isEmpty();
    }
  }

  @Test
  void aFolderThatCannotBeWrittenIsPassedOver() throws IOException {
    Path file = Files.writeString(folder.resolve("file"), "");
    LinkCache cache = new LinkCache(file.resolve("below"));
    cache.keep(table(KEY, NOW));
    cache.doubt(KEY, NOW);
    assertThat(cache.find(KEY, NOW)).isEmpty();
    assertThat(cache.isDoubted(KEY, NOW)).isFalse();
  }

  @Test
  void aDoubtHoldsForAFewMinutesAndUntilATableIsKept() {
    LinkCache cache = new LinkCache(folder);
    assertThat(cache.isDoubted(KEY, NOW)).isFalse();
    cache.doubt(KEY, NOW);
    assertThat(cache.isDoubted(KEY, NOW)).isTrue();
    assertThat(cache.isDoubted(KEY, NOW.plus(Duration.ofMinutes(9)))).isTrue();
    assertThat(cache.isDoubted(KEY, NOW.plus(Duration.ofMinutes(11)))).isFalse();
    assertThat(cache.isDoubted(KEY, NOW.minus(Duration.ofMinutes(1)))).isFalse();
    assertThat(cache.isDoubted(KEY.replaceAll("java=.*", "java=24"), NOW)).isFalse();
    assertThat(cache.find(KEY, NOW)).isEmpty();
    cache.keep(table(KEY, NOW));
    assertThat(cache.isDoubted(KEY, NOW)).isFalse();
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "\n", "KEY", "KEY\n", "KEY\nnow\n", "KEY\n9223372036854775807\n"})
  void aDamagedDoubtIsNone(String text) throws IOException {
    LinkCache cache = new LinkCache(folder);
    cache.doubt(KEY, NOW);
    Path file;
    try (Stream<Path> files = Files.list(folder)) {
      file = files.findFirst().orElseThrow();
    }
    Files.writeString(file, text.replace("KEY", KEY));
    assertThat(cache.isDoubted(KEY, NOW)).isFalse();
  }

  @Test
  void aTableWithFieldsMissingIsRefused() {
    for (String text : List.of("", "lockstep-links 2\nkey=\n")) {
      assertThatThrownBy(() -> LinkTable.decode(text))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("table of links");
    }
  }
}
