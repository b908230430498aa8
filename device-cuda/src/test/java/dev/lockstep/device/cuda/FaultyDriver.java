package dev.lockstep.device.cuda;

import dev.lockstep.device.cuda.ffi.CudaDriver;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;

/// A driver some of whose functions fail on demand; the others are another driver's.
final class FaultyDriver {
  private final Map<String, Integer> failing = new ConcurrentHashMap<>();
  private final Map<String, AtomicInteger> calls = new ConcurrentHashMap<>();

  /// Lets a function, by its Java name, return this status from now on.
  void fail(String function, int status) {
    failing.put(function, status);
  }

  /// Lets all functions work again.
  void heal() {
    failing.clear();
  }

  /// Returns how often a function was called.
  int calls(String function) {
    return calls.computeIfAbsent(function, _ -> new AtomicInteger()).get();
  }

  /// Returns the driver that fails as this says.
  CudaDriver over(CudaDriver driver) {
    return (CudaDriver)
        Proxy.newProxyInstance(
            CudaDriver.class.getClassLoader(),
            new Class<?>[] {CudaDriver.class},
            (_, method, arguments) -> {
              String function = method.getName();
              calls.computeIfAbsent(function, _ -> new AtomicInteger()).incrementAndGet();
              Integer status = failing.get(function);
              if (status != null) {
                return status;
              }
              try {
                return method.invoke(driver, arguments);
              } catch (InvocationTargetException thrown) {
                throw thrown.getCause();
              }
            });
  }
}
