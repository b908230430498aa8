package dev.lockstep.device.cuda.ffi;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.device.cuda.StandIns;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// The stand-in refuses what the real driver refuses, and shows what a GPU would only sometimes
/// show: so that tests which pass on it mean something.
@Timeout(60)
class StandInTest {
  private static final int ORDINAL = 1; // device 0 is other tests'
  private static final int ELEMENTS = 256;

  private final Arena arena = Arena.ofConfined();
  private final List<Long> memory = new ArrayList<>();
  private CudaDriver driver;
  private Nvrtc nvrtc;
  private MemorySegment word;
  private long stream;

  @BeforeEach
  void open() {
    var library = NativeCalls.open(StandIns.cuda().toString());
    driver = new NativeCudaDriver(library);
    nvrtc = new NativeNvrtc(NativeCalls.open(StandIns.nvrtc().toString()));
    word = arena.allocate(ValueLayout.JAVA_LONG);
    assertThat(driver.init(0)).isZero();
    NativeCalls.call(library.findOrThrow("standin_revive"), ORDINAL);
    assertThat(driver.devicePrimaryCtxRetain(word.address(), ORDINAL)).isZero();
    assertThat(driver.ctxSetCurrent(value())).isZero();
    assertThat(driver.streamCreate(word.address(), Cu.STREAM_NON_BLOCKING)).isZero();
    stream = value();
  }

  @AfterEach
  void close() {
    NativeCalls.call(
        NativeCalls.open(StandIns.cuda().toString()).findOrThrow("standin_revive"), ORDINAL);
    memory.forEach(address -> driver.memFreeAsync(address, stream));
    assertThat(driver.streamDestroy(stream)).isZero();
    assertThat(driver.ctxSetCurrent(0)).isZero();
    assertThat(driver.devicePrimaryCtxRelease(ORDINAL)).isZero();
    arena.close();
  }

  private long value() {
    return word.get(ValueLayout.JAVA_LONG, 0);
  }

  private long allocate(long bytes) {
    assertThat(driver.memAllocAsync(word.address(), bytes, stream)).isZero();
    memory.add(value());
    return value();
  }

  private long pinned(long bytes) {
    assertThat(driver.memHostAlloc(word.address(), bytes, 0)).isZero();
    return value();
  }

  private long function(String name, String source) {
    assertThat(
            nvrtc.createProgram(
                word.address(),
                arena.allocateFrom(source).address(),
                arena.allocateFrom("test.cu").address(),
                0,
                0,
                0))
        .isZero();
    long program = value();
    MemorySegment options = arena.allocate(ValueLayout.JAVA_LONG);
    options.set(ValueLayout.JAVA_LONG, 0, arena.allocateFrom("--fmad=false").address());
    assertThat(nvrtc.compileProgram(program, 1, options.address())).isZero();
    assertThat(nvrtc.getCubinSize(program, word.address())).isZero();
    MemorySegment image = arena.allocate(value(), 8);
    assertThat(nvrtc.getCubin(program, image.address())).isZero();
    assertThat(driver.moduleLoadDataEx(word.address(), image.address(), 0, 0, 0)).isZero();
    long module = value();
    assertThat(driver.moduleGetFunction(word.address(), module, arena.allocateFrom(name).address()))
        .isZero();
    return value();
  }

  private int launch(long function, int threads, long... parameters) {
    MemorySegment values = arena.allocate(ValueLayout.JAVA_LONG, Math.max(1, parameters.length));
    MemorySegment addresses = arena.allocate(ValueLayout.JAVA_LONG, Math.max(1, parameters.length));
    for (int i = 0; i < parameters.length; i++) {
      values.setAtIndex(ValueLayout.JAVA_LONG, i, parameters[i]);
      addresses.setAtIndex(ValueLayout.JAVA_LONG, i, values.address() + 8L * i);
    }
    var geometry = new CudaDriver.Geometry(1, 1, 1, threads, 1, 1, 0);
    return driver.launchKernel(function, geometry, stream, addresses.address());
  }

  private int launchWith(int priority, long function) {
    var geometry = new CudaDriver.Geometry(1, 1, 1, 32, 1, 1, 0);
    MemorySegment config = LaunchConfig.of(geometry, stream, priority, arena);
    return driver.launchKernelEx(config.address(), function, 0);
  }

  private int[] read(long from, int n) {
    MemorySegment to = arena.allocate(ValueLayout.JAVA_INT, n);
    assertThat(driver.memcpyDtoHAsync(to.address(), from, 4L * n, stream)).isZero();
    assertThat(driver.streamSynchronize(stream)).isZero();
    return to.toArray(ValueLayout.JAVA_INT);
  }

  /// Each thread reads what another one wrote to shared memory.
  private static String exchange(String name, String barrier) {
    return """
    extern "C" __global__ void %s(int* out) {
      __shared__ int numbers[256];
      numbers[threadIdx.x] = (int)threadIdx.x;
      %s
      out[threadIdx.x] = numbers[(threadIdx.x + 77) %% 256];
    }
    """
        .formatted(name, barrier);
  }

  private static int[] shifted() {
    int[] expected = new int[ELEMENTS];
    for (int i = 0; i < ELEMENTS; i++) {
      expected[i] = (i + 77) % ELEMENTS;
    }
    return expected;
  }

  @Test
  void runsThreadsOfABlockTogether() {
    long out = allocate(4 * ELEMENTS);
    assertThat(launch(function("exchange", exchange("exchange", "__syncthreads();")), 256, out))
        .isZero();
    assertThat(read(out, ELEMENTS)).isEqualTo(shifted());
  }

  @Test
  void aMissingBarrierShows() {
    long out = allocate(4 * ELEMENTS);
    assertThat(launch(function("race", exchange("race", "")), 256, out)).isZero();
    assertThat(read(out, ELEMENTS)).isNotEqualTo(shifted());
  }

  @Test
  void sumsOverAWarp() {
    String source =
        """
        extern "C" __global__ void sum(int* out) {
          int sum = (int)threadIdx.x;
          for (int lanes = 16; lanes > 0; lanes /= 2) {
            sum += __shfl_xor_sync(0xFFFFFFFFu, sum, lanes);
          }
          out[threadIdx.x] = sum;
        }
        """;
    long out = allocate(4 * 64);
    assertThat(launch(function("sum", source), 64, out)).isZero();
    int[] sums = read(out, 64);
    assertThat(sums[5]).isEqualTo(31 * 32 / 2);
    assertThat(sums[40]).isEqualTo(31 * 32 / 2 + 32 * 32);
  }

  @Test
  void threadsThatWaitForEachOtherForEverEndTheLaunch() {
    String source =
        """
        extern "C" __global__ void stuck() {
          if (threadIdx.x % 2 == 0) {
            __syncthreads();
          } else {
            __syncwarp();
          }
        }
        """;
    assertThat(launch(function("stuck", source), 64)).isZero();
    assertThat(driver.streamSynchronize(stream)).isEqualTo(Cu.ERROR_LAUNCH_FAILED);
  }

  @Test
  void writingWhereNothingIsLosesTheContext() {
    String source =
        """
        extern "C" __global__ void wild(int* out, long long at) { out[at] = 1; }
        """;
    long wild = function("wild", source);
    long out = allocate(4 * ELEMENTS);
    assertThat(launch(wild, 1, out, 1 << 20)).isZero();
    assertThat(driver.streamSynchronize(stream)).isEqualTo(Cu.ERROR_ILLEGAL_ADDRESS);
    assertThat(driver.memAllocAsync(word.address(), 64, stream))
        .as("sticky")
        .isEqualTo(Cu.ERROR_ILLEGAL_ADDRESS);
  }

  @Test
  void writingJustBehindAnAllocationIsSeen() {
    String source =
        """
        extern "C" __global__ void behind(int* out, long long at) { out[at] = 1; }
        """;
    long behind = function("behind", source);
    assertThat(launch(behind, 1, allocate(4 * 100), 100)).isZero();
    assertThat(driver.streamSynchronize(stream)).isEqualTo(Cu.ERROR_ILLEGAL_ADDRESS);
  }

  @Test
  void refusesWhatTheDriverRefuses() {
    long bytes = 4 * ELEMENTS;
    long out = allocate(bytes);
    long host = ((SegmentAllocator) arena).allocate(2 * bytes).address();
    assertThat(driver.memcpyHtoDAsync(out, host, bytes + 1, stream)).as("too long").isEqualTo(1);
    assertThat(driver.memcpyDtoHAsync(host, out + 4, bytes, stream)).as("too long").isEqualTo(1);
    assertThat(driver.memAllocAsync(word.address(), 1L << 40, stream)).isEqualTo(2);
    assertThat(driver.streamSynchronize(12345)).as("no stream").isEqualTo(400);
    assertThat(driver.ctxSetCurrent(0)).isZero();
    assertThat(driver.memAllocAsync(word.address(), 64, stream)).as("no context").isEqualTo(201);
    assertThat(driver.devicePrimaryCtxRetain(word.address(), ORDINAL)).isZero();
    assertThat(driver.ctxSetCurrent(value())).isZero();
    assertThat(driver.devicePrimaryCtxRelease(ORDINAL)).isZero();
    String source =
        """
        extern "C" __global__ void nothing() {}
        """;
    assertThat(launch(function("nothing", source), 2048)).as("too many threads").isEqualTo(1);
  }

  @Test
  void launchesWithAPriority() {
    String source =
        """
        extern "C" __global__ void idle() {}
        """;
    MemorySegment priorities = arena.allocate(ValueLayout.JAVA_INT, 2);
    long at = priorities.address();
    assertThat(driver.ctxGetStreamPriorityRange(at, at + Integer.BYTES)).isZero();
    int least = priorities.getAtIndex(ValueLayout.JAVA_INT, 0);
    int greatest = priorities.getAtIndex(ValueLayout.JAVA_INT, 1);
    assertThat(greatest).isLessThan(least);
    long idle = function("idle", source);
    long launches = StandInCounts.launches();
    long urgent = StandInCounts.urgentLaunches();
    assertThat(launchWith(greatest, idle)).isZero();
    assertThat(launchWith(least, idle)).isZero();
    assertThat(launchWith(greatest - 1, idle)).as("no such priority").isEqualTo(1);
    assertThat(driver.streamSynchronize(stream)).isZero();
    assertThat(StandInCounts.launches()).isEqualTo(launches + 2);
    assertThat(StandInCounts.urgentLaunches()).isEqualTo(urgent + 1);
  }

  /// The copy runs late: what the host changes meanwhile is what arrives.
  @Test
  void staysAsynchronousFromPinnedMemory() {
    long host = pinned(4);
    NativeCalls.memory(host, 4).set(ValueLayout.JAVA_INT, 0, 1);
    long to = allocate(4);
    assertThat(driver.memcpyHtoDAsync(to, host, 4, stream)).isZero();
    NativeCalls.memory(host, 4).set(ValueLayout.JAVA_INT, 0, 2);
    assertThat(read(to, 1)).containsExactly(2);
    assertThat(driver.memFreeHost(host)).isZero();
  }

  @Test
  void anEventHoldsBackAnotherStream() {
    assertThat(driver.streamCreate(word.address(), Cu.STREAM_NON_BLOCKING)).isZero();
    long other = value();
    assertThat(driver.eventCreate(word.address(), Cu.EVENT_DISABLE_TIMING)).isZero();
    long event = value();
    long at = allocate(4);
    for (int i = 0; i < 20; i++) {
      assertThat(driver.memsetD8Async(at, i, 4, stream)).isZero();
      assertThat(driver.eventRecord(event, stream)).isZero();
      assertThat(driver.streamWaitEvent(other, event, 0)).isZero();
      assertThat(driver.memsetD8Async(at, i + 100, 4, other)).isZero();
      assertThat(driver.streamSynchronize(other)).isZero();
      assertThat(driver.streamSynchronize(stream)).isZero();
      assertThat(read(at, 1)).containsExactly((i + 100) * 0x01010101);
    }
    assertThat(driver.eventDestroy(event)).isZero();
    assertThat(driver.streamDestroy(other)).isZero();
  }

  @Test
  void replaysACapturedGraph() {
    String source =
        """
        extern "C" __global__ void add(int* out, long long by) { out[threadIdx.x] += (int)by; }
        """;
    long add = function("add", source);
    long out = allocate(4 * 32);
    assertThat(driver.memsetD8Async(out, 0, 4 * 32, stream)).isZero();
    assertThat(driver.streamBeginCapture(stream, Cu.CAPTURE_RELAXED)).isZero();
    assertThat(launch(add, 32, out, 3)).isZero();
    assertThat(launch(add, 32, out, 4)).isZero();
    assertThat(driver.streamEndCapture(stream, word.address())).isZero();
    long graph = value();
    assertThat(driver.graphInstantiate(word.address(), graph, 0)).isZero();
    long executable = value();
    assertThat(driver.graphDestroy(graph)).isZero();
    assertThat(read(out, 1)).as("capturing runs nothing").containsExactly(0);
    assertThat(driver.graphLaunch(executable, stream)).isZero();
    assertThat(driver.graphLaunch(executable, stream)).isZero();
    assertThat(read(out, 32)).containsOnly(14);
    assertThat(driver.graphExecDestroy(executable)).isZero();
  }

  @Test
  void waitingInsideACaptureBreaksIt() {
    assertThat(driver.streamBeginCapture(stream, Cu.CAPTURE_RELAXED)).isZero();
    assertThat(driver.streamSynchronize(stream)).isEqualTo(900);
    assertThat(driver.streamEndCapture(stream, word.address())).isEqualTo(901);
  }
}
