package dev.lockstep.device.cuda;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.PlannedStep;
import dev.lockstep.device.Program;
import dev.lockstep.device.Support;
import dev.lockstep.device.plan.Binding;
import dev.lockstep.device.plan.StoragePlan;
import dev.lockstep.graph.Cost;
import dev.lockstep.graph.Decomposition;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Scope;
import dev.lockstep.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/// A planned list of launches over one arena: values that live at the same time side by side, then
/// working memory of the step that runs.
final class CudaProgram implements Program {
  private static final long SCRATCH_ALIGNMENT = 256;

  private final Graph source;
  private final Graph graph;
  private final CudaDevice device;
  private final StoragePlan storage;
  private final List<Step> steps = new ArrayList<>();
  private final List<Recorder.Ready> actions = new ArrayList<>();
  private final List<ActionTimes> times = new ArrayList<>();
  private final boolean isTimed = ActionTimes.areWanted();
  private final int savesCount;
  private final long[] nanos;
  private final long[] leastNanos;
  private final long valueBytes;
  private final CudaArena arena;
  private final @Nullable FaultWords faults;
  private final List<Long> recorded = new ArrayList<>();
  private final List<AlignedCopies> aligned = new ArrayList<>();
  private final AtomicInteger running = new AtomicInteger();
  private volatile boolean closed;

  /// What the plan says of one unit.
  private record Step(ProgramUnit unit, List<Action> actions) {}

  private CudaProgram(Graph source, Graph graph, CudaDevice device, CudaArena arena) {
    this.source = source;
    this.graph = graph;
    this.device = device;
    this.arena = arena;
    List<ProgramUnit> units = ElementFusion.fuse(graph, CudaUnit.of(graph, device.library()));
    storage = StoragePlan.of(graph, units);
    List<Action> all = new ArrayList<>();
    for (StoragePlan.Save save : storage.saves()) {
      Value input = graph.inputs().get(save.input()).value();
      all.addAll(copy(input.id(), save.value(), input));
    }
    savesCount = all.size();
    long scratchBytes = 0;
    for (ProgramUnit unit : units) {
      Emission emission = new Emission(device.context().multiprocessors());
      switch (unit) {
        case CudaUnit single -> Lowering.lower(single, emission, device.library());
        case FusedUnit fused -> FusedLowering.lower(fused, emission);
      }
      scratchBytes = Math.max(scratchBytes, emission.scratchBytes());
      steps.add(new Step(unit, emission.actions()));
      all.addAll(emission.actions());
    }
    for (StoragePlan.Copy copy : storage.copies()) {
      Value output = graph.outputs().get(copy.output()).value();
      all.addAll(copy(copy.value(), storage.valueCount() + copy.output(), output));
    }
    all.forEach(action -> actions.add(ready(action)));
    nanos = new long[steps.size()];
    leastNanos = new long[steps.size()];
    valueBytes = (storage.arenaBytes() + SCRATCH_ALIGNMENT - 1) & -SCRATCH_ALIGNMENT;
    faults = all.stream().anyMatch(CudaProgram::checksIds) ? device.newFaultWords(source) : null;
    arena.join(this, valueBytes + scratchBytes);
  }

  /// Compiles graphs into programs that share one arena; the device's context is current.
  ///
  /// @throws IllegalArgumentException if an op is not supported, or two outputs take one input
  static List<CudaProgram> compile(List<Graph> sources, CudaDevice device) {
    CudaArena arena = new CudaArena(device);
    List<CudaProgram> programs = new ArrayList<>();
    try {
      for (Graph source : sources) {
        programs.add(new CudaProgram(source, expand(source), device, arena));
      }
      if (!sources.isEmpty()) {
        arena.allocate("arena of program " + sources.getFirst().name());
      }
      return programs;
    } catch (RuntimeException | Error failure) {
      programs.forEach(program -> Scope.afterFailure(failure, program::freeFaultWords));
      throw failure;
    }
  }

  private static Graph expand(Graph source) {
    Graph graph =
        Decomposition.expand(
            source, (op, types) -> CudaSupport.of(op, types) instanceof Support.Yes);
    for (Node node : graph.nodes()) {
      List<ValueType> types = node.inputs().stream().map(Value::type).toList();
      if (CudaSupport.of(node.op(), types) instanceof Support.No(String reason)) {
        throw new IllegalArgumentException(reason + " (graph=" + source.name() + ")");
      }
    }
    return graph;
  }

  private static List<Action> copy(int from, int to, Value value) {
    long bytes = value.type().bytes();
    return bytes == 0 ? List.of() : List.of(new Action.Copy(Ref.value(from), Ref.value(to), bytes));
  }

  private static boolean checksIds(Action action) {
    return action instanceof Action.Launch launch
        && launch.arguments().contains(new Argument.At(Ref.FAULT));
  }

  private Recorder.Ready ready(Action action) {
    return switch (action) {
      case Action.Launch launch -> {
        int sharedBytes = launch.geometry().sharedBytes();
        yield new Recorder.Ready(
            action, device.kernels().function(launch.source(), launch.kernel(), sharedBytes), null);
      }
      case Action.Copy _ -> new Recorder.Ready(action, 0, null);
      case Action.Multiply _ -> {
        Optional<LtMultiplier> library = device.library();
        yield new Recorder.Ready(action, 0, library.orElse(null));
      }
    };
  }

  @Override
  public Graph graph() {
    return source;
  }

  @Override
  public long arenaBytes() {
    return arena.bytesOf(this);
  }

  CudaArena arena() {
    return arena;
  }

  @Override
  public BoundProgram bind(Map<String, Tensor> tensors) {
    requireOpen();
    Binding binding = Binding.of(graph, tensors);
    long[] addresses = storage.addresses(binding, arena.pointer(), device::address);
    Frame frame =
        new Frame(addresses, arena.pointer() + valueBytes, faults == null ? 0 : faults.address());
    ActionTimes marks = null;
    if (isTimed) {
      device.context().enter();
      marks = new ActionTimes(device, actions.size());
      synchronized (times) {
        times.add(marks);
      }
    }
    AlignedCopies copies = new AlignedCopies(device.memory(), source.name());
    boolean isRecorded = false;
    try {
      long recording = device.record(actions, frame, copies, marks, source.name());
      isRecorded = true;
      return bound(binding, recording, copies, marks);
    } finally {
      if (!isRecorded) {
        copies.close();
      }
    }
  }

  private CudaBoundProgram bound(
      Binding binding, long recording, AlignedCopies copies, @Nullable ActionTimes marks) {
    synchronized (recorded) {
      recorded.add(recording);
      aligned.add(copies);
    }
    return new CudaBoundProgram(this, recording, binding, marks);
  }

  /// Counts a run in.
  void begin() {
    running.incrementAndGet();
    if (closed) {
      running.decrementAndGet();
      throw closedFailure();
    }
  }

  /// Counts a run out.
  void end() {
    running.decrementAndGet();
  }

  /// Whether ids of a run were wrong, which may not be over.
  boolean hasFault() {
    return faults != null && faults.areSet();
  }

  /// Returns what was wrong with ids of a run that is over, or null.
  @Nullable IndexOutOfBoundsException takeFault() {
    return faults == null ? null : faults.take();
  }

  /// Whether this device compiled the program.
  boolean belongsTo(CudaDevice other) {
    return device == other;
  }

  @Override
  public String explain() {
    StringBuilder text =
        new StringBuilder(
            "program %s on %s: %d launches, %d FLOPs, arena %d bytes (values %d)\n"
                .formatted(
                    graph.name(),
                    device.info().description(),
                    actions.size(),
                    Cost.of(graph).flops(),
                    arenaBytes(),
                    storage.arenaBytes()));
    for (int i = 0; i < steps.size(); i++) {
      Step step = steps.get(i);
      Cost cost = step.unit.cost();
      String labels = String.join(", ", step.actions.stream().map(Action::label).toList());
      text.append(
          "  %3d  %-60s %12d FLOPs %10d bytes\n".formatted(i, labels, cost.flops(), cost.bytes()));
      text.append("       ").append(step.unit.line()).append('\n');
    }
    return text.toString();
  }

  /// Adds what the actions of a run took to the steps that they are of.
  synchronized void add(long[] ofActions) {
    int action = savesCount;
    for (int i = 0; i < nanos.length; i++) {
      long taken = 0;
      for (int n = steps.get(i).actions.size(); n > 0; n--) {
        taken += ofActions[action++];
      }
      nanos[i] += taken;
      leastNanos[i] = leastNanos[i] == 0 ? taken : Math.min(leastNanos[i], taken);
    }
  }

  @Override
  public synchronized List<PlannedStep> steps() {
    List<PlannedStep> plan = new ArrayList<>();
    for (int i = 0; isTimed && i < nanos.length; i++) {
      Step step = steps.get(i);
      String kernel =
          step.actions.stream().map(Action::kind).distinct().collect(Collectors.joining(" + "));
      String label = kernel + ' ' + step.unit.line();
      plan.add(new PlannedStep(kernel, label, step.unit.cost(), 0, nanos[i], leastNanos[i]));
    }
    return plan;
  }

  private void requireOpen() {
    if (closed) {
      throw closedFailure();
    }
  }

  private IllegalStateException closedFailure() {
    return new IllegalStateException("program is closed: program=" + source.name());
  }

  private void freeFaultWords() {
    if (faults != null) {
      faults.close();
    }
  }

  @Override
  public synchronized void close() {
    if (closed) {
      return;
    }
    device.settle();
    closed = true;
    if (running.get() > 0) {
      closed = false;
      throw new IllegalStateException(
          "program is running: program=" + source.name() + " (wait for its stream first)");
    }
    try (Scope scope = new Scope()) { // last first: what was recorded, the memory it uses behind it
      scope.own(arena, CudaArena::leave);
      times.forEach(marks -> scope.own(marks, ActionTimes::destroy));
      aligned.forEach(copies -> scope.own(copies, AlignedCopies::close));
      scope.own(this, CudaProgram::freeFaultWords);
      recorded.forEach(graph -> scope.own(graph, device::destroyRecording));
    }
  }
}
