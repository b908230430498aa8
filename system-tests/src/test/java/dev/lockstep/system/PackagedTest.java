package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PackagedTest {
  @Test
  void aJarThatIsOlderThanItsClassesIsNamed(@TempDir Path home) throws Exception {
    Path jars = Files.createDirectories(home.resolve("lib"));
    Path jar = Files.createFile(jars.resolve("lockstep-runtime-core-0.1.0-SNAPSHOT.jar"));
    Files.createFile(jars.resolve("lockstep-without-classes-0.1.0-SNAPSHOT.jar"));
    Path classes = Files.createDirectories(home.resolve("runtime-core/target/classes/dev"));
    Path compiled = Files.createFile(classes.resolve("A.class"));
    Files.setLastModifiedTime(jar, FileTime.fromMillis(2000));
    Files.setLastModifiedTime(compiled, FileTime.fromMillis(1999));
    assertThatCode(() -> Packaged.requireNoOlderThanItsClasses(jars, home))
        .doesNotThrowAnyException();

    Files.setLastModifiedTime(compiled, FileTime.fromMillis(2001));
    assertThatThrownBy(() -> Packaged.requireNoOlderThanItsClasses(jars, home))
        .hasMessageContaining("older than its classes: jar=" + jar)
        .hasMessageContaining("(./mvnw -Pquick package)");
  }
}
