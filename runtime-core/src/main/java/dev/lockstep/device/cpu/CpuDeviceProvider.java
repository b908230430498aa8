package dev.lockstep.device.cpu;

import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceInfo;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.DeviceProvider;
import dev.lockstep.failure.Availability;
import dev.lockstep.failure.DeviceException;
import dev.lockstep.memory.ffi.LibC;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Opens the pure-Java CPU device. Public for [java.util.ServiceLoader] alone.
public final class CpuDeviceProvider implements DeviceProvider {
  private static final Logger LOG = LoggerFactory.getLogger(CpuDeviceProvider.class);
  private static final String VECTORS = "jdk.incubator.vector";
  private static final String DENIED =
      "the JVM denies native access: module=dev.lockstep.core (start java with"
          + " --enable-native-access=dev.lockstep.core, or =ALL-UNNAMED on the class path)";

  /// Whether this process was told that it computes without vectors.
  private static final AtomicBoolean SAID = new AtomicBoolean();

  private static final Path CPU_INFO = Path.of("/proc/cpuinfo");

  /// Makes the provider; for the service loader.
  public CpuDeviceProvider() {}

  @Override
  public String name() {
    return "cpu";
  }

  @Override
  public Availability probe() {
    if (LibC.isDenied()) {
      return new Availability.Unavailable(DENIED);
    }
    // How wide the vectors are depends on how the JVM that computes is started.
    return new Availability.Available(
        1, "%s, %s, %s".formatted(model(), Caches.found(), threads(availableThreads())));
  }

  @Override
  public Device open(int ordinal, DeviceOptions options) {
    if (ordinal != 0) {
      throw new DeviceException(
          "cpu:" + ordinal,
          "open",
          0,
          "no such device: device=cpu:" + ordinal + ", devices=1",
          null);
    }
    if (LibC.isDenied()) {
      throw new DeviceException("cpu:0", "open", 0, DENIED, null);
    }
    int bits = bits(options.vectorBits());
    Caches caches = Caches.found();
    KernelSet kernels =
        bits == KernelSet.SCALAR_BITS ? KernelSet.scalar() : KernelSet.vector(bits, caches);
    String description = description(bits, caches, options.threads());
    DeviceInfo info = new DeviceInfo("cpu:0", description, options.threads(), bits, true);
    return new CpuDevice(info, options, kernels);
  }

  /// The width to use: the one asked for, or the best there is.
  private static int bits(int wanted) {
    boolean vectors = ModuleLayer.boot().findModule(VECTORS).isPresent();
    int widest = vectors ? KernelSet.preferredBits() : KernelSet.SCALAR_BITS;
    if (wanted == 0 && !vectors && SAID.compareAndSet(false, true)) {
      LOG.warn(
          "the CPU device computes without vectors, which is far slower: absentModule={} (start"
              + " java with --add-modules {})",
          VECTORS,
          VECTORS);
    }
    if (wanted > widest) {
      throw new DeviceException(
          "cpu:0",
          "open",
          0,
          "vectors of this width are not to be had: vectorBits="
              + wanted
              + ", widest="
              + widest
              + " (start Java with --add-modules jdk.incubator.vector, or ask for less)",
          null);
    }
    return wanted == 0 ? widest : wanted;
  }

  private static String description(int bits, Caches caches, int threads) {
    String width = bits == KernelSet.SCALAR_BITS ? "scalar" : bits + "-bit vectors";
    return "%s, %s, %s, %s".formatted(model(), caches, width, threads(threads));
  }

  private static String threads(int threads) {
    return threads + (threads == 1 ? " thread" : " threads");
  }

  private static int availableThreads() {
    return Runtime.getRuntime().availableProcessors();
  }

  /// The processor's own name where the system tells it.
  private static String model() {
    String architecture = System.getProperty("os.arch");
    if (!Files.isReadable(CPU_INFO)) {
      return architecture;
    }
    try (Stream<String> lines = Files.lines(CPU_INFO)) {
      return lines
          .filter(line -> line.startsWith("model name"))
          .findFirst()
          .map(line -> line.substring(line.indexOf(':') + 1).strip())
          .orElse(architecture);
    } catch (IOException e) {
      return architecture;
    }
  }
}
