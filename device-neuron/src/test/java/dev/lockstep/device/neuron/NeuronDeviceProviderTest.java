package dev.lockstep.device.neuron;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.DeviceProvider;
import dev.lockstep.device.Support;
import dev.lockstep.device.neuron.compiler.CompilerLookup;
import dev.lockstep.device.neuron.ffi.NrtLookup;
import dev.lockstep.failure.Availability;
import dev.lockstep.failure.DeviceException;
import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.MemoryPool;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.ServiceLoader;
import java.util.Set;
import java.util.function.Supplier;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Whether there is a device here, and the one sentence that says why not.
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(60)
final class NeuronDeviceProviderTest {
  private static final String CORES = "NEURON_RT_VISIBLE_CORES";

  private final StandIn standIn = StandIn.build();

  @TempDir private Path empty;

  @BeforeEach
  void reset() {
    standIn.reset();
  }

  private static String reason(DeviceProvider provider) {
    return switch (provider.probe()) {
      case Availability.Available(int _, String detail) -> "available: " + detail;
      case Availability.Unavailable(String reason) -> reason;
    };
  }

  private NeuronDeviceProvider provider(
      Path devices, Supplier<NrtLookup> libraries, CompilerLookup compiler) {
    return new NeuronDeviceProvider(
        new NeuronHost(Map.of(), devices),
        libraries,
        () -> compiler,
        _ -> module -> StandIn.neff(module.proto()));
  }

  private static CompilerLookup compiler() {
    return new CompilerLookup.Found(Path.of("neuronx-cc"), "2.27.5334");
  }

  @Test
  void saysWhatThereIs() {
    Availability found = provider(standIn.devices(), standIn::lookup, compiler()).probe();
    assertThat(found)
        .isEqualTo(
            new Availability.Available(
                4, "trn2, 4 logical cores, runtime 2.34.10, neuronx-cc 2.27.5334"));
  }

  @Test
  void saysThatThereIsNoDriver() {
    assertThat(reason(provider(empty, standIn::lookup, compiler())))
        .isEqualTo(
            "there is no Neuron driver: file=%s/neuron* (use a Trn instance, and install aws-neuronx-dkms)"
                .formatted(empty));
  }

  @Test
  void findsAChipOfAnyNumber() throws IOException {
    Files.createFile(empty.resolve("neuron_p0"));
    assertThat(reason(provider(empty, standIn::lookup, compiler())))
        .startsWith("there is no Neuron driver");
    Files.createFile(empty.resolve("neuron13"));
    assertThat(reason(provider(empty, standIn::lookup, compiler())))
        .startsWith("available: trn2, 4 logical cores");
  }

  @Test
  void saysThatThereIsNoLibrary() {
    String missing = "/no/such/libnrt.so.1";
    Supplier<NrtLookup> lookup = () -> NrtLookup.find(Map.of(NrtLookup.VARIABLE, missing));
    assertThat(reason(provider(standIn.devices(), lookup, compiler())))
        .startsWith("the Neuron runtime is not installed: tried=[/no/such/libnrt.so.1] (install ");
  }

  @Test
  void saysThatALibraryIsAnother() {
    Supplier<NrtLookup> lookup = () -> NrtLookup.find(Map.of(NrtLookup.VARIABLE, "libc.so.6"));
    assertThat(reason(provider(standIn.devices(), lookup, compiler())))
        .startsWith("library is not the Neuron runtime, or too old: file=libc.so.6, cause=");
  }

  @ParameterizedTest(name = "cores={0}, family={1}, version={2}")
  @CsvSource({
    "4, 5, 1, 'status=0 SUCCESS, version=1.34.10, needed=2 ('",
    "0, 5, 2, 'no Neuron core is to be had: status=0 SUCCESS, cores=0'",
    "4, 4, 2, 'this Neuron chip does not train: status=0 SUCCESS, family=4 ('"
  })
  void saysWhatIsWrongWithTheMachine(int cores, int family, long version, String words) {
    standIn.machine(cores, family, version, Long.MAX_VALUE);
    assertThat(reason(provider(standIn.devices(), standIn::lookup, compiler()))).contains(words);
  }

  @ParameterizedTest(name = "family={0}")
  @CsvSource({"2, trn1", "3, trn1", "5, trn2", "9, trn2", "13, trn2", "14, trn3", "15, trn3"})
  void knowsTheGenerationByTheFamily(int family, String target) {
    standIn.machine(2, family, 2, Long.MAX_VALUE);
    assertThat(reason(provider(standIn.devices(), standIn::lookup, compiler())))
        .startsWith("available: " + target + ", 2 logical cores");
  }

  @Test
  void saysThatThereIsNoCompiler() {
    CompilerLookup none = CompilerLookup.find(Map.of("PATH", empty.toString()));
    assertThat(reason(provider(standIn.devices(), standIn::lookup, none)))
        .startsWith("neuronx-cc is not on PATH (pip install neuronx-cc from ");
  }

  @Test
  void refusesToOpenWhatIsNotThere() {
    try (MemoryPool pool = MemoryPool.root("open", 1 << 20)) {
      DeviceOptions options = new DeviceOptions(pool, 1, 0);
      assertThatThrownBy(() -> provider(empty, standIn::lookup, compiler()).open(0, options))
          .isInstanceOf(DeviceException.class)
          .hasMessageStartingWith("there is no Neuron driver");
      assertThatThrownBy(
              () -> provider(standIn.devices(), standIn::lookup, compiler()).open(4, options))
          .isInstanceOf(DeviceException.class)
          .hasMessage("no such device: device=neuron:4, devices=4");
    }
  }

  @Test
  void aProcessTakesTheCoreThatItOpensWhateverItsLocalRank() {
    try (MemoryPool pool = MemoryPool.root("open", 1 << 20);
        Device device =
            standIn.provider(Map.of("LOCAL_RANK", "3")).open(3, new DeviceOptions(pool, 1, 0))) {
      assertThat(device.info().name()).isEqualTo("neuron:3");
      assertThat(standIn.environment("NEURON_RT_VISIBLE_CORES")).isEqualTo("3");
      assertThat(standIn.environment("NEURON_RT_STOCHASTIC_ROUNDING_EN")).isEqualTo("0");
    }
  }

  /// Two that are open at once set the same variables, as ranks of one process do in tests.
  @Test
  void theEnvironmentIsAsItWasWhenTheLastDeviceIsClosed() {
    StandIn other = StandIn.build();
    String before = standIn.environment(CORES);
    try (MemoryPool pool = MemoryPool.root("open", 1 << 20)) {
      DeviceOptions options = new DeviceOptions(pool, 1, 0);
      try (Device first = standIn.provider().open(1, options)) {
        try (Device second = other.provider().open(2, options)) {
          assertThat(standIn.environment(CORES)).isEqualTo("2");
          assertThat(second.info().name()).isEqualTo("neuron:2");
        }
        assertThat(standIn.environment(CORES)).isIn("1", "2");
        assertThat(first.info().name()).isEqualTo("neuron:1");
      }
      assertThat(standIn.environment(CORES)).isEqualTo(before);
      standIn.fail("nrt_init", 0, 1);
      assertThatThrownBy(() -> standIn.provider().open(1, options))
          .isInstanceOf(DeviceException.class);
      assertThat(standIn.environment(CORES)).isEqualTo(before);
    }
  }

  @Test
  void wrongSettingsOfTheCompilerTakeNoCore() {
    NeuronDeviceProvider wrong =
        new NeuronDeviceProvider(
            new NeuronHost(Map.of(), standIn.devices()),
            standIn::lookup,
            NeuronDeviceProviderTest::compiler,
            _ -> {
              throw new IllegalArgumentException("settings are wrong");
            });
    try (MemoryPool pool = MemoryPool.root("open", 1 << 20)) {
      DeviceOptions options = new DeviceOptions(pool, 1, 0);
      assertThatThrownBy(() -> wrong.open(0, options)).hasMessage("settings are wrong");
      try (Device other = standIn.provider().open(1, options)) {
        assertThat(other.info().name()).isEqualTo("neuron:1");
        assertThat(standIn.environment("NEURON_RT_VISIBLE_CORES")).isEqualTo("1");
      }
    }
  }

  @ParameterizedTest(name = "{0}={1}")
  @CsvSource({
    "NEURON_RT_VISIBLE_CORES, 2, 1",
    "NEURON_RT_VISIBLE_CORES, 2-3, 2",
    "NEURON_RT_VISIBLE_CORES, '0,2-3', 3",
    "NEURON_RT_NUM_CORES, 2, 2",
    "NEURON_RT_NUM_CORES, 0, 4"
  })
  void thereAreAsManyDevicesAsTheUserSetCoresAsideFor(String name, String value, int devices) {
    NeuronDeviceProvider provider = standIn.provider(Map.of(name, value));
    assertThat(provider.probe())
        .isInstanceOfSatisfying(
            Availability.Available.class, there -> assertThat(there.count()).isEqualTo(devices));
    try (MemoryPool pool = MemoryPool.root("open", 1 << 20)) {
      assertThatThrownBy(() -> provider.open(devices, new DeviceOptions(pool, 1, 0)))
          .isInstanceOf(DeviceException.class)
          .hasMessage("no such device: device=neuron:%d, devices=%d".formatted(devices, devices));
    }
  }

  @Test
  void saysThatTheUserNamesNoCore() {
    assertThat(reason(standIn.provider(Map.of("NEURON_RT_VISIBLE_CORES", "3-2"))))
        .isEqualTo(
            "this process sees no Neuron core: NEURON_RT_VISIBLE_CORES=3-2, cores=4 (name cores as"
                + " 0 or 4-7, or set neither variable)");
    assertThat(reason(standIn.provider(Map.of("NEURON_RT_NUM_CORES", "all"))))
        .startsWith("this process sees no Neuron core: NEURON_RT_NUM_CORES=all, cores=4 (");
  }

  @Test
  void coresThatTheUserChoseAreLeftAlone() {
    NeuronHost host =
        new NeuronHost(Map.of("NEURON_RT_VISIBLE_CORES", "4-7", "LOCAL_RANK", "3"), empty);
    assertThat(host.variables(2, Optional.empty())).doesNotContainKey("NEURON_RT_VISIBLE_CORES");
    assertThat(host.core(2)).isEqualTo(2);
    assertThat(new NeuronHost(Map.of(), empty).core(2)).isZero();
  }

  /// What another compiler or target makes of a graph has other bits.
  @Test
  void devicesOfAnotherCompilerOrTargetAreAnotherKind() {
    Set<String> kinds = new HashSet<>();
    try (MemoryPool pool = MemoryPool.root("kinds", 1 << 20)) {
      DeviceOptions options = new DeviceOptions(pool, 1, 0);
      for (String version : List.of("2.27.5334", "2.28.1")) {
        for (int family : new int[] {5, 14}) {
          standIn.machine(4, family, 2, Long.MAX_VALUE);
          CompilerLookup compiler = new CompilerLookup.Found(Path.of("neuronx-cc"), version);
          try (Device device =
              provider(standIn.devices(), standIn::lookup, compiler).open(0, options)) {
            assertThat(device.numerics().isExact()).isFalse();
            kinds.add(device.numerics().kind());
          }
        }
      }
      try (Device device =
          standIn.provider(Map.of("NEURON_CC_FLAGS", "--auto-cast all")).open(0, options)) {
        kinds.add(device.numerics().kind());
      }
    }
    assertThat(kinds)
        .hasSize(5)
        .contains(
            "neuron by neuronx-cc 2.28.1 --target trn3 --lnc 2 --model-type transformer --auto-cast"
                + " none");
  }

  @Test
  void scattersNoIntegers() {
    Primitive scatter = new Primitive.ScatterAdd(5, Blocks.WHOLE);
    try (MemoryPool pool = MemoryPool.root("scatter", 1 << 20);
        Device device = standIn.provider().open(0, new DeviceOptions(pool, 1, 0))) {
      assertThat(device.supports(scatter, List.of(ValueType.i32(2), ValueType.f32(2, 3))))
          .isEqualTo(new Support.Yes());
      assertThat(device.supports(scatter, List.of(ValueType.i32(2), ValueType.i32(2, 3))))
          .isInstanceOfSatisfying(
              Support.No.class, no -> assertThat(no.reason()).contains("dtype=I32 (scatter F32)"));
    }
  }

  @Test
  void isFoundByTheServiceLoader() {
    List<String> names =
        ServiceLoader.load(DeviceProvider.class).stream()
            .map(ServiceLoader.Provider::get)
            .map(DeviceProvider::name)
            .toList();
    assertThat(names).contains("cpu", "neuron");
    assertThat(new NeuronDeviceProvider().probe()).isNotNull();
  }
}
