package dev.lockstep.train;

import static java.util.Objects.requireNonNull;

import dev.lockstep.device.Device;
import dev.lockstep.device.HostCopy;
import dev.lockstep.device.HostPin;
import dev.lockstep.device.Stream;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Primitive;
import dev.lockstep.interrupt.Pause;
import dev.lockstep.job.Job;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.memory.Scope;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.parallel.Exchange;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.function.BiFunction;
import org.jspecify.annotations.Nullable;

/// Runs the collectives of a device whose memory the host cannot address: what a rank brings is
/// copied to host memory that its peers read, and what it gets is copied back. So ranks of any
/// kinds of device train one model. Confined to the stream's thread; running allocates nothing.
///
/// Every prepared collective has a **mirror** on the host for each of its tensors, pinned where the
/// device can. Copies are queued, not waited for: a collective that is started **waits** until its
/// tensors are there, behind those that were started before it, and begins when the host next has
/// to do with this exchange. Whoever waits for one lets the others begin meanwhile. So while one
/// collective is on its way, the tensors of the next are copied out, those of the one before are
/// copied back, and the device computes.
final class HostStagedExchange implements Exchange {
  // Tens of microseconds of pauses, in which a short copy is over; then a thread is parked for less
  // than the 50 us by which Linux is late with waking it: as short as it can be.
  private static final int SPINS = 1_000;
  private static final long PAUSE_NANOS = 20_000;

  private final Exchange exchange;
  private final Device device;
  private final Stream stream;
  private final Job job;
  private final int stage;
  private final Pause pause = new Pause();

  /// What was started and has not begun, in the order of the starts.
  private final Deque<Passage> waiting = new ArrayDeque<>();

  /// Stages what another exchange runs.
  ///
  /// @param device where tensors are
  /// @param stream its queue, by which they are copied
  /// @param job mirrors are charged to its memory
  /// @param stage place of this rank on the axis of the pipeline
  HostStagedExchange(Exchange exchange, Device device, Stream stream, Job job, int stage) {
    this.exchange = exchange;
    this.device = device;
    this.stream = stream;
    this.job = job;
    this.stage = stage;
  }

  /// Tensors are brought and taken by copies of the stream.
  @Override
  public boolean followsStream() {
    return true;
  }

  /// Lets what waits begin, as far as its tensors are there.
  private void advance() {
    for (Passage next = waiting.peek(); next != null; next = waiting.peek()) {
      if (!next.isBrought()) {
        return;
      }
      waiting.remove();
      next.begin();
    }
  }

  /// Lets all that was started before something begin, and that itself.
  private void beginUntil(Passage last) {
    while (last.isWaiting()) {
      beginNext();
    }
  }

  private void beginAll() {
    while (!waiting.isEmpty()) {
      beginNext();
    }
  }

  private void beginNext() {
    Passage next = waiting.element();
    next.awaitBrought();
    waiting.remove();
    next.begin();
  }

  /// What a collective or a message has on the host: mirrors and copies. Owns them.
  private final class Mirrors {
    private final Scope scope = new Scope();
    private final List<HostCopy> brings = new ArrayList<>();
    private @Nullable HostCopy take;

    Buffer allocate(Tensor tensor) {
      Buffer memory =
          scope.own(
              HostMemory.allocateShared(
                  job.memory(),
                  "mirror of " + tensor.buffer().name(),
                  tensor.bytes(),
                  job.directory()),
              Buffer::close);
      scope.own(device.pin(memory.segment()), HostPin::close); // let go of before it is freed
      return memory;
    }

    Tensor brought(Tensor tensor) {
      return brought(tensor, allocate(tensor), 0);
    }

    /// @param memory where the mirror is, or within which
    Tensor brought(Tensor tensor, Buffer memory, long offset) {
      Tensor host = new Tensor(memory, offset, tensor.dtype(), tensor.shape());
      brings.add(scope.own(stream.prepareCopyOut(host.segment(), tensor), HostCopy::close));
      return host;
    }

    Tensor taken(Tensor tensor) {
      Tensor host = Tensor.of(allocate(tensor), tensor.dtype(), tensor.shape());
      take = scope.own(stream.prepareCopyIn(tensor, host.segment()), HostCopy::close);
      return host;
    }

    /// Closes all, after a failure that is thrown on.
    void giveUp(Throwable failure) {
      Scope.afterFailure(failure, scope::close);
    }
  }

  /// Prepares a collective between mirrors.
  private Prepared staged(
      List<Tensor> inputs,
      @Nullable Tensor output,
      BiFunction<List<Tensor>, @Nullable Tensor, Prepared> collective) {
    Mirrors mirrors = new Mirrors();
    try {
      List<Tensor> brought = inputs.stream().map(mirrors::brought).toList();
      Tensor taken = output == null ? null : mirrors.taken(output);
      return new Staged(mirrors, collective.apply(brought, taken));
    } catch (RuntimeException | Error failure) {
      mirrors.giveUp(failure);
      throw failure;
    }
  }

  @Override
  public Prepared prepare(Primitive op, List<Tensor> inputs, Tensor output) {
    return staged(
        inputs, output, (hosts, host) -> exchange.prepare(op, hosts, requireNonNull(host)));
  }

  @Override
  public Prepared reduceScatter(
      String axis, LaneSplit lanes, List<Long> counts, List<Tensor> inputs, Tensor output) {
    return staged(
        inputs,
        output,
        (hosts, host) -> exchange.reduceScatter(axis, lanes, counts, hosts, requireNonNull(host)));
  }

  /// A part that lies within the whole has its mirror within the whole's.
  @Override
  public Prepared allGather(String axis, List<Long> counts, Tensor part, Tensor whole) {
    if (!part.buffer().equals(whole.buffer())) {
      return staged(
          List.of(part),
          whole,
          (hosts, host) ->
              exchange.allGather(axis, counts, hosts.getFirst(), requireNonNull(host)));
    }
    Mirrors mirrors = new Mirrors();
    try {
      Tensor taken = mirrors.taken(whole);
      Tensor brought = mirrors.brought(part, taken.buffer(), part.offset() - whole.offset());
      return new Staged(mirrors, exchange.allGather(axis, counts, brought, taken));
    } catch (RuntimeException | Error failure) {
      mirrors.giveUp(failure);
      throw failure;
    }
  }

  @Override
  public Prepared gather(List<Long> counts, Tensor part, @Nullable Tensor whole) {
    return staged(
        List.of(part), whole, (hosts, host) -> exchange.gather(counts, hosts.getFirst(), host));
  }

  @Override
  public List<String> words(String mine) {
    beginAll(); // all ranks say them at the same place among their collectives
    return exchange.words(mine);
  }

  @Override
  public Message message(String axis, boolean forth, int from, Tensor memory) {
    Mirrors mirrors = new Mirrors();
    try {
      Tensor host = from == stage ? mirrors.brought(memory) : mirrors.taken(memory);
      return new StagedMessage(mirrors, exchange.message(axis, forth, from, host));
    } catch (RuntimeException | Error failure) {
      mirrors.giveUp(failure);
      throw failure;
    }
  }

  /// What passes between mirrors, a collective too: started and waited for as a message is.
  private abstract class Passage implements Message {
    private final Scope scope;
    private final HostCopy[] brings;
    private final @Nullable HostCopy take;
    private boolean isStarted;
    private boolean isWaiting;

    Passage(Mirrors mirrors) {
      scope = mirrors.scope;
      brings = mirrors.brings.toArray(HostCopy[]::new);
      take = mirrors.take;
    }

    /// Starts what the other exchange has prepared.
    abstract void startOnHost();

    /// Moves that, and returns whether it is over.
    abstract boolean pollOnHost();

    /// Waits for that.
    abstract void awaitOnHost();

    final boolean isWaiting() {
      return isWaiting;
    }

    final boolean sends() {
      return brings.length > 0;
    }

    /// Copies out, once the mirrors may be written again: one that is copied back lies around one
    /// that is copied out where a collective is in place.
    final void bring() {
      awaitTaken();
      for (HostCopy bring : brings) {
        bring.start();
      }
    }

    final boolean isBrought() {
      for (HostCopy bring : brings) {
        if (!bring.isDone()) {
          return false;
        }
      }
      return true;
    }

    final void awaitBrought() {
      for (HostCopy bring : brings) {
        bring.await();
      }
    }

    final void awaitTaken() {
      if (take != null) {
        take.await();
      }
    }

    final void take() {
      if (take != null) {
        take.start();
      }
    }

    final void begin() {
      isWaiting = false;
      startOnHost();
      isStarted = true;
    }

    @Override
    public void start() {
      bring();
      isWaiting = true;
      waiting.add(this);
      advance();
    }

    @Override
    public final boolean poll() {
      advance();
      return !isWaiting && (!isStarted || pollOnHost());
    }

    @Override
    public final void await() {
      beginUntil(this);
      if (!isStarted) {
        return;
      }
      letOthersBegin();
      awaitOnHost();
      isStarted = false;
      take();
      ended();
    }

    /// What waits must not wait for this one: a peer may need it first.
    private void letOthersBegin() {
      try (pause) {
        for (int spins = 0; !waiting.isEmpty() && !pollOnHost(); spins++) {
          advance();
          if (spins < SPINS) {
            Thread.onSpinWait();
          } else {
            pause.park(PAUSE_NANOS);
          }
        }
      }
    }

    /// Lets what waits begin behind this.
    void ended() {
      advance();
    }

    @Override
    public final void close() {
      waiting.remove(this);
      scope.close();
    }
  }

  /// A collective between mirrors.
  private final class Staged extends Passage implements Prepared {
    private final Prepared collective;

    Staged(Mirrors mirrors, Prepared collective) {
      super(mirrors);
      this.collective = mirrors.scope.own(collective, Prepared::close);
    }

    @Override
    void startOnHost() {
      collective.start();
    }

    @Override
    boolean pollOnHost() {
      return collective.poll();
    }

    @Override
    void awaitOnHost() {
      collective.await();
    }

    @Override
    public void run() {
      bring();
      beginAll();
      awaitBrought();
      collective.run();
      take();
    }
  }

  /// A message between mirrors.
  private final class StagedMessage extends Passage {
    private final Message message;

    StagedMessage(Mirrors mirrors, Message message) {
      super(mirrors);
      this.message = mirrors.scope.own(message, Message::close);
    }

    /// What is received needs no copy first, and has a link of its own: it is awaited at once.
    @Override
    public void start() {
      if (sends()) {
        super.start();
      } else {
        awaitTaken();
        begin();
      }
    }

    /// The host may wait for the GPU next, and that for a peer which needs what was sent before
    /// this: it has begun by then.
    @Override
    void ended() {
      if (sends()) {
        super.ended();
      } else {
        beginAll();
      }
    }

    @Override
    void startOnHost() {
      message.start();
    }

    @Override
    boolean pollOnHost() {
      return message.poll();
    }

    @Override
    void awaitOnHost() {
      message.await();
    }
  }
}
