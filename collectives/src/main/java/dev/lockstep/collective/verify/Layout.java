package dev.lockstep.collective.verify;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.ScratchSpace;
import dev.lockstep.collective.schedule.Space;
import java.util.ArrayList;
import java.util.List;

/// A rank's memories: the output (with input 0 in it, in place), the inputs, the scratch.
final class Layout {
  private static final int OUTPUT = 0;

  private final CollectiveRequest request;
  private final int rank;
  private final int inputs;
  private final List<ScratchSpace> scratch;

  Layout(Schedule schedule, int rank) {
    this.request = schedule.request();
    this.rank = rank;
    this.inputs = request.inputs(rank);
    this.scratch = schedule.scratch(rank);
  }

  List<SymbolicMemory> memories() {
    List<SymbolicMemory> memories = new ArrayList<>();
    long output = request.outputStart(rank) + request.outputElements(rank);
    if (sharesInput(0)) {
      output = Math.max(output, request.inputStart(rank) + request.inputElements(rank));
    }
    memories.add(new SymbolicMemory("output", output));
    for (int input = 0; input < inputs; input++) {
      memories.add(new SymbolicMemory("input" + input, request.inputElements(rank)));
    }
    for (ScratchSpace space : scratch) {
      memories.add(new SymbolicMemory("scratch", space.elements()));
    }
    return memories;
  }

  boolean sharesInput(int input) {
    return input == 0
        && inputs > 0
        && request.inPlace()
        && (request.outputElements(rank) > 0 || request.inputElements(rank) == 0);
  }

  /// Returns the size of a space, or -1 if the rank has none of that name.
  long elements(Space space) {
    return switch (space) {
      case Space.Output _ -> request.outputElements(rank);
      case Space.Input(int index) ->
          index >= 0 && index < inputs ? request.inputElements(rank) : -1;
      case Space.Scratch(int index) ->
          index >= 0 && index < scratch.size() ? scratch.get(index).elements() : -1;
    };
  }

  boolean isReadableByPeers(Space space) {
    return !(space instanceof Space.Scratch(int index)) || scratch.get(index).shared();
  }

  /// Returns where a range is that lies inside its space.
  Place place(Range range) {
    return switch (range.space()) {
      case Space.Output _ ->
          place(OUTPUT, request.inPlace() ? request.outputStart(rank) : 0, range);
      case Space.Input(int index) ->
          sharesInput(index)
              ? place(OUTPUT, request.inputStart(rank), range)
              : place(1 + index, 0, range);
      case Space.Scratch(int index) -> place(1 + inputs + index, 0, range);
    };
  }

  private Place place(int memory, long start, Range range) {
    return new Place(rank, memory, start + range.offset(), start + range.end());
  }
}
