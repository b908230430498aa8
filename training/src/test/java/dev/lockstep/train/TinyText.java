package dev.lockstep.train;

import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.data.CorpusListener;
import dev.lockstep.train.data.DataOptions;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;

/// A small text that a tiny model can learn something from.
final class TinyText {
  private static final String[] WORDS = {
    "public", "static", "final", "int", "return", "new", "this"
  };

  private TinyText() {}

  /// Writes the text below a folder.
  static Path write(Path folder) throws IOException {
    Random random = new Random(11);
    Files.createDirectories(folder);
    for (int file = 0; file < 30; file++) {
      StringBuilder text = new StringBuilder();
      for (int word = 0; word < 300; word++) {
        text.append(WORDS[random.nextInt(WORDS.length)])
            .append(random.nextInt(8) == 0 ? ";\n" : " ");
      }
      Files.writeString(folder.resolve("f" + file + ".txt"), text);
    }
    return folder;
  }

  /// Opens the text of a folder, with its cache beside it.
  static Corpus open(Path folder) {
    return Corpus.open(
        DataOptions.of(folder, folder.resolveSibling("cache")), CorpusListener.SILENT);
  }
}
