package dev.lockstep.train;

import dev.lockstep.collective.Communicator;
import dev.lockstep.memory.Scope;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/// The links over which stages of a pipeline send each other messages: a communicator of two ranks
/// for each border and direction, so that messages forth and back do not wait for each other.
final class StageLinks {
  private final Grid grid;
  private final int chunks;
  private final Map<String, Communicator> links = new HashMap<>();

  /// Joins nobody yet.
  ///
  /// @param chunks how many chunks of layers each stage holds
  StageLinks(Grid grid, int chunks) {
    this.grid = grid;
    this.chunks = chunks;
  }

  /// Joins each two neighbouring stages, the last with the first too where stages hold several
  /// chunks; and the first stage with the last, whose communicator is returned on these two. All
  /// stages split the line in the same order.
  ///
  /// @param scope owns the communicators
  /// @param line all stages of the pipeline
  Optional<Communicator> join(Scope scope, Communicator line) {
    int stage = grid.pipeline().rank();
    int last = grid.pipeline().ranks() - 1;
    for (int first = 0; first < 2 && first < last; first++) {
      int border = stage - Math.floorMod(stage - first, 2);
      link(scope, line, border, border >= 0 && border < last);
    }
    if (chunks > 1) {
      link(scope, line, last, stage == 0 || stage == last);
    }
    boolean isEnd = stage == 0 || stage == last;
    return line.split(isEnd ? 0 : Communicator.NO_COLOR, stage)
        .map(ends -> scope.own(ends, Communicator::close));
  }

  /// Joins a stage with the next for messages in both directions.
  ///
  /// @param border the former of the two
  /// @param isLinked whether this rank is one of them
  private void link(Scope scope, Communicator line, int border, boolean isLinked) {
    int next = (border + 1) % grid.pipeline().ranks();
    int color = isLinked ? border : Communicator.NO_COLOR;
    for (boolean forth : new boolean[] {true, false}) {
      int from = forth ? border : next;
      boolean sends = grid.pipeline().rank() == from;
      line.split(color, sends ? 0 : 1)
          .ifPresent(
              link -> {
                scope.own(link, Communicator::close);
                links.put(name(forth, from), link);
              });
    }
  }

  private static String name(boolean forth, int from) {
    return (forth ? "forth from " : "back from ") + from;
  }

  /// Returns the link from a stage to the next one, or to the one before; empty where this rank is
  /// neither end of it.
  Optional<Communicator> of(boolean forth, int from) {
    return Optional.ofNullable(links.get(name(forth, from)));
  }

  /// Ends what is under way.
  void abort(Throwable reason) {
    links.values().forEach(link -> link.abort(reason));
  }
}
