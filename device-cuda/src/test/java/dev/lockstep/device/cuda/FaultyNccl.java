package dev.lockstep.device.cuda;

import dev.lockstep.device.cuda.ffi.HostSegments;
import dev.lockstep.device.cuda.ffi.Nccl;
import dev.lockstep.device.cuda.ffi.NcclConfig;
import java.lang.foreign.ValueLayout;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;

/// An NCCL some of whose functions fail on demand, or which reports an error by and by; the rest is
/// another NCCL's.
final class FaultyNccl {
  private final Map<String, Integer> failing = new ConcurrentHashMap<>();
  private final Map<String, AtomicInteger> calls = new ConcurrentHashMap<>();
  private volatile int asyncError;

  /// Lets a function, by its Java name, return this status from now on.
  void fail(String function, int status) {
    failing.put(function, status);
  }

  /// Lets every communicator report this error from now on.
  void report(int status) {
    asyncError = status;
  }

  /// Returns how often a function was called.
  int calls(String function) {
    return calls.computeIfAbsent(function, _ -> new AtomicInteger()).get();
  }

  /// Returns the NCCL that fails as this says.
  Nccl over(Nccl nccl) {
    return (Nccl)
        Proxy.newProxyInstance(
            Nccl.class.getClassLoader(),
            new Class<?>[] {Nccl.class},
            (_, method, arguments) -> {
              String function = method.getName();
              calls.computeIfAbsent(function, _ -> new AtomicInteger()).incrementAndGet();
              Integer status = failing.get(function);
              if (status != null) {
                return status;
              }
              if (function.equals("commGetAsyncError") && asyncError != 0) {
                HostSegments.at((long) arguments[1], Integer.BYTES)
                    .set(ValueLayout.JAVA_INT, 0, asyncError);
                return NcclConfig.SUCCESS;
              }
              try {
                return method.invoke(nccl, arguments);
              } catch (InvocationTargetException thrown) {
                throw thrown.getCause();
              }
            });
  }
}
