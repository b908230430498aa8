package dev.lockstep.transport.aeron;

import dev.lockstep.failure.Availability;
import org.agrona.concurrent.UnsafeBuffer;

/// Whether Aeron's own library can work in this JVM.
final class AeronProbe {
  private AeronProbe() {}

  static Availability probe(String what) {
    try {
      new UnsafeBuffer(new byte[8]).putLong(0, 1);
      return new Availability.Available(1, what);
    } catch (LinkageError e) {
      return new Availability.Unavailable(
          "the JVM keeps Agrona from memory: cause="
              + e.getClass().getSimpleName()
              + " (start java with --add-exports java.base/jdk.internal.misc=org.agrona, or"
              + " =ALL-UNNAMED on the class path)");
    }
  }
}
