package dev.lockstep.collective;

import dev.lockstep.collective.execute.Operation;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.ScratchSpace;
import dev.lockstep.collective.schedule.Space;
import dev.lockstep.job.Job;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.memory.Region;
import dev.lockstep.memory.Registration;
import dev.lockstep.memory.Scope;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.transport.PeerAccess;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// One rank's memory of a prepared collective: the user's tensors, scratch, and shared memory in
/// which those tensors are staged that peers must read but cannot. Owns scratch and staging.
final class Memory implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(Memory.class);

  private final Job job;
  private final int rank;
  private final Map<Space, Registration> spaces = new LinkedHashMap<>();
  private final Map<Space, byte[]> descriptors = new LinkedHashMap<>();
  private final List<Operation.Staging> before = new ArrayList<>();
  private final List<Operation.Staging> after = new ArrayList<>();
  private final Set<Region> touched = new LinkedHashSet<>();
  private final List<Buffer> owned = new ArrayList<>();

  private Memory(Job job, int rank) {
    this.job = job;
    this.rank = rank;
  }

  /// Lays out the memory of a collective.
  ///
  /// @param rank this rank's number in the communicator
  /// @param access peers' memory, if peers read this rank's
  static Memory of(
      Job job,
      int rank,
      Schedule schedule,
      List<Tensor> inputs,
      @Nullable Tensor output,
      Optional<PeerAccess> access) {
    Memory memory = new Memory(job, rank);
    try {
      memory.layOut(schedule, inputs, output, access);
      return memory;
    } catch (RuntimeException | Error failure) {
      Scope.afterFailure(failure, memory::close);
      throw failure;
    }
  }

  private void layOut(
      Schedule schedule,
      List<Tensor> inputs,
      @Nullable Tensor output,
      Optional<PeerAccess> access) {
    CollectiveRequest request = schedule.request();
    boolean together = request.inPlace() && !inputs.isEmpty() && output != null;
    if (together && output != null) {
      bindTogether(inputs.getFirst(), output, access);
    } else if (output != null) {
      bind(new Space.Output(), output, access);
    }
    for (int i = together ? 1 : 0; i < inputs.size(); i++) {
      bind(new Space.Input(i), inputs.get(i), access);
    }
    List<ScratchSpace> scratch = schedule.scratch(rank);
    for (int i = 0; i < scratch.size(); i++) {
      long bytes = scratch.get(i).elements() * request.dtype().bytes();
      Buffer buffer = scratch.get(i).shared() ? shared(bytes) : privately(bytes);
      add(new Space.Scratch(i), buffer.registration());
      if (scratch.get(i).shared() && access.isPresent()) {
        descriptors.put(new Space.Scratch(i), access.get().describe(buffer.registration()));
      }
    }
  }

  private Buffer shared(long bytes) {
    Buffer buffer =
        HostMemory.allocateShared(job.memory(), "collective scratch", bytes, job.directory());
    owned.add(buffer);
    return buffer;
  }

  private Buffer privately(long bytes) {
    Buffer buffer = HostMemory.allocate(job.memory(), "collective scratch", bytes);
    owned.add(buffer);
    return buffer;
  }

  private void add(Space space, Registration registration) {
    spaces.put(space, registration);
  }

  private void bind(Space space, Tensor tensor, Optional<PeerAccess> access) {
    touched.add(tensor.registration().region());
    if (access.isEmpty() || describe(space, tensor.registration(), access.get())) {
      add(space, tensor.registration());
      return;
    }
    Registration staged = shared(tensor.bytes()).registration();
    stage(space, tensor, staged, access.get());
  }

  /// Binds input 0 and output of a collective in place; staged, they stay in place.
  private void bindTogether(Tensor input, Tensor output, Optional<PeerAccess> access) {
    touched.add(output.registration().region());
    if (access.isEmpty()
        || (describe(new Space.Output(), output.registration(), access.get())
            && describe(new Space.Input(0), input.registration(), access.get()))) {
      add(new Space.Output(), output.registration());
      add(new Space.Input(0), input.registration());
      return;
    }
    long start = Math.min(input.offset(), output.offset());
    long end = Math.max(input.offset() + input.bytes(), output.offset() + output.bytes());
    Registration staged = shared(end - start).registration();
    stage(
        new Space.Input(0),
        input,
        staged.slice(input.offset() - start, input.bytes()),
        access.get());
    stage(
        new Space.Output(),
        output,
        staged.slice(output.offset() - start, output.bytes()),
        access.get());
  }

  private boolean describe(Space space, Registration registration, PeerAccess access) {
    try {
      descriptors.put(space, access.describe(registration));
      return true;
    } catch (IllegalArgumentException notShared) {
      LOG.debug("tensor is staged for its peers: {}", notShared.getMessage());
      return false;
    }
  }

  private void stage(Space space, Tensor tensor, Registration staged, PeerAccess access) {
    descriptors.put(space, access.describe(staged));
    add(space, staged);
    if (space instanceof Space.Output) {
      after.add(new Operation.Staging(staged.segment(), tensor.segment()));
    } else {
      before.add(new Operation.Staging(tensor.segment(), staged.segment()));
    }
  }

  Map<Space, Registration> spaces() {
    return spaces;
  }

  Map<Space, byte[]> descriptors() {
    return descriptors;
  }

  List<Operation.Staging> before() {
    return before;
  }

  List<Operation.Staging> after() {
    return after;
  }

  /// Returns the regions of the user's tensors, to be leased during a run.
  List<Region> touched() {
    return List.copyOf(touched);
  }

  /// Returns all regions, which peers may touch during a run.
  List<Region> readable() {
    Set<Region> all = new LinkedHashSet<>(touched);
    owned.forEach(buffer -> all.add(buffer.registration().region()));
    return List.copyOf(all);
  }

  @Override
  public void close() {
    try (Scope buffers = new Scope()) {
      owned.forEach(buffer -> buffers.own(buffer, Buffer::close));
    }
  }
}
