package dev.lockstep.transport.efa;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.lockstep.failure.TransportException;
import dev.lockstep.memory.Scope;
import dev.lockstep.transport.efa.ffi.EndpointCalls;
import dev.lockstep.transport.efa.ffi.EventCalls;
import dev.lockstep.transport.efa.ffi.Fi;
import dev.lockstep.transport.efa.ffi.Layouts;
import dev.lockstep.transport.efa.ffi.Libfabric;
import dev.lockstep.transport.efa.ffi.QueueCalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// One domain with its endpoint, address table and completion queue. Used under the transport's
/// lock.
///
/// Each operation lends the provider 64 bytes until it completes; which operation it was follows
/// from which bytes. They are cut into frames, then writes, then receives.
@SuppressWarnings("MustBeClosedChecker") // the rail owns its arena
final class Rail implements AutoCloseable {
  /// Frames that may be on their way out.
  static final int FRAMES = 64;

  /// Segments that may be on their way out.
  static final int WRITES = 64;

  /// Receives that may be posted: frames of the links, and some for what is beside their streams.
  static final int MOST_RECEIVES = 8192;

  /// How providers with connections give back the receive that one was filling when it ended.
  private static final Set<Integer> CUT =
      Set.of(Fi.ECANCELED, Fi.ENOTCONN, Fi.ECONNRESET, Fi.ECONNABORTED);

  private static final int CONTEXT_BYTES = 64;
  private static final int QUEUE_ENTRIES = 4096;

  /// Of a queue that a provider lets overrun: half of it for frames that arrive, the rest for what
  /// is on its way out and for segments that peers write. Amazon's plug-in for NCCL asks for
  /// 12,288; a device that has fewer is asked for half as many until it agrees.
  private static final int UNGUARDED_QUEUE_ENTRIES = 16_384;

  /// What any device has.
  private static final int LEAST_QUEUE_ENTRIES = 1024;

  private static final int ENTRIES = 32;

  /// Of the looks at the completion queue one in so many is at the event queue too: a power of two.
  private static final int LOOKS_PER_EVENT = 16;

  private static final long NAME_BYTES = 256;

  private static final long ENTRY_BYTES = Layouts.CQ_DATA_ENTRY.byteSize();
  private static final long ENTRY_FLAGS = Layouts.offset(Layouts.CQ_DATA_ENTRY, "flags");
  private static final long ENTRY_LENGTH = Layouts.offset(Layouts.CQ_DATA_ENTRY, "len");
  private static final long ENTRY_DATA = Layouts.offset(Layouts.CQ_DATA_ENTRY, "data");

  /// What tells a bare frame from other frames and from a segment.
  private static final long BARE = Fi.REMOTE_CQ_DATA | Fi.RECV | Fi.REMOTE_WRITE;

  private final Libfabric library;
  private final Failures failures;
  private final FabricInfo info;
  private final int number;
  private final Arena arena = Arena.ofShared();
  private final MemorySegment out = arena.allocate(JAVA_LONG);
  private final MemorySegment entries = arena.allocate(ENTRIES * ENTRY_BYTES, Long.BYTES);
  private final MemorySegment error = Discovery.struct(arena);
  private final MemorySegment contexts;
  private final long firstContext;
  private long fabric;
  private long domain;
  private long av;
  private long cq;
  private long eq;
  private long endpoint;
  private int queueEntries;
  private int looks;
  private EndpointCalls calls;
  private QueueCalls queue;
  private @Nullable EventCalls events;
  private byte[] name;
  private RailMemory memory;
  private boolean closed;

  /// Opens a rail.
  ///
  /// @param number its place among the transport's rails
  /// @throws dev.lockstep.failure.TransportException if libfabric refuses
  Rail(Libfabric library, Failures failures, FabricInfo info, int number, boolean efa) {
    this.library = library;
    this.failures = failures;
    this.info = info;
    this.number = number;
    int slots = FRAMES + WRITES + (number == 0 ? MOST_RECEIVES : 0);
    this.contexts = arena.allocate((long) slots * CONTEXT_BYTES, CONTEXT_BYTES);
    this.firstContext = contexts.address();
    try {
      openObjects(efa);
      bind(efa);
      this.calls = library.calls(endpoint);
      this.queue = library.queue(cq);
      this.events = eq == 0 ? null : library.events(eq);
      this.name = readName();
      this.memory = new RailMemory(library, failures, info, domain, endpoint, out);
    } catch (UnsupportedOperationException lacking) {
      var failure =
          new TransportException(info.provider(), String.valueOf(lacking.getMessage()), lacking);
      Scope.afterFailure(failure, this::close);
      throw failure;
    } catch (RuntimeException | Error failure) {
      Scope.afterFailure(failure, this::close);
      throw failure;
    }
  }

  private void openObjects(boolean efa) {
    failures.check("fi_fabric", library.fabric(info.fabricAttributes(), out));
    fabric = out.get(JAVA_LONG, 0);
    failures.check("fi_domain", library.domain(fabric, info.address(), out));
    domain = out.get(JAVA_LONG, 0);
    MemorySegment table = Discovery.struct(arena);
    Discovery.set(table, Layouts.AV_ATTR, "type", Fi.AV_TABLE);
    failures.check("fi_av_open", library.avOpen(domain, table, out));
    av = out.get(JAVA_LONG, 0);
    openQueue();
    if (efa) {
      openEvents();
    }
    failures.check("fi_endpoint", library.endpoint(domain, info.address(), out));
    endpoint = out.get(JAVA_LONG, 0);
  }

  private void openQueue() {
    MemorySegment attributes = Discovery.struct(arena);
    Discovery.set(attributes, Layouts.CQ_ATTR, "format", Fi.CQ_FORMAT_DATA);
    // A blocking read may never return (shm of 1.17 forgets its timeout), so nobody waits in one.
    Discovery.set(attributes, Layouts.CQ_ATTR, "wait_obj", Fi.WAIT_NONE);
    queueEntries = info.guardsCompletions() ? QUEUE_ENTRIES : UNGUARDED_QUEUE_ENTRIES;
    int status;
    while (true) {
      Discovery.set(attributes, Layouts.CQ_ATTR, "size", (long) queueEntries);
      status = library.cqOpen(domain, attributes, out);
      if (status == 0 || info.guardsCompletions() || queueEntries <= LEAST_QUEUE_ENTRIES) {
        break;
      }
      queueEntries /= 2;
    }
    failures.check("fi_cq_open", status);
    cq = out.get(JAVA_LONG, 0);
  }

  /// Returns how many receives may be posted.
  int mostReceives() {
    return info.guardsCompletions() ? MOST_RECEIVES : Math.min(MOST_RECEIVES, queueEntries / 2);
  }

  /// Returns how many segments of peers may be here unread.
  long roomForSegments() {
    int posted = FRAMES + WRITES + (number == 0 ? mostReceives() : 0);
    return info.guardsCompletions() ? Long.MAX_VALUE : queueEntries - posted;
  }

  /// Where EFA's provider meets an error that is of no operation it calls abort(3), unless it has
  /// such a queue to say so.
  private void openEvents() {
    MemorySegment attributes = Discovery.struct(arena);
    Discovery.set(attributes, Layouts.EQ_ATTR, "wait_obj", Fi.WAIT_NONE);
    failures.check("fi_eq_open", library.eqOpen(fabric, attributes, out));
    eq = out.get(JAVA_LONG, 0);
  }

  private void bind(boolean efa) {
    failures.check("fi_ep_bind", library.bind(endpoint, av, 0));
    failures.check("fi_ep_bind", library.bind(endpoint, cq, Fi.SEND | Fi.RECV));
    if (eq != 0) {
      failures.check("fi_ep_bind", library.bind(endpoint, eq, 0));
    }
    if (efa && info.isDirect()) {
      // Credits keep receivers from running out of room; the device's retries are a second net. The
      // provider's protocols have one of their own, and would wait for the device when they close.
      out.set(JAVA_LONG, 0, Fi.RNR_RETRY_FOREVER);
      var _ = library.setopt(endpoint, Fi.OPT_ENDPOINT, Fi.OPT_EFA_RNR_RETRY, out);
    }
    failures.check("fi_enable", library.enable(endpoint));
  }

  /// Returns the most bytes of a frame. What a provider says of messages includes writes, which
  /// EFA's device has longer than frames.
  long maxFrameBytes() {
    if (!info.isDirect()) {
      return info.maxMessageBytes();
    }
    try (Arena scratch = Arena.ofConfined()) {
      MemorySegment bytes = scratch.allocate(JAVA_LONG);
      bytes.set(JAVA_LONG, 0, Long.BYTES);
      int status = library.getopt(endpoint, Fi.OPT_ENDPOINT, Fi.OPT_MAX_MSG_SIZE, out, bytes);
      failures.check("fi_getopt", status);
      return out.get(JAVA_LONG, 0);
    }
  }

  private byte[] readName() {
    MemorySegment text = arena.allocate(NAME_BYTES, Long.BYTES);
    out.set(JAVA_LONG, 0, NAME_BYTES);
    failures.check("fi_getname", library.getname(endpoint, text, out));
    return text.asSlice(0, out.get(JAVA_LONG, 0)).toArray(JAVA_BYTE);
  }

  int number() {
    return number;
  }

  FabricInfo info() {
    return info;
  }

  /// Returns by what name peers reach this endpoint.
  byte[] name() {
    return name.clone();
  }

  /// Returns the number by which a peer is reached from here.
  long insert(byte[] peer) {
    try (Arena scratch = Arena.ofConfined()) {
      MemorySegment text = scratch.allocate(NAME_BYTES, Long.BYTES);
      MemorySegment.copy(peer, 0, text, JAVA_BYTE, 0, peer.length);
      int inserted = library.avInsert(av, text, out);
      if (inserted != 1) {
        throw failures.ofCall("fi_av_insert", "peer", inserted < 0 ? inserted : -Fi.ENODATA);
      }
      return out.get(JAVA_LONG, 0);
    }
  }

  /// Returns how memory is registered here.
  RailMemory memory() {
    return memory;
  }

  private void end(String what, long object) {
    int status = library.close(object);
    if (status != 0) {
      failures.unclosed(what, info.domain(), status);
    }
  }

  /// Posts the memory of a frame for whatever arrives next.
  long receive(int receive, long buffer, long bytes, long descriptor) {
    return library.recv(calls, buffer, bytes, descriptor, context(FRAMES + WRITES + receive));
  }

  /// Sends a frame; its memory is borrowed until it is told as sent.
  long send(int frame, long buffer, long bytes, long descriptor, long destination) {
    return library.send(calls, buffer, bytes, descriptor, destination, context(frame));
  }

  /// Sends a frame that is copied at once and never told as sent.
  long inject(long buffer, long bytes, long destination) {
    return library.inject(calls, buffer, bytes, destination);
  }

  /// Sends a bare frame, as [#inject].
  long injectBare(long buffer, long bytes, long immediate, long destination) {
    return library.injectdata(calls, buffer, bytes, immediate, destination);
  }

  /// Writes a segment into a peer's memory; its source is borrowed until it is told as written.
  long write(
      int write,
      long buffer,
      long bytes,
      long descriptor,
      long immediate,
      long destination,
      long address,
      long key) {
    return library.writedata(
        calls,
        buffer,
        bytes,
        descriptor,
        immediate,
        destination,
        address,
        key,
        context(FRAMES + write));
  }

  private long context(int slot) {
    return firstContext + (long) slot * CONTEXT_BYTES;
  }

  /// Reads what has completed, which is also what moves providers with manual progress.
  ///
  /// @return number of completions
  int poll(RailEvents told) {
    int total = 0;
    long found;
    boolean hasMore;
    do {
      hasMore = false;
      found = library.cqRead(queue, entries.address(), ENTRIES);
      for (int i = 0; i < found; i++) {
        tell(told, i * ENTRY_BYTES);
      }
      if (found == -Fi.EAVAIL) {
        hasMore = readError(told); // what lies behind it has arrived before it is told
        found = 1;
      } else if (found < 0 && found != -Fi.EAGAIN) {
        told.endpointFailed(failures.ofCall("fi_cq_read", "local", found));
      }
      total += (int) Math.max(0, found);
    } while (found == ENTRIES || hasMore);
    EventCalls watched = events;
    if (watched != null && (++looks & (LOOKS_PER_EVENT - 1)) == 0) {
      readEvents(watched, told);
    }
    return total;
  }

  /// Reads what the provider says of the endpoint itself: after that nothing is certain to arrive.
  private void readEvents(EventCalls watched, RailEvents told) {
    error.fill((byte) 0);
    if (library.eqReaderr(watched, error) <= 0) {
      return;
    }
    int code = Math.abs(error.get(JAVA_INT, Layouts.offset(Layouts.EQ_ERR_ENTRY, "err")));
    int errno = error.get(JAVA_INT, Layouts.offset(Layouts.EQ_ERR_ENTRY, "prov_errno"));
    // The words of the completion queue: an event queue knows libfabric's errors alone.
    String words = library.cqStrerror(queue, errno, 0);
    told.endpointFailed(failures.ofCompletion("none of the caller's", "local", code, words));
  }

  private void tell(RailEvents events, long at) {
    long flags = entries.get(JAVA_LONG, at + ENTRY_FLAGS);
    boolean isBare = (flags & BARE) == (Fi.REMOTE_CQ_DATA | Fi.RECV);
    if ((flags & Fi.REMOTE_CQ_DATA) != 0 && !isBare) {
      events.segmentArrived(entries.get(JAVA_LONG, at + ENTRY_DATA));
      return;
    }
    int slot = (int) ((entries.get(JAVA_LONG, at) - firstContext) / CONTEXT_BYTES);
    if (slot < FRAMES) {
      events.frameSent(slot);
    } else if (slot < FRAMES + WRITES) {
      events.segmentWritten(this, slot - FRAMES);
    } else if (isBare) {
      events.bareFrameArrived(
          slot - FRAMES - WRITES,
          entries.get(JAVA_LONG, at + ENTRY_LENGTH),
          entries.get(JAVA_LONG, at + ENTRY_DATA));
    } else {
      events.frameArrived(slot - FRAMES - WRITES, entries.get(JAVA_LONG, at + ENTRY_LENGTH));
    }
  }

  /// Returns whether there was one.
  private boolean readError(RailEvents told) {
    error.fill((byte) 0);
    long read = library.cqReaderr(queue, error);
    if (read < 0) {
      if (read != -Fi.EAGAIN) {
        told.endpointFailed(failures.ofCall("fi_cq_readerr", "local", read));
      }
      return false;
    }
    int code = Math.abs(error.get(JAVA_INT, Layouts.offset(Layouts.CQ_ERR_ENTRY, "err")));
    String words =
        library.cqStrerror(
            queue,
            error.get(JAVA_INT, Layouts.offset(Layouts.CQ_ERR_ENTRY, "prov_errno")),
            error.get(JAVA_LONG, Layouts.offset(Layouts.CQ_ERR_ENTRY, "err_data")));
    long context = error.get(JAVA_LONG, 0);
    long slot = (context - firstContext) / CONTEXT_BYTES;
    long flags = error.get(JAVA_LONG, Layouts.offset(Layouts.CQ_ERR_ENTRY, "flags"));
    // FI_REMOTE_CQ_DATA says nothing: errors of own writes over shm carry it too.
    if ((flags & Fi.REMOTE_WRITE) != 0) {
      long bytes = error.get(JAVA_LONG, Layouts.offset(Layouts.CQ_ERR_ENTRY, "len"));
      long immediate = error.get(JAVA_LONG, Layouts.offset(Layouts.CQ_ERR_ENTRY, "data"));
      told.segmentLost(code, words, bytes, immediate);
      return true;
    }
    if (context < firstContext || slot >= contexts.byteSize() / CONTEXT_BYTES) {
      // An error of a connection that belongs to none of the operations: those fail by themselves.
      // EFA has no connections.
      if (eq != 0) {
        told.endpointFailed(failures.ofCompletion("none of the caller's", "local", code, words));
      }
      return true;
    }
    if (slot < FRAMES) {
      told.frameFailed((int) slot, code, words);
    } else if (slot < FRAMES + WRITES) {
      told.writeFailed(this, (int) slot - FRAMES, code, words);
    } else if (eq == 0 && CUT.contains(code)) {
      // Which peer's, nobody says: its links ask for what is lost (record 138), others go on.
      told.receiveLost((int) slot - FRAMES - WRITES);
    } else if (code != Fi.ECANCELED) {
      told.endpointFailed(failures.ofCompletion("fi_recv", "local", code, words));
    }
    return true;
  }

  /// Closes the endpoint, after which the provider touches no memory.
  void closeEndpoint() {
    if (endpoint != 0) {
      end("endpoint", endpoint);
      endpoint = 0;
    }
  }

  /// Closes the rest; registrations are closed before. Idempotent.
  @Override
  public void close() {
    if (closed) {
      return;
    }
    closed = true;
    closeEndpoint();
    endIfOpen("completion queue", cq);
    endIfOpen("address table", av);
    endIfOpen("domain", domain);
    endIfOpen("event queue", eq);
    endIfOpen("fabric", fabric);
    arena.close();
  }

  private void endIfOpen(String what, long object) {
    if (object != 0) {
      end(what, object);
    }
  }
}
