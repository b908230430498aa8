package dev.lockstep.transport.efa;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportHarness;
import dev.lockstep.transport.efa.ffi.EndpointCalls;
import dev.lockstep.transport.efa.ffi.Fi;
import dev.lockstep.transport.efa.ffi.Layouts;
import dev.lockstep.transport.efa.ffi.QueueCalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/// An EFA card, as far as its rules go: its operations travel by `tcp;ofi_rxm`, and what the
/// provider or the device would refuse is refused or noted as an offence.
///
/// Rules, of `efa_fabric_comparison.md`, `efa_msg.c`, `efa_rma.c` and `efa_ep.c` of libfabric 2.6:
/// memory of every operation has a descriptor and lies in its registration, contexts of 64 bytes
/// are lent to one operation at a time, messages have the length of a packet and writes that of the
/// device, immediate data has 4 bytes, keys are chosen by the card, a write's target knows its
/// sender, queues refuse what they have no room for but the completion queue of the device alone
/// refuses nothing, options come before an endpoint is enabled, endpoints close before what they
/// are bound to and registrations before their domain. Completions come in no order.
///
/// The steady state allocates nothing.
final class EfaDevice extends EfaStandIn {
  static final int V2_6 = 2 << 16 | 6;

  private static final int EBUSY = 16;
  private static final int EOPNOTSUPP = 95;
  private static final int ENOPROTOOPT = 92;
  private static final int NAME_BYTES = 32;
  private static final int SOCKET_BYTES = 16;
  private static final int CONTEXT_WORDS = 8;
  private static final long ENTRY = Layouts.CQ_DATA_ENTRY.byteSize();
  private static final long FLAGS = Layouts.offset(Layouts.CQ_DATA_ENTRY, "flags");
  private static final long DATA = Layouts.offset(Layouts.CQ_DATA_ENTRY, "data");
  private static final long LENT = 0x1E27_0000L;

  /// Registered memory.
  ///
  /// @param descriptor what `tcp;ofi_rxm` wants to see of it
  /// @param carriersKey by which `tcp;ofi_rxm` knows it
  /// @param key by which peers name it
  record Memory(
      long registration,
      long domain,
      long base,
      long bytes,
      long descriptor,
      long carriersKey,
      int key) {
    boolean covers(long address, long length) {
      return address >= base && length >= 0 && address + length <= base + bytes;
    }
  }

  /// An endpoint and what it has under way.
  private static final class Endpoint {
    final long address;
    final long domain;
    int number = -1;
    boolean enabled;
    long av;
    long cq;
    long queueEntries;
    int sends;
    int receives;
    int[] peers = new int[0];

    Endpoint(long address, long domain) {
      this.address = address;
      this.domain = domain;
    }
  }

  /// A completion queue.
  private record Queue(long address, long entries) {}

  private final Discovery carrier;
  private final EfaNetwork network;
  private final EfaCard card;
  private final MemorySegment all;
  private final List<Endpoint> endpoints = new ArrayList<>();
  private final List<Queue> queues = new ArrayList<>();
  private final List<Memory> memories = new ArrayList<>();
  private final long sendsAtOnce;
  private int turn;

  private EfaDevice(Discovery carrier, Arena arena, List<EfaCard> cards, EfaNetwork network) {
    super(carrier.library(), arena, V2_6, cards);
    this.carrier = carrier;
    this.network = network;
    this.card = cards.getFirst();
    this.all = memory(0, Long.MAX_VALUE);
    this.sendsAtOnce = Integer.highestOneBit(2 * (Rail.FRAMES + Rail.WRITES));
  }

  /// Opens a job of ranks that have such cards each.
  static TransportHarness open(int ranks, Path directory, EfaNetwork network, EfaCard... cards) {
    LibfabricJudge.require(new OfiTcpProvider());
    List<Transport> transports = new ArrayList<>();
    try {
      for (TransportContext context : TransportHarness.contexts(ranks, directory)) {
        String address = context.bindAddress();
        Discovery carrier = Discovery.of(FabricKind.TCP, address);
        var device = new EfaDevice(carrier, Arena.ofAuto(), List.of(cards), network);
        Discovery found = Discovery.ask(device, "a stand-in", FabricKind.EFA, address);
        transports.add(FabricTransport.open(context, found, device, FabricOptions.defaults()));
      }
    } catch (Discovery.AbsentException absent) {
      throw new AssertionError(absent);
    }
    return new TransportHarness(transports);
  }

  // ---- objects

  @Override
  public void freeinfo(long info) {
    super.freeinfo(info);
    carrier.close();
  }

  @Override
  public int fabric(long attributes, MemorySegment fabric) {
    return library.fabric(carrier.domains().getFirst().fabricAttributes(), fabric);
  }

  @Override
  public int domain(long fabric, long info, MemorySegment domain) {
    return library.domain(fabric, carrier.domains().getFirst().address(), domain);
  }

  @Override
  public int cqOpen(long domain, MemorySegment attributes, MemorySegment cq) {
    int status = library.cqOpen(domain, attributes, cq);
    long entries = FabricInfo.word(attributes, Layouts.CQ_ATTR, "size");
    queues.add(new Queue(cq.get(JAVA_LONG, 0), entries));
    return status;
  }

  @Override
  public int endpoint(long domain, long info, MemorySegment endpoint) {
    int status = library.endpoint(domain, carrier.domains().getFirst().address(), endpoint);
    endpoints.add(new Endpoint(endpoint.get(JAVA_LONG, 0), domain));
    return status;
  }

  private Endpoint endpoint(long address) {
    for (int i = 0; i < endpoints.size(); i++) {
      if (endpoints.get(i).address == address) {
        return endpoints.get(i);
      }
    }
    throw network.offence("endpoint is none, or was closed");
  }

  @Override
  public int bind(long object, long other, long flags) {
    Endpoint endpoint = endpoint(object);
    boolean isQueue = false;
    for (Queue queue : queues) {
      if (queue.address() == other) {
        isQueue = true;
        endpoint.cq = other;
        endpoint.queueEntries = queue.entries();
      }
    }
    if (!isQueue) {
      endpoint.av = other;
    }
    return library.bind(object, other, flags);
  }

  @Override
  public int setopt(long endpoint, int level, int name, MemorySegment value) {
    if (endpoint(endpoint).enabled) {
      throw network.offence("option comes after the endpoint is enabled");
    }
    return level == Fi.OPT_ENDPOINT && name == Fi.OPT_EFA_RNR_RETRY ? 0 : -ENOPROTOOPT;
  }

  @Override
  public int getopt(long endpoint, int level, int name, MemorySegment value, MemorySegment bytes) {
    if (level != Fi.OPT_ENDPOINT || name != Fi.OPT_MAX_MSG_SIZE) {
      return -ENOPROTOOPT;
    }
    value.set(JAVA_LONG, 0, card.isDirect() ? EfaCard.PACKET_BYTES : -1L);
    bytes.set(JAVA_LONG, 0, Long.BYTES);
    return 0;
  }

  @Override
  public int enable(long object) {
    Endpoint endpoint = endpoint(object);
    if (endpoint.av == 0 || endpoint.cq == 0) {
      throw network.offence("endpoint is enabled before it is bound");
    }
    endpoint.enabled = true;
    return library.enable(object);
  }

  @Override
  public EndpointCalls calls(long endpoint) {
    if (!endpoint(endpoint).enabled) {
      throw network.offence("functions are looked up before the endpoint is enabled");
    }
    return library.calls(endpoint);
  }

  @Override
  public int getname(long endpoint, MemorySegment name, MemorySegment bytes) {
    int status = library.getname(endpoint, name, bytes);
    name.asSlice(SOCKET_BYTES).fill((byte) 0);
    name.set(JAVA_BYTE, SOCKET_BYTES, (byte) 1); // the card's number of the endpoint
    bytes.set(JAVA_LONG, 0, NAME_BYTES);
    endpoint(endpoint).number = network.add(name.asSlice(0, NAME_BYTES).toArray(JAVA_BYTE));
    return status;
  }

  @Override
  public int avInsert(long av, MemorySegment name, MemorySegment address) {
    int peer = network.number(name.asSlice(0, NAME_BYTES).toArray(JAVA_BYTE));
    if (peer < 0) {
      throw network.offence("address is none of EFA's");
    }
    int inserted = library.avInsert(av, name, address);
    for (Endpoint endpoint : endpoints) {
      if (endpoint.av == av) {
        int at = (int) address.get(JAVA_LONG, 0);
        endpoint.peers = Arrays.copyOf(endpoint.peers, Math.max(endpoint.peers.length, at + 1));
        endpoint.peers[at] = peer;
        network.know(endpoint.number, peer);
      }
    }
    return inserted;
  }

  @Override
  public int mrReg(long domain, long buffer, long bytes, long access, long key, MemorySegment mr) {
    int chosen = network.newKey(); // whatever was asked for
    int status = library.mrReg(domain, buffer, bytes, access, chosen, mr);
    if (status == 0) {
      long registration = mr.get(JAVA_LONG, 0);
      var memory =
          new Memory(
              registration,
              domain,
              buffer,
              bytes,
              library.mrDescriptor(registration),
              library.mrKey(registration),
              chosen);
      memories.add(memory);
      network.add(memory);
    }
    return status;
  }

  @Override
  public long mrDescriptor(long mr) {
    return mr;
  }

  @Override
  public long mrKey(long mr) {
    return registered(mr).key();
  }

  private Memory registered(long registration) {
    for (int i = memories.size() - 1; i >= 0; i--) {
      if (memories.get(i).registration() == registration) {
        return memories.get(i);
      }
    }
    throw network.offence("descriptor is of no registration");
  }

  @Override
  public int close(long object) {
    for (Endpoint endpoint : endpoints) {
      if (endpoint.av == object || endpoint.cq == object) {
        network.offence("endpoint is open while what it is bound to is closed");
        return -EBUSY;
      }
      if (endpoint.domain == object) {
        network.offence("endpoint is open while its domain is closed");
        return -EBUSY;
      }
    }
    for (Memory memory : memories) {
      if (memory.domain() == object) {
        network.offence("registration is left: bytes=" + memory.bytes());
        return -EBUSY;
      }
    }
    for (Memory memory : List.copyOf(memories)) {
      if (memory.registration() == object) {
        memories.remove(memory);
        network.remove(memory);
      }
    }
    endpoints.removeIf(endpoint -> endpoint.address == object);
    queues.removeIf(queue -> queue.address() == object);
    return library.close(object);
  }

  // ---- operations

  /// Returns what `tcp;ofi_rxm` wants to see of memory, which has to be registered.
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
    if (card.isDirect() && to.sends + to.receives > to.queueEntries) {
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
      endpoint.receives--;
    } else {
      endpoint.sends--;
    }
  }

  @Override
  public long recv(EndpointCalls calls, long buffer, long bytes, long descriptor, long context) {
    Endpoint endpoint = endpoint(calls.endpoint());
    long carriers = carriersDescriptor(endpoint, descriptor, buffer, bytes);
    if (endpoint.receives == EfaCard.RECEIVES) {
      return -Fi.EAGAIN;
    }
    long status = library.recv(calls, buffer, bytes, carriers, context);
    if (status == 0) {
      endpoint.receives++;
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
    if (endpoint.sends == sendsAtOnce) {
      return -Fi.EAGAIN;
    }
    long status = library.send(calls, buffer, bytes, carriers, destination, context);
    if (status == 0) {
      endpoint.sends++;
      lend(endpoint, context, 2);
    }
    return status;
  }

  @Override
  public long inject(EndpointCalls calls, long buffer, long bytes, long destination) {
    var _ = endpoint(calls.endpoint());
    return bytes > card.injectBytes()
        ? -EOPNOTSUPP
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
    Memory target = network.memory(key);
    if (target == null || !target.covers(address, bytes)) {
      throw network.offence("write goes to memory that is not registered: bytes=" + bytes);
    }
    if (card.isDirect() && !network.knows(endpoint.peers[(int) destination], endpoint.number)) {
      throw network.offence("target of a write does not know its sender");
    }
    if (endpoint.sends == sendsAtOnce) {
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
      endpoint.sends++;
      lend(endpoint, context, 3);
    }
    return status;
  }

  @Override
  public long cqRead(QueueCalls queue, long entries, long count) {
    long found = library.cqRead(queue, entries, count);
    for (long i = 0; i < found; i++) {
      long entry = entries + i * ENTRY;
      if ((all.get(JAVA_LONG, entry + FLAGS) & Fi.REMOTE_CQ_DATA) != 0) {
        all.set(JAVA_LONG, entry, 0);
        all.set(JAVA_INT, entry + DATA + Integer.BYTES, 0);
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

  private void swap(long a, long b) {
    for (long at = 0; at < ENTRY; at += Long.BYTES) {
      long kept = all.get(JAVA_LONG, a + at);
      all.set(JAVA_LONG, a + at, all.get(JAVA_LONG, b + at));
      all.set(JAVA_LONG, b + at, kept);
    }
  }

  @Override
  public long cqReaderr(QueueCalls queue, MemorySegment entry) {
    long read = library.cqReaderr(queue, entry);
    long context = entry.get(JAVA_LONG, 0);
    if (read > 0 && context != 0 && (all.get(JAVA_LONG, context) & ~0xFFL) == LENT) {
      giveBack(context);
    }
    return read;
  }
}
