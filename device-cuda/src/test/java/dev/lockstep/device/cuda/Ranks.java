package dev.lockstep.device.cuda;

import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceCollective;
import dev.lockstep.device.DeviceCollectives;
import dev.lockstep.device.DeviceGroup;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.DeviceProvider;
import dev.lockstep.device.Stream;
import dev.lockstep.failure.Availability;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.jspecify.annotations.Nullable;

/// Ranks as threads, each with a device of its own, that join one group.
final class Ranks {
  private Ranks() {}

  /// What a rank does.
  interface Body<T> {
    T on(Rank rank) throws Exception;
  }

  /// How ranks join.
  ///
  /// @param provider of their devices
  /// @param ranks how many there are
  /// @param sameBits whether sums follow the lane tree
  /// @param timeout deadline of all they do
  /// @param interruption asked while they wait
  record Setting(
      DeviceProvider provider,
      int ranks,
      boolean sameBits,
      Duration timeout,
      DeviceCollectives.Interruption interruption) {
    static Setting of(DeviceProvider provider, int ranks) {
      return new Setting(provider, ranks, true, Duration.ofSeconds(30), (_, _, _) -> null);
    }

    Setting relaxed() {
      return new Setting(provider, ranks, false, timeout, interruption);
    }

    Setting withTimeout(Duration other) {
      return new Setting(provider, ranks, sameBits, other, interruption);
    }

    Setting interruptedBy(DeviceCollectives.Interruption other) {
      return new Setting(provider, ranks, sameBits, timeout, other);
    }
  }

  /// Runs a body on every rank, and returns what they return, in rank order. All memory is given
  /// back, whatever happens.
  static <T> List<T> run(Setting setting, Body<T> body) throws Exception {
    String[] name = new String[1];
    try (MemoryPool pool = MemoryPool.root("naming", Long.MAX_VALUE);
        Device first = setting.provider.open(0, new DeviceOptions(pool, 1, 0))) {
      name[0] = first.collectives().orElseThrow().newGroup();
    }
    int devices =
        switch (setting.provider.probe()) {
          case Availability.Available(int count, String _) -> count;
          case Availability.Unavailable _ -> 0;
        };
    try (ExecutorService threads = Executors.newFixedThreadPool(setting.ranks)) {
      List<Future<T>> running = new ArrayList<>();
      for (int rank = 0; rank < setting.ranks; rank++) {
        int number = rank;
        running.add(threads.submit(() -> run(setting, name[0], number, number % devices, body)));
      }
      List<T> results = new ArrayList<>();
      Exception failure = null;
      for (Future<T> each : running) {
        try {
          results.add(each.get());
        } catch (ExecutionException e) {
          failure = failure == null && e.getCause() instanceof Exception cause ? cause : failure;
          if (e.getCause() instanceof Error error) {
            throw error;
          }
        }
      }
      if (failure != null) {
        throw failure;
      }
      return results;
    }
  }

  private static <T> T run(Setting setting, String name, int number, int ordinal, Body<T> body)
      throws Exception {
    try (MemoryPool pool = MemoryPool.root("rank " + number, Long.MAX_VALUE);
        Device device = setting.provider.open(ordinal, new DeviceOptions(pool, 1, 0));
        Stream stream = device.newStream()) {
      DeviceCollectives.Membership membership =
          new DeviceCollectives.Membership(
              name, number, setting.ranks, setting.sameBits, setting.timeout, setting.interruption);
      try (Rank rank = new Rank(number, setting, device, stream, membership)) {
        return body.on(rank);
      }
    }
  }

  /// One rank.
  static final class Rank implements AutoCloseable {
    private final int number;
    private final Setting setting;
    private final Device device;
    private final Stream stream;
    private final DeviceCollectives.Membership membership;
    private final List<Runnable> closings = new ArrayList<>();
    private @Nullable DeviceGroup group;

    private Rank(
        int number,
        Setting setting,
        Device device,
        Stream stream,
        DeviceCollectives.Membership membership) {
      this.number = number;
      this.setting = setting;
      this.device = device;
      this.stream = stream;
      this.membership = membership;
    }

    int number() {
      return number;
    }

    int ranks() {
      return setting.ranks;
    }

    Device device() {
      return device;
    }

    Stream stream() {
      return stream;
    }

    DeviceCollectives collectives() {
      return device.collectives().orElseThrow();
    }

    /// Joins the group, once.
    DeviceGroup group() {
      DeviceGroup joined = group;
      if (joined == null) {
        joined = collectives().join(membership);
        closings.add(joined::close);
        group = joined;
      }
      return joined;
    }

    /// Prepares a collective of the group.
    DeviceGroup.Prepared prepare(DeviceCollective what, List<Tensor> inputs, Tensor output) {
      DeviceGroup.Prepared made = group().prepare(what, stream, inputs, output);
      closings.add(made::close);
      return made;
    }

    /// Returns a vector on the device.
    Tensor tensor(float... values) {
      Tensor tensor = room(DType.F32, values.length);
      stream.copyIn(tensor, MemorySegment.ofArray(values));
      return tensor;
    }

    /// Returns zeros on the device.
    Tensor room(DType dtype, long elements) {
      Buffer buffer = device.allocate("vector", elements * dtype.bytes());
      closings.addFirst(buffer::close);
      return Tensor.of(buffer, dtype, Shape.of(elements));
    }

    /// Returns a vector of the device; waits for it.
    float[] values(Tensor tensor) {
      float[] values = new float[(int) tensor.shape().elements()];
      stream.copyOut(MemorySegment.ofArray(values), tensor);
      return values;
    }

    /// Returns the bytes of a vector of the device; waits for it.
    byte[] bytes(Tensor tensor) {
      MemorySegment bytes = MemorySegment.ofArray(new byte[(int) tensor.bytes()]);
      stream.copyOut(bytes, tensor);
      return bytes.toArray(ValueLayout.JAVA_BYTE);
    }

    @Override
    public void close() {
      RuntimeException failure = null;
      for (Runnable each : closings.reversed()) {
        try {
          each.run();
        } catch (RuntimeException e) {
          failure = e;
        }
      }
      if (failure != null) {
        throw failure;
      }
    }
  }
}
