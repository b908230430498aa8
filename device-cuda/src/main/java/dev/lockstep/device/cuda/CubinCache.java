package dev.lockstep.device.cuda;

import dev.lockstep.cache.Digests;
import dev.lockstep.cache.UserCache;
import dev.lockstep.cache.WholeFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Map;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Compiled kernels in files of a folder, named by the digest of all that they were compiled from,
/// each with the digest of what is in it. Files are replaced as a whole; a damaged one counts as
/// absent, and one that cannot be written is passed over: both are said at debug level.
/// Thread-safe, and several processes may use one folder.
final class CubinCache {
  private static final Logger LOG = LoggerFactory.getLogger(CubinCache.class);
  private static final int DIGEST_BYTES = 32;

  private final Optional<Path> folder;

  /// Makes the cache; nothing is touched before it is used.
  ///
  /// @param folder empty keeps nothing
  CubinCache(Optional<Path> folder) {
    this.folder = folder;
  }

  /// Returns the cache in the folder that the system property `lockstep.cubins` names, or else in
  /// the user's: `$XDG_CACHE_HOME/lockstep/cubin`, or `~/.cache/lockstep/cubin`. A user who has
  /// neither keeps nothing.
  ///
  /// @param environment variables of this process
  static CubinCache standard(Map<String, String> environment) {
    String named = System.getProperty("lockstep.cubins", "");
    return new CubinCache(
        named.isEmpty()
            ? UserCache.find(environment).map(caches -> caches.resolve("cubin"))
            : Optional.of(Path.of(named)));
  }

  /// Returns what is kept under a key, if it is whole.
  Optional<byte[]> find(byte[] key) {
    return folder.flatMap(there -> read(file(there, key)));
  }

  private static Optional<byte[]> read(Path file) {
    try {
      byte[] kept = Files.readAllBytes(file);
      if (kept.length > DIGEST_BYTES) {
        byte[] image = Arrays.copyOfRange(kept, DIGEST_BYTES, kept.length);
        if (Arrays.equals(Digests.sha256().digest(image), Arrays.copyOf(kept, DIGEST_BYTES))) {
          return Optional.of(image);
        }
      }
      LOG.debug("compiled kernel is damaged and is made anew: file={}", file);
    } catch (NoSuchFileException absent) {
      // It is the first of its kind.
    } catch (IOException wrong) {
      LOG.debug("compiled kernel cannot be read: file={}, cause={}", file, wrong.toString());
    }
    return Optional.empty();
  }

  /// Keeps an image under a key, if the folder can be written.
  void keep(byte[] key, byte[] image) {
    if (folder.isEmpty()) {
      return;
    }
    Path file = file(folder.get(), key);
    byte[] kept = Arrays.copyOf(Digests.sha256().digest(image), DIGEST_BYTES + image.length);
    System.arraycopy(image, 0, kept, DIGEST_BYTES, image.length);
    try {
      WholeFile.write(file, kept);
    } catch (IOException cannot) {
      LOG.debug("compiled kernel is not kept: file={}, cause={}", file, cannot.toString());
    }
  }

  static Path file(Path folder, byte[] key) {
    return folder.resolve(HexFormat.of().formatHex(key) + ".cubin");
  }
}
