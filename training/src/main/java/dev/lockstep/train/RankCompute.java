package dev.lockstep.train;

import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.DeviceProvider;
import dev.lockstep.device.DeviceRanks;
import dev.lockstep.device.RankGrid;
import dev.lockstep.device.Stream;
import dev.lockstep.failure.Availability;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.job.Job;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.Scope;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.parallel.Exchange;
import dev.lockstep.train.parallel.FlatLayout;
import dev.lockstep.train.parallel.FlatTensors;
import dev.lockstep.train.parallel.HostScalar;
import dev.lockstep.train.placement.ModelPlace;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.net.ServerSocket;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// What one rank computes and communicates with. Confined to the thread that made it.
///
/// @param device where programs run
/// @param stream the one queue of the device
/// @param scope owns everything that is opened on the device
/// @param arena host memory that lives as long as the scope
/// @param place which rank this is
record RankCompute(Device device, Stream stream, Scope scope, Arena arena, Place place) {
  private static final Logger LOG = LoggerFactory.getLogger(RankCompute.class);

  /// Which rank this is, and how it talks to the others.
  ///
  /// @param grid where it stands in the layout
  /// @param layout the axes of all ranks
  /// @param rank its number in the job
  /// @param sameBits whether sums follow the tree of the lanes
  /// @param exchange runs collectives along the axes
  record Place(Grid grid, Layout layout, int rank, boolean sameBits, Exchange exchange) {
    /// Returns the number of ranks of the job.
    int ranks() {
      return layout.places();
    }

    /// Returns the rank of the job that stands at these places on the axes of data, of experts and
    /// features, and of stages.
    int rankAt(int data, ModelPlace model, int stage) {
      return layout.rankAt(
          Map.of(
              Layout.DATA,
              data,
              Layout.EXPERT,
              model.expert().rank(),
              Layout.TENSOR,
              model.tensor().rank(),
              Layout.PIPELINE,
              stage));
    }

    /// Returns this place with another exchange.
    Place with(Exchange other) {
      return new Place(grid, layout, rank, sameBits, other);
    }
  }

  /// Opens the device of a rank.
  ///
  /// @param scope owns the device
  /// @param job its ranks of this host share the processors
  /// @throws ConfigurationException if there is no such device, or it does not work here
  @SuppressWarnings("MustBeClosed") // the scope owns the arena
  static RankCompute open(Scope scope, TrainerOptions options, Job job, Place place) {
    int threads = options.threads() > 0 ? options.threads() : job.processors();
    DeviceProvider provider = provider(options.device());
    DeviceOptions deviceOptions =
        new DeviceOptions(job.memory(), threads, options.vectorBits())
            .among(ranks(provider, options, job, place))
            .alone(job.worldSize() == 1)
            .in(job.directory());
    Arena arena = scope.own(Arena.ofConfined(), Arena::close);
    Device device = scope.own(provider.open(ordinal(provider, job), deviceOptions), Device::close);
    device
        .promisesInPrograms()
        .ifPresent(
            promises ->
                LOG.debug(
                    "collectives stay inside programs: device={}, ranks={}, promises={}",
                    device.info().name(),
                    place.layout.stage(),
                    promises));
    Stream stream = scope.own(device.newStream(), Stream::close);
    Exchange host =
        device.info().hostAddressable()
            ? place.exchange
            : new HostStagedExchange(
                place.exchange, device, stream, job, place.grid.pipeline().rank());
    Exchange reached =
        DeviceExchange.open(scope, device, stream, place.exchange, host, job, options.timeout());
    return new RankCompute(device, stream, scope, arena, place.with(reached));
  }

  /// The ranks of this rank's stage, if all have devices of one kind that keep collectives inside
  /// programs; every rank of the job asks.
  private static Optional<DeviceRanks> ranks(
      DeviceProvider provider, TrainerOptions options, Job job, Place place) {
    if (job.worldSize() == 1) {
      return Optional.empty();
    }
    boolean keeps = provider.keepsCollectives();
    String root = keeps ? endpoint(job.transportContext().bindAddress(), freePort()) : "";
    List<String> kinds = place.exchange.words(keeps ? provider.name() : "");
    List<String> roots = place.exchange.words(root);
    Set<String> kindsOfStage = new HashSet<>();
    int first = -1;
    for (int rank = 0; rank < kinds.size(); rank++) {
      if (place.layout.place(Layout.PIPELINE, rank).rank() == place.grid.pipeline().rank()) {
        first = first < 0 ? rank : first;
        kindsOfStage.add(kinds.get(rank));
      }
    }
    RankGrid grid = place.layout.stage();
    if (!keeps || kindsOfStage.size() > 1 || grid.ranks() == 1) {
      return Optional.empty();
    }
    int number = place.layout.placeInStage(place.rank);
    return Optional.of(
        new DeviceRanks(grid, number, place.sameBits, roots.get(first), options.timeout()));
  }

  /// Whoever needs it opens it soon; until then it is free for all that ask for none by number.
  private static String endpoint(String address, int port) {
    return (address.contains(":") ? "[" + address + "]" : address) + ":" + port;
  }

  private static int freePort() {
    try (ServerSocket socket = new ServerSocket(0)) {
      return socket.getLocalPort();
    } catch (IOException e) {
      throw new UncheckedIOException("no port is free: cause=" + e, e);
    }
  }

  /// Ranks of one host share out its devices.
  private static int ordinal(DeviceProvider provider, Job job) {
    return provider.probe() instanceof Availability.Available(int count, String _)
        ? job.localRank() % count
        : 0;
  }

  /// Returns this with another owner of what is opened.
  @SuppressWarnings("MustBeClosed") // the scope owns the arena
  RankCompute in(Scope other) {
    return new RankCompute(
        device, stream, other, other.own(Arena.ofConfined(), Arena::close), place);
  }

  /// Waits for what was queued before a failure, so that its memory can be freed. What the device
  /// says of it is no news: every step waits for its numbers, and so was told.
  void settle() {
    try {
      stream.synchronize();
    } catch (RuntimeException failed) {
      LOG.debug("device did not end its work: device={}", device.info().name(), failed);
    }
  }

  /// Returns this rank's place among those that share the lanes.
  int rank() {
    return place.grid.data().rank();
  }

  /// Returns how many ranks share the lanes.
  int ranks() {
    return place.grid.data().ranks();
  }

  Grid grid() {
    return place.grid;
  }

  Exchange exchange() {
    return place.exchange;
  }

  /// Returns the host's end of a number on the device.
  HostScalar scalar(Tensor tensor) {
    return new HostScalar(device, stream, tensor, arena);
  }

  /// Allocates host memory that a scope owns; where the device's memory is the host's it is charged
  /// as the device's is.
  @SuppressWarnings("MustBeClosed") // the scope owns the arena
  MemorySegment host(Scope owner, String name, long bytes) {
    return device.info().hostAddressable()
        ? owner.own(device.allocate(name, bytes), Buffer::close).segment()
        : owner.own(Arena.ofConfined(), Arena::close).allocate(bytes, DType.F32.bytes());
  }

  /// Allocates zeroed memory on the device.
  Buffer allocate(String name, long bytes) {
    return scope.own(device.allocate(name, bytes), Buffer::close);
  }

  /// Allocates zeroed memory that peers on this host may read in place.
  Buffer allocateShared(String name, long bytes) {
    return scope.own(device.allocateShared(name, bytes), Buffer::close);
  }

  /// Allocates zeroed tensors on the device.
  FlatTensors allocate(String name, FlatLayout layout) {
    return scope.own(FlatTensors.allocate(device, name, layout), FlatTensors::close);
  }

  /// Allocates zeroed tensors that peers on this host may read in place.
  FlatTensors allocateShared(String name, FlatLayout layout) {
    return scope.own(FlatTensors.allocateShared(device, name, layout), FlatTensors::close);
  }

  /// Returns the provider called `name`, if it works here.
  static DeviceProvider provider(String name) {
    List<String> known = new ArrayList<>();
    for (DeviceProvider provider : DeviceProvider.installed()) {
      if (provider.name().equals(name)) {
        if (provider.probe() instanceof Availability.Unavailable(String reason)) {
          throw new ConfigurationException(
              "--device", name, "the device does not work here: --device " + name + ": " + reason);
        }
        return provider;
      }
      known.add(provider.name());
    }
    throw new ConfigurationException(
        "--device",
        name,
        "there is no such device: --device %s (known: %s)".formatted(name, known));
  }
}
