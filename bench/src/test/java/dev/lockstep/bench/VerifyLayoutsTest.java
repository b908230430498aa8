package dev.lockstep.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.bench.layouts.LayoutCase;
import dev.lockstep.bench.layouts.LayoutRun;
import dev.lockstep.failure.ConfigurationException;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(300)
class VerifyLayoutsTest {
  private static String run(String... arguments) throws Exception {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    PrintStream out = new PrintStream(bytes, true, StandardCharsets.UTF_8);
    assertThat(new VerifyLayoutsCommand().run(List.of(arguments), out, out))
        .as(() -> bytes.toString(StandardCharsets.UTF_8))
        .isZero();
    return bytes.toString(StandardCharsets.UTF_8);
  }

  @Test
  void fewLayoutsEndInOneResult() throws Exception {
    assertThat(LayoutCase.all()).hasSizeGreaterThan(100);
    String text = run("--quick");
    assertThat(text)
        .contains("dp=3 --zero 3, shm", "dp=2 --zero 1 then tp=4", "--schedule 1f1b", "7 layouts")
        .contains("cp=2,tp=2 --sequence-parallel");
    assertThat(text.lines().filter(line -> line.endsWith("  same"))).hasSize(7);
    assertThat(text.strip().lines().toList().getLast()).matches("weights sha256    [0-9a-f]{64}");
  }

  @Tag("long")
  @Test
  void everyFamilyEndsInOneResult() throws Exception {
    assertThat(run("llama", "--quick")).startsWith("Llama with").contains("7 layouts, one result");
    assertThat(run("mlp", "--quick")).startsWith("MLP with").contains("7 layouts, one result");
    assertThat(run("moe", "--quick"))
        .startsWith("MoE GPT with")
        .contains("ep=2,dp=2 --zero 1, shm", "layouts, one result");
  }

  @Test
  void aDifferenceIsNamed() {
    LayoutRun.Result one = new LayoutRun.Result(List.of(1f), "a", "b");
    assertThat(one.differences(new LayoutRun.Result(List.of(2f), "a", "c")))
        .isEqualTo("losses differ, optimizer state differs");
  }

  @Test
  void oneLayoutThatDiffersIsNamedAndFailsTheCommand() throws Exception {
    LayoutRun.Result usual = new LayoutRun.Result(List.of(1f), "a".repeat(64), "b".repeat(64));
    LayoutRun.Result other = new LayoutRun.Result(List.of(1f), "c".repeat(64), "b".repeat(64));
    List<LayoutCase> cases = LayoutCase.few();
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    PrintStream out = new PrintStream(bytes, true, StandardCharsets.UTF_8);
    int code =
        VerifyLayoutsCommand.compare(
            layout -> layout.equals(cases.getLast()) ? other : usual, cases, out);
    assertThat(code).isEqualTo(1);
    assertThat(bytes.toString(StandardCharsets.UTF_8))
        .contains(cases.getLast().words())
        .contains("weights differ")
        .contains("1 of %d layouts differ".formatted(cases.size()))
        .doesNotContain("one result");
  }

  @Test
  void anUnknownArgumentIsRefused() {
    assertThatThrownBy(() -> run("--fast")).isInstanceOf(ConfigurationException.class);
    assertThatThrownBy(() -> run("rnn"))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("model rnn (known: gpt, llama, mlp, moe)");
  }
}
