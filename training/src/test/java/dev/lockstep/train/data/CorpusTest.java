package dev.lockstep.train.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.cache.Digests;
import dev.lockstep.failure.ConfigurationException;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
class CorpusTest {
  @TempDir Path temporary;
  private Path cache;
  private Path folder;

  private static final class Heard implements CorpusListener {
    final List<String> reasons = new ArrayList<>();
    final List<String> leftOut = new ArrayList<>();

    @Override
    public void building(String reason) {
      reasons.add(reason);
    }

    @Override
    public void leftOut(String file, String reason) {
      leftOut.add(file + ": " + reason);
    }
  }

  @BeforeEach
  void writeSomeText() throws IOException {
    cache = temporary.resolve("cache");
    folder = temporary.resolve("text");
    Random random = new Random(5);
    for (int i = 0; i < 40; i++) {
      Path file = folder.resolve("d" + i % 3).resolve("f" + i + ".txt");
      Files.createDirectories(file.getParent());
      StringBuilder text = new StringBuilder();
      for (int line = 0; line < 200; line++) {
        text.append("file ").append(i).append(" ").append(random.nextLong()).append('\n');
      }
      Files.writeString(file, text);
    }
    Files.write(folder.resolve("binary.dat"), new byte[] {1, 0, 2});
    Files.write(folder.resolve("latin1.txt"), new byte[] {'a', (byte) 0xE4, 'b'});
    Files.writeString(folder.resolve(".hidden"), "not seen");
  }

  @Test
  void everyByteOfEveryTextFileIsReadBackOnceAndFilesAreNeverSplit() throws IOException {
    try (Corpus corpus = Corpus.open(DataOptions.of(folder, cache), CorpusListener.SILENT)) {
      String all = text(corpus, 0, corpus.trainTokens() + corpus.validationTokens());
      String heldOut = text(corpus, corpus.trainTokens(), corpus.validationTokens());
      long bytes = 0;
      int filesHeldOut = 0;
      for (Path file : textFiles()) {
        String content = Files.readString(file);
        bytes += content.length();
        assertThat(all).contains(content);
        filesHeldOut += heldOut.contains(content) ? 1 : 0;
      }
      assertThat(all).hasSize((int) bytes).doesNotContain("not seen");
      assertThat(filesHeldOut).isBetween(1, 12);
    }
  }

  @Test
  void aFileIsReadWhoseNameHasABackslash() throws IOException {
    Path odd = Files.createDirectory(temporary.resolve("odd"));
    Files.writeString(odd.resolve("docs\\a.txt"), "some text");
    Files.writeString(odd.resolve("docs"), "other text");
    try (Corpus corpus = Corpus.open(DataOptions.of(odd, cache), CorpusListener.SILENT)) {
      assertThat(text(corpus, 0, corpus.trainTokens() + corpus.validationTokens()))
          .contains("some text", "other text");
    }
  }

  @Test
  void theCopyOfTheTextIsForItsUsersEyesOnly() throws IOException {
    open(new Heard());

    try (Stream<Path> made = Files.walk(cache)) {
      for (Path path : made.filter(path -> !path.endsWith("lock")).toList()) {
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(path)))
            .as("mode of %s", path)
            .endsWith("------");
      }
    }
  }

  @Test
  void whatIsNoTextIsTold() throws IOException {
    Heard heard = new Heard();
    open(heard);
    assertThat(heard.leftOut)
        .containsExactlyInAnyOrder("binary.dat: it has a zero byte", "latin1.txt: it is not UTF-8");

    Path binary = Files.createDirectories(temporary.resolve("images"));
    for (int i = 0; i < 5; i++) {
      Files.write(binary.resolve(i + ".png"), new byte[] {1, 0, 2});
    }
    assertThatThrownBy(
            () -> Corpus.open(DataOptions.of(binary, cache), CorpusListener.SILENT).close())
        .hasMessageContaining("leftOut=5: ")
        .hasMessageContaining(".png: it has a zero byte; and others (give");
  }

  @Test
  void aLinkToAFolderNamesItsText() throws IOException {
    Path link = Files.createSymbolicLink(temporary.resolve("link"), folder);
    String sha256 = open(new Heard());
    try (Corpus corpus = Corpus.open(DataOptions.of(link, cache), CorpusListener.SILENT)) {
      assertThat(corpus.sha256()).isEqualTo(sha256);
    }
  }

  @Test
  void theLastFileWithTextIsHeldOutWhereNoneIsByName() throws IOException {
    Path few = Files.createDirectories(temporary.resolve("few"));
    for (String name : List.of("a", "b", "c", "e", "f")) {
      Files.writeString(few.resolve(name + ".txt"), "text of " + name + "\n");
    }
    Files.createFile(few.resolve("h.txt"));
    Files.write(few.resolve("z.png"), new byte[] {1, 0, 2});
    Heard heard = new Heard();
    try (Corpus corpus = Corpus.open(DataOptions.of(few, cache), heard)) {
      assertThat(text(corpus, corpus.trainTokens(), corpus.validationTokens()))
          .isEqualTo("text of f\n");
      assertThat(corpus.trainTokens()).isEqualTo(4L * "text of f\n".length());
    }
    assertThat(heard.leftOut).containsExactly("z.png: it has a zero byte");
  }

  /// Of 1 MiB and more a file is read in pieces: nothing of it is lost, wherever characters lie.
  @Test
  void largeFilesAreTextToo() throws IOException {
    String text = "x" + "€uro\n".repeat(300_000);
    for (Path large : List.of(temporary.resolve("large.txt"), folder.resolve("d0/large.txt"))) {
      Files.writeString(large, text);
      try (Corpus corpus = Corpus.open(DataOptions.of(large, cache), CorpusListener.SILENT)) {
        assertThat(text(corpus, 0, corpus.trainTokens() + corpus.validationTokens()))
            .isEqualTo(text);
      }
    }
    try (Corpus corpus = Corpus.open(DataOptions.of(folder, cache), CorpusListener.SILENT)) {
      assertThat(text(corpus, 0, corpus.trainTokens() + corpus.validationTokens())).contains(text);
    }
    byte[] torn = text.getBytes(StandardCharsets.UTF_8);
    Files.write(folder.resolve("d0/large.txt"), java.util.Arrays.copyOf(torn, torn.length - 5));
    Heard heard = new Heard();
    open(heard);
    assertThat(heard.leftOut).contains("d0/large.txt: it is not UTF-8");
  }

  @Test
  void aZipAndAFolderWithTheSameFilesAreTheSameDataSet() throws IOException {
    Path zip = temporary.resolve("text.zip");
    try (OutputStream out = Files.newOutputStream(zip);
        ZipOutputStream zipped = new ZipOutputStream(out)) {
      for (Path file : textFiles()) {
        zipped.putNextEntry(new ZipEntry(folder.relativize(file).toString()));
        zipped.write(Files.readAllBytes(file));
      }
    }
    try (Corpus fromZip = Corpus.open(DataOptions.of(zip, cache), CorpusListener.SILENT);
        Corpus fromFolder = Corpus.open(DataOptions.of(folder, cache), CorpusListener.SILENT)) {
      assertThat(fromZip.sha256()).isEqualTo(fromFolder.sha256()).hasSize(64);
      assertThat(fromZip.path()).isEqualTo(fromFolder.path());
    }
  }

  @Test
  void theSecondOpeningTakesTheCacheAndAStaleOneIsBuiltAgain() throws IOException {
    Heard heard = new Heard();
    String first = open(heard);
    assertThat(open(heard)).isEqualTo(first);
    assertThat(heard.reasons).containsExactly("no cache yet");

    Path changed = folder.resolve("d0/f0.txt");
    Files.writeString(changed, "other text\n".repeat(50));
    Files.setLastModifiedTime(changed, FileTime.fromMillis(1_000_000));
    assertThat(open(heard)).isNotEqualTo(first);
    assertThat(heard.reasons)
        .containsExactly("no cache yet", "the text has changed since the cache was made");
  }

  @Test
  void aDataSetIsFoundByItsHashWithoutItsText() throws IOException {
    String sha256 = open(new Heard());
    Heard heard = new Heard();
    Path tokens = cache.resolve("tokens");
    String other = "0".repeat(64);
    Files.copy(tokens.resolve(sha256 + ".lz4"), tokens.resolve(other + ".lz4"));

    try (Corpus found = Corpus.openCached(cache, sha256, heard).orElseThrow()) {
      assertThat(found.sha256()).isEqualTo(sha256);
    }
    assertThat(Corpus.isCached(cache, other)).isTrue();
    assertThat(Corpus.openCached(cache, "1".repeat(64), heard)).isEmpty();
    assertThat(Corpus.openCached(cache, "../tokens/" + sha256, heard)).isEmpty();
    assertThat(heard.reasons).isEmpty();
    assertThat(Corpus.openCached(cache, other, heard)).isEmpty();
    assertThat(heard.reasons).containsExactly("the cache is damaged: file is another data set");
  }

  @Test
  void everyDamagedByteOfTheCacheIsFoundAndTheCacheBuiltAgain() throws IOException {
    String sha256 = open(new Heard());
    Path file = cache.resolve("tokens").resolve(sha256 + ".lz4");
    byte[] whole = Files.readAllBytes(file);
    Random random = new Random(3);
    for (int i = 0; i < 30; i++) {
      byte[] damaged = whole.clone();
      int at = i < 10 ? i * 8 : random.nextInt(whole.length);
      damaged[at] ^= (byte) (1 << random.nextInt(8));
      Files.write(file, damaged);
      Heard heard = new Heard();
      assertThat(open(heard)).isEqualTo(sha256);
      assertThat(heard.reasons).singleElement().asString().startsWith("the cache is damaged: ");
      assertThat(Files.readAllBytes(file)).isEqualTo(whole);
    }
    Files.write(file, java.util.Arrays.copyOf(whole, whole.length / 2));
    assertThat(open(new Heard())).isEqualTo(sha256);
  }

  @Test
  void jobsThatBuildAtOnceGetTheSameDataSetAndLeaveNothingBehind() throws Exception {
    List<Callable<String>> jobs = new ArrayList<>();
    for (int i = 0; i < 4; i++) {
      jobs.add(() -> open(new Heard()));
    }
    try (ExecutorService pool = Executors.newFixedThreadPool(4)) {
      List<String> found = new ArrayList<>();
      for (Future<String> job : pool.invokeAll(jobs)) {
        found.add(job.get(30, TimeUnit.SECONDS));
      }
      assertThat(found).hasSize(4).containsOnly(found.getFirst());
    }
    try (Stream<Path> left = Files.list(cache.resolve("tokens"))) {
      assertThat(left).hasSize(1);
    }
  }

  @Test
  void aCacheInTheTextIsRefusedUnlessNoneOfItsFilesCountsAsText() throws IOException {
    Path inside = folder.resolve("d0").resolve("cache");
    for (String suffix : List.of("", ".json", ".log")) {
      DataOptions options = new DataOptions(folder, suffix, inside);
      assertThatThrownBy(() -> Corpus.open(options, CorpusListener.SILENT))
          .isInstanceOf(ConfigurationException.class)
          .hasMessageStartingWith("the run would write into its own text: --cache " + inside);
    }
    assertThat(inside).doesNotExist();
    for (Path fit : List.of(inside, folder.resolve(".cache"))) {
      String suffix = fit.equals(inside) ? ".txt" : "";
      Corpus.open(new DataOptions(folder, suffix, fit), CorpusListener.SILENT).close();
      assertThat(fit).isDirectory();
    }
  }

  @Test
  void oneFileHoldsOutItsLastTenth() throws IOException {
    Path file = temporary.resolve("one.txt");
    Files.writeString(file, "0123456789".repeat(100));
    try (Corpus corpus = Corpus.open(DataOptions.of(file, cache), CorpusListener.SILENT)) {
      assertThat(corpus.trainTokens()).isEqualTo(900);
      assertThat(corpus.validationTokens()).isEqualTo(100);
    }
  }

  @Test
  void aFolderWithOneTextHoldsOutItsLastTenth() throws IOException {
    Path one = Files.createDirectories(temporary.resolve("one"));
    Files.write(one.resolve("a.png"), new byte[] {1, 0, 2});
    Files.writeString(one.resolve("b.txt"), "0123456789".repeat(100));
    Files.write(one.resolve("c.png"), new byte[] {1, 0, 2});
    try (Corpus corpus = Corpus.open(DataOptions.of(one, cache), CorpusListener.SILENT)) {
      assertThat(corpus.trainTokens()).isEqualTo(900);
      assertThat(corpus.validationTokens()).isEqualTo(100);
    }
  }

  @Test
  void theLastFileIsHeldOutWhereAllAreByName() throws IOException {
    Path all = Files.createDirectories(temporary.resolve("all"));
    List<String> names = new ArrayList<>();
    for (int i = 0; names.size() < 3; i++) {
      String name = "f" + (100 + i);
      if (Integer.parseInt(Digests.sha256Hex(name).substring(0, 6), 16)
              % DataOptions.HELD_OUT_ONE_IN
          == 0) {
        names.add(name);
        Files.writeString(all.resolve(name), "text of " + name + "\n");
      }
    }
    try (Corpus corpus = Corpus.open(DataOptions.of(all, cache), CorpusListener.SILENT)) {
      assertThat(text(corpus, corpus.trainTokens(), corpus.validationTokens()))
          .isEqualTo("text of " + names.getLast() + "\n");
      assertThat(corpus.trainTokens()).isEqualTo(2 * corpus.validationTokens());
    }
  }

  /// Whoever runs as root may read every file; one that goes while it is read is the same trouble.
  @Test
  void aFileThatCannotBeReadIsNamed() throws IOException {
    Path gone = folder.resolve("d0/f0.txt");
    CorpusListener deleting =
        new CorpusListener() {
          @Override
          public void progress(long filesDone, long files) {
            try {
              Files.deleteIfExists(gone);
            } catch (IOException e) {
              throw new UncheckedIOException(e);
            }
          }
        };
    assertThatThrownBy(() -> Corpus.open(DataOptions.of(folder, cache), deleting).close())
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("--data=" + folder + ", cause=the file is missing, file=" + gone);
  }

  @Test
  void wrongSourcesAreOneSentenceThatNamesTheOptionAndTheValue() throws IOException {
    Path absent = temporary.resolve("absent");
    Path empty = Files.createDirectories(temporary.resolve("empty"));
    Path noZip = Files.writeString(temporary.resolve("no.zip"), "this is no zip");
    Path binary = Files.write(temporary.resolve("binary"), new byte[] {0, 1, 2});
    for (Path wrong : List.of(absent, empty, noZip, binary)) {
      assertThatThrownBy(
              () -> Corpus.open(DataOptions.of(wrong, cache), CorpusListener.SILENT).close())
          .isInstanceOf(ConfigurationException.class)
          .hasMessageContaining("--data=" + wrong);
    }
    Path blocked = Files.writeString(temporary.resolve("blocked"), "a file, not a folder");
    assertThatThrownBy(
            () -> Corpus.open(DataOptions.of(folder, blocked), CorpusListener.SILENT).close())
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("--cache=" + blocked);
  }

  @Test
  void batchesAreAFunctionOfSeedStepAndLane() throws IOException {
    try (Corpus corpus = Corpus.open(DataOptions.of(folder, cache), CorpusListener.SILENT);
        Arena arena = Arena.ofConfined()) {
      MemorySegment tokens = arena.allocate(3 * 16 * 4);
      MemorySegment targets = arena.allocate(3 * 16 * 4);
      Batches one = new Batches(corpus, 7, 4, 3, 16);
      Batches other = new Batches(corpus, 7, 4, 3, 16);
      one.fill(5, 2, tokens, targets);
      int[] expected = tokens.toArray(ValueLayout.JAVA_INT);
      int[] next = targets.toArray(ValueLayout.JAVA_INT);
      assertThat(next[0]).isEqualTo(expected[1]);
      other.fill(0, 0, tokens, targets);
      assertThat(tokens.toArray(ValueLayout.JAVA_INT)).isNotEqualTo(expected);
      other.fill(5, 2, tokens, targets);
      assertThat(tokens.toArray(ValueLayout.JAVA_INT)).isEqualTo(expected);
      new Batches(corpus, 8, 4, 3, 16).fill(5, 2, tokens, targets);
      assertThat(tokens.toArray(ValueLayout.JAVA_INT)).isNotEqualTo(expected);
    }
  }

  private String open(CorpusListener listener) {
    try (Corpus corpus = Corpus.open(DataOptions.of(folder, cache), listener)) {
      return corpus.sha256();
    }
  }

  private List<Path> textFiles() throws IOException {
    try (Stream<Path> files = Files.walk(folder)) {
      return files
          .filter(file -> file.getFileName().toString().matches("f\\d+\\.txt"))
          .sorted()
          .toList();
    }
  }

  private static String text(Corpus corpus, long from, long count) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment tokens = arena.allocate(count * 4);
      corpus.newReader().read(from, (int) count, tokens, 0);
      byte[] bytes = new byte[(int) count];
      for (int i = 0; i < count; i++) {
        bytes[i] = (byte) tokens.getAtIndex(ValueLayout.JAVA_INT, i);
      }
      return new String(bytes, StandardCharsets.UTF_8);
    }
  }
}
