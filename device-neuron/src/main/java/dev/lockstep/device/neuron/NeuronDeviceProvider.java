package dev.lockstep.device.neuron;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceInfo;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.DeviceProvider;
import dev.lockstep.device.Numerics;
import dev.lockstep.device.neuron.compiler.CompilerLookup;
import dev.lockstep.device.neuron.compiler.CompilerSettings;
import dev.lockstep.device.neuron.compiler.NeffCompiler;
import dev.lockstep.device.neuron.compiler.NeuronxCompiler;
import dev.lockstep.device.neuron.compiler.Target;
import dev.lockstep.device.neuron.ffi.Nrt;
import dev.lockstep.device.neuron.ffi.NrtLayouts;
import dev.lockstep.device.neuron.ffi.NrtLookup;
import dev.lockstep.device.neuron.ffi.NrtSession;
import dev.lockstep.device.neuron.ffi.NrtStatus;
import dev.lockstep.device.neuron.ffi.NrtVersion;
import dev.lockstep.failure.Availability;
import dev.lockstep.failure.DeviceException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Opens cores of Trainium chips. Public for [java.util.ServiceLoader] alone.
///
/// The runtime is initialised when the first device opens and closed with the last. A core belongs
/// to one process.
public final class NeuronDeviceProvider implements DeviceProvider {
  private static final Logger LOG = LoggerFactory.getLogger(NeuronDeviceProvider.class);
  private static final String NAME = "neuron";

  private final NeuronHost host;
  private final Supplier<NrtLookup> libraries;
  private final Supplier<CompilerLookup> compilers;
  private final Function<CompilerSettings, NeffCompiler> maker;

  /// Makes the provider; for the service loader.
  public NeuronDeviceProvider() {
    this(NeuronHost.here());
  }

  private NeuronDeviceProvider(NeuronHost host) {
    this(
        host,
        () -> NrtLookup.find(host.environment()),
        () -> CompilerLookup.find(host.environment()),
        settings -> new NeuronxCompiler(settings, LOG::info));
  }

  /// Makes a provider of other libraries and compilers.
  ///
  /// @param maker makes the compiler that was found, with the user's settings
  NeuronDeviceProvider(
      NeuronHost host,
      Supplier<NrtLookup> libraries,
      Supplier<CompilerLookup> compilers,
      Function<CompilerSettings, NeffCompiler> maker) {
    this.host = host;
    this.libraries = libraries;
    this.compilers = compilers;
    this.maker = maker;
  }

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public boolean keepsCollectives() {
    return host.keepsCollectives();
  }

  @Override
  public Availability probe() {
    return switch (look()) {
      case Look.Missing(String reason) -> new Availability.Unavailable(reason);
      case Look.There there -> new Availability.Available(there.cores, there.words());
    };
  }

  /// What was found.
  private sealed interface Look {
    record Missing(String reason) implements Look {}

    record There(
        NrtLookup.Found library,
        CompilerLookup.Found compiler,
        Target target,
        NrtVersion version,
        int cores)
        implements Look {
      String words() {
        return "%s, %d logical cores, runtime %s, neuronx-cc %s"
            .formatted(target.label(), cores, version, compiler.version());
      }
    }
  }

  private Look look() {
    List<Path> chips = host.chips();
    if (chips.isEmpty()) {
      return new Look.Missing(
          "there is no Neuron driver: file=%s (use a Trn instance, and install aws-neuronx-dkms)"
              .formatted(host.devices().resolve("neuron*")));
    }
    if (chips.stream().noneMatch(chip -> Files.isReadable(chip) && Files.isWritable(chip))) {
      return new Look.Missing(
          "the Neuron driver may not be used: files=%s (let this user read and write one)"
              .formatted(chips));
    }
    return switch (libraries.get()) {
      case NrtLookup.Absent(String reason) -> new Look.Missing(reason);
      case NrtLookup.Found found -> look(found);
    };
  }

  private Look look(NrtLookup.Found library) {
    Nrt nrt = library.library();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment said = arena.allocate(NrtLayouts.VERSION);
      int status = nrt.version(said);
      NrtVersion version = NrtVersion.read(said);
      if (status != NrtStatus.SUCCESS.code() || !version.isBound()) {
        return new Look.Missing(
            "the Neuron runtime is of another version: file=%s, status=%d %s, version=%s, needed=2 (install aws-neuronx-runtime-lib 2)"
                .formatted(library.file(), status, NrtStatus.of(status), version));
      }
      MemorySegment count = arena.allocate(JAVA_INT);
      status = nrt.totalCores(count);
      int total = count.get(JAVA_INT, 0);
      if (status != NrtStatus.SUCCESS.code() || total < 1) {
        return new Look.Missing(
            "no Neuron core is to be had: status=%d %s, cores=%d (see neuron-ls)"
                .formatted(status, NrtStatus.of(status), total));
      }
      int cores = host.cores(total);
      if (cores < 1) {
        return new Look.Missing(
            "this process sees no Neuron core: %s, cores=%d (name cores as 0 or 4-7, or set neither variable)"
                .formatted(host.said(), total));
      }
      MemorySegment info = arena.allocate(NrtLayouts.INSTANCE_INFO);
      status = nrt.instanceInfo(info);
      int family = info.get(JAVA_INT, 0);
      Optional<Target> target =
          status == NrtStatus.SUCCESS.code() ? target(family) : Optional.empty();
      if (target.isEmpty()) {
        return new Look.Missing(
            "this Neuron chip does not train: status=%d %s, family=%d (use a Trn1, Trn2 or Trn3 instance; see neuron-ls)"
                .formatted(status, NrtStatus.of(status), family));
      }
      return switch (compilers.get()) {
        case CompilerLookup.Absent(String reason) -> new Look.Missing(reason);
        case CompilerLookup.Found found ->
            new Look.There(library, found, target.get(), version, cores);
      };
    }
  }

  /// By `nrt_instance_family_t`: TRN1 2, TRN1N 3, TRN2 and its kin 5, 6, 8 to 13, TRN3 14 and 15.
  private static Optional<Target> target(int family) {
    return switch (family) {
      case 2, 3 -> Optional.of(Target.TRN1);
      case 5, 6, 8, 9, 10, 11, 12, 13 -> Optional.of(Target.TRN2);
      case 14, 15 -> Optional.of(Target.TRN3);
      default -> Optional.empty();
    };
  }

  @Override
  public Device open(int ordinal, DeviceOptions options) {
    String device = NAME + ":" + ordinal;
    return switch (look()) {
      case Look.Missing(String reason) ->
          throw new DeviceException(device, "open", 0, reason, null);
      case Look.There there -> open(ordinal, device, there, options);
    };
  }

  private Device open(int ordinal, String device, Look.There there, DeviceOptions options) {
    if (ordinal < 0 || ordinal >= there.cores) {
      throw new DeviceException(
          device,
          "open",
          0,
          "no such device: device=%s, devices=%d".formatted(device, there.cores),
          null);
    }
    // Before the runtime takes a core: settings of the compiler may be wrong.
    CompilerSettings settings =
        CompilerSettings.of(there.compiler, there.target, host.environment(), LOG::info);
    NeffCompiler compiler = maker.apply(settings);
    start(there.library, ordinal, device, options);
    NeuronRuntime runtime =
        new NeuronRuntime(there.library.library(), there.version, device, host.core(ordinal));
    DeviceInfo info = new DeviceInfo(device, there.words(), options.threads(), 0, false);
    return new NeuronDevice(
        info,
        new Numerics("neuron by " + settings.words(), false),
        keepsCollectives() ? options : options.among(Optional.empty()),
        there.target,
        compiler,
        runtime,
        () -> NrtSession.close(there.library));
  }

  private void start(NrtLookup.Found library, int ordinal, String device, DeviceOptions options) {
    Map<String, String> wanted = host.variables(ordinal, options.ranks());
    NrtSession.Opened opened = NrtSession.open(library, wanted);
    if (opened.status() != NrtStatus.SUCCESS.code()) {
      throw NeuronRuntime.failure(device, opened.status(), "nrt_init", "variables=" + wanted);
    }
    if (!opened.variables().equals(wanted)) {
      NrtSession.close(library);
      throw new DeviceException(
          device,
          "open",
          0,
          "the runtime is open in this process with other settings: device=%s, taken=%s, wanted=%s (close that device first, or set what differs before the process starts)"
              .formatted(device, opened.variables(), wanted),
          null);
    }
  }
}
