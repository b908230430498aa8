package dev.lockstep.transport.efa;

import dev.lockstep.failure.TransportException;
import dev.lockstep.transport.efa.ffi.Libfabric;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Failures of libfabric as Lockstep's own, with the provider, the operation, the peer and the
/// provider's words.
final class Failures {
  private static final Logger LOG = LoggerFactory.getLogger(Failures.class);

  private final Libfabric library;
  private final String transport;
  private final String provider;
  private int unclosed;

  Failures(Libfabric library, String transport, String provider) {
    this.library = library;
    this.transport = transport;
    this.provider = provider;
  }

  /// Returns the failure of a call.
  ///
  /// @param status what it returned, negative
  TransportException ofCall(String operation, String endpoint, long status) {
    return new TransportException(
        endpoint,
        "libfabric call failed: transport=%s, provider=%s, operation=%s, endpoint=%s, status=%d %s"
            .formatted(
                transport,
                provider,
                operation,
                endpoint,
                status,
                library.strerror((int) Math.abs(status))),
        null);
  }

  /// Returns the failure of an operation that had been started.
  ///
  /// @param error error number; some providers give it a sign
  /// @param words of the provider
  TransportException ofCompletion(String operation, String endpoint, int error, String words) {
    return new TransportException(
        endpoint,
        "libfabric operation failed: transport=%s, provider=%s, operation=%s, endpoint=%s, error=%d %s, providerSays=%s"
            .formatted(
                transport,
                provider,
                operation,
                endpoint,
                Math.abs(error),
                library.strerror(Math.abs(error)),
                words),
        null);
  }

  /// Notes that libfabric does not close an object: it stays until the process ends, and so does
  /// what it keeps, as a registration its pages.
  void unclosed(String what, String domain, int status) {
    unclosed++;
    LOG.warn(
        "libfabric does not close an object, which stays until this process ends: transport={},"
            + " provider={}, domain={}, object={}, fi_close={} {}",
        transport,
        provider,
        domain,
        what,
        status,
        library.strerror(Math.abs(status)));
  }

  /// Returns how many objects libfabric did not close.
  int unclosed() {
    return unclosed;
  }

  /// Checks a call that sets something up.
  void check(String operation, long status) {
    if (status < 0) {
      throw ofCall(operation, "local", status);
    }
  }
}
