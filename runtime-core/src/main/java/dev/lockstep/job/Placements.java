package dev.lockstep.job;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// Works out where a rank stands from what all ranks have said of themselves.
///
/// Two ranks are on one host where host name, kernel and node agree: two agents on one machine are
/// two nodes.
final class Placements {
  private Placements() {}

  /// @param launch what the launcher says of this rank; it wins where it says something
  static Placement of(LaunchEnvironment launch, List<Message.Seat> seats) {
    Message.Seat own = seats.get(launch.rank());
    List<Message.Seat> nodes = List.copyOf(new LinkedHashSet<>(seats));
    int localRank = (int) seats.subList(0, launch.rank()).stream().filter(own::equals).count();
    int localWorldSize = (int) seats.stream().filter(own::equals).count();
    return new Placement(
        launch.rank(),
        launch.worldSize(),
        said(launch.localRank(), localRank),
        said(launch.localWorldSize(), localWorldSize),
        said(launch.nodeRank(), nodes.indexOf(own)),
        said(launch.nodes(), nodes.size()),
        names(seats, nodes));
  }

  private static int said(int byLauncher, int byRanks) {
    return byLauncher >= 0 ? byLauncher : byRanks;
  }

  /// Returns each rank's host; a name that several hosts have gets the node's number.
  private static List<String> names(List<Message.Seat> seats, List<Message.Seat> nodes) {
    Map<String, Set<Message.Seat>> byName = new HashMap<>();
    seats.forEach(
        seat -> byName.computeIfAbsent(seat.host(), _ -> new LinkedHashSet<>()).add(seat));
    List<String> names = new ArrayList<>();
    for (Message.Seat seat : seats) {
      boolean alone = byName.getOrDefault(seat.host(), Set.of()).size() == 1;
      names.add(alone ? seat.host() : seat.host() + "#" + nodes.indexOf(seat));
    }
    return names;
  }
}
