package dev.lockstep.train;

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

  private List<Mirror> mirrors(List<Tensor> tensors) {
    List<Mirror> made = new ArrayList<>();
    tensors.forEach(tensor -> made.add(mirror(tensor)));
    return made;
  }

  private static List<Tensor> hosts(List<Mirror> mirrors) {
    return mirrors.stream().map(Mirror::host).toList();
  }

  @Override
  public Prepared prepare(Primitive op, List<Tensor> inputs, Tensor output) {
    List<Mirror> brought = mirrors(inputs);
    Mirror taken = mirror(output);
    return new Staged(exchange.prepare(op, hosts(brought), taken.host), brought, taken);
  }

  @Override
  public Prepared reduceScatter(
      String axis, LaneSplit lanes, List<Long> counts, List<Tensor> inputs, Tensor output) {
    List<Mirror> brought = mirrors(inputs);
    Mirror taken = mirror(output);
    return new Staged(
        exchange.reduceScatter(axis, lanes, counts, hosts(brought), taken.host), brought, taken);
  }

  /// A part that lies within the whole has its mirror within the whole's.
  @Override
  public Prepared allGather(String axis, List<Long> counts, Tensor part, Tensor whole) {
    Mirror taken = mirror(whole);
    Mirror brought = mirror(part);
    if (part.buffer().equals(whole.buffer())) {
      brought.close();
      long offset = part.offset() - whole.offset();
      Tensor within = new Tensor(taken.memory, offset, part.dtype(), part.shape());
      brought = new Mirror(part, within, taken.memory);
    }
    return new Staged(
        exchange.allGather(axis, counts, brought.host, taken.host), List.of(brought), taken);
  }

  @Override
  public Prepared gather(List<Long> counts, Tensor part, @Nullable Tensor whole) {
    Mirror brought = mirror(part);
    Mirror taken = whole == null ? null : mirror(whole);
    return new Staged(
        exchange.gather(counts, brought.host, taken == null ? null : taken.host),
        List.of(brought),
        taken);
  }

  @Override
  public List<String> words(String mine) {
    return exchange.words(mine);
  }

  @Override
  public Message message(String axis, int from, int to, Tensor memory) {
    Mirror mirror = mirror(memory);
    return new StagedMessage(exchange.message(axis, from, to, mirror.host), mirror, from == stage);
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
