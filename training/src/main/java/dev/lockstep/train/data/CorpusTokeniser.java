package dev.lockstep.train.data;

import dev.lockstep.cache.Digests;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.train.data.CorpusCache.CacheWriteException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;
import java.util.List;

/// Turns a text source into a token file: one pass over the training files, one over the held-out
/// ones.
///
/// A file is held out by a hash of its name, so that the split depends on nothing else. A source of
/// a single file holds out the last tenth of its bytes.
final class CorpusTokeniser {
  private final TextSource source;
  private final DataOptions options;
  private final CorpusListener listener;
  private long filesDone;
  private long files;

  CorpusTokeniser(TextSource source, DataOptions options, CorpusListener listener) {
    this.source = source;
    this.options = options;
    this.listener = listener;
  }

  /// Writes the token file into `folder` and returns its path.
  Path tokenise(Path folder) throws IOException, CacheWriteException {
    List<TextSource.Entry> entries = source.entries();
    files = entries.size();
    Path temporary =
        folder.resolve(
            "building-" + ProcessHandle.current().pid() + "-" + System.nanoTime() + ".tmp");
    try {
      String sha256 = write(entries, temporary);
      Path file = folder.resolve(sha256 + ".lz4");
      move(temporary, file);
      return file;
    } finally {
      Files.deleteIfExists(temporary);
    }
  }

  private String write(List<TextSource.Entry> entries, Path temporary)
      throws IOException, CacheWriteException {
    try (TokenFileWriter writer = create(temporary)) {
      Split split = entries.size() == 1 ? cutOneFile(entries, writer) : byFile(entries, writer);
      if (split.train == 0 || split.validation == 0) {
        throw new ConfigurationException(
            "--data",
            options.source().toString(),
            "too little readable text: --data=%s, files=%d, trainBytes=%d, heldOutBytes=%d (give a folder, zip or file with UTF-8 text)"
                .formatted(options.source(), entries.size(), split.train, split.validation));
      }
      try {
        return writer.finish(split.train, split.validation);
      } catch (IOException e) {
        throw new CacheWriteException(e);
      }
    }
  }

  private record Split(long train, long validation) {}

  private Split cutOneFile(List<TextSource.Entry> entries, TokenFileWriter writer)
      throws IOException, CacheWriteException {
    byte[] text = text(entries.getFirst());
    int cut = text.length - text.length / DataOptions.HELD_OUT_ONE_IN;
    append(writer, Arrays.copyOfRange(text, 0, cut));
    append(writer, Arrays.copyOfRange(text, cut, text.length));
    return new Split(cut, text.length - cut);
  }

  private Split byFile(List<TextSource.Entry> entries, TokenFileWriter writer)
      throws IOException, CacheWriteException {
    boolean noneByName = entries.stream().noneMatch(CorpusTokeniser::isHeldOut);
    TextSource.Entry last = entries.isEmpty() ? null : entries.getLast();
    long train = 0;
    for (TextSource.Entry entry : entries) {
      if (!isHeldOut(entry) && !(noneByName && entry.equals(last))) {
        train += append(writer, text(entry));
      }
    }
    long validation = 0;
    for (TextSource.Entry entry : entries) {
      if (isHeldOut(entry) || (noneByName && entry.equals(last))) {
        validation += append(writer, text(entry));
      }
    }
    return new Split(train, validation);
  }

  private static boolean isHeldOut(TextSource.Entry entry) {
    int first = Integer.parseInt(Digests.sha256Hex(entry.name()).substring(0, 6), 16);
    return first % DataOptions.HELD_OUT_ONE_IN == 0;
  }

  private byte[] text(TextSource.Entry entry) throws IOException {
    listener.progress(++filesDone, files);
    byte[] bytes = source.read(entry);
    return isText(bytes) ? bytes : new byte[0];
  }

  private static boolean isText(byte[] bytes) {
    for (byte b : bytes) {
      if (b == 0) {
        return false;
      }
    }
    try {
      StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes));
      return true;
    } catch (CharacterCodingException binary) {
      return false;
    }
  }

  private static long append(TokenFileWriter writer, byte[] bytes) throws CacheWriteException {
    try {
      writer.write(bytes);
      return bytes.length;
    } catch (IOException e) {
      throw new CacheWriteException(e);
    }
  }

  private static TokenFileWriter create(Path path) throws CacheWriteException {
    try {
      return new TokenFileWriter(path);
    } catch (IOException e) {
      throw new CacheWriteException(e);
    }
  }

  private static void move(Path from, Path to) throws CacheWriteException {
    try {
      Files.move(from, to, StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException e) {
      throw new CacheWriteException(e);
    }
  }
}
