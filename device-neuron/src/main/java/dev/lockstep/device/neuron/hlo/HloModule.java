package dev.lockstep.device.neuron.hlo;

import dev.lockstep.graph.ValueType;
import java.util.List;

/// A graph as HLO.
///
/// @param name the graph's
/// @param proto bytes of an `xla.HloModuleProto`; not to be changed
/// @param inputs parameters, in order; inputs of the graph that have no elements are not among them
/// @param outputs elements of the root's tuple, in order; outputs without elements are not among
///   them. If there are [#tables], one more result follows: [#IDS]
/// @param tables the ops whose ids must be checked when the program has run, in order
/// @param readsRank whether ranks compute other things by their number: then one more parameter
///   follows the inputs, [#RANK]
/// @param hasCollectives whether ranks must run it together
@SuppressWarnings("ArrayRecordComponent") // never compared
public record HloModule(
    String name,
    byte[] proto,
    List<Port> inputs,
    List<Port> outputs,
    List<Table> tables,
    boolean readsRank,
    boolean hasCollectives) {
  /// The result that holds the least and the greatest id of each of [#tables], I32 `[2 · tables]`.
  /// HLO clamps or skips ids that lie outside; Lockstep says which.
  public static final String IDS = "lockstep.ids";

  /// The parameter that holds the rank's place among those that run the module, I32 `[]`.
  public static final String RANK = "lockstep.rank";

  /// A parameter or a result.
  ///
  /// @param graphName its name in the graph
  /// @param name its name in the module and the NEFF
  /// @param type its type in the module: truth values are `U8` there
  public record Port(String graphName, String name, ValueType type) {}

  /// An op that looks rows up or adds to them.
  ///
  /// @param label the op, for messages
  /// @param rows ids must lie in `[0, rows)`
  public record Table(String label, long rows) {}

  /// Copies the lists.
  public HloModule {
    inputs = List.copyOf(inputs);
    outputs = List.copyOf(outputs);
    tables = List.copyOf(tables);
  }

  /// Returns the number of results, the ids' included.
  public int results() {
    return outputs.size() + (tables.isEmpty() ? 0 : 1);
  }
}
