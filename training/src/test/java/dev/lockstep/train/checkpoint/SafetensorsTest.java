package dev.lockstep.train.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.CheckpointException;
import dev.lockstep.locale.PersianDigits;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.checkpoint.Safetensors.TensorData;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SafetensorsTest {
  @TempDir Path folder;

  @Test
  void whatIsWrittenIsReadBack() throws IOException {
    Map<String, TensorData> tensors = new LinkedHashMap<>();
    tensors.put("b", floats(Shape.of(2, 3), 1, 2, 3, 4, 5, 6));
    tensors.put("a.scalar", floats(Shape.scalar(), 7));
    tensors.put("empty", floats(Shape.of(0, 4)));
    Path file = folder.resolve("model.safetensors");
    Safetensors.write(file, tensors, Map.of("format", "pt"));

    try (Safetensors read = Safetensors.open(file)) {
      assertThat(read.metadata()).containsExactly(Map.entry("format", "pt"));
      assertThat(read.tensors()).containsOnlyKeys("b", "a.scalar", "empty");
      assertThat(read.tensor("b").shape()).isEqualTo(Shape.of(2, 3));
      assertThat(read.tensor("b").data().toArray(ValueLayout.JAVA_FLOAT_UNALIGNED))
          .containsExactly(1, 2, 3, 4, 5, 6);
      assertThatThrownBy(() -> read.tensor("c")).hasMessageContaining("tensor=c");
    }
    assertThat(
            ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN).getLong(0) % 8)
        .isZero();
  }

  @Test
  void filesOfASetHaveTheSameNamesInEveryLocale() {
    Map<String, Shape> tensors = new LinkedHashMap<>();
    tensors.put("a", Shape.of(2));
    tensors.put("b", Shape.of(2));
    try (PersianDigits _ = new PersianDigits()) {
      assertThat(SafetensorsPlan.of("model", tensors, 8, Map.of()).files())
          .extracting(SafetensorsPlan.TensorFile::name)
          .containsExactly("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
    }
  }

  @Test
  void aSetIsCutWhereAHeaderWouldBeTooLongToBeRead() throws IOException {
    Map<String, Shape> tensors = new LinkedHashMap<>();
    String name = "n".repeat(40_000);
    for (int i = 0; i < 500; i++) {
      tensors.put(i + name, Shape.of(1));
    }
    SafetensorsPlan plan = SafetensorsPlan.of("model", tensors, 1 << 30, Map.of("key", "text"));
    assertThat(plan.files()).hasSize(3);
    for (SafetensorsPlan.TensorFile file : plan.files()) {
      Path path = folder.resolve(file.name());
      ByteBuffer bytes = ByteBuffer.allocate((int) file.bytes());
      Files.write(path, bytes.put(file.header().duplicate()).array());
      try (Safetensors read = Safetensors.open(path)) {
        assertThat(read.tensors().keySet()).isEqualTo(file.places().keySet());
      }
    }
  }

  @Test
  void aHeaderThatIsTooLongToBeReadIsNotWritten() {
    Path file = folder.resolve("long.safetensors");
    Map<String, TensorData> tensors = Map.of("n".repeat(8 << 20), floats(Shape.of(1), 1));
    assertThatThrownBy(() -> Safetensors.write(file, tensors, Map.of()))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("limitBytes=8388608, tensors=1");
    assertThat(file).doesNotExist();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{",
        "[]",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[9223372036854775807,3],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"Q4\",\"shape\":[1],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[\"0\",\"8\"]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8.9]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,18446744073709551624]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":{\"0\":2},\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"I64\",\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"I64\",\"shape\":[2305843009213693953],\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}} {}",
        "{\"__metadata__\":{\"k\":1},\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
      })
  void aHeaderThatLiesIsRefused(String json) throws IOException {
    Path file = folder.resolve("wrong.safetensors");
    byte[] header = json.getBytes(StandardCharsets.UTF_8);
    ByteBuffer bytes = ByteBuffer.allocate(8 + header.length + 8).order(ByteOrder.LITTLE_ENDIAN);
    Files.write(file, bytes.putLong(header.length).put(header).array());
    assertThatThrownBy(() -> Safetensors.open(file).close())
        .isInstanceOf(CheckpointException.class)
        .hasMessageContaining(file.toString());
  }

  @Test
  void aHeaderThatFillsASmallHeapIsRefused() throws IOException {
    Path file = folder.resolve("long.safetensors");
    byte[] header = new byte[(8 << 20) + 8];
    Arrays.fill(header, (byte) ' ');
    header[0] = '{';
    header[1] = '}';
    ByteBuffer bytes = ByteBuffer.allocate(8 + header.length).order(ByteOrder.LITTLE_ENDIAN);
    Files.write(file, bytes.putLong(header.length).put(header).array());

    assertThatThrownBy(() -> Safetensors.open(file).close())
        .isInstanceOf(CheckpointException.class)
        .hasMessageContaining("header length is impossible: headerBytes=8388616");
  }

  @Test
  void everyTruncationIsRefused() throws IOException {
    Path file = folder.resolve("model.safetensors");
    Safetensors.write(file, Map.of("a", floats(Shape.of(4), 1, 2, 3, 4)), Map.of());
    byte[] whole = Files.readAllBytes(file);
    for (int length = 0; length < whole.length; length++) {
      Path cut = folder.resolve("cut.safetensors");
      Files.write(cut, Arrays.copyOf(whole, length));
      assertThatThrownBy(() -> Safetensors.open(cut).close())
          .isInstanceOf(CheckpointException.class);
    }
  }

  private static TensorData floats(Shape shape, float... values) {
    byte[] bytes = new byte[values.length * 4];
    ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().put(values);
    return new TensorData(DType.F32, shape, MemorySegment.ofArray(bytes));
  }
}
