package dev.lockstep.memory;

import dev.lockstep.failure.MemoryBudgetException;
import java.lang.ref.Cleaner;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// A named memory budget, in a tree: what is charged to a child is charged to its parents too.
/// Thread-safe.
///
/// A pool counts; it does not allocate. Owners of memory call [#charge] before they allocate and
/// [Charge#close] when they have freed.
public final class MemoryPool implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(MemoryPool.class);

  private final String name;
  private final long limitBytes;
  private final @Nullable MemoryPool parent;
  private final @Nullable Cleaner leakCleaner;
  private final Set<Charge> outstanding; // of the whole tree, whose lock it is
  private final List<String> leakReports = new ArrayList<>();
  private long usedBytes;
  private long peakBytes;
  private boolean closed;

  private MemoryPool(
      String name, long limitBytes, @Nullable MemoryPool parent, @Nullable Cleaner leakCleaner) {
    if (limitBytes < 0) {
      throw new IllegalArgumentException(
          "memory limit is negative: pool=" + name + ", limitBytes=" + limitBytes);
    }
    this.name = name;
    this.limitBytes = limitBytes;
    this.parent = parent;
    this.leakCleaner = leakCleaner;
    this.outstanding = parent == null ? new LinkedHashSet<>() : parent.outstanding;
  }

  /// Returns a pool at the top of a tree.
  ///
  /// @param limitBytes what may be charged at most; [Long#MAX_VALUE] for no limit
  public static MemoryPool root(String name, long limitBytes) {
    return new MemoryPool(name, limitBytes, null, null);
  }

  /// Returns a pool at the top of a tree that remembers where each charge was made, for leak
  /// reports; costs a stack walk per charge.
  public static MemoryPool tracking(String name, long limitBytes) {
    return new MemoryPool(name, limitBytes, null, Cleaner.create());
  }

  /// Returns a pool whose charges count here too.
  public MemoryPool child(String childName, long childLimitBytes) {
    return new MemoryPool(name + "/" + childName, childLimitBytes, this, leakCleaner);
  }

  /// Charges `bytes` for what is called `what`.
  ///
  /// @throws MemoryBudgetException if this pool or a parent would pass its limit; nothing is
  ///   charged then
  /// @throws IllegalStateException if this pool or a parent is closed
  /// @throws IllegalArgumentException if `bytes` is negative
  public Charge charge(String what, long bytes) {
    if (bytes < 0) {
      throw new IllegalArgumentException(
          "charge is negative: tensor=%s, bytes=%d, pool=%s".formatted(what, bytes, name));
    }
    synchronized (outstanding) {
      for (MemoryPool pool = this; pool != null; pool = pool.parent) {
        if (pool.closed) {
          throw new IllegalStateException("memory pool is closed: pool=" + pool.name);
        }
        if (bytes > pool.limitBytes - pool.usedBytes) {
          throw new MemoryBudgetException(
              what, bytes, pool.limitBytes, overBudget(pool, what, bytes), null);
        }
      }
      for (MemoryPool pool = this; pool != null; pool = pool.parent) {
        pool.usedBytes += bytes;
        pool.peakBytes = Math.max(pool.peakBytes, pool.usedBytes);
      }
      Charge charge =
          new Charge(
              this, what, bytes, leakCleaner == null ? null : new Throwable("allocated here"));
      outstanding.add(charge);
      return charge;
    }
  }

  private static String overBudget(MemoryPool pool, String what, long bytes) {
    return "memory budget exceeded: tensor=%s, requestedBytes=%d, usedBytes=%d, budgetBytes=%d, pool=%s (raise the budget or use a smaller model or batch)"
        .formatted(what, bytes, pool.usedBytes, pool.limitBytes, pool.name);
  }

  /// Returns the bytes charged now, children included.
  public long usedBytes() {
    synchronized (outstanding) {
      return usedBytes;
    }
  }

  /// Returns the bytes that are charged to this pool itself now, not to its children, summed by
  /// what they are called, in the order of the names.
  public SortedMap<String, Long> usedBytesByName() {
    synchronized (outstanding) {
      SortedMap<String, Long> byName = new TreeMap<>();
      for (Charge charge : outstanding) {
        if (charge.pool == this) {
          byName.merge(charge.what, charge.bytes, Long::sum);
        }
      }
      return byName;
    }
  }

  /// Returns the most bytes that were charged at once since the pool was made or [#resetPeak] was
  /// called.
  public long peakBytes() {
    synchronized (outstanding) {
      return peakBytes;
    }
  }

  /// Forgets the peak so far, of this pool alone: [#peakBytes] starts from what is charged now.
  /// What a start needs for a moment thus does not hide what a later phase holds.
  public void resetPeak() {
    synchronized (outstanding) {
      peakBytes = usedBytes;
    }
  }

  /// Returns the limit.
  public long limitBytes() {
    return limitBytes;
  }

  /// Returns one line for each buffer of this pool, not of its children, that was forgotten without
  /// being closed, if sites are tracked; a diagnosis, found when the garbage collector happens to.
  public List<String> leakReports() {
    synchronized (outstanding) {
      return List.copyOf(leakReports);
    }
  }

  /// Returns what finds forgotten buffers, or null where sites are not tracked.
  @Nullable Cleaner leakCleaner() {
    return leakCleaner;
  }

  /// Closes the pool, and thereby its children to new charges; idempotent.
  ///
  /// @throws IllegalStateException if charges are out, of this pool or of a child; the message
  ///   lists name, bytes and count, and the sites if they are tracked
  @Override
  public void close() {
    synchronized (outstanding) {
      if (closed) {
        return;
      }
      List<Charge> out = outstanding.stream().filter(charge -> charge.pool.isWithin(this)).toList();
      if (!out.isEmpty()) {
        IllegalStateException leak = new IllegalStateException(leaks(out));
        for (Charge charge : out) {
          if (charge.site != null) {
            leak.addSuppressed(charge.site);
          }
        }
        throw leak;
      }
      closed = true;
    }
  }

  private boolean isWithin(MemoryPool top) {
    MemoryPool pool = this;
    while (pool != null && pool != top) {
      pool = pool.parent;
    }
    return pool == top;
  }

  /// What a child holds is listed under the child's name.
  private String leaks(List<Charge> out) {
    Map<String, long[]> byName = new TreeMap<>();
    for (Charge charge : out) {
      String holder = charge.pool.name.substring(name.length());
      String what = holder.isEmpty() ? charge.what : holder.substring(1) + "/" + charge.what;
      long[] sum = byName.computeIfAbsent(what, _ -> new long[2]);
      sum[0] += charge.bytes;
      sum[1]++;
    }
    StringBuilder text = new StringBuilder("memory pool closed with memory out: pool=" + name);
    byName.forEach(
        (what, sum) -> text.append(", %s: bytes=%d, count=%d".formatted(what, sum[0], sum[1])));
    return text.append(" (close these first)").toString();
  }

  /// Bytes charged to a pool until closed.
  public static final class Charge implements AutoCloseable {
    private final MemoryPool pool;
    private final String what;
    private final long bytes;
    private final @Nullable Throwable site;

    private Charge(MemoryPool pool, String what, long bytes, @Nullable Throwable site) {
      this.pool = pool;
      this.what = what;
      this.bytes = bytes;
      this.site = site;
    }

    /// Records that the owner of these bytes was forgotten.
    void reportLeak(String report) {
      synchronized (pool.outstanding) {
        pool.leakReports.add(report);
      }
      LOG.warn(report, site);
    }

    /// Gives the bytes back; idempotent.
    @Override
    public void close() {
      synchronized (pool.outstanding) {
        if (!pool.outstanding.remove(this)) {
          return;
        }
        for (MemoryPool above = pool; above != null; above = above.parent) {
          above.usedBytes -= bytes;
        }
      }
    }
  }
}
