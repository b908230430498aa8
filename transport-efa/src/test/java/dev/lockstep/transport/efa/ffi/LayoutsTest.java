package dev.lockstep.transport.efa.ffi;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.PaddingLayout;
import java.lang.foreign.StructLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// The layouts and constants against the header that is installed, as its C compiler sees it.
@Timeout(60)
final class LayoutsTest {
  private static final String JUDGE = "judge libfabric-dev: ";

  /// Constants that are no macro or enumerator of libfabric's.
  private static final List<String> OURS =
      List.of("API_VERSION", "DMABUF_VERSION", "RNR_RETRY_FOREVER");

  /// The folder that has `rdma/fabric.h`: that of another libfabric than the system's can be named.
  private static final Path HEADERS =
      Path.of(
          Objects.requireNonNullElse(System.getenv("LOCKSTEP_LIBFABRIC_HEADERS"), "/usr/include"));

  /// What headers older than 2.1 lack, as later ones have it.
  private static final String LATER =
      """
      #ifndef FI_OPT_EFA_RNR_RETRY
      #define FI_OPT_EFA_RNR_RETRY -(0xefa << 16)
      #endif
      #ifndef FI_MR_DMABUF
      #define FI_MR_DMABUF (1ULL << 40)
      struct fi_mr_dmabuf { int fd; uint64_t offset; size_t len; void *base_addr; };
      #endif
      #if FI_MAJOR_VERSION < 2 || (FI_MAJOR_VERSION == 2 && FI_MINOR_VERSION < 1)
      #define FI_OPT_MAX_MSG_SIZE 12
      #endif
      """;

  @TempDir private Path directory;

  @Test
  void membersStartWhereTheHeaderSays() throws IOException, InterruptedException {
    StringBuilder program = new StringBuilder();
    StringBuilder expected = new StringBuilder();
    for (StructLayout struct : Layouts.all()) {
      String type = struct.name().orElseThrow();
      for (MemoryLayout member : struct.memberLayouts()) {
        if (member instanceof PaddingLayout) {
          continue;
        }
        String name = member.name().orElseThrow();
        program.append(
            "  printf(\"%%s %%s %%zu %%zu\\n\", \"%1$s\", \"%2$s\", offsetof(struct %1$s, %2$s), sizeof(((struct %1$s *) 0)->%2$s));\n"
                .formatted(type, name));
        expected.append(
            "%s %s %d %d\n".formatted(type, name, Layouts.offset(struct, name), member.byteSize()));
      }
    }
    assertThat(run(program.toString())).isEqualTo(expected.toString());
  }

  @Test
  void constantsAreTheHeaders() throws IOException, InterruptedException {
    List<String> same =
        Stream.of(Fi.class.getFields())
            .map(field -> field.getName())
            .filter(name -> !OURS.contains(name))
            .toList();
    StringBuilder program = new StringBuilder();
    StringBuilder expected = new StringBuilder();
    for (String name : same) {
      program.append("  printf(\"%s %%lld\\n\", (long long) FI_%s);\n".formatted(name, name));
      expected.append(name).append(' ').append(value(name)).append('\n');
    }
    assertThat(run(program.toString())).isEqualTo(expected.toString());
  }

  private static long value(String name) {
    try {
      Object value = Fi.class.getField(name).get(null);
      return ((Number) value).longValue();
    } catch (ReflectiveOperationException impossible) {
      throw new LinkageError(impossible.getMessage(), impossible);
    }
  }

  private String run(String body) throws IOException, InterruptedException {
    Path source = directory.resolve("layouts.c");
    Path program = directory.resolve("layouts");
    String headers =
        Stream.of(
                "stdio.h",
                "stddef.h",
                "sys/uio.h",
                "rdma/fabric.h",
                "rdma/fi_domain.h",
                "rdma/fi_endpoint.h",
                "rdma/fi_cm.h",
                "rdma/fi_rma.h",
                "rdma/fi_eq.h",
                "rdma/fi_errno.h",
                "rdma/fi_ext.h",
                "rdma/fi_ext_efa.h")
            .filter(LayoutsTest::isThere)
            .map("#include <%s>\n"::formatted)
            .reduce("#define _GNU_SOURCE\n", String::concat);
    Files.writeString(source, headers + LATER + "int main(void) {\n" + body + "  return 0;\n}\n");
    assumeTrue(
        isThere("rdma/fabric.h"), JUDGE + "no rdma/fabric.h (apt-get install libfabric-dev)");
    assumeTrue(isCompilerThere(), JUDGE + "no C compiler (apt-get install gcc)");
    output("cc", "-w", "-I", HEADERS.toString(), "-o", program.toString(), source.toString());
    return output(program.toString());
  }

  private static boolean isThere(String header) {
    boolean ofSystem = !header.startsWith("rdma/");
    return ofSystem || Files.exists(HEADERS.resolve(header));
  }

  private static boolean isCompilerThere() {
    return Arrays.stream(System.getenv("PATH").split(":"))
        .anyMatch(folder -> Files.isExecutable(Path.of(folder, "cc")));
  }

  private static String output(String... command) throws IOException, InterruptedException {
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    String text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(process.waitFor()).as(text).isZero();
    return text;
  }
}
