package dev.lockstep.device.cuda;

import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Cost;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphPrinter;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.DType;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// A node, what it reads and what it writes. It reads its inputs, or the bfloat16 values that they
/// were widened from, and writes its outputs, or what its result is rounded to, where the kernels
/// do that on the way.
///
/// @param node the node
/// @param reads what is read in place of the node's inputs; of the same elements, maybe of another
///   shape. The gradient of a norm may read one more value, which it adds to its first result; a
///   product of 8-bit floats up to two, by which it multiplies its result
/// @param writes what is written in place of the node's outputs. The gradient of a norm may write
///   its first result in bfloat16 too
record CudaUnit(Node node, List<Value> reads, List<Value> writes) implements ProgramUnit {
  CudaUnit {
    reads = List.copyOf(reads);
    writes = List.copyOf(writes);
  }

  /// Returns the units of a graph, in order. A reshape is none; nor is a widening that nobody reads
  /// as such, or a rounding that a kernel does on the way.
  ///
  /// @param library multiplies, if there is one: both operands of a product are of one type then,
  ///   or of 8 bits where the GPU multiplies those, and it may round its results
  static List<CudaUnit> of(Graph graph, Optional<LtMultiplier> library) {
    return new Choice(graph, library).units();
  }

  /// Which nodes become units.
  private static final class Choice {
    private final Graph graph;
    private final Optional<LtMultiplier> library;
    private final boolean byLibrary;
    private final EightBitOperands eights = new EightBitOperands();

    /// What is behind a value's reshapes, by its number, where there are any.
    private final Map<Integer, Value> shown = new HashMap<>();

    /// The bfloat16 value that a value was widened from, by its number.
    private final Map<Integer, Value> widened = new HashMap<>();

    /// What an input was first rounded to, by the input's number, and that value by the number of
    /// each later one: a weight is rounded once for both passes.
    private final Map<Integer, Value> rounded = new HashMap<>();

    private final Map<Integer, Value> firsts = new HashMap<>();

    /// The nodes that read a value, and an output of the graph as null, by its number.
    private final Map<Integer, List<@Nullable Node>> readers = new HashMap<>();

    Choice(Graph graph, Optional<LtMultiplier> library) {
      this.graph = graph;
      this.library = library;
      this.byLibrary = library.isPresent();
      Set<Integer> inputs = new HashSet<>();
      graph.inputs().forEach(input -> inputs.add(input.value().id()));
      for (Node node : graph.nodes()) {
        follow(node, inputs);
      }
      graph.outputs().forEach(output -> addReader(output.value(), null));
    }

    private void follow(Node node, Set<Integer> inputs) {
      Value input = node.inputs().isEmpty() ? null : node.inputs().getFirst();
      if (node.op() instanceof Primitive.Reshape && input != null) {
        shown.put(node.outputs().getFirst().id(), root(input));
        return;
      }
      if (byLibrary) {
        eights.follow(node, this::root);
      }
      if (node.op() instanceof Primitive.Convert(DType to)
          && to == DType.F32
          && input != null
          && input.type().dtype() == DType.BF16) {
        widened.put(node.outputs().getFirst().id(), root(input));
      } else if (isRounding(node) && input != null && inputs.contains(root(input).id())) {
        Value out = node.outputs().getFirst();
        Value first = rounded.putIfAbsent(root(input).id(), out);
        if (first != null) {
          firsts.put(out.id(), first);
        }
      }
      node.inputs().forEach(value -> addReader(value, node));
    }

    private void addReader(Value value, @Nullable Node reader) {
      readers.computeIfAbsent(root(value).id(), _ -> new ArrayList<>()).add(reader);
    }

    private Value root(Value value) {
      return shown.getOrDefault(value.id(), value);
    }

    List<CudaUnit> units() {
      List<CudaUnit> units = new ArrayList<>();
      Set<Integer> read = new HashSet<>();
      Set<Node> done = new HashSet<>();
      Set<Integer> made = new HashSet<>();
      graph.inputs().forEach(input -> made.add(input.value().id()));
      graph.outputs().forEach(output -> read.add(root(output.value()).id()));
      for (Node node : graph.nodes()) {
        if (node.op() instanceof Primitive.Reshape || done.contains(node)) {
          continue;
        }
        CudaUnit unit = unit(node, made, done);
        unit.writes.forEach(value -> made.add(value.id()));
        unit.reads.forEach(value -> read.add(root(value).id()));
        units.add(unit);
      }
      units.removeIf(
          unit -> isWidened(unit.writes.getFirst()) && !read.contains(unit.writes.getFirst().id()));
      removeRepeated(units);
      return List.copyOf(units);
    }

    private boolean isWidened(Value value) {
      return widened.containsKey(value.id()) || eights.contain(value);
    }

    /// Makes the unit of a node, and says which later nodes it does too.
    private CudaUnit unit(Node node, Set<Integer> made, Set<Node> done) {
      CudaUnit product =
          library.isPresent() && isProduct(node) ? eightBits(node, made, done) : null;
      if (product != null) {
        return product;
      }
      List<Value> reads = reads(node);
      List<Value> writes = new ArrayList<>(node.outputs());
      Node rounding = rounding(node);
      if (rounding != null) {
        done.add(rounding);
        writes.set(0, rounding.outputs().getFirst());
      }
      if (isNormGradient(node)) {
        Node addition = addition(node, made);
        if (addition != null) {
          done.add(addition);
          reads.add(addend(addition, node));
          writes.set(0, addition.outputs().getFirst());
        }
        Node narrowing = firstRounding(addition == null ? node : addition);
        if (narrowing != null) {
          done.add(narrowing);
          writes.add(narrowing.outputs().getFirst());
        }
      }
      return new CudaUnit(node, reads, writes);
    }

    /// Makes the unit of a product of 8-bit floats, with what scales it and what rounds its result;
    /// null if it is none, or one that the GPU and its library do not do.
    private @Nullable CudaUnit eightBits(Node node, Set<Integer> made, Set<Node> done) {
      EightBitOperands.Operand left = eights.get(root(node.inputs().get(0)));
      EightBitOperands.Operand right = eights.get(root(node.inputs().get(1)));
      if (left == null || right == null) {
        return null;
      }
      List<Value> scales = new ArrayList<>(left.scales());
      scales.addAll(right.scales());
      List<Node> later = new ArrayList<>();
      if (node.inputs().size() == 2) {
        Node scaling = onlyReader(node);
        Value scale = scaling == null ? null : eights.scale(scaling, node, this::root);
        if (scaling != null
            && scale != null
            && scales.size() < LtProduct.MOST_SCALES
            && made.contains(scale.id())) {
          scales.add(scale);
          later.add(scaling);
        }
        Node rounding = onlyReader(later.isEmpty() ? node : later.getLast());
        if (rounding != null && isRounding(rounding)) {
          later.add(rounding);
        }
      }
      List<Value> reads = new ArrayList<>(node.inputs());
      reads.set(0, left.value());
      reads.set(1, right.value());
      reads.addAll(scales);
      Node last = later.isEmpty() ? node : later.getLast();
      CudaUnit unit = new CudaUnit(node, reads, last.outputs());
      if (!EightBitProduct.of(unit).isServed(library.orElseThrow())) {
        return null;
      }
      done.addAll(later);
      return unit;
    }

    /// Returns the one node that reads a node's first result; null if there is none, or others or
    /// an output of the graph do too.
    private @Nullable Node onlyReader(Node node) {
      List<@Nullable Node> found = readers.getOrDefault(node.outputs().getFirst().id(), List.of());
      return found.size() == 1 ? found.getFirst() : null;
    }

    /// Removes roundings in whose place everybody reads an earlier one.
    private void removeRepeated(List<CudaUnit> units) {
      Set<Integer> read = new HashSet<>();
      graph.outputs().forEach(output -> read.add(root(output.value()).id()));
      units.forEach(unit -> unit.reads.forEach(value -> read.add(root(value).id())));
      units.removeIf(
          unit ->
              firsts.containsKey(unit.writes.getFirst().id())
                  && !read.contains(unit.writes.getFirst().id()));
    }

    private List<Value> reads(Node node) {
      List<Value> reads = new ArrayList<>(node.inputs());
      if (isProduct(node)) {
        Value left = narrow(reads.get(0));
        Value right = narrow(reads.get(1));
        boolean isNarrow = left != null && right != null;
        if (left != null && (isNarrow || !byLibrary)) {
          reads.set(0, left);
        }
        if (right != null && (isNarrow || !byLibrary)) {
          reads.set(1, right);
        }
      }
      if (byLibrary && TensorAttention.serves(node)) {
        TensorAttention.narrowOperands(node).forEach(operands -> narrowAll(reads, operands));
      }
      int widening = readsNarrow(node);
      Value narrow = widening < 0 ? null : narrow(reads.get(widening));
      if (narrow != null) {
        reads.set(widening, narrow);
      }
      return reads;
    }

    /// Reads some operands in bfloat16 if all of them were widened from it.
    private void narrowAll(List<Value> reads, List<Integer> operands) {
      List<Value> found = new ArrayList<>(reads);
      for (int operand : operands) {
        Value narrow = narrow(reads.get(operand));
        if (narrow == null) {
          return;
        }
        found.set(operand, narrow);
      }
      reads.clear();
      reads.addAll(found);
    }

    /// Returns the operand that a kernel other than a product's takes in bfloat16 too, or -1.
    private static int readsNarrow(Node node) {
      return switch (node.op()) {
        case Primitive.ReduceSum(List<Integer> dims, var _)
            when ReduceLowering.areColumns(node.inputs().getFirst(), dims) ->
            0;
        case Composite.LayerNormGrad _, Composite.RmsNormGrad _, Composite.CrossEntropy _ -> 0;
        case Composite.CrossEntropyGrad _ -> 1;
        default -> -1;
      };
    }

    private @Nullable Value narrow(Value value) {
      Value narrow = widened.get(root(value).id());
      return narrow == null ? null : firsts.getOrDefault(narrow.id(), narrow);
    }

    /// Returns the node that rounds a result to bfloat16, if the kernel can do that and nobody else
    /// reads the result.
    private @Nullable Node rounding(Node node) {
      boolean rounds =
          node.op() instanceof Composite.LayerNorm
              || node.op() instanceof Composite.RmsNorm
              || node.op() instanceof Composite.CrossEntropyGrad
              || (byLibrary && isProduct(node) && node.inputs().size() == 2)
              || (byLibrary
                  && node.op() instanceof Composite.CausalAttentionGrad
                  && TensorAttention.serves(node));
      if (!rounds) {
        return null;
      }
      Node only = onlyReader(node);
      return only != null && isRounding(only) ? only : null;
    }

    /// Returns the addition that a norm's gradient does on the way, if nobody else reads that and
    /// what is added is there: the branch's gradient joins that of the residual stream.
    private @Nullable Node addition(Node node, Set<Integer> made) {
      Node only = onlyReader(node);
      return only != null
              && only.op() instanceof Primitive.Add
              && made.contains(root(addend(only, node)).id())
          ? only
          : null;
    }

    /// Returns the other operand of an addition.
    private Value addend(Node addition, Node node) {
      boolean isFirst = root(addition.inputs().getFirst()).equals(node.outputs().getFirst());
      return addition.inputs().get(isFirst ? 1 : 0);
    }

    private @Nullable Node firstRounding(Node node) {
      return readers.getOrDefault(node.outputs().getFirst().id(), List.of()).stream()
          .filter(reader -> reader != null && isRounding(reader))
          .findFirst()
          .orElse(null);
    }
  }

  /// Returns what is added to the first result, if anything is.
  Optional<Value> addend() {
    return isNormGradient(node) ? more().stream().findFirst() : Optional.empty();
  }

  /// Returns the numbers by which a product of 8-bit floats multiplies its result.
  List<Value> scales() {
    return isProduct(node) ? more() : List.of();
  }

  /// What is read beside what stands in the place of the node's inputs.
  private List<Value> more() {
    return reads.subList(node.inputs().size(), reads.size());
  }

  /// Returns the bfloat16 that the first result is written as too, if it is.
  Optional<Value> rounded() {
    return writes.size() > node.outputs().size() ? Optional.of(writes.getLast()) : Optional.empty();
  }

  private static boolean isRounding(Node node) {
    return node.op() instanceof Primitive.Convert(DType to)
        && to == DType.BF16
        && node.inputs().getFirst().type().dtype() == DType.F32;
  }

  private static boolean isNormGradient(Node node) {
    return node.op() instanceof Composite.LayerNormGrad
        || node.op() instanceof Composite.RmsNormGrad;
  }

  private static boolean isProduct(Node node) {
    return node.op() instanceof Primitive.MatMul || node.op() instanceof Composite.Linear;
  }

  @Override
  public List<InPlace> inPlace() {
    return switch (node.op()) {
      case Composite.Gelu _, Composite.Silu _, Composite.Rotary _, Composite.Dropout _ ->
          List.of(new InPlace(0, 0));
      case Composite.GeluGrad _, Composite.SiluGrad _, Composite.SwiGlu _ -> either(0);
      case Composite.SwiGluGrad _ ->
          List.of(new InPlace(1, 0), new InPlace(2, 1), new InPlace(0, 0));
      case Composite.LayerNormGrad _, Composite.RmsNormGrad _ ->
          addend().isPresent()
              ? List.of(new InPlace(0, 0), new InPlace(reads.size() - 1, 0))
              : List.of(new InPlace(0, 0));
      case Composite.CrossEntropyGrad _ -> List.of(new InPlace(1, 0));
      case Composite.AdamW _ -> List.of(new InPlace(0, 0), new InPlace(2, 1), new InPlace(3, 2));
      case Composite _ -> List.of();
      case Primitive.Neg _, Primitive.Exp _, Primitive.Log _ -> List.of(new InPlace(0, 0));
      case Primitive.Tanh _, Primitive.Sqrt _, Primitive.Rsqrt _ -> List.of(new InPlace(0, 0));
      case Primitive.Add _, Primitive.Sub _, Primitive.Mul _, Primitive.Div _ -> either(0);
      case Primitive.Max _, Primitive.Min _ -> either(0);
      case Primitive.Select _ -> either(1);
      case Primitive _ -> List.of();
    };
  }

  @Override
  public Cost cost() {
    long bytes = 0;
    for (Value value : reads) {
      bytes += value.type().bytes();
    }
    for (Value value : writes()) {
      bytes += value.type().bytes();
    }
    long added = addend().map(value -> value.type().shape().elements()).orElse(0L);
    return new Cost(Cost.of(node).flops() + added, bytes);
  }

  @Override
  public String line() {
    return GraphPrinter.line(new Node(node.op(), reads, writes));
  }

  private static List<InPlace> either(int first) {
    return List.of(new InPlace(first, 0), new InPlace(first + 1, 0));
  }

  @Override
  public boolean isElementWise() {
    return switch (node.op()) {
      case Composite.Gelu _, Composite.GeluGrad _, Composite.AdamW _ -> true;
      case Composite.Silu _, Composite.SiluGrad _ -> true;
      case Composite.SwiGlu _, Composite.SwiGluGrad _ -> true;
      case Composite _ -> false;
      case Primitive _ -> !inPlace().isEmpty();
    };
  }
}
