package dev.lockstep.collective.simulate;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Space;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/// Which earlier messages of a rank a step has to wait for, by the order that
/// [dev.lockstep.collective.schedule.Schedule] states. A message that a step has waited for is
/// complete for all later steps and forgotten.
final class OpenMessages {
  private record Open(int step, long start, long end, boolean writes) {}

  private static final int[] NONE = {};

  private final int rank;
  private final boolean inPlace;
  private final long inputStart;
  private final long outputStart;

  /// For each memory its open messages by first element; several may start at one element.
  private final Map<Integer, TreeMap<Long, List<Open>>> byMemory = new HashMap<>();

  private final Map<Integer, Long> longest = new HashMap<>();
  private final List<Open> onlyOrder = new ArrayList<>();
  private final List<Open> found = new ArrayList<>();
  private boolean waitsForAll;

  OpenMessages(CollectiveRequest request, int rank) {
    this.rank = rank;
    this.inPlace = request.inPlace() && request.inputs(rank) > 0;
    this.inputStart = inPlace ? request.inputStart(rank) : 0;
    this.outputStart = inPlace ? request.outputStart(rank) : 0;
  }

  /// Marks everything that is open as waited for.
  void awaitAll() {
    waitsForAll = true;
  }

  /// Marks what conflicts with a read or a write of a range.
  void touch(Range range, boolean writes) {
    if (range.rank() != rank || range.elements() == 0) {
      return;
    }
    int memory = memory(range.space());
    TreeMap<Long, List<Open>> open = byMemory.get(memory);
    if (open == null) {
      return;
    }
    long start = start(range);
    long end = start + range.elements();
    long reach = start - longest.getOrDefault(memory, 0L);
    for (List<Open> messages : open.subMap(reach, true, end, false).values()) {
      for (Open message : messages) {
        if (message.end() > start && (writes || message.writes())) {
          found.add(message);
        }
      }
    }
  }

  /// Returns the steps that what was marked since the last call came from, ascending, and forgets
  /// them.
  int[] take() {
    if (waitsForAll) {
      return takeAll();
    }
    found.addAll(onlyOrder);
    onlyOrder.clear();
    if (found.isEmpty()) {
      return NONE;
    }
    int[] steps = found.stream().mapToInt(Open::step).sorted().distinct().toArray();
    found.forEach(this::forget);
    found.clear();
    return steps;
  }

  private int[] takeAll() {
    waitsForAll = false;
    found.clear();
    List<Integer> steps = new ArrayList<>();
    onlyOrder.forEach(message -> steps.add(message.step()));
    onlyOrder.clear();
    for (TreeMap<Long, List<Open>> open : byMemory.values()) {
      open.values().forEach(messages -> messages.forEach(message -> steps.add(message.step())));
    }
    byMemory.clear();
    return steps.stream().mapToInt(Integer::intValue).sorted().toArray();
  }

  private void forget(Open message) {
    for (TreeMap<Long, List<Open>> open : byMemory.values()) {
      List<Open> messages = open.get(message.start());
      if (messages != null) {
        Iterator<Open> each = messages.iterator();
        while (each.hasNext()) {
          if (each.next().step() == message.step()) {
            each.remove();
          }
        }
        if (messages.isEmpty()) {
          open.remove(message.start());
        }
      }
    }
  }

  /// Adds a message that a step issues.
  void post(int step, Range range, boolean writes) {
    if (range.elements() == 0) {
      if (writes) {
        onlyOrder.add(new Open(step, 0, 0, true));
      }
      return; // an empty send is complete as soon as it is issued
    }
    int memory = memory(range.space());
    long start = start(range);
    longest.merge(memory, range.elements(), Math::max);
    byMemory
        .computeIfAbsent(memory, _ -> new TreeMap<>())
        .computeIfAbsent(start, _ -> new ArrayList<>(1))
        .add(new Open(step, start, start + range.elements(), writes));
  }

  private int memory(Space space) {
    return switch (space) {
      case Space.Output _ -> 0;
      case Space.Input(int index) -> inPlace && index == 0 ? 0 : 1 + 2 * index;
      case Space.Scratch(int index) -> 2 + 2 * index;
    };
  }

  private long start(Range range) {
    return switch (range.space()) {
      case Space.Output _ -> outputStart + range.offset();
      case Space.Input(int index) -> (index == 0 ? inputStart : 0) + range.offset();
      case Space.Scratch _ -> range.offset();
    };
  }
}
