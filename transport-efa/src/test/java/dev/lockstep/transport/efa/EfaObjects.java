package dev.lockstep.transport.efa;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.lockstep.transport.efa.ffi.EndpointCalls;
import dev.lockstep.transport.efa.ffi.Fi;
import dev.lockstep.transport.efa.ffi.Layouts;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;

/// The objects of EFA's cards and the rules of their lives: options come before an endpoint is
/// enabled, which is bound to an address table, a completion queue and an event queue by then;
/// endpoints close before what they are bound to, and registrations before their domain; keys are
/// chosen by the card.
abstract class EfaObjects extends EfaStandIn {
  static final int V2_6 = 2 << 16 | 6;

  private static final int EBUSY = 16;
  private static final int EINVAL = 22;
  private static final int ENOPROTOOPT = 92;
  private static final int NAME_BYTES = 32;
  private static final int SOCKET_BYTES = 16;

  /// Registered memory.
  ///
  /// @param descriptor what libfabric's TCP wants to see of it
  /// @param carriersKey by which libfabric's TCP knows it
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
  static final class Endpoint {
    final long address;
    final long domain;
    int number = -1;
    boolean enabled;
    long av;
    long cq;
    long eq;
    long queueEntries;
    final AtomicInteger sends = new AtomicInteger();
    final AtomicInteger receives = new AtomicInteger();

    /// Writes of peers that are here unread or on their way.
    final AtomicInteger arrivals = new AtomicInteger();

    int[] peers = new int[0];

    Endpoint(long address, long domain) {
      this.address = address;
      this.domain = domain;
    }

    /// Returns whether its completion queue has an entry for everything that is under way.
    boolean hasRoom() {
      return sends.get() + receives.get() + arrivals.get() <= queueEntries;
    }
  }

  /// A completion queue.
  private record Queue(long address, long entries) {}

  final Discovery carrier;
  final EfaNetwork network;
  final EfaCard card;
  final List<Endpoint> endpoints = new ArrayList<>();
  private final List<Queue> queues = new ArrayList<>();
  private final List<Long> eventQueues = new ArrayList<>();
  private final List<Memory> memories = new ArrayList<>();

  EfaObjects(Discovery carrier, Arena arena, List<EfaCard> cards, EfaNetwork network) {
    super(carrier.library(), arena, V2_6, cards);
    this.carrier = carrier;
    this.network = network;
    this.card = cards.getFirst();
  }

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
    long entries = FabricInfo.word(attributes, Layouts.CQ_ATTR, "size");
    if (entries > network.mostQueueEntries()) {
      return -EINVAL;
    }
    int status = library.cqOpen(domain, attributes, cq);
    queues.add(new Queue(cq.get(JAVA_LONG, 0), entries));
    return status;
  }

  @Override
  public int eqOpen(long fabric, MemorySegment attributes, MemorySegment eq) {
    int status = library.eqOpen(fabric, attributes, eq);
    eventQueues.add(eq.get(JAVA_LONG, 0));
    return status;
  }

  @Override
  public int endpoint(long domain, long info, MemorySegment endpoint) {
    int status = library.endpoint(domain, carrier.domains().getFirst().address(), endpoint);
    endpoints.add(new Endpoint(endpoint.get(JAVA_LONG, 0), domain));
    return status;
  }

  final Endpoint endpoint(long address) {
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
    if (eventQueues.contains(other)) {
      endpoint.eq = other;
      return flags == 0 ? 0 : -EINVAL;
    }
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
    if (!card.isDirect() && name == Fi.OPT_EFA_RNR_RETRY) {
      throw network.offence("device retries for ever while its provider waits to close");
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
    if (endpoint.eq == 0) {
      throw network.offence("endpoint has no event queue: its provider would call abort(3)");
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
    endpoint(endpoint).number =
        network.add(name.asSlice(0, NAME_BYTES).toArray(JAVA_BYTE), endpoint(endpoint));
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
    int chosen = network.newKey(domain); // whatever was asked for
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

  final Memory registered(long registration) {
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
      if (endpoint.av == object || endpoint.cq == object || endpoint.eq == object) {
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
    eventQueues.remove(object);
    return library.close(object);
  }
}
