package dev.lockstep.transport.aeron;

import dev.lockstep.transport.TransportContext;
import io.aeron.Aeron;
import io.aeron.driver.Configuration;
import io.aeron.driver.MediaDriver;
import io.aeron.driver.ThreadingMode;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;

/// A driver of this rank's own, which whoever waits for a message moves: a packet is on its way, or
/// in the log, without another thread having had its turn on the core. While nobody waits a daemon
/// thread moves it: what was sent is to arrive, what was lost to be sent again, and peers are to
/// hear that this rank lives.
final class RankDriver implements AeronEngine {
  /// How often the daemon thread looks whether anybody else has moved the driver.
  private static final long WATCH_NANOS = 1_000_000;

  /// Driver and client share a process and its fate: neither needs to watch the other.
  private static final long FOREVER_NANOS = TimeUnit.HOURS.toNanos(24);

  private final Path folder;
  private final MediaDriver driver;
  private final Aeron client;
  private final DriverWork driverWork;
  private final DriverWork clientWork;
  private final Thread watch;
  private final int life = new SecureRandom().nextInt();
  private volatile boolean closed;

  /// Whether somebody has a turn.
  private final AtomicBoolean held = new AtomicBoolean();

  /// Counted by whoever holds; read by the watch.
  private final AtomicLong turns = new AtomicLong();

  private RankDriver(Path folder, MediaDriver driver, Aeron client, int rank) {
    this.folder = folder;
    this.driver = driver;
    this.client = client;
    this.driverWork = new DriverWork(driver.sharedAgentInvoker());
    this.clientWork = new DriverWork(client.conductorAgentInvoker());
    this.watch = new Thread(this::watch, "lockstep-aeron-" + rank);
    watch.setDaemon(true);
  }

  static RankDriver open(TransportContext context, Medium medium) {
    Path folder = DriverFolder.ofRank(context.directory(), context.rank());
    // Whether a rank that says nothing is dead is the job's to decide, not Aeron's.
    long silence = 2 * context.liveness().toNanos();
    MediaDriver driver =
        DriverFolder.launch(
            context.directory(),
            folder,
            DriverFolder.settings(folder, medium)
                .threadingMode(ThreadingMode.INVOKER)
                .asyncExecutorEnabled(false)
                .reResolutionCheckIntervalNs(0)
                .clientLivenessTimeoutNs(FOREVER_NANOS)
                .publicationUnblockTimeoutNs(2 * FOREVER_NANOS)
                .publicationConnectionTimeoutNs(
                    Math.max(silence, Configuration.PUBLICATION_CONNECTION_TIMEOUT_DEFAULT_NS))
                .imageLivenessTimeoutNs(
                    Math.max(silence, Configuration.IMAGE_LIVENESS_TIMEOUT_DEFAULT_NS)));
    Aeron client = null;
    try {
      client =
          Aeron.connect(
              DriverFolder.client(folder)
                  .useConductorAgentInvoker(true)
                  .driverTimeoutMs(TimeUnit.NANOSECONDS.toMillis(FOREVER_NANOS)));
      RankDriver opened = new RankDriver(folder, driver, client, context.rank());
      opened.watch.start();
      return opened;
    } catch (RuntimeException | Error e) {
      Closing.quietly(client);
      Closing.quietly(driver);
      throw e;
    }
  }

  @Override
  public Aeron client() {
    return client;
  }

  @Override
  public int life() {
    return life;
  }

  @Override
  public Path folder() {
    return folder;
  }

  @Override
  public int turn() {
    if (!held.compareAndSet(false, true)) {
      return 0;
    }
    boolean interrupted = Thread.interrupted(); // or the files that agents map would be closed
    try {
      turns.setOpaque(turns.getPlain() + 1);
      return driverWork.turn() + clientWork.turn();
    } finally {
      held.setRelease(false);
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
    }
  }

  private void watch() {
    long seen = -1;
    while (!closed) {
      long now = turns.getOpaque();
      if (now != seen) {
        seen = now;
      } else {
        int done = turn();
        seen = turns.getOpaque();
        if (done > 0) {
          continue;
        }
      }
      LockSupport.parkNanos(this, WATCH_NANOS);
    }
  }

  @Override
  public boolean ownsDriver() {
    return true;
  }

  @Override
  public void closeClient() {
    Closing.quietly(client);
  }

  /// Nobody has a turn any more: whoever is in the middle of one ends it first, as it never waits.
  @Override
  @SuppressWarnings("ThreadPriorityCheck") // who holds may wait for this core
  public void close() {
    if (closed) {
      return;
    }
    closed = true;
    LockSupport.unpark(watch);
    while (!held.compareAndSet(false, true)) {
      Thread.yield();
    }
    Closing.quietly(client);
    Closing.quietly(driver);
  }
}
