package dev.lockstep.device.cuda;

import dev.lockstep.graph.Cost;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Value;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;

/// Element-wise nodes that one kernel computes, an element at a time: what lies between them is
/// never in memory.
///
/// An operand has as many elements as the results, or fewer that repeat: element `i` of the results
/// is made of element `i mod (its elements)`.
///
/// @param elements of each result
/// @param nodes in the order in which they are computed; those that fill, widen or repeat
///   ([ElementOps#isSource]) may be computed by other units too
/// @param reads operands, each once, in the order of their first use
/// @param writes results that others read
record FusedUnit(long elements, List<Node> nodes, List<Value> reads, List<Value> writes)
    implements ProgramUnit {
  FusedUnit {
    nodes = List.copyOf(nodes);
    reads = List.copyOf(reads);
    writes = List.copyOf(writes);
  }

  @Override
  public List<InPlace> inPlace() {
    List<InPlace> pairs = new ArrayList<>();
    for (int operand = 0; operand < reads.size(); operand++) {
      for (int result = 0; result < writes.size(); result++) {
        if (!isRepeated(reads.get(operand))
            && reads.get(operand).type().bytes() == writes.get(result).type().bytes()) {
          pairs.add(new InPlace(operand, result));
        }
      }
    }
    return pairs;
  }

  /// Whether an operand has fewer elements than the results.
  boolean isRepeated(Value operand) {
    return operand.type().shape().elements() != elements;
  }

  @Override
  public boolean isElementWise() {
    return true;
  }

  @Override
  public Cost cost() {
    long flops = nodes.stream().mapToLong(node -> Cost.of(node).flops()).sum();
    long bytes = 0;
    for (Value value : reads) {
      bytes += value.type().bytes();
    }
    for (Value value : writes) {
      bytes += value.type().bytes();
    }
    return new Cost(flops, bytes);
  }

  @Override
  public String line() {
    String results = writes.stream().map(Value::toString).collect(Collectors.joining(", "));
    String ops = nodes.stream().map(node -> node.op().label()).collect(Collectors.joining(" "));
    String operands = reads.stream().map(read -> "%" + read.id()).collect(Collectors.joining(", "));
    return "%s = [%s](%s)".formatted(results, ops, operands);
  }
}
