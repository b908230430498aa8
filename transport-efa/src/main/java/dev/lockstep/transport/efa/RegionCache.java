package dev.lockstep.transport.efa;

import dev.lockstep.failure.TransportException;
import dev.lockstep.memory.Backing;
import dev.lockstep.memory.LockedMemory;
import dev.lockstep.memory.Region;
import dev.lockstep.memory.Scope;
import dev.lockstep.transport.efa.ffi.Fi;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// The regions that this transport has registered, whole and once. Used under the transport's lock.
///
/// An owner may close a region at any time; it stays quarantined until it is taken out here, which
/// happens when nothing of it is out. Where registered memory is limited, whatever was not used for
/// longest makes room, and what still does not fit is not registered: its bytes are copied.
final class RegionCache {
  private static final Logger LOG = LoggerFactory.getLogger(RegionCache.class);

  private final List<Rail> rails;
  private final Failures failures;
  private final boolean byAddress;
  private final boolean choosesKeys;
  private final boolean isLimited;
  private long budget;
  private final IdentityHashMap<Region, CachedRegion> byRegion = new IdentityHashMap<>();
  private final List<CachedRegion> all = new ArrayList<>();
  private long registeredBytes;
  private long lookups;
  private long nextKey = 1;
  private boolean said;

  /// Makes an empty cache.
  ///
  /// @param budget most bytes that may be registered at a time, [Long#MAX_VALUE] for any
  RegionCache(List<Rail> rails, Failures failures, long budget) {
    this.rails = rails;
    this.failures = failures;
    this.budget = budget;
    this.isLimited = budget < Long.MAX_VALUE;
    FabricInfo info = rails.getFirst().info();
    this.byAddress = info.namesByAddress();
    this.choosesKeys = info.choosesKeys();
  }

  /// Returns the cache's entry of a region; allocates nothing if it has one.
  ///
  /// @throws IllegalStateException if the region is closed
  CachedRegion of(Region region) {
    CachedRegion cached = byRegion.get(region);
    if (cached == null) {
      cached = take(region);
    } else if (region.isClosed()) {
      var _ = region.segment(); // says that it is closed
    }
    cached.lastUse = ++lookups;
    return cached;
  }

  private CachedRegion take(Region region) {
    region.quarantine();
    try {
      CachedRegion taken;
      if (region.backing() instanceof Backing.DeviceMemory memory) {
        taken = new CachedRegion(region, null, memory.pointer(), rails.size());
      } else {
        MemorySegment segment = region.segment();
        taken = new CachedRegion(region, segment, segment.address(), rails.size());
      }
      byRegion.put(region, taken);
      all.add(taken);
      return taken;
    } catch (RuntimeException | Error failure) {
      region.liftQuarantine();
      throw failure;
    }
  }

  /// Registers a region unless it is; what lies idle makes room.
  ///
  /// @return whether it is registered now; if not, its bytes have to be copied
  boolean register(CachedRegion cached) {
    if (cached.registered) {
      return true;
    }
    if (cached.region().bytes() == 0 || mayBeReachedByRevoked(cached)) {
      return false;
    }
    long bytes = pinnedBytes(cached);
    long status;
    do {
      while (registeredBytes > budget - bytes) {
        if (bytes > budget || !evictIdle(cached)) {
          sayFull(cached);
          return false;
        }
      }
      status = registerOnAll(cached);
    } while (status == -Fi.ENOMEM && evictIdle(cached));
    if (status < 0) {
      if (status == -Fi.ENOMEM) {
        // So much does not fit, whatever was said to be allowed.
        budget = registeredBytes + bytes - 1;
      }
      sayRefused(cached, status);
      return false;
    }
    cached.registered = true;
    registeredBytes += bytes;
    return true;
  }

  /// Returns whether who holds a revoked grant might reach the region again if it were registered:
  /// a provider that chooses keys may choose the one that it has just taken back, as EFA's does.
  private boolean mayBeReachedByRevoked(CachedRegion cached) {
    return choosesKeys && cached.revokedGrants > 0;
  }

  /// Returns what a region takes of the memory that may be kept from being paged out: each card
  /// counts it again, and an accelerator's counts nowhere.
  private long pinnedBytes(CachedRegion cached) {
    return cached.isOfHost() ? cached.region().bytes() * rails.size() : 0;
  }

  /// Returns 0, or the status of a rail that refuses; then it is registered on none.
  private long registerOnAll(CachedRegion cached) {
    for (Rail rail : rails) {
      long registration = registration(rail, cached);
      if (registration < 0) {
        deregister(cached);
        return registration;
      }
      cached.registration(rail, registration);
    }
    return 0;
  }

  /// Registers memory that an endpoint cannot do without on one rail, whatever the budget; what
  /// lies idle makes room if the system refuses it.
  ///
  /// @throws TransportException if it is refused all the same
  long registerAnyway(Rail rail, long address, long bytes) {
    long registration = rail.memory().register(address, bytes, newKey());
    while (registration == -Fi.ENOMEM && evictIdle(null)) {
      registration = rail.memory().register(address, bytes, newKey());
    }
    if (registration == -Fi.ENOMEM) {
      throw tooLittle("an endpoint's frames", bytes);
    }
    if (registration < 0) {
      throw failures.ofCall("fi_mr_reg", "local", registration);
    }
    registeredBytes += bytes;
    return registration;
  }

  /// Closes what [#registerAnyway] returned.
  void deregister(Rail rail, long registration, long bytes) {
    rail.memory().deregister(registration);
    registeredBytes -= bytes;
  }

  /// Returns the failure of what cannot do without registered memory.
  TransportException tooLittle(String what, long bytes) {
    return new TransportException(
        "local",
        "too little memory can be registered for %s: neededBytes=%d, rails=%d, registeredBytes=%d, budgetBytes=%d (%s)"
            .formatted(what, bytes, rails.size(), registeredBytes, budget, LockedMemory.REMEDY),
        null);
  }

  /// Returns whether there may be too little registered memory: what a link may need is then taken
  /// when it opens, not in the middle of a collective.
  boolean isLimited() {
    return isLimited;
  }

  private long registration(Rail rail, CachedRegion cached) {
    long key = newKey();
    if (!(cached.region().backing() instanceof Backing.DeviceMemory memory)) {
      return rail.memory().register(cached.address(), cached.region().bytes(), key);
    }
    if (!rail.info().knowsDeviceMemory()) {
      throw new TransportException(
          rail.info().provider(),
          "provider cannot reach memory of accelerators: provider=%s, region=%s, device=%s (copy it to host memory, or use an EFA instance and a libfabric built with FI_HMEM)"
              .formatted(rail.info().provider(), cached.region().name(), memory.device()),
          null);
    }
    String[] device = memory.device().split(":", 2);
    int kind =
        switch (device[0]) {
          case "cuda" -> Fi.HMEM_CUDA;
          case "neuron" -> Fi.HMEM_NEURON;
          default ->
              throw new TransportException(
                  rail.info().provider(),
                  "libfabric knows no such accelerator: device=" + memory.device(),
                  null);
        };
    int index = device.length == 1 ? 0 : Integer.parseInt(device[1]);
    return rail.memory().registerDevice(memory, cached.region().bytes(), key, kind, index);
  }

  private void sayFull(CachedRegion refused) {
    if (!said) {
      said = true;
      LOG.warn(
          "registered memory is used up, bytes are copied from here on: region={}, bytes={},"
              + " registeredBytes={}, budgetBytes={} ({})",
          refused.region().name(),
          refused.region().bytes(),
          registeredBytes,
          budget,
          LockedMemory.REMEDY);
    }
  }

  private void sayRefused(CachedRegion refused, long status) {
    if (!said) {
      said = true;
      LOG.warn(
          "memory cannot be registered, its bytes are copied: region={}, bytes={}, cause={}",
          refused.region().name(),
          refused.region().bytes(),
          failures.ofCall("fi_mr_reg", "local", status).getMessage());
    }
  }

  private boolean evictIdle(@Nullable CachedRegion except) {
    CachedRegion oldest = null;
    for (int i = 0; i < all.size(); i++) {
      CachedRegion other = all.get(i);
      if (other != except
          && other.registered
          && other.uses == 0
          && (oldest == null || other.lastUse < oldest.lastUse)) {
        oldest = other;
      }
    }
    if (oldest == null) {
      return false;
    }
    remove(oldest);
    return true;
  }

  /// Returns by what address peers name a byte of a region.
  long remoteAddress(CachedRegion cached, long offset) {
    return byAddress ? cached.address() + offset : offset;
  }

  /// Takes out what its owner has closed and nothing of which is out; allocates nothing.
  void sweep() {
    for (int i = all.size() - 1; i >= 0; i--) {
      CachedRegion cached = all.get(i);
      unregisterRevoked(cached);
      if (cached.uses == 0 && cached.region().isClosed()) {
        remove(cached);
      }
    }
  }

  /// Closes the registration of a region as soon as nothing of it is out but revoked grants.
  /// Registered again it has another key, and who holds such a grant does not reach it; where that
  /// is not certain it is not registered as long as there are any.
  void revoke(CachedRegion cached) {
    cached.revokes = true;
    unregisterRevoked(cached);
  }

  private void unregisterRevoked(CachedRegion cached) {
    if (cached.revokes && cached.uses == cached.revokedGrants) {
      cached.revokes = false;
      if (cached.revokedGrants > 0 && cached.registered) {
        registeredBytes -= pinnedBytes(cached);
        deregister(cached);
      }
    }
  }

  /// Takes a region out, unless something of it is out: then [#sweep] does when it is closed.
  void forget(Region region) {
    CachedRegion cached = byRegion.get(region);
    if (cached != null && cached.uses == 0) {
      remove(cached);
    }
  }

  private void remove(CachedRegion cached) {
    byRegion.remove(cached.region());
    all.remove(cached);
    if (cached.registered) {
      registeredBytes -= pinnedBytes(cached);
    }
    deregister(cached);
    cached.region().liftQuarantine();
  }

  private void deregister(CachedRegion cached) {
    long[] registrations = cached.registrations();
    for (Rail rail : rails) {
      long registration = registrations[rail.number()];
      if (registration > 0) {
        rail.memory().deregister(registration);
        cached.unregistered(rail);
      }
    }
    cached.registered = false;
  }

  /// Returns a key that no registration has yet, for providers that do not choose.
  long newKey() {
    return choosesKeys ? 0 : nextKey++;
  }

  /// Returns how many regions are registered.
  int size() {
    return all.size();
  }

  /// Returns the bytes that are registered, once for each rail.
  long registeredBytes() {
    return registeredBytes;
  }

  /// Closes every registration and lifts every quarantine; endpoints are closed before.
  void close() {
    try (Scope closing = new Scope()) {
      List.copyOf(all).forEach(cached -> closing.own(cached, this::remove));
    }
  }
}
