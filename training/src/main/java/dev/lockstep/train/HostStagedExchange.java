package dev.lockstep.train;

import static java.util.Objects.requireNonNull;

import dev.lockstep.device.Stream;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Primitive;
import dev.lockstep.job.Job;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.parallel.Exchange;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BiFunction;
import org.jspecify.annotations.Nullable;

/// Runs the collectives of a device whose memory the host cannot address: what a rank brings is
/// copied to host memory that its peers read, and what it gets is copied back. So ranks of any
/// kinds of device train one model. Confined to the stream's thread; running allocates nothing.
///
/// Every prepared collective has a **mirror** on the host for each of its tensors.
final class HostStagedExchange implements Exchange {
  private final Exchange exchange;
  private final Stream stream;
  private final Job job;
  private final int stage;

  /// Stages what another exchange runs.
  ///
  /// @param stream the device's queue, by which tensors are copied
  /// @param job mirrors are charged to its memory
  /// @param stage place of this rank on the axis of the pipeline
  HostStagedExchange(Exchange exchange, Stream stream, Job job, int stage) {
    this.exchange = exchange;
    this.stream = stream;
    this.job = job;
    this.stage = stage;
  }

  /// Tensors are brought and taken by copies of the stream.
  @Override
  public boolean followsStream() {
    return true;
  }

  /// A tensor and its mirror.
  private record Mirror(Tensor device, Tensor host, Buffer memory) implements AutoCloseable {
    void bring(Stream stream) {
      stream.copyOut(host.segment(), device);
    }

    void take(Stream stream) {
      stream.copyIn(device, host.segment());
    }

    @Override
    public void close() {
      memory.close();
    }
  }

  private Mirror mirror(Tensor tensor) {
    Buffer memory =
        HostMemory.allocateShared(
            job.memory(), "mirror of " + tensor.buffer().name(), tensor.bytes(), job.directory());
    return new Mirror(tensor, Tensor.of(memory, tensor.dtype(), tensor.shape()), memory);
  }

  /// Prepares a collective between mirrors.
  private Prepared staged(
      List<Tensor> inputs,
      @Nullable Tensor output,
      BiFunction<List<Tensor>, @Nullable Tensor, Prepared> collective) {
    List<Mirror> brought = new ArrayList<>();
    Mirror taken = null;
    try {
      for (Tensor input : inputs) {
        brought.add(mirror(input));
      }
      taken = output == null ? null : mirror(output);
      return staged(brought, taken, collective);
    } catch (RuntimeException | Error failure) {
      brought.forEach(Mirror::close);
      if (taken != null) {
        taken.close();
      }
      throw failure;
    }
  }

  private Prepared staged(
      List<Mirror> brought,
      @Nullable Mirror taken,
      BiFunction<List<Tensor>, @Nullable Tensor, Prepared> collective) {
    List<Tensor> hosts = brought.stream().map(Mirror::host).toList();
    return new Staged(collective.apply(hosts, taken == null ? null : taken.host), brought, taken);
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
    BiFunction<List<Tensor>, @Nullable Tensor, Prepared> collective =
        (hosts, host) -> exchange.allGather(axis, counts, hosts.getFirst(), requireNonNull(host));
    if (!part.buffer().equals(whole.buffer())) {
      return staged(List.of(part), whole, collective);
    }
    Mirror taken = mirror(whole);
    try {
      long offset = part.offset() - whole.offset();
      Tensor within = new Tensor(taken.memory, offset, part.dtype(), part.shape());
      return staged(List.of(new Mirror(part, within, taken.memory)), taken, collective);
    } catch (RuntimeException | Error failure) {
      taken.close();
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
    return exchange.words(mine);
  }

  @Override
  public Message message(String axis, boolean forth, int from, Tensor memory) {
    Mirror mirror = mirror(memory);
    try {
      Message message = exchange.message(axis, forth, from, mirror.host);
      return new StagedMessage(message, mirror, from == stage);
    } catch (RuntimeException | Error failure) {
      mirror.close();
      throw failure;
    }
  }

  /// A collective between mirrors.
  private final class Staged implements Prepared {
    private final Prepared collective;
    private final Mirror[] brought;
    private final @Nullable Mirror taken;
    private boolean isStarted;

    Staged(Prepared collective, List<Mirror> brought, @Nullable Mirror taken) {
      this.collective = collective;
      this.brought = brought.toArray(Mirror[]::new);
      this.taken = taken;
    }

    private void bring() {
      for (Mirror mirror : brought) {
        mirror.bring(stream);
      }
    }

    private void take() {
      if (taken != null) {
        taken.take(stream);
      }
    }

    @Override
    public void run() {
      bring();
      collective.run();
      take();
    }

    @Override
    public void start() {
      bring();
      collective.start();
      isStarted = true;
    }

    @Override
    public void await() {
      collective.await();
      if (isStarted) {
        isStarted = false;
        take();
      }
    }

    @Override
    public void close() {
      collective.close();
      for (Mirror mirror : brought) {
        mirror.close();
      }
      if (taken != null) {
        taken.close();
      }
    }
  }

  /// A message between mirrors.
  private final class StagedMessage implements Message {
    private final Message message;
    private final Mirror mirror;
    private final boolean sends;
    private boolean isStarted;

    StagedMessage(Message message, Mirror mirror, boolean sends) {
      this.message = message;
      this.mirror = mirror;
      this.sends = sends;
    }

    @Override
    public void start() {
      if (sends) {
        mirror.bring(stream);
      }
      message.start();
      isStarted = true;
    }

    @Override
    public void await() {
      message.await();
      if (isStarted && !sends) {
        mirror.take(stream);
      }
      isStarted = false;
    }

    @Override
    public void close() {
      message.close();
      mirror.close();
    }
  }
}
