package dev.lockstep.collective.verify;

import dev.lockstep.collective.schedule.Step;
import java.util.List;

/// One end of a message under way.
final class Message {
  final Step step;
  final int index;
  final int run;
  final Place place;
  final boolean writes;

  /// What the issuing rank knew of each rank's progress; for a complete receive also what its
  /// sender knew.
  final int[] clock;

  /// What is sent; empty for receives.
  final List<Piece> payload;

  boolean complete;

  Message(
      Step step,
      int index,
      int run,
      Place place,
      boolean writes,
      int[] clock,
      List<Piece> payload) {
    this.step = step;
    this.index = index;
    this.run = run;
    this.place = place;
    this.writes = writes;
    this.clock = clock;
    this.payload = payload;
  }
}
