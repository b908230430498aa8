package dev.lockstep.collective.simulate;

import java.util.List;

/// Bytes per second as a function of the working set: caches make small sets faster than large
/// ones. Between two points the time per byte is interpolated over the logarithm of the working
/// set; outside them the nearest point holds.
///
/// @param points ascending by working set, at least one
public record Rates(List<Point> points) {
  /// A measured or stated rate.
  ///
  /// @param workingSetBytes bytes that a collective touches on all ranks of one host
  /// @param bytesPerSecond rate at that size
  public record Point(long workingSetBytes, double bytesPerSecond) {
    /// Checks the numbers.
    public Point {
      if (workingSetBytes < 0 || !(bytesPerSecond > 0) || Double.isInfinite(bytesPerSecond)) {
        throw new IllegalArgumentException(
            "not a rate: workingSetBytes=%d, bytesPerSecond=%s"
                .formatted(workingSetBytes, bytesPerSecond));
      }
    }
  }

  /// Checks the order of the points.
  public Rates {
    points = List.copyOf(points);
    if (points.isEmpty()) {
      throw new IllegalArgumentException("rates need a point");
    }
    for (int i = 1; i < points.size(); i++) {
      if (points.get(i).workingSetBytes() <= points.get(i - 1).workingSetBytes()) {
        throw new IllegalArgumentException(
            "points of a rate do not ascend: workingSetBytes="
                + points.get(i).workingSetBytes()
                + ", before="
                + points.get(i - 1).workingSetBytes());
      }
    }
  }

  /// Returns one rate for any working set.
  public static Rates constant(double bytesPerSecond) {
    return new Rates(List.of(new Point(0, bytesPerSecond)));
  }

  /// Returns the time of one byte, in nanoseconds.
  public double nanosPerByte(long workingSetBytes) {
    Point before = points.getFirst();
    if (workingSetBytes <= before.workingSetBytes()) {
      return nanos(before);
    }
    for (Point point : points.subList(1, points.size())) {
      if (workingSetBytes < point.workingSetBytes()) {
        double low = StrictMath.log((double) Math.max(1, before.workingSetBytes()));
        double high = StrictMath.log((double) point.workingSetBytes());
        double part = (StrictMath.log((double) workingSetBytes) - low) / (high - low);
        return nanos(before) + part * (nanos(point) - nanos(before));
      }
      before = point;
    }
    return nanos(before);
  }

  private static double nanos(Point point) {
    return 1e9 / point.bytesPerSecond();
  }
}
