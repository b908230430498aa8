package dev.lockstep.device.cpu;

import java.util.List;
import java.util.stream.Collectors;

/// Element-wise ops in a row on elements that stay in the core's own cache from the first to the
/// last: a stretch of contiguous values, or a tile that a product has just made. Each [ChainLink]
/// runs over the whole piece before the next begins, with the kernel that it would have on its own,
/// so the bits are those of separate steps.
///
/// What links read and write are **slots**: a value in memory, or a cell of scratch. Addresses of
/// values are set before each run by [#at].
final class Chain {
  /// Elements that a chain on contiguous values takes at once: cells of 4 KiB, some of which fit
  /// the smallest first-level cache.
  static final int PIECE = 1024;

  private static final long CELL = PIECE * 4L;

  /// What a link works on.
  ///
  /// @param value id of the value in memory, or -1
  /// @param itemBytes size of an element
  /// @param read whether it is brought in from memory
  /// @param written whether it is brought out to memory
  /// @param cell number of its cell where the values are contiguous; -1 if they are used in place
  record Slot(int value, int itemBytes, boolean read, boolean written, int cell) {}

  private final List<ChainLink> links;
  private final Slot[] slots;
  private final long[] addresses;
  private final int contiguousCells;

  /// `slots` in the order in which links count them.
  Chain(List<ChainLink> links, List<Slot> slots) {
    this.links = List.copyOf(links);
    this.slots = slots.toArray(Slot[]::new);
    addresses = new long[slots.size()];
    contiguousCells = slots.stream().mapToInt(Slot::cell).max().orElse(-1) + 1;
  }

  /// Takes this run's addresses and scalars.
  void at(Frame frame) {
    for (int slot = 0; slot < slots.length; slot++) {
      addresses[slot] = slots[slot].value < 0 ? 0 : frame.at(slots[slot].value);
    }
    for (int i = 0; i < links.size(); i++) {
      links.get(i).at(frame);
    }
  }

  int slots() {
    return slots.length;
  }

  boolean isRead(int slot) {
    return slots[slot].read;
  }

  boolean isWritten(int slot) {
    return slots[slot].written;
  }

  int itemBytes(int slot) {
    return slots[slot].itemBytes;
  }

  long address(int slot) {
    return addresses[slot];
  }

  /// How many cells a product needs beside its tile of sums: one for each slot but the first.
  int cells() {
    return slots.length - 1;
  }

  /// Scratch that contiguous pieces need.
  long scratchBytes() {
    return contiguousCells * CELL;
  }

  /// Runs on elements `[first, first + n)` of values in memory; `n` is at most [#PIECE].
  void piece(long first, int n, long scratch) {
    for (int i = 0; i < links.size(); i++) {
      ChainLink link = links.get(i);
      link.run(
          place(link.a, first, scratch),
          place(link.b, first, scratch),
          place(link.c, first, scratch),
          place(link.out, first, scratch),
          place(link.second, first, scratch),
          first,
          n);
    }
  }

  private long place(int slot, long first, long scratch) {
    if (slot < 0) {
      return 0;
    }
    Slot at = slots[slot];
    return at.cell >= 0 ? scratch + at.cell * CELL : addresses[slot] + first * at.itemBytes;
  }

  /// Runs on a tile in scratch, slot 0 at `sums`, the others at `cells` one after another.
  ///
  /// @param cellBytes distance of cells
  /// @param rows rows of the tile
  /// @param width elements from row to row in a cell
  /// @param filled elements of a row that count
  /// @param first number of the first element among all
  /// @param ld elements from row to row among all
  void tile(
      long sums, long cells, long cellBytes, int rows, int width, int filled, long first, int ld) {
    for (int i = 0; i < links.size(); i++) {
      ChainLink link = links.get(i);
      long a = cell(link.a, sums, cells, cellBytes);
      long b = cell(link.b, sums, cells, cellBytes);
      long c = cell(link.c, sums, cells, cellBytes);
      long out = cell(link.out, sums, cells, cellBytes);
      long second = cell(link.second, sums, cells, cellBytes);
      if (link.countsElements()) {
        for (int r = 0; r < rows; r++) {
          long at = 4L * r * width;
          link.run(a + at, b, c, out + at, second, first + (long) r * ld, filled);
        }
      } else {
        link.run(a, b, c, out, second, first, rows * width);
      }
    }
  }

  private static long cell(int slot, long sums, long cells, long cellBytes) {
    return slot <= 0 ? sums : cells + (slot - 1) * cellBytes;
  }

  /// Returns the links' names, in order.
  String label() {
    return links.stream().map(ChainLink::label).collect(Collectors.joining("+"));
  }
}
