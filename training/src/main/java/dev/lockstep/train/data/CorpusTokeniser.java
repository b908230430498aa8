package dev.lockstep.train.data;

import dev.lockstep.cache.Digests;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.train.data.CorpusCache.CacheWriteException;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/// Turns a text source into a token file: one pass over the training files, one over the held-out
/// ones.
///
/// A file is held out by a hash of its name, so that the split depends on nothing else; where none
/// that has text is, or every one, the last one that has. A source with a single file of text holds
/// out the last tenth of its bytes. What is no text is left out, and told.
final class CorpusTokeniser {
  // Most files are shorter and are read once; longer ones are checked first, then read again.
  private static final int PIECE_BYTES = 1 << 20;
  // As many as a sentence can name.
  private static final int MOST_NAMED = 3;

  private final TextSource source;
  private final DataOptions options;
  private final CorpusListener listener;
  private final TextCheck check = new TextCheck();
  private final byte[] piece = new byte[PIECE_BYTES];
  private final List<String> leftOut = new ArrayList<>();
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
    Path temporary = UnfinishedTokens.in(folder);
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
      Split split = split(entries, writer);
      if (split.train == 0 || split.validation == 0) {
        throw new ConfigurationException(
            "--data",
            options.source().toString(),
            "too little readable text: --data=%s, files=%d, trainBytes=%d, heldOutBytes=%d%s (give a folder, zip or file with UTF-8 text)"
                .formatted(
                    options.source(), entries.size(), split.train, split.validation, leftOut()));
      }
      try {
        return writer.finish(split.train, split.validation);
      } catch (IOException e) {
        throw new CacheWriteException(e);
      }
    }
  }

  private record Split(long train, long validation) {}

  private String leftOut() {
    if (leftOut.isEmpty()) {
      return "";
    }
    List<String> named = leftOut.subList(0, Math.min(MOST_NAMED, leftOut.size()));
    return ", leftOut=%d: %s%s"
        .formatted(
            leftOut.size(),
            String.join("; ", named),
            named.size() < leftOut.size() ? "; and others" : "");
  }

  private Split split(List<TextSource.Entry> entries, TokenFileWriter writer)
      throws IOException, CacheWriteException {
    Set<TextSource.Entry> heldOut = entries.size() == 1 ? Set.copyOf(entries) : heldOut(entries);
    long train = 0;
    for (TextSource.Entry entry : entries) {
      if (!heldOut.contains(entry)) {
        train += append(writer, entry);
      }
    }
    List<Long> validation = new ArrayList<>();
    for (TextSource.Entry entry : entries) {
      if (heldOut.contains(entry)) {
        validation.add(append(writer, entry));
      }
    }
    long bytes = validation.stream().mapToLong(Long::longValue).sum();
    if (train > 0) {
      return new Split(train, bytes);
    }
    List<Long> texts = validation.stream().filter(length -> length > 0).toList();
    long last = texts.size() > 1 ? texts.getLast() : bytes / DataOptions.HELD_OUT_ONE_IN;
    return new Split(bytes - last, last);
  }

  private Set<TextSource.Entry> heldOut(List<TextSource.Entry> entries) throws IOException {
    List<TextSource.Entry> byName = entries.stream().filter(CorpusTokeniser::isHeldOut).toList();
    Set<TextSource.Entry> heldOut = new HashSet<>(byName);
    if (firstWithText(byName).isEmpty()) {
      firstWithText(entries.reversed()).ifPresent(heldOut::add);
    }
    return heldOut;
  }

  private Optional<TextSource.Entry> firstWithText(List<TextSource.Entry> entries)
      throws IOException {
    for (TextSource.Entry entry : entries) {
      int first = readFirst(entry);
      if (first > 0 && reason(entry, first).isEmpty()) {
        return Optional.of(entry);
      }
    }
    return Optional.empty();
  }

  private static boolean isHeldOut(TextSource.Entry entry) {
    int first = Integer.parseInt(Digests.sha256Hex(entry.name()).substring(0, 6), 16);
    return first % DataOptions.HELD_OUT_ONE_IN == 0;
  }

  /// Appends a file, if it is text; returns its bytes.
  private long append(TokenFileWriter writer, TextSource.Entry entry)
      throws IOException, CacheWriteException {
    listener.progress(++filesDone, files);
    int first = readFirst(entry);
    String reason = reason(entry, first);
    if (!reason.isEmpty()) {
      leftOut.add(entry.name() + ": " + reason);
      listener.leftOut(entry.name(), reason);
      return 0;
    }
    if (first < PIECE_BYTES) {
      write(writer, first);
      return first;
    }
    long bytes = 0;
    try (InputStream in = source.open(entry)) {
      for (int read = PIECE_BYTES; read == PIECE_BYTES; bytes += read) {
        read = in.readNBytes(piece, 0, PIECE_BYTES);
        write(writer, read);
      }
    }
    return bytes;
  }

  private int readFirst(TextSource.Entry entry) throws IOException {
    try (InputStream in = source.open(entry)) {
      return in.readNBytes(piece, 0, PIECE_BYTES);
    }
  }

  private String reason(TextSource.Entry entry, int first) throws IOException {
    try (InputStream in =
        first < PIECE_BYTES ? new ByteArrayInputStream(piece, 0, first) : source.open(entry)) {
      return check.reason(in);
    }
  }

  private void write(TokenFileWriter writer, int bytes) throws CacheWriteException {
    try {
      writer.write(piece, bytes);
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
