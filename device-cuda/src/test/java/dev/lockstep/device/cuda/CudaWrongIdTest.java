package dev.lockstep.device.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.HostCopy;
import dev.lockstep.device.HostPin;
import dev.lockstep.device.Program;
import dev.lockstep.device.cuda.ffi.Cu;
import dev.lockstep.device.cuda.ffi.CudaDriver;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Primitive.Gather;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Map;
import java.util.OptionalInt;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// Who hears of a wrong id while an older copy, which has nothing to do with it, is under way.
@Timeout(60)
class CudaWrongIdTest {
  private static final int ROWS = 2;
  private static final int WIDTH = 3;

  private final HoldingDriver driver = new HoldingDriver();
  private final MemoryPool pool = MemoryPool.root("wrong ids", Long.MAX_VALUE);
  private final Deque<AutoCloseable> open = new ArrayDeque<>();
  private CudaStream stream;
  private BoundProgram lookup;
  private Tensor ids;
  private Tensor rows;
  private HostCopy prefetch;
  private HostCopy result;

  /// A driver that says of an event that it has not passed yet.
  private static final class HoldingDriver extends FaultyCalls<CudaDriver> {
    private volatile long recorded = -1;
    private volatile long held = -1;

    HoldingDriver() {
      super(CudaDriver.class);
    }

    /// Holds the event that was recorded last.
    void hold() {
      held = recorded;
    }

    void letGo() {
      held = -1;
    }

    @Override
    OptionalInt instead(String function, Object[] arguments) {
      if (function.equals("eventRecord")) {
        recorded = (long) arguments[0];
      }
      return function.equals("eventQuery") && (long) arguments[0] == held
          ? OptionalInt.of(Cu.ERROR_NOT_READY)
          : super.instead(function, arguments);
    }
  }

  @BeforeEach
  void open() {
    Device device =
        own(StandInDevices.decorated(driver::over).open(0, new DeviceOptions(pool, 1, 0)));
    Program program = own(device.compile(lookup()));
    Buffer memory = own(device.allocate("memory", 4 * 64));
    Tensor table = new Tensor(memory, 0, DType.F32, Shape.of(ROWS, WIDTH));
    ids = new Tensor(memory, 64, DType.I32, Shape.of(1));
    rows = new Tensor(memory, 128, DType.F32, Shape.of(1, WIDTH));
    Tensor next = new Tensor(memory, 192, DType.F32, Shape.of(WIDTH));
    MemorySegment from = own(HostMemory.allocate(pool, "next", next.bytes())).segment();
    MemorySegment to = own(HostMemory.allocate(pool, "rows", rows.bytes())).segment();
    HostPin _ = own(device.pin(from));
    HostPin _ = own(device.pin(to));
    stream = own((CudaStream) device.newStream());
    lookup = program.bind(Map.of("table", table, "ids", ids, "rows", rows));
    prefetch = own(stream.prepareCopyIn(next, from));
    result = own(stream.prepareCopyOut(to, rows));
  }

  @AfterEach
  void close() throws Exception {
    driver.letGo();
    stream.synchronize();
    while (!open.isEmpty()) {
      open.pop().close();
    }
    assertThat(pool.usedBytes()).isZero();
    pool.close();
  }

  private <T extends AutoCloseable> T own(T resource) {
    open.push(resource);
    return resource;
  }

  private static Graph lookup() {
    GraphBuilder builder = new GraphBuilder("lookup");
    Value table = builder.input("table", ValueType.f32(ROWS, WIDTH));
    Value ids = builder.input("ids", ValueType.i32(1));
    builder.output("rows", builder.one(new Gather(), table, ids));
    return builder.build();
  }

  /// Looks an id up behind a copy that stays under way.
  private void lookUp(int id) {
    prefetch.start();
    driver.hold();
    stream.copyIn(ids, MemorySegment.ofArray(new int[] {id}));
    stream.run(lookup);
  }

  @Test
  void whoCopiesTheResultOut() {
    MemorySegment host = MemorySegment.ofArray(new float[WIDTH]);
    lookUp(7);
    assertThatThrownBy(() -> stream.copyOut(host, rows))
        .isInstanceOf(IndexOutOfBoundsException.class)
        .hasMessageContaining("id=7, position=0, rows=2, program=lookup");
    stream.copyOut(host, rows);
  }

  @Test
  void whoWaitsForACopyOfTheResult() {
    lookUp(-1);
    result.start();
    assertThatThrownBy(result::await)
        .isInstanceOf(IndexOutOfBoundsException.class)
        .hasMessageContaining("id=-1");
  }

  @Test
  void whoAsksWhetherACopyOfTheResultIsDone() {
    lookUp(2);
    result.start();
    assertThatThrownBy(
            () -> {
              while (!result.isDone()) {
                Thread.onSpinWait();
              }
            })
        .isInstanceOf(IndexOutOfBoundsException.class)
        .hasMessageContaining("id=2");
  }
}
