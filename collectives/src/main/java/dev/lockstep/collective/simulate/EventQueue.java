package dev.lockstep.collective.simulate;

import java.util.Arrays;

/// Events by time, then by key; a binary heap in two arrays.
final class EventQueue {
  private long[] times = new long[1024];
  private long[] keys = new long[1024];
  private int size;

  boolean isEmpty() {
    return size == 0;
  }

  long time() {
    return times[0];
  }

  long key() {
    return keys[0];
  }

  void add(long time, long key) {
    if (size == times.length) {
      times = Arrays.copyOf(times, 2 * size);
      keys = Arrays.copyOf(keys, 2 * size);
    }
    int at = size++;
    while (at > 0) {
      int parent = (at - 1) >>> 1;
      if (!isBefore(time, key, parent)) {
        break;
      }
      times[at] = times[parent];
      keys[at] = keys[parent];
      at = parent;
    }
    times[at] = time;
    keys[at] = key;
  }

  void remove() {
    long time = times[--size];
    long key = keys[size];
    int at = 0;
    for (int child = 1; child < size; child = 2 * at + 1) {
      if (child + 1 < size && isBefore(times[child + 1], keys[child + 1], child)) {
        child++;
      }
      if (isBefore(time, key, child)) {
        break;
      }
      times[at] = times[child];
      keys[at] = keys[child];
      at = child;
    }
    if (size > 0) {
      times[at] = time;
      keys[at] = key;
    }
  }

  private boolean isBefore(long time, long key, int place) {
    return time != times[place] ? time < times[place] : key < keys[place];
  }
}
