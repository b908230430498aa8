package dev.lockstep.collective;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.job.Job;
import dev.lockstep.memory.Scope;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/// The ranks of a job laid out along named axes, with a communicator along each.
///
/// Ranks are numbered with the last axis fastest: with `dp=2, tp=4` ranks 0 to 3 differ in their
/// place on `tp` alone. Every rank belongs to one communicator per axis: the ranks that share its
/// place on all other axes, numbered by their place on this one.
///
/// ```java
/// Job.run(job -> {
///   try (var mesh = Mesh.of(job, CommunicatorOptions.defaults(), Axis.parse("dp=2,tp=4"))) {
///     mesh.axis("dp").allReduce(gradients, gradients, new ReduceOp.Sum());
///   }
/// });
/// ```
public final class Mesh implements AutoCloseable {
  /// An axis.
  ///
  /// @param name what it is called: `dp`, `tp`, `pp`, `ep`, …
  /// @param size number of places, at least 1
  public record Axis(String name, int size) {
    /// Checks name and size.
    public Axis {
      if (name.isBlank() || size < 1) {
        throw new ConfigurationException(
            "--mesh",
            name + "=" + size,
            "axis of the mesh is wrong: name=%s, size=%d (write for example dp=2,tp=4)"
                .formatted(name, size));
      }
    }

    /// Reads axes as users write them: `dp=2,tp=2,pp=2`.
    ///
    /// @throws ConfigurationException if that is not what the text is
    public static List<Axis> parse(String text) {
      List<Axis> axes = new ArrayList<>();
      for (String part : text.split(",", -1)) {
        String[] sides = part.split("=", -1);
        try {
          if (sides.length != 2) {
            throw new NumberFormatException("no size");
          }
          axes.add(new Axis(sides[0].strip(), Integer.parseInt(sides[1].strip())));
        } catch (NumberFormatException wrong) {
          throw new ConfigurationException(
              "--mesh",
              text,
              "mesh cannot be read: --mesh=%s, part=%s (write for example dp=2,tp=4)"
                  .formatted(text, part),
              wrong);
        }
      }
      return axes;
    }
  }

  private final List<Axis> axes;
  private final Communicator world;
  private final Map<String, Communicator> along = new LinkedHashMap<>();

  private Mesh(List<Axis> axes, Communicator world) {
    this.axes = axes;
    this.world = world;
  }

  /// Lays a job's ranks out; every rank calls this with the same axes, and it returns when all
  /// have. The mesh owns its communicators.
  ///
  /// @throws ConfigurationException on every rank, if ranks give unlike axes, or these do not hold
  ///   exactly the job's ranks, or a name is there twice
  public static Mesh of(Job job, CommunicatorOptions options, List<Axis> axes) {
    Mesh mesh = new Mesh(List.copyOf(axes), Communicator.world(job, options));
    try {
      mesh.world.requireAlike("--mesh", words(axes)); // before any rank refuses its own
      check(axes, job.worldSize());
      for (Axis axis : axes) {
        mesh.along.put(axis.name(), mesh.communicator(List.of(axis.name())));
      }
      return mesh;
    } catch (RuntimeException | Error failure) {
      Scope.afterFailure(failure, mesh::close);
      throw failure;
    }
  }

  private static String words(List<Axis> axes) {
    return axes.stream()
        .map(axis -> axis.name() + "=" + axis.size())
        .collect(Collectors.joining(","));
  }

  private static void check(List<Axis> axes, int worldSize) {
    // What a double holds ends at the greatest long: axes may hold more places than any job ranks.
    long places = (long) axes.stream().mapToDouble(Axis::size).reduce(1, (a, b) -> a * b);
    if (places != worldSize || axes.stream().map(Axis::name).distinct().count() != axes.size()) {
      throw new ConfigurationException(
          "--mesh",
          axes.toString(),
          "mesh does not hold the job's ranks: axes=%s, places=%d, worldSize=%d (names once each, and sizes whose product is the number of ranks)"
              .formatted(axes, places, worldSize));
    }
  }

  /// Returns the communicator of all ranks.
  public Communicator world() {
    return world;
  }

  /// Returns the axes, the last one fastest.
  public List<Axis> axes() {
    return axes;
  }

  /// Returns the communicator along an axis; owned by the mesh.
  ///
  /// @throws IllegalArgumentException if there is no such axis
  public Communicator axis(String name) {
    Communicator found = along.get(name);
    if (found == null) {
      throw noAxis(name);
    }
    return found;
  }

  /// Makes a communicator along several axes: the ranks that share this one's place on all others,
  /// the last named axis fastest. Every rank calls this; the caller closes it.
  ///
  /// @throws IllegalArgumentException if there is no such axis
  public Communicator communicator(List<String> names) {
    for (String name : names) {
      var _ = size(name);
    }
    int color = 0;
    int key = 0;
    for (Axis axis : axes) {
      if (!names.contains(axis.name())) {
        color = color * axis.size() + coordinate(axis.name());
      }
    }
    for (String name : names) {
      key = key * size(name) + coordinate(name);
    }
    return world.split(color, key).orElseThrow();
  }

  /// Returns the number of places of an axis.
  ///
  /// @throws IllegalArgumentException if there is no such axis
  public int size(String name) {
    return axes.stream()
        .filter(axis -> axis.name().equals(name))
        .findFirst()
        .orElseThrow(() -> noAxis(name))
        .size();
  }

  /// Returns this rank's place on an axis.
  ///
  /// @throws IllegalArgumentException if there is no such axis
  public int coordinate(String name) {
    int stride = 1;
    for (int i = axes.size() - 1; i >= 0; i--) {
      Axis axis = axes.get(i);
      if (axis.name().equals(name)) {
        return world.rank() / stride % axis.size();
      }
      stride *= axis.size();
    }
    throw noAxis(name);
  }

  private IllegalArgumentException noAxis(String name) {
    return new IllegalArgumentException(
        "mesh has no such axis: axis=%s, axes=%s".formatted(name, axes));
  }

  /// Closes the communicators, together with the other ranks; idempotent.
  @Override
  public void close() {
    try (Scope communicators = new Scope()) { // closed in the same order on all ranks
      var _ = communicators.own(world, Communicator::close);
      List.copyOf(along.values())
          .reversed()
          .forEach(one -> communicators.own(one, Communicator::close));
    }
  }
}
