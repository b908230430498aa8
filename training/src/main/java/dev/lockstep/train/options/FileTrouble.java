package dev.lockstep.train.options;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import java.nio.file.Path;

/// Why a file could not be read or written, in words that end a sentence which names the file.
public final class FileTrouble {
  private FileTrouble() {}

  /// Returns the words of a failure that an [UncheckedIOException] has brought.
  public static String words(UncheckedIOException failure) {
    IOException cause = failure.getCause();
    return cause == null ? failure.toString() : words(cause);
  }

  /// Returns the words of a failure, with the file that it names if that is another one than the
  /// sentence does.
  ///
  /// @param named the file, or the folder with many, that the sentence names
  public static String words(IOException failure, Path named) {
    String words = words(failure);
    return failure instanceof FileSystemException other
            && other.getFile() != null
            && !Path.of(other.getFile()).equals(named)
        ? words + ", file=" + other.getFile()
        : words;
  }

  /// Returns the words of a failure.
  public static String words(IOException failure) {
    return switch (failure) {
      case NoSuchFileException _ -> "the file is missing";
      case AccessDeniedException _ -> "access is denied";
      case CharacterCodingException _ -> "it is not UTF-8 text";
      case NotDirectoryException _ -> "it is no folder";
      case FileSystemException other when other.getReason() != null -> other.getReason();
      default -> failure.getClass().getSimpleName() + ": " + failure.getMessage();
    };
  }
}
