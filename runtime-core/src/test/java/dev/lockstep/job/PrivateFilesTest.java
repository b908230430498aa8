package dev.lockstep.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lockstep.cache.PrivateMode;
import dev.lockstep.failure.ConfigurationException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class PrivateFilesTest {
  @TempDir Path temp;

  @ParameterizedTest(name = "{0} of {1} for {2}, folder: {3}")
  @CsvSource({
    "rw-------, alice, alice, false, false",
    "rw-r-----, alice, alice, false, true",
    // A secret that Kubernetes mounts for a pod with a group of its own.
    "r--r-----, root, alice, false, false",
    "r--r-----, root, root, false, true",
    "r--rw----, root, alice, false, true",
    "r--r--r--, root, alice, false, true",
    "rwxr-x---, root, alice, true, true",
    "rwx------, root, alice, true, false"
  })
  void onlyTheAdministratorsGroupMayReadBesideTheUser(
      String mode, String owner, String me, boolean isFolder, boolean isOpen) {
    assertThat(PrivateFiles.isOpen(PosixFilePermissions.fromString(mode), isFolder, owner, me))
        .isEqualTo(isOpen);
  }

  @Test
  void aPathThatIsMissingIsRefusedWithAWayOut() {
    Path missing = temp.resolve("nope");
    assertThatThrownBy(() -> PrivateFiles.check(JobVariables.TOKEN_FILE, missing))
        .isInstanceOf(ConfigurationException.class)
        .hasMessage(
            "path cannot be read: LOCKSTEP_JOB_TOKEN_FILE=%s, cause=it is missing (name one that is"
                + " there and that this user may read)",
            missing);
  }

  @Test
  void aFolderThatSomebodyElseHasMadeIsRefusedWithAWayOut() throws Exception {
    assumeTrue(PrivateFiles.ownName().equals("root"), "judge owners: only root can give away");
    Path folder = Files.createDirectory(temp.resolve("lockstep-alice"), PrivateMode.folder());
    Files.setAttribute(folder, "unix:uid", 65534);

    assertThatThrownBy(() -> PrivateFiles.check(JobVariables.TOKEN_FILE, folder))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("private path belongs to somebody else: LOCKSTEP_JOB_TOKEN_FILE=")
        .hasMessageEndingWith("(set XDG_RUNTIME_DIR or LOCKSTEP_JOB_TOKEN_FILE)");
  }
}
