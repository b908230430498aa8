package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.File;
import java.io.IOException;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// What the README shows compiles and runs as it is.
class ReadmeTest {
  private static final Path HOME = Path.of(System.getProperty("lockstep.home", ".."));

  @TempDir Path folder;

  /// Returns the README's blocks of a language.
  private static List<String> blocks(String language) throws IOException {
    Matcher blocks =
        Pattern.compile("```" + language + "\n(.*?)```", Pattern.DOTALL)
            .matcher(Files.readString(HOME.resolve("README.md")));
    List<String> found = blocks.results().map(block -> block.group(1)).toList();
    assertThat(found).as(language).isNotEmpty();
    return found;
  }

  private static String embeddingExample() throws IOException {
    List<String> java = blocks("java");
    assertThat(java).singleElement().asString().contains("class Embedded");
    return java.getFirst();
  }

  private static List<String> options() {
    return List.of(
        "--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED", "-cp");
  }

  @Test
  @Timeout(120)
  void theEmbeddingExampleCompilesAndTrains() throws Exception {
    TinyJob job = new TinyJob(folder);
    Path source = Files.writeString(folder.resolve("Embedded.java"), embeddingExample());
    StringWriter complaints = new StringWriter();
    var compiler = ToolProvider.getSystemJavaCompiler();
    String classPath = System.getProperty("java.class.path");
    boolean compiled =
        compiler
            .getTask(
                complaints,
                null,
                null,
                List.of("-cp", classPath, "-d", folder.toString()),
                null,
                compiler
                    .getStandardFileManager(null, null, null)
                    .getJavaFileObjects(source.toFile()))
            .call();
    assertThat(compiled).as(complaints.toString()).isTrue();

    try (Command command =
        Command.start(
            Map.of(),
            java(
                folder + File.pathSeparator + classPath,
                job.text().toString(),
                job.cache().toString()))) {
      assertThat(command.done().out())
          .singleElement()
          .asString()
          .matches("\\d\\.\\d+ [0-9a-f]{64}");
    }
  }

  private static List<String> java(String classPath, String text, String cache) {
    List<String> program = new ArrayList<>();
    program.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    program.addAll(options());
    program.addAll(List.of(classPath, "Embedded", text, cache));
    return program;
  }

  @Test
  @Tag("long")
  @Timeout(600)
  void theCoordinatesResolveFromALocalRepositoryOutside() throws Exception {
    Path repository = folder.resolve("repository");
    List<String> maven =
        List.of(
            HOME.resolve("mvnw").toString(),
            "-B",
            "-q",
            "-o",
            "-Dmaven.repo.local=" + repository,
            "-Dmaven.repo.local.tail=" + System.getProperty("user.home") + "/.m2/repository");
    mvn(maven, "-f", HOME.resolve("pom.xml").toString(), "-Pquick", "install");

    Path project = Files.createDirectories(folder.resolve("outside"));
    List<String> xml = blocks("xml");
    assertThat(xml).hasSize(1);
    Files.writeString(
        project.resolve("pom.xml"),
        """
        <project xmlns="http://maven.apache.org/POM/4.0.0">
          <modelVersion>4.0.0</modelVersion>
          <groupId>com.example</groupId>
          <artifactId>outside</artifactId>
          <version>1</version>
          <properties>
            <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
          </properties>
          %s
        </project>
        """
            .formatted(xml.getFirst()));
    Path list = project.resolve("classpath.txt");
    mvn(
        maven,
        "-f",
        project.resolve("pom.xml").toString(),
        "dependency:build-classpath",
        "-Dmdep.outputFile=" + list);
    assertThat(Files.readString(list))
        .contains("lockstep-training", "lockstep-collectives", "lockstep-runtime-core")
        .doesNotContain("lockstep-launcher");
  }

  private static void mvn(List<String> maven, String... arguments) throws Exception {
    List<String> program = new ArrayList<>(maven);
    program.addAll(List.of(arguments));
    try (Command command = Command.start(Map.of(), program)) {
      command.done();
    }
  }
}
