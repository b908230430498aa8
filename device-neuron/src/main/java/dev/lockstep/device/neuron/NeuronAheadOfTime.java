package dev.lockstep.device.neuron;

import dev.lockstep.device.AheadOfTime;
import dev.lockstep.device.neuron.compiler.CompilerLookup;
import dev.lockstep.device.neuron.compiler.CompilerSettings;
import dev.lockstep.device.neuron.compiler.NeuronxCompiler;
import dev.lockstep.device.neuron.compiler.Target;
import dev.lockstep.device.neuron.hlo.HloEmitter;
import dev.lockstep.device.neuron.hlo.HloModule;
import dev.lockstep.device.neuron.hlo.SumOrder;
import dev.lockstep.failure.DeviceException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/// Writes programs as NEFF files, which `neuronx-cc` makes and the cache keeps for later runs, or
/// as HLO. Each has a `NAME.json` beside it that says what its parameters and results are. Public
/// for [java.util.ServiceLoader] alone.
public final class NeuronAheadOfTime implements AheadOfTime {
  private static final String NEFF = "neff";
  private static final String HLO = "hlo";

  private final Map<String, String> environment;

  /// Makes the provider; for the service loader.
  public NeuronAheadOfTime() {
    this(System.getenv());
  }

  NeuronAheadOfTime(Map<String, String> environment) {
    this.environment = Map.copyOf(environment);
  }

  @Override
  public String device() {
    return "neuron";
  }

  @Override
  public List<String> forms() {
    return List.of(NEFF, HLO);
  }

  @Override
  public boolean keepsCollectives(String form) {
    return form.equals(HLO);
  }

  @Override
  public List<String> targets() {
    return List.of(Target.TRN2.label(), Target.TRN1.label(), Target.TRN3.label());
  }

  /// What a form makes of a module.
  private interface Form {
    byte[] of(HloModule module);
  }

  @Override
  public List<Path> write(Build build) {
    Target target = Target.of(build.target()).orElseThrow();
    SumOrder order = build.sameBits() ? SumOrder.LANE_TREE : SumOrder.COMPILER;
    boolean compiles = build.form().equals(NEFF);
    Form form = compiles ? compiler(target, build) : HloModule::proto;
    String suffix = compiles ? ".neff" : ".hlo.pb";
    List<Path> written = new ArrayList<>();
    try {
      Files.createDirectories(build.folder());
      for (var program : build.programs().entrySet()) {
        target.check(program.getValue());
        HloModule module = HloEmitter.emit(program.getValue(), build.ranks(), order);
        Path file = build.folder().resolve(program.getKey() + suffix);
        Path ports = build.folder().resolve(program.getKey() + ".json");
        byte[] bytes = form.of(module);
        Files.write(file, bytes);
        Files.writeString(ports, PortTable.json(module, build.ranks().ranks()));
        build
            .progress()
            .accept(
                "%s: %d parameters, %d results, %d bytes"
                    .formatted(file, module.inputs().size(), module.results(), bytes.length));
        written.add(file);
        written.add(ports);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(
          "programs cannot be written: folder=%s, cause=%s".formatted(build.folder(), e), e);
    }
    return written;
  }

  private Form compiler(Target target, Build build) {
    return switch (CompilerLookup.find(environment)) {
      case CompilerLookup.Absent(String reason) ->
          throw new DeviceException(device(), "neuronx-cc", 0, reason, null);
      case CompilerLookup.Found found -> {
        CompilerSettings settings =
            CompilerSettings.of(found, target, environment, build.progress());
        NeuronxCompiler compiler = new NeuronxCompiler(settings, build.progress());
        yield module -> compiler.compile(module).bytes();
      }
    };
  }
}
