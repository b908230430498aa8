package dev.lockstep.transport.aeron;

import dev.lockstep.memory.Scope;
import dev.lockstep.transport.TransportContext;
import io.aeron.Aeron;
import io.aeron.driver.MediaDriver;
import io.aeron.driver.ThreadingMode;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.agrona.concurrent.BackoffIdleStrategy;
import org.jspecify.annotations.Nullable;

/// One driver for all ranks of a host, on a thread of the leading rank: over IPC ranks read each
/// other's logs themselves, and the driver has little to do.
final class HostDriver implements AeronEngine {
  /// How long the leader may take to start its driver.
  private static final Duration PATIENCE = Duration.ofSeconds(10);

  private final int life;
  private final Path folder;
  private final @Nullable MediaDriver driver;
  private final Aeron client;

  private HostDriver(int life, Path folder, @Nullable MediaDriver driver, Aeron client) {
    this.life = life;
    this.folder = folder;
    this.driver = driver;
    this.client = client;
  }

  /// Busy-wait 100 times, yield 100 times, then park 1 µs … 100 µs: two ranks on two cores leave no
  /// core to the driver.
  private static BackoffIdleStrategy idle() {
    return new BackoffIdleStrategy(
        100, 100, TimeUnit.MICROSECONDS.toNanos(1), TimeUnit.MICROSECONDS.toNanos(100));
  }

  /// Opens the driver, or a client of the leader's. Ranks open the transports of a job in the same
  /// order: the folder of the n-th driver is where all look for it.
  static HostDriver open(TransportContext context, Medium medium) {
    int life = DriverFolder.countOpened(context.directory(), context.jobId(), context.rank());
    String key = "aeron/driver/" + life;
    if (!context.localLeader()) {
      Path folder = DriverFolder.named(context.addresses().lookup(key, PATIENCE));
      return new HostDriver(life, folder, null, Aeron.connect(DriverFolder.client(folder)));
    }
    MediaDriver driver = null;
    Aeron client = null;
    try {
      Path folder = DriverFolder.ofRank(context.directory(), context.rank());
      driver =
          DriverFolder.launch(
              context.directory(),
              folder,
              DriverFolder.settings(folder, medium)
                  .threadingMode(ThreadingMode.SHARED)
                  .sharedIdleStrategy(idle()));
      client = Aeron.connect(DriverFolder.client(folder));
      context.addresses().publish(key, DriverFolder.name(folder));
      return new HostDriver(life, folder, driver, client);
    } catch (RuntimeException | Error e) {
      Closing.quietly(client);
      Closing.quietly(driver);
      Scope.afterFailure(e, () -> context.addresses().publish(key, DriverFolder.NONE));
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
    return 0;
  }

  @Override
  public boolean ownsDriver() {
    return driver != null;
  }

  @Override
  public void closeClient() {
    Closing.quietly(client);
  }

  @Override
  public void close() {
    Closing.quietly(client);
    Closing.quietly(driver);
  }
}
