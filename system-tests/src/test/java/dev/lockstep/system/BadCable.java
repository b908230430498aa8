package dev.lockstep.system;

import dev.lockstep.transport.PacketRelay.Weather;
import dev.lockstep.transport.Storm;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.LockSupport;

/// A cable whose two ends are network interfaces of this host, and on whose way packets of any
/// protocol get lost, come twice, and come late, so that they overtake each other. One thread.
///
/// Where a kernel has `sch_netem` that does the same; this needs `/dev/net/tun` and root.
@SuppressWarnings("MustBeClosedChecker") // the cable owns its arena
final class BadCable implements AutoCloseable {
  // Of linux/if_tun.h and fcntl.h.
  private static final int READ_WRITE_AT_ONCE = 2 | 0x800 | 0x80000; // and not for children
  private static final long SET_INTERFACE = 0x400454CAL;
  private static final short PACKETS_ALONE = 1 | 0x1000;
  private static final int FLAGS_AT = 16;
  private static final int REQUEST_BYTES = 40;

  private static final int ENDS = 2;
  private static final int LONGEST = 1 << 16;
  private static final long PAUSE_NANOS = 50_000;

  private final Arena arena = Arena.ofShared();
  private final MemorySegment buffer = arena.allocate(LONGEST);
  private final List<Storm<byte[]>> storms = new ArrayList<>(); // on the way to each end
  private final List<Integer> ends = new ArrayList<>();
  private final Thread thread;
  private volatile boolean closed;

  /// Lays a cable.
  ///
  /// @param names of the interfaces, one for each end
  /// @param weathers on the way to each end
  /// @throws IOException if this host has no such interfaces or they may not be made
  BadCable(List<String> names, List<Weather> weathers, long seed) throws IOException {
    for (int end = 0; end < ENDS; end++) {
      storms.add(new Storm<>(weathers.get(end), seed + end));
    }
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

  private int end(String name) throws IOException {
    int file = LibC.open("/dev/net/tun", READ_WRITE_AT_ONCE);
    if (file < 0) {
      throw new IOException("interface cannot be made: open=" + file);
    }
    MemorySegment request = arena.allocate(REQUEST_BYTES, Long.BYTES);
    request.setString(0, name);
    request.set(ValueLayout.JAVA_SHORT, FLAGS_AT, PACKETS_ALONE);
    int status = LibC.ioctl(file, SET_INTERFACE, request);
    if (status < 0) {
      int _ = LibC.close(file);
      throw new IOException("interface cannot be made: ioctl=" + status);
    }
    return file;
  }

  /// Returns how many packets were lost, doubled or delayed so far.
  long interferences() {
    return storms.stream().mapToLong(Storm::interferences).sum();
  }

  private void run() {
    while (!closed) {
      boolean idle = true;
      for (int end = 0; end < ENDS; end++) {
        long bytes = LibC.read(ends.get(end), buffer);
        if (bytes > 0) {
          idle = false;
          byte[] packet = buffer.asSlice(0, bytes).toArray(ValueLayout.JAVA_BYTE);
          storms.get(ENDS - 1 - end).take(packet);
        }
      }
      for (int end = 0; end < ENDS; end++) {
        for (byte[] next = storms.get(end).next(); next != null; next = storms.get(end).next()) {
          MemorySegment.copy(next, 0, buffer, ValueLayout.JAVA_BYTE, 0, next.length);
          long _ = LibC.write(ends.get(end), buffer, next.length); // or it is lost
          idle = false;
        }
      }
      if (idle) {
        LockSupport.parkNanos(PAUSE_NANOS);
      }
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
    for (int file : ends) {
      int _ = LibC.close(file);
    }
    arena.close();
  }
}
