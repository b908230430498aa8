package dev.lockstep.train.pipeline;

import java.util.ArrayList;
import java.util.List;

/// Spreads layers over stages.
public final class StageBalance {
  private StageBalance() {}

  /// Returns the borders at which layers are cut into stages, so that the most costly stage costs
  /// as little as may be; border `i` lies behind layer `i`. Of several such the first stages hold
  /// the fewest layers.
  ///
  /// @param costs cost of each layer
  /// @param stages at most as many as layers
  public static List<Integer> cuts(List<Long> costs, int stages) {
    int layers = costs.size();
    if (stages < 1 || stages > layers) {
      throw new IllegalArgumentException(
          "every stage has a layer: stages=%d, layers=%d".formatted(stages, layers));
    }
    // least[s][l]: cost of the most costly of s stages that hold layers l and on.
    long[][] least = new long[stages + 1][layers + 1];
    int[][] first = new int[stages + 1][layers + 1];
    for (int s = 1; s <= stages; s++) {
      for (int l = layers - s; l >= 0; l--) {
        least[s][l] = Long.MAX_VALUE;
        long own = 0;
        int most = s == 1 ? layers - l : layers - l - s + 1;
        for (int held = 1; held <= most; held++) {
          own += costs.get(l + held - 1);
          boolean isWhole = s > 1 || held == most;
          long cost = Math.max(own, least[s - 1][l + held]);
          if (isWhole && cost < least[s][l]) {
            least[s][l] = cost;
            first[s][l] = held;
          }
        }
      }
    }
    List<Integer> cuts = new ArrayList<>();
    int at = 0;
    for (int s = stages; s > 1; s--) {
      at += first[s][at];
      cuts.add(at - 1);
    }
    return cuts;
  }
}
