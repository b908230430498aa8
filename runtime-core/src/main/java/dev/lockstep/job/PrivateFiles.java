package dev.lockstep.job;

import dev.lockstep.failure.ConfigurationException;
import java.io.IOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.PosixFileAttributes;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.EnumSet;
import java.util.Set;

/// Files and folders that nobody but this user may open.
final class PrivateFiles {
  private static final Set<PosixFilePermission> OTHERS =
      EnumSet.complementOf(
          EnumSet.of(
              PosixFilePermission.OWNER_READ,
              PosixFilePermission.OWNER_WRITE,
              PosixFilePermission.OWNER_EXECUTE));

  private static final String ROOT = "root";

  private PrivateFiles() {}

  /// Checks that only this user (or the administrator) can open the file or folder.
  ///
  /// @param key the variable that names it
  /// @throws ConfigurationException if it is not there or others may open it
  static void check(String key, Path path, LinkOption... options) {
    PosixFileAttributes attributes;
    try {
      attributes = Files.readAttributes(path, PosixFileAttributes.class, options);
    } catch (IOException e) {
      throw new ConfigurationException(
          key,
          path.toString(),
          "path cannot be read: %s=%s, cause=%s (name one that is there and that this user may read)"
              .formatted(
                  key, path, e instanceof NoSuchFileException ? "it is missing" : e.getMessage()),
          e);
    }
    String owner = attributes.owner().getName();
    String me = ownName();
    if (isOpen(attributes.permissions(), attributes.isDirectory(), owner, me)) {
      String mode = PosixFilePermissions.toString(attributes.permissions());
      String remedy = attributes.isDirectory() ? "chmod 700" : "chmod 600";
      throw new ConfigurationException(
          key,
          path.toString(),
          "others may open a private path: %s=%s, mode=%s (%s it)"
              .formatted(key, path, mode, remedy));
    }
    if (!owner.equals(me) && !owner.equals(ROOT)) {
      throw new ConfigurationException(
          key,
          path.toString(),
          "private path belongs to somebody else: %s=%s, owner=%s, user=%s (set %s)"
              .formatted(key, path, owner, me, remedy(key)));
    }
  }

  /// Where no token is named, the folder for one is made below `XDG_RUNTIME_DIR`.
  private static String remedy(String key) {
    return key.equals(JobVariables.TOKEN_FILE) ? "XDG_RUNTIME_DIR or " + key : key;
  }

  /// Returns whether others may open it. A file of the administrator's that this user reads by its
  /// group, as Kubernetes mounts secrets, is as private as the administrator has made that group.
  static boolean isOpen(
      Set<PosixFilePermission> permissions, boolean isFolder, String owner, String me) {
    Set<PosixFilePermission> open = EnumSet.noneOf(PosixFilePermission.class);
    open.addAll(permissions);
    open.retainAll(OTHERS);
    if (!isFolder && owner.equals(ROOT) && !me.equals(ROOT)) {
      open.remove(PosixFilePermission.GROUP_READ);
    }
    return !open.isEmpty();
  }

  /// Returns the name of the user that this process runs as.
  static String ownName() {
    try {
      // The owner of this process, also where the JVM knows no name for its number.
      return Files.getOwner(Path.of("/proc/self"), LinkOption.NOFOLLOW_LINKS).getName();
    } catch (IOException _) {
      return System.getProperty("user.name", "");
    }
  }

  /// Deletes a folder and what is in it; what others delete meanwhile is fine.
  static void deleteTree(Path folder) throws IOException {
    try {
      Files.walkFileTree(
          folder,
          new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes)
                throws IOException {
              Files.deleteIfExists(file);
              return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult visitFileFailed(Path file, IOException e) throws IOException {
              if (e instanceof NoSuchFileException) {
                return FileVisitResult.CONTINUE;
              }
              throw e;
            }

            @Override
            public FileVisitResult postVisitDirectory(Path directory, IOException e)
                throws IOException {
              Files.deleteIfExists(directory);
              return FileVisitResult.CONTINUE;
            }
          });
    } catch (NoSuchFileException _) {
      // Another rank of this host was quicker.
    }
  }
}
