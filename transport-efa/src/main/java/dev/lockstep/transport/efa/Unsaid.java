package dev.lockstep.transport.efa;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// The links with something to say that had no room yet. Called with the endpoint's lock held.
final class Unsaid {
  private @Nullable FabricLink[] links = new FabricLink[16];
  private int count;

  /// Lists a link unless it is.
  void add(FabricLink link) {
    if (link.listed) {
      return;
    }
    link.listed = true;
    if (count == links.length) {
      links = Arrays.copyOf(links, 2 * count);
    }
    links[count++] = link;
  }

  /// Lets links say what they have to, as far as there is room.
  void flush() {
    for (int i = count - 1; i >= 0; i--) {
      FabricLink link = links[i];
      if (link != null && link.saysAll()) {
        link.listed = false;
        links[i] = links[--count];
        links[count] = null;
      }
    }
  }

  boolean isEmpty() {
    return count == 0;
  }
}
