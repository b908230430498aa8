package dev.lockstep.train.placement;

import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.placement.Placement.Partial;
import dev.lockstep.train.placement.Placement.PerRank;
import dev.lockstep.train.placement.Placement.Replicate;
import dev.lockstep.train.placement.Placement.Shard;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// What a rank has of the values of a program that is being laid out: as each came, joined once it
/// was a sum that somebody read, whole once somebody asked for all of it, and where an output is
/// wanted. Single-threaded.
final class PlacedValues {
  /// As far as it is looked for what a value was made of: a weighted sum's terms, repeated.
  private static final int MOST_OPS_BACK = 4;

  private final PlacedBuilder out;
  private final PartMoves moves;
  private final AxisPlace axis;
  private final Optional<TokenSplit> tokens;
  private final Map<Value, Node> makers = new HashMap<>();
  private final Map<Value, Value> local = new HashMap<>();
  private final Map<Value, Primitive.Constant> constants = new HashMap<>();
  private final Map<Value, Value> whole = new HashMap<>();
  private final Map<Part, Value> parts = new HashMap<>();
  private final Map<Value, Placement> wanted = new HashMap<>();
  private final Map<Value, Value> settled = new HashMap<>();
  private final List<Value> unsettled = new ArrayList<>();

  PlacedValues(Graph graph, PlacedBuilder out, PartMoves moves, Optional<TokenSplit> tokens) {
    this.out = out;
    this.moves = moves;
    this.axis = out.axis();
    this.tokens = tokens;
    for (Node node : graph.nodes()) {
      node.outputs().forEach(value -> makers.put(value, node));
    }
  }

  /// Returns what makes a value; empty for an input.
  Optional<Node> maker(Value value) {
    return Optional.ofNullable(makers.get(value));
  }

  /// Whether a value is an input, in whatever shape and floats: a weight's rows lie in the order of
  /// ranks, those of what was computed may be some of each sequence.
  boolean isGiven(Value value) {
    Node maker = makers.get(value);
    return maker == null || (isRecast(maker) && isGiven(maker.inputs().getFirst()));
  }

  private static boolean isRecast(Node node) {
    return node.op() instanceof Primitive.Reshape || node.op() instanceof Primitive.Convert;
  }

  /// Says what the rank has of a value.
  void put(Value value, Value held) {
    local.put(value, held);
  }

  /// Says what the rank has of a node's results.
  void give(Node node, List<Value> results) {
    for (int i = 0; i < results.size(); i++) {
      put(node.outputs().get(i), results.get(i));
    }
  }

  /// Says that a value is a constant: it lies as whoever reads it has the rest.
  void putConstant(Value value, Primitive.Constant constant) {
    constants.put(value, constant);
  }

  boolean isConstant(Value value) {
    return constants.containsKey(value);
  }

  private Value held(Value value) {
    Value held = local.get(value);
    if (held == null) {
      throw new IllegalStateException("value is read before it is made: " + value);
    }
    return held;
  }

  /// How a value lies, terms of a sum joined.
  Placement placement(Value value) {
    return out.placement(term(value));
  }

  boolean isSplit(Value value) {
    return !isConstant(value) && placement(value) instanceof Shard;
  }

  /// Says how an output is wanted.
  void want(Value value, Placement placement) {
    wanted.put(value, placement);
  }

  /// Notes which of a node's results are outputs that are wanted otherwise than they lie.
  void noteUnsettled(Node node) {
    for (Value value : node.outputs()) {
      Placement placement = wanted.get(value);
      if (placement != null
          && !isConstant(value)
          && !placement.equals(out.placement(held(value)))) {
        unsettled.add(value);
      }
    }
  }

  /// Brings the outputs that are made to where they are wanted: side by side with the next
  /// collective, so that the program is cut less often.
  void settle() {
    List<Value> due = List.copyOf(unsettled);
    unsettled.clear();
    due.forEach(this::settled);
  }

  /// An output as it is wanted, or as it lies if nothing is.
  Value output(Value value) {
    return wanted.containsKey(value) ? settled(value) : term(value);
  }

  private Value settled(Value value) {
    Value found = settled.get(value);
    if (found == null) {
      found = placed(value, wanted.getOrDefault(value, Placement.replicate()));
      settled.put(value, found);
    }
    return found;
  }

  /// Forgets what was gathered, and what was cut out of that: whoever reads it again gathers again.
  void forgetGathered() {
    whole.keySet().removeIf(this::isHeldInParts);
    parts.keySet().removeIf(part -> isHeldInParts(part.value));
  }

  private boolean isHeldInParts(Value value) {
    return local.containsKey(value) && out.placement(held(value)) instanceof Shard;
  }

  private Value constant(Value value, Placement placement) {
    Primitive.Constant constant = constants.get(value);
    if (constant == null) {
      throw new IllegalStateException("no constant: " + value);
    }
    Shape shape = placement.localShape(constant.type().shape(), axis.ranks());
    return out.constant(new ValueType(constant.type().dtype(), shape), constant.value(), placement);
  }

  /// What this rank holds of a value, terms of a sum joined.
  Value term(Value value) {
    if (isConstant(value)) {
      return whole(value);
    }
    Value held = held(value);
    if (!(out.placement(held) instanceof Partial)) {
      return held;
    }
    Value joined = joined(value, held);
    local.put(value, joined);
    return joined;
  }

  /// Terms of a sum, joined: where the value has a row per token, and those are spread, each rank
  /// gets its own.
  Value joined(Value value, Value terms) {
    return tokens
        .filter(split -> split.hasRows(value.type().shape()))
        .map(split -> scattered(terms, split))
        .orElseGet(() -> reduced(terms));
  }

  /// The whole value.
  Value whole(Value value) {
    Value found = whole.get(value);
    if (found == null) {
      found = isConstant(value) ? constant(value, Placement.replicate()) : made(value);
      whole.put(value, found);
    }
    return found;
  }

  private Value made(Value value) {
    Value held = held(value);
    return switch (out.placement(held)) {
      case Replicate _ -> held;
      case Partial _ -> {
        Value joined = reduced(held);
        local.put(value, joined);
        yield joined;
      }
      case Shard shard -> gathered(value, held, shard);
      case PerRank _ -> throw new IllegalStateException("a rank's own numbers: " + value);
    };
  }

  private Value reduced(Value terms) {
    settle();
    return moves.reduced(terms);
  }

  /// A sum with a row per token, of which each rank gets its tokens.
  private Value scattered(Value terms, TokenSplit split) {
    settle();
    return moves.scattered(terms, split.shard());
  }

  /// Gathers parts. What was but reshaped or widened is gathered before that: once for all its
  /// shapes, and narrow; so is what was made, element by element, of fewer bytes.
  private Value gathered(Value value, Value part, Shard shard) {
    Node maker = makers.get(value);
    if (maker != null && isMadeWhole(maker, MOST_OPS_BACK)) {
      return out.apply(maker.op(), maker.inputs().stream().map(this::whole).toList()).getFirst();
    }
    settle();
    return moves.gathered(part, shard);
  }

  /// Whether a node is rather applied to whole operands than its result gathered.
  private boolean isMadeWhole(Node node, int opsBack) {
    long bytes = node.outputs().getFirst().type().bytes();
    return switch (node.op()) {
      case Primitive.Reshape _ -> true;
      case Primitive.Convert(DType to) ->
          node.inputs().getFirst().type().dtype().bytes() < to.bytes();
      case Primitive.BroadcastTo _, Primitive.Mul _ -> gatheredBytes(node, opsBack) < bytes;
      case Primitive _, Composite _ -> false;
    };
  }

  /// The bytes that must be gathered for whole operands of a node.
  private long gatheredBytes(Node node, int opsBack) {
    return node.inputs().stream().mapToLong(value -> gatheredBytes(value, opsBack - 1)).sum();
  }

  private long gatheredBytes(Value value, int opsBack) {
    if (isConstant(value) || whole.containsKey(value) || !isHeldInParts(value)) {
      return 0;
    }
    Node maker = makers.get(value);
    return maker != null && opsBack > 0 && isMadeWhole(maker, opsBack)
        ? gatheredBytes(maker, opsBack)
        : value.type().bytes();
  }

  /// A value of which each rank takes a part.
  private record Part(Value value, Shard shard) {}

  /// This rank's part of a value, cut once for all that read it.
  Value part(Value value, Shard shard) {
    Part part = new Part(value, shard);
    Value found = parts.get(part);
    if (found == null) {
      found = placed(value, shard);
      parts.put(part, found);
    }
    return found;
  }

  /// A value as it is wanted.
  Value placed(Value value, Placement placement) {
    if (isConstant(value)) {
      return constant(value, placement);
    }
    Value held = term(value);
    if (out.placement(held).equals(placement)) {
      return held;
    }
    return switch (placement) {
      case Replicate _ -> whole(value);
      case Shard shard -> cut(value, shard);
      case Partial _, PerRank _ ->
          throw new IllegalArgumentException("no value is wanted so: placement=" + placement);
    };
  }

  /// This rank's part of a value that lies otherwise. Of rows that are looked up some are; a part
  /// of what is repeated is repeated less often, or a part is repeated.
  private Value cut(Value value, Shard shard) {
    Node maker = makers.get(value);
    if (maker != null && maker.op() instanceof Primitive.BroadcastTo(Shape to, var dims)) {
      return repeated(maker.inputs().getFirst(), to, dims, shard);
    }
    if (maker != null && maker.op() instanceof Primitive.Gather) {
      Value ids = maker.inputs().get(1);
      if (shard.dim() < ids.type().shape().rank()) {
        return out.one(maker.op(), whole(maker.inputs().get(0)), placed(ids, shard));
      }
    }
    return moves.part(whole(value), shard);
  }

  private Value repeated(Value from, Shape to, List<Integer> dims, Shard shard) {
    Primitive repeat = new Primitive.BroadcastTo(shard.part(to, axis.ranks()), dims);
    int source = dims.indexOf(shard.dim());
    if (source < 0 || from.type().shape().dim(source) != to.dim(shard.dim())) {
      return out.declare(out.one(repeat, whole(from)), shard);
    }
    return out.one(repeat, placed(from, new Shard(source, shard.blocks())));
  }
}
