package dev.lockstep.transport.aeron;

import dev.lockstep.transport.TransportContext;
import io.aeron.Aeron;
import io.aeron.driver.MediaDriver;
import io.aeron.driver.ThreadingMode;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.agrona.concurrent.BackoffIdleStrategy;
import org.jspecify.annotations.Nullable;

/// One driver for all ranks of a host, on a thread of the leading rank: over IPC ranks read each
/// other's logs themselves, and the driver has little to do.
final class HostDriver implements AeronEngine {
  private final Path folder;
  private final @Nullable MediaDriver driver;
  private final Aeron client;

  private HostDriver(Path folder, @Nullable MediaDriver driver, Aeron client) {
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

  static HostDriver open(TransportContext context, Medium medium) {
    Path folder = DriverFolder.ofHost(context.directory());
    MediaDriver driver =
        context.localLeader()
            ? DriverFolder.launch(
                context.directory(),
                folder,
                DriverFolder.settings(folder, medium)
                    .threadingMode(ThreadingMode.SHARED)
                    .sharedIdleStrategy(idle()))
            : null;
    try {
      return new HostDriver(folder, driver, Aeron.connect(DriverFolder.client(folder)));
    } catch (RuntimeException e) {
      Closing.quietly(driver);
      throw e;
    }
  }

  @Override
  public Aeron client() {
    return client;
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
