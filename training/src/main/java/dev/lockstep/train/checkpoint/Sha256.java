package dev.lockstep.train.checkpoint;

import dev.lockstep.cache.Digests;
import dev.lockstep.train.checkpoint.TensorSource.TensorInfo;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.Map;
import java.util.TreeMap;

/// SHA-256 of files and of named tensors. Single-threaded.
public final class Sha256 {
  private static final int BUFFER_BYTES = 1 << 16;
  private static final long PART_BYTES = 1 << 24;

  private final MessageDigest digest = Digests.sha256();

  private Sha256() {}

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

  /// Returns the hash of a text's UTF-8 as 64 hexadecimal digits.
  public static String of(String text) {
    return Digests.sha256Hex(text);
  }

  /// Returns the hash of tensors, whatever the map's order: for each, sorted by name, the name, the
  /// element type and the shape (`[2, 3]`), each ended by a zero byte, then the elements,
  /// little-endian.
  public static String of(Map<String, Safetensors.TensorData> tensors) {
    return of(new TensorsInMemory(new TreeMap<>(tensors)));
  }

  /// Returns the hash of tensors as [#of(Map)] does, a piece at a time.
  ///
  /// @param tensors read to its end
  /// @throws IllegalArgumentException if they do not come sorted by name
  public static String of(TensorSource tensors) {
    Sha256 sha = new Sha256();
    String before = "";
    for (Map.Entry<String, TensorInfo> tensor : tensors.tensors().entrySet()) {
      if (tensor.getKey().compareTo(before) < 0) {
        throw new IllegalArgumentException(
            "tensors are not sorted by name: tensor=%s, before=%s"
                .formatted(tensor.getKey(), before));
      }
      before = tensor.getKey();
      TensorInfo info = tensor.getValue();
      sha.update(before);
      sha.update(info.dtype().safetensorsName());
      sha.update(info.shape().toString());
      for (long left = info.bytes(); left > 0; ) {
        MemorySegment piece = tensors.next();
        sha.update(piece);
        left -= piece.byteSize();
      }
    }
    return sha.hex();
  }

  private void update(MemorySegment data) {
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
