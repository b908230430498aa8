package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.algorithm.Algorithms;
import java.io.File;
import java.io.IOException;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// What the README shows compiles and runs as it is.
class ReadmeTest {
  /// Far longer than packing and installing half the modules takes.
  private static final Duration BUILD = Duration.ofSeconds(280);

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

  /// Compiles the program of a class.
  ///
  /// @return the class path to run it
  private String compiled(String name) throws IOException {
    List<String> programs =
        blocks("java").stream().filter(java -> java.contains("class " + name + " ")).toList();
    assertThat(programs).as(name).hasSize(1);
    Path source = Files.writeString(folder.resolve(name + ".java"), programs.getFirst());
    String classPath = System.getProperty("java.class.path");
    compile(List.of("-cp", classPath, "-d", folder.toString()), source);
    return folder + File.pathSeparator + classPath;
  }

  private static List<String> options() {
    return List.of(
        "--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED", "-cp");
  }

  @Test
  @Timeout(120)
  void theEmbeddingExampleCompilesAndTrains() throws Exception {
    TinyJob job = new TinyJob(folder);
    String classPath = compiled("Embedded");
    try (Command command =
        Command.start(
            Map.of(), java(classPath, "Embedded", job.text().toString(), job.cache().toString()))) {
      assertThat(command.done().out())
          .singleElement()
          .asString()
          .matches("\\d\\.\\d+ [0-9a-f]{64}");
    }
  }

  @Test
  @Timeout(120)
  void theExampleOfACommunicatorCompilesAndSums() throws Exception {
    List<String> program = java(compiled("Summed"), "Summed");
    try (Command command = Command.start(Map.of(), program)) {
      assertThat(command.done().printed("sum")).as("that of one rank").isEqualTo("1.0");
    }
  }

  private static void compile(List<String> options, Path source) {
    StringWriter complaints = new StringWriter();
    var compiler = ToolProvider.getSystemJavaCompiler();
    boolean compiled =
        compiler
            .getTask(
                complaints,
                null,
                null,
                options,
                null,
                compiler
                    .getStandardFileManager(null, null, null)
                    .getJavaFileObjects(source.toFile()))
            .call();
    assertThat(compiled).as(complaints.toString()).isTrue();
  }

  private static List<String> java(String classPath, String main, String... arguments) {
    List<String> program = new ArrayList<>();
    program.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    program.addAll(options());
    program.addAll(List.of(classPath, main));
    program.addAll(List.of(arguments));
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
            "-Dmaven.repo.local.tail=" + System.getProperty("lockstep.repository"));
    mvn(
        maven,
        "-f",
        copyOfModules().resolve("pom.xml").toString(),
        "-Pquick",
        "-Dmaven.main.skip",
        "-pl=:lockstep-bom,:lockstep-training",
        "-am",
        "install");

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
        dependencyPlugin() + ":build-classpath",
        "-Dmdep.outputFile=" + list);
    assertThat(Files.readString(list))
        .contains("lockstep-training", "lockstep-collectives", "lockstep-runtime-core")
        .doesNotContain("lockstep-launcher", "agrona");
    Path module = project.resolve("module-info.java");
    Files.writeString(module, "module outside { requires dev.lockstep.train; }");
    compile(List.of("--module-path", Files.readString(list), "-d", project.toString()), module);
  }

  /// Those that differ by the size of their chunks alone are one.
  @Test
  void itsNumberOfAlgorithmsIsHowManyThereAre() throws IOException {
    long algorithms =
        Algorithms.all().stream()
            .map(algorithm -> algorithm.name().replaceFirst("/\\d+$", ""))
            .distinct()
            .count();
    assertThat(Files.readString(HOME.resolve("README.md")))
        .contains(" by " + algorithms + " algorithms,");
  }

  @Test
  void theBomNamesTheVersionsOfTheBuild() throws IOException {
    String build = Files.readString(HOME.resolve("pom.xml"));
    String bom = Files.readString(HOME.resolve("bom/pom.xml"));
    Map<String, String> artifacts =
        Map.of(
            "netty", "netty-bom", "jackson", "jackson-bom", "agrona", "agrona", "lz4", "lz4-java");
    artifacts.forEach(
        (property, artifact) -> {
          Matcher version = Pattern.compile("<" + property + ".version>([^<]+)<").matcher(build);
          assertThat(version.find()).as(property).isTrue();
          assertThat(bom)
              .containsPattern(
                  artifact + "</artifactId>\\s*<version>" + Pattern.quote(version.group(1)) + "<");
        });
  }

  /// Returns a copy to pack in, with what this build has compiled: these tests run from the jars of
  /// this checkout.
  private Path copyOfModules() throws IOException {
    Path copy = folder.resolve("checkout");
    try (Stream<Path> files = Files.walk(HOME)) {
      for (Path file : (Iterable<Path>) files::iterator) {
        Path relative = HOME.relativize(file);
        if (isOfAModule(relative) && Files.isRegularFile(file)) {
          Path target = copy.resolve(relative.toString());
          Files.createDirectories(target.getParent());
          Files.copy(file, target, StandardCopyOption.COPY_ATTRIBUTES);
        }
      }
    }
    return copy;
  }

  private static boolean isOfAModule(Path relative) {
    if (relative.getNameCount() > 2 && relative.subpath(1, 3).equals(Path.of("target/classes"))) {
      return true;
    }
    Set<String> leftOut = Set.of(".git", "target", "runs");
    return IntStream.range(0, relative.getNameCount())
        .noneMatch(i -> leftOut.contains(relative.getName(i).toString()));
  }

  /// Returns the plug-in that the build itself uses: offline, there may be no other.
  private static String dependencyPlugin() throws IOException {
    String name = "maven-dependency-plugin";
    Matcher version =
        Pattern.compile(name + "</artifactId>\\s*<version>([^<]+)<")
            .matcher(Files.readString(HOME.resolve("pom.xml")));
    assertThat(version.find()).isTrue();
    return "org.apache.maven.plugins:" + name + ":" + version.group(1);
  }

  private static void mvn(List<String> maven, String... arguments) throws Exception {
    List<String> program = new ArrayList<>(maven);
    program.addAll(List.of(arguments));
    try (Command command = Command.start(Map.of(), program)) {
      var _ = command.untilEnd(BUILD);
      command.done();
    }
  }
}
