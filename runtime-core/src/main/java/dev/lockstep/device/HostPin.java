package dev.lockstep.device;

/// Host memory that a device reaches directly, as long as this is open.
@FunctionalInterface
public interface HostPin extends AutoCloseable {
  /// Lets go of the memory, before that is freed; no copy of it is under way. Idempotent.
  @Override
  void close();
}
