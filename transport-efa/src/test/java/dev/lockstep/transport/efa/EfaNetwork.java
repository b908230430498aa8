package dev.lockstep.transport.efa;

import dev.lockstep.transport.efa.EfaObjects.Endpoint;
import dev.lockstep.transport.efa.EfaObjects.Memory;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// What the stand-ins of one process know of each other: whose name is whose, who knows whom, which
/// key names which memory; and what was done that EFA does not allow. Thread-safe; looking up
/// allocates nothing.
final class EfaNetwork {
  private static final int MOST = 64;

  private final List<byte[]> names = new ArrayList<>();
  private final List<Endpoint> endpoints = new ArrayList<>();
  private final boolean[][] knows = new boolean[MOST][MOST];
  private final List<Memory> memories = new ArrayList<>();
  private final List<String> offences = new ArrayList<>();
  private final List<EfaFaults> faults = new ArrayList<>();
  private final Map<Long, Deque<Integer>> freed = new HashMap<>();
  private final BitSet everFreed = new BitSet();
  private int nextKey = 1;
  private long mostQueueEntries = Long.MAX_VALUE;

  /// Has the cards refuse completion queues of more entries than this.
  synchronized void limitQueues(long entries) {
    mostQueueEntries = entries;
  }

  synchronized long mostQueueEntries() {
    return mostQueueEntries;
  }

  /// Notes a write that its target will be told of.
  synchronized void arriving(int number) {
    Endpoint target = endpoints.get(number);
    target.arrivals.incrementAndGet();
    if (!target.hasRoom()) {
      var _ = offence("completion queue may be overrun: entries=" + target.queueEntries);
    }
  }

  /// Gives an endpoint its number.
  synchronized int add(byte[] name, Endpoint endpoint) {
    names.add(name);
    endpoints.add(endpoint);
    return names.size() - 1;
  }

  /// Returns the number of the endpoint of that name, -1 if there is none.
  synchronized int number(byte[] name) {
    for (int i = 0; i < names.size(); i++) {
      if (Arrays.equals(names.get(i), name)) {
        return i;
      }
    }
    return -1;
  }

  synchronized void know(int who, int whom) {
    knows[who][whom] = true;
  }

  synchronized boolean knows(int who, int whom) {
    return knows[who][whom];
  }

  /// Returns a key that no memory has: 32 bits, as the card's are, and the one that was freed last
  /// where there is one.
  synchronized int newKey(long domain) {
    Integer freed = freed(domain).poll();
    return freed == null ? nextKey++ : freed;
  }

  private Deque<Integer> freed(long domain) {
    return freed.computeIfAbsent(domain, _ -> new ArrayDeque<>());
  }

  synchronized void add(Memory memory) {
    memories.add(memory);
  }

  synchronized void remove(Memory memory) {
    memories.remove(memory);
    freed(memory.domain()).push(memory.key());
    everFreed.set(memory.key());
  }

  /// Returns the memory of a key, null if there is none.
  synchronized @Nullable Memory memory(long key) {
    for (int i = memories.size() - 1; i >= 0; i--) {
      if (memories.get(i).key() == key) {
        return memories.get(i);
      }
    }
    return null;
  }

  /// Returns whether a key named memory whose registration is closed, and names nothing at that
  /// address now.
  synchronized boolean wasMemory(long key, long address, long bytes) {
    Memory memory = memory(key);
    return everFreed.get((int) key) && (memory == null || !memory.covers(address, bytes));
  }

  synchronized EfaFaults newFaults() {
    faults.add(new EfaFaults());
    return faults.getLast();
  }

  /// Returns what goes wrong on the cards of a rank.
  synchronized EfaFaults faults(int rank) {
    return faults.get(rank);
  }

  /// Notes what EFA does not allow.
  ///
  /// @return what to throw
  synchronized AssertionError offence(String what) {
    offences.add(what);
    return new AssertionError(what);
  }

  /// Returns what was done that EFA does not allow.
  synchronized List<String> offences() {
    return List.copyOf(offences);
  }
}
