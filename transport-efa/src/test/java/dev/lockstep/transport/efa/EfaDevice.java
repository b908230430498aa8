package dev.lockstep.transport.efa;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportHarness;
import dev.lockstep.transport.efa.ffi.EndpointCalls;
import dev.lockstep.transport.efa.ffi.EventCalls;
import dev.lockstep.transport.efa.ffi.Fi;
import dev.lockstep.transport.efa.ffi.Layouts;
import dev.lockstep.transport.efa.ffi.QueueCalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/// An EFA card, as far as its rules go: its operations travel by libfabric's TCP, and what the
/// provider or the device would refuse is refused or noted as an offence.
///
/// Rules, of `efa_fabric_comparison.md`, `efa_msg.c`, `efa_rma.c` and `efa_ep.c` of libfabric 2.6:
/// memory of every operation has a descriptor and lies in its registration, contexts of 64 bytes
/// are lent to one operation at a time, messages have the length of a packet and writes that of the
/// device, immediate data has 4 bytes, keys are chosen by the card, a write's target knows its
/// sender, queues refuse what they have no room for but the completion queue refuses nothing, also
/// of what peers write. Completions come in no order. What fails is told with the flags and the
/// context of its operation; a message that was copied at once has none.
///
/// The steady state allocates nothing.
final class EfaDevice extends EfaObjects {
  private static final int EOPNOTSUPP = 95;
  private static final int CONTEXT_WORDS = 8;
  private static final long ENTRY = Layouts.CQ_DATA_ENTRY.byteSize();
  private static final long FLAGS = Layouts.offset(Layouts.CQ_DATA_ENTRY, "flags");
  private static final long DATA = Layouts.offset(Layouts.CQ_DATA_ENTRY, "data");
  private static final long LENT = 0x1E27_0000L;

  /// Whatever the machine allows: the carrier pins nothing.
  private static final FabricOptions ANY_MEMORY =
      FabricOptions.defaults().withBudget(Long.MAX_VALUE);

  private final MemorySegment all;
  private final EfaFaults faults;
  private final long sendsAtOnce;
  private int turn;

  private EfaDevice(Discovery carrier, Arena arena, List<EfaCard> cards, EfaNetwork network) {
    super(carrier, arena, cards, network);
    this.faults = network.newFaults();
    this.all = memory(0, Long.MAX_VALUE);
    this.sendsAtOnce = Integer.highestOneBit(2 * (Rail.FRAMES + Rail.WRITES));
  }

  /// Opens a job of ranks that have such cards each.
  static TransportHarness open(int ranks, Path directory, EfaNetwork network, EfaCard... cards) {
    return open(ranks, directory, network, ANY_MEMORY, cards);
  }

  /// Opens a job of ranks with other options.
  static TransportHarness open(
      int ranks, Path directory, EfaNetwork network, FabricOptions options, EfaCard... cards) {
    LibfabricJudge.require(new OfiTcpProvider());
    List<Transport> transports = new ArrayList<>();
    for (TransportContext context : TransportHarness.contexts(ranks, directory)) {
      transports.add(open(context, network, options, cards));
    }
    return new TransportHarness(transports);
  }

  /// Opens the transport of one rank that has such cards.
  static Transport open(TransportContext context, EfaNetwork network, EfaCard... cards) {
    return open(context, network, ANY_MEMORY, cards);
  }

  private static Transport open(
      TransportContext context, EfaNetwork network, FabricOptions options, EfaCard... cards) {
    try {
      String address = context.bindAddress();
      Discovery carrier = Discovery.of(FabricKind.TCP, address);
      var device = new EfaDevice(carrier, Arena.ofAuto(), List.of(cards), network);
      Discovery found = Discovery.ask(device, "a stand-in", FabricKind.EFA, address);
      return FabricTransport.open(context, found, device, options);
    } catch (Discovery.AbsentException absent) {
      throw new AssertionError(absent);
    }
  }

  // ---- operations

  /// Returns what libfabric's TCP wants to see of memory, which has to be registered.
  private long carriersDescriptor(Endpoint of, long descriptor, long buffer, long bytes) {
    if (descriptor == 0) {
      if (card.isDirect()) {
        throw network.offence("operation has no descriptor");
      }
      return 0;
    }
    Memory memory = registered(descriptor);
    if (memory.domain() != of.domain || !memory.covers(buffer, bytes)) {
      throw network.offence("memory lies outside its registration");
    }
    return memory.descriptor();
  }

  private void lend(Endpoint to, long context, int kind) {
    if (all.get(JAVA_LONG, context) != 0) {
      throw network.offence("context is lent twice");
    }
    long mark = LENT | endpoints.indexOf(to) << 4 | kind;
    for (int word = 0; word < CONTEXT_WORDS; word++) {
      all.set(JAVA_LONG, context + 8L * word, mark);
    }
    if (!to.hasRoom()) {
      throw network.offence("completion queue may be overrun");
    }
  }

  private void giveBack(long context) {
    long mark = all.get(JAVA_LONG, context);
    for (int word = 0; word < CONTEXT_WORDS; word++) {
      if (all.get(JAVA_LONG, context + 8L * word) != mark || (mark & ~0xFFL) != LENT) {
        throw network.offence("lent context was changed");
      }
      all.set(JAVA_LONG, context + 8L * word, 0);
    }
    Endpoint endpoint = endpoints.get((int) (mark & 0xF0) >> 4);
    if ((mark & 0xF) == 1) {
      endpoint.receives.decrementAndGet();
    } else {
      endpoint.sends.decrementAndGet();
    }
  }

  @Override
  public long recv(EndpointCalls calls, long buffer, long bytes, long descriptor, long context) {
    Endpoint endpoint = endpoint(calls.endpoint());
    long carriers = carriersDescriptor(endpoint, descriptor, buffer, bytes);
    if (endpoint.receives.get() == EfaCard.RECEIVES) {
      return -Fi.EAGAIN;
    }
    long status = library.recv(calls, buffer, bytes, carriers, context);
    if (status == 0) {
      endpoint.receives.incrementAndGet();
      lend(endpoint, context, 1);
    }
    return status;
  }

  @Override
  public long send(
      EndpointCalls calls,
      long buffer,
      long bytes,
      long descriptor,
      long destination,
      long context) {
    Endpoint endpoint = endpoint(calls.endpoint());
    long carriers = carriersDescriptor(endpoint, descriptor, buffer, bytes);
    if (card.isDirect() && bytes > EfaCard.PACKET_BYTES) {
      throw network.offence("message is longer than a packet: bytes=" + bytes);
    }
    if (endpoint.sends.get() == sendsAtOnce) {
      return -Fi.EAGAIN;
    }
    if (faults.takesSend()) {
      return faults.failed(context, Fi.SEND | Fi.MSG);
    }
    long status = library.send(calls, buffer, bytes, carriers, destination, context);
    if (status == 0) {
      endpoint.sends.incrementAndGet();
      lend(endpoint, context, 2);
    }
    return status;
  }

  @Override
  public long inject(EndpointCalls calls, long buffer, long bytes, long destination) {
    var _ = endpoint(calls.endpoint());
    if (bytes > card.injectBytes()) {
      return -EOPNOTSUPP;
    }
    return faults.takesSend()
        ? faults.failed(0, Fi.SEND | Fi.MSG)
        : library.inject(calls, buffer, bytes, destination);
  }

  @Override
  public long writedata(
      EndpointCalls calls,
      long buffer,
      long bytes,
      long descriptor,
      long data,
      long destination,
      long address,
      long key,
      long context) {
    Endpoint endpoint = endpoint(calls.endpoint());
    long carriers = carriersDescriptor(endpoint, descriptor, buffer, bytes);
    if (data >>> Integer.SIZE != 0 || bytes > EfaCard.WRITE_BYTES) {
      throw network.offence("write is impossible: bytes=%d, data=%x".formatted(bytes, data));
    }
    if (faults.takesWrite() || network.wasMemory(key, address, bytes)) {
      return faults.failed(context, Fi.WRITE | Fi.RMA);
    }
    Memory target = network.memory(key);
    if (target == null || !target.covers(address, bytes)) {
      throw network.offence("write goes to memory that is not registered: bytes=" + bytes);
    }
    if (card.isDirect() && !network.knows(endpoint.peers[(int) destination], endpoint.number)) {
      throw network.offence("target of a write does not know its sender");
    }
    if (endpoint.sends.get() == sendsAtOnce) {
      return -Fi.EAGAIN;
    }
    boolean byAddress = carrier.domains().getFirst().namesByAddress();
    long status =
        library.writedata(
            calls,
            buffer,
            bytes,
            carriers,
            data,
            destination,
            byAddress ? address : address - target.base(),
            target.carriersKey(),
            context);
    if (status == 0) {
      endpoint.sends.incrementAndGet();
      lend(endpoint, context, 3);
      network.arriving(endpoint.peers[(int) destination]);
    }
    return status;
  }

  @Override
  public long cqRead(QueueCalls queue, long entries, long count) {
    if (faults.hasFailed()) {
      return -Fi.EAVAIL;
    }
    long found = library.cqRead(queue, entries, count);
    for (long i = 0; i < found; i++) {
      long entry = entries + i * ENTRY;
      if ((all.get(JAVA_LONG, entry + FLAGS) & Fi.REMOTE_CQ_DATA) != 0) {
        all.set(JAVA_LONG, entry, 0);
        all.set(JAVA_INT, entry + DATA + Integer.BYTES, 0);
        ofQueue(queue.queue()).arrivals.decrementAndGet();
      } else {
        giveBack(all.get(JAVA_LONG, entry));
      }
    }
    for (int i = 1; i < found; i++) {
      turn = turn * 0x41C64E6D + 0x3039;
      swap(entries + i * ENTRY, entries + (turn >>> 16) % (i + 1) * ENTRY);
    }
    return found;
  }

  private Endpoint ofQueue(long cq) {
    for (int i = 0; i < endpoints.size(); i++) {
      if (endpoints.get(i).cq == cq) {
        return endpoints.get(i);
      }
    }
    throw network.offence("completions are read of no endpoint's queue");
  }

  private void swap(long a, long b) {
    for (long at = 0; at < ENTRY; at += Long.BYTES) {
      long kept = all.get(JAVA_LONG, a + at);
      all.set(JAVA_LONG, a + at, all.get(JAVA_LONG, b + at));
      all.set(JAVA_LONG, b + at, kept);
    }
  }

  @Override
  public long cqReaderr(QueueCalls queue, MemorySegment entry) {
    if (faults.hasFailed()) {
      return faults.readFailed(entry);
    }
    long read = library.cqReaderr(queue, entry);
    long context = entry.get(JAVA_LONG, 0);
    if (read > 0 && context != 0 && (all.get(JAVA_LONG, context) & ~0xFFL) == LENT) {
      giveBack(context);
    }
    return read;
  }

  @Override
  public long eqReaderr(EventCalls queue, MemorySegment entry) {
    long read = faults.readEndpoint(entry);
    return read == 0 ? library.eqReaderr(queue, entry) : read;
  }

  @Override
  public String cqStrerror(QueueCalls queue, int providerError, long errorData) {
    return providerError == EfaFaults.UNRESPONSIVE
        ? EfaFaults.WORDS
        : library.cqStrerror(queue, providerError, errorData);
  }
}
