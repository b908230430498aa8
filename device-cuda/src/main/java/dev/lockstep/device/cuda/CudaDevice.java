package dev.lockstep.device.cuda;

import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceCollectives;
import dev.lockstep.device.DeviceInfo;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.HostPin;
import dev.lockstep.device.Numerics;
import dev.lockstep.device.Program;
import dev.lockstep.device.Support;
import dev.lockstep.device.cuda.ffi.Cu;
import dev.lockstep.device.cuda.ffi.CudaDriver;
import dev.lockstep.device.cuda.ffi.CudaLibraries;
import dev.lockstep.device.cuda.ffi.LibraryFiles;
import dev.lockstep.device.cuda.ffi.Nccl;
import dev.lockstep.failure.DeviceException;
import dev.lockstep.failure.DeviceLostException;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.memory.Scope;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CopyOnWriteArrayList;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// One GPU.
final class CudaDevice implements Device {
  private static final Logger LOG = LoggerFactory.getLogger(CudaDevice.class);

  /// What a GPU is to graphs: its threads and vectors are the kernels' own affair.
  private static final int SCALAR_BITS = 64;

  private final CudaContext context;
  private final DeviceInfo info;
  private final Numerics numerics;
  private final MemoryPool pool;
  private final CudaMemory memory;
  private final HostPins pins;
  private final Kernels kernels;
  private final @Nullable LtMultiplier library;
  private final Optional<Nccl> nccl;
  private final long captureStream;
  private final Object capturing = new Object();
  private final List<CudaStream> streams = new CopyOnWriteArrayList<>();
  private volatile @Nullable CudaCollectives collectives;
  private volatile boolean closed;

  private CudaDevice(
      CudaContext context, CudaLibraries.Found libraries, CubinCache cache, DeviceOptions options) {
    this.context = context;
    this.pool = options.memory();
    context.enter();
    KernelCompiler compiler =
        new KernelCompiler(libraries.nvrtc(), cache, context.name(), context.architecture());
    this.kernels = new Kernels(context, compiler);
    this.memory = new CudaMemory(context, pool, this::settle);
    this.pins = new HostPins(context);
    this.library =
        libraries.cublasLt().map(lt -> new LtMultiplier(lt, context.name())).orElse(null);
    this.nccl = libraries.nccl();
    this.captureStream = createStream();
    String products = library == null ? "exact products" : "cuBLASLt " + library.version();
    String nvrtc = "NVRTC " + compiler.version();
    String where = library == null ? "" : " on " + context.model();
    this.numerics =
        new Numerics(
            "cuda with %s%s, kernels by %s".formatted(products, where, nvrtc), library == null);
    String description =
        "%s, %s, %d multiprocessors, %s, %s"
            .formatted(
                context.model(),
                context.architecture(),
                context.multiprocessors(),
                nvrtc,
                products);
    int vectorBits = options.vectorBits() == 0 ? SCALAR_BITS : options.vectorBits();
    this.info = new DeviceInfo(context.name(), description, options.threads(), vectorBits, false);
  }

  /// Opens a GPU; the caller closes it.
  ///
  /// @throws DeviceException if the driver refuses
  static CudaDevice open(
      CudaLibraries.Found libraries, CubinCache cache, int ordinal, DeviceOptions options) {
    CudaContext context = CudaContext.open(libraries.driver(), ordinal);
    try {
      return new CudaDevice(context, libraries, cache, options);
    } catch (RuntimeException | Error failure) {
      Scope.afterFailure(failure, context::close);
      throw failure;
    }
  }

  @Override
  public DeviceInfo info() {
    return info;
  }

  /// cuBLASLt chooses its order of sums by GPU, version and extents.
  @Override
  public Numerics numerics() {
    return numerics;
  }

  CudaContext context() {
    return context;
  }

  CudaMemory memory() {
    return memory;
  }

  Kernels kernels() {
    return kernels;
  }

  Optional<LtMultiplier> library() {
    return Optional.ofNullable(library);
  }

  MemoryPool.Charge charge(String name, long bytes) {
    return pool.charge(name, bytes);
  }

  @Override
  public Buffer allocate(String name, long bytes) {
    return memory.allocate(name, bytes);
  }

  /// Peers cannot map a GPU's memory: collectives on it pass through host memory.
  @Override
  public Buffer allocateShared(String name, long bytes) {
    return memory.allocate(name, bytes);
  }

  @Override
  public HostPin pin(MemorySegment host) {
    return pins.pin(host);
  }

  HostPins pins() {
    return pins;
  }

  @Override
  public Support supports(Op op, List<ValueType> operands) {
    return CudaSupport.of(op, operands);
  }

  @Override
  public Program compile(Graph graph) {
    return compileTogether(List.of(graph)).getFirst();
  }

  @Override
  public List<Program> compileTogether(List<Graph> graphs) {
    context.enter();
    return List.copyOf(CudaProgram.compile(graphs, this));
  }

  @Override
  public CudaStream newStream() {
    context.enter();
    long handle = createStream();
    try {
      CudaStream stream = new CudaStream(this, handle);
      streams.add(stream);
      return stream;
    } catch (RuntimeException | Error failure) {
      Scope.afterFailure(failure, () -> destroyStream(handle));
      throw failure;
    }
  }

  /// Gives back the leases of all work that is over; on a lost device that is all work.
  void settle() {
    if (!closed) {
      streams.forEach(CudaStream::settle);
    }
  }

  @Override
  public Optional<DeviceCollectives> collectives() {
    if (nccl.isEmpty()) {
      LibraryFiles.warnWithoutNccl();
      return Optional.empty();
    }
    context.enter();
    synchronized (capturing) {
      CudaCollectives made = collectives;
      if (made == null) {
        made = new CudaCollectives(this, nccl.get());
        collectives = made;
      }
      return Optional.of(made);
    }
  }

  /// Throws what ended the device's collectives, if something did: what waited for them has no
  /// result.
  void requireCollectives() {
    CudaCollectives made = collectives;
    if (made != null) {
      made.requireSound();
    }
  }

  /// Returns the device address of a tensor's first element.
  ///
  /// @throws IllegalArgumentException if it is of another device
  /// @throws IllegalStateException if its buffer is closed
  long address(Tensor tensor) {
    if (tensor.buffer() instanceof CudaBuffer buffer && buffer.belongsTo(memory)) {
      return buffer.pointer() + tensor.offset();
    }
    throw new IllegalArgumentException(
        "tensor is in the memory of another device: buffer=%s, device=%s"
            .formatted(tensor.buffer().name(), context.name()));
  }

  /// Records actions into an executable graph, which the caller destroys.
  ///
  /// @param copies makes room for what is not aligned
  /// @param times marks the time of each action, if it is wanted
  long record(
      List<Recorder.Ready> actions,
      Frame frame,
      AlignedCopies copies,
      @Nullable ActionTimes times,
      String program) {
    context.enter();
    synchronized (capturing) {
      return new Recorder(context, captureStream, frame, copies, times).record(actions, program);
    }
  }

  void destroyRecording(long graph) {
    if (!context.isLost()) {
      context.check(context.enter().graphExecDestroy(graph), "cuGraphExecDestroy", "");
    }
  }

  FaultWords newFaultWords(Graph program) {
    return new FaultWords(context, program.name());
  }

  /// Makes a queue of the driver's; the context is current.
  long createStream() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment word = arena.allocate(ValueLayout.JAVA_LONG);
      context.check(
          context.driver().streamCreate(word.address(), Cu.STREAM_NON_BLOCKING),
          "cuStreamCreate",
          "");
      return word.get(ValueLayout.JAVA_LONG, 0);
    }
  }

  /// Destroys a closed stream of this device.
  void forget(CudaStream stream) {
    streams.remove(stream);
    destroyStream(stream.handle());
  }

  void destroyStream(long stream) {
    if (!context.isLost()) {
      context.check(context.driver().streamDestroy(stream), "cuStreamDestroy", "");
    }
  }

  /// Makes an event of the driver's; the context is current.
  ///
  /// @param flags whether it keeps the time
  long newEvent(int flags) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment word = arena.allocate(ValueLayout.JAVA_LONG);
      context.check(context.driver().eventCreate(word.address(), flags), "cuEventCreate", "");
      return word.get(ValueLayout.JAVA_LONG, 0);
    }
  }

  void destroyEvent(long event) {
    if (!context.isLost()) {
      context.check(context.driver().eventDestroy(event), "cuEventDestroy", "");
    }
  }

  private static void closeCollectives(CudaCollectives made) {
    try {
      made.close();
    } catch (DeviceLostException lost) {
      LOG.debug("collectives end with their device", lost); // its streams have said so
    }
  }

  @Override
  public void close() {
    CudaCollectives made = collectives;
    synchronized (capturing) {
      if (closed) {
        return;
      }
      if (streams.size() > (made == null ? 0 : 1)) {
        throw new IllegalStateException(
            "device has open streams: device=%s, streams=%d (close them first)"
                .formatted(context.name(), streams.size()));
      }
      if (made != null) {
        closeCollectives(made);
      }
      closed = true;
    }
    if (context.isLost()) {
      context.close();
      return;
    }
    CudaDriver driver = context.enter();
    if (library != null) {
      library.close();
    }
    context.check(driver.streamDestroy(captureStream), "cuStreamDestroy", "");
    memory.close();
    kernels.unload();
    context.close();
  }
}
