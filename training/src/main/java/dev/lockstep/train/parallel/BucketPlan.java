package dev.lockstep.train.parallel;

import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphSplitter;
import dev.lockstep.graph.GraphSplitter.Collective;
import dev.lockstep.graph.GraphSplitter.Part;
import dev.lockstep.graph.GraphSplitter.Segments;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.ToIntFunction;

/// Which gradients of a lane are reduced together while the lane goes on: those that it makes one
/// after another, until they are as large as a **bucket**. The program is cut where a bucket is
/// complete. The first bucket is small, so that the links have work early, and those of a small
/// model are smaller than those of a large one, so that little is left to send when the lane ends.
/// The scheme is that of PyTorch's DistributedDataParallel (Li et al., VLDB 2020).
///
/// @param segments the lane program, cut
/// @param gradients shapes in the order in which they are made, by the name of the output
/// @param buckets in the order in which they are complete; at least one if there is a gradient
public record BucketPlan(Segments segments, Map<String, Shape> gradients, List<Bucket> buckets) {
  /// The most bytes of the first bucket, if one gradient is not larger.
  private static final long FIRST_BYTES = 1 << 20;

  /// A bucket of more than [#FIRST_BYTES] is complete with this part of all gradients: the last one
  /// is sent when there is nothing left to hide behind.
  private static final int PARTS = 8;

  /// One bucket.
  ///
  /// @param names outputs in it, in order
  /// @param end part of the cut program after the one that completes it
  public record Bucket(List<String> names, int end) {
    /// Copies the list.
    public Bucket {
      names = List.copyOf(names);
    }
  }

  /// Copies the collections.
  public BucketPlan {
    gradients = Collections.unmodifiableMap(new LinkedHashMap<>(gradients));
    buckets = List.copyOf(buckets);
  }

  /// Plans the buckets of a lane program.
  ///
  /// @param lane the program
  /// @param shapes of its outputs that are gradients
  /// @param bytes size from which on a bucket is complete, if not before; positive
  public static BucketPlan of(Graph lane, Map<String, Shape> shapes, long bytes) {
    Map<Value, Integer> madeAt = new HashMap<>();
    for (int i = 0; i < lane.nodes().size(); i++) {
      Node node = lane.nodes().get(i);
      for (Value value : node.outputs()) {
        madeAt.put(value, i);
      }
    }
    ToIntFunction<String> node = name -> madeAt.getOrDefault(lane.output(name), -1);
    List<Map.Entry<String, Shape>> order = new ArrayList<>(shapes.entrySet());
    order.sort(Comparator.comparingInt(gradient -> node.applyAsInt(gradient.getKey())));
    Map<String, Shape> gradients = new LinkedHashMap<>();
    order.forEach(gradient -> gradients.put(gradient.getKey(), gradient.getValue()));

    List<List<String>> groups = groups(gradients, bucketBytes(gradients, bytes));
    Set<Integer> cuts = new HashSet<>();
    for (List<String> group : groups.subList(0, Math.max(0, groups.size() - 1))) {
      cuts.add(node.applyAsInt(group.getLast()) + 1);
    }
    Segments segments = GraphSplitter.split(lane, cuts::contains);
    List<Bucket> buckets = new ArrayList<>();
    int end = 0;
    for (List<String> group : groups) {
      for (String name : group) {
        end = Math.max(end, segments.partThatMakes(name) + 1);
      }
      end = endOfCollectives(segments, end);
      Bucket before = buckets.isEmpty() ? null : buckets.getLast();
      if (before != null && before.end == end) { // nothing is computed between them
        buckets.removeLast();
        buckets.add(new Bucket(joined(before.names, group), end));
      } else {
        buckets.add(new Bucket(group, end));
      }
    }
    return new BucketPlan(segments, gradients, buckets);
  }

  private static List<String> joined(List<String> first, List<String> next) {
    List<String> all = new ArrayList<>(first);
    all.addAll(next);
    return all;
  }

  /// Neighbouring collectives run together: none is behind a border between them.
  private static int endOfCollectives(Segments segments, int end) {
    List<Part> parts = segments.parts();
    int last = end;
    while (parts.get(last - 1) instanceof Collective
        && last < parts.size()
        && parts.get(last) instanceof Collective) {
      last++;
    }
    return last;
  }

  private static long bucketBytes(Map<String, Shape> gradients, long most) {
    long all = gradients.values().stream().mapToLong(BucketPlan::bytes).sum();
    return Math.min(most, Math.max(FIRST_BYTES, all / PARTS));
  }

  private static List<List<String>> groups(Map<String, Shape> gradients, long bytes) {
    List<List<String>> groups = new ArrayList<>();
    List<String> group = new ArrayList<>();
    long size = 0;
    for (Map.Entry<String, Shape> gradient : gradients.entrySet()) {
      group.add(gradient.getKey());
      size += bytes(gradient.getValue());
      if (size >= (groups.isEmpty() ? Math.min(FIRST_BYTES, bytes) : bytes)) {
        groups.add(group);
        group = new ArrayList<>();
        size = 0;
      }
    }
    if (!group.isEmpty()) {
      groups.add(group);
    }
    return groups;
  }

  private static long bytes(Shape gradient) {
    return gradient.elements() * DType.F32.bytes();
  }

  /// Returns the size of a bucket.
  public long bytes(Bucket bucket) {
    return gradients.entrySet().stream()
        .filter(gradient -> bucket.names.contains(gradient.getKey()))
        .mapToLong(gradient -> bytes(gradient.getValue()))
        .sum();
  }

  /// Returns the name of the first gradient of each bucket.
  public List<String> firsts() {
    return buckets.stream().map(bucket -> bucket.names.getFirst()).toList();
  }

  /// Whether anything of the lane is left to compute when the first bucket is complete.
  public boolean overlaps() {
    return buckets.size() > 1;
  }

  /// Returns where the sums of the buckets lie: like the gradients themselves, if those come first
  /// where they lie.
  public FlatLayout layout() {
    return FlatLayout.of(gradients);
  }
}
