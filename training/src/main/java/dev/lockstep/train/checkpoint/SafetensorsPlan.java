package dev.lockstep.train.checkpoint;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/// Where float32 tensors lie in the safetensors files of a set, known before any is written: so
/// that ranks write what they hold side by side. The same on every rank. Immutable.
///
/// @param stem what the files' names start with
/// @param files the files, in order
/// @param index text of the file that names them; empty for one file
public record SafetensorsPlan(String stem, List<TensorFile> files, String index) {
  /// Copies the list.
  public SafetensorsPlan {
    files = List.copyOf(files);
  }

  private static final ObjectMapper JSON = new JsonMapper();

  // A comma and a number of 64 bits.
  private static final int LONGEST_NUMBER = 20;
  // Beside name and extents.
  private static final int ENTRY_BYTES =
      ",:{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[]}".length() + 2 * LONGEST_NUMBER;
  // Braces, the key of the metadata and spaces up to a multiple of 8.
  private static final int FRAME_BYTES = 32;

  /// One file.
  ///
  /// @param name its name
  /// @param header what it starts with
  /// @param places the first byte of each tensor
  /// @param bytes its length
  public record TensorFile(String name, ByteBuffer header, Map<String, Long> places, long bytes) {
    /// Copies the map.
    public TensorFile {
      header = header.asReadOnlyBuffer();
      places = Map.copyOf(places);
    }

    /// Returns the first byte of a tensor.
    ///
    /// @throws IllegalArgumentException if it is not in this file
    public long place(String tensor) {
      Long place = places.get(tensor);
      if (place == null) {
        throw new IllegalArgumentException("no such tensor: tensor=" + tensor);
      }
      return place;
    }
  }

  /// Plans a set: tensors in order, a file as soon as the next tensor would make it, or its header,
  /// longer than it may be.
  ///
  /// @param tensors float32
  /// @param fileBytes most bytes of tensors in a file, where one tensor alone is not longer
  /// @param metadata free text by key
  /// @throws IllegalArgumentException if the metadata alone, or one tensor's name, fill a header
  public static SafetensorsPlan of(
      String stem, Map<String, Shape> tensors, long fileBytes, Map<String, String> metadata) {
    List<Map<String, Shape>> parts = new ArrayList<>();
    Map<String, Shape> part = new LinkedHashMap<>();
    long bytes = 0;
    long empty = written(metadata) + FRAME_BYTES;
    long header = empty;
    for (Map.Entry<String, Shape> tensor : tensors.entrySet()) {
      long more = bytes(tensor.getValue());
      long entry = entryBytes(tensor.getKey(), tensor.getValue());
      boolean full = bytes + more > fileBytes || header + entry > Safetensors.LARGEST_HEADER_BYTES;
      if (!part.isEmpty() && full) {
        parts.add(part);
        part = new LinkedHashMap<>();
        bytes = 0;
        header = empty;
      }
      part.put(tensor.getKey(), tensor.getValue());
      bytes += more;
      header += entry;
    }
    parts.add(part);
    List<TensorFile> files = new ArrayList<>();
    for (int i = 0; i < parts.size(); i++) {
      String name =
          parts.size() == 1
              ? SafetensorsSet.file(stem)
              : SafetensorsSet.file(
                  String.format(Locale.ROOT, "%s-%05d-of-%05d", stem, i + 1, parts.size()));
      files.add(file(name, parts.get(i), metadata));
    }
    return new SafetensorsPlan(stem, files, parts.size() == 1 ? "" : index(files, tensors));
  }

  /// The most bytes that a tensor takes of a header.
  private static long entryBytes(String name, Shape shape) {
    return written(name) + ENTRY_BYTES + (long) shape.rank() * LONGEST_NUMBER;
  }

  private static long written(Object value) {
    try {
      return JSON.writeValueAsBytes(value).length;
    } catch (JsonProcessingException impossible) {
      throw new AssertionError("texts are written", impossible);
    }
  }

  private static long bytes(Shape shape) {
    return shape.bytes(DType.F32);
  }

  private static TensorFile file(
      String name, Map<String, Shape> tensors, Map<String, String> metadata) {
    ObjectNode root = JSON.createObjectNode();
    if (!metadata.isEmpty()) {
      metadata.forEach(root.putObject("__metadata__")::put);
    }
    long end = 0;
    Map<String, Long> offsets = new LinkedHashMap<>();
    for (Map.Entry<String, Shape> tensor : tensors.entrySet()) {
      ObjectNode node = root.putObject(tensor.getKey());
      node.put("dtype", DType.F32.safetensorsName());
      Arrays.stream(tensor.getValue().dims()).forEach(node.putArray("shape")::add);
      offsets.put(tensor.getKey(), end);
      long start = end;
      end += bytes(tensor.getValue());
      node.putArray("data_offsets").add(start).add(end);
    }
    byte[] json = text(root).getBytes(StandardCharsets.UTF_8);
    int padded = Math.ceilDiv(json.length, 8) * 8;
    Safetensors.requireReadable(name, padded, tensors.size());
    ByteBuffer header = ByteBuffer.allocate(8 + padded).order(ByteOrder.LITTLE_ENDIAN);
    header.putLong(padded).put(json);
    while (header.hasRemaining()) {
      header.put((byte) ' ');
    }
    int first = header.capacity();
    offsets.replaceAll((_, offset) -> first + offset);
    return new TensorFile(name, header.flip(), offsets, first + end);
  }

  private static String index(List<TensorFile> files, Map<String, Shape> tensors) {
    ObjectNode root = JSON.createObjectNode();
    long bytes = tensors.values().stream().mapToLong(SafetensorsPlan::bytes).sum();
    root.putObject("metadata").put("total_size", bytes);
    ObjectNode map = root.putObject("weight_map");
    for (TensorFile file : files) {
      file.places().keySet().stream().sorted().forEach(tensor -> map.put(tensor, file.name()));
    }
    return root.toPrettyString() + "\n";
  }

  private static String text(ObjectNode node) {
    try {
      return JSON.writeValueAsString(node);
    } catch (JsonProcessingException impossible) {
      throw new AssertionError("a tree is written", impossible);
    }
  }

  /// Returns the name of the file that names the others.
  public String indexName() {
    return SafetensorsSet.index(stem);
  }
}
