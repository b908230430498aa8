package dev.lockstep.job;

import dev.lockstep.memory.Scope;
import java.time.Duration;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/// A rank that a launcher started joins the others: rank 0 hosts the store where no agent does,
/// everyone meets there, and each learns where it stands.
record LaunchedJob(Placement placement, Membership membership) {

  static LaunchedJob join(LaunchEnvironment launch, JobConfig config) {
    Variables variables = new Variables(config.environment());
    TokenSource tokens = JobToken.find(launch, variables);
    boolean isHost = launch.rank() == 0 && !launch.agentHostsStore();
    HostedStore hosted = isHost ? host(launch, tokens, config) : null;
    try {
      return meet(launch, tokens, config, hosted);
    } catch (RuntimeException | Error failure) {
      if (hosted != null) {
        Scope.afterFailure(failure, () -> hosted.close(true));
      }
      throw failure;
    }
  }

  private static HostedStore host(LaunchEnvironment launch, TokenSource tokens, JobConfig config) {
    String address = listenAddress(launch);
    Bytes token = tokens.make();
    StoreServer server =
        StoreServer.start(
            StoreOptions.of(address, launch.storePort(), launch.worldSize(), config.liveness())
                .withHostRank(launch.rank())
                .withJobName(launch.jobName()),
            token.array());
    try {
      tokens.publish(token);
    } catch (RuntimeException | Error failure) {
      Scope.afterFailure(failure, server::close);
      throw failure;
    }
    return new HostedStore(server, tokens::remove, config.joinTimeout());
  }

  private static String listenAddress(LaunchEnvironment launch) {
    return launch.spansNodes()
        ? NodeAddress.toListenAt(launch.storeHost())
        : NodeAddress.loopback();
  }

  private static LaunchedJob meet(
      LaunchEnvironment launch,
      TokenSource tokens,
      JobConfig config,
      @Nullable HostedStore hosted) {
    Optional<String> ownAddress = NodeAddress.given(new Variables(config.environment()));
    Message.Seat seat = new Message.Seat(HostName.local(), HostName.kernel(), launch.nodeRank());
    Message.Join join = new Message.Join(launch.rank(), launch.worldSize(), launch.jobName(), seat);
    // Ranks on the store's node do not depend on its link.
    boolean isStoreHere = hosted != null || launch.nodeRank() == 0;
    String host = isStoreHere ? NodeAddress.loopback() : launch.storeHost();
    Duration timeout = config.joinTimeout();
    Joining.Met met =
        new Joining(
                host,
                launch.storePort(),
                tokens,
                join,
                launch.agentHostsStore(),
                timeout,
                Joining.ATTEMPT)
            .run();
    Placement placement = Placements.of(launch, met.seats());
    boolean oneHost = met.seats().stream().allMatch(seat::equals);
    String bindAddress =
        oneHost
            ? NodeAddress.loopback()
            : ownAddress.orElseGet(
                () -> NodeAddress.seenByOthers(met.seated().localAddress(), launch.storeHost()));
    Store store =
        new RemoteStore(
            met.seated().connection(),
            launch.rank(),
            launch.worldSize(),
            met.seated().welcome().maxValueBytes());
    return new LaunchedJob(
        placement, new RemoteMembership(met.seated(), store, bindAddress, hosted));
  }
}
