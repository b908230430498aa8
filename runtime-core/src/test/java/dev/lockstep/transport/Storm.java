package dev.lockstep.transport;

import dev.lockstep.transport.PacketRelay.Weather;
import java.util.PriorityQueue;
import java.util.Random;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/// What bad weather makes of the packets on a way: it drops some, doubles some and delays some, so
/// that they overtake each other. For one thread, but for [#interferences].
///
/// @param <P> a packet and where it goes
public final class Storm<P> {
  /// A packet on its way.
  private record Delayed<P>(long due, long number, P packet) {}

  private final Weather weather;
  private final Random random;
  private final PriorityQueue<Delayed<P>> delayed =
      new PriorityQueue<>(
          (a, b) ->
              a.due() != b.due()
                  ? Long.compare(a.due(), b.due())
                  : Long.compare(a.number(), b.number()));
  private final AtomicLong interferences = new AtomicLong();
  private long packets;

  /// Begins a storm; one seed always does the same to the same packets.
  public Storm(Weather weather, long seed) {
    this.weather = weather;
    this.random = new Random(seed);
  }

  /// Sends a packet into it.
  public void take(P packet) {
    if (random.nextInt(100) < weather.dropsPercent()) {
      interferences.incrementAndGet();
      return;
    }
    int copies = random.nextInt(100) < weather.doublesPercent() ? 2 : 1;
    for (int i = 0; i < copies; i++) {
      boolean late = random.nextInt(100) < weather.delaysPercent();
      long delay = late ? random.nextInt(weather.delayMicros() + 1) * 1000L : 0;
      interferences.addAndGet(late || i > 0 ? 1 : 0);
      delayed.add(new Delayed<>(System.nanoTime() + delay, packets++, packet));
    }
  }

  /// Returns for how long nothing comes out, in nanoseconds, and no more than `most`.
  public long calm(long most) {
    Delayed<P> next = delayed.peek();
    return next == null ? most : Math.clamp(next.due() - System.nanoTime(), 0, most);
  }

  /// Returns the next packet that comes out now, null if there is none.
  public @Nullable P next() {
    Delayed<P> next = delayed.peek();
    if (next == null || next.due() > System.nanoTime()) {
      return null;
    }
    delayed.remove();
    return next.packet();
  }

  /// Returns how many packets were lost, doubled or delayed so far.
  public long interferences() {
    return interferences.get();
  }
}
