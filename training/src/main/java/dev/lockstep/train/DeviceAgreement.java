package dev.lockstep.train;

import dev.lockstep.device.Numerics;
import dev.lockstep.failure.ConfigurationException;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/// Checks before the first step that the devices of all ranks can keep what the recipe promises.
final class DeviceAgreement {
  private static final String EXACT = String.valueOf(true);
  private static final String REMEDY =
      "give --relaxed, or on CUDA set LOCKSTEP_LIBCUBLASLT=none, which is slow";

  private final Grid grid;
  private final List<String> kinds;
  private final List<String> exact;

  private DeviceAgreement(Grid grid, List<String> kinds, List<String> exact) {
    this.grid = grid;
    this.kinds = kinds;
    this.exact = exact;
  }

  /// Compares the devices of all ranks, which call this together.
  ///
  /// @param sameBits whether the result must not depend on the layout
  /// @throws ConfigurationException on every rank, if replicas would drift apart, or the result
  ///   would depend on the layout although it must not
  static void check(RankCompute compute, boolean sameBits) {
    Numerics mine = compute.device().numerics();
    List<String> kinds = compute.exchange().words(mine.kind());
    List<String> exact = compute.exchange().words(String.valueOf(mine.isExact()));
    DeviceAgreement agreement = new DeviceAgreement(compute.grid(), kinds, exact);
    agreement.checkKinds(sameBits);
    if (sameBits) {
      agreement.checkSplit();
    }
  }

  private void checkKinds(boolean sameBits) {
    boolean isReplicated = !grid.isSharded() || grid.data().ranks() < kinds.size();
    boolean isExact = exact.stream().allMatch(EXACT::equals);
    for (int rank = 1; rank < kinds.size(); rank++) {
      if (kinds.get(rank).equals(kinds.getFirst())) {
        continue;
      }
      if (isReplicated) {
        throw refusal(
            "ranks on two kinds of device update the same weights: rank=0 device=%s, rank=%d device=%s (give every rank the same --device, or share the update out over dp alone with --zero 1)"
                .formatted(kinds.getFirst(), rank, kinds.get(rank)));
      }
      if (sameBits && !isExact) {
        throw refusal(
            "devices of two kinds have the same bits only where both keep the order of sums: rank=0 device=%s, rank=%d device=%s (%s)"
                .formatted(kinds.getFirst(), rank, kinds.get(rank), REMEDY));
      }
    }
  }

  private void checkSplit() {
    int other = exact.indexOf(String.valueOf(false));
    String split =
        Stream.of(grid.model().expert(), grid.model().tensor(), grid.context())
            .filter(axis -> axis.ranks() > 1)
            .map(axis -> axis.name() + "=" + axis.ranks())
            .collect(Collectors.joining(","));
    if (!split.isEmpty() && other >= 0) {
      throw refusal(
          "what is spread within a lane has the bits of one rank only on devices that keep the order of sums: --mesh %s, rank=%d device=%s (%s)"
              .formatted(split, other, kinds.get(other), REMEDY));
    }
  }

  private ConfigurationException refusal(String sentence) {
    return new ConfigurationException("--device", kinds.getFirst(), sentence);
  }
}
