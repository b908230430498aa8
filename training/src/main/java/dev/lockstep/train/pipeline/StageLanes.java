package dev.lockstep.train.pipeline;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Device;
import dev.lockstep.device.Program;
import dev.lockstep.device.Stream;
import dev.lockstep.graph.Graph;
import dev.lockstep.memory.Buffer;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.parallel.Exchange;
import dev.lockstep.train.parallel.FlatLayout;
import dev.lockstep.train.parallel.FlatTensors;
import dev.lockstep.train.parallel.LaneSums;
import dev.lockstep.train.parallel.Scope;
import dev.lockstep.train.parallel.SplitProgram;
import dev.lockstep.train.placement.AxisPlace;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.IntConsumer;
import org.jspecify.annotations.Nullable;

/// Runs one stage of a pipeline as a [PipelinePlan] says: its chunk's programs, the messages to and
/// from its neighbours, and the joins of its lanes' sums. Afterwards sum `i` holds the sums of the
/// rank's subtree `i`. Confined to the thread of its stream; running allocates nothing.
///
/// Sending waits for nobody: what is sent stands in memory of its own until it was received.
public final class StageLanes {
  private final Device device;
  private final Scope scope;
  private final Exchange exchange;
  private final PipelinePlan plan;
  private final AxisPlace axis;
  private final Chunk chunk;
  private final Map<String, Tensor> inputs;
  private final List<FlatTensors> sums = new ArrayList<>();
  private final SplitProgram forward;
  private final @Nullable SplitProgram backward;
  private final List<Program> joins = new ArrayList<>();
  private final @Nullable Buffer flights;
  private final @Nullable Buffer messages;
  private final long gradientBytes;
  private final Map<List<Object>, SplitProgram.Bound> bound = new HashMap<>();
  private final Map<List<Object>, Exchange.Message> prepared = new LinkedHashMap<>();
  private final List<Step> steps = new ArrayList<>();
  private final Exchange.@Nullable Message[] underWay;

  /// What computes a lane on a stage.
  ///
  /// @param chunk the programs
  /// @param sums layout of a lane's sums; empty where the stage sums nothing
  /// @param inputs where weights and data live
  public record StageProgram(Chunk chunk, FlatLayout sums, Map<String, Tensor> inputs) {
    /// Copies the map.
    public StageProgram {
      inputs = Map.copyOf(inputs);
    }
  }

  /// What runs next.
  private sealed interface Step {
    /// @param lane whose data are read; -1 for none
    /// @param overwrites which message under way must have left its memory; -1 for none
    record Run(SplitProgram.Bound program, int lane, int overwrites) implements Step {}

    record Receive(Exchange.Message message) implements Step {}

    record Send(Exchange.Message message, int place) implements Step {}

    record Join(BoundProgram program) implements Step {}
  }

  /// Compiles, binds and prepares; the stages of a pipeline do so together.
  ///
  /// @param scope owns programs, memory and messages
  /// @param axis the axis that stages are spread over, and this stage
  /// @param everywhere inputs that a lane's data are brought to
  public StageLanes(
      Scope scope,
      Device device,
      Exchange exchange,
      PipelinePlan plan,
      AxisPlace axis,
      StageProgram program,
      Set<String> everywhere) {
    this.scope = scope;
    this.device = device;
    this.exchange = exchange;
    this.plan = plan;
    this.axis = axis;
    this.chunk = program.chunk;
    this.inputs = program.inputs;
    String name = chunk.forward().name();
    int slots = plan.slots().get(axis.rank());
    flights = shared(name + " in flight", slots * chunk.flightBytes());
    gradientBytes = chunk.gradientSent().bytes();
    messages =
        shared(
            name + " gradients",
            chunk.gradientReceived().bytes() + plan.messagesBack() * gradientBytes);
    underWay = new Exchange.@Nullable Message[slots + plan.messagesBack()];
    if (program.sums.bytes() > 0) {
      for (int i = 0; i < plan.lanes().slots(); i++) {
        FlatTensors slot = FlatTensors.allocateShared(device, name + " sums " + i, program.sums);
        sums.add(scope.own(slot, FlatTensors::close));
      }
      Graph join = LaneSums.join(program.sums.elements());
      joins.add(scope.own(device.compile(join), Program::close));
    }
    forward = new SplitProgram(scope, device, chunk.forward(), exchange);
    backward =
        chunk
            .backward()
            .map(graph -> new SplitProgram(scope, device, graph, exchange))
            .orElse(null);
    prepareMessages();
    for (StageAction action : plan.stages().get(axis.rank())) {
      add(action, everywhere);
    }
  }

  private @Nullable Buffer shared(String name, long bytes) {
    return bytes == 0 ? null : scope.own(device.allocateShared(name, bytes), Buffer::close);
  }

  /// Prepares the messages over each border in the order of the borders, as the neighbour does.
  private void prepareMessages() {
    for (int border = axis.rank() - 1; border <= axis.rank(); border++) {
      if (border < 0 || border == axis.ranks() - 1) {
        continue;
      }
      for (int lane = 0; lane < plan.count(); lane++) {
        int from = lane % plan.slots().get(border);
        int to = lane % plan.slots().get(border + 1);
        var _ = forth(border, from, to);
      }
      for (int lane = 0; plan.trains() && lane < plan.count(); lane++) {
        var _ = back(border, lane % plan.messagesBack());
      }
    }
  }

  private Exchange.Message forth(int border, int from, int to) {
    boolean sends = border == axis.rank();
    long offset = (sends ? from : to) * chunk.flightBytes();
    SlotLayout section = sends ? chunk.sent() : chunk.received();
    long start = offset + (sends ? chunk.received().bytes() : 0);
    return prepared.computeIfAbsent(
        List.of("forth", border, from, to),
        _ -> message(border, border + 1, section.message(memory(flights), start)));
  }

  private Exchange.Message back(int border, int message) {
    boolean receives = border == axis.rank();
    SlotLayout section = receives ? chunk.gradientReceived() : chunk.gradientSent();
    long start = receives ? 0 : gradientStart(message);
    return prepared.computeIfAbsent(
        List.of("back", border, message),
        _ -> message(border + 1, border, section.message(memory(messages), start)));
  }

  private Exchange.Message message(int from, int to, Tensor memory) {
    return scope.own(exchange.message(axis.name(), from, to, memory), Exchange.Message::close);
  }

  private long gradientStart(int message) {
    return chunk.gradientReceived().bytes() + message * gradientBytes;
  }

  private static Buffer memory(@Nullable Buffer buffer) {
    if (buffer == null) {
      throw new IllegalArgumentException("stages have nothing to tell each other");
    }
    return buffer;
  }

  private void add(StageAction action, Set<String> everywhere) {
    int stage = axis.rank();
    int slots = plan.slots().get(stage);
    switch (action) {
      case StageAction.Receive(int lane, int slot) -> {
        int from = index(lane) % plan.slots().get(stage - 1);
        steps.add(new Step.Receive(forth(stage - 1, from, slot)));
      }
      case StageAction.Forward(int lane, int slot) ->
          steps.add(
              new Step.Run(
                  bindForward(slot, -1, 0), reads(chunk.forward(), everywhere) ? lane : -1, slot));
      case StageAction.Send(int lane, int slot) -> {
        int to = index(lane) % plan.slots().get(stage + 1);
        steps.add(new Step.Send(forth(stage, slot, to), slot));
      }
      case StageAction.ReceiveGradient(int lane) ->
          steps.add(new Step.Receive(back(stage, index(lane) % plan.messagesBack())));
      case StageAction.Backward(int lane, int slot, int sum, int message) -> {
        Graph graph = chunk.backward().orElse(chunk.forward());
        SplitProgram.Bound program =
            backward == null
                ? bindForward(slot, sum, message)
                : bindBackward(backward, slot, sum, message);
        int overwrites = chunk.gradientSent().bytes() > 0 ? slots + message : -1;
        steps.add(new Step.Run(program, reads(graph, everywhere) ? lane : -1, overwrites));
      }
      case StageAction.SendGradient(_, int message) ->
          steps.add(new Step.Send(back(stage - 1, message), slots + message));
      case StageAction.Join(int into, int from) -> {
        for (Program join : joins) {
          Tensor left = sums.get(into).whole();
          Tensor right = sums.get(from).whole();
          steps.add(new Step.Join(join.bind(LaneSums.joined(left, right))));
        }
      }
    }
  }

  private int index(int lane) {
    return lane - plan.lanes().held().getFirst().first();
  }

  private static boolean reads(Graph graph, Set<String> everywhere) {
    return graph.inputs().stream().anyMatch(input -> everywhere.contains(input.name()));
  }

  private SplitProgram.Bound bindForward(int slot, int sum, int message) {
    return bound.computeIfAbsent(
        List.of("forth", slot, sum, message),
        _ -> forward.bind(tensors(chunk.forward(), slot, sum, message)));
  }

  private SplitProgram.Bound bindBackward(SplitProgram program, int slot, int sum, int message) {
    return bound.computeIfAbsent(
        List.of("back", slot, sum, message),
        _ -> program.bind(tensors(program.graph(), slot, sum, message)));
  }

  private Map<String, Tensor> tensors(Graph graph, int slot, int sum, int message) {
    Map<String, Tensor> all = new HashMap<>(inputs);
    if (flights != null) {
      long start = slot * chunk.flightBytes();
      all.putAll(chunk.received().tensors(flights, start));
      all.putAll(chunk.sent().tensors(flights, start + chunk.received().bytes()));
      long kept = start + chunk.received().bytes() + chunk.sent().bytes();
      all.putAll(chunk.kept().tensors(flights, kept));
    }
    if (messages != null) {
      all.putAll(chunk.gradientReceived().tensors(messages, 0));
      all.putAll(chunk.gradientSent().tensors(messages, gradientStart(message)));
    }
    if (sum >= 0 && !sums.isEmpty()) {
      for (Graph.Named output : graph.outputs()) {
        Tensor found = sums.get(sum).byName().get(output.name());
        if (found != null) {
          all.put(output.name(), found);
        }
      }
    }
    return all;
  }

  /// Runs all lanes and joins.
  ///
  /// @param fill brings a lane's data to where they are bound
  public void run(Stream stream, IntConsumer fill) {
    for (int i = 0; i < steps.size(); i++) {
      switch (steps.get(i)) {
        case Step.Run(SplitProgram.Bound program, int lane, int overwrites) -> {
          if (overwrites >= 0) {
            settle(overwrites);
          }
          if (lane >= 0) {
            fill.accept(lane);
          }
          program.run(stream);
        }
        case Step.Receive(Exchange.Message message) -> {
          stream.synchronize();
          message.start();
          message.await();
        }
        case Step.Send(Exchange.Message message, int place) -> {
          stream.synchronize();
          message.start();
          underWay[place] = message;
        }
        case Step.Join(BoundProgram program) -> stream.run(program);
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

  /// Returns the sums of all subtrees as inputs of a step program ([StepGraph#subtreeInput]).
  public Map<String, Tensor> subtreeInputs() {
    Map<String, Tensor> found = new HashMap<>();
    for (int i = 0; i < sums.size() && i < plan.lanes().held().size(); i++) {
      int index = i;
      sums.get(i)
          .byName()
          .forEach((name, tensor) -> found.put(StepGraph.subtreeInput(name, index), tensor));
    }
    return found;
  }

  /// Returns the sums of the rank's subtree `index`.
  public FlatTensors subtree(int index) {
    return sums.get(index);
  }

  /// Returns the programs of a lane's way forth, and on the last stage of its way back.
  public List<Program> forwardPrograms() {
    return forward.segments();
  }

  /// Returns the programs of a lane's way back; none on the last stage.
  public List<Program> backwardPrograms() {
    return backward == null ? List.of() : backward.segments();
  }

  /// Returns the program that joins the sums of two subtrees, if the stage sums anything.
  public List<Program> joinPrograms() {
    return List.copyOf(joins);
  }
}
