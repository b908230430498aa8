package dev.lockstep.train.model;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.Primitive.Add;
import dev.lockstep.graph.Primitive.BroadcastTo;
import dev.lockstep.graph.Primitive.Concat;
import dev.lockstep.graph.Primitive.Constant;
import dev.lockstep.graph.Primitive.Convert;
import dev.lockstep.graph.Primitive.Div;
import dev.lockstep.graph.Primitive.Equal;
import dev.lockstep.graph.Primitive.Exp;
import dev.lockstep.graph.Primitive.Iota;
import dev.lockstep.graph.Primitive.Less;
import dev.lockstep.graph.Primitive.MatMul;
import dev.lockstep.graph.Primitive.Mul;
import dev.lockstep.graph.Primitive.Neg;
import dev.lockstep.graph.Primitive.ReduceMax;
import dev.lockstep.graph.Primitive.ReduceSum;
import dev.lockstep.graph.Primitive.Reshape;
import dev.lockstep.graph.Primitive.ScatterAdd;
import dev.lockstep.graph.Primitive.Select;
import dev.lockstep.graph.Primitive.Slice;
import dev.lockstep.graph.Primitive.Sub;
import dev.lockstep.graph.Primitive.Transpose;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.nn.ModelTrace;
import java.util.ArrayList;
import java.util.List;

/// Which places of which experts the tokens of a lane get.
///
/// Note [routing is a lane's]: a token goes to the experts of its highest probabilities, the first
/// of equal ones. Each expert has as many places as the recipe says, for the tokens of one lane,
/// and gives them away in the order of sequences and positions: whether a token finds one depends
/// on itself and on tokens before it in the lane, never on later ones or on other lanes. All of it
/// is counting: whole numbers below 2^24 in float32, exact in any order of addition.
///
/// Shapes: `N` tokens, `E` experts, `K` experts of a token, `S` places of an expert.
final class ExpertRouting {
  private static final long MOST_SLOTS = 1 << 24;

  private final ModelTrace trace;
  private final long sequences;
  private final long positions;
  private final long tokens;
  private final long experts;
  private final long places;
  private final ValueType table;
  private final ValueType column;

  private ExpertRouting(ModelTrace trace, Shape scores, MoeShape shape) {
    this.trace = trace;
    this.sequences = scores.dim(0);
    this.positions = scores.dim(1);
    this.tokens = sequences * positions;
    this.experts = shape.experts();
    this.places = shape.capacity(tokens);
    this.table = ValueType.f32(tokens, experts);
    this.column = ValueType.f32(tokens);
    if (experts * places >= MOST_SLOTS || tokens >= MOST_SLOTS) {
      throw new ConfigurationException(
          "--micro-batch",
          String.valueOf(sequences),
          "a lane has more tokens than are counted: --micro-batch %d, --context %d, --experts %d, places %d (choose a smaller --micro-batch)"
              .formatted(sequences, positions, experts, places));
    }
  }

  /// Where tokens go.
  ///
  /// @param tokenAt I32 `[E, S]`, the token of each place; 0 where it is empty, which nobody reads
  /// @param slotOf I32 `[K, N]`, the place of each choice of a token, counted over all experts; 0
  ///   where it found none
  /// @param weights F32 `[K, N]`, the probability of each choice; 0 where it found no place, NaN
  ///   where the scores had one
  /// @param balance F32 `[]`, 1 where all experts are chosen alike, more where they are not:
  ///   experts times the sum over experts of the share of choices times the mean probability; its
  ///   gradient takes the shares as given
  record Routes(Value tokenAt, Value slotOf, Value weights, Value balance) {}

  /// Adds the routing of a lane.
  ///
  /// @param scores F32 `[B, T, E]`
  static Routes of(ModelTrace trace, Value scores, MoeShape shape) {
    ExpertRouting routing = new ExpertRouting(trace, scores.type().shape(), shape);
    return routing.routes(scores, shape.expertsPerToken());
  }

  private Routes routes(Value scores, int choices) {
    Value probabilities = softmax(reshaped(scores, tokens, experts));
    List<Value> picks = picks(probabilities, choices);
    Value assigned = constant(table, 0);
    for (Value pick : picks) {
      assigned = one(new Select(), pick, constant(table, 1), assigned);
    }
    Value byExpert = one(new Transpose(List.of(1, 0)), assigned);
    Value before = one(new Transpose(List.of(1, 0)), before(byExpert));
    Value firstPlace = one(new Mul(), one(new Iota(table, 1)), constant(table, (double) places));
    Value slots = one(new Add(), firstPlace, before);
    List<Value> seats = new ArrayList<>();
    List<Value> slotOf = new ArrayList<>();
    List<Value> weights = new ArrayList<>();
    Value mass = one(new ReduceSum(List.of(1), Blocks.WHOLE), probabilities);
    for (Value pick : picks) {
      // A row with a NaN picks nobody: it gets no place, and its weight is that NaN.
      Value missing = one(new Sub(), constant(column, 1), picked(pick, constant(table, 1)));
      Value full = constant(column, (double) places);
      Value place = one(new Add(), picked(pick, before), one(new Mul(), missing, full));
      Value hasPlace = one(new Less(), place, full);
      Value slot = picked(pick, slots);
      Value none = constant(column, 0);
      Value nowhere = constant(column, (double) (experts * places));
      seats.add(whole(one(new Select(), hasPlace, slot, nowhere)));
      slotOf.add(whole(one(new Select(), hasPlace, slot, none)));
      Value lost = one(new Mul(), missing, mass);
      weights.add(one(new Select(), hasPlace, picked(pick, probabilities), lost));
    }
    Value tokenAt = tokenAt(stacked(seats));
    return new Routes(
        tokenAt, stacked(slotOf), stacked(weights), balance(byExpert, probabilities, choices));
  }

  private Value softmax(Value scores) {
    Value greatest = overExperts(one(new ReduceMax(List.of(1)), scores));
    Value powers = one(new Exp(), one(new Sub(), scores, greatest));
    Value sum = one(new ReduceSum(List.of(1), Blocks.WHOLE), powers);
    return one(new Div(), powers, overExperts(sum));
  }

  /// For each choice where it is the expert: `BOOL [N, E]`, one per row.
  private List<Value> picks(Value probabilities, int choices) {
    Value number = one(new Neg(), one(new Iota(table, 1)));
    Value none = constant(table, (double) -experts);
    Value left = probabilities;
    List<Value> picks = new ArrayList<>();
    for (int choice = 0; choice < choices; choice++) {
      Value greatest = overExperts(one(new ReduceMax(List.of(1)), left));
      Value candidates = one(new Select(), one(new Equal(), left, greatest), number, none);
      Value first = overExperts(one(new ReduceMax(List.of(1)), candidates));
      Value pick = one(new Equal(), number, first);
      picks.add(pick);
      left = one(new Select(), pick, constant(table, -1), left);
    }
    return picks;
  }

  /// How many tokens before each one an expert is chosen by, `[E, N]`: those of earlier sequences
  /// and those before it in its own.
  private Value before(Value byExpert) {
    Value chosen = reshaped(byExpert, experts, sequences, positions);
    Value within = one(product(), chosen, earlier(positions));
    Value totals = one(new ReduceSum(List.of(2), Blocks.WHOLE), chosen);
    Value ofEarlier = one(product(), totals, earlier(sequences));
    Shape shape = chosen.type().shape();
    Value all = one(new Add(), within, one(new BroadcastTo(shape, List.of(0, 1)), ofEarlier));
    return reshaped(all, experts, tokens);
  }

  private static MatMul product() {
    return new MatMul(false, false, Blocks.WHOLE);
  }

  /// 1 where the row is less than the column: a product with it counts what stands before.
  private Value earlier(long extent) {
    ValueType ids = ValueType.i32(extent, extent);
    ValueType type = ValueType.f32(extent, extent);
    Value isEarlier = one(new Less(), one(new Iota(ids, 0)), one(new Iota(ids, 1)));
    return one(new Select(), isEarlier, constant(type, 1), constant(type, 0));
  }

  /// Puts each token's number where it sits; those without a place go to a row more.
  private Value tokenAt(Value seats) {
    long slots = experts * places;
    ValueType numbers = ValueType.f32(seats.type().shape().dim(0), tokens, 1);
    Value all = one(new ScatterAdd(slots + 1, Blocks.WHOLE), seats, one(new Iota(numbers, 1)));
    Value kept = one(new Slice(List.of(0L, 0L), List.of(slots, 1L)), all);
    return whole(reshaped(kept, experts, places));
  }

  private Value balance(Value byExpert, Value probabilities, int choices) {
    Value counts = one(new ReduceSum(List.of(1), Blocks.WHOLE), byExpert);
    // Whole numbers have no gradient: none is made only to vanish in the choice of experts.
    Value given = one(new Convert(DType.F32), whole(counts));
    Value mass = one(new ReduceSum(List.of(0), Blocks.WHOLE), probabilities);
    Value sum = one(new ReduceSum(List.of(0), Blocks.WHOLE), one(new Mul(), given, mass));
    double scale = (double) experts / ((double) choices * tokens * tokens);
    return one(new Mul(), sum, constant(sum.type(), scale));
  }

  /// What a table has at a row's choice: one number and zeros are added.
  private Value picked(Value pick, Value from) {
    Value chosen = one(new Select(), pick, from, constant(table, 0));
    return one(new ReduceSum(List.of(1), Blocks.WHOLE), chosen);
  }

  private Value overExperts(Value perToken) {
    return one(new BroadcastTo(table.shape(), List.of(0)), perToken);
  }

  private Value stacked(List<Value> columns) {
    List<Value> rows = columns.stream().map(each -> reshaped(each, 1, tokens)).toList();
    return rows.size() == 1 ? rows.getFirst() : one(new Concat(0), rows.toArray(Value[]::new));
  }

  private Value whole(Value number) {
    return one(new Convert(DType.I32), number);
  }

  private Value reshaped(Value x, long... dims) {
    return one(new Reshape(Shape.of(dims)), x);
  }

  private Value constant(ValueType type, double value) {
    return one(new Constant(type, value));
  }

  private Value one(Op op, Value... operands) {
    return trace.one(op, operands);
  }
}
