package dev.lockstep.system;

import dev.lockstep.transport.PacketRelay.Weather;
import java.io.IOException;
import java.lang.foreign.AddressLayout;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.ArrayList;
import java.util.List;
import java.util.PriorityQueue;
import java.util.Random;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;

/// A cable whose two ends are network interfaces of this host, and on whose way packets of any
/// protocol get lost, come twice, and come late, so that they overtake each other. One thread.
///
/// Where a kernel has `sch_netem` that does the same; this needs `/dev/net/tun` and root.
@SuppressWarnings({
  "restricted", // the only class of these tests that links
  "MustBeClosedChecker" // the cable owns its arena
})
final class BadCable implements AutoCloseable {
  private static final AddressLayout POINTER = ValueLayout.ADDRESS;
  private static final Linker LINKER = Linker.nativeLinker();
  private static final MethodHandle OPEN =
      handle(
          "open",
          FunctionDescriptor.of(ValueLayout.JAVA_INT, POINTER, ValueLayout.JAVA_INT),
          Linker.Option.firstVariadicArg(2));
  private static final MethodHandle IOCTL =
      handle(
          "ioctl",
          FunctionDescriptor.of(
              ValueLayout.JAVA_INT, ValueLayout.JAVA_INT, ValueLayout.JAVA_LONG, POINTER),
          Linker.Option.firstVariadicArg(2));
  private static final MethodHandle READ = moves("read");
  private static final MethodHandle WRITE = moves("write");
  private static final MethodHandle CLOSE =
      handle("close", FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.JAVA_INT));

  // Of linux/if_tun.h and fcntl.h.
  private static final int READ_WRITE_AT_ONCE = 2 | 0x800 | 0x80000; // and not for children
  private static final long SET_INTERFACE = 0x400454CAL;
  private static final short PACKETS_ALONE = 1 | 0x1000;
  private static final int FLAGS_AT = 16;
  private static final int REQUEST_BYTES = 40;

  private static final int ENDS = 2;
  private static final int LONGEST = 1 << 16;
  private static final long PAUSE_NANOS = 50_000;

  /// A packet on its way.
  @SuppressWarnings("ArrayRecordComponent") // nobody compares packets but by time and number
  private record Packet(long due, long number, int end, byte[] bytes) {}

  private final Arena arena = Arena.ofShared();
  private final MemorySegment buffer = arena.allocate(LONGEST);
  private final Weather weather;
  private final Random random;
  private final List<Integer> ends = new ArrayList<>();
  private final PriorityQueue<Packet> delayed =
      new PriorityQueue<>(
          (a, b) ->
              a.due() != b.due()
                  ? Long.compare(a.due(), b.due())
                  : Long.compare(a.number(), b.number()));
  private final AtomicLong interferences = new AtomicLong();
  private final Thread thread;
  private volatile boolean closed;
  private long packets;

  /// Lays a cable.
  ///
  /// @param names of the interfaces, one for each end
  /// @throws IOException if this host has no such interfaces or they may not be made
  BadCable(List<String> names, Weather weather, long seed) throws IOException {
    this.weather = weather;
    this.random = new Random(seed);
    try {
      for (String name : names) {
        ends.add(end(name));
      }
    } catch (IOException cannot) {
      release();
      throw cannot;
    }
    this.thread = Thread.ofPlatform().daemon().name("bad-cable").start(this::run);
  }

  private static MethodHandle handle(
      String name, FunctionDescriptor type, Linker.Option... options) {
    return LINKER.downcallHandle(LINKER.defaultLookup().findOrThrow(name), type, options);
  }

  private static MethodHandle moves(String name) {
    return handle(
        name,
        FunctionDescriptor.of(
            ValueLayout.JAVA_LONG, ValueLayout.JAVA_INT, POINTER, ValueLayout.JAVA_LONG));
  }

  private int end(String name) throws IOException {
    try {
      MemorySegment device = arena.allocateFrom("/dev/net/tun");
      int file = (int) OPEN.invokeExact(device, READ_WRITE_AT_ONCE);
      if (file < 0) {
        throw new IOException("interface cannot be made: open=" + file);
      }
      MemorySegment request = arena.allocate(REQUEST_BYTES, Long.BYTES);
      request.setString(0, name);
      request.set(ValueLayout.JAVA_SHORT, FLAGS_AT, PACKETS_ALONE);
      int status = (int) IOCTL.invokeExact(file, SET_INTERFACE, request);
      if (status < 0) {
        int _ = (int) CLOSE.invokeExact(file);
        throw new IOException("interface cannot be made: ioctl=" + status);
      }
      return file;
    } catch (IOException | RuntimeException | Error failure) {
      throw failure;
    } catch (Throwable impossible) {
      throw new AssertionError("downcall", impossible);
    }
  }

  /// Returns how many packets were lost, doubled or delayed so far.
  long interferences() {
    return interferences.get();
  }

  private void run() {
    while (!closed) {
      boolean idle = true;
      for (int end = 0; end < ENDS; end++) {
        long bytes = move(READ, end, LONGEST);
        if (bytes > 0) {
          idle = false;
          byte[] packet = buffer.asSlice(0, bytes).toArray(ValueLayout.JAVA_BYTE);
          pass(ENDS - 1 - end, packet);
        }
      }
      long now = System.nanoTime();
      for (Packet next = delayed.peek(); next != null && next.due() <= now; next = delayed.peek()) {
        delayed.remove();
        MemorySegment.copy(next.bytes(), 0, buffer, ValueLayout.JAVA_BYTE, 0, next.bytes().length);
        long _ = move(WRITE, next.end(), next.bytes().length); // or it is lost
        idle = false;
      }
      if (idle) {
        LockSupport.parkNanos(PAUSE_NANOS);
      }
    }
  }

  private long move(MethodHandle call, int end, long bytes) {
    try {
      return (long) call.invokeExact((int) ends.get(end), buffer, bytes);
    } catch (Throwable impossible) {
      throw new AssertionError("downcall", impossible);
    }
  }

  private void pass(int to, byte[] bytes) {
    if (random.nextInt(100) < weather.dropsPercent()) {
      interferences.incrementAndGet();
      return;
    }
    int copies = random.nextInt(100) < weather.doublesPercent() ? 2 : 1;
    for (int i = 0; i < copies; i++) {
      boolean late = random.nextInt(100) < weather.delaysPercent();
      long delay = late ? random.nextInt(weather.delayMicros() + 1) * 1000L : 0;
      interferences.addAndGet(late || i > 0 ? 1 : 0);
      delayed.add(new Packet(System.nanoTime() + delay, packets++, to, bytes));
    }
  }

  /// Takes the cable away with its interfaces.
  @Override
  public void close() {
    closed = true;
    boolean interrupted = false;
    while (thread.isAlive()) {
      try {
        thread.join();
      } catch (InterruptedException again) {
        interrupted = true;
      }
    }
    release();
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  private void release() {
    try {
      for (int file : ends) {
        int _ = (int) CLOSE.invokeExact(file);
      }
    } catch (Throwable impossible) {
      throw new AssertionError("downcall", impossible);
    }
    arena.close();
  }
}
