package dev.lockstep.device.neuron;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;

import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.Program;
import dev.lockstep.device.Stream;
import dev.lockstep.device.neuron.compiler.CompilerLookup;
import dev.lockstep.device.neuron.ffi.Nrt;
import dev.lockstep.device.neuron.ffi.NrtLookup;
import dev.lockstep.device.neuron.ffi.NrtStatus;
import dev.lockstep.device.neuron.ffi.NrtStatus.Recovery;
import dev.lockstep.failure.DeviceException;
import dev.lockstep.failure.DeviceLostException;
import dev.lockstep.failure.MemoryBudgetException;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Primitive.Add;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.reflect.Proxy;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Every status of the runtime, returned where it may be, and what becomes of it.
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(60)
final class NrtFailuresTest {
  /// Bytes of x and y, which are not freed on a device that is lost.
  private static final long HELD = 24;

  private final StandIn standIn = StandIn.build();

  /// A device with `y = x + x` and its tensors.
  private record Doubling(Device device, Stream stream, Program program, Buffer x, Buffer y) {
    void run() {
      Tensor in = Tensor.of(x, DType.F32, Shape.of(3));
      Tensor out = Tensor.of(y, DType.F32, Shape.of(3));
      stream.run(program.bind(Map.of("x", in, "y", out)));
      stream.synchronize();
    }

    void copyIn() {
      try (Arena arena = Arena.ofConfined()) {
        stream.copyIn(Tensor.of(x, DType.F32, Shape.of(3)), arena.allocate(12));
      }
    }
  }

  private static Graph doubling() {
    GraphBuilder builder = new GraphBuilder("doubling");
    Value x = builder.input("x", ValueType.f32(3));
    builder.output("y", builder.one(new Add(), x, x));
    return builder.build();
  }

  /// A program with a value of its own, which the budget is charged for.
  private static Graph tripling() {
    GraphBuilder builder = new GraphBuilder("tripling");
    Value x = builder.input("x", ValueType.f32(3));
    builder.output("y", builder.one(new Add(), builder.one(new Add(), x, x), x));
    return builder.build();
  }

  private void with(Consumer<Doubling> action) {
    standIn.reset();
    with(standIn.provider(), 0, action);
  }

  /// @param left bytes that are allocated after the device was closed
  private void with(NeuronDeviceProvider provider, long left, Consumer<Doubling> action) {
    try (MemoryPool pool = MemoryPool.root("failures", 1 << 20);
        Device device = provider.open(0, new DeviceOptions(pool, 1, 0));
        Buffer x = device.allocate("x", 12);
        Buffer y = device.allocate("y", 12);
        Program program = device.compile(doubling());
        Stream stream = device.newStream()) {
      action.accept(new Doubling(device, stream, program, x, y));
    }
    assertThat(standIn.used()).isEqualTo(left);
  }

  @ParameterizedTest
  @EnumSource(
      value = NrtStatus.class,
      mode = EnumSource.Mode.EXCLUDE,
      names = {"SUCCESS", "UNKNOWN"})
  void aFailedRunSaysWhatHappenedAndWhatToDo(NrtStatus status) {
    boolean isLost = Set.of(Recovery.REPLACE_CHIP, Recovery.RESTART).contains(status.recovery());
    standIn.reset();
    with(
        standIn.provider(),
        isLost ? HELD : 0,
        doubling -> {
          standIn.fail("nrt_execute", 0, status.code());
          Throwable thrown = catchThrowable(doubling::run);
          assertThat(thrown)
              .isInstanceOfSatisfying(
                  DeviceException.class,
                  failure -> {
                    assertThat(failure.status()).isEqualTo(status.code());
                    assertThat(failure.function()).isEqualTo("nrt_execute");
                    assertThat(failure.device()).isEqualTo("neuron:0");
                  })
              .hasMessage(
                  "%s: function=nrt_execute, status=%d %s, device=neuron:0, program=doubling (%s)"
                      .formatted(
                          status.words(), status.code(), status, status.recovery().remedy()));
          assertThat(thrown instanceof DeviceLostException).isEqualTo(isLost);
          if (!isLost) {
            doubling.run(); // the failure is thrown once
          }
        });
  }

  @Test
  void afterALossEveryCallFailsAndNothingIsFreed() {
    standIn.reset();
    with(
        standIn.provider(),
        HELD,
        doubling -> {
          standIn.fail("nrt_execute", 0, NrtStatus.HW_ERR_HBM_UE.code());
          assertThatThrownBy(doubling::run)
              .hasMessageStartingWith("the device's memory is damaged");
          List<ThrowingCallable> calls =
              List.of(
                  doubling::run,
                  doubling::copyIn,
                  () -> doubling.device.allocate("more", 8),
                  () -> doubling.device.compile(tripling()));
          for (ThrowingCallable call : calls) {
            assertThatThrownBy(call)
                .isInstanceOf(DeviceLostException.class)
                .hasMessage(
                    "the device was lost before: function=nrt_execute, status=1201 HW_ERR_HBM_UE,"
                        + " device=neuron:0 (replace this chip or its instance, then resume)");
          }
        });
  }

  @Test
  void aFailureThatNobodyHeardOfIsThrownByTheEventOrTheClosing() {
    with(
        doubling -> {
          Map<String, Tensor> tensors =
              Map.of(
                  "x", Tensor.of(doubling.x, DType.F32, Shape.of(3)),
                  "y", Tensor.of(doubling.y, DType.F32, Shape.of(3)));
          Stream waitedFor = doubling.device.newStream();
          standIn.fail("nrt_execute", 0, NrtStatus.INVALID.code());
          waitedFor.run(doubling.program.bind(tensors));
          assertThatThrownBy(waitedFor.record()::await).isInstanceOf(DeviceException.class);
          waitedFor.close();

          Stream left = doubling.device.newStream();
          standIn.fail("nrt_execute", 0, NrtStatus.INVALID.code());
          left.run(doubling.program.bind(tensors));
          assertThatThrownBy(left::close)
              .isInstanceOf(DeviceException.class)
              .hasMessageContaining("function=nrt_execute");
          left.close();
        });
  }

  @Test
  void aStatusThatIsNotKnownIsNamedByItsNumber() {
    standIn.reset();
    with(
        standIn.provider(),
        HELD,
        doubling -> {
          standIn.fail("nrt_execute", 0, 777);
          assertThatThrownBy(doubling::run)
              .isInstanceOf(DeviceLostException.class)
              .hasMessageContaining("status=777 UNKNOWN");
        });
  }

  /// Numbers of `nrt_status.h`, each with its class.
  private static final String DOCUMENTED =
      """
      SUCCESS 0 NONE
      FAILURE 1 RESTART
      INVALID 2 BAD_INPUT
      INVALID_HANDLE 3 BAD_INPUT
      RESOURCE 4 OUT_OF_MEMORY
      TIMEOUT 5 COMMUNICATOR
      HW_ERROR 6 REPLACE_CHIP
      QUEUE_FULL 7 RETRY
      LOAD_NOT_ENOUGH_NC 9 CONFIGURATION
      UNSUPPORTED_NEFF_VERSION 10 CONFIGURATION
      FAIL_HOST_MEM_ALLOC 11 OUT_OF_MEMORY
      UNINITIALIZED 13 RESTART
      CLOSED 14 RESTART
      QUEUE_EMPTY 15 RETRY
      EXEC_UNIT_UNRECOVERABLE 101 REPLACE_CHIP
      EXEC_BAD_INPUT 1002 BAD_INPUT
      COMPLETED_WITH_NUM_ERR 1003 NUMERICS
      COMPLETED_WITH_ERR 1004 RESTART
      NC_BUSY 1005 CONFIGURATION
      OOB 1006 BAD_INPUT
      COLL_PENDING 1100 COMMUNICATOR
      HW_ERR_COLLECTIVES 1200 COMMUNICATOR
      HW_ERR_HBM_UE 1201 REPLACE_CHIP
      HW_ERR_NC_UE 1202 REPLACE_CHIP
      HW_ERR_DMA_ABORT 1203 REPLACE_CHIP
      SW_NQ_OVERFLOW 1204 RESTART
      HW_ERR_REPAIRABLE_HBM_UE 1205 RESTART
      NETWORK_PROXY_FAILURE 1206 COMMUNICATOR
      """;

  @Test
  void everyStatusHasItsDocumentedNumberAndClass() {
    String found =
        Arrays.stream(NrtStatus.values())
            .filter(status -> status != NrtStatus.UNKNOWN)
            .map(status -> "%s %d %s\n".formatted(status, status.code(), status.recovery()))
            .collect(Collectors.joining());
    assertThat(found).isEqualTo(DOCUMENTED);
    assertThat(NrtStatus.of(777)).isEqualTo(NrtStatus.UNKNOWN);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "nrt_load",
        "nrt_get_model_tensor_info",
        "nrt_unload",
        "nrt_tensor_memset",
        "nrt_tensor_write"
      })
  void aFailedCallLeavesNothingBehind(String function) {
    with(
        doubling -> {
          standIn.fail(function, 0, 2);
          assertThatThrownBy(
                  () -> {
                    doubling.device.allocate("more", 8).close();
                    doubling.device.compile(tripling()).close();
                    doubling.copyIn();
                  })
              .isInstanceOf(DeviceException.class)
              .hasMessageContaining("function=" + function + ", status=2 INVALID");
          doubling.run();
        });
  }

  /// An [Error] of a program, as a wrong binding would raise it, ends neither the core's thread nor
  /// the wait for it.
  @Test
  @Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD) // waits take no interrupt
  void anErrorOfAProgramIsThrownToWhoWaitsForIt() {
    standIn.reset();
    NrtLookup.Found real = (NrtLookup.Found) standIn.lookup();
    AtomicBoolean fails = new AtomicBoolean(true);
    Nrt failing =
        (Nrt)
            Proxy.newProxyInstance(
                Nrt.class.getClassLoader(),
                new Class<?>[] {Nrt.class},
                (_, method, arguments) -> {
                  if (method.getName().equals("execute") && fails.getAndSet(false)) {
                    throw new AssertionError("downcall failed: function=nrt_execute");
                  }
                  return method.invoke(real.library(), arguments);
                });
    NeuronDeviceProvider provider =
        new NeuronDeviceProvider(
            new NeuronHost(Map.of(), standIn.devices()),
            () -> new NrtLookup.Found(failing, real.file()),
            () -> new CompilerLookup.Found(Path.of("neuronx-cc"), "2.0"),
            _ -> module -> StandIn.neff(module.proto()));
    with(
        provider,
        0,
        doubling -> {
          assertThatThrownBy(doubling::run)
              .isInstanceOf(AssertionError.class)
              .hasMessage("downcall failed: function=nrt_execute");
          doubling.run();
        });
  }

  @Test
  void memoryThatTheDeviceHasNotIsAnErrorOfTheBudget() {
    standIn.reset();
    standIn.machine(4, 5, 2, 100);
    try (MemoryPool pool = MemoryPool.root("memory", 1 << 20);
        Device device = standIn.provider().open(0, new DeviceOptions(pool, 1, 0))) {
      assertThatThrownBy(() -> device.allocate("weights", 101))
          .isInstanceOfSatisfying(
              MemoryBudgetException.class,
              refused -> {
                assertThat(refused.tensor()).isEqualTo("weights");
                assertThat(refused.requestedBytes()).isEqualTo(101);
              });
      assertThat(pool.usedBytes()).isZero();
      device.allocate("weights", 100).close();
    }
  }

  /// Before 2.30 the runtime allocated less and did not say so.
  @Test
  void anOldRuntimeIsNotAskedForTensorsThatItCannotCount() {
    standIn.reset();
    standIn.machine(4, 5, 2, 29, 100);
    try (MemoryPool pool = MemoryPool.root("large", Long.MAX_VALUE);
        Device device = standIn.provider().open(0, new DeviceOptions(pool, 1, 0))) {
      assertThatThrownBy(() -> device.allocate("state", 1L << 32))
          .isInstanceOf(DeviceException.class)
          .hasMessage(
              "the runtime takes no tensor that large: tensor=state, bytes=4294967296,"
                  + " limitBytes=4294967295, runtime=2.29.10, device=neuron:0 (install"
                  + " aws-neuronx-runtime-lib 2.30 or later)");
      assertThatThrownBy(() -> device.allocate("state", (1L << 32) - 1))
          .isInstanceOf(MemoryBudgetException.class);
      assertThat(pool.usedBytes()).isZero();
    }
    standIn.machine(4, 5, 2, 30, 100);
    try (MemoryPool pool = MemoryPool.root("large", Long.MAX_VALUE);
        Device device = standIn.provider().open(0, new DeviceOptions(pool, 1, 0))) {
      assertThatThrownBy(() -> device.allocate("state", 1L << 32))
          .isInstanceOf(MemoryBudgetException.class);
    }
  }

  @Test
  void memoryThatTheHostHasNotIsSaidToBeTheHosts() {
    with(
        doubling -> {
          standIn.fail("nrt_tensor_allocate", 0, NrtStatus.FAIL_HOST_MEM_ALLOC.code());
          assertThatThrownBy(() -> doubling.device.allocate("more", 8))
              .isInstanceOf(MemoryBudgetException.class)
              .hasMessage(
                  "the host is out of memory: tensor=more, requestedBytes=8, device=neuron:0,"
                      + " status=11 FAIL_HOST_MEM_ALLOC (use a smaller model or batch)");
        });
  }

  @Test
  void aCoreThatIsTakenIsSaidWhenTheDeviceOpens() {
    standIn.reset();
    standIn.fail("nrt_init", 0, NrtStatus.NC_BUSY.code());
    try (MemoryPool pool = MemoryPool.root("taken", 1 << 20)) {
      assertThatThrownBy(() -> standIn.provider().open(0, new DeviceOptions(pool, 1, 0)))
          .isInstanceOf(DeviceException.class)
          .hasMessageContaining("the core is taken by another process: function=nrt_init");
    }
  }
}
