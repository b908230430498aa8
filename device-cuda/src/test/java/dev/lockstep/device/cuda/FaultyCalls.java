package dev.lockstep.device.cuda;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.Map;
import java.util.OptionalInt;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;

/// A library some of whose functions fail on demand; the others are another library's. Functions go
/// by their Java names.
///
/// @param <T> the library's interface
abstract class FaultyCalls<T> {
  private final Class<T> type;
  private final Map<String, Integer> failing = new ConcurrentHashMap<>();
  private final Map<String, AtomicInteger> calls = new ConcurrentHashMap<>();

  private final Map<String, Once> once = new ConcurrentHashMap<>();

  /// A call by its number.
  private record Once(int call, int status) {}

  FaultyCalls(Class<T> type) {
    this.type = type;
  }

  /// Lets a function return this status from now on.
  void fail(String function, int status) {
    failing.put(function, status);
  }

  /// Lets one call of a function return this status.
  ///
  /// @param call which from now on, from 1
  void failOnce(String function, int call, int status) {
    once.put(function, new Once(calls(function) + call, status));
  }

  /// Lets all functions work again.
  void heal() {
    failing.clear();
    once.clear();
  }

  /// Returns how often a function was called.
  int calls(String function) {
    return calls.computeIfAbsent(function, _ -> new AtomicInteger()).get();
  }

  /// Returns the status of a call that never reaches the library, if it is one.
  OptionalInt instead(String function, Object[] arguments) {
    Integer status = failing.get(function);
    return status == null ? OptionalInt.empty() : OptionalInt.of(status);
  }

  /// Returns the library that fails as this says.
  T over(T library) {
    return type.cast(
        Proxy.newProxyInstance(
            type.getClassLoader(),
            new Class<?>[] {type},
            (_, method, arguments) -> {
              String function = method.getName();
              int call =
                  calls.computeIfAbsent(function, _ -> new AtomicInteger()).incrementAndGet();
              Once refused = once.get(function);
              OptionalInt status =
                  refused != null && refused.call == call
                      ? OptionalInt.of(refused.status)
                      : instead(function, arguments);
              if (status.isPresent()) {
                return status.getAsInt();
              }
              try {
                return method.invoke(library, arguments);
              } catch (InvocationTargetException thrown) {
                throw thrown.getCause();
              }
            }));
  }
}
