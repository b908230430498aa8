package dev.lockstep.train.metrics;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Formatter;
import java.util.List;
import java.util.Locale;
import java.util.function.DoubleBinaryOperator;
import java.util.function.ToDoubleFunction;
import java.util.stream.Stream;

/// Training and validation loss over steps, drawn as an SVG picture that a browser opens.
///
/// @param training loss of each step, ascending
/// @param validation held-out loss where it was measured, ascending
public record LossCurve(List<Point> training, List<Point> validation) {
  private static final int WIDTH = 960;
  private static final int HEIGHT = 540;
  private static final int LEFT = 72;
  private static final int RIGHT = 24;
  private static final int TOP = 64;
  private static final int BOTTOM = 60;
  private static final int TICKS = 6;

  // Enough for every pixel of the plot; more only makes the file large.
  private static final int MOST_POINTS = 2_000;

  private static final String STYLE =
      """
      <style>
        text { font: 13px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #444; }
        .title { font-size: 18px; font-weight: 600; fill: #111; }
        .paper { fill: #fff; }
        .grid { stroke: #e6e6e6; }
        .axis { stroke: #888; }
        .raw { fill: none; stroke: #9ec5f4; stroke-width: 1; }
        .smooth { fill: none; stroke: #1f6fd0; stroke-width: 2; stroke-linejoin: round; }
        .held { fill: none; stroke: #e0701a; stroke-width: 2; stroke-linejoin: round; }
        .dot { fill: #e0701a; }
        @media (prefers-color-scheme: dark) {
          text { fill: #bbb; }
          .title { fill: #eee; }
          .paper { fill: #16181c; }
          .grid { stroke: #2c2f36; }
          .raw { stroke: #2d5482; }
          .smooth { stroke: #6aaef7; }
          .held { stroke: #f0954a; }
          .dot { fill: #f0954a; }
        }
      </style>
      """;

  /// A measurement.
  ///
  /// @param step after how many steps
  /// @param loss nats per token
  public record Point(long step, float loss) {}

  /// Copies the lists.
  public LossCurve {
    training = List.copyOf(training);
    validation = List.copyOf(validation);
  }

  /// Writes the picture.
  ///
  /// @throws IOException if the file cannot be written
  public void write(Path file) throws IOException {
    Files.writeString(file, svg());
  }

  /// Returns the picture as SVG.
  public String svg() {
    Scale x = Scale.of(0, bound(point -> (double) point.step, Math::max, 1), LEFT, WIDTH - RIGHT);
    double low = bound(Point::loss, Math::min, 0);
    double high = bound(Point::loss, Math::max, 1);
    Scale y = Scale.of(low, high, HEIGHT - BOTTOM, TOP);
    Formatter svg = new Formatter(Locale.ROOT);
    svg.format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\""
            + " aria-label=\"Loss over training steps\">%n",
        WIDTH, HEIGHT);
    svg.format("%s", STYLE);
    svg.format("<rect class=\"paper\" width=\"%d\" height=\"%d\"/>%n", WIDTH, HEIGHT);
    axes(svg, x, y);
    line(svg, "raw", thinned(training), x, y);
    line(svg, "smooth", thinned(smoothed()), x, y);
    line(svg, "held", validation, x, y);
    for (Point point : validation) {
      if (Float.isFinite(point.loss)) {
        svg.format(
            "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/>%n",
            x.at((double) point.step), y.at(point.loss));
      }
    }
    legend(svg);
    return svg.format("</svg>%n").toString();
  }

  private double bound(ToDoubleFunction<Point> of, DoubleBinaryOperator pick, double otherwise) {
    return Stream.concat(training.stream(), validation.stream())
        .mapToDouble(of)
        .filter(Double::isFinite)
        .reduce(pick)
        .orElse(otherwise);
  }

  private static void axes(Formatter svg, Scale x, Scale y) {
    for (double tick : y.ticks()) {
      svg.format(
          "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/><text x=\"%d\""
              + " y=\"%.1f\" text-anchor=\"end\">%s</text>%n",
          LEFT, WIDTH - RIGHT, y.at(tick), y.at(tick), LEFT - 10, y.at(tick) + 4, y.label(tick));
    }
    for (double tick : x.ticks()) {
      svg.format(
          "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/><text x=\"%.1f\""
              + " y=\"%d\" text-anchor=\"middle\">%s</text>%n",
          x.at(tick),
          x.at(tick),
          HEIGHT - BOTTOM,
          HEIGHT - BOTTOM + 5,
          x.at(tick),
          HEIGHT - BOTTOM + 22,
          x.label(tick));
    }
    svg.format(
        "<line class=\"axis\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>%n",
        LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, HEIGHT - BOTTOM);
    svg.format(
        "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">step</text>%n",
        (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14);
    svg.format(
        "<text transform=\"translate(20 %d) rotate(-90)\" text-anchor=\"middle\">loss (nats per"
            + " byte)</text>%n",
        (TOP + HEIGHT - BOTTOM) / 2);
  }

  private void legend(Formatter svg) {
    String held =
        validation.isEmpty()
            ? "validation"
            : String.format(Locale.ROOT, "validation (last %.3f)", validation.getLast().loss);
    svg.format("<text class=\"title\" x=\"%d\" y=\"34\">Loss</text>%n", LEFT);
    int right = WIDTH - RIGHT;
    key(svg, right - 440, "smooth", "training (smoothed over steps)");
    key(svg, right - 190, "held", held);
  }

  private static void key(Formatter svg, int x, String kind, String text) {
    svg.format(
        "<line class=\"%s\" x1=\"%d\" x2=\"%d\" y1=\"30\" y2=\"30\"/><text x=\"%d\""
            + " y=\"34\">%s</text>%n",
        kind, x - 30, x - 8, x, text);
  }

  private static void line(Formatter svg, String kind, List<Point> points, Scale x, Scale y) {
    svg.format("<polyline class=\"%s\" points=\"", kind);
    for (Point point : points) {
      if (Float.isFinite(point.loss)) {
        svg.format("%.1f,%.1f ", x.at((double) point.step), y.at(point.loss));
      }
    }
    svg.format("\"/>%n");
  }

  /// The running mean, corrected for its start, over about a fiftieth of the run.
  private List<Point> smoothed() {
    double keep = 1 - 1 / Math.max(1, training.size() / 50.0);
    double sum = 0;
    double weight = 0;
    List<Point> smooth = new ArrayList<>();
    for (Point point : training) {
      if (Float.isFinite(point.loss)) {
        sum = keep * sum + (1 - keep) * point.loss;
        weight = keep * weight + (1 - keep);
        smooth.add(new Point(point.step, (float) (sum / weight)));
      }
    }
    return smooth;
  }

  private static List<Point> thinned(List<Point> points) {
    int stride = Math.max(1, Math.ceilDiv(points.size(), MOST_POINTS));
    List<Point> kept = new ArrayList<>();
    for (int i = 0; i < points.size(); i += stride) {
      kept.add(points.get(i));
    }
    return kept;
  }

  /// Numbers placed along an axis.
  private record Scale(double low, double high, double tick, double from, double to) {
    static Scale of(double least, double most, double from, double to) {
      double range = Math.max(most - least, 1e-3);
      double magnitude = Math.pow(10, Math.floor(Math.log10(range / TICKS)));
      double tick = magnitude;
      for (double factor : new double[] {1, 2, 5, 10}) {
        tick = factor * magnitude;
        if (range / tick <= TICKS) {
          break;
        }
      }
      double low = Math.floor(least / tick) * tick;
      double high = Math.ceil(most / tick) * tick;
      return new Scale(low, high > low ? high : low + tick, tick, from, to);
    }

    double at(double value) {
      return from + (value - low) / (high - low) * (to - from);
    }

    List<Double> ticks() {
      List<Double> ticks = new ArrayList<>();
      for (int i = 0; low + i * tick <= high + tick / 2; i++) {
        ticks.add(low + i * tick);
      }
      return ticks;
    }

    String label(double value) {
      // The sum meets powers of ten whose logarithm is a hair too small.
      int digits = (int) Math.max(0, -Math.floor(Math.log10(tick) + 1e-9));
      return String.format(Locale.ROOT, "%,." + digits + "f", value);
    }
  }
}
