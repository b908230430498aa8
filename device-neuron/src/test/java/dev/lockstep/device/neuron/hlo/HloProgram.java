package dev.lockstep.device.neuron.hlo;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// A module as read from its bytes.
///
/// @param name the module's name
/// @param computations by id
/// @param entry id of the entry computation
/// @param aliases result number to parameter number
record HloProgram(
    String name, Map<Long, Routine> computations, long entry, Map<Integer, Integer> aliases) {
  /// A computation.
  record Routine(String name, List<Instruction> instructions, long root) {}

  /// An instruction; `proto` holds what its opcode needs.
  @SuppressWarnings("ArrayRecordComponent") // never compared
  record Instruction(
      long id,
      String name,
      String opcode,
      Array type,
      long[] operands,
      long[] dims,
      ProtoFields proto) {}

  /// An array's element type, as `xla.PrimitiveType` numbers it, and extents.
  @SuppressWarnings("ArrayRecordComponent") // never compared
  record Array(int element, int[] dims) {
    int size() {
      int size = 1;
      for (int dim : dims) {
        size *= dim;
      }
      return size;
    }

    boolean isInteger() {
      return element >= 1 && element <= 9;
    }
  }

  static HloProgram read(byte[] bytes) {
    ProtoFields module = new ProtoFields(bytes);
    Map<Long, Routine> computations = new HashMap<>();
    for (ProtoFields computation : module.messages(3)) {
      List<Instruction> instructions = new ArrayList<>();
      for (ProtoFields each : computation.messages(2)) {
        instructions.add(
            new Instruction(
                each.number(35),
                each.text(1),
                each.text(2),
                array(each.message(3)),
                each.packed(36),
                each.packed(14),
                each));
      }
      computations.put(
          computation.number(5),
          new Routine(computation.text(1), instructions, computation.number(6)));
    }
    Map<Integer, Integer> aliases = new HashMap<>();
    for (ProtoFields alias : module.message(8).messages(1)) {
      aliases.put((int) alias.packed(1)[0], (int) alias.number(2));
    }
    return new HloProgram(module.text(1), computations, module.number(6), aliases);
  }

  private static Array array(ProtoFields shape) {
    long[] extents = shape.packed(3);
    int[] dims = new int[extents.length];
    for (int i = 0; i < dims.length; i++) {
      dims[i] = (int) extents[i];
    }
    return new Array((int) shape.number(2), dims);
  }

  Routine main() {
    return routine(entry);
  }

  Routine routine(long id) {
    Routine found = computations.get(id);
    if (found == null) {
      throw new IllegalArgumentException("no such computation: " + id);
    }
    return found;
  }

  /// Parameters of the entry, by number.
  List<Array> parameters() {
    Map<Integer, Array> found = new HashMap<>();
    for (Instruction each : main().instructions()) {
      if (each.opcode().equals("parameter")) {
        found.put((int) each.proto().number(9), each.type());
      }
    }
    List<Array> ordered = new ArrayList<>();
    for (int i = 0; i < found.size(); i++) {
      ordered.add(found.get(i));
    }
    return ordered;
  }

  /// What joins two elements of a reduction.
  String joinOf(Instruction instruction) {
    Routine join = routine(instruction.proto().packed(38)[0]);
    for (Instruction each : join.instructions()) {
      if (each.id() == join.root()) {
        return each.opcode();
      }
    }
    throw new IllegalArgumentException("computation without root: " + join.name());
  }
}
