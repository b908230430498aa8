package dev.lockstep.device.neuron;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lockstep.device.neuron.compiler.CompilerLookup;
import dev.lockstep.device.neuron.compiler.Neff;
import dev.lockstep.device.neuron.ffi.NrtLibraries;
import dev.lockstep.device.neuron.ffi.NrtLookup;
import dev.lockstep.device.neuron.hlo.Elements;
import dev.lockstep.device.neuron.hlo.HloExecutable;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;

/// The stand-in for libnrt, built from C by the system's compiler, with the interpreter of modules
/// as what its cores compute. Its NEFFs are the header and the module.
@SuppressWarnings("restricted") // links the library that it built
final class StandIn {
  /// Cores of the machine that it is.
  static final int CORES = 4;

  /// Environment variable that the runtime reads which cores are the process's from.
  static final String VISIBLE_CORES = "NEURON_RT_VISIBLE_CORES";

  private static final int TIMEOUT = 5;
  private static final Arena ARENA = Arena.global();
  private static final Linker LINKER = Linker.nativeLinker();

  private final Path library;
  private final Path devices;
  private final SymbolLookup symbols;
  private final Set<String> seen;
  private final AtomicLong numbers = new AtomicLong();
  private final Map<Long, Loaded> programs = new ConcurrentHashMap<>();

  /// A program with its rank among those that run it together; 0 of 0 for one without collectives.
  private record Loaded(HloExecutable program, int rank, int ranks) {}

  private StandIn(Path library, Path devices, Set<String> seen)
      throws ReflectiveOperationException {
    this.seen = seen;
    this.library = library;
    this.devices = devices;
    this.symbols = SymbolLookup.libraryLookup(library, ARENA);
    MethodHandles.Lookup lookup = MethodHandles.lookup();
    MemorySegment describe =
        LINKER.upcallStub(
            lookup
                .findVirtual(
                    StandIn.class,
                    "describe",
                    MethodType.methodType(
                        long.class,
                        MemorySegment.class,
                        long.class,
                        int.class,
                        int.class,
                        MemorySegment.class))
                .bindTo(this),
            FunctionDescriptor.of(JAVA_LONG, ADDRESS, JAVA_LONG, JAVA_INT, JAVA_INT, ADDRESS),
            ARENA);
    MemorySegment execute =
        LINKER.upcallStub(
            lookup
                .findVirtual(
                    StandIn.class,
                    "execute",
                    MethodType.methodType(int.class, long.class, MemorySegment.class))
                .bindTo(this),
            FunctionDescriptor.of(JAVA_INT, JAVA_LONG, ADDRESS),
            ARENA);
    call("standin_host", FunctionDescriptor.ofVoid(ADDRESS, ADDRESS), describe, execute);
  }

  /// Builds a library of one's own; without a C compiler the test is skipped by name.
  static StandIn build() {
    return build(ConcurrentHashMap.newKeySet());
  }

  /// Builds a library of one's own.
  ///
  /// @param seen gets every module that is compiled, in hexadecimal digits
  static StandIn build(Set<String> seen) {
    assumeTrue(hasCompiler(), "judge cc: no C compiler (apt-get install gcc libc6-dev)");
    try {
      Path folder = Files.createTempDirectory("standin-nrt");
      folder.toFile().deleteOnExit();
      for (String name : List.of("nrt.h", "standin_nrt.c")) {
        try (InputStream source = Objects.requireNonNull(StandIn.class.getResourceAsStream(name))) {
          Files.copy(source, folder.resolve(name));
        }
        folder.resolve(name).toFile().deleteOnExit();
      }
      Path library = folder.resolve("libnrt.so.1");
      library.toFile().deleteOnExit();
      run(folder, "cc", "-w", "-O1", "-shared", "-fPIC", "-o", library.toString(), "standin_nrt.c");
      Path device = folder.resolve("neuron0");
      Files.createFile(device);
      device.toFile().deleteOnExit();
      return new StandIn(library, folder, seen);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    } catch (ReflectiveOperationException e) {
      throw new LinkageError("stand-in does not link", e);
    }
  }

  static boolean hasCompiler() {
    return Arrays.stream(System.getenv("PATH").split(":"))
        .anyMatch(folder -> Files.isExecutable(Path.of(folder, "cc")));
  }

  /// Runs a program and returns what it prints.
  static String run(Path folder, String... command) throws IOException {
    Process process =
        new ProcessBuilder(command).directory(folder.toFile()).redirectErrorStream(true).start();
    String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(process.onExit().join().exitValue()).as(said).isZero();
    return said;
  }

  private Object call(String function, FunctionDescriptor descriptor, Object... arguments) {
    MethodHandle handle = LINKER.downcallHandle(symbols.findOrThrow(function), descriptor);
    try {
      return handle.invokeWithArguments(arguments);
    } catch (Throwable cause) {
      throw new LinkageError("downcall failed: " + function, cause);
    }
  }

  /// As the process starts.
  void reset() {
    call("standin_reset", FunctionDescriptor.ofVoid());
  }

  /// Makes another machine of it, with runtime 34 of a major version.
  void machine(int cores, int family, long major, long bytes) {
    machine(cores, family, major, 34, bytes);
  }

  /// Makes another machine of it.
  void machine(int cores, int family, long major, long minor, long bytes) {
    call(
        "standin_machine",
        FunctionDescriptor.ofVoid(JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG),
        cores,
        family,
        major,
        minor,
        bytes);
  }

  /// The call after `after` more of `function` returns `status`, once.
  void fail(String function, int after, int status) {
    try (Arena arena = Arena.ofConfined()) {
      call(
          "standin_fail",
          FunctionDescriptor.ofVoid(ADDRESS, JAVA_INT, JAVA_INT),
          arena.allocateFrom(function),
          after,
          status);
    }
  }

  /// Bytes of device memory that are allocated.
  long used() {
    Object used = call("standin_used", FunctionDescriptor.of(JAVA_LONG));
    return (long) Objects.requireNonNull(used);
  }

  /// What the C library says a variable is.
  String environment(String name) {
    try (Arena arena = Arena.ofConfined()) {
      Object value =
          call(
              "standin_environment",
              FunctionDescriptor.of(ADDRESS, ADDRESS),
              arena.allocateFrom(name));
      return ((MemorySegment) Objects.requireNonNull(value)).reinterpret(4096).getString(0);
    }
  }

  Path library() {
    return library;
  }

  /// A folder of device files with one of a Neuron chip.
  Path devices() {
    return devices;
  }

  NrtLookup lookup() {
    return NrtLibraries.find(library);
  }

  /// A provider whose compiler puts modules into NEFFs.
  NeuronDeviceProvider provider() {
    return provider(Map.of());
  }

  /// A provider in a process with these variables.
  NeuronDeviceProvider provider(Map<String, String> environment) {
    return new NeuronDeviceProvider(
        new NeuronHost(environment, devices),
        this::lookup,
        () -> new CompilerLookup.Found(Path.of("neuronx-cc"), "2.0"),
        _ -> module -> compiled(module.proto()));
  }

  private Neff compiled(byte[] proto) {
    seen.add(HexFormat.of().formatHex(proto));
    return neff(proto);
  }

  /// A NEFF that holds a module.
  static Neff neff(byte[] proto) {
    ByteBuffer bytes =
        ByteBuffer.allocate(Neff.HEADER_BYTES + proto.length).order(ByteOrder.LITTLE_ENDIAN);
    bytes.putLong(0, 2).putLong(8, Neff.HEADER_BYTES).putLong(16, proto.length).putLong(24, 2);
    bytes.put(220, "module".getBytes(StandardCharsets.UTF_8));
    bytes.putInt(552, 2);
    bytes.put(Neff.HEADER_BYTES, proto);
    return Neff.parse(bytes.array());
  }

  /// Called by the library for a NEFF: writes lines of its tensors and returns its number.
  @SuppressWarnings("UnusedMethod") // by the library
  private long describe(MemorySegment neff, long bytes, int rank, int ranks, MemorySegment lines) {
    try {
      byte[] file = neff.reinterpret(bytes).toArray(JAVA_BYTE);
      HloExecutable program =
          new HloExecutable(Arrays.copyOfRange(file, Neff.HEADER_BYTES, file.length));
      StringBuilder text = new StringBuilder();
      for (HloExecutable.Tensor each : program.tensors()) {
        text.append("%d %s %d\n".formatted(each.isResult() ? 1 : 0, each.name(), each.bytes()));
      }
      lines
          .reinterpret(ADDRESS.byteSize())
          .set(ADDRESS, 0, Arena.ofAuto().allocateFrom(text.toString()));
      long number = numbers.incrementAndGet();
      programs.put(number, new Loaded(program, rank, ranks));
      return number;
    } catch (RuntimeException e) {
      e.printStackTrace(); // an exception that leaves an upcall ends the JVM
      return 0;
    }
  }

  private String text(String function) {
    Object value = call(function, FunctionDescriptor.of(ADDRESS));
    return ((MemorySegment) Objects.requireNonNull(value)).reinterpret(256).getString(0);
  }

  /// The root of collectives that the library was initialised with.
  String root() {
    return text("standin_root");
  }

  /// The seconds of an execution that the library was initialised with.
  String timeout() {
    return text("standin_timeout");
  }

  private long seconds() {
    String given = timeout();
    return given.isEmpty() ? 30 : Long.parseLong(given);
  }

  /// Called by the library to run a program.
  @SuppressWarnings("UnusedMethod") // by the library
  private int execute(long number, MemorySegment tensors) {
    try {
      Loaded loaded = Objects.requireNonNull(programs.get(number));
      HloExecutable program = loaded.program;
      List<HloExecutable.Tensor> all = program.tensors();
      MemorySegment addresses = tensors.reinterpret(all.size() * ADDRESS.byteSize());
      Map<String, double[]> given = new HashMap<>();
      for (int i = 0; i < all.size(); i++) {
        HloExecutable.Tensor each = all.get(i);
        if (!each.isResult()) {
          byte[] elements =
              addresses.getAtIndex(ADDRESS, i).reinterpret(each.bytes()).toArray(JAVA_BYTE);
          given.put(each.name(), Elements.decode(each.dtype(), elements));
        }
      }
      HloExecutable.Peers peers =
          loaded.ranks == 0
              ? HloExecutable.ALONE
              : StandInNetwork.at(root()).of(loaded.rank, seconds());
      List<double[]> results = program.run(given, peers);
      int next = 0;
      for (int i = 0; i < all.size(); i++) {
        HloExecutable.Tensor each = all.get(i);
        if (each.isResult()) {
          byte[] elements = Elements.encode(each.dtype(), results.get(next++));
          addresses
              .getAtIndex(ADDRESS, i)
              .reinterpret(each.bytes())
              .copyFrom(MemorySegment.ofArray(elements));
        }
      }
      return 0;
    } catch (StandInNetwork.MissingPeer missing) {
      return TIMEOUT;
    } catch (RuntimeException e) {
      e.printStackTrace(); // an exception that leaves an upcall ends the JVM
      return 1;
    }
  }
}
