package dev.lockstep.train.checkpoint;

import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Map;
import java.util.TreeMap;

/// SHA-256 of files and of named tensors. Single-threaded.
public final class Sha256 {
  private static final int BUFFER_BYTES = 1 << 16;
  private static final long PART_BYTES = 1 << 24;

  private final MessageDigest digest;

  private Sha256() {
    try {
      digest = MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException impossible) {
      throw new AssertionError("every JDK has SHA-256", impossible);
    }
  }

  /// Returns the hash of a file as 64 hexadecimal digits.
  static String of(Path file) throws IOException {
    Sha256 sha = new Sha256();
    byte[] buffer = new byte[BUFFER_BYTES];
    try (InputStream in = Files.newInputStream(file)) {
      for (int read = in.read(buffer); read >= 0; read = in.read(buffer)) {
        sha.digest.update(buffer, 0, read);
      }
    }
    return sha.hex();
  }

  /// Returns the hash of tensors, whatever the map's order: for each, sorted by name, the name, the
  /// element type and the shape (`[2, 3]`), each ended by a zero byte, then the elements,
  /// little-endian.
  public static String of(Map<String, Safetensors.TensorData> tensors) {
    Sha256 sha = new Sha256();
    new TreeMap<>(tensors).forEach(sha::update);
    return sha.hex();
  }

  private void update(String name, Safetensors.TensorData tensor) {
    update(name);
    update(tensor.dtype().safetensorsName());
    update(tensor.shape().toString());
    MemorySegment data = tensor.data();
    for (long done = 0; done < data.byteSize(); done += PART_BYTES) {
      long part = Math.min(PART_BYTES, data.byteSize() - done);
      digest.update(data.asSlice(done, part).asByteBuffer());
    }
  }

  private void update(String text) {
    digest.update(text.getBytes(StandardCharsets.UTF_8));
    digest.update((byte) 0);
  }

  private String hex() {
    return HexFormat.of().formatHex(digest.digest());
  }
}
