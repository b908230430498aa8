package dev.lockstep.transport.efa;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.lockstep.memory.Backing;
import dev.lockstep.transport.efa.ffi.Fi;
import dev.lockstep.transport.efa.ffi.Layouts;
import dev.lockstep.transport.efa.ffi.Libfabric;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// Memory that a rail's provider may touch, and peers by it. Used under the transport's lock.
final class RailMemory {
  private static final long ACCESS = Fi.SEND | Fi.RECV | Fi.READ | Fi.WRITE | Fi.REMOTE_WRITE;

  private final Libfabric library;
  private final Failures failures;
  private final FabricInfo info;
  private final long domain;
  private final long endpoint;
  private final MemorySegment out;

  /// Makes the registrar of an open rail.
  ///
  /// @param out room for a number; the rail's own
  RailMemory(
      Libfabric library,
      Failures failures,
      FabricInfo info,
      long domain,
      long endpoint,
      MemorySegment out) {
    this.library = library;
    this.failures = failures;
    this.info = info;
    this.domain = domain;
    this.endpoint = endpoint;
    this.out = out;
  }

  /// Registers memory of the host.
  ///
  /// @return the registration, or the negative status
  long register(long address, long bytes, long key) {
    int status = library.mrReg(domain, address, bytes, ACCESS, key, out);
    return status < 0 ? status : bound(out.get(JAVA_LONG, 0));
  }

  /// Registers memory of an accelerator: by its dma-buf where it has one and the provider takes it,
  /// else, or if the provider refuses, by its address.
  ///
  /// @param kind `FI_HMEM_CUDA` or `FI_HMEM_NEURON`
  /// @param index of the accelerator among those of its kind
  /// @return the registration, or the negative status
  long registerDevice(Backing.DeviceMemory memory, long bytes, long key, int kind, int index) {
    try (Arena scratch = Arena.ofConfined()) {
      MemorySegment attributes = Discovery.struct(scratch);
      Discovery.set(attributes, Layouts.MR_ATTR, "iov_count", 1L);
      Discovery.set(attributes, Layouts.MR_ATTR, "access", ACCESS);
      Discovery.set(attributes, Layouts.MR_ATTR, "requested_key", key);
      Discovery.set(attributes, Layouts.MR_ATTR, "iface", kind);
      attributes.set(JAVA_INT, Layouts.offset(Layouts.MR_ATTR, "device"), index);
      if (memory.hasDmabuf() && info.takesDmabufs()) {
        MemorySegment range = Discovery.struct(scratch);
        Discovery.set(range, Layouts.MR_DMABUF, "fd", memory.dmabuf());
        Discovery.set(range, Layouts.MR_DMABUF, "offset", memory.dmabufOffset());
        Discovery.set(range, Layouts.MR_DMABUF, "len", bytes);
        // Peers name memory by base_addr + offset, which is to be the accelerator's address.
        long base = memory.pointer() - memory.dmabufOffset();
        Discovery.set(range, Layouts.MR_DMABUF, "base_addr", base);
        long registration = registerRange(attributes, range, Fi.MR_DMABUF);
        if (registration > 0) {
          return registration;
        }
      }
      MemorySegment range = Discovery.struct(scratch);
      Discovery.set(range, Layouts.IOVEC, "iov_base", memory.pointer());
      Discovery.set(range, Layouts.IOVEC, "iov_len", bytes);
      return registerRange(attributes, range, 0);
    }
  }

  private long registerRange(MemorySegment attributes, MemorySegment range, long flags) {
    attributes.set(ADDRESS, Layouts.offset(Layouts.MR_ATTR, "mr_iov"), range);
    int status = library.mrRegattr(domain, attributes, flags, out);
    return status < 0 ? status : bound(out.get(JAVA_LONG, 0));
  }

  private long bound(long registration) {
    if (!info.bindsRegistrations()) {
      return registration;
    }
    int status = library.bind(registration, endpoint, 0);
    if (status == 0) {
      status = library.enable(registration);
    }
    if (status < 0) {
      deregister(registration);
      return status;
    }
    return registration;
  }

  long descriptor(long registration) {
    return library.mrDescriptor(registration);
  }

  long key(long registration) {
    return library.mrKey(registration);
  }

  void deregister(long registration) {
    int status = library.close(registration);
    if (status != 0) {
      failures.unclosed("registration", info.domain(), status);
    }
  }
}
