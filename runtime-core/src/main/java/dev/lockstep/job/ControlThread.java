package dev.lockstep.job;

import dev.lockstep.interrupt.Uninterrupted;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.nio.NioIoHandler;
import java.time.Duration;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/// A thread of the control plane, with its event loop: one per store and one per rank.
final class ControlThread implements AutoCloseable {
  private static final Duration PATIENCE = Duration.ofSeconds(2);

  private final AtomicReference<@Nullable Thread> thread = new AtomicReference<>();
  private final EventLoopGroup group;

  ControlThread(String name) {
    ThreadFactory threads = task -> start(task, name);
    group = new MultiThreadIoEventLoopGroup(1, threads, NioIoHandler.newFactory());
  }

  private Thread start(Runnable task, String name) {
    Thread made = new Thread(task, name);
    made.setDaemon(true);
    thread.set(made);
    return made;
  }

  EventLoopGroup group() {
    return group;
  }

  /// Ends the thread after what it has to do already, and waits for that unless called on it.
  @Override
  public void close() {
    var _ = group.shutdownGracefully(0, PATIENCE.toMillis() / 2, TimeUnit.MILLISECONDS);
    Thread running = thread.get();
    if (running == Thread.currentThread()) {
      return;
    }
    long end = System.nanoTime() + PATIENCE.toNanos();
    var _ =
        Uninterrupted.call(
            () ->
                group.awaitTermination(end - System.nanoTime(), TimeUnit.NANOSECONDS)
                    && (running == null
                        || running.join(Duration.ofNanos(end - System.nanoTime()))));
  }
}
