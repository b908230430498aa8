package dev.lockstep.transport.efa;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.TransportException;
import dev.lockstep.memory.Backing;
import dev.lockstep.memory.StubRegion;
import dev.lockstep.transport.efa.ffi.Fi;
import dev.lockstep.transport.efa.ffi.Layouts;
import dev.lockstep.transport.efa.ffi.Libfabric;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.StructLayout;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/// How memory of accelerators is named to a provider that says that it can reach it. The provider
/// is libfabric's TCP in all but registering: nothing here has an accelerator.
final class DeviceMemoryTest {
  private static final int BYTES = 1 << 16;
  private static final long POINTER = 0x7f00_0000_1000L;
  private static final long CAN = Fi.HMEM;
  private static final int V1_20 = Fi.DMABUF_VERSION;

  private Discovery found;

  @BeforeEach
  void open() throws Discovery.AbsentException {
    LibfabricJudge.require(new OfiTcpProvider());
    found = Discovery.of(FabricKind.TCP, "127.0.0.1");
  }

  @AfterEach
  void close() {
    if (found != null) {
      found.close();
    }
  }

  /// What was registered how.
  private record Asked(long flags, int kind, int device, long a, long b, long c, long d) {}

  /// Registers memory of the host in the place of what it is asked for, and says what that was.
  private static final class Registering extends ForwardingLibfabric {
    private final MemorySegment host;
    private final boolean takesDmabufs;
    private final List<Asked> asked = new ArrayList<>();
    private int open;

    Registering(Libfabric library, Arena arena, boolean takesDmabufs) {
      super(library);
      this.host = arena.allocate(BYTES, 4096);
      this.takesDmabufs = takesDmabufs;
    }

    @Override
    public int mrRegattr(long domain, MemorySegment attributes, long flags, MemorySegment mr) {
      boolean dmabuf = flags == Fi.MR_DMABUF;
      StructLayout layout = dmabuf ? Layouts.MR_DMABUF : Layouts.IOVEC;
      long at = FabricInfo.word(attributes, Layouts.MR_ATTR, "mr_iov");
      MemorySegment range = memory(at, layout.byteSize());
      int kind = attributes.get(JAVA_INT, Layouts.offset(Layouts.MR_ATTR, "iface"));
      int device = attributes.get(JAVA_INT, Layouts.offset(Layouts.MR_ATTR, "device"));
      asked.add(
          dmabuf
              ? new Asked(
                  flags,
                  kind,
                  device,
                  range.get(JAVA_INT, 0),
                  FabricInfo.word(range, layout, "offset"),
                  FabricInfo.word(range, layout, "len"),
                  FabricInfo.word(range, layout, "base_addr"))
              : new Asked(
                  flags,
                  kind,
                  device,
                  FabricInfo.word(range, layout, "iov_base"),
                  FabricInfo.word(range, layout, "iov_len"),
                  0,
                  0));
      if (dmabuf && !takesDmabufs) {
        return -95; // EOPNOTSUPP
      }
      long access = FabricInfo.word(attributes, Layouts.MR_ATTR, "access");
      long key = FabricInfo.word(attributes, Layouts.MR_ATTR, "requested_key");
      int status = mrReg(domain, host.address(), BYTES, access, key, mr);
      open += status == 0 ? 1 : 0;
      return status;
    }
  }

  private static FabricInfo knowing(FabricInfo info, int version, long caps) {
    return new FabricInfo(
        info.address(),
        info.fabricAttributes(),
        info.provider(),
        info.fabric(),
        info.domain(),
        version,
        info.caps() | caps,
        info.mode(),
        info.mrMode(),
        info.guardsQueues(),
        info.dataBytes(),
        info.injectBytes(),
        info.maxMessageBytes(),
        info.receives());
  }

  /// Registers one region and lets it go again.
  private Registering register(
      long caps, int version, boolean takesDmabufs, Backing.DeviceMemory memory) {
    try (Arena arena = Arena.ofConfined()) {
      var library = new Registering(found.library(), arena, takesDmabufs);
      var failures = new Failures(library, "efa", "efa");
      FabricInfo info = knowing(found.domains().getFirst(), version, caps);
      try (Rail rail = new Rail(library, failures, info, 0, false)) {
        var cache = new RegionCache(List.of(rail), failures, Long.MAX_VALUE);
        CachedRegion cached = cache.of(new OnDevice(memory));
        assertThat(cached.isOfHost()).isFalse();
        assertThat(cache.register(cached)).isTrue();
        assertThat(cache.remoteAddress(cached, 64)).isIn(64L, POINTER + 64);
        rail.closeEndpoint();
        cache.close();
        assertThat(cached.registrations()).containsOnly(0L);
      }
      assertThat(library.open).isEqualTo(1);
      return library;
    }
  }

  @Test
  void acceleratorsAreNamedByKindAndNumberAndAddress() {
    assertThat(register(CAN, V1_20, true, new Backing.DeviceMemory("cuda:3", POINTER)).asked)
        .containsExactly(new Asked(0, Fi.HMEM_CUDA, 3, POINTER, BYTES, 0, 0));
    assertThat(register(CAN, V1_20, true, new Backing.DeviceMemory("neuron:7", POINTER)).asked)
        .containsExactly(new Asked(0, Fi.HMEM_NEURON, 7, POINTER, BYTES, 0, 0));
  }

  @Test
  void dmabufIsTakenWhereTheProviderKnowsIt() {
    var memory = new Backing.DeviceMemory("neuron:1", POINTER, 42, 0x1000);
    assertThat(register(CAN, V1_20, true, memory).asked)
        .containsExactly(
            new Asked(Fi.MR_DMABUF, Fi.HMEM_NEURON, 1, 42, 0x1000, BYTES, POINTER - 0x1000));
  }

  @Test
  void refusedDmabufIsTriedByAddress() {
    var memory = new Backing.DeviceMemory("cuda:0", POINTER, 42, 0);
    assertThat(register(CAN, V1_20, false, memory).asked)
        .containsExactly(
            new Asked(Fi.MR_DMABUF, Fi.HMEM_CUDA, 0, 42, 0, BYTES, POINTER),
            new Asked(0, Fi.HMEM_CUDA, 0, POINTER, BYTES, 0, 0));
  }

  @Test
  void olderInterfaceIsNotAskedForDmabufs() {
    var memory = new Backing.DeviceMemory("cuda:0", POINTER, 42, 0);
    assertThat(register(CAN, Fi.API_VERSION, true, memory).asked)
        .containsExactly(new Asked(0, Fi.HMEM_CUDA, 0, POINTER, BYTES, 0, 0));
  }

  @Test
  void providerThatCannotIsNotAskedAtAll() {
    var memory = new Backing.DeviceMemory("cuda:0", POINTER, 42, 0);
    assertThatThrownBy(() -> register(0, V1_20, true, memory))
        .isInstanceOf(TransportException.class)
        .hasMessageContaining("provider cannot reach memory of accelerators")
        .hasMessageContaining("device=cuda:0");
  }

  @Test
  void acceleratorThatLibfabricDoesNotKnowIsASentence() {
    var memory = new Backing.DeviceMemory("far:0", POINTER);
    assertThatThrownBy(() -> register(CAN, V1_20, true, memory))
        .isInstanceOf(TransportException.class)
        .hasMessageContaining("libfabric knows no such accelerator: device=far:0");
  }

  /// A region of an accelerator that is not here.
  private static final class OnDevice extends StubRegion {
    OnDevice(Backing backing) {
      super(backing);
    }

    @Override
    public String name() {
      return "activations";
    }

    @Override
    public long bytes() {
      return BYTES;
    }

    @Override
    public MemorySegment segment() {
      throw new IllegalStateException("memory is on the device");
    }
  }
}
