package dev.lockstep.device.neuron.ffi;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.PaddingLayout;
import java.lang.foreign.StructLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// The layouts against what a C compiler makes of the documented structures, and against their
/// documented sizes.
@Timeout(60)
final class NrtLayoutsTest {
  @TempDir private Path folder;

  @Test
  void sizesAreTheDocumentedOnes() {
    assertThat(NrtLayouts.VERSION.byteSize()).isEqualTo(224);
    assertThat(NrtLayouts.INSTANCE_INFO.byteSize()).isEqualTo(32);
    assertThat(NrtLayouts.TENSOR_INFO.byteSize()).isEqualTo(296);
    assertThat(NrtLayouts.offset(NrtLayouts.TENSOR_INFO, "usage")).isEqualTo(256);
    assertThat(NrtLayouts.offset(NrtLayouts.TENSOR_INFO, "size")).isEqualTo(264);
    assertThat(NrtLayouts.offset(NrtLayouts.TENSOR_INFO, "dtype")).isEqualTo(272);
    assertThat(NrtLayouts.offset(NrtLayouts.TENSOR_INFO, "shape")).isEqualTo(280);
    assertThat(NrtLayouts.offset(NrtLayouts.TENSOR_INFO, "ndim")).isEqualTo(288);
  }

  @Test
  void membersStartWhereACompilerPutsThem() throws IOException, InterruptedException {
    assumeTrue(
        Arrays.stream(System.getenv("PATH").split(":"))
            .anyMatch(place -> Files.isExecutable(Path.of(place, "cc"))),
        "judge cc: no C compiler (apt-get install gcc libc6-dev)");
    StringBuilder program = new StringBuilder("#include \"nrt.h\"\n#include <stdio.h>\n");
    StringBuilder expected = new StringBuilder();
    program.append("int main(void) {\n");
    for (StructLayout struct : NrtLayouts.all()) {
      String type = struct.name().orElseThrow();
      program.append("  printf(\"%1$s %%zu\\n\", sizeof(%1$s));\n".formatted(type));
      expected.append("%s %d\n".formatted(type, struct.byteSize()));
      for (MemoryLayout member : struct.memberLayouts()) {
        if (member instanceof PaddingLayout) {
          continue;
        }
        String name = member.name().orElseThrow();
        program.append(
            "  printf(\"%2$s %%zu %%zu\\n\", offsetof(%1$s, %2$s), sizeof(((%1$s *) 0)->%2$s));\n"
                .formatted(type, name));
        expected.append(
            "%s %d %d\n".formatted(name, NrtLayouts.offset(struct, name), member.byteSize()));
      }
    }
    program.append("  printf(\"array %zu\\n\", offsetof(nrt_tensor_info_array_t, tensors));\n");
    expected.append("array %d\n".formatted(NrtLayouts.TENSOR_INFO_ARRAY_HEADER));
    program.append("  return 0;\n}\n");
    try (InputStream header =
        Objects.requireNonNull(NrtLayoutsTest.class.getResourceAsStream("../nrt.h"))) {
      Files.copy(header, folder.resolve("nrt.h"));
    }
    Files.writeString(folder.resolve("layouts.c"), program);
    output(
        "cc", "-o", folder.resolve("layouts").toString(), folder.resolve("layouts.c").toString());
    assertThat(output(folder.resolve("layouts").toString())).isEqualTo(expected.toString());
  }

  private static String output(String... command) throws IOException, InterruptedException {
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    String text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(process.waitFor()).as(text).isZero();
    return text;
  }
}
