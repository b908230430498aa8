package dev.lockstep.device;

import java.util.ArrayList;
import java.util.List;

/// The ranks of a job over the axes of its mesh, numbered with the last axis fastest: what a device
/// that keeps collectives inside its programs must know to name their groups.
///
/// @param axes the axes, in order; none for a single rank
public record RankGrid(List<Axis> axes) {
  /// A single rank.
  public static final RankGrid ALONE = new RankGrid(List.of());

  /// An axis of the mesh.
  ///
  /// @param name as collectives in graphs name it, for example `dp`
  /// @param ranks number of its places, at least 1
  public record Axis(String name, int ranks) {
    /// Checks the number.
    public Axis {
      if (ranks < 1) {
        throw new IllegalArgumentException(
            "an axis needs a rank: axis=" + name + ", ranks=" + ranks);
      }
    }
  }

  /// Copies the list.
  ///
  /// @throws IllegalArgumentException if a name is there twice
  public RankGrid {
    axes = List.copyOf(axes);
    if (axes.stream().map(Axis::name).distinct().count() != axes.size()) {
      throw new IllegalArgumentException("an axis is named twice: axes=" + axes);
    }
  }

  /// Returns the number of ranks of the job.
  public int ranks() {
    return axes.stream().mapToInt(Axis::ranks).reduce(1, Math::multiplyExact);
  }

  /// Returns whether there is an axis of this name.
  public boolean has(String axis) {
    return axes.stream().anyMatch(each -> each.name().equals(axis));
  }

  /// Returns the groups of ranks that differ in their place on one axis alone, each in order of
  /// that place; every rank is in one of them.
  ///
  /// @throws IllegalArgumentException if there is no such axis
  public List<List<Integer>> groups(String axis) {
    int inner = 1;
    int size = 0;
    for (Axis each : axes) {
      inner *= size == 0 ? 1 : each.ranks();
      size = each.name().equals(axis) ? each.ranks() : size;
    }
    if (size == 0) {
      throw new IllegalArgumentException("there is no such axis: axis=" + axis + ", axes=" + axes);
    }
    List<List<Integer>> groups = new ArrayList<>();
    for (int first = 0; first < ranks(); first++) {
      if (first / inner % size == 0) {
        List<Integer> group = new ArrayList<>();
        for (int place = 0; place < size; place++) {
          group.add(first + place * inner);
        }
        groups.add(List.copyOf(group));
      }
    }
    return List.copyOf(groups);
  }
}
