package dev.lockstep.device.neuron.hlo;

import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/// A module in the making: its entry computation and the small ones that reductions call.
final class ModuleBuilder {
  private static final String ENTRY = "main";
  private static final int MUST_ALIAS = 2;

  private final String name;
  private final Map<Join, Long> joins = new LinkedHashMap<>();
  private final List<ProtoWriter> computations = new ArrayList<>();
  private final List<ProtoWriter> aliases = new ArrayList<>();
  private final Computation entry;
  private long ids;

  private record Join(String opcode, DType dtype) {}

  ModuleBuilder(String name) {
    this.name = name;
    this.entry = new Computation(this, ENTRY);
  }

  long nextId() {
    return ++ids;
  }

  Computation entry() {
    return entry;
  }

  /// The computation that joins two elements; one, however often it is asked for.
  long join(String opcode, DType dtype) {
    Join wanted = new Join(opcode, dtype);
    Long known = joins.get(wanted);
    if (known != null) {
      return known;
    }
    ValueType type = new ValueType(dtype, Shape.scalar());
    String label = opcode + "_" + dtype.safetensorsName().toLowerCase(Locale.ROOT);
    Computation join = new Computation(this, label);
    Hlo first = join.parameter("a", type, _ -> {});
    Hlo second = join.parameter("b", type, _ -> {});
    Hlo root = join.binary(opcode, first, second);
    computations.add(join.finish(root.id(), Schema.shape(type)));
    joins.put(wanted, join.id());
    return join.id();
  }

  /// Gives result `output` of the root the memory of parameter `parameter`.
  void alias(int output, int parameter) {
    aliases.add(new ProtoWriter().packed(1, output).number(2, parameter).number(4, MUST_ALIAS));
  }

  /// The finished module.
  ///
  /// @param root the entry's tuple of results
  byte[] finish(long root, List<ValueType> results) {
    ProtoWriter shape = Schema.tuple(results);
    ProtoWriter module = new ProtoWriter().text(1, name).text(2, ENTRY);
    computations.forEach(computation -> module.message(3, computation));
    module.message(3, entry.finish(root, shape));
    module.message(4, entry.programShape(shape)).number(5, 1).number(6, entry.id());
    if (!aliases.isEmpty()) {
      ProtoWriter all = new ProtoWriter();
      aliases.forEach(alias -> all.message(1, alias));
      module.message(8, all);
    }
    return module.toBytes();
  }
}
