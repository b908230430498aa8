package dev.lockstep.examples.language;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.train.metrics.LossCurve;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DispensableFilesTest {
  @TempDir private Path temporary;

  @Test
  void eachThatCannotBeWrittenIsNamedOnceAndNothingEnds() throws IOException {
    RunFolder folder = new RunFolder(temporary);
    LossCurve curve = new LossCurve(List.of(), List.of());
    Path inTheWay = Files.createDirectory(folder.picture()).resolve("file");
    Files.createFile(inTheWay);
    List<String> warnings = new ArrayList<>();
    DispensableFiles files = new DispensableFiles(warnings::add);

    for (int save = 0; save < 3; save++) {
      files.write(folder.picture(), () -> folder.draw(curve));
    }

    assertThat(warnings)
        .singleElement()
        .asString()
        .startsWith(
            "a file cannot be written, the run goes on without: file=%s, cause="
                .formatted(folder.picture()));
    Files.delete(inTheWay);
    Files.delete(folder.picture());
    files.write(folder.picture(), () -> folder.draw(curve));
    assertThat(folder.picture()).exists();
  }
}
