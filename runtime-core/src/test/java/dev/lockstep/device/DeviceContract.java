package dev.lockstep.device;

import dev.lockstep.memory.MemoryPool;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;

/// What the contract tests of devices share: a device's module extends each of
/// [DeviceContractTest], [DeviceMemoryContractTest] and [DeviceOrderContractTest] and says how its
/// devices are opened.
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(60)
public abstract class DeviceContract {
  private final MemoryPool pool = MemoryPool.root("contract", Long.MAX_VALUE);
  private final List<Device> devices = new ArrayList<>();

  /// One way of opening the device.
  ///
  /// @param threads compute threads
  /// @param vectorBits as in [DeviceOptions]
  public record Variant(int threads, int vectorBits) {}

  /// Returns the provider of the device.
  protected abstract DeviceProvider provider();

  /// Returns the ways of opening the device whose results must have the same bits.
  protected List<Variant> variants() {
    return List.of(new Variant(1, 0));
  }

  @BeforeAll
  final void open() {
    variants().forEach(variant -> devices.add(open(variant, pool)));
  }

  /// Everything that was charged must have been given back.
  @AfterAll
  final void close() {
    devices.forEach(Device::close);
    pool.close();
  }

  /// Opens one more device; the caller closes it.
  final Device open(Variant variant, MemoryPool memory) {
    return provider().open(0, new DeviceOptions(memory, variant.threads(), variant.vectorBits()));
  }

  /// The device of the first variant.
  final Device device() {
    return devices.getFirst();
  }

  /// A device per variant.
  final List<Device> devices() {
    return devices;
  }
}
