package dev.lockstep.device.neuron;

import dev.lockstep.device.AheadOfTime;
import dev.lockstep.device.Support;
import dev.lockstep.device.neuron.compiler.CompilerLookup;
import dev.lockstep.device.neuron.compiler.CompilerSettings;
import dev.lockstep.device.neuron.compiler.NeuronxCompiler;
import dev.lockstep.device.neuron.compiler.Target;
import dev.lockstep.device.neuron.hlo.HloEmitter;
import dev.lockstep.device.neuron.hlo.HloModule;
import dev.lockstep.device.neuron.hlo.SumOrder;
import dev.lockstep.failure.DeviceException;
import dev.lockstep.graph.Decomposition;
import dev.lockstep.graph.Graph;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// Writes programs as NEFF files, which `neuronx-cc` makes and the cache keeps for later runs, or
/// as HLO. Each has a `NAME.json` beside it that says what its parameters and results are, and
/// which ranks run it if not all do. Public for [java.util.ServiceLoader] alone.
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
    return form.equals(HLO) || NeuronHost.keepsCollectives(environment);
  }

  @Override
  public List<String> targets() {
    return List.of(Target.TRN2.label(), Target.TRN1.label(), Target.TRN3.label());
  }

  /// What a form makes of a module.
  private interface Form {
    byte[] of(HloModule module);
  }

  /// A module to be written.
  ///
  /// @param ranks which of the build's ranks run it; empty for all
  private record Written(String name, HloModule module, List<Integer> ranks) {}

  @Override
  public void write(Build build) {
    Target target = Target.of(build.target()).orElseThrow();
    boolean compiles = build.form().equals(NEFF);
    Form form = compiles ? compiler(target, build) : HloModule::proto;
    String suffix = compiles ? ".neff" : ".hlo.pb";
    for (var program : build.programs().entrySet()) {
      for (Written each : modules(program.getKey(), program.getValue(), target, build)) {
        HloModule module = each.module;
        if (module.results() == 0) {
          continue; // a rank that has no part of a sum joins nothing
        }
        byte[] bytes = form.of(module);
        String ports = PortTable.json(module, build.ranks().ranks(), each.ranks);
        build.output().write(each.name + suffix, bytes);
        build.output().write(each.name + ".json", ports.getBytes(StandardCharsets.UTF_8));
        build
            .progress()
            .accept(
                "%s: %d parameters, %d results, %d bytes"
                    .formatted(
                        each.name + suffix,
                        module.inputs().size(),
                        module.results(),
                        bytes.length));
      }
    }
  }

  /// One module for all ranks where the form and their graphs allow it, else one for each that
  /// differs. A device compiles its own rank's graph alone, with that rank's numbers in it.
  private List<Written> modules(String name, List<Graph> graphs, Target target, Build build) {
    SumOrder order = build.sameBits() ? SumOrder.LANE_TREE : SumOrder.COMPILER;
    graphs.forEach(graph -> target.check(Decomposition.expand(graph, (_, _) -> false)));
    boolean isOne =
        graphs.size() == 1
            || (build.form().equals(HLO)
                && HloEmitter.areOneProgram(graphs) instanceof Support.Yes);
    if (isOne) {
      return List.of(new Written(name, HloEmitter.emit(graphs, build.ranks(), order), List.of()));
    }
    Map<Graph, List<Integer>> ranks = new LinkedHashMap<>();
    for (int rank = 0; rank < graphs.size(); rank++) {
      ranks.computeIfAbsent(graphs.get(rank), _ -> new ArrayList<>()).add(rank);
    }
    List<Written> modules = new ArrayList<>();
    ranks.forEach(
        (graph, each) ->
            modules.add(
                new Written(
                    name + "-rank-" + each.getFirst(),
                    HloEmitter.emit(graph, build.ranks(), order),
                    each)));
    return modules;
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
