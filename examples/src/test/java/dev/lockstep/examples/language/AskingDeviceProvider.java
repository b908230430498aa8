package dev.lockstep.examples.language;

import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.DeviceProvider;
import dev.lockstep.failure.Availability;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.concurrent.atomic.AtomicReference;

/// The CPU device, which runs what a test asks for when it is closed, as a trainer does at its end.
public final class AskingDeviceProvider implements DeviceProvider {
  static final AtomicReference<Runnable> QUESTION = new AtomicReference<>(() -> {});

  /// Made by [java.util.ServiceLoader].
  public AskingDeviceProvider() {}

  @Override
  public String name() {
    return "asking";
  }

  @Override
  public Availability probe() {
    return new Availability.Available(1, "the CPU, which asks");
  }

  @Override
  public Device open(int ordinal, DeviceOptions options) {
    Device cpu =
        DeviceProvider.installed().stream()
            .filter(provider -> provider.name().equals("cpu"))
            .findFirst()
            .orElseThrow()
            .open(ordinal, options);
    return (Device)
        Proxy.newProxyInstance(
            Device.class.getClassLoader(),
            new Class<?>[] {Device.class},
            (_, method, arguments) -> {
              if (method.getName().equals("close")) {
                QUESTION.get().run();
              }
              try {
                return method.invoke(cpu, arguments);
              } catch (InvocationTargetException thrown) {
                throw thrown.getCause();
              }
            });
  }
}
