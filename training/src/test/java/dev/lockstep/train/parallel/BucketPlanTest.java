package dev.lockstep.train.parallel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.Shape;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class BucketPlanTest {
  private static final int ELEMENTS = 256; // 1 KiB
  private static final int MANY_ELEMENTS = 1 << 17; // 512 KiB

  private static Graph lane(int count) {
    return lane(count, ELEMENTS);
  }

  /// Makes `count` gradients one after another, the last one of the map first, and a loss.
  private static Graph lane(int count, int elements) {
    GraphBuilder builder = new GraphBuilder("lane");
    Value value = builder.input("x", ValueType.f32(elements));
    for (int i = count - 1; i >= 0; i--) {
      value = builder.one(new Primitive.Add(), value, value);
      builder.output("g" + i, value);
    }
    builder.output("loss", builder.one(new Primitive.Mul(), value, value));
    return builder.build();
  }

  private static Map<String, Shape> shapes(int count) {
    return shapes(count, ELEMENTS);
  }

  private static Map<String, Shape> shapes(int count, int elements) {
    Map<String, Shape> shapes = new LinkedHashMap<>();
    for (int i = 0; i < count; i++) {
      shapes.put("g" + i, Shape.of(elements));
    }
    return shapes;
  }

  @Test
  void bucketsHoldGradientsInTheOrderInWhichTheyAreMade() {
    BucketPlan plan = BucketPlan.of(lane(5), shapes(5), 2048);
    assertThat(plan.buckets().stream().map(BucketPlan.Bucket::names))
        .containsExactly(List.of("g4", "g3"), List.of("g2", "g1"), List.of("g0"));
    assertThat(plan.gradients().keySet()).containsExactly("g4", "g3", "g2", "g1", "g0");
    assertThat(plan.overlaps()).isTrue();
    assertThat(plan.bytes(plan.buckets().getFirst())).isEqualTo(2048);
  }

  @Test
  void theProgramIsCutWhereABucketIsCompleteAndNotBehindTheLast() {
    BucketPlan plan = BucketPlan.of(lane(5), shapes(5), 2048);
    assertThat(plan.segments().parts()).hasSize(3);
    assertThat(plan.buckets().stream().map(BucketPlan.Bucket::end)).containsExactly(1, 2, 3);
    for (BucketPlan.Bucket bucket : plan.buckets()) {
      for (String name : bucket.names()) {
        assertThat(plan.segments().partThatMakes(name)).isLessThan(bucket.end());
      }
    }
  }

  @Test
  void theFirstBucketIsNoLargerThanAMebibyteUnlessOneGradientIs() {
    int count = 34; // 17 MiB
    BucketPlan plan =
        BucketPlan.of(lane(count, MANY_ELEMENTS), shapes(count, MANY_ELEMENTS), 2 << 20);
    assertThat(plan.buckets().stream().map(bucket -> plan.bytes(bucket) >> 20))
        .containsExactly(1L, 2L, 2L, 2L, 2L, 2L, 2L, 2L, 2L);
  }

  @Test
  void bucketsOfASmallModelAreAnEighthOfItsGradients() {
    int count = 48; // 24 MiB
    BucketPlan plan =
        BucketPlan.of(lane(count, MANY_ELEMENTS), shapes(count, MANY_ELEMENTS), 25 << 20);
    assertThat(plan.buckets().stream().map(bucket -> plan.bytes(bucket) >> 20))
        .containsExactly(1L, 3L, 3L, 3L, 3L, 3L, 3L, 3L, 2L);
  }

  @Test
  void whatFitsOneBucketIsNotCut() {
    BucketPlan plan = BucketPlan.of(lane(5), shapes(5), 1 << 20);
    assertThat(plan.overlaps()).isFalse();
    assertThat(plan.segments().parts()).hasSize(1);
  }

  @Test
  void bucketsThatCompleteTogetherAreOne() {
    GraphBuilder builder = new GraphBuilder("lane");
    Value value = builder.input("x", ValueType.f32(ELEMENTS));
    Value other = builder.one(new Primitive.Add(), value, value);
    Primitive reduce = new Primitive.AllReduce("cp", new ReduceOp.Sum(), LaneSplit.onePerRank(2));
    builder.output("g1", builder.one(reduce, value));
    builder.output("g0", builder.one(reduce, other));
    builder.output("loss", builder.one(new Primitive.Mul(), value, value));
    BucketPlan plan = BucketPlan.of(builder.build(), shapes(2), 1);
    assertThat(plan.buckets()).hasSize(1);
    assertThat(plan.buckets().getFirst().names()).containsExactly("g1", "g0");
    assertThat(plan.overlaps()).isFalse();
  }
}
