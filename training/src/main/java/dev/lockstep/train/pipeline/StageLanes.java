package dev.lockstep.train.pipeline;

import dev.lockstep.device.Device;
import dev.lockstep.device.Stream;
import dev.lockstep.graph.Graph;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.Scope;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.parallel.Exchange;
import dev.lockstep.train.parallel.LaneRunner;
import dev.lockstep.train.pipeline.StageWork.Way;
import dev.lockstep.train.placement.AxisPlace;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntConsumer;
import org.jspecify.annotations.Nullable;

/// Runs one stage of a pipeline as a [PipelinePlan] says: the ways of its chunks, the messages to
/// and from the stages beside it, and what follows for its lanes' sums. Confined to the thread of
/// its stream; running allocates nothing.
///
/// Sending waits for nobody: what is sent stands in memory of its own until it was received.
public final class StageLanes {
  private final Exchange exchange;
  private final PipelinePlan plan;
  private final StageChunks stage;
  private final Scope scope;
  private final StageWork work;
  private final List<Flight> flights = new ArrayList<>(); // by the stage's chunks
  private final Map<List<Object>, Exchange.Message> prepared = new LinkedHashMap<>();
  private final List<Step> steps = new ArrayList<>();
  private final Exchange.@Nullable Message[] underWay;

  /// A chunk of this stage and the memory of its lanes in flight.
  ///
  /// @param places index of its first message under way
  private record Flight(
      Chunk chunk, @Nullable Buffer slots, @Nullable Buffer gradients, int places) {
    long gradientStart(int message) {
      return chunk.gradientReceived().bytes() + message * chunk.gradientSent().bytes();
    }
  }

  /// What runs next.
  private sealed interface Step {
    /// @param lane whose data are read; -1 for none
    /// @param overwrites which message under way must have left its memory; -1 for none
    record Run(LaneRunner.Run work, int lane, int overwrites) implements Step {}

    record Receive(Exchange.Message message) implements Step {}

    record Send(Exchange.Message message, int place) implements Step {}
  }

  /// Allocates, binds and prepares; the stages of a pipeline do so together.
  ///
  /// @param scope owns memory and messages
  /// @param stage the stage's chunks
  /// @param work what computes them
  public StageLanes(
      Scope scope,
      Device device,
      Exchange exchange,
      PipelinePlan plan,
      StageChunks stage,
      StageWork work) {
    this.scope = scope;
    this.exchange = exchange;
    this.plan = plan;
    this.stage = stage;
    this.work = work;
    int places = 0;
    for (int own = 0; own < stage.count(); own++) {
      Chunk chunk = stage.chunks().get(own);
      int slots = plan.slots().get(stage.number(own));
      String name = chunk.forward().name();
      flights.add(
          new Flight(
              chunk,
              shared(device, name + " in flight", slots * chunk.flightBytes()),
              shared(device, name + " gradients", chunk.gradientBytes(plan.messagesBack())),
              places));
      places += slots + plan.messagesBack();
    }
    underWay = new Exchange.@Nullable Message[places];
    prepareMessages();
    for (StageAction action : plan.stages().get(stage.axis().rank())) {
      add(action);
    }
  }

  private @Nullable Buffer shared(Device device, String name, long bytes) {
    return bytes == 0 ? null : scope.own(device.allocateShared(name, bytes), Buffer::close);
  }

  private Flight flight(int chunk) {
    return flights.get(stage.own(chunk));
  }

  /// Prepares the messages over each border in the order of the borders, as the others do.
  private void prepareMessages() {
    for (int border = 0; border + 1 < plan.chunks(); border++) {
      if (!stage.has(border) && !stage.has(border + 1)) {
        continue;
      }
      for (int lane = 0; lane < plan.count(); lane++) {
        var _ = forth(border, lane % slots(border), lane % slots(border + 1));
      }
      for (int lane = 0; plan.trains() && lane < plan.count(); lane++) {
        var _ = back(border, lane % plan.messagesBack());
      }
    }
  }

  private int slots(int chunk) {
    return plan.slots().get(chunk);
  }

  /// The message from a chunk to the next.
  private Exchange.Message forth(int border, int from, int to) {
    boolean sends = stage.has(border);
    Flight flight = flight(sends ? border : border + 1);
    SlotLayout received = flight.chunk.received();
    SlotLayout section = sends ? flight.chunk.sent() : received;
    long start = (sends ? from : to) * flight.chunk.flightBytes() + (sends ? received.bytes() : 0);
    return prepared.computeIfAbsent(
        List.of("forth", border, from, to),
        _ -> message(true, border, section.message(memory(flight.slots), start)));
  }

  /// The message from a chunk to the one before.
  private Exchange.Message back(int border, int message) {
    boolean receives = stage.has(border);
    Flight flight = flight(receives ? border : border + 1);
    Chunk chunk = flight.chunk;
    SlotLayout section = receives ? chunk.gradientReceived() : chunk.gradientSent();
    long start = receives ? 0 : flight.gradientStart(message);
    return prepared.computeIfAbsent(
        List.of("back", border, message),
        _ -> message(false, border + 1, section.message(memory(flight.gradients), start)));
  }

  private Exchange.Message message(boolean forth, int from, Tensor memory) {
    AxisPlace axis = stage.axis();
    Exchange.Message made = exchange.message(axis.name(), forth, from % axis.ranks(), memory);
    return scope.own(made, Exchange.Message::close);
  }

  private static Buffer memory(@Nullable Buffer buffer) {
    if (buffer == null) {
      throw new IllegalArgumentException("stages have nothing to tell each other");
    }
    return buffer;
  }

  private void add(StageAction action) {
    Flight flight = flight(action.chunk());
    switch (action) {
      case StageAction.Receive(int chunk, int lane, int slot) -> {
        int from = index(lane) % slots(chunk - 1);
        steps.add(new Step.Receive(forth(chunk - 1, from, slot)));
      }
      case StageAction.Forward(int chunk, int lane, int slot) -> {
        Way way = new Way(chunk, false, slot, 0, 0);
        int reads = stage.readsData(flight.chunk.forward()) ? lane : -1;
        steps.add(new Step.Run(compute(way, lane), reads, flight.places + slot));
      }
      case StageAction.Send(int chunk, int lane, int slot) -> {
        int to = index(lane) % slots(chunk + 1);
        steps.add(new Step.Send(forth(chunk, slot, to), flight.places + slot));
      }
      case StageAction.ReceiveGradient(int chunk, int lane) ->
          steps.add(new Step.Receive(back(chunk, index(lane) % plan.messagesBack())));
      case StageAction.Backward(int chunk, int lane, int slot, int sum, int message) -> {
        Graph graph = flight.chunk.backward().orElse(flight.chunk.forward());
        Way way = new Way(chunk, true, slot, message, sum);
        int overwrites = flight.chunk.gradientSent().bytes() > 0 ? place(chunk, message) : -1;
        int reads = stage.readsData(graph) ? lane : -1;
        steps.add(new Step.Run(compute(way, lane), reads, overwrites));
      }
      case StageAction.SendGradient(int chunk, int _, int message) ->
          steps.add(new Step.Send(back(chunk - 1, message), place(chunk, message)));
      case StageAction.Join(int chunk, int into, int from) ->
          steps.add(new Step.Run(work.join(chunk, into, from), -1, -1));
      case StageAction.Reduce(int chunk, int round) ->
          steps.add(new Step.Run(work.reduce(chunk, round), -1, -1));
      case StageAction.Lend(int chunk, int round, boolean back) ->
          steps.add(new Step.Run(work.lend(chunk, round, back), -1, -1));
    }
  }

  /// Where a gradient's message stands among those under way.
  private int place(int chunk, int message) {
    return flight(chunk).places + slots(chunk) + message;
  }

  private int index(int lane) {
    return plan.lanes().round(lane);
  }

  private LaneRunner.Run compute(Way way, int lane) {
    Flight flight = flight(way.chunk());
    Chunk chunk = flight.chunk;
    Map<String, Tensor> sections = new HashMap<>();
    if (flight.slots != null) {
      long start = way.slot() * chunk.flightBytes();
      sections.putAll(chunk.received().tensors(flight.slots, start));
      sections.putAll(chunk.sent().tensors(flight.slots, start + chunk.received().bytes()));
      long kept = start + chunk.received().bytes() + chunk.sent().bytes();
      sections.putAll(chunk.kept().tensors(flight.slots, kept));
    }
    if (flight.gradients != null) {
      sections.putAll(chunk.gradientReceived().tensors(flight.gradients, 0));
      long sent = flight.gradientStart(way.message());
      sections.putAll(chunk.gradientSent().tensors(flight.gradients, sent));
    }
    return work.compute(way, index(lane), sections);
  }

  /// Runs all lanes and what follows them.
  ///
  /// @param fill brings a lane's data to where they are bound
  public void run(Stream stream, IntConsumer fill) {
    for (int i = 0; i < steps.size(); i++) {
      switch (steps.get(i)) {
        case Step.Run(LaneRunner.Run next, int lane, int overwrites) -> {
          if (overwrites >= 0) {
            settle(overwrites);
          }
          if (lane >= 0) {
            fill.accept(lane);
          }
          next.run(stream);
        }
        case Step.Receive(Exchange.Message message) -> {
          exchange.settle(stream);
          message.start();
          message.await();
        }
        case Step.Send(Exchange.Message message, int place) -> {
          exchange.settle(stream);
          message.start();
          underWay[place] = message;
        }
      }
    }
    for (int place = 0; place < underWay.length; place++) {
      settle(place);
    }
  }

  private void settle(int place) {
    Exchange.Message message = underWay[place];
    if (message != null) {
      message.await();
      underWay[place] = null;
    }
  }
}
