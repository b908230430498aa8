package dev.lockstep.train.checkpoint;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.lockstep.failure.CheckpointException;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.NarrowFloat;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.checkpoint.TensorSource.TensorInfo;
import dev.lockstep.train.options.FileTrouble;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// Hugging Face's safetensors files: a JSON header with names, types, shapes and offsets, then the
/// tensors' bytes, row-major, little-endian (github.com/huggingface/safetensors, "Format"). An open
/// file is mapped, immutable and thread-safe; it is read strictly: what has holes, overlaps,
/// duplicates or unknown types is refused.
public final class Safetensors implements AutoCloseable {
  private static final ValueLayout.OfLong LONG =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  // About 75,000 tensors, where files of large models have some thousands. As a tree a longer
  // header would not fit a small heap.
  static final int LARGEST_HEADER_BYTES = 8 << 20;

  private static final ObjectMapper JSON =
      new ObjectMapper(
              JsonFactory.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build())
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);

  private static final ValueLayout.OfFloat F32 =
      ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfShort SHORT =
      ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private final Arena arena;
  private final Map<String, TensorData> tensors;
  private final Map<String, String> metadata;

  private Safetensors(Arena arena, Map<String, TensorData> tensors, Map<String, String> metadata) {
    this.arena = arena;
    this.tensors = tensors;
    this.metadata = metadata;
  }

  /// One tensor's elements in host memory.
  ///
  /// @param dtype element type
  /// @param shape extents
  /// @param data the elements, row-major, little-endian; borrowed
  public record TensorData(DType dtype, Shape shape, MemorySegment data) {
    /// Checks the length.
    public TensorData {
      if (data.byteSize() != shape.bytes(dtype)) {
        throw new IllegalArgumentException(
            "data does not fit its shape: dtype=%s, shape=%s, bytes=%d"
                .formatted(dtype, shape, data.byteSize()));
      }
    }

    /// Copies elements as float32; bfloat16 and float16 are widened.
    ///
    /// @param first number of the first one
    /// @param to as many float32 as are copied
    /// @throws IllegalArgumentException if they are of another type
    public void copyAsF32(long first, MemorySegment to) {
      long elements = to.byteSize() / DType.F32.bytes();
      MemorySegment from = data.asSlice(first * dtype.bytes(), elements * dtype.bytes());
      switch (dtype) {
        case F32 -> to.copyFrom(from);
        case BF16 -> {
          for (long i = 0; i < elements; i++) {
            to.setAtIndex(F32, i, NarrowFloat.fromBf16(from.getAtIndex(SHORT, i)));
          }
        }
        case F16 -> {
          for (long i = 0; i < elements; i++) {
            to.setAtIndex(F32, i, NarrowFloat.fromF16(from.getAtIndex(SHORT, i)));
          }
        }
        case F64, F8_E4M3FN, F8_E4M3, F8_E5M2, I64, I32, I16, I8, U8, BOOL ->
            throw new IllegalArgumentException(
                "elements are not read as F32: dtype=%s (F32, BF16 or F16)".formatted(dtype));
      }
    }
  }

  /// Writes a file and forces it to disk; `path` must not exist. Whoever wants it atomic writes to
  /// a temporary name and renames.
  ///
  /// @param tensors in the order in which their bytes are written
  /// @param metadata free text by key
  /// @throws IOException if the disk is full or the path cannot be written
  /// @throws IllegalArgumentException if there are more tensors than [#open] reads; nothing is
  ///   written
  public static void write(Path path, Map<String, TensorData> tensors, Map<String, String> metadata)
      throws IOException {
    write(path, new TensorsInMemory(tensors), metadata);
  }

  /// Writes a file as [#write(Path, Map, Map)] does, a piece at a time.
  ///
  /// @param tensors read to its end, if the file can be written
  /// @param metadata free text by key
  /// @throws IOException if the disk is full or the path cannot be written
  /// @throws IllegalArgumentException if there are more tensors than [#open] reads; nothing is
  ///   written
  public static void write(Path path, TensorSource tensors, Map<String, String> metadata)
      throws IOException {
    byte[] header = header(tensors.tensors(), metadata);
    requireReadable(path.toString(), header.length, tensors.tensors().size());
    try (FileChannel channel =
        FileChannel.open(path, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
      ByteBuffer start = ByteBuffer.allocate(8 + header.length).order(ByteOrder.LITTLE_ENDIAN);
      writeFully(channel, start.putLong(header.length).put(header).flip());
      for (TensorInfo tensor : tensors.tensors().values()) {
        for (long left = tensor.bytes(); left > 0; ) {
          MemorySegment piece = tensors.next();
          writeFully(channel, piece);
          left -= piece.byteSize();
        }
      }
      channel.force(true);
    }
  }

  /// Checks that [#open] would take a header.
  static void requireReadable(String file, int headerBytes, int tensors) {
    if (headerBytes > LARGEST_HEADER_BYTES) {
      throw new IllegalArgumentException(
          "safetensors header is too long to be read again: file=%s, headerBytes=%d, limitBytes=%d, tensors=%d (write fewer tensors to a file, or shorter names and metadata)"
              .formatted(file, headerBytes, LARGEST_HEADER_BYTES, tensors));
    }
  }

  private static void writeFully(FileChannel channel, MemorySegment piece) throws IOException {
    for (long done = 0; done < piece.byteSize(); ) {
      long part = Math.min(piece.byteSize() - done, 1 << 24);
      writeFully(channel, piece.asSlice(done, part).asByteBuffer());
      done += part;
    }
  }

  private static void writeFully(FileChannel channel, ByteBuffer buffer) throws IOException {
    while (buffer.hasRemaining()) {
      channel.write(buffer);
    }
  }

  private static byte[] header(Map<String, TensorInfo> tensors, Map<String, String> metadata)
      throws IOException {
    ObjectNode root = JSON.createObjectNode();
    if (!metadata.isEmpty()) {
      metadata.forEach(root.putObject("__metadata__")::put);
    }
    long offset = 0;
    for (Map.Entry<String, TensorInfo> entry : tensors.entrySet()) {
      TensorInfo tensor = entry.getValue();
      ObjectNode node = root.putObject(entry.getKey());
      node.put("dtype", tensor.dtype().safetensorsName());
      Arrays.stream(tensor.shape().dims()).forEach(node.putArray("shape")::add);
      node.putArray("data_offsets").add(offset).add(offset + tensor.bytes());
      offset += tensor.bytes();
    }
    byte[] json = JSON.writeValueAsBytes(root);
    byte[] padded = Arrays.copyOf(json, Math.ceilDiv(json.length, 8) * 8);
    Arrays.fill(padded, json.length, padded.length, (byte) ' ');
    return padded;
  }

  /// Maps a file and checks its header; the caller closes it.
  ///
  /// @throws CheckpointException if it is absent, damaged or not a safetensors file; nothing is
  ///   left open
  @SuppressWarnings("MustBeClosed") // the file owns its arena until close()
  public static Safetensors open(Path path) {
    Arena arena = Arena.ofShared();
    try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
      MemorySegment file = channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), arena);
      return parse(path, arena, file);
    } catch (IOException e) {
      arena.close();
      throw damaged(path, FileTrouble.words(e), e);
    } catch (RuntimeException | Error e) {
      arena.close();
      throw e;
    }
  }

  private static Safetensors parse(Path path, Arena arena, MemorySegment file) throws IOException {
    long length = file.byteSize() < 8 ? -1 : file.get(LONG, 0);
    if (length < 2 || length > LARGEST_HEADER_BYTES || length > file.byteSize() - 8) {
      throw damaged(path, "header length is impossible: headerBytes=" + length, null);
    }
    byte[] json = file.asSlice(8, length).toArray(ValueLayout.JAVA_BYTE);
    JsonNode root = JSON.readTree(new String(json, StandardCharsets.UTF_8));
    if (!root.isObject()) {
      throw damaged(path, "header is no JSON object", null);
    }
    MemorySegment data = file.asSlice(8 + length);
    Map<String, String> metadata = new LinkedHashMap<>();
    List<Located> located = new ArrayList<>();
    for (Map.Entry<String, JsonNode> field : root.properties()) {
      if (field.getKey().equals("__metadata__")) {
        metadata.putAll(metadata(path, field.getValue()));
      } else {
        located.add(locate(path, field.getKey(), field.getValue(), data));
      }
    }
    requireNoHoles(path, located, data.byteSize());
    Map<String, TensorData> tensors = new LinkedHashMap<>();
    located.forEach(tensor -> tensors.put(tensor.name, tensor.tensor));
    return new Safetensors(arena, Map.copyOf(tensors), Map.copyOf(metadata));
  }

  private static Map<String, String> metadata(Path path, JsonNode node) {
    Map<String, String> texts = new LinkedHashMap<>();
    for (Map.Entry<String, JsonNode> entry : node.properties()) {
      if (!entry.getValue().isTextual()) {
        throw damaged(path, "metadata is no text: key=" + entry.getKey(), null);
      }
      texts.put(entry.getKey(), entry.getValue().textValue());
    }
    return texts;
  }

  private record Located(String name, long begin, long end, TensorData tensor) {}

  private static Located locate(Path path, String name, JsonNode node, MemorySegment data) {
    DType dtype = dtype(path, name, node.path("dtype").asText());
    long[] offsets = wholeNumbers(path, name, node.path("data_offsets"));
    if (offsets.length != 2 || offsets[1] < offsets[0] || offsets[1] > data.byteSize()) {
      throw damaged(path, "tensor lies outside the file: tensor=" + name, null);
    }
    long[] dims = wholeNumbers(path, name, node.path("shape"));
    try {
      MemorySegment elements = data.asSlice(offsets[0], offsets[1] - offsets[0]);
      return new Located(
          name, offsets[0], offsets[1], new TensorData(dtype, Shape.of(dims), elements));
    } catch (IllegalArgumentException | ArithmeticException e) {
      throw damaged(path, "tensor's shape is impossible: tensor=" + name, e);
    }
  }

  private static long[] wholeNumbers(Path path, String tensor, JsonNode list) {
    long[] numbers = new long[list.size()];
    boolean are = list.isArray();
    for (int i = 0; i < numbers.length && are; i++) {
      JsonNode number = list.path(i);
      numbers[i] = number.asLong();
      are = number.isIntegralNumber() && number.canConvertToLong() && numbers[i] >= 0;
    }
    if (!are) {
      String found = list.isMissingNode() ? "nothing" : list.toString();
      String start = found.substring(0, Math.min(found.length(), 100));
      throw damaged(
          path,
          "shape and offsets are lists of whole numbers: tensor=%s, found=%s"
              .formatted(tensor, start),
          null);
    }
    return numbers;
  }

  private static DType dtype(Path path, String tensor, String name) {
    for (DType dtype : DType.values()) {
      if (dtype.safetensorsName().equals(name)) {
        return dtype;
      }
    }
    throw damaged(path, "unknown element type: tensor=" + tensor + ", dtype=" + name, null);
  }

  private static void requireNoHoles(Path path, List<Located> located, long bytes) {
    long at = 0;
    List<Located> sorted = new ArrayList<>(located);
    sorted.sort(Comparator.comparingLong(Located::begin).thenComparingLong(Located::end));
    for (Located tensor : sorted) {
      if (tensor.begin != at) {
        throw damaged(path, "tensors overlap or leave a hole: tensor=" + tensor.name, null);
      }
      at = tensor.end;
    }
    if (at != bytes) {
      throw damaged(
          path,
          "file is longer or shorter than its tensors: dataBytes=" + bytes + ", tensorBytes=" + at,
          null);
    }
  }

  private static CheckpointException damaged(Path path, String what, @Nullable Throwable cause) {
    return new CheckpointException(
        path.toString(), "not a whole safetensors file: path=" + path + ", cause=" + what, cause);
  }

  /// Returns the tensors by name; their memory is borrowed until [#close].
  public Map<String, TensorData> tensors() {
    return tensors;
  }

  /// Returns the tensor called `name`.
  ///
  /// @throws IllegalArgumentException if there is none
  public TensorData tensor(String name) {
    TensorData tensor = tensors.get(name);
    if (tensor == null) {
      throw new IllegalArgumentException("no such tensor: tensor=" + name);
    }
    return tensor;
  }

  /// Returns the free text by key.
  public Map<String, String> metadata() {
    return metadata;
  }

  /// Unmaps the file; idempotent.
  @Override
  public void close() {
    if (arena.scope().isAlive()) {
      arena.close();
    }
  }
}
