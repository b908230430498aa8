package dev.lockstep.device.cuda;

import dev.lockstep.device.cuda.ffi.Cu;
import dev.lockstep.device.cuda.ffi.CudaDriver;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// Records a program's actions, with their addresses, into a CUDA graph.
final class Recorder {
  private final CudaContext context;
  private final CudaDriver driver;
  private final long stream;
  private final Frame frame;
  private final AlignedCopies copies;
  private final @Nullable ActionTimes times;

  /// @param stream the stream that is captured; nothing else runs on it
  /// @param frame where everything lies
  /// @param copies for what lies where cuBLASLt cannot read or write it
  /// @param times marks the time of each action, if it is wanted
  Recorder(
      CudaContext context,
      long stream,
      Frame frame,
      AlignedCopies copies,
      @Nullable ActionTimes times) {
    this.context = context;
    this.driver = context.driver();
    this.stream = stream;
    this.frame = frame;
    this.copies = copies;
    this.times = times;
  }

  /// What is recorded: an action, and the kernel that it launches.
  ///
  /// @param action the action
  /// @param function the driver's handle of the kernel, if it is one
  /// @param multiplier multiplies, if it is a product
  record Ready(Action action, long function, @Nullable LtMultiplier multiplier) {}

  /// Records actions; the context is current, and no other thread uses the stream meanwhile.
  ///
  /// @return the handle of an executable graph, to be destroyed by the caller
  long record(List<Ready> actions, String program) {
    for (Ready ready : actions) {
      if (ready.action instanceof Action.Multiply multiply) {
        reserve(multiply); // nothing is allocated while a stream is captured
      }
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment word = arena.allocate(ValueLayout.JAVA_LONG);
      // Relaxed: cuBLASLt may load a kernel at its first call, which the stricter modes forbid.
      context.check(
          driver.streamBeginCapture(stream, Cu.CAPTURE_RELAXED),
          "cuStreamBeginCapture",
          "program=" + program);
      boolean complete = false;
      int status;
      try {
        for (int i = 0; i < actions.size(); i++) {
          mark(i);
          enqueue(actions.get(i));
        }
        mark(actions.size());
        complete = true;
      } finally {
        status = driver.streamEndCapture(stream, word.address());
        if (!complete && status == Cu.SUCCESS) {
          driver.graphDestroy(word.get(ValueLayout.JAVA_LONG, 0));
        }
      }
      context.check(status, "cuStreamEndCapture", "program=" + program);
      long graph = word.get(ValueLayout.JAVA_LONG, 0);
      try {
        context.check(
            driver.graphInstantiate(word.address(), graph, 0),
            "cuGraphInstantiateWithFlags",
            "program=" + program);
        return word.get(ValueLayout.JAVA_LONG, 0);
      } finally {
        driver.graphDestroy(graph);
      }
    }
  }

  private void mark(int index) {
    if (times != null) {
      times.mark(index, stream);
    }
  }

  private void enqueue(Ready ready) {
    switch (ready.action) {
      case Action.Launch launch -> launch(launch, ready.function);
      case Action.Copy copy ->
          copy(frame.address(copy.to()), frame.address(copy.from()), copy.bytes());
      case Action.Multiply multiply -> {
        if (ready.multiplier == null) {
          throw new IllegalStateException("nothing multiplies: product=" + multiply.product());
        }
        multiply(multiply, ready.multiplier);
      }
    }
  }

  private void copy(long to, long from, long bytes) {
    context.check(
        driver.memcpyDtoDAsync(to, from, bytes, stream), "cuMemcpyDtoDAsync", "bytes=" + bytes);
  }

  private void reserve(Action.Multiply multiply) {
    LtProduct product = multiply.product();
    copies.reserve(frame.address(multiply.a()), product.leftBytes());
    copies.reserve(frame.address(multiply.b()), product.rightBytes());
    copies.reserve(frame.address(multiply.out()), product.outBytes());
    copies.reserve(frame.address(multiply.bias()), product.biasBytes());
  }

  private void multiply(Action.Multiply multiply, LtMultiplier multiplier) {
    LtProduct product = multiply.product();
    long out = frame.address(multiply.out());
    LtMultiplier.Places places =
        new LtMultiplier.Places(
            aligned(multiply.a(), product.leftBytes()),
            aligned(multiply.b(), product.rightBytes()),
            copies.at(out, product.outBytes()),
            aligned(multiply.bias(), product.biasBytes()));
    multiplier.multiply(multiply, frame, places, stream);
    if (places.out() != out) {
      copy(out, places.out(), product.outBytes());
    }
  }

  /// Returns where something lies: its copy, brought up to date, if it is not aligned.
  private long aligned(Ref ref, long bytes) {
    long address = frame.address(ref);
    long at = copies.at(address, bytes);
    if (at != address) {
      copy(at, address, bytes);
    }
    return at;
  }

  private void launch(Action.Launch launch, long function) {
    List<Argument> arguments = launch.arguments();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment pointers = arena.allocate(ValueLayout.JAVA_LONG, Math.max(1, arguments.size()));
      for (int i = 0; i < arguments.size(); i++) {
        long address = encode(arguments.get(i), arena).address();
        pointers.setAtIndex(ValueLayout.JAVA_LONG, i, address);
      }
      context.check(
          driver.launchKernel(function, launch.geometry(), stream, pointers.address()),
          "cuLaunchKernel",
          "kernel=%s, %s".formatted(launch.kernel(), launch.geometry()));
    }
  }

  private MemorySegment encode(Argument argument, Arena arena) {
    return switch (argument) {
      case Argument.At(Ref ref) -> arena.allocateFrom(ValueLayout.JAVA_LONG, frame.address(ref));
      case Argument.Word(int value) -> arena.allocateFrom(ValueLayout.JAVA_INT, value);
      case Argument.Wide(long value) -> arena.allocateFrom(ValueLayout.JAVA_LONG, value);
      case Argument.Real(float value) -> arena.allocateFrom(ValueLayout.JAVA_FLOAT, value);
      case Argument.Real64(double value) -> arena.allocateFrom(ValueLayout.JAVA_DOUBLE, value);
      case Argument.Struct(List<Argument.Field> fields) -> {
        MemorySegment struct = arena.allocate(ValueLayout.JAVA_LONG, fields.size());
        for (int i = 0; i < fields.size(); i++) {
          long bits =
              switch (fields.get(i)) {
                case Argument.Field.At(Ref ref) -> frame.address(ref);
                case Argument.Field.Word(long word) -> word;
              };
          struct.setAtIndex(ValueLayout.JAVA_LONG, i, bits);
        }
        yield struct;
      }
    };
  }
}
