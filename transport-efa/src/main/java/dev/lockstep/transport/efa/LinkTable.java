package dev.lockstep.transport.efa;

import dev.lockstep.failure.TransportException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// Links by number. The low [Wire#LINK_BITS] bits of a number are a place here, all that segments
/// have room for; the others say how often that place was given back, so that a frame for a link
/// that has ended is none for the link that has its place now. Used under the transport's lock.
///
/// A place is given back only when no segment can come for it any more.
final class LinkTable<L extends FabricLink> {
  private static final int PLACE = Wire.MOST_LINKS - 1;

  private final String transport;
  private final List<@Nullable L> links = new ArrayList<>();
  private final ArrayDeque<Integer> free = new ArrayDeque<>();

  /// The number of the link at each place, or that of the next one.
  private int[] numbers = new int[16];

  LinkTable(String transport) {
    this.transport = transport;
  }

  /// Gives a link its number.
  int add(L link) {
    requireRoom();
    Integer given = free.poll(); // what was given back longest ago
    int place = given == null ? links.size() : given;
    if (given == null) {
      numbers = place < numbers.length ? numbers : Arrays.copyOf(numbers, 2 * place);
      numbers[place] = place;
      links.add(null);
    }
    links.set(place, link);
    return numbers[place];
  }

  /// Throws unless another link may come.
  void requireRoom() {
    if (free.isEmpty() && links.size() == Wire.MOST_LINKS) {
      throw new TransportException(
          transport,
          "too many links are open: transport=%s, most=%d (close communicators that are not used any more)"
              .formatted(transport, Wire.MOST_LINKS),
          null);
    }
  }

  /// Takes a link's number back; idempotent.
  void remove(int number) {
    if (get(number) != null) {
      int place = number & PLACE;
      links.set(place, null);
      // After 131,072 links at one place the first number comes again; no frame is so late.
      numbers[place] = (number + Wire.MOST_LINKS) & Integer.MAX_VALUE;
      free.add(place);
    }
  }

  /// Returns the link of that number, null if there is none or none any more.
  @Nullable L get(int number) {
    int place = number & PLACE;
    return place < links.size() && numbers[place] == number ? links.get(place) : null;
  }

  /// Returns whether a link had that number which has ended.
  boolean had(int number) {
    int place = number & PLACE;
    return number >= 0 && place < links.size() && number < numbers[place];
  }

  /// Returns how many places there are.
  int size() {
    return links.size();
  }

  /// Returns the link at a place, null if there is none.
  @Nullable L at(int place) {
    return place < links.size() ? links.get(place) : null;
  }
}
