package dev.lockstep.device.neuron.hlo;

import dev.lockstep.device.neuron.hlo.HloProgram.Instruction;
import dev.lockstep.tensor.DType;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// A module as a stand-in for a compiled program: its tensors by name, and their numbers by the
/// interpreter. As Neuron's compiler does it, inputs that nothing reads are dropped and those whose
/// memory a result takes are renamed.
public final class HloExecutable {
  private final HloProgram program;
  private final Map<Integer, Tensor> inputs = new HashMap<>();
  private final List<Tensor> tensors = new ArrayList<>();

  /// A program without collectives.
  public static final Peers ALONE =
      own -> {
        throw new IllegalStateException("program was loaded alone and meets others: " + own);
      };

  /// A collective that a rank has come to.
  public record Meeting(HloInterpreter.Collective own) {
    /// Returns the group of a rank in it.
    public List<Long> group(int rank) {
      return HloReplicas.group(own, rank);
    }

    /// Returns what it gives this rank.
    ///
    /// @param met what the ranks of the group came to, in its order
    /// @param rank this rank
    public double[] result(List<Meeting> met, int rank) {
      return HloReplicas.result(met.stream().map(Meeting::own).toList(), rank);
    }
  }

  /// The other ranks that run a program.
  public interface Peers {
    /// Waits for the peers of a collective and returns its result.
    double[] meet(Meeting own);
  }

  /// What is given to a program, or what it gives.
  ///
  /// @param name its name
  /// @param dtype element type
  /// @param elements number of elements
  /// @param isResult whether the program writes it
  public record Tensor(String name, DType dtype, int elements, boolean isResult) {
    /// Returns its size.
    public long bytes() {
      return (long) elements * dtype.bytes();
    }
  }

  /// Reads a module.
  public HloExecutable(byte[] proto) {
    program = HloProgram.read(proto);
    Set<Long> used = new HashSet<>();
    for (Instruction each : program.main().instructions()) {
      for (long operand : each.operands()) {
        used.add(operand);
      }
    }
    for (Instruction each : program.main().instructions()) {
      if (each.opcode().equals("parameter") && used.contains(each.id())) {
        int number = (int) each.proto().number(9);
        String name = each.proto().message(68).message(1).text(2);
        boolean aliased = program.aliases().containsValue(number);
        Tensor tensor = tensor(aliased ? name + ".must_alias_input" : name, each.type(), false);
        inputs.put(number, tensor);
        tensors.add(tensor);
      }
    }
    addResults();
  }

  private void addResults() {
    Map<Long, HloProgram.Array> types = new HashMap<>();
    program.main().instructions().forEach(each -> types.put(each.id(), each.type()));
    Instruction root = program.main().instructions().getLast();
    String[] names = root.proto().message(68).message(1).text(2).split(",", -1);
    for (int i = 0; i < root.operands().length; i++) {
      HloProgram.Array type = types.get(root.operands()[i]);
      if (type == null) {
        throw new IllegalStateException("result comes from nowhere: " + names[i]);
      }
      tensors.add(tensor(names[i], type, true));
    }
  }

  private static Tensor tensor(String name, HloProgram.Array type, boolean isResult) {
    for (DType dtype : DType.values()) {
      if (Schema.elementType(dtype) == type.element()) {
        return new Tensor(name, dtype, type.size(), isResult);
      }
    }
    throw new IllegalArgumentException("unknown element type: " + type.element());
  }

  /// Returns inputs, then results.
  public List<Tensor> tensors() {
    return tensors;
  }

  /// Runs the program.
  ///
  /// @param given numbers of the inputs by name
  /// @param peers who its collectives are with
  /// @return numbers of the results in order
  public List<double[]> run(Map<String, double[]> given, Peers peers) {
    List<double[]> parameters = new ArrayList<>();
    List<HloProgram.Array> types = program.parameters();
    for (int i = 0; i < types.size(); i++) {
      Tensor tensor = inputs.get(i);
      double[] numbers = tensor == null ? null : given.get(tensor.name());
      parameters.add(numbers == null ? new double[types.get(i).size()] : numbers);
    }
    HloInterpreter replica = new HloInterpreter(program, parameters);
    for (var met = replica.advance(); met.isPresent(); met = replica.advance()) {
      replica.give(peers.meet(new Meeting(met.get())));
    }
    return replica.results();
  }
}
