package dev.lockstep.train;

import static java.util.Objects.requireNonNull;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceCollectives;
import dev.lockstep.device.DeviceInfo;
import dev.lockstep.device.Event;
import dev.lockstep.device.HostCopy;
import dev.lockstep.device.HostPin;
import dev.lockstep.device.Program;
import dev.lockstep.device.Stream;
import dev.lockstep.device.Support;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Buffer;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.parallel.Exchange;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/// A bus and links on which nothing moves by itself: copies arrive when they are told to, or when
/// somebody waits for them, and everything that happens is written down. Tensors go by the names of
/// their buffers.
final class SlowBus {
  private static final int POLLS = 5;

  private final List<String> events = new ArrayList<>();
  private final Map<String, Slow> copies = new HashMap<>();
  private final Map<String, Passing> passing = new HashMap<>();
  private String refused = "";
  private int pins;

  /// Returns what has happened.
  List<String> events() {
    return events;
  }

  /// Returns how many regions are pinned.
  int pins() {
    return pins;
  }

  /// Lets this fail from now on.
  void refuses(String what) {
    refused = what;
  }

  private void check(String what) {
    if (refused.equals(what)) {
      throw new IllegalStateException("refused: " + what);
    }
  }

  Slow out(String name) {
    return requireNonNull(copies.get("out " + name));
  }

  Slow in(String name) {
    return requireNonNull(copies.get("in " + name));
  }

  Passing collective(String name) {
    return requireNonNull(passing.get(name));
  }

  private static String name(Tensor tensor) {
    String name = tensor.buffer().name();
    return name.substring(name.lastIndexOf(' ') + 1);
  }

  /// A copy.
  final class Slow implements HostCopy {
    private final String what;
    private final MemorySegment host;
    private boolean isUnderWay;

    private Slow(String what, MemorySegment host) {
      this.what = what;
      this.host = host;
      copies.put(what, this);
    }

    boolean isUnderWay() {
      return isUnderWay;
    }

    /// Ends the copy.
    void arrives() {
      host.fill((byte) 0); // fails where it was freed
      isUnderWay = false;
    }

    @Override
    public void start() {
      events.add(what);
      isUnderWay = true;
    }

    @Override
    public boolean isDone() {
      return !isUnderWay;
    }

    @Override
    public void await() {
      if (isUnderWay && what.startsWith("in ")) {
        events.add(what + " is over");
      }
      if (isUnderWay) {
        arrives();
      }
    }

    @Override
    public void close() {
      await();
    }
  }

  /// A collective or a message on its way.
  final class Passing implements Exchange.Prepared, Exchange.Message {
    private final String name;
    private String behind = "";
    private int polls;
    private boolean fails;

    private Passing(String name) {
      check("collective");
      this.name = name;
      passing.put(name, this);
    }

    /// Lets it take so long that every copy arrives meanwhile.
    void isLong() {
      polls = POLLS;
    }

    /// Lets it take until something has happened.
    void endsBehind(String event) {
      behind = event;
    }

    void fails() {
      fails = true;
    }

    @Override
    public void run() {
      events.add("run " + name);
    }

    @Override
    public void start() {
      events.add("begin " + name);
    }

    @Override
    public boolean poll() {
      copies.values().stream().filter(copy -> copy.what.startsWith("out ")).forEach(Slow::arrives);
      return (behind.isEmpty() || events.contains(behind)) && polls-- <= 0;
    }

    @Override
    public void await() {
      if (fails) {
        throw new IllegalStateException("failed: " + name);
      }
      if (!behind.isEmpty() && !events.contains(behind)) {
        throw new IllegalStateException("would wait for ever: " + name + " behind " + behind);
      }
      events.add("end " + name);
    }

    @Override
    public void close() {
      events.add("close " + name);
      if (fails) {
        throw new IllegalStateException("failed to close: " + name);
      }
    }
  }

  /// Returns the links.
  Exchange exchange() {
    return new Exchange() {
      @Override
      public Prepared prepare(Primitive op, List<Tensor> inputs, Tensor output) {
        return new Passing(name(output));
      }

      @Override
      public Prepared reduceScatter(
          String axis, LaneSplit lanes, List<Long> counts, List<Tensor> inputs, Tensor output) {
        return new Passing(name(output));
      }

      @Override
      public Prepared allGather(String axis, List<Long> counts, Tensor part, Tensor whole) {
        return new Passing(name(whole));
      }

      @Override
      public Prepared gather(List<Long> counts, Tensor part, @Nullable Tensor whole) {
        return new Passing(name(part));
      }

      @Override
      public List<String> words(String mine) {
        events.add("words");
        return List.of(mine);
      }

      @Override
      public Message message(String axis, boolean forth, int from, Tensor memory) {
        return new Passing(name(memory));
      }
    };
  }

  /// Returns the queue of copies.
  Stream stream() {
    return new Stream() {
      @Override
      public HostCopy prepareCopyIn(Tensor to, MemorySegment from) {
        check("copy in");
        return new Slow("in " + name(to), from);
      }

      @Override
      public HostCopy prepareCopyOut(MemorySegment to, Tensor from) {
        return new Slow("out " + name(from), to);
      }

      @Override
      public void run(BoundProgram program) {
        throw new UnsupportedOperationException();
      }

      @Override
      public void copyIn(Tensor to, MemorySegment from) {
        throw new UnsupportedOperationException();
      }

      @Override
      public void copyOut(MemorySegment to, Tensor from) {
        throw new UnsupportedOperationException();
      }

      @Override
      public Event record() {
        throw new UnsupportedOperationException();
      }

      @Override
      public void synchronize() {}

      @Override
      public void close() {}
    };
  }

  /// Returns the device, which pins and does nothing else.
  Device device() {
    return new Device() {
      @Override
      public HostPin pin(MemorySegment host) {
        check("pin");
        pins++;
        return () -> {
          host.fill((byte) 0); // fails where it was freed
          events.add("unpin");
          pins--;
        };
      }

      @Override
      public DeviceInfo info() {
        throw new UnsupportedOperationException();
      }

      @Override
      public Buffer allocate(String name, long bytes) {
        throw new UnsupportedOperationException();
      }

      @Override
      public Buffer allocateShared(String name, long bytes) {
        throw new UnsupportedOperationException();
      }

      @Override
      public Support supports(Op op, List<ValueType> operands) {
        throw new UnsupportedOperationException();
      }

      @Override
      public Program compile(Graph graph) {
        throw new UnsupportedOperationException();
      }

      @Override
      public Stream newStream() {
        return stream();
      }

      @Override
      public Optional<DeviceCollectives> collectives() {
        return Optional.empty();
      }

      @Override
      public void close() {}
    };
  }
}
